"""The picture of one colour that a model has to beat: the commonest class, or the median, of the training targets."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from geopix2pix.dataset import Pictures, View
from geopix2pix.evaluation.legend import Legend
from geopix2pix.grid import Window
from geopix2pix.pair import PairSet
from geopix2pix.progress import Event, Progress, silent

PICTURES = 256  # of the training targets that are looked at, evenly spread
VALUES = 2**24  # of all bands together, for a median
BLOCK = 1024


class Constant(NamedTuple):
    """One colour."""

    pixel: tuple[Any, ...]
    """The class, or a value for each band in the units of the targets."""
    dtype: str
    name: str
    """For people."""


def constant_of(pairs: PairSet, legend: Legend, progress: Progress = silent) -> Constant:
    """The colour that is right most often in the training targets, or their median in each band.

    Where targets name only some classes, that is often a class which none of them names: anything else than these.

    Raises:
        PairsError: a picture cannot be read.
    """
    if legend.palette is not None:
        sets = legend.sets
        assert sets is not None
        counts = np.zeros(len(sets.members), np.int64)
        for view in _views(pairs, legend, progress):
            counts += np.bincount(view.target[0][view.known], minlength=len(counts))
        right = (counts * sets.informative) @ sets.members
        best = int(right.argmax())
        return Constant((best,), "uint8", legend.palette.names[best])
    median = np.median(np.concatenate(list(_known(pairs, legend, progress)), axis=1), axis=1)
    pixel = tuple(np.rint(median).tolist() if np.dtype(legend.dtype).kind != "f" else median.tolist())
    return Constant(pixel, legend.dtype, ", ".join(f"{value:g}" for value in pixel))


def _known(pairs: PairSet, legend: Legend, progress: Progress) -> Iterator[npt.NDArray[Any]]:
    """Known pixels of the targets, (bands, pixels), evenly spread."""
    pixels = sum(pair.width * pair.height for pair in pairs.train) * pairs.target.count
    every = -(-pixels // VALUES)
    yield from (view.target[:, view.known][:, ::every] for view in _views(pairs, legend, progress))


def _views(pairs: PairSet, legend: Legend, progress: Progress) -> Iterator[View]:
    pictures, count = Pictures(0, 1), min(PICTURES, len(pairs.train))
    for done in range(count):
        pair = pairs.train[done * len(pairs.train) // count]
        for window in blocks(pair.width, pair.height):
            yield pictures.view(pair, window, legend.palette)
        progress(Event("constant", done + 1, count, "pictures"))


def blocks(width: int, height: int) -> Iterator[Window]:
    """A picture in pieces of a bounded size, row by row."""
    whole = Window(0, 0, width, height)
    for row in range(0, height, BLOCK):
        for col in range(0, width, BLOCK):
            yield Window(col, row, BLOCK, BLOCK).intersection(whole)
