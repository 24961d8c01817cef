"""The figures of a report: what each measure is called, and how it follows from sums, with an interval over tiles."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from geopix2pix.measures import edges
from geopix2pix.measures.tally import ClassSets, Tally, pooled

RESAMPLES = 1000
INTERVAL = (2.5, 97.5)  # percentiles

Better = Literal["higher", "lower", "zero"]


class Measure(NamedTuple):
    """How a figure is shown."""

    label: str
    better: Better
    headline: bool = False
    """Whether a picture of one colour cannot win it."""
    digits: int = 3


MEASURES: Mapping[str, Measure] = {
    "mean_iou": Measure("mean IoU", "higher", headline=True),
    "edge_f1": Measure(f"edge F1, {edges.TOLERANCE} pixels", "higher", headline=True),
    "kid": Measure("KID", "lower", headline=True, digits=4),
    "palette_accuracy": Measure("palette accuracy", "higher"),
    "calibration_error": Measure("calibration error", "lower"),
    "pixel_accuracy": Measure("pixel accuracy, 5 levels", "higher"),
    "l1": Measure("L1, levels", "lower", digits=2),
    "rmse": Measure("RMSE, levels", "lower", digits=2),
    "psnr": Measure("PSNR, dB", "higher", digits=2),
    "ssim": Measure("SSIM", "higher"),
    "lpips": Measure("LPIPS", "lower"),
    "fid": Measure("FID", "lower", digits=1),
    "border_excess": Measure("error at the border, excess", "zero"),
}
"""In the order of the table. `kid` and `fid` compare sets of pictures and belong to no tile."""

Figures = dict[str, float]


class Interval(NamedTuple):
    low: float
    high: float


def figures(tally: Tally, sets: ClassSets | None) -> Figures:
    """All measures that follow from the sums; NaN where nothing was counted."""
    pixels, absolute, squared, close, similarity = tally.picture.tolist()
    mean_square = _share(squared, pixels)
    found: Figures = {} if sets is None else _class_figures(tally, sets)
    crops, distance = tally.perceived.tolist()
    return found | {
        "edge_f1": edges.f1(tally.edges),
        "pixel_accuracy": _share(close, pixels),
        "l1": _share(absolute, pixels),
        "rmse": math.sqrt(mean_square),
        "psnr": math.inf if mean_square == 0 else 10 * math.log10(255**2 / mean_square),
        "ssim": _share(similarity, pixels),
        "lpips": _share(distance, crops),
        "border_excess": _share(*tally.border[0].tolist()) - _share(*tally.border[1].tolist()),
    }


def _class_figures(tally: Tally, sets: ClassSets) -> Figures:
    counts, confidence, right = tally.bins
    overlaps = class_overlaps(tally, sets)
    return {
        "mean_iou": float(np.nanmean(overlaps)) if not np.isnan(overlaps).all() else math.nan,
        "palette_accuracy": _share(tally.matrix[sets.members].sum(), tally.matrix.sum()),
        "calibration_error": _share(np.abs(confidence - right).sum(), counts.sum()),
    }


def class_overlaps(tally: Tally, sets: ClassSets) -> npt.NDArray[np.float64]:
    """Intersection over union of each class against everything else, shape (classes,).

    A pixel counts for a class if the truth says whether it is of that class. NaN for classes that the truth cannot
    name, and for those that are neither true nor predicted anywhere.
    """
    overlaps = np.full(sets.members.shape[1], np.nan)
    for row, named in zip(tally.matrix, sets.named, strict=True):
        if named >= 0 and sets.knows[named]:
            false = tally.matrix[~sets.members[:, named], named].sum()
            overlaps[named] = _share(row[named], row.sum() + false)
    return overlaps


def intervals(tallies: Sequence[Tally], measured: Callable[[Tally], Figures]) -> dict[str, Interval]:
    """95 % intervals of the figures, by a bootstrap over the tiles (Efron 1979); NaN for fewer than two.

    The draws depend on nothing but the number of tiles.
    """
    count = len(tallies)
    drawn = np.random.default_rng(0).integers(0, count, (RESAMPLES, count))
    times = np.zeros((RESAMPLES, count))
    np.add.at(times, (np.arange(RESAMPLES)[:, None], drawn), 1)
    draws = pooled(tallies, times)
    spread = [measured(Tally(*(sums[draw] for sums in draws))) for draw in range(RESAMPLES)]
    return {name: interval([figures[name] for figures in spread], count) for name in spread[0]}


def interval(values: Sequence[float], count: int) -> Interval:
    """The middle 95 % of the values that are numbers; NaN if they come from fewer than two tiles."""
    known = [value for value in values if math.isfinite(value)]
    if count < 2 or not known:
        return Interval(math.nan, math.nan)
    low, high = np.percentile(known, INTERVAL).tolist()
    return Interval(low, high)


def _share(part: Any, whole: Any) -> float:
    return float(part / whole) if whole else math.nan
