"""Overlapping patches in, finished rectangles of their blend out."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from geopix2pix.grid import Window, WindowGrid

Carry = Sequence[npt.NDArray[Any]]


class Blender:
    """The weighted sum of the patches of a grid, handed out piece by piece as soon as it is final.

    All that it holds is the feathered band under the finished windows, across the scene, and the one beside the last
    window.
    """

    _carry: list[npt.NDArray[Any]]
    """For each column of windows the band under the last finished one; none of these arrays is ever changed."""

    def __init__(self, grid: WindowGrid, bands: int, dtype: npt.DTypeLike = np.float32) -> None:
        self.grid = grid
        self._next = 0  # place of the next window in row-major order
        support = slice(grid.crop, grid.window - grid.crop)
        self._support = (slice(None), support, support)
        self._weights = np.outer(grid.weights[support], grid.weights[support])
        self._beside = np.zeros((bands, len(self._weights), grid.feather), dtype)
        self._shapes = [(bands, grid.feather, grid.finished(column, 0).width) for column in range(grid.columns)]
        self._carry = [np.zeros(shape, dtype) for shape in self._shapes]

    @property
    def carry(self) -> Carry:
        """What the finished window rows leave for the next one: a band (bands, feather, cols) for each window column.

        Raises:
            ValueError: a window row is begun and not finished.
        """
        row, column = divmod(self._next, self.grid.columns)
        if column:
            raise ValueError(f"window row {row} is not finished: {column} of {self.grid.columns} windows were added")
        return tuple(self._carry)

    def resume(self, row: int, carry: Carry | None) -> None:
        """Go on with window row `row`, given the `carry` that the row before left; None if it left nothing.

        Raises:
            ValueError: the grid has no such row, or the carry is that of another grid.
        """
        if not 0 <= row <= self.grid.rows:
            raise ValueError(f"cannot resume at window row {row} of {self.grid.rows}")
        if carry is not None and (shapes := [band.shape for band in carry]) != self._shapes:
            raise ValueError(f"cannot resume with a carry of shapes {shapes}, expected {self._shapes}")
        self._next = row * self.grid.columns
        self._carry = [np.zeros(s, self._beside.dtype) for s in self._shapes] if carry is None else list(carry)

    def add(self, column: int, row: int, patch: npt.NDArray[Any] | None) -> tuple[Window, npt.NDArray[Any]]:
        """What becomes final with this window: its place, `grid.finished`, and values of shape (bands, rows, cols).

        `patch` has shape (bands, window, window); neither its crop nor what lies outside the scene has any influence.
        None stands for a window without a valid pixel, which adds nothing.

        Raises:
            ValueError: the windows do not come in row-major order, or the patch has another shape.
        """
        self._expect(column, row, patch)
        block = np.zeros((len(self._beside), *self._weights.shape), self._beside.dtype)
        if patch is not None:
            np.multiply(patch[self._support], self._weights, out=block)
        feather, step = self.grid.feather, self.grid.step
        if column > 0:
            block[:, :, :feather] += self._beside
        self._beside[:] = block[:, :, step:]

        finished = self.grid.finished(column, row)
        corner = self.grid.window_at(column, row).padded(-self.grid.crop)
        rows, cols = finished.shifted(-corner.col, -corner.row).slices
        block[:, :feather, cols] += self._carry[column]
        self._carry[column] = block[:, step:, cols].copy()  # no later window of this row reaches these columns
        self._next += 1
        return finished, block[:, rows, cols]

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
