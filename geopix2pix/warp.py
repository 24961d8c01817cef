"""Pictures on other grids: where a pixel of one grid lies in another, and what is seen there.

Positions are exact (every pixel's middle goes through PROJ) and those of the whole scene, never of a cut, so that a
pixel is the same in whatever window it is shown. `docs/decisions/007-one-aligned-view.md` says why GDAL does not do it.
"""

import math
from functools import lru_cache
from typing import Any

import numpy as np
from affine import Affine
from rasterio.crs import CRS

from geopix2pix.geogrid import GeoGrid
from geopix2pix.grid import Window
from geopix2pix.ground import full_turn, points_in
from geopix2pix.kernel import Floats, mixed, nearest, reach
from geopix2pix.kernel import Kernel as Kernel
from geopix2pix.raster import Patch

STEPS = 2**16
"""Positions are whole multiples of 1 / STEPS pixel: far finer than any georeference, far coarser than the rounding of
doubles, so that ties and equal grids are the same however their numbers were computed."""
SAME_SIZE = 1.05  # pixels up to this much larger than the scene's are interpolated, not averaged: it would only blur


def needed(
    grid: GeoGrid, window: Window, crs: CRS, transform: Affine, kernel: Kernel, *, extent: Window | None = None
) -> Window:
    """The pixels of another grid that `warped` needs to show a window, the kernel's margin included.

    The other grid has `crs` and `transform`. Of the places that lie whole turns round the earth apart, that next to the
    middle of `extent`, the pixels that the other scene has, is taken. The window is empty where there is no place.

    Raises:
        SceneError: no operation leads from one CRS to the other.
    """
    if (same := _same_pixels(grid, window, crs, transform, extent)) is not None:
        return same
    cols, rows = _places(*_middles(grid, window, crs), crs, transform, extent)
    known = np.isfinite(cols)
    if not known.any():
        return Window(0, 0, 0, 0)
    widths = stretches(grid, window, crs, transform) if kernel != "nearest" else (np.ones(1),) * 2
    margins = [math.ceil(reach(kernel, stretch.max())) for stretch in widths]
    (left, right), (top, bottom) = (
        (math.floor(places[known].min()) - margin, math.floor(places[known].max()) + 1 + margin)
        for places, margin in zip((cols, rows), margins, strict=True)
    )
    return Window(left, top, right - left, bottom - top)


def warped(
    patch: Patch,
    crs: CRS,
    transform: Affine,
    grid: GeoGrid,
    window: Window,
    kernel: Kernel,
    *,
    at: tuple[int, int] = (0, 0),
) -> Patch:
    """A piece of a scene as it shows in a window of `grid`.

    `transform` is that of the whole scene and `at` the scene's column and row of the piece's first pixel; so a pixel is
    the same whatever piece shows it, as long as that holds what is `needed`. It is valid where a valid pixel of the
    piece lies under its middle; elsewhere it shows what the piece is filled with, 0 where it has no place.

    Raises:
        SceneError: no operation leads from one CRS to the other.
    """
    height, width = patch.valid.shape
    part = Window(*at, width, height)
    same = _same_pixels(grid, window, crs, transform, part)
    if same is not None and same.intersection(part) == same:
        down, across = same.shifted(-part.col, -part.row).slices
        return Patch(patch.data[:, down, across], patch.valid[down, across])
    cols, rows = _places(*_middles(grid, window, crs), crs, transform, part)
    known = np.isfinite(cols)
    if part.is_empty or not known.any():
        return Patch(np.zeros((len(patch.data), *known.shape), patch.data.dtype), np.zeros(known.shape, bool))
    cols, rows = np.where(known, cols - part.col, 0.0), np.where(known, rows - part.row, 0.0)
    inside = known & (cols >= 0) & (cols < width) & (rows >= 0) & (rows < height)
    valid = inside & nearest(patch.valid, cols, rows)
    if kernel == "nearest":
        data = nearest(patch.data, cols, rows)
    else:
        wide, high = stretches(grid, window, crs, transform)
        data = mixed(patch.data, cols, rows, kernel, wide=wide, high=high)
    data[:, ~known] = 0
    return Patch(data, valid)


def stretches(grid: GeoGrid, window: Window, crs: CRS, transform: Affine) -> tuple[Floats, Floats]:
    """How many columns and rows of another grid a pixel is wide there, at least 1; shape (rows, cols) each."""
    xs, ys = _coordinates(grid, window, crs)
    inverse, turn = ~transform, full_turn(crs)
    squares: list[Any] = [0.0, 0.0]
    for beside in (np.s_[:-1, 1:], np.s_[1:, :-1]):
        x, y = xs[beside] - xs[:-1, :-1], ys[beside] - ys[:-1, :-1]
        if turn is not None:
            x = x - turn * np.rint(x / turn)
        squares[0] = squares[0] + (inverse.a * x + inverse.b * y) ** 2
        squares[1] = squares[1] + (inverse.d * x + inverse.e * y) ** 2
    wide, high = (_snapped(np.sqrt(square)) for square in squares)
    return np.where(wide > SAME_SIZE, wide, 1.0), np.where(high > SAME_SIZE, high, 1.0)


def _same_pixels(grid: GeoGrid, window: Window, crs: CRS, transform: Affine, extent: Window | None) -> Window | None:
    """The window in pixels of another grid, if they are the same pixels: if so at its corners, then in all of it."""
    if grid.crs != crs or window.is_empty:
        return None
    cols, rows = np.array([window.col, window.right - 1]), np.array([window.row, window.bottom - 1])
    xs, ys = grid.places(cols + 0.5, rows[:, None] + 0.5)
    right, down = _places(xs, ys, crs, transform, extent) - 0.5 - np.broadcast_arrays(cols, rows[:, None])
    col, row = float(right[0, 0]), float(down[0, 0])
    same = col.is_integer() and row.is_integer() and (right == col).all() and (down == row).all()
    return window.shifted(int(col), int(row)) if same else None


def _places(xs: Floats, ys: Floats, crs: CRS, transform: Affine, extent: Window | None) -> Floats:
    """Columns and rows of another grid where points with coordinates in its CRS lie, stacked; NaN for no place.

    The middle of that grid's first pixel is at (0.5, 0.5).
    """
    if extent is not None and (turn := full_turn(crs)) is not None:
        middle, _ = transform * (extent.col + extent.width / 2, extent.row + extent.height / 2)
        xs = xs - turn * np.floor((xs - middle) / turn + 0.5)
    return _snapped(np.stack(GeoGrid(crs=crs, transform=~transform).places(xs, ys)))


def _snapped(places: Floats) -> Floats:
    return np.rint(places * STEPS) / STEPS


def _middles(grid: GeoGrid, window: Window, crs: CRS) -> tuple[Floats, Floats]:
    xs, ys = _coordinates(grid, window, crs)
    return xs[:-1, :-1], ys[:-1, :-1]


@lru_cache(maxsize=2)
def _coordinates(grid: GeoGrid, window: Window, crs: CRS) -> tuple[Floats, Floats]:
    """The x and y in `crs` of the middles of a window's pixels and of one more column and row; NaN where there is none.

    Kept for the next calls, which ask for the same: `needed` before `warped`, other scenes in the same CRS.
    """
    cols = window.col + np.arange(window.width + 1) + 0.5
    rows = (window.row + np.arange(window.height + 1) + 0.5)[:, None]
    xs, ys = grid.places(cols, rows)
    xs, ys = points_in(crs, grid.crs, xs.ravel(), ys.ravel()).reshape(2, *xs.shape)
    xs.flags.writeable = ys.flags.writeable = False
    return xs, ys
