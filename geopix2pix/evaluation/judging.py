"""One pair beside its map: the sums of its measures, what the eye should see of it, and where it is wrong."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from geopix2pix.dataset import Pictures, View
from geopix2pix.evaluation.constant import blocks
from geopix2pix.evaluation.gallery import Thumbnail
from geopix2pix.evaluation.legend import Legend
from geopix2pix.evaluation.painting import Painting
from geopix2pix.evaluation.reassembly import WholeScene
from geopix2pix.grid import Window
from geopix2pix.measures.perceptual import KNOWN_SHARE, SIDE, SMALLEST, features, lpips
from geopix2pix.measures.tally import FILL, MARGIN, Levels, Sample, Tally, pooled, tally
from geopix2pix.pair import Pair

BORDER = 32  # pixels along the border of a scene, beyond which a network sees no ground
UNKNOWN = 255  # in rasters of errors

Bytes = npt.NDArray[np.uint8]


class Judged(NamedTuple):
    """What was found out about one pair."""

    tally: Tally
    known: int
    """Pixels of which the target says something."""
    seen: tuple[tuple[torch.Tensor, torch.Tensor], ...]
    """Features of the predicted and the true picture of each crop; empty without a network."""


class Eyes(NamedTuple):
    """Networks that look at pictures, where there are weights for them."""

    lpips: nn.Module | None = None
    inception: nn.Module | None = None

    @property
    def are_open(self) -> bool:
        return self.lpips is not None or self.inception is not None


def judged(
    scene: WholeScene,
    pair: Pair,
    place: Window,
    painting: Painting,
    legend: Legend,
    eyes: Eyes,
    errors: Bytes | None = None,
) -> tuple[Judged, Thumbnail]:
    """The pair at `place` in a painted scene; its errors are written into `errors`, those of the scene.

    Raises:
        PairsError: one of its pictures cannot be read.
    """
    pictures, whole, sets = Pictures(0, 1), Window(0, 0, pair.width, pair.height), legend.sets
    thumbnail = Thumbnail.of(pair.width, pair.height)
    tallies, known = [], 0
    for core in blocks(pair.width, pair.height):
        seen = core.padded(MARGIN).intersection(whole)
        view = pictures.view(pair, seen, legend.palette)
        sample = _sample(scene, seen.shifted(place.col, place.row), view, painting, legend)
        rows, cols = core.shifted(-seen.col, -seen.row).slices
        tallies.append(tally(sample, sets, (rows, cols)))
        inside = Sample(*(None if a is None else a[..., rows, cols] for a in sample))  # type: ignore[arg-type]
        found = error_bands(inside, legend)
        known += int((found[-1] != UNKNOWN).sum())
        thumbnail.add(core, view.source[:, rows, cols], inside, found[-1])
        if errors is not None:
            at_rows, at_cols = core.shifted(place.col, place.row).slices
            errors[:, at_rows, at_cols] = found
    distances, looks = [], []
    for predicted, true in _crops(scene, pair, place, painting, legend) if eyes.are_open else ():
        if eyes.lpips is not None:
            distances.append(lpips(eyes.lpips, predicted, true))
        if eyes.inception is not None:
            looks.append((features(eyes.inception, predicted), features(eyes.inception, true)))
    total = pooled(tallies)._replace(perceived=np.array([len(distances), sum(distances)], np.float64))
    return Judged(total, known, tuple(looks)), thumbnail


def _sample(scene: WholeScene, window: Window, view: View, painting: Painting, legend: Legend) -> Sample:
    rows, cols = np.ogrid[window.row : window.bottom, window.col : window.right]
    border = np.minimum(np.minimum(rows, scene.height - 1 - rows), np.minimum(cols, scene.width - 1 - cols)) < BORDER
    return legend.sample(view, *painting.read(window), border)


def error_bands(sample: Sample, legend: Legend) -> Bytes:
    """What a raster of errors shows, (bands, rows, cols).

    Classes: the predicted class, the true one, and 1 for wrong pixels, 0 for right ones; where a target says that a
    pixel is none of some classes, the true class is `UNKNOWN`. Pictures: the mean absolute difference in grey levels,
    254 at most. Where nothing is known all bands are `UNKNOWN`.
    """
    sets = legend.sets
    if sets is None or sample.classes is None or sample.sets is None:
        difference = np.abs(sample.predicted - sample.true).mean(axis=0).round().clip(0, UNKNOWN - 1)
        return np.where(sample.known, difference, UNKNOWN).astype(np.uint8)[None]
    known = sets.informative[sample.sets]
    named, wrong = sets.named[sample.sets], ~sets.members[sample.sets, sample.classes]
    bands = np.stack([sample.classes, np.where(named < 0, UNKNOWN, named), wrong])
    return np.where(known, bands, UNKNOWN).astype(np.uint8)


def _crops(
    scene: WholeScene, pair: Pair, place: Window, painting: Painting, legend: Legend
) -> Iterator[tuple[Levels, Levels]]:
    """Squares of the predicted and the true picture that are known almost everywhere, the rest grey in both."""
    pictures, side = Pictures(0, 1), min(SIDE, pair.width, pair.height)
    if side < SMALLEST:
        return
    left, top = pair.width % side // 2, pair.height % side // 2
    for row in range(top, pair.height - side + 1, side):
        for col in range(left, pair.width - side + 1, side):
            window = Window(col, row, side, side)
            view = pictures.view(pair, window, legend.palette)
            sample = _sample(scene, window.shifted(place.col, place.row), view, painting, legend)
            if sample.known.mean() >= KNOWN_SHARE:
                predicted, true = (np.where(sample.known, p, FILL) for p in (sample.predicted, sample.true))
                yield predicted, true
