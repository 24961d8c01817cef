"""PixelGrid: the square, north-up pixels that a map is drawn on."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from qgis.core import QgsCoordinateReferenceSystem, QgsRasterLayer, QgsRectangle

from .errors import LayerError

TOLERANCE = 0.01  # of a pixel, by which sides that differ may misplace the last one


class Piece(NamedTuple):
    """A rectangle of a grid, in pixels from its upper left corner."""

    col: int
    row: int
    width: int
    height: int

    def intersection(self, other: Piece) -> Piece:
        """What both cover; without width or height where they lie apart."""
        left, top = max(self.col, other.col), max(self.row, other.row)
        right = min(self.col + self.width, other.col + other.width)
        bottom = min(self.row + self.height, other.row + other.height)
        return Piece(left, top, max(0, right - left), max(0, bottom - top))


class PixelGrid(NamedTuple):
    """A finite grid; QGIS draws square pixels only, so that one number tells their size."""

    crs: QgsCoordinateReferenceSystem
    left: float
    top: float
    resolution: float
    """Side of a pixel in units of the CRS."""
    width: int
    height: int

    @classmethod
    def of(cls, layer: QgsRasterLayer) -> PixelGrid:
        """The pixels of a raster layer.

        Pixels that are not square are divided to squares of their shorter side. A rotated raster has the north-up
        pixels that QGIS shows it on.

        Raises:
            LayerError: the layer is broken, has no CRS or no pixels of its own.
        """
        if not layer.isValid() or not layer.width() or not layer.height():
            raise LayerError(f"{layer.name()}: has no pixels of its own; choose a raster layer that comes from a file")
        if not layer.crs().isValid():
            raise LayerError(f"{layer.name()}: has no reference system; set it in the layer's properties")
        extent = layer.extent()
        across, down = extent.width() / layer.width(), extent.height() / layer.height()
        if abs(across - down) * max(layer.width(), layer.height()) <= TOLERANCE * across:
            return cls(layer.crs(), extent.xMinimum(), extent.yMaximum(), across, layer.width(), layer.height())
        return cls.covering(extent, layer.crs(), min(across, down))

    @classmethod
    def covering(cls, extent: QgsRectangle, crs: QgsCoordinateReferenceSystem, resolution: float) -> PixelGrid:
        """The pixels of a resolution, counted from the upper left corner of an extent, that cover it.

        Raises:
            LayerError: the extent has no area, or the resolution is none.
        """
        if not (math.isfinite(resolution) and resolution > 0):
            raise LayerError(f"a resolution of {resolution:g}: give the side of a pixel in units of {crs.authid()}")
        if extent.isEmpty() or not extent.isFinite():
            raise LayerError(f"the extent {extent.toString(6)} has no area; choose another one")
        # A hundredth of a pixel more is no pixel: extents are typed, and divided by decimal fractions.
        width, height = (max(1, math.ceil(side / resolution - TOLERANCE)) for side in (extent.width(), extent.height()))
        return cls(crs, extent.xMinimum(), extent.yMaximum(), resolution, width, height)

    @property
    def pixels(self) -> int:
        return self.width * self.height

    @property
    def whole(self) -> Piece:
        return Piece(0, 0, self.width, self.height)

    def extent(self, piece: Piece) -> QgsRectangle:
        """The ground that a piece covers, in the grid's CRS."""
        left = self.left + piece.col * self.resolution
        top = self.top - piece.row * self.resolution
        right = self.left + (piece.col + piece.width) * self.resolution
        bottom = self.top - (piece.row + piece.height) * self.resolution
        return QgsRectangle(left, bottom, right, top)

    def inside(self, extent: QgsRectangle) -> Piece:
        """The whole pixels that lie in an extent, which may reach beyond the grid."""
        left = math.ceil((extent.xMinimum() - self.left) / self.resolution - TOLERANCE)
        right = math.floor((extent.xMaximum() - self.left) / self.resolution + TOLERANCE)
        top = math.ceil((self.top - extent.yMaximum()) / self.resolution - TOLERANCE)
        bottom = math.floor((self.top - extent.yMinimum()) / self.resolution + TOLERANCE)
        return Piece(left, top, max(0, right - left), max(0, bottom - top))

    def pieces(self, side: int) -> Iterator[Piece]:
        """Rectangles of at most `side` pixels each way that cover every pixel once, row by row."""
        for row in range(0, self.height, side):
            for col in range(0, self.width, side):
                yield Piece(col, row, min(side, self.width - col), min(side, self.height - row))
