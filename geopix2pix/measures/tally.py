"""What a prediction gets right, as sums over pixels: those of tiles add up, and all figures follow from them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torchmetrics.functional.image import structural_similarity_index_measure

from geopix2pix.measures import edges
from geopix2pix.measures.edges import Core

Levels = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int64]
Sums = npt.NDArray[np.float64]

CLOSE = 5.0
"""Grey levels below which all bands of a pixel must differ to be called accurate (Fu et al. 2019, CVPR)."""
BINS = 15  # of confidence, as in Guo et al. (2017, ICML)
FILL = np.float32(127.5)
"""What is seen on both sides where the truth is not known, where a measure looks at a neighbourhood."""
SSIM_REACH = 5  # pixels around one that its Gaussian window of 11 x 11 sees
MARGIN = max(edges.REACH, SSIM_REACH)
"""Pixels around a core on which its sums depend."""


class Sample(NamedTuple):
    """A prediction beside the truth, of the same pixels."""

    predicted: Levels
    """(bands, rows, cols), grey levels from 0 to 255."""
    true: Levels
    known: Mask
    """(rows, cols), where the true picture is known."""
    border: Mask
    """(rows, cols), where the scene's border is near."""
    classes: Indices | None = None
    """(rows, cols), predicted classes; None for pictures without classes."""
    sets: Indices | None = None
    """(rows, cols), the number of the set of classes that a pixel may be."""
    confidence: Levels | None = None
    """(rows, cols), the probability of the predicted class; None for a prediction without any."""


class Tally(NamedTuple):
    """Sums over pixels."""

    matrix: npt.NDArray[Any]
    """(sets, classes): pixels of each informative set of true classes and predicted class; (0, 0) without classes."""
    picture: Sums
    """Known pixels; absolute and squared differences, the mean over bands; close pixels; structural similarity."""
    edges: npt.NDArray[Any]
    """As `edges.matches` counts."""
    bins: Sums
    """(3, BINS): pixels whose class is known, their confidence and how many are right, by confidence."""
    border: Sums
    """(2, 2): errors (wrong pixels, or absolute differences) and pixels, first near the scene's border, then inside."""
    perceived: Sums
    """Crops that a perceptual network compared, and the sum of their distances."""


class ClassSets(NamedTuple):
    """The sets of classes that a pixel of the truth may be described by."""

    members: Mask
    """(sets, classes)."""
    knows: Mask
    """(classes,): those that the truth can name."""

    @property
    def informative(self) -> Mask:
        """(sets,): whether a set says anything."""
        answer: Mask = np.any(self.members, axis=1) & ~np.all(self.members, axis=1)
        return answer

    @property
    def named(self) -> Indices:
        """(sets,): the class of a set of one class, else -1."""
        answer: Indices = np.where(self.members.sum(axis=1) == 1, self.members.argmax(axis=1), -1).astype(np.int64)
        return answer

    @property
    def narrowest(self) -> Indices:
        """(classes,): the number of the smallest set that holds each class."""
        sizes = np.where(self.members & self.informative[:, None], self.members.sum(axis=1)[:, None], self.members.size)
        answer: Indices = sizes.argmin(axis=0)
        return answer


def tally(sample: Sample, sets: ClassSets | None, core: Core) -> Tally:
    """The sums over the pixels in `core`, the rest of the sample being their surroundings."""
    differences = np.abs(sample.predicted - sample.true)
    if sets is None:
        outlines, true_outlines = (edges.picture_edges(p, sample.known) for p in (sample.predicted, sample.true))
        matrix, bins = np.zeros((0, 0), np.int64), np.zeros((3, BINS))
        wrong, judged = differences.mean(axis=0), sample.known
    else:
        assert sample.classes is not None and sample.sets is not None, "classes are judged where there are some"
        judged = sets.informative[sample.sets]
        seen = sets.narrowest[sample.classes]  # a partly labelled truth tells the named classes from everything else
        outlines, true_outlines = (edges.class_edges(labels, judged) for labels in (seen, sample.sets))
        matrix = _matrix(sample.sets[core], sample.classes[core], sets)
        bins = _bins(sample, sets, core)
        wrong = ~sets.members[sample.sets, sample.classes]
    return Tally(
        matrix=matrix,
        picture=_picture(sample, differences, core),
        edges=edges.matches(outlines, true_outlines, core),
        bins=bins,
        border=_near_and_far(wrong[core], judged[core], sample.border[core]),
        perceived=np.zeros(2),
    )


def pooled(tallies: Sequence[Tally], times: npt.NDArray[Any] | None = None) -> Tally:
    """The sums of all, each counted as many `times` as given, once by default.

    With `times` of shape (draws, tallies), all sums get a first axis of draws.
    """
    weights = np.ones(len(tallies)) if times is None else times
    return Tally(*(np.tensordot(weights, np.stack(parts), 1) for parts in zip(*tallies, strict=True)))


def _matrix(true: Indices, predicted: Indices, sets: ClassSets) -> npt.NDArray[np.int64]:
    cells = np.bincount((true * sets.members.shape[1] + predicted).ravel(), minlength=sets.members.size)
    return np.where(sets.informative[:, None], cells.reshape(sets.members.shape), 0).astype(np.int64)


def _picture(sample: Sample, differences: Levels, core: Core) -> Sums:
    known = sample.known[core]
    inside = differences[:, core[0], core[1]][:, known].astype(np.float64)
    return np.array(
        [
            known.sum(),
            inside.mean(axis=0).sum(),
            np.square(inside).mean(axis=0).sum(),
            (inside.max(axis=0, initial=0) < CLOSE).sum(),
            similarity(sample)[core][known].sum(dtype=np.float64),
        ],
        np.float64,
    )


def similarity(sample: Sample) -> Levels:
    """The structural similarity (Wang et al. 2004) at each pixel, the mean over bands, shape (rows, cols).

    Gaussian window of 11 x 11 and sigma 1.5, range 255; what is not known is grey on both sides, and meaningless.
    """
    rows, cols = sample.known.shape
    short = [(0, max(SSIM_REACH + 1 - size, 0)) for size in (rows, cols)]  # torch reflects no more than is there
    predicted, true = (
        torch.from_numpy(np.pad(np.where(sample.known, picture, FILL), ((0, 0), *short), mode="symmetric"))[
            None
        ].float()
        for picture in (sample.predicted, sample.true)
    )
    found = structural_similarity_index_measure(predicted, true, data_range=255.0, return_full_image=True)
    answer: Levels = found[1][0].mean(dim=0).numpy()[:rows, :cols]
    return answer


def _bins(sample: Sample, sets: ClassSets, core: Core) -> Sums:
    assert sample.classes is not None and sample.sets is not None
    if sample.confidence is None:
        return np.zeros((3, BINS))
    named = sets.named[sample.sets[core]]
    counted = named >= 0
    confidence, right = sample.confidence[core][counted], (sample.classes[core] == named)[counted]
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return np.stack(
        [np.bincount(place, weights, BINS) for weights in (np.ones(len(place)), confidence, right.astype(float))]
    )


def _near_and_far(wrong: npt.NDArray[Any], judged: Mask, border: Mask) -> Sums:
    parts = (judged & border, judged & ~border)
    return np.array([[wrong[part].sum(dtype=np.float64), part.sum()] for part in parts], np.float64)
