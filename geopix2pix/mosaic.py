"""The only loop over windows: patches in, finished rectangles of blended values out."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from geopix2pix.blend import Blender
from geopix2pix.grid import Window, WindowGrid
from geopix2pix.normalize import Scaling
from geopix2pix.raster import Patch

Predict = Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]
"""Scaled patches (n, bands, rows, cols) to values to blend (n, channels, rows, cols)."""


class PatchSource(Protocol):
    """Anything that shows a scene through windows, such as a `RasterReader`."""

    def read(self, window: Window) -> Patch: ...


class Piece(NamedTuple):
    """A rectangle of the scene that no later window touches."""

    column: int
    row: int
    window: Window
    values: npt.NDArray[np.floating]
    """Blended values, shape (channels, rows, cols); meaningless where not `valid`."""
    valid: npt.NDArray[np.bool_]
    """Shape (rows, cols), True where the scene holds data."""


class _Read(NamedTuple):
    column: int
    row: int
    patch: Patch


def pieces(
    source: PatchSource, predict: Predict, scaling: Scaling, blender: Blender, batch: int, first_row: int = 0
) -> Iterator[Piece]:
    """The mosaic of all windows of the blender's grid from window row `first_row` on, in row-major order.

    Windows without a valid pixel are not computed. The next batch is read in a thread while this one is computed. The
    result does not depend on `batch` if that of `predict` does not.
    """
    grid = blender.grid
    for reads in _batches(source, grid, batch, first_row):
        seen = [read for read in reads if read.patch.valid.any()]
        outputs = iter(predict(np.stack([scaling.forward(read.patch.data) for read in seen])) if seen else ())
        for column, row, patch in reads:
            window, values = blender.add(column, row, next(outputs) if patch.valid.any() else None)
            corner = grid.window_at(column, row)
            yield Piece(column, row, window, values, patch.valid[window.shifted(-corner.col, -corner.row).slices])


def _batches(source: PatchSource, grid: WindowGrid, batch: int, first_row: int) -> Iterator[list[_Read]]:
    places = ((column, row) for row in range(first_row, grid.rows) for column in range(grid.columns))

    def read() -> list[_Read]:
        return [_Read(*place, source.read(grid.window_at(*place))) for place in islice(places, batch)]

    with ThreadPoolExecutor(1, "geopix2pix-read") as pool:
        pending = pool.submit(read)
        while reads := pending.result():
            pending = pool.submit(read)
            yield reads
