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
from rasterio.warp import transform as transformed

from geopix2pix.errors import SceneError
from geopix2pix.gdal import environment, reason
from geopix2pix.geogrid import GeoGrid
from geopix2pix.grid import Window
from geopix2pix.ground import full_turn, name
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
    cols, rows = _places(grid, window, crs, transform, extent)
    known = np.isfinite(cols)
    if not known.any():
        return Window(0, 0, 0, 0)
    if (shift := _whole_shift(cols, rows, window)) is not None:
        return window.shifted(*shift)
    stretches = _stretches(grid, window, crs, transform) if kernel != "nearest" else (np.ones(1),) * 2
    margins = [math.ceil(reach(kernel, stretch.max())) for stretch in stretches]
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
    cols, rows = _places(grid, window, crs, transform, part)
    known = np.isfinite(cols)
    if part.is_empty or not known.any():
        return Patch(np.zeros((len(patch.data), *known.shape), patch.data.dtype), np.zeros(known.shape, bool))
    shift = _whole_shift(cols, rows, window)
    if shift is not None and (seen := window.shifted(*shift)).intersection(part) == seen:
        down, across = seen.shifted(-part.col, -part.row).slices
        return Patch(patch.data[:, down, across], patch.valid[down, across])
    cols, rows = np.where(known, cols - part.col, 0.0), np.where(known, rows - part.row, 0.0)
    inside = known & (cols >= 0) & (cols < width) & (rows >= 0) & (rows < height)
    valid = inside & nearest(patch.valid, cols, rows)
    if kernel == "nearest":
        data = nearest(patch.data, cols, rows)
    else:
        wide, high = _stretches(grid, window, crs, transform)
        data = mixed(patch.data, cols, rows, kernel, wide=wide, high=high)
    data[:, ~known] = 0
    return Patch(data, valid)


def _places(grid: GeoGrid, window: Window, crs: CRS, transform: Affine, extent: Window | None) -> tuple[Floats, Floats]:
    """Columns and rows of another grid where the middles of a window's pixels lie, NaN for no place: (rows, cols) each.

    The middle of that grid's first pixel is at (0.5, 0.5).
    """
    xs, ys = (values[:-1, :-1] for values in _coordinates(grid, window, crs))
    if extent is not None and (turn := full_turn(crs)) is not None:
        middle, _ = transform * (extent.col + extent.width / 2, extent.row + extent.height / 2)
        xs = xs - turn * np.floor((xs - middle) / turn + 0.5)
    inverse = ~transform
    cols = inverse.a * xs + inverse.b * ys + inverse.c
    rows = inverse.d * xs + inverse.e * ys + inverse.f
    return _snapped(cols), _snapped(rows)


def _stretches(grid: GeoGrid, window: Window, crs: CRS, transform: Affine) -> tuple[Floats, Floats]:
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


def _snapped(places: Floats) -> Floats:
    return np.rint(places * STEPS) / STEPS


@lru_cache(maxsize=2)
def _coordinates(grid: GeoGrid, window: Window, crs: CRS) -> tuple[Floats, Floats]:
    """The x and y in `crs` of the middles of a window's pixels and of one more column and row; NaN where there is none.

    Kept for the next calls, which ask for the same: `needed` before `warped`, other scenes in the same CRS.
    """
    cols = window.col + np.arange(window.width + 1) + 0.5
    rows = (window.row + np.arange(window.height + 1) + 0.5)[:, None]
    a, b, c, d, e, f = grid.transform[:6]
    xs, ys = a * cols + b * rows + c, d * cols + e * rows + f
    if grid.crs != crs:
        turn = full_turn(grid.crs)
        on_earth = np.isfinite(xs) if turn is None or not grid.crs.is_geographic else np.abs(ys) <= turn / 4
        _check_operation(grid.crs, crs)
        with environment():
            xs[on_earth], ys[on_earth] = _transformed(grid.crs, crs, xs[on_earth].tolist(), ys[on_earth].tolist())
        nowhere = ~(on_earth & np.isfinite(xs) & np.isfinite(ys))
        xs[nowhere], ys[nowhere] = np.nan, np.nan
    xs.flags.writeable = ys.flags.writeable = False
    return xs, ys


def _transformed(source: CRS, target: CRS, xs: list[float], ys: list[float]) -> Floats:
    """The points in another CRS, shape (2, points); NaN for those outside its domain, of which GDAL refuses the lot."""
    if not xs:
        return np.empty((2, 0))
    try:
        return np.array(transformed(source, target, xs, ys))
    except Exception:
        if len(xs) == 1:
            return np.full((2, 1), np.nan)
    half = len(xs) // 2
    parts = [_transformed(source, target, xs[part], ys[part]) for part in (slice(half), slice(half, None))]
    return np.concatenate(parts, axis=1)


@lru_cache
def _check_operation(source: CRS, target: CRS) -> None:
    try:
        with environment():
            transformed(source, target, [], [])
    except Exception as error:
        raise SceneError(
            f"what is in the CRS {name(source)} cannot be shown in {name(target)}: no operation leads from one to the "
            f"other ({reason(error)}); correct the CRS of the scene or name another for the grid"
        ) from error


def _whole_shift(cols: Floats, rows: Floats, window: Window) -> tuple[int, int] | None:
    """How many whole columns and rows the window lies elsewhere in the other grid, if the pixels are the same."""
    right = cols - 0.5 - np.arange(window.col, window.right)
    down = rows - 0.5 - np.arange(window.row, window.bottom)[:, None]
    col, row = float(right[0, 0]), float(down[0, 0])
    same = col.is_integer() and row.is_integer() and (right == col).all() and (down == row).all()
    return (int(col), int(row)) if same else None
