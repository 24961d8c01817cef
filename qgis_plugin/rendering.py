"""The map as QGIS draws it, on a grid of pixels: layers in their own styles become a georeferenced picture.

Large pictures are drawn piece by piece, each with what lies around it, so that memory stays bounded and symbols that
cross from one piece to the next agree. Nothing here needs a canvas, so that it also runs in `qgis_process`.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from qgis.core import (
    Qgis,
    QgsExpressionContextUtils,
    QgsFeedback,
    QgsGeometry,
    QgsMapLayer,
    QgsMapRendererCustomPainterJob,
    QgsMapSettings,
    QgsProject,
    QgsRasterLayer,
    QgsWkbTypes,
)
from qgis.PyQt.QtCore import QEventLoop, QPointF, QSize, Qt, QThread
from qgis.PyQt.QtGui import QColor, QImage, QPainter, QPainterPath, QPolygonF

from .errors import LayerError
from .pixelgrid import Piece, PixelGrid
from .plainstyle import plain
from .rasterfile import begun, put_in_place, remove, write

SIDE = 2048  # pixels of a piece: 16 MiB, and as much for each translucent layer; brushes of Qt repeat every 8 pixels
MARGIN = 512  # pixels around a piece in which features are looked for, whose symbols may reach into it
LESS = 0.001  # of a pixel, far above what rounding makes of coordinates, and below what moves a pixel
MAX_PIXELS_WITH_LABELS = 2**26  # 256 MiB: labels are placed by what is in sight, so that all is drawn at once
MAX_SIDE = 32_767  # of a picture that Qt paints at once
DPI = 96  # of QGIS's canvas on screens without scaling
NOTHING = "#00000000"
REMOTE = ("wms", "arcgismapserver", "wcs", "vectortile")  # providers that ask servers for pictures


class Look(NamedTuple):
    """What of the layers' styles is drawn. A training target is best without what no source shows."""

    labels: bool = False
    """Names and diagrams."""
    icons: bool = False
    """Symbols of points, and those that are strewn over lines and areas."""
    effects: bool = False
    """Shadows, glows and blending."""
    antialiased: bool = False
    background: str = ""
    """A colour; with an alpha of 0, what no layer covers is unknown. By default white, or `NOTHING` if a layer comes
    from a server, which may not send all of it."""


class Drawing(NamedTuple):
    """Layers that are ready to be drawn in another thread than the one that owns the project."""

    layers: list[QgsMapLayer]
    """The first is on top."""
    settings: QgsMapSettings
    look: Look


def drawing(layers: Sequence[QgsMapLayer], project: QgsProject, look: Look) -> Drawing:
    """Copies of layers, the first on top. Call it in the thread of the layers; what they look like now is drawn.

    Raises:
        LayerError: a layer is broken, or none is given.
    """
    for layer in layers:
        if not layer.isValid():
            raise LayerError(f"{layer.name()}: QGIS cannot read it; repair its source, or leave it out of the map")
    if not layers:
        raise LayerError("the map as QGIS draws it needs layers, found none; choose those that make the map")
    settings = QgsMapSettings()
    settings.setTransformContext(project.transformContext())
    settings.setEllipsoid(project.ellipsoid())
    settings.setPathResolver(project.pathResolver())
    settings.setLabelingEngineSettings(project.labelingEngineSettings())
    settings.setBackgroundColor(QColor(Qt.GlobalColor.transparent))
    settings.setOutputDpi(DPI)
    flags = Qgis.MapSettingsFlag
    settings.setFlag(flags.DrawSelection, False)
    settings.setFlag(flags.UseRenderingOptimization, False)  # it moves corners by up to a pixel
    settings.setFlag(flags.Antialiasing, look.antialiased)
    settings.setFlag(flags.DrawLabeling, look.labels)
    context = settings.expressionContext()
    context.appendScopes([QgsExpressionContextUtils.globalScope(), QgsExpressionContextUtils.projectScope(project)])
    settings.setExpressionContext(context)
    shown = [copy for layer in layers if (copy := plain(layer, look.labels, look.icons, look.effects))]
    for copy in shown:
        copy.moveToThread(None)  # whichever thread draws takes them
    background = NOTHING if any(layer.providerType() in REMOTE for layer in layers) else "#ffffff"
    return Drawing(shown, settings, look._replace(background=look.background or background))


def in_drawing_order(layers: Sequence[QgsMapLayer], project: QgsProject) -> list[QgsMapLayer]:
    """Layers as the project stacks them, topmost first; those that are not in it come last."""
    order = {layer.id(): place for place, layer in enumerate(project.layerTreeRoot().layerOrder())}
    return sorted(layers, key=lambda layer: order.get(layer.id(), len(order)))


def render(
    drawn: Drawing, grid: PixelGrid, output: Path, *, area: QgsGeometry | None, feedback: QgsFeedback
) -> int | None:
    """Draw a map on a grid into `output`, a GeoTIFF of red, green, blue and alpha, which is there whole or not at all.

    Alpha is 0 outside of `area`, polygons in the CRS of the grid: a pixel lies inside if its centre does. Returns how
    many pixels are known, with an alpha above 0; None if it was cancelled.

    Raises:
        LayerError: it is too large to be drawn with labels, a layer failed, or the file cannot be written.
    """
    side = _side(drawn.look, grid)
    for layer in drawn.layers:
        if layer.thread() is None:
            layer.moveToThread(QThread.currentThread())
    temporary = output.with_name(f".{output.stem}.{os.getpid()}.tif")
    known = 0
    try:
        provider = begun(temporary, grid)
        for piece in grid.pieces(side):
            picture = _picture(drawn, grid, piece, feedback)
            if feedback.isCanceled():
                return None
            if area is not None:
                _cut(picture, grid, piece, area)
            known += write(provider, picture, piece, output)
            feedback.setProgress(100 * ((piece.row + piece.height) * grid.width) / grid.pixels)
        provider.setEditable(False)
        del provider  # GDAL writes the rest
        put_in_place(temporary, output)
    finally:
        remove(temporary)
    return known


