"""GeoTIFFs that are written piece by piece and appear whole or not at all."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from qgis.core import Qgis, QgsRasterBlock, QgsRasterDataProvider, QgsRasterFileWriter
from qgis.PyQt.QtCore import QByteArray
from qgis.PyQt.QtGui import QImage

from .errors import LayerError
from .pixelgrid import Piece, PixelGrid

OPTIONS = ["PHOTOMETRIC=RGB", "ALPHA=YES", "TILED=YES", "COMPRESS=DEFLATE", "BIGTIFF=IF_SAFER"]


def begun(path: Path, grid: PixelGrid) -> QgsRasterDataProvider:
    """A GeoTIFF that is open for writing."""
    writer = QgsRasterFileWriter(str(path))
    writer.setOutputFormat("GTiff")
    writer.setCreateOptions(OPTIONS)
    provider = writer.createMultiBandRaster(
        Qgis.DataType.Byte, grid.width, grid.height, grid.extent(grid.whole), grid.crs, 4
    )
    if provider is None or not provider.isValid() or not provider.isEditable():
        raise LayerError(f"{path.parent}: no picture can be written there; choose another place")
    return provider


def write(provider: QgsRasterDataProvider, picture: QImage, piece: Piece, output: Path) -> int:
    """Write a piece; how many of its pixels are known."""
    pixels = picture.convertToFormat(QImage.Format.Format_RGBA8888)
    data: bytes = pixels.constBits().asstring(pixels.sizeInBytes())
    for band in range(4):
        block = QgsRasterBlock(Qgis.DataType.Byte, piece.width, piece.height)
        block.setData(QByteArray(data[band::4]))
        if not provider.writeBlock(block, band + 1, piece.col, piece.row):
            raise LayerError(f"{output}: cannot be written; make room, or choose another place")
    return piece.width * piece.height - data[3::4].count(0)


def put_in_place(finished: Path, output: Path) -> None:
    """Give a finished file its name.

    Raises:
        LayerError: it cannot have it, as where QGIS holds a file of that name open on Windows.
    """
    try:
        finished.replace(output)
    except OSError as error:
        raise LayerError(f"{output}: cannot be written ({error.strerror}); choose another name") from error


def remove(temporary: Path) -> None:
    """Remove what is left of an unfinished raster."""
    for path in (temporary, temporary.with_name(f"{temporary.name}.aux.xml")):
        with suppress(OSError):
            path.unlink()
