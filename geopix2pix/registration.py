"""How far a map lies beside its image: two pictures of one place that share edges, but no values.

At every pixel only the direction of the edge counts, as in orientation correlation (Fitch, Kadyrov, Christmas and
Kittler 2002, "Orientation correlation", British Machine Vision Conference), with the angle doubled so that dark beside
light is the same as light beside dark. Agreement is summed over all offsets by Fourier transforms and divided by what
chance would give where the valid pixels overlap, in the manner of Padfield (2012, "Masked object registration in the
Fourier domain", IEEE Transactions on Image Processing 21).
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

# Chosen on real pairs: docs/decisions/008-pairs-that-fit.md
SIGMA, RADIUS = 1.4, 5  # pixels by which a picture is smoothed before its edges are sought, and how far that looks
FAINT = 0.1  # edges of this share of the mean strength count half
SPAN = 4  # offsets up to this multiple of the reach show how high agreement rises by chance
APART = 3.0  # pixels from the best offset within which agreement belongs to it
FEW = 30.0  # pixels of edges; fewer in the overlap count less, since a handful agrees by chance
MAX_VALUES = 40  # a single band of more distinct values is a grey picture, not a class raster
SLOPE, MIDDLE = 5.2, 0.45  # of the logistic curve from the lead over the second best offset to confidence
CONFIDENT = 0.5  # an offset that is less likely to be right is no offset: wrong ones are long
TOGETHER = 2.0  # pixels from the common offset within which the offset of a tile supports it


class Offset(NamedTuple):
    """Where a target lies relative to its source."""

    cols: float
    """Pixels that the target lies to the right of where it should be."""
    rows: float
    """Pixels that the target lies below where it should be."""
    confidence: float
    """The probability that the offset is right to a pixel, where every second pair does not belong together at all.

    0 where source or target show no edge, and where agreement still rises beyond the reach.
    """


UNKNOWN = Offset(0.0, 0.0, 0.0)


def offset(source: npt.NDArray[Any], target: npt.NDArray[Any], valid: Mask, *, reach: int = 16) -> Offset:
    """How far `target` lies beside `source`, to a fraction of a pixel, at most `reach` pixels along each axis.

    Both have the shape (bands, rows, cols); `target` is a picture, or a class raster of one band with at most 40
    distinct values. What `valid`, shape (rows, cols), does not mark counts on neither side. Which colours or
    class numbers a map has does not matter, nor do brightness, contrast and units of the image.
    """
    known = _eroded(valid, RADIUS)
    first, second = (_directions(_bands(side, valid), known) for side in (source, target))
    if not first.any() or not second.any():
        return UNKNOWN
    return _peak(_agreement(first, second, known, min(SPAN * reach, min(valid.shape) - 1)), reach)


def pooled(offsets: Sequence[Offset]) -> Offset:
    """The common offset of the tiles of one source: the median of each axis, weighted by confidence.

    Its confidence says how sure the tiles are that lie within two pixels of it, times their share of the weight: the
    tiles of one source are expected to agree.
    """
    found = np.array(offsets, np.float64).reshape(-1, 3)
    weights = found[:, 2]
    if not weights.any():
        return UNKNOWN
    cols, rows = (_median(found[:, axis], weights) for axis in (0, 1))
    near = np.hypot(found[:, 0] - cols, found[:, 1] - rows) <= TOGETHER
    sure = 1 - np.prod(1 - weights[near])
    return Offset(cols, rows, float(sure * weights[near].sum() / weights.sum()))


def _median(values: npt.NDArray[np.float64], weights: npt.NDArray[np.float64]) -> float:
    """The lowest value that at least half of the weight does not exceed."""
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order[int(np.searchsorted(total, total[-1] / 2))]])


def _bands(picture: npt.NDArray[Any], valid: Mask) -> Iterable[Floats]:
    """The bands whose edges count: those of a picture on a common scale, or one for each value of a class raster."""
    if picture.shape[0] == 1 and len(values := np.unique(picture[0, valid])) <= MAX_VALUES:
        yield from ((picture[0] == value).astype(np.float32) for value in values)
        return
    for band in picture.astype(np.float64):
        seen = band[valid]
        if seen.size and (deviation := seen.std()) > 0:
            yield ((band - seen.mean()) / deviation).astype(np.float32)


def _directions(bands: Iterable[Floats], known: Mask) -> npt.NDArray[Any]:
    """The directions of the edges as complex numbers of length 0 to 1 and twice the angle, shape (rows, cols).

    They are 0 where nothing is `known`.
    """
    total = np.zeros(known.shape, np.complex64)
    for band in bands:
        across = _filtered(_filtered(band, 0, derived=False), 1, derived=True)
        down = _filtered(_filtered(band, 0, derived=True), 1, derived=False)
        total[known] += (across + np.complex64(1j) * down)[known] ** 2
    strength = np.abs(total)
    faint = FAINT * strength.sum() / max(np.count_nonzero(known), 1)
    return total / (strength + faint) if faint > 0 else total


def _filtered(picture: Floats, axis: int, *, derived: bool) -> Floats:
    """A picture under a Gaussian of `SIGMA` along one axis, or under its derivative; the border is repeated."""
    steps = np.arange(-RADIUS, RADIUS + 1)
    taps = np.exp(-0.5 * (steps / SIGMA) ** 2)
    taps = taps / taps.sum() * (steps / SIGMA**2 if derived else 1)
    padded = np.pad(picture, [(RADIUS, RADIUS) if a == axis else (0, 0) for a in (0, 1)], mode="edge")
    filtered = np.zeros_like(picture)
    for first, tap in enumerate(taps.astype(np.float32)):
        part = slice(first, first + picture.shape[axis])
        filtered += tap * (padded[part] if axis == 0 else padded[:, part])
    return filtered


def _eroded(valid: Mask, radius: int) -> Mask:
    """Where all pixels up to `radius` away along both axes are valid; there are none outside."""
    inner = np.pad(valid, radius)
    for axis in (0, 1):
        inner = np.logical_and.reduce([np.roll(inner, step, axis) for step in range(-radius, radius + 1)])
    return inner[radius : inner.shape[0] - radius, radius : inner.shape[1] - radius]


def _agreement(first: npt.NDArray[Any], second: npt.NDArray[Any], known: Mask, span: int) -> Floats:
    """How well edges agree at each offset up to `span`, shape (2 span + 1, 2 span + 1), none in the middle.

    The unit is the deviation of the sum if the directions of the image had nothing to do with those of the map.
    """
    size = [side + span for side in first.shape]
    steps = np.arange(-span, span + 1)
    spectrum = np.conj(np.fft.fft2(first, size)) * np.fft.fft2(second, size)
    agreement = np.fft.ifft2(spectrum).real[np.ix_(steps, steps)]
    spectrum = np.conj(np.fft.rfft2(known.astype(np.float32), size)) * np.fft.rfft2(np.abs(second) ** 2, size)
    compared = np.fft.irfft2(spectrum, size)[np.ix_(steps, steps)]
    return np.asarray(agreement / np.sqrt(np.maximum(compared, 0) + FEW), np.float32)


def _peak(surface: Floats, reach: int) -> Offset:
    """The offset of the highest agreement within `reach`; none where agreement still rises beyond it."""
    span = len(surface) // 2
    inner = slice(max(span - reach, 1), min(span + reach, 2 * span - 1) + 1)
    rows, cols = np.ogrid[: len(surface), : len(surface)]
    within = surface[inner, inner]
    if not within.size:
        return UNKNOWN
    row, col = (int(i) + inner.start for i in np.unravel_index(within.argmax(), within.shape))
    around = surface[row - 1 : row + 2, col - 1 : col + 2]
    others = surface[np.hypot(rows - row, cols - col) > APART]
    if around.max() > around[1, 1] or not others.size or not others.any():
        return UNKNOWN
    lead = float((around[1, 1] - others.max()) / others.std())
    confidence = 1 / (1 + np.exp(-SLOPE * (lead - MIDDLE)))
    return Offset(col - span + _vertex(around[1]), row - span + _vertex(around[:, 1]), float(confidence))


def _vertex(values: Floats) -> float:
    """Where the parabola through three values at -1, 0 and 1, the middle one the highest, is highest."""
    before, at, after = (float(value) for value in values)
    bend = before - 2 * at + after
    return 0.5 * (before - after) / bend if bend < 0 else 0.0
