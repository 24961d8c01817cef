"""AlignedView: raster files of any CRS, resolution and rotation as they show on one grid."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from geopix2pix.averages import averaged
from geopix2pix.damage import Damage
from geopix2pix.errors import SceneError
from geopix2pix.gdal import MAX_PIXELS
from geopix2pix.geogrid import Bounds, GeoGrid
from geopix2pix.grid import Window
from geopix2pix.ground import Floats, full_turn
from geopix2pix.kernel import Kernel, rounded
from geopix2pix.openfiles import OpenFiles, doubts_told_once
from geopix2pix.raster import Patch
from geopix2pix.remote import Source
from geopix2pix.sourcefile import SourceFile, check_agreement
from geopix2pix.view import View
from geopix2pix.warp import needed, warped

SHOWN_AT_ONCE = 2**20  # pixels of the grid, ...
READ_AT_ONCE = 2**22  # ... and of a file, for which memory is needed at one time


class AlignedView(View):
    """Several files on one grid: of those that are valid at a pixel, the first in their order shows.

    A pixel that is valid in none shows what the nearest file, by bounds, is filled with. Files of which two or more
    pixels lie in one of the grid are reduced to means of whole pixels first, unless the kernel is `nearest`. For one
    thread at a time.
    """

    def __init__(
        self,
        paths: Sequence[Source],
        grid: GeoGrid,
        *,
        kernel: Kernel,
        bands: Sequence[int] | None = None,
        expand_colors: bool = False,
        max_pixels: int = MAX_PIXELS,
        damage: Damage | None = None,
    ) -> None:
        """Read the headers of the files; `bands` and all that follow are those of `RasterReader`.

        Raises:
            RasterError: a file cannot be opened.
            SceneError: a file does not tell where it lies or cannot be shown in the CRS of the grid; it has other bands
                or another data type than the first; its pixels are far smaller than those of the grid.
        """
        if not paths:
            raise SceneError("at least one raster file is needed, none was given")
        self._grid, self._kernel = grid, kernel
        self._open = OpenFiles(bands=bands, expand_colors=expand_colors, max_pixels=max_pixels, damage=damage)
        try:
            with doubts_told_once():
                self._files = [SourceFile.of(self._open.reader(path), grid, kernel) for path in paths]
            check_agreement(self._files)
        except BaseException:
            self.close()
            raise
        self._bounds = np.array([file.bounds for file in self._files])
        self._turn = full_turn(grid.crs)

    @property
    def names(self) -> tuple[str, ...]:
        return self._files[0].names

    @property
    def dtype(self) -> str:
        return self._files[0].dtype

    def read(self, window: Window) -> Patch:
        """What a window shows, filled where it is not valid.

        Raises:
            RasterError: a file is truncated or damaged there, or was changed since the view was made.
        """
        data = np.zeros((len(self.names), window.height, window.width), self.dtype)
        valid = np.zeros((window.height, window.width), bool)
        shown: dict[int, tuple[Window, Patch]] = {}
        for number in self._touching(window):
            part = self._part(number, window)
            patch = self._shown(self._files[number], part)
            shown[number] = part, patch
            rows, cols = part.shifted(-window.col, -window.row).slices
            fresh = patch.valid & ~valid[rows, cols]
            np.copyto(data[:, rows, cols], patch.data, where=fresh)
            valid[rows, cols] |= fresh
            if valid.all():
                return Patch(data, valid)
        nearest = np.where(valid, -1, self._nearest(window))
        for number in np.unique(nearest[~valid]).tolist():
            down, across = np.nonzero(nearest == number)
            hole = _around(down, across).shifted(window.col, window.row)
            if number not in shown or hole.intersection(shown[number][0]) != hole:
                shown[number] = hole, self._shown(self._files[number], hole)
            part, patch = shown[number]
            data[:, down, across] = patch.data[:, down + window.row - part.row, across + window.col - part.col]
        return Patch(data, valid)

    def covers(self, window: Window) -> bool:
        return len(self._touching(window)) > 0

    def origins(self, window: Window) -> tuple[str, ...]:
        return tuple(self._files[number].path.name for number in self._touching(window))

    def identity(self) -> dict[str, Any]:
        """What tells this state of the files and this way to show them from others; JSON values."""
        files = [file.identity for file in self._files]
        return {"files": files, "grid": self._grid.to_json(), "kernel": self._kernel, "names": list(self.names)}

    def extents(self) -> list[Bounds]:
        return [file.bounds for file in self._files]

    def close(self) -> None:
        self._open.close()

    def _shown(self, file: SourceFile, window: Window) -> Patch:
        """What one file shows, in as many pieces as memory asks for: pixels are the same in all of them."""
        many = window.width * window.height
        if many > SHOWN_AT_ONCE:
            return self._in_halves(file, window)
        place = file.grid.crs, file.grid.transform
        there = needed(self._grid, window, *place, self._kernel, extent=file.extent)
        if there.width * there.height > READ_AT_ONCE and many > 1:
            return self._in_halves(file, window)
        patch = warped(self._read(file, there), *place, self._grid, window, self._kernel, at=(there.col, there.row))
        data = patch.data if file.factors == (1, 1) else rounded(patch.data, self.dtype)
        return Patch(data, patch.valid)

    def _in_halves(self, file: SourceFile, window: Window) -> Patch:
        if window.width >= window.height:
            axis, first = -1, window._replace(width=window.width // 2)
            second = window._replace(col=first.right, width=window.right - first.right)
        else:
            axis, first = -2, window._replace(height=window.height // 2)
            second = window._replace(row=first.bottom, height=window.bottom - first.bottom)
        halves = [self._shown(file, half) for half in (first, second)]
        return Patch(*(np.concatenate(parts, axis=axis) for parts in zip(*halves, strict=True)))

    def _read(self, file: SourceFile, there: Window) -> Patch:
        if there.is_empty:
            return Patch(np.zeros((len(self.names), 0, 0), self.dtype), np.zeros((0, 0), bool))
        reader = self._open.reader(file.path)
        return reader.read(there) if file.factors == (1, 1) else averaged(reader, there, file.factors)

    def _touching(self, window: Window) -> list[int]:
        """The files whose bounds the window meets, in their order."""
        left, bottom, right, top = self._grid.bounds(window)
        across, down = _gaps(self._bounds, (left + right) / 2, (bottom + top) / 2, self._turn)
        meets = (across < (right - left) / 2) & (down < (top - bottom) / 2)
        return [int(number) for number in np.flatnonzero(meets)]

    def _part(self, number: int, window: Window) -> Window:
        """The part of a window that lies within the bounds of a file."""
        left, bottom, right, top = self._files[number].bounds
        if self._turn is not None:
            west, _, east, _ = self._grid.bounds(window)
            turns = self._turn * round((west + east - left - right) / 2 / self._turn)
            left, right = left + turns, right + turns
        return self._grid.window((left, bottom, right, top)).intersection(window)

    def _nearest(self, window: Window) -> npt.NDArray[np.intp]:
        """For each pixel the file whose bounds are nearest, the first of several; shape (rows, cols)."""
        left, bottom, right, top = self._grid.bounds(window)
        from_middle = np.hypot(*_gaps(self._bounds, (left + right) / 2, (bottom + top) / 2, self._turn))
        possible = np.flatnonzero(from_middle <= from_middle.min() + math.hypot(right - left, top - bottom))
        cols, rows = window.col + np.arange(window.width) + 0.5, window.row + np.arange(window.height) + 0.5
        xs, ys = self._grid.places(cols, rows[:, None])
        nearest, least = np.zeros(xs.shape, np.intp), np.full(xs.shape, np.inf)
        for number in possible:
            gap = np.hypot(*_gaps(self._bounds[number], xs, ys, self._turn))
            nearest = np.where(gap < least, number, nearest)
            least = np.minimum(gap, least)
        return nearest


def _around(rows: npt.NDArray[np.intp], cols: npt.NDArray[np.intp]) -> Window:
    """The smallest window around pixels."""
    left, top = int(cols.min()), int(rows.min())
    return Window(left, top, int(cols.max()) + 1 - left, int(rows.max()) + 1 - top)


def _gaps(bounds: Floats, xs: Any, ys: Any, turn: float | None) -> tuple[Floats, Floats]:
    """How far points lie beside and above or below bounds, shape (4,) or (files, 4), by the shorter way round."""
    left, bottom, right, top = bounds.T
    beside = xs - (left + right) / 2
    if turn is not None:
        beside = beside - turn * np.rint(beside / turn)
    above = np.abs(ys - (bottom + top) / 2) - (top - bottom) / 2
    return np.maximum(np.abs(beside) - (right - left) / 2, 0), np.maximum(above, 0)
