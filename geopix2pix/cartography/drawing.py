"""DrawnView: prepared vectors as a map picture and as classes, in any window of their grid."""

import hashlib
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import shapely

from geopix2pix.cartography.canvas import Canvas, burn
from geopix2pix.cartography.evaluation import Feature
from geopix2pix.cartography.gridshapes import around, in_pixels, pixel_sizes, scaled
from geopix2pix.cartography.paint import Ink, Pen
from geopix2pix.cartography.prepared import Prepared, Rows, near_rows
from geopix2pix.cartography.strokes import strokes
from geopix2pix.cartography.style import CANVAS, Style, StyleLayer
from geopix2pix.cartography.vectorfile import guarded
from geopix2pix.errors import VectorError
from geopix2pix.geogrid import Bounds, GeoGrid
from geopix2pix.grid import Window
from geopix2pix.palette import RGB
from geopix2pix.raster import Patch

NO_CLASS = 255
"""In class rasters: no layer with a class was drawn."""
OUTLINE = 1.0  # width in pixels of the outlines of areas
BLOCK = 512  # side in pixels of what is painted at a time

Geometries = npt.NDArray[Any]


class DrawnView:
    """What a style draws of prepared vectors: a `View` of a picture that is valid everywhere.

    Layers are painted in the order of the style, the features of a layer in that of the files. A pixel shows the same
    in whatever window it is read.
    """

    names = ("red", "green", "blue")
    dtype = "uint8"

    def __init__(self, prepared: Path, style: Style, grid: GeoGrid) -> None:
        """Open the file that `vectors.prepare` wrote for this style and grid.

        Raises:
            VectorError: it cannot be read, or was prepared for another style or grid.
        """
        about = Prepared.load(prepared)
        for what, same in (("style", about.style == style.sha256), ("grid", about.grid == grid.to_json())):
            if not same:
                raise VectorError(f"{prepared}: was prepared for another {what}; prepare the vectors anew")
        self._about, self._style, self._grid = about, style, grid
        self._seen: tuple[Window, list[_Sheet]] | None = None

    def read(self, window: Window) -> Patch:
        """The picture of a window: red, green and blue, 8 bits each, edges smoothed by 4 x 4 samples a pixel.

        Raises:
            VectorError: the file is damaged.
        """
        sheets = self._sheets(window)
        picture = np.empty((3, window.height, window.width), np.uint8)
        for row in range(0, window.height, BLOCK):
            for col in range(0, window.width, BLOCK):
                block = Window(col, row, min(BLOCK, window.width - col), min(BLOCK, window.height - row))
                rows, cols = block.slices
                picture[:, rows, cols] = _painted(sheets, block.shifted(window.col, window.row))
        return Patch(picture, np.ones((window.height, window.width), bool))

    def classes(self, window: Window) -> npt.NDArray[np.uint8]:
        """The index of the class at the middle of each pixel, shape (rows, cols), or `NO_CLASS`.

        It is that of the last layer with a class that covers the point.

        Raises:
            VectorError: the file is damaged.
        """
        raster = np.full((window.height, window.width), NO_CLASS, np.uint8)
        for sheet in self._sheets(window):
            if sheet.class_index is not None:
                burn(sheet.areas, [sheet.class_index] * len(sheet.areas), window, raster)
        return raster

    def covers(self, window: Window) -> bool:
        """Whether a window touches the bounds that the vectors were prepared for; beyond them nothing is known."""
        left, bottom, right, top = self._about.bounds
        west, south, east, north = self._grid.bounds(window)
        return west < right and east > left and south < top and north > bottom

    def origins(self, window: Window) -> tuple[str, ...]:
        """The names of the vector files: what is not in a window was looked for in all of them."""
        return self._about.files if self.covers(window) else ()

    def identity(self) -> dict[str, Any]:
        """What tells these vectors, drawn in this style, from others; JSON values."""
        digest = hashlib.sha256()
        with guarded(self._about.path, "read it"), self._about.path.open("rb") as file:
            while block := file.read(2**20):
                digest.update(block)
        return {"style": self._style.sha256, "vectors": digest.hexdigest()}

    def extents(self) -> list[Bounds]:
        """The bounds that the vectors were prepared for, in the CRS of the grid."""
        return [self._about.bounds]

    def close(self) -> None:
        """Forget what was read; no file is open between reads."""
        self._seen = None

    def _sheets(self, window: Window) -> "list[_Sheet]":
        """What covers something in a window; remembered, since picture and classes are asked for in turn."""
        if self._seen is None or self._seen[0] != window:
            reach = math.ceil(self._about.reach) + 1
            near = around(
                self._grid, window.col - reach, window.row - reach, window.right + reach, window.bottom + reach
            )
            found = near_rows(self._about.path, near)
            sheets: list[_Sheet] = []
            for index, layer in enumerate(self._style.layers):
                is_background = layer.kind == "background"
                sheets += _background(layer, window) if is_background else _drawn(layer, index, found, self._grid)
            self._seen = window, [sheet for sheet in sheets if len(sheet.areas)]
        return self._seen[1]


class _Sheet(NamedTuple):
    """Areas that are painted together, in pixels of the grid."""

    class_index: int | None
    areas: Geometries
    colors: list[RGB]
    opacities: list[float]


def _drawn(layer: StyleLayer, index: int, found: Rows, grid: GeoGrid) -> Iterator[_Sheet]:
    """What a style layer paints of the rows: areas and then their outlines, or strokes."""
    mine = found.layers == index
    inks = [ink for ink, is_mine in zip(found.inks, mine.tolist(), strict=True) if is_mine]
    shapes = in_pixels(grid, found.geometries[mine])
    areas = shapes if layer.kind == "fill" else _strokes(layer, shapes, inks, grid)
    yield _Sheet(layer.class_index, areas, [ink.color for ink in inks], [ink.opacity for ink in inks])
    outlined = [number for number, ink in enumerate(inks) if ink.outline_opacity > 0]
    if outlined:
        widths = np.full(len(outlined), OUTLINE)
        outlines = strokes(shapes[outlined], Pen(join="bevel"), widths, 0 * widths, 0 * widths)
        lined = [inks[number] for number in outlined]
        yield _Sheet(None, outlines, [ink.outline for ink in lined], [ink.outline_opacity for ink in lined])


def _strokes(layer: StyleLayer, shapes: Geometries, inks: list[Ink], grid: GeoGrid) -> Geometries:
    """What lines cover. They are widened in the units of the layer, since pixels need not be square on the ground."""
    sizes = pixel_sizes(grid, layer, shapes)
    widths, gaps, offsets = np.array([(ink.width, ink.gap, ink.offset) for ink in inks], float).reshape(-1, 3).T
    return scaled(strokes(scaled(shapes, sizes), layer.pen, widths, gaps, offsets), 1 / sizes)


def _background(layer: StyleLayer, window: Window) -> Iterator[_Sheet]:
    ink = layer.ink(Feature("", {}))
    if ink.shows:
        everywhere = shapely.box(window.col, window.row, window.right, window.bottom)
        yield _Sheet(layer.class_index, np.array([everywhere]), [ink.color], [ink.opacity])


def _painted(sheets: Sequence[_Sheet], block: Window) -> npt.NDArray[np.uint8]:
    """The picture of a window that is small enough to be painted at once."""
    canvas = Canvas(block, CANVAS)
    for sheet in sheets:
        canvas.paint(sheet.areas, sheet.colors, sheet.opacities)
    return canvas.picture()
