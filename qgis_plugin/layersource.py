"""From a layer to a raster file that the command line opens: as it is, copied, or rendered where there are no files."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransformContext,
    QgsFeedback,
    QgsMapLayer,
    QgsProject,
    QgsProviderRegistry,
    QgsRasterBlockFeedback,
    QgsRasterDataProvider,
    QgsRasterFileWriter,
    QgsRasterLayer,
    QgsRasterPipe,
    QgsRectangle,
)
from qgis.PyQt.QtCore import QThread

from .errors import LayerError
from .pixelgrid import PixelGrid
from .rasterfile import put_in_place, remove
from .rendering import NOTHING, Drawing, Look, drawing, render

OPENED = (".tif", ".tiff", ".vrt", ".jpg", ".jpeg", ".png", ".webp", ".jp2", ".j2k", ".gif", ".bmp", ".img")
"""Files that the command line opens itself, by their endings; others are copied."""
COPIED = ("gdal", "wcs", "virtualraster")
PICTURES = ("wms", "arcgismapserver")
"""Providers of pictures that a server draws: WMS, WMTS, XYZ."""
MAX_PIXELS = 100_000_000  # of a raster that is copied or rendered; 400 MB before compression
ELSEWHERE = (b"/vsi", b"://")  # in a VRT that draws from what is no local file
EXPORT = "export it as a GeoTIFF (Layer > Save As) and choose that"


class LayerSource(NamedTuple):
    """Where the pixels of a layer come from."""

    layer: QgsRasterLayer
    file: Path | None
    """What the command line can be given; None if a raster must be made first."""
    is_picture: bool
    """Whether it has no pixels of its own, so that a resolution must be chosen."""


class Making(NamedTuple):
    """A raster that is to be made, in whatever thread."""

    size: str
    """How large it will be, in words: to be shown before it is made."""
    make: Callable[[Path, QgsFeedback], bool]
    """Writes it to a file, whole or not at all; False if it was cancelled."""


def source_of(layer: QgsMapLayer | None) -> LayerSource:
    """How the pixels of a layer can be had.

    Raises:
        LayerError: they cannot; the message says what to do instead.
    """
    if layer is None:
        raise LayerError("no layer is chosen; choose a raster layer")
    if not isinstance(layer, QgsRasterLayer):
        raise LayerError(
            f"{layer.name()}: is no raster layer; choose an image, or draw this layer as a map with others"
        )
    if not layer.isValid():
        raise LayerError(f"{layer.name()}: QGIS cannot read it; repair its source (right click, Change Data Source)")
    if not layer.crs().isValid():
        raise LayerError(f"{layer.name()}: has no reference system; set it (right click, Layer CRS)")
    provider = layer.providerType()
    if provider in PICTURES:
        return LayerSource(layer, None, True)
    if provider not in COPIED:
        raise LayerError(f"{layer.name()}: comes from {provider}, which the command line cannot open; {EXPORT}")
    return LayerSource(layer, _file(layer) if provider == "gdal" else None, False)


def _file(layer: QgsRasterLayer) -> Path | None:
    """The file of a layer, if the command line opens it and finds there what QGIS shows."""
    parts = QgsProviderRegistry.instance().decodeUri("gdal", layer.source())
    path = Path(parts.get("path") or "")
    if any(parts.get(key) for key in ("layerName", "vsiPrefix", "openOptions")) or path.suffix.lower() not in OPENED:
        return None
    if not path.is_file() or str(path).startswith("/vsi"):
        return None
    if layer.dataProvider().crs() != layer.crs():  # it was set in QGIS; the file says another one, or none
        return None
    if path.suffix.lower() == ".vrt" and any(sign in path.read_bytes() for sign in ELSEWHERE):
        return None
    return path


def making(
    source: LayerSource, project: QgsProject, extent: QgsRectangle | None = None, resolution: float | None = None
) -> Making:
    """The raster that is made of a source that is no file. Call it in the thread of the layer.

    A picture is rendered over `extent`, in the CRS of the layer, with pixels of `resolution`; what the server does not
    send is transparent. Of other sources all pixels are copied with their values.

    Raises:
        LayerError: as for `size_of`. `Making.make` raises it if a server sends nothing or the file cannot be written.
    """
    layer = source.layer
    words = size_of(source, extent, resolution)
    if not source.is_picture:
        provider = layer.dataProvider().clone()
        provider.moveToThread(None)
        return Making(words, functools.partial(_copy, provider, layer.crs(), project.transformContext()))
    drawn = drawing([layer], project, Look(background=NOTHING))
    return Making(words, functools.partial(_render, drawn, _grid(layer, extent, resolution)))


def size_of(source: LayerSource, extent: QgsRectangle | None = None, resolution: float | None = None) -> str:
    """How large the raster is that would be made of a source that is no file, in words.

    Raises:
        LayerError: a picture has no extent or resolution, or the raster would be too large.
    """
    layer = source.layer
    if not source.is_picture:
        return _size(layer, layer.width(), layer.height(), EXPORT)
    grid = _grid(layer, extent, resolution)
    return _size(layer, grid.width, grid.height, "choose larger pixels or a smaller extent")


def _grid(layer: QgsRasterLayer, extent: QgsRectangle | None, resolution: float | None) -> PixelGrid:
    """The pixels of a picture."""
    if extent is None or not resolution:
        raise LayerError(f"{layer.name()}: comes from a server; choose an extent and the side of a pixel")
    return PixelGrid.covering(extent, layer.crs(), resolution)


def _size(layer: QgsRasterLayer, width: int, height: int, remedy: str) -> str:
    words = f"{width} x {height} pixels, up to {width * height * 4 / 1e6:.0f} MB"
    if width * height > MAX_PIXELS:
        raise LayerError(f"{layer.name()}: {words}; the limit is {MAX_PIXELS} pixels: {remedy}")
    return words


def _render(drawn: Drawing, grid: PixelGrid, output: Path, feedback: QgsFeedback) -> bool:
    known = render(drawn, grid, output, area=None, feedback=feedback)
    if known == 0:
        output.unlink()
        name = drawn.layers[0].name()
        raise LayerError(f"{name}: its server sent nothing for this extent; see whether QGIS shows it there")
    return known is not None


def _copy(
    provider: QgsRasterDataProvider,
    crs: QgsCoordinateReferenceSystem,
    context: QgsCoordinateTransformContext,
    output: Path,
    feedback: QgsFeedback,
) -> bool:
    provider.moveToThread(QThread.currentThread())
    pipe = QgsRasterPipe()
    pipe.set(provider)  # which owns it from now on
    temporary = output.with_name(f".{output.stem}.{os.getpid()}.tif")
    writer = QgsRasterFileWriter(str(temporary))
    writer.setOutputFormat("GTiff")
    writer.setCreateOptions(["TILED=YES", "COMPRESS=DEFLATE", "BIGTIFF=IF_SAFER"])
    block = QgsRasterBlockFeedback()
    feedback.canceled.connect(block.cancel)
    block.progressChanged.connect(feedback.setProgress)
    try:
        size = provider.xSize(), provider.ySize()
        failed = writer.writeRaster(pipe, *size, provider.extent(), crs, context, block)
        if feedback.isCanceled():
            return False
        if failed or block.errors():
            reason = "; ".join(block.errors()) or f"QGIS's raster writer says {failed}"
            raise LayerError(f"{output}: cannot be written ({reason}); make room, or choose another place")
        put_in_place(temporary, output)
    finally:
        remove(temporary)
    return True