def _side(look: Look, grid: PixelGrid) -> int:
    """Pixels of a piece."""
    if not look.labels:
        return SIDE
    if grid.pixels > MAX_PIXELS_WITH_LABELS or max(grid.width, grid.height) > MAX_SIDE:
        raise LayerError(
            f"{grid.width} x {grid.height} pixels with labels: they are drawn at once, and the limit is "
            f"{MAX_PIXELS_WITH_LABELS} pixels; choose a smaller source, or leave the labels out"
        )
    return max(grid.width, grid.height)


def _picture(drawn: Drawing, grid: PixelGrid, piece: Piece, feedback: QgsFeedback) -> QImage:
    """A piece of the map, RGBA."""
    picture = QImage(piece.width, piece.height, QImage.Format.Format_ARGB32_Premultiplied)
    picture.setDotsPerMeterX(round(DPI / 0.0254))
    picture.setDotsPerMeterY(round(DPI / 0.0254))
    picture.fill(QColor(drawn.look.background))
    painter = QPainter(picture)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, drawn.look.antialiased)
    try:
        for layers, part, margin in _steps(drawn, grid, piece):
            if part.width and part.height and not feedback.isCanceled():
                painter.resetTransform()
                painter.translate(part.col - piece.col, part.row - piece.row)
                _draw(painter, layers, _settings(drawn, grid, part, margin), feedback)
    finally:
        painter.end()
    return picture


def _steps(drawn: Drawing, grid: PixelGrid, piece: Piece) -> Iterator[tuple[list[QgsMapLayer], Piece, float]]:
    """What is drawn together, bottom first: layers, where, and in how many pixels around it features are looked for.

    QGIS stretches a raster by up to a pixel if the edge of what is drawn is, but for rounding, that of a pixel. So a
    raster is drawn alone, where it lies, and on a thousandth of a pixel less.
    """
    if drawn.look.labels:  # they give way to each other; and names of what lies outside would be placed inside
        yield drawn.layers, piece, -LESS
        return
    for is_raster, run in itertools.groupby(reversed(drawn.layers), lambda layer: isinstance(layer, QgsRasterLayer)):
        if not is_raster:
            yield list(run)[::-1], piece, MARGIN
            continue
        for layer in run:
            own = grid.inside(layer.extent()) if layer.crs() == grid.crs else piece
            yield [layer], piece.intersection(own), -LESS


def _settings(drawn: Drawing, grid: PixelGrid, piece: Piece, margin: float) -> QgsMapSettings:
    settings = QgsMapSettings(drawn.settings)
    settings.setDestinationCrs(grid.crs)
    settings.setOutputSize(QSize(piece.width, piece.height))
    settings.setExtent(grid.extent(piece), False)
    settings.setExtentBuffer(margin * grid.resolution)
    context = settings.expressionContext()
    context.appendScope(QgsExpressionContextUtils.mapSettingsScope(settings))
    settings.setExpressionContext(context)
    return settings


def _draw(painter: QPainter, layers: list[QgsMapLayer], settings: QgsMapSettings, feedback: QgsFeedback) -> None:
    settings.setLayers(layers)
    job = QgsMapRendererCustomPainterJob(settings, painter)
    loop = QEventLoop()
    job.finished.connect(loop.quit)
    feedback.canceled.connect(job.cancelWithoutBlocking)
    job.start()
    if job.isActive() and not feedback.isCanceled():
        loop.exec()
    job.waitForFinished()
    for error in job.errors() if not feedback.isCanceled() else ():
        name = next((layer.name() for layer in layers if layer.id() == error.layerID), error.layerID)
        raise LayerError(f"{name}: cannot be drawn ({error.message}); repair its source, or leave it out of the map")


def _cut(picture: QImage, grid: PixelGrid, piece: Piece, area: QgsGeometry) -> None:
    """Make transparent what lies outside of an area."""
    mask = QImage(picture.size(), picture.format())
    mask.fill(Qt.GlobalColor.transparent)
    extent = grid.extent(piece)
    painter = QPainter(mask)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
    for polygon in area.clipped(extent.buffered(grid.resolution)).coerceToType(QgsWkbTypes.Type.Polygon):
        shape = QPainterPath()
        for ring in polygon.asPolygon():
            places = (((point.x() - extent.xMinimum()), (extent.yMaximum() - point.y())) for point in ring)
            shape.addPolygon(QPolygonF([QPointF(x / grid.resolution, y / grid.resolution) for x, y in places]))
        painter.fillPath(shape, QColor(Qt.GlobalColor.black))
    painter.end()
    painter = QPainter(picture)
    painter.setCompositionMode(QPainter.CompositionMode.CompositionMode_DestinationIn)
    painter.drawImage(0, 0, mask)
    painter.end()
