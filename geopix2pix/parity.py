"""Do two engines paint the same map? Compared on invented scenes of several sizes and kinds."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from geopix2pix.engine import Engine
from geopix2pix.manifest import Manifest
from geopix2pix.progress import Event, Progress, silent

MAX_STEP = 1  # levels of 255
MAX_CHANGED = 1e-4  # share of the pixels
EDGE = 0.05
"""Levels. A value this near to the edge between two levels may be rounded to either: torch itself is some thousandths
of a level off exact arithmetic (benchmarks/precision.py), so that no two programs agree on all such pixels."""
ENOUGH = 300_000  # pixels, so that a share of MAX_CHANGED is more than a few of them
SIDE = 512  # pixels, where any will do

Picture = npt.NDArray[np.float32]
Size = tuple[int, int]
Kind = Callable[[np.random.Generator, tuple[int, int, int]], Picture]


class Parity(NamedTuple):
    """How far the answers of two engines are apart."""

    pixels: int
    differing: int
    """Pixels whose class or, rounded to 255 levels, whose value in any band differs."""
    changed: int
    """Those of them that do not just lie on the edge between two levels."""
    step: int
    """The largest difference of values after rounding, in levels; 0 for classes."""
    difference: float
    """The largest difference of values before rounding, in levels: of bands, or of probabilities times 255."""

    @property
    def holds(self) -> bool:
        return self.step <= MAX_STEP and self.changed <= MAX_CHANGED * self.pixels


def parity(reference: Engine, other: Engine, window: int | None, progress: Progress = silent) -> Parity:
    """How far two engines for the same model are apart; with `window` in patches of this side alone."""
    total, random = Parity(0, 0, 0, 0, 0.0), np.random.default_rng(0)
    pictures = _pictures(reference.manifest, window)
    for done, (kind, size) in enumerate(pictures, 1):
        picture = kind(random, (reference.manifest.generator.in_bands, *size))
        found = _compared(reference.predict(picture[None])[0], other.predict(picture[None])[0], reference.manifest)
        total = Parity(
            total.pixels + found.pixels,
            total.differing + found.differing,
            total.changed + found.changed,
            max(total.step, found.step),
            max(total.difference, found.difference),
        )
        progress(Event("compare", done, len(pictures), "pictures"))
    return total


def _compared(one: Picture, two: Picture, manifest: Manifest) -> Parity:
    pixels = one[0].size
    if not (np.isfinite(one).all() and np.isfinite(two).all()):  # what is no number is equal to nothing
        return Parity(pixels, pixels, pixels, 255, math.inf)
    if manifest.generator.head == "palette":
        differing = int((one.argmax(axis=0) != two.argmax(axis=0)).sum())
        return Parity(pixels, differing, differing, 0, float(np.abs(one - two).max()) * 255)
    one, two = (one + 1) * 127.5, (two + 1) * 127.5
    steps, moved = np.abs(np.rint(one) - np.rint(two)), np.abs(one - two)
    differing, changed = (int(where.any(axis=0).sum()) for where in (steps > 0, (steps > 0) & (moved > EDGE)))
    return Parity(pixels, differing, changed, int(steps.max()), float(moved.max()))


def _pictures(manifest: Manifest, window: int | None) -> list[tuple[Kind, Size]]:
    """Every kind of picture in every size, as often as it takes to have enough pixels."""
    sizes = [(window, window)] if window else _sizes(min(manifest.total_stride, manifest.window))
    kinds: tuple[Kind, ...] = (_noise, _blocks, _ramps)
    once = [(kind, size) for kind in kinds for size in sizes]
    pixels = sum(rows * cols for _, (rows, cols) in once)
    return once * -(-ENOUGH // pixels)


def _sizes(least: int) -> list[Size]:
    """A large square, and oblongs of a few times the least side."""
    side = max(SIDE // least, 1) * least
    return [(side, side), (least, 2 * least), (3 * least, least)]


def _noise(random: np.random.Generator, shape: tuple[int, int, int]) -> Picture:
    """Every value is drawn alone."""
    return random.uniform(-1, 1, shape).astype(np.float32)


def _blocks(random: np.random.Generator, shape: tuple[int, int, int]) -> Picture:
    """Flat areas with sharp edges, like roofs and fields."""
    picture = np.empty(shape, np.float32)
    picture[:] = random.uniform(-1, 1, (shape[0], 1, 1))
    for _ in range(40):
        (top, bottom), (left, right) = (np.sort(random.integers(0, side + 1, 2)) for side in shape[1:])
        picture[:, top:bottom, left:right] = random.uniform(-1, 1, (shape[0], 1, 1))
    return picture


def _ramps(random: np.random.Generator, shape: tuple[int, int, int]) -> Picture:
    """Slopes in a direction of its own for each band, as in haze and open water."""
    rows, cols = (np.linspace(-1, 1, side, dtype=np.float32) for side in shape[1:])
    turns = random.uniform(0, 2 * np.pi, (shape[0], 1, 1))
    picture: Picture = ((np.sin(turns) * rows[:, None] + np.cos(turns) * cols) / np.sqrt(2)).astype(np.float32)
    return picture
