"""What a report says of sums: intervals, and that a picture of one colour wins no headline measure."""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from geopix2pix.measures.figures import MEASURES, RESAMPLES, Figures, figures, intervals
from geopix2pix.measures.perceptual import features, kernel_distance
from geopix2pix.measures.tally import ClassSets, Sample, Tally, pooled
from geopix2pix.sample import PALETTE as STREETS
from geopix2pix.town import class_raster, lay_out
from tests.samples import COMPLETE, blobs, class_sample, noise, picture_sample, whole

TILE = 96
CLASSES = len(STREETS.classes)
STREET_SETS = ClassSets(
    np.concatenate([np.eye(CLASSES, dtype=bool), np.ones((1, CLASSES), bool)]), np.ones(CLASSES, bool)
)


def streets(predicted: np.ndarray, true: np.ndarray) -> Sample:
    pictures = [np.moveaxis(STREETS.display[classes].astype(np.float32), -1, 0) for classes in (predicted, true)]
    border = np.zeros(true.shape, bool)
    return Sample(*pictures, ~border, border, predicted, true)


@pytest.fixture(scope="module")
def tiles() -> list[np.ndarray]:
    """The true street map of an invented town, cut into 25 tiles."""
    town = class_raster(lay_out(3, 5 * TILE)).astype(np.int64)
    return [town[r : r + TILE, c : c + TILE] for r in range(0, 5 * TILE, TILE) for c in range(0, 5 * TILE, TILE)]


def good(true: np.ndarray) -> np.ndarray:
    """A pixel too far to the right, and 2 % of the pixels wrong."""
    random = np.random.default_rng(int(true.sum()))
    moved = np.roll(true, 1, axis=1)
    return np.where(random.random(true.shape) < 0.02, random.integers(0, CLASSES, true.shape), moved)


def mediocre(true: np.ndarray) -> np.ndarray:
    """Four pixels off, in steps of three pixels, a fifth of the steps wrong."""
    random = np.random.default_rng(int(true.sum()))
    coarse = np.roll(true, 4, axis=(0, 1))[::3, ::3]
    coarse = np.where(random.random(coarse.shape) < 0.2, random.integers(0, CLASSES, coarse.shape), coarse)
    return coarse.repeat(3, axis=0).repeat(3, axis=1)


@pytest.fixture(scope="module")
def rows(tiles: list[np.ndarray]) -> dict[str, Figures]:
    """The figures of a good, a mediocre and a constant map, with KID by a small network of random weights."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 32, 7, 2), nn.ReLU(), nn.Conv2d(32, 64, 5, 2), nn.ReLU())
    network = nn.Sequential(network, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    majority = int(np.bincount(np.concatenate([tile.ravel() for tile in tiles])).argmax())
    predictions: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "good": good,
        "mediocre": mediocre,
        "constant": partial(np.full_like, fill_value=majority),
    }
    found = {}
    for name, predict in predictions.items():
        samples = [streets(predict(tile), tile) for tile in tiles]
        found[name] = figures(pooled([whole(sample, STREET_SETS) for sample in samples]), STREET_SETS)
        sides = [sample.predicted for sample in samples], [sample.true for sample in samples]
        seen = [[features(network, picture / 128 - 1) for picture in side] for side in sides]
        found[name]["kid"] = kernel_distance(*seen)[0]
    return found


@pytest.mark.parametrize("name", [name for name, measure in MEASURES.items() if measure.headline])
def test_a_constant_picture_is_last_in_every_headline_measure(rows: dict[str, Figures], name: str) -> None:
    sign = -1 if MEASURES[name].better == "higher" else 1
    assert sorted(rows, key=lambda row: sign * rows[row][name]) == ["good", "mediocre", "constant"]


@pytest.mark.parametrize("name", ["l1", "rmse", "psnr", "ssim", "pixel_accuracy"])
def test_elsewhere_a_constant_picture_beats_a_map_with_streets_in_it(name: str) -> None:
    """Which is why its row is in every table: here streets of five pixels lie four pixels off."""
    true = np.zeros((96, 96), np.int64)
    true[20:25], true[:, 60:65] = 2, 2
    found = {
        row: figures(whole(streets(predicted, true), STREET_SETS), STREET_SETS)
        for row, predicted in {"streets": np.roll(true, (4, 4), (0, 1)), "constant": np.zeros_like(true)}.items()
    }
    sign = -1 if MEASURES[name].better == "higher" else 1
    assert sign * found["constant"][name] < sign * found["streets"][name]


def test_only_headline_measures_of_classes_need_classes() -> None:
    of_pictures = figures(whole(picture_sample(noise(0), noise(1)), None), None)
    assert of_pictures.keys() == MEASURES.keys() - {
        "mean_iou", "palette_accuracy", "calibration_error", "kid", "fid",
    }  # fmt: skip


def test_nothing_known_is_no_figure() -> None:
    true = blobs(0)
    found = figures(whole(class_sample(true, true, np.zeros(true.shape, bool)), COMPLETE), COMPLETE)
    assert {name for name, value in found.items() if not math.isnan(value)} == set()


# --- intervals ---


def l1(tally: Tally) -> Figures:
    return {"l1": figures(tally, None)["l1"]}


def test_the_interval_of_a_mean_is_that_of_the_normal_distribution() -> None:
    random = np.random.default_rng(1)
    tallies = []
    for _ in range(60):
        off = np.full((1, 8, 8), random.normal(50, 10), np.float32)
        tallies.append(whole(picture_sample(off, np.zeros_like(off)), None))
    values = [l1(tally)["l1"] for tally in tallies]
    half = 1.96 * np.std(values) / np.sqrt(60)
    low, high = intervals(tallies, l1)["l1"]
    assert low == pytest.approx(np.mean(values) - half, abs=0.3 * half)
    assert high == pytest.approx(np.mean(values) + half, abs=0.3 * half)


def test_intervals_repeat_and_hold_the_figure() -> None:
    tallies = [whole(class_sample(blobs(n), blobs(n + 9)), COMPLETE) for n in range(6)]
    measured = partial(figures, sets=COMPLETE)
    found = intervals(tallies, measured)
    assert found.keys() == measured(pooled(tallies)).keys()
    assert repr(found) == repr(intervals(tallies, measured))
    for name in ("mean_iou", "edge_f1", "palette_accuracy", "l1", "ssim"):
        assert found[name].low < measured(pooled(tallies))[name] < found[name].high


def test_equal_tiles_leave_no_doubt_and_one_tile_no_interval() -> None:
    tally = whole(class_sample(blobs(0), blobs(1)), COMPLETE)
    measured = partial(figures, sets=COMPLETE)
    low, high = intervals([tally] * 4, measured)["mean_iou"]
    assert low == pytest.approx(high)
    assert all(math.isnan(bound) for bound in intervals([tally], measured)["mean_iou"])


def test_there_are_enough_draws_for_the_ends_of_an_interval() -> None:
    assert RESAMPLES * 0.025 >= 25
