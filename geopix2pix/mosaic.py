"""The only loop over windows: patches in, finished rectangles of blended values out."""

from collections.abc import Callable, Generator, Iterator
from itertools import groupby, islice
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from geopix2pix.blend import Blender
from geopix2pix.grid import Window, WindowGrid
from geopix2pix.normalize import Scaling
from geopix2pix.patches import joined
from geopix2pix.pipeline import ahead
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
    seen: Window
    scaled: npt.NDArray[np.float32] | None
    """In [-1, 1], shape (bands, rows, cols); None without a valid pixel."""
    valid: npt.NDArray[np.bool_]


def pieces(
    source: PatchSource, predict: Predict, scaling: Scaling, blender: Blender, batch: int, first_row: int = 0
) -> Generator[Piece, None, None]:
    """The mosaic of all windows of the blender's grid from window row `first_row` on, in row-major order.

    Windows without a valid pixel are not computed. The next batch is read and scaled in a thread while this one is
    computed. The result does not depend on `batch` if that of `predict` does not.
    """
    grid = blender.grid
    for reads in ahead(_batches(source, scaling, grid, batch, first_row)):
        computed = [read.scaled[None] for read in reads if read.scaled is not None]
        outputs = (values for _, alike in groupby(computed, np.shape) for values in predict(joined(list(alike))))
        for column, row, seen, scaled, valid in reads:
            whole = grid.window_at(column, row)
            window, values = blender.add(column, row, None if scaled is None else _placed(next(outputs), seen, whole))
            yield Piece(column, row, window, values, valid[window.shifted(-seen.col, -seen.row).slices])


def _batches(
    source: PatchSource, scaling: Scaling, grid: WindowGrid, batch: int, first_row: int
) -> Iterator[list[_Read]]:
    places = ((column, row) for row in range(first_row, grid.rows) for column in range(grid.columns))
    while several := list(islice(places, batch)):
        reads = []
        for column, row in several:
            seen = grid.seen_at(column, row)
            data, valid = source.read(seen)
            reads.append(_Read(column, row, seen, scaling.forward(data) if valid.any() else None, valid))
        yield reads


def _placed(values: npt.NDArray[np.float32], seen: Window, whole: Window) -> npt.NDArray[np.float32]:
    """Values of the part of a window that was computed, in the whole of it; the rest lies outside of the scene."""
    if seen == whole:
        return values
    placed = np.zeros((len(values), whole.height, whole.width), values.dtype)
    rows, cols = seen.shifted(-whole.col, -whole.row).slices
    placed[:, rows, cols] = values
    return placed
