"""AlignedView: raster files of any CRS, resolution and rotation as they show on one grid."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from affine import Affine

from geopix2pix.averages import averaged
from geopix2pix.errors import SceneError
from geopix2pix.gdal import MAX_PIXELS
from geopix2pix.geogrid import Bounds, GeoGrid
from geopix2pix.grid import Window
from geopix2pix.ground import Floats, full_turn, points_in
from geopix2pix.kernel import Kernel, rounded
from geopix2pix.openfiles import OpenFiles, doubts_told_once
from geopix2pix.raster import Patch
from geopix2pix.view import View
from geopix2pix.warp import needed, stretches, warped

MAX_FINER = 2048  # columns or rows of a file in one pixel of the grid: all of these are read at once for their mean
SHOWN_AT_ONCE = 2**20  # pixels of the grid, ...
READ_AT_ONCE = 2**22  # ... and of a file, for which memory is needed at one time
ROUNDING = 1e-3  # so that twice as fine is twice as fine, however the resolutions were computed


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """One of the files, as its header describes it."""

    path: Path
    grid: GeoGrid
    """Its pixels, or the means of them that are shown."""
    extent: Window
    """In these pixels."""
    factors: tuple[int, int]
    """Columns and rows of the file in one of these pixels."""
    bounds: Bounds
    """In the CRS of the view."""
    names: tuple[str, ...]
    dtype: str
    identity: dict[str, Any]


class AlignedView(View):
    """Several files on one grid: of those that are valid at a pixel, the first in their order shows.

    A pixel that is valid in none shows what the nearest file, by bounds, is filled with. Files with at least two pixels
    in one of the grid are reduced to means of whole pixels first, unless the kernel is `nearest`. For
    one thread at a time.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        grid: GeoGrid,
        *,
        kernel: Kernel,
        bands: Sequence[int] | None = None,
        expand_colors: bool = False,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        """Read the headers of the files; `bands`, `expand_colors` and `max_pixels` are those of `RasterReader`.

        Raises:
            RasterError: a file cannot be opened.
            SceneError: a file does not tell where it lies or cannot be shown in the CRS of the grid; it has other bands
                or another data type than the first; its pixels are far smaller than those of the grid.
        """
        if not paths:
            raise SceneError("at least one raster file is needed, none was given")
        self._grid, self._kernel = grid, kernel
        self._open = OpenFiles(bands=bands, expand_colors=expand_colors, max_pixels=max_pixels)
        try:
            with doubts_told_once():
                self._files = [self._described(Path(path)) for path in paths]
            self._check_bands()
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
        shown: dict[int, Patch] = {}
        for number in self._touching(window):
            shown[number] = self._shown(self._files[number], window)
            fresh = shown[number].valid & ~valid
            data[:, fresh] = shown[number].data[:, fresh]
            valid |= fresh
            if valid.all():
                return Patch(data, valid)
        nearest = self._nearest(window)
        for number in np.unique(nearest[~valid]).tolist():
            filled = shown[number] if number in shown else self._shown(self._files[number], window)
            there = ~valid & (nearest == number)
            data[:, there] = filled.data[:, there]
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

    def _described(self, path: Path) -> _File:
        reader = self._open.reader(path)
        grid, extent = GeoGrid.of(reader), reader.extent
        try:
            bounds = grid.bounds_in(self._grid.crs, extent)
            across, down = self._factors(grid, extent)
        except SceneError as error:
            raise SceneError(f"{path}: cannot be shown on the grid: {error}") from error
        return _File(
            path=path,
            grid=GeoGrid(crs=grid.crs, transform=grid.transform * Affine.scale(across, down)),
            extent=Window(0, 0, -(-extent.width // across), -(-extent.height // down)),
            factors=(across, down),
            bounds=bounds,
            names=reader.band_names,
            dtype=reader.dtype,
            identity=reader.identity(),
        )

    def _factors(self, grid: GeoGrid, extent: Window) -> tuple[int, int]:
        """How many columns and rows of a file are averaged: those in a pixel of the grid at the middle of the file."""
        middle = grid.transform * (extent.width / 2, extent.height / 2)
        xs, ys = points_in(self._grid.crs, grid.crs, *np.array(middle)[:, None])
        if self._kernel == "nearest" or np.isnan(xs[0]):
            return 1, 1
        col, row = ~self._grid.transform * (xs[0], ys[0])
        pixel = Window(math.floor(col), math.floor(row), 1, 1)
        wide, high = (float(stretch[0, 0]) for stretch in stretches(self._grid, pixel, grid.crs, grid.transform))
        if max(wide, high) >= MAX_FINER:
            raise SceneError(
                f"{wide:.0f} x {high:.0f} of its pixels lie in one of the grid, the limit is {MAX_FINER}; choose a "
                "resolution nearer to its own, or reduce it first with gdalwarp -r average"
            )
        return math.floor(wide + ROUNDING), math.floor(high + ROUNDING)

    def _check_bands(self) -> None:
        first = self._files[0]
        for file in self._files:
            if (len(file.names), file.dtype) != (len(first.names), first.dtype):
                raise SceneError(
                    f"{file.path} holds {len(file.names)} bands of {file.dtype}, {first.path} {len(first.names)} of "
                    f"{first.dtype}; files that are shown together must agree: convert one, or choose `bands`"
                )
            if file.names != first.names and set(file.names) == set(first.names):
                raise SceneError(
                    f"{file.path} holds its bands in the order {', '.join(file.names)}, {first.path} in the order "
                    f"{', '.join(first.names)}; bring them into one order"
                )

    def _shown(self, file: _File, window: Window) -> Patch:
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

    def _in_halves(self, file: _File, window: Window) -> Patch:
        if window.width >= window.height:
            axis, first = -1, window._replace(width=window.width // 2)
            second = window._replace(col=first.right, width=window.right - first.right)
        else:
            axis, first = -2, window._replace(height=window.height // 2)
            second = window._replace(row=first.bottom, height=window.bottom - first.bottom)
        halves = [self._shown(file, half) for half in (first, second)]
        return Patch(*(np.concatenate(parts, axis=axis) for parts in zip(*halves, strict=True)))

    def _read(self, file: _File, there: Window) -> Patch:
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

    def _nearest(self, window: Window) -> npt.NDArray[np.intp]:
        """For each pixel the file whose bounds are nearest, the first of several; shape (rows, cols)."""
        left, bottom, right, top = self._grid.bounds(window)
        from_middle = np.hypot(*_gaps(self._bounds, (left + right) / 2, (bottom + top) / 2, self._turn))
        possible = np.flatnonzero(from_middle <= from_middle.min() + math.hypot(right - left, top - bottom))
        cols, rows = window.col + np.arange(window.width) + 0.5, window.row + np.arange(window.height) + 0.5
        xs, ys = self._grid.places(cols, rows[:, None])
        nearest, least = (
            np.zeros((window.height, window.width), np.intp),
            np.full((window.height, window.width), np.inf),
        )
        for number in possible:
            gap = np.hypot(*_gaps(self._bounds[number], xs, ys, self._turn))
            nearest = np.where(gap < least, number, nearest)
            least = np.minimum(gap, least)
        return nearest


def _gaps(bounds: Floats, xs: Any, ys: Any, turn: float | None) -> tuple[Floats, Floats]:
    """How far points lie beside and above or below bounds, shape (4,) or (files, 4), by the shorter way round."""
    left, bottom, right, top = bounds.T
    beside = xs - (left + right) / 2
    if turn is not None:
        beside = beside - turn * np.rint(beside / turn)
    above = np.abs(ys - (bottom + top) / 2) - (top - bottom) / 2
    return np.maximum(np.abs(beside) - (right - left) / 2, 0), np.maximum(above, 0)
