"""How far a model's probabilities can be believed: a temperature for them, and measures of what they are worth.

Probabilities have shape (pixels, classes); what is known of a pixel is the set of classes that it may be, as a bit mask
(bit k = class k), and a pixel that may be anything says nothing.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
Bools = npt.NDArray[np.bool_]
Sets = npt.NDArray[np.int64]

RANGE = 1 / 50, 50.0  # temperatures that are searched
PRECISION = 1e-4  # of the logarithm of the temperature
SMALLEST = 1e-30  # probability: float32 has none far below
BINS = 15  # as in Guo et al. 2017
POINTS = 101  # of a sparsification curve


@dataclass(frozen=True, slots=True, kw_only=True)
class Sparsification:
    """What is gained by discarding the pixels that a ranking trusts least.

    E. Ilg et al., "Uncertainty estimates and multi-hypotheses networks for optical flow", ECCV 2018, section 4.1.
    """

    errors: tuple[float, ...]
    """The share of wrong pixels among those left when 0 %, 1 %, ... of all were discarded."""
    area: float
    """Under the curve: the mean of the errors. The lower the better; no ranking goes below that of the truth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """What the confidence of a map is worth over some of its pixels."""

    pixels: int
    accuracy: float
    calibration_error: float
    confidence: Sparsification
    prior: Sparsification
    """Of the first ranking to beat: how common the painted class is."""
    distance: Sparsification
    """Of the second: how far the next pixel of another class is."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def tempered(probabilities: Floats, temperature: float) -> npt.NDArray[np.float64]:
    """Probabilities whose logits are divided by a temperature."""
    logits = np.log(np.maximum(probabilities.astype(np.float64), SMALLEST)) / temperature
    weights: npt.NDArray[np.float64] = np.exp(logits - logits.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    return weights


def log_likelihood_loss(probabilities: Floats, allowed: Sets) -> float:
    """The mean of minus the log of the summed probability of the classes that each pixel may be.

    Pixels that may be anything do not count; it is NaN where none does.
    """
    member = _members(allowed, probabilities.shape[1])
    known = ~member.all(axis=1)
    if not known.any():
        return float("nan")
    inside = np.where(member[known], probabilities[known], 0).sum(axis=1)
    return float(-np.log(np.maximum(inside, SMALLEST)).mean())


def fitted_temperature(probabilities: Floats, allowed: Sets) -> float:
    """The temperature that makes what is known most likely: 1 where nothing is known.

    C. Guo et al., "On calibration of modern neural networks", ICML 2017, section 4.2, with sets of classes in place of
    single ones. Found by golden sections of its logarithm.
    """
    if np.isnan(log_likelihood_loss(probabilities, allowed)):
        return 1.0

    def loss(logarithm: float) -> float:
        return log_likelihood_loss(tempered(probabilities, float(np.exp(logarithm))), allowed)

    lattice = np.linspace(math.log(RANGE[0]), math.log(RANGE[1]), 25)
    best = int(np.argmin([loss(float(point)) for point in lattice]))
    low, high = float(lattice[max(best - 1, 0)]), float(lattice[min(best + 1, len(lattice) - 1)])
    golden = (5**0.5 - 1) / 2
    while high - low > PRECISION:
        left, right = high - golden * (high - low), low + golden * (high - low)
        low, high = (low, right) if loss(left) <= loss(right) else (left, high)
    return float(np.exp((low + high) / 2))


def expected_calibration_error(confidence: Floats, right: Bools, bins: int = BINS) -> float:
    """The mean difference between confidence and accuracy in bins of equal width, weighted by their pixels.

    Guo et al. 2017, section 2, equation 3. NaN where there are no pixels.
    """
    if not len(confidence):
        return float("nan")
    number = np.clip(np.ceil(confidence * bins) - 1, 0, bins - 1).astype(int)
    count, sure, correct = (np.bincount(number, w, bins) for w in (None, confidence, right.astype(float)))
    return float(np.abs(sure - correct).sum() / count.sum())


def sparsification(wrong: Bools, trust: Floats) -> Sparsification:
    """The errors that are left when the pixels with the least `trust` are discarded; ties count as their mean."""
    order = np.argsort(-trust, kind="stable")
    _, first, size = np.unique(-trust[order], return_index=True, return_counts=True)
    shares = np.add.reduceat(wrong[order].astype(float), first) / size if len(order) else np.zeros(0)
    errors = np.cumsum(np.repeat(shares, size)) / np.arange(1, len(order) + 1)
    kept = np.ceil(np.linspace(len(order), max(len(order) / (POINTS - 1), 1), POINTS - 1)).astype(int)
    curve = errors[np.clip(kept, 1, None) - 1] if len(order) else np.zeros(POINTS - 1)
    return Sparsification(errors=tuple(map(float, curve)), area=float(curve.mean()))


def boundary_distance(painted: npt.NDArray[np.integer[Any]], reach: int = 64) -> npt.NDArray[np.int32]:
    """How many pixels away, along rows, columns and diagonals, the next pixel of another class is, at most `reach`."""
    around = np.pad(painted, 1, mode="edge")
    rows, cols = painted.shape
    beside = (around[row : row + rows, col : col + cols] for row in range(3) for col in range(3))
    same = np.logical_and.reduce([other == painted for other in beside])
    distance = np.ones(painted.shape, np.int32)
    for _ in range(1, reach):
        distance += same
        if not same.any():
            break
        near = np.pad(same, 1, constant_values=True)
        rows = near[:-2] & near[1:-1] & near[2:]
        same = rows[:, :-2] & rows[:, 1:-1] & rows[:, 2:]
    return distance


def worth(probabilities: Floats, allowed: Sets, distance: npt.NDArray[np.integer[Any]]) -> dict[str, Worth]:
    """What the confidence is worth where a single class is known: `pooled`, and by the number of each painted class.

    `distance` is that to the next boundary. Classes that are painted nowhere are left out.
    """
    classes = probabilities.shape[1]
    member = _members(allowed, classes)
    single = member.sum(axis=1) == 1
    probabilities, truth, distance = probabilities[single], member[single].argmax(axis=1), distance[single]
    painted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    prior = np.bincount(painted, minlength=classes) / max(len(painted), 1)
    wrong = painted != truth
    found: dict[str, Worth] = {}
    for name in ("pooled", *map(str, range(classes))):
        here = np.ones(len(painted), bool) if name == "pooled" else painted == int(name)
        if here.any():
            found[name] = Worth(
                pixels=int(here.sum()),
                accuracy=float(1 - wrong[here].mean()),
                calibration_error=expected_calibration_error(confidence[here], ~wrong[here]),
                confidence=sparsification(wrong[here], confidence[here]),
                prior=sparsification(wrong[here], prior[painted[here]]),
                distance=sparsification(wrong[here], distance[here].astype(float)),
            )
    return found


def beats_trivial_rankings(found: Mapping[str, Worth]) -> bool:
    """Whether the confidence ranks the pooled pixels better than both trivial rankings."""
    pooled = found["pooled"]
    return pooled.confidence.area < min(pooled.prior.area, pooled.distance.area)


def _members(allowed: Sets, classes: int) -> Bools:
    """Whether each pixel may be each class, shape (pixels, classes)."""
    members: Bools = (allowed[:, None] >> np.arange(classes)) & 1 == 1
    return members
