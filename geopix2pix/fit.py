"""Whether the values of a scene are like those that a model learned from."""

import warnings

import numpy as np
import numpy.typing as npt

from geopix2pix.errors import SceneError, SceneWarning
from geopix2pix.manifest import QUANTILES, Manifest
from geopix2pix.normalize import Scaling
from geopix2pix.raster import RasterReader

MAX_APART = 0.15
"""Of a band's range, by which the values of a scene may differ from those in training on average: 38 of 255 levels.
Other light and other towns differ by about half of it, forest and bright city by more."""
MIN_SPREAD = 0.1  # of the range that a model scales by, which the bulk of a scene fills at least


def warn_of_misfits(reader: RasterReader, manifest: Manifest, scaling: Scaling) -> None:
    """One warning with numbers, if the values of a sample of the scene are unlike those in training.

    What the model does not tell is not compared: then only scenes of more than 8 bits are looked at, of which much less
    than the range that they are scaled by may be used.
    """
    if manifest.source.quantiles is None and reader.dtype == "uint8":
        return
    try:
        found = reader.percentiles(*QUANTILES).T
    except SceneError:
        return  # nothing valid in the sample: if it is nothing at all, that is told later
    if manifest.source.quantiles is not None:
        _compare(reader, manifest, scaling, found)
    else:
        _check_spread(reader, scaling, found)


def distances(
    found: npt.NDArray[np.float64], scaling: Scaling, known: npt.NDArray[np.float64], known_scaling: Scaling
) -> npt.NDArray[np.float64]:
    """How far the values of each band are from those in training, as a share of its range.

    The mean difference of their quantiles, shape (bands, quantiles), once both are scaled: the first Wasserstein
    distance.
    """
    here, there = (
        s.forward(values[:, :, None].astype(np.float32))[:, :, 0] / 2
        for s, values in ((scaling, found), (known_scaling, known))
    )
    apart: npt.NDArray[np.float64] = np.abs(here - there).mean(axis=1).astype(np.float64)
    return apart


def _compare(reader: RasterReader, manifest: Manifest, scaling: Scaling, found: npt.NDArray[np.float64]) -> None:
    known = np.array(manifest.source.quantiles)
    apart = distances(found, scaling, known, manifest.source.scaling)
    band = int(apart.argmax())
    if apart[band] > MAX_APART:
        both = ((np.interp(50, QUANTILES, q), q) for q in (found[band], known[band]))
        here, there = (f"{median:.4g} ({q[0]:.4g} to {q[-1]:.4g})" for median, q in both)
        warnings.warn(
            f"{reader.path}: does not look like what the model {manifest.name!r} learned from: band "
            f"{manifest.source.names[band]} has a median of {here} here and of {there} there, {apart[band]:.0%} of its "
            "range apart on average; do not trust the map without looking at it, or try --scaling scene",
            SceneWarning,
            stacklevel=3,
        )


def _check_spread(reader: RasterReader, scaling: Scaling, found: npt.NDArray[np.float64]) -> None:
    low, high = np.array(scaling.low), np.array(scaling.high)
    spread = (np.clip(found[:, -1], low, high) - np.clip(found[:, 0], low, high)) / (high - low)
    band = int(spread.argmax())
    if spread[band] < MIN_SPREAD and (found[:, -1] > found[:, 0]).any():
        warnings.warn(
            f"{reader.path}: most of its values lie within {spread[band]:.1%} of the range from {low[band]:.6g} to "
            f"{high[band]:.6g} by which they are scaled, such as {found[band, 0]:.4g} to {found[band, -1]:.4g}; give "
            "the range that they use with --scaling LOW,HIGH, or --scaling scene",
            SceneWarning,
            stacklevel=3,
        )
