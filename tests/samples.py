"""Predictions beside truths, drawn from a seed, for the tests of measures."""

import numpy as np

from geopix2pix.measures.tally import ClassSets, Sample, Tally, tally
from geopix2pix.palette import Palette

PALETTE = Palette.from_json(
    {
        "classes": [
            {"name": n, "color": c} for n, c in zip("abcd", ("F2EFE9", "D9D0C9", "FFFFFF", "AAD3DF"), strict=True)
        ]
    },
    "test",
)
DISPLAY = PALETTE.display.astype(np.float32)
COMPLETE = ClassSets(np.array([[bool(s >> k & 1) for k in range(4)] for s in (0, 1, 2, 4, 8, 15)]), np.ones(4, bool))
"""No class, each class, every class."""
PARTLY = ClassSets(np.array([[bool(s >> k & 1) for k in range(4)] for s in (4, 11, 15)]), np.arange(4) == 2)
"""Class 2, any class but 2, every class."""


def blobs(seed: int, rows: int = 40, cols: int = 50, classes: int = 4) -> np.ndarray:
    """A map of patches of a few pixels, (rows, cols) int64."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, classes, (-(-rows // 7), -(-cols // 9)))
    return np.repeat(np.repeat(coarse, 7, axis=0), 9, axis=1)[:rows, :cols]


def drawn(classes: np.ndarray) -> np.ndarray:
    """The map as a picture, (3, rows, cols)."""
    return np.moveaxis(DISPLAY[classes], -1, 0)


def class_sample(predicted: np.ndarray, true: np.ndarray, known: np.ndarray | None = None, **more) -> Sample:
    """Classes against classes, all of them named where `known`."""
    known = np.ones(true.shape, bool) if known is None else known
    return Sample(
        predicted=drawn(predicted),
        true=drawn(true),
        known=known,
        border=more.pop("border", np.zeros(true.shape, bool)),
        classes=predicted,
        sets=np.where(known, true + 1, 5),
        **more,
    )


def partly_sample(predicted: np.ndarray, true: np.ndarray) -> Sample:
    """Classes against a truth that knows only class 2."""
    return class_sample(predicted, true)._replace(sets=np.where(true == 2, 0, 1), known=true == 2)


def picture_sample(predicted: np.ndarray, true: np.ndarray, known: np.ndarray | None = None) -> Sample:
    known = np.ones(true.shape[1:], bool) if known is None else known
    return Sample(predicted=predicted, true=true, known=known, border=np.zeros(known.shape, bool))


def whole(sample: Sample, sets: ClassSets | None) -> Tally:
    rows, cols = sample.known.shape
    return tally(sample, sets, (slice(0, rows), slice(0, cols)))


def noise(seed: int, bands: int = 3, rows: int = 40, cols: int = 50) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 255, (bands, rows, cols)).astype(np.float32)
