"""Which measure of agreement finds a map beside its image.

    python -m benchmarks.edge_measures DATA [TILES]

Every tile of `benchmarks/registration.py` (at most TILES of a set, default 40) is measured under one known shift of
whole pixels by each measure. Told are the shares of tiles whose best offset within 16 pixels is right to 1.5 and to 2.5
pixels, since most measures are taken here to whole pixels only. A map that lies beside its image by itself counts
against all measures alike.
"""

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio

from benchmarks.registration import SIDE, sets
from geopix2pix.registration import offset

Array = npt.NDArray[Any]
REACH, SIGMA, BORDER, BINS, SHIFT = 16, 1.4, 6, 12, (4.0, -3.0)
SIZE = (SIDE + REACH, SIDE + REACH)
STEPS = np.ix_(*2 * [np.arange(-REACH, REACH + 1)])
FREQUENCIES = np.fft.fftfreq(SIDE)[:, None], np.fft.fftfreq(SIDE)


def smooth(picture: Array, sigma: float) -> Array:
    """A picture or several under a Gaussian; opposite borders meet."""
    squared = FREQUENCIES[0] ** 2 + FREQUENCIES[1] ** 2
    return np.fft.ifft2(np.fft.fft2(picture) * np.exp(-2 * (np.pi * sigma) ** 2 * squared)).real


def gradients(bands: Array) -> Array:
    """Complex gradients, columns real and rows imaginary; none at the border."""
    smoothed = smooth(bands, SIGMA)
    found = np.gradient(smoothed, axis=-1) + 1j * np.gradient(smoothed, axis=-2)
    inner = np.zeros_like(found)
    inner[..., BORDER:-BORDER, BORDER:-BORDER] = found[..., BORDER:-BORDER, BORDER:-BORDER]
    return inner


def correlation(first: Array, second: Array) -> Array:
    return np.fft.ifft2(np.conj(np.fft.fft2(first, SIZE)) * np.fft.fft2(second, SIZE)).real[STEPS]


def even(strengths: Array) -> Array:
    """Strengths of edges as what they exceed those around, so that strong edges do not decide alone."""
    inner = strengths[BORDER:-BORDER, BORDER:-BORDER]
    result = np.zeros_like(strengths)
    result[BORDER:-BORDER, BORDER:-BORDER] = np.sqrt(inner) - np.sqrt(inner).mean()
    return result


def magnitudes(source: Array, members: Array) -> Array:
    strengths = [np.abs(gradients(bands) ** 2).sum(axis=0) for bands in (source, members)]
    return correlation(*(even(strength) for strength in strengths))


def phases(source: Array, members: Array) -> Array:
    """Phase correlation of the magnitudes, smoothed."""
    first, second = (even(np.abs(gradients(bands) ** 2).sum(axis=0)) for bands in (source, members))
    spectrum = np.conj(np.fft.fft2(first)) * np.fft.fft2(second)
    return smooth(np.fft.ifft2(spectrum / (np.abs(spectrum) + 1e-9)).real, SIGMA)[STEPS]


def doubled(source: Array, members: Array) -> Array:
    """Squared complex gradients with their strength."""
    return correlation(*((gradients(bands) ** 2).sum(axis=0) for bands in (source, members)))


def signed(source: Array, members: Array) -> Array:
    """The share of the image's gradients that those of the classes explain, each with a sign of its own."""
    found = gradients(source)
    found = found / np.sqrt(np.abs(found) + 1e-9)
    return np.sum([correlation(a, b) ** 2 / (np.abs(b) ** 2).sum() for b in gradients(members) for a in found], axis=0)


def middle(pictures: Array) -> Array:
    """Pictures that are 0 where a shift within reach could leave the tile."""
    inner = np.zeros_like(pictures)
    inner[..., REACH:-REACH, REACH:-REACH] = pictures[..., REACH:-REACH, REACH:-REACH]
    return inner


def correlation_ratio(source: Array, members: Array) -> Array:
    """The variance of the image that flat classes explain (Roche et al. 1998)."""
    smoothed = smooth(source, 1.0)
    levels = middle(smoothed - smoothed.mean(axis=(1, 2), keepdims=True))
    inside = middle(np.ones((SIDE, SIDE)))
    total = np.zeros((2 * REACH + 1, 2 * REACH + 1))
    for member in members:
        count = np.maximum(correlation(inside, member), 30)
        total += sum(correlation(band, member) ** 2 / count for band in levels)
    return total


def mutual_information(source: Array, members: Array) -> Array:
    """Of grey levels in 12 bins and the classes (Viola and Wells 1997)."""
    grey = smooth(source.mean(axis=0), 1.0)
    bins = np.digitize(grey, np.quantile(grey, np.linspace(0, 1, BINS + 1)[1:-1]))
    parts = middle((bins == np.arange(BINS)[:, None, None]).astype(float))
    joint = np.maximum([[correlation(part, member) for part in parts] for member in members], 0) + 1e-6
    joint /= joint.sum(axis=(0, 1))
    entropies = [-(p * np.log(p)).sum(axis=0) for p in (joint.sum(axis=0), joint.sum(axis=1))]
    return entropies[0] + entropies[1] + (joint * np.log(joint)).sum(axis=(0, 1))


def best(surface: Array) -> tuple[float, float]:
    row, col = np.unravel_index(surface.argmax(), surface.shape)
    return float(col - REACH), float(row - REACH)


MEASURES: dict[str, Callable[[Array, Array], Array]] = {
    "magnitudes": magnitudes,
    "phases of magnitudes": phases,
    "squared gradients": doubled,
    "signed gradients": signed,
    "correlation ratio": correlation_ratio,
    "mutual information": mutual_information,
}


def main(data: Path, tiles: int) -> None:
    warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
    print(f"{'':24}" + " ".join(f"{name:>20}" for name in ("directions", *MEASURES)))
    valid = np.ones((SIDE, SIDE), bool)
    for name, places, _ in sets(data, tiles):
        errors = []
        for place in places:
            target = place.draw(*SHIFT)
            colors = target if len(target) == 1 else target // 64  # as maps from pictures have stray colours
            _, classes = np.unique(colors.reshape(len(target), -1), axis=1, return_inverse=True)
            members = (classes.reshape(SIDE, SIDE) == np.arange(classes.max() + 1)[:, None, None]).astype(float)
            if len(members) > 1:
                source = place.source.astype(float)
                found = [offset(source, target, valid)[:2], *(best(f(source, members)) for f in MEASURES.values())]
                errors.append([np.hypot(*np.subtract(one, SHIFT)) for one in found])
        shares = [(np.array(errors) < limit).mean(axis=0) for limit in (1.5, 2.5)]
        print(f"{name:16} {len(errors):4}   " + " ".join(f"{a:14.2f} {b:5.2f}" for a, b in zip(*shares, strict=True)))


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) == 3 else 40)
