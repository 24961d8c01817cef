"""How visible the seams of a mosaic are: the same pixels translated under several grids, and compared.

A mosaic is seamless when moving the grid changes nothing (Niemitalo et al. 2025, arXiv 2502.12300). Three measures say
how far a model is from that; a mosaic of windows put side by side without any overlap is measured beside it, to show
what the figures mean.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from geopix2pix.blend import Blender
from geopix2pix.engine import Engine
from geopix2pix.errors import SceneError
from geopix2pix.grid import Window, WindowGrid, alignment
from geopix2pix.mosaic import PatchSource, pieces
from geopix2pix.normalize import Scaling
from geopix2pix.progress import Event, Progress, silent
from geopix2pix.raster import Patch

BLOCK = 64  # pixels along a seam that are resampled together: neighbouring pixels of a map are far from independent
RESAMPLES = 1000
# A seam is called invisible below these. A tenth of a grey level cannot be seen; half a percent of the pixels is what
# class boundaries lose to any disturbance; 8 of 255 levels is about the smallest step that the eye finds in flat areas.
MAX_EXCESS, MAX_DIFFERENCE, MAX_CHANGED = 0.1, 8.0, 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """What moving the grid changes. Grey levels are those of an 8-bit picture."""

    gradient_excess: float
    """Mean gradient in the feather bands (grey levels per pixel) with a seam there, minus that without one."""
    gradient_interval: tuple[float, float]
    """95 % interval of it, by a bootstrap over blocks of 64 pixels along the seams."""
    difference: float
    """99.9th percentile of the absolute difference between the two grids, in grey levels."""
    changed: float | None
    """Share of pixels whose class changes; None for a model without classes."""

    @property
    def passed(self) -> dict[str, bool]:
        low, high = self.gradient_interval
        return {
            "gradient": low <= 0 <= high or self.gradient_excess < MAX_EXCESS,
            "difference": self.difference <= MAX_DIFFERENCE,
            "changed": self.changed is None or self.changed <= MAX_CHANGED,
        }


class _Area:
    """A part of a scene as if it were the whole, except that its surroundings stay what they are."""

    def __init__(self, source: PatchSource, area: Window) -> None:
        self._source, self._area = source, area

    def read(self, window: Window) -> Patch:
        return self._source.read(window.shifted(self._area.col, self._area.row))


class _Mosaic(NamedTuple):
    """A scene, translated whole under one grid."""

    grid: WindowGrid
    values: npt.NDArray[np.float32]
    valid: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Mosaics:
    """The mosaics of one scene under several grids."""

    source: PatchSource
    engine: Engine
    scaling: Scaling
    batch: int
    progress: Progress

    def under(self, grid: WindowGrid) -> _Mosaic:
        channels, total = self.engine.manifest.generator.out_channels, grid.columns * grid.rows
        values = np.zeros((channels, grid.height, grid.width), np.float32)
        valid = np.zeros((grid.height, grid.width), bool)
        found = pieces(self.source, self.engine.predict, self.scaling, Blender(grid, channels), self.batch)
        for done, piece in enumerate(found, 1):
            rows, cols = piece.window.slices
            values[:, rows, cols], valid[rows, cols] = piece.values, piece.valid
            self.progress(Event("seams", done, total, "windows"))
        return _Mosaic(grid, values, valid)


def measured_seams(
    source: PatchSource,
    engine: Engine,
    scaling: Scaling,
    grid: WindowGrid,
    *,
    batch: int = 1,
    side: int = 2048,
    progress: Progress = silent,
) -> dict[str, Any]:
    """The seam measures of `grid` over a scene, ready for JSON, beside those of windows without overlap.

    The middle of the scene is measured, at most `side` pixels square, under six grids. Shifts of the grid by a
    multiple of the generator's total stride and by half a stride more are reported apart.

    Raises:
        SceneError: no seam lies in the scene, or windows leave the grid no room to move.
    """
    area = _middle(grid, side)
    stride = alignment(grid.window, engine.manifest.total_stride)
    half = grid.step // 2 // stride * stride
    if half == 0:
        raise SceneError(
            f"a seam report needs room to move the grid by {stride} pixels, but windows of {grid.window} with overlap "
            f"{grid.overlap} are {grid.step} apart; give a larger --window or a smaller --overlap"
        )
    shifts = {"by_stride": half, "by_less": half + stride // 2}
    margins = {"blended": (grid.crop, grid.feather), "hard": (0, 0)}
    mosaics = _Mosaics(_Area(source, area), engine, scaling, batch, progress)
    whole = (grid.whole or grid.scene).shifted(-area.col, -area.row)
    report: dict[str, Any] = {
        "area": area._asdict(),
        "window": grid.window,
        "overlap": grid.overlap,
        "total_stride": engine.manifest.total_stride,
        "shift": shifts,
        "limits": {"gradient_excess": MAX_EXCESS, "difference": MAX_DIFFERENCE, "changed": MAX_CHANGED},
    }
    for kind, (crop, feather) in margins.items():
        # Windows lie where they do in a translation, but end a crop outside of the scene: its border, which may look
        # otherwise under another grid, is no seam.
        placed = replace(
            _moved(grid, crop),
            width=area.width,
            height=area.height,
            whole=whole.padded(crop),
            crop=crop,
            feather=feather,
        )
        still = mosaics.under(placed)
        for by, shift in shifts.items():
            found = measure(still, mosaics.under(_moved(placed, shift)), engine)
            report[f"{kind}_{by}"] = {**asdict(found), "passed": found.passed}
    return report


def _moved(grid: WindowGrid, pixels: int) -> WindowGrid:
    return replace(grid, offset=(grid.offset[0] + pixels, grid.offset[1] + pixels))


def _middle(grid: WindowGrid, side: int) -> Window:
    width, height = min(grid.width, side), min(grid.height, side)
    if max(width, height) <= grid.window:
        raise SceneError(
            f"a seam report was asked for a scene of {grid.width} x {grid.height} pixels, but seams lie only in scenes "
            f"larger than a window of {grid.window}; give a smaller --window or a larger scene"
        )
    return Window((grid.width - width) // 2, (grid.height - height) // 2, width, height)


def measure(seamed: _Mosaic, moved: _Mosaic, engine: Engine) -> Measures:
    """The measures of one mosaic against the same pixels under a moved grid."""
    palette = engine.manifest.target.palette
    first, second = (levels(mosaic.values, palette.display if palette else None) for mosaic in (seamed, moved))
    excess = np.array(list(_block_excesses(first, second, seamed.valid, seamed.grid)))
    if excess.size == 0:
        raise SceneError("a seam report was asked for a scene without a valid pixel at any seam; give another scene")
    draws = np.random.default_rng(0).integers(0, excess.size, (RESAMPLES, excess.size))
    low, high = np.percentile(excess[draws].mean(axis=1), (2.5, 97.5))
    differences = np.abs(first - second).max(axis=0)[seamed.valid]
    changed = (seamed.values.argmax(axis=0) != moved.values.argmax(axis=0))[seamed.valid]
    return Measures(
        gradient_excess=float(excess.mean()),
        gradient_interval=(float(low), float(high)),
        difference=float(np.percentile(differences, 99.9)),
        changed=float(changed.mean()) if palette else None,
    )


def levels(values: npt.NDArray[np.float32], colors: npt.NDArray[np.uint8] | None) -> npt.NDArray[np.float32]:
    """The picture before any rounding, in grey levels: probabilities times colours, or [-1, 1] on 0 to 255."""
    levels: npt.NDArray[np.float32] = (
        (values + 1) * np.float32(127.5)
        if colors is None
        else np.einsum("krc,kb->brc", values, colors.astype(np.float32))
    )
    return levels


def _block_excesses(
    seamed: npt.NDArray[np.float32], moved: npt.NDArray[np.float32], valid: npt.NDArray[np.bool_], grid: WindowGrid
) -> Iterator[float]:
    """Mean excess of the gradient across each block of 64 pixels of each seam, first upright seams, then level ones."""
    for transposed in (False, True):
        axes = (0, 2, 1) if transposed else (0, 1, 2)
        gradients = [np.abs(np.diff(picture.transpose(axes), axis=2)).mean(axis=0) for picture in (seamed, moved)]
        known = valid.T if transposed else valid
        both = known[:, 1:] & known[:, :-1]
        excess = gradients[0] - gradients[1]
        for band in _bands(grid, int(transposed)):
            for start in range(0, excess.shape[0], BLOCK):
                block = slice(start, start + BLOCK)
                if both[block, band].any():
                    yield float(excess[block, band][both[block, band]].mean())


def _bands(grid: WindowGrid, axis: int) -> Iterator[slice]:
    """For each seam on axis 0 (columns) or 1 (rows) the differences of neighbouring pixels that touch its band."""
    for index in range(1, (grid.columns, grid.rows)[axis]):
        begin = grid.window_at(*((0, index) if axis else (index, 0)))[axis] + grid.crop
        yield slice(max(begin - 1, 0), begin + grid.feather)
