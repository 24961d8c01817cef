"""How far a map lies beside its image: the offset between two pictures of one place that share edges, not values."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Complex = npt.NDArray[np.complex64]

SIGMA = 1.2  # pixels by which edges are smoothed
EXCLUDED = 3  # pixels round the peak in which no second peak is sought


class Offset(NamedTuple):
    """Where a target lies relative to its source."""

    cols: float
    """Pixels that the target lies to the right of where it should be."""
    rows: float
    """Pixels that the target lies below where it should be."""
    confidence: float
    """From 0, nothing is known, to 1."""


UNKNOWN = Offset(0.0, 0.0, 0.0)


def offset(
    source: npt.NDArray[Any], target: npt.NDArray[Any], valid: npt.NDArray[np.bool_], *, reach: int = 16
) -> Offset:
    """The offset of `target`, at most `reach` pixels along each axis, against `source`."""
    return peak(agreement(source, target, valid, reach=reach))


def agreement(
    source: npt.NDArray[Any], target: npt.NDArray[Any], valid: npt.NDArray[np.bool_], *, reach: int = 16
) -> Floats:
    """How well the edges agree at each whole offset, shape (2 reach + 1, 2 reach + 1), no offset in the middle.

    The surfaces of tiles with a common offset may be added.
    """
    first, second = _edges(source), _edges(target if target.shape[0] > 1 else _members(target[0]))
    known = _eroded(valid, 4)
    shape = tuple(side + 2 * reach for side in valid.shape)
    spectra = [np.fft.fft2(np.where(known, edges, 0), shape) for edges in (first, second)]
    surface = np.fft.ifft2(np.conj(spectra[0]) * spectra[1]).real
    steps = np.arange(-reach, reach + 1)
    norm = np.sqrt((np.abs(first[known]) ** 2).sum() * (np.abs(second[known]) ** 2).sum())
    return np.asarray(surface[np.ix_(steps, steps)] * np.sqrt(known.sum()) / max(norm, 1e-9), np.float32)


def peak(surface: Floats) -> Offset:
    """The offset at which a surface of agreement is highest, between pixels."""
    reach = len(surface) // 2
    row, col = (int(i) for i in np.unravel_index(surface.argmax(), surface.shape))
    spread = float(np.median(np.abs(surface - np.median(surface)))) * 1.4826
    if spread == 0 or not 0 < row < 2 * reach or not 0 < col < 2 * reach:
        return UNKNOWN
    rows, cols = np.ogrid[: len(surface), : len(surface)]
    others = surface[(np.abs(rows - row) > EXCLUDED) | (np.abs(cols - col) > EXCLUDED)]
    margin = float(surface[row, col] - others.max()) / spread
    dy = _vertex(*(float(v) for v in surface[row - 1 : row + 2, col]))
    dx = _vertex(*(float(v) for v in surface[row, col - 1 : col + 2]))
    return Offset(col - reach + dx, row - reach + dy, float(1 - np.exp(-max(margin, 0) / 1.5)))


def pooled(offsets: Sequence[Offset]) -> Offset:
    """The common offset of the tiles of one source: the median, weighted by confidence."""
    known = [o for o in offsets if o.confidence > 0]
    if not known:
        return UNKNOWN
    values = np.array(known, float)
    weights = values[:, 2]
    cols, rows = (_weighted_median(values[:, axis], weights) for axis in (0, 1))
    return Offset(cols, rows, float(1 - np.prod(1 - np.minimum(weights, 0.999))))


def _weighted_median(values: npt.NDArray[np.float64], weights: npt.NDArray[np.float64]) -> float:
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][int(np.searchsorted(total, total[-1] / 2))])


def _vertex(before: float, at: float, after: float) -> float:
    """Where the parabola through three values at -1, 0 and 1 is highest."""
    bend = before - 2 * at + after
    return 0.5 * (before - after) / bend if bend < 0 else 0.0


def _members(classes: npt.NDArray[Any]) -> Floats:
    """One band for each value of a class raster: 1 where it has that value."""
    return (classes == np.unique(classes)[:, None, None]).astype(np.float32)


def _edges(picture: npt.NDArray[Any]) -> Complex:
    """Direction and strength of the edges, as squared complex gradients: dark to light is the same as light to dark."""
    total = np.zeros(picture.shape[1:], np.complex64)
    for band in picture.astype(np.float32):
        smooth = _smoothed(band, SIGMA)
        total += (np.gradient(smooth, axis=1) + 1j * np.gradient(smooth, axis=0)) ** 2
    strength = np.abs(total)
    floor = 1e-3 * float(strength.max())
    return np.asarray(total / np.sqrt(strength * (_smoothed(strength, 8) + floor) + 1e-12), np.complex64)


def _smoothed(picture: Floats, sigma: float) -> Floats:
    """The picture under a Gaussian; its border is repeated."""
    radius = int(np.ceil(3 * sigma))
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2).astype(np.float32)
    taps /= taps.sum()
    for axis in (0, 1):
        width = [(0, 0), (0, 0)]
        width[axis] = (radius, radius)
        padded, length = np.pad(picture, width, mode="edge"), picture.shape[axis]
        parts = (np.take(padded, range(k, k + length), axis) * tap for k, tap in enumerate(taps))
        picture = np.asarray(sum(parts), np.float32)
    return picture


def _eroded(valid: npt.NDArray[np.bool_], radius: int) -> npt.NDArray[np.bool_]:
    """Where all pixels up to `radius` away along both axes are valid."""
    inner = np.pad(valid, radius)
    for axis in (0, 1):
        inner = np.logical_and.reduce([np.roll(inner, k, axis) for k in range(-radius, radius + 1)])
    return np.asarray(inner[radius : inner.shape[0] - radius, radius : inner.shape[1] - radius], np.bool_)
