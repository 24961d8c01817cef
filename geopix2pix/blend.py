"""Overlapping patches in, finished rectangles of their blend out."""

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from geopix2pix.grid import Window, WindowGrid


class Carry(Protocol):
    """What windows leave for those below them: for each the feathered band under it, shape (bands, feather, cols)."""

    def take(self, column: int, row: int) -> npt.NDArray[Any] | None:
        """What the window above this one has left; None if nothing. Windows of a row come from left to right."""

    def leave(self, column: int, row: int, band: npt.NDArray[Any]) -> None:
        """Keep what this window leaves; that of the window above it is not needed any more."""


class HeldCarry:
    """A carry in memory, as wide as the scene."""

    def __init__(self) -> None:
        self._bands: dict[int, npt.NDArray[Any]] = {}

    def take(self, column: int, row: int) -> npt.NDArray[Any] | None:
        return self._bands.get(column)

    def leave(self, column: int, row: int, band: npt.NDArray[Any]) -> None:
        self._bands[column] = band


class Blender:
    """The weighted sum of the patches of a grid, handed out piece by piece as soon as it is final.

    All that it holds itself is the feathered band beside the last window; those under the finished windows are in the
    carry, by default in memory.
    """

    def __init__(
        self, grid: WindowGrid, bands: int, dtype: npt.DTypeLike = np.float32, carry: Carry | None = None
    ) -> None:
        self.grid = grid
        self._carry = HeldCarry() if carry is None else carry
        self._next = 0  # place of the next window in row-major order
        self._beside = np.zeros((bands, grid.feather, grid.feather), dtype)

    def resume(self, row: int) -> None:
        """Go on with window row `row`, with what the carry holds of the row before.

        Raises:
            ValueError: the grid has no such row.
        """
        if not 0 <= row <= self.grid.rows:
            raise ValueError(f"cannot resume at window row {row} of {self.grid.rows}")
        self._next = row * self.grid.columns

    def add(self, column: int, row: int, patch: npt.NDArray[Any] | None) -> tuple[Window, npt.NDArray[Any]]:
        """What becomes final with this window: its place, `grid.finished`, and values of shape (bands, rows, cols).

        `patch` has shape (bands, window, window); only what lies in `grid.support` has any influence. None stands for a
        window without a valid pixel, which adds nothing.

        Raises:
            ValueError: the windows do not come in row-major order, or the patch or what was carried has another shape.
        """
        self._expect(column, row, patch)
        grid, feather = self.grid, self.grid.feather
        support, finished = grid.support(column, row), grid.finished(column, row)
        height, width = finished.height, finished.width
        block = np.zeros((len(self._beside), height + feather, width + feather), self._beside.dtype)
        if patch is not None:
            window = grid.window_at(column, row)
            rows, cols = support.shifted(-window.col, -window.row).slices
            weights = np.outer(grid.weights_at(row, 1)[rows], grid.weights_at(column, 0)[cols])
            np.multiply(patch[:, rows, cols], weights, out=block[:, : support.height, : support.width])
        if column > 0:
            block[:, :, :feather] += self._beside
        self._beside = block[:, :, width:].copy()
        below = block[:, height:, :width].copy()  # no later window of this row reaches these columns
        if (above := self._carry.take(column, row)) is not None:
            if above.shape != below.shape:
                raise ValueError(f"a band of shape {above.shape} was carried here, expected {below.shape}")
            block[:, :feather, :width] += above
        self._carry.leave(column, row, below)
        self._next += 1
        return finished, block[:, :height, :width]

    def _expect(self, column: int, row: int, patch: npt.NDArray[Any] | None) -> None:
        grid = self.grid
        wanted = divmod(self._next, grid.columns)
        if (row, column) != wanted or row >= grid.rows:
            raise ValueError(
                f"window (column {column}, row {row}) was added, but windows come in row-major order in a grid of "
                f"{grid.columns} x {grid.rows}: the next one is (column {wanted[1]}, row {wanted[0]})"
            )
        shape = (len(self._beside), grid.window, grid.window)
        if patch is not None and patch.shape != shape:
            raise ValueError(f"a patch of shape {patch.shape} was added, expected {shape}")
