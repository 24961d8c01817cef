"""When training goes wrong: what its record shows, as warnings that say what helps.

All of these look at what a run has logged, or at its pairs, so that a run that goes on later raises the same ones.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

from geopix2pix.architecture import Adversary
from geopix2pix.errors import (
    CollapseWarning,
    DiscriminatorWarning,
    MisalignmentWarning,
    MonotonyWarning,
    OverfittingWarning,
    TrainingWarning,
)
from geopix2pix.registration import CONFIDENT, Offset, pooled

Entries = Sequence[Mapping[str, Any]]
"""Lines of a run's log, oldest first."""

UNDECIDED: Mapping[Adversary, float] = {"bce": math.log(2), "lsgan": 0.25, "hinge": 1.0}
"""The discriminator's loss when it cannot tell real from fake."""
WON = 0.1  # of that loss: for bce 93 % sure of either side
STEPS = 50  # fewer say nothing: every discriminator is ahead now and then
VARIETY = 0.02  # of that of the truth: nearly all pixels are of one class, or one value
EPOCHS = 3  # whose mean score is compared with that of the three before, and those with the three before them
FALL = 0.02  # of the score, over both falls together
FAR = 1.0  # pixels beside each other: half of that is what drawn and traced maps are off


def raised(entries: Entries, adversary: Adversary) -> Iterator[TrainingWarning]:
    """What is wrong at the end of the last epoch in the log."""
    judged = [entry["validation"] for entry in entries if "validation" in entry]
    if entries:
        yield from _won([e for e in entries if "discriminator" in e and e["epoch"] == entries[-1]["epoch"]], adversary)
    if judged and judged[-1].get("variety", math.inf) < VARIETY:
        yield CollapseWarning(
            f"the model paints nearly everything alike: {judged[-1]['variety']:.1%} of the variety of the truth; lower "
            "the learning rate, raise --class-weight or --l1-weight, or let the adversary wait (--warm-up)"
        )
    yield from _falling([figures["score"] for figures in judged if "score" in figures])


def monotonous(variants: float) -> Iterator[TrainingWarning]:
    """Whether targets with so many classes, or levels, have nothing to tell apart."""
    if variants < 2:
        yield MonotonyWarning(
            "all targets show the same, so that nothing but that can be learned; see whether these are the right files "
            "and, where there is a palette, whether its colours are theirs"
        )


def misaligned(offsets: Sequence[Offset]) -> Iterator[TrainingWarning]:
    """Whether the pairs with these offsets have one in common."""
    common = pooled(offsets)
    distance = math.hypot(common.cols, common.rows)
    if common.confidence >= CONFIDENT and distance > FAR:
        yield MisalignmentWarning(
            f"the targets seem to lie {distance:.1f} pixels beside the sources ({common.cols:+.1f} columns, "
            f"{common.rows:+.1f} rows, confidence {common.confidence:.2f} from {len(offsets)} pairs), which blurs what "
            "is learned; mend it with `geopix2pix tiles build --misaligned shift`"
        )


def _won(steps: Entries, adversary: Adversary) -> Iterator[TrainingWarning]:
    if len(steps) < STEPS or adversary not in UNDECIDED:
        return
    loss, undecided = fmean(step["discriminator"] for step in steps), UNDECIDED[adversary]
    if loss < WON * undecided:
        yield DiscriminatorWarning(
            f"the discriminator has won: its loss is {loss:.3f} over the last epoch, {undecided:.2f} would be a draw, "
            "and the generator learns little from it; try --adversary lsgan, --matching-weight 10, a longer "
            "--warm-up, or --adversary none"
        )


def _falling(scores: Sequence[float]) -> Iterator[TrainingWarning]:
    if len(scores) < 3 * EPOCHS:
        return
    early, middle, late = (fmean(scores[len(scores) - n * EPOCHS :][:EPOCHS]) for n in (3, 2, 1))
    if early > middle > late and early - late > FALL:
        best = max(range(len(scores)), key=scores.__getitem__) + 1
        yield OverfittingWarning(
            f"the validation score has fallen for {3 * EPOCHS} epochs, from {early:.3f} to {late:.3f}, and was best in "
            f"epoch {best}, whose weights are kept; stop here, or give more pairs, a stronger --jitter and "
            "a wider --scale"
        )
