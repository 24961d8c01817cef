"""The sums behind all measures: compared with torchmetrics and numpy, added up, masked, and cut into blocks."""

import numpy as np
import pytest
import torch
from torchmetrics.classification import BinaryJaccardIndex, MulticlassCalibrationError, MulticlassJaccardIndex
from torchmetrics.image import PeakSignalNoiseRatio, StructuralSimilarityIndexMeasure
from torchmetrics.regression import MeanAbsoluteError, MeanSquaredError

from geopix2pix import metrics
from geopix2pix.measures.edges import class_edges, f1, matches
from geopix2pix.measures.figures import class_overlaps, figures
from geopix2pix.measures.tally import MARGIN, Tally, pooled, similarity, tally
from tests.samples import (
    COMPLETE,
    PARTLY,
    blobs,
    class_sample,
    drawn,
    noise,
    partly_sample,
    picture_sample,
    whole,
)


def speckle(seed: int, shape: tuple[int, int] = (40, 50), share: float = 0.7) -> np.ndarray:
    return np.random.default_rng(seed).random(shape) < share


def same(first: Tally, second: Tally, tolerance: float = 1e-9) -> bool:
    return all(np.allclose(a, b, rtol=tolerance, atol=tolerance) for a, b in zip(first, second, strict=True))


# --- other people's numbers ---


def test_differences_of_known_pixels_are_those_of_torchmetrics() -> None:
    predicted, true, known = noise(0), noise(1), speckle(2)
    found = figures(whole(picture_sample(predicted, true, known), None), None)
    pair = [torch.from_numpy(picture[:, known].ravel()).double() for picture in (predicted, true)]
    for name, metric in {
        "l1": MeanAbsoluteError(),
        "rmse": MeanSquaredError(squared=False),
        "psnr": PeakSignalNoiseRatio(data_range=255.0),
    }.items():
        assert found[name] == pytest.approx(float(metric.set_dtype(torch.float64)(*pair)), rel=1e-6), name


def test_similarity_of_a_whole_picture_is_that_of_torchmetrics() -> None:
    predicted, true = noise(0), drawn(blobs(3))
    found = figures(whole(picture_sample(predicted, true), None), None)["ssim"]
    metric = StructuralSimilarityIndexMeasure(data_range=255.0)
    assert found == pytest.approx(float(metric(*(torch.from_numpy(p)[None] for p in (predicted, true)))), abs=1e-5)


def test_overlaps_are_those_of_torchmetrics() -> None:
    predicted, true, known = blobs(0), blobs(1), speckle(2)
    found = whole(class_sample(predicted, true, known), COMPLETE)
    metric = MulticlassJaccardIndex(4, average=None, ignore_index=-1)
    expected = metric(torch.from_numpy(predicted), torch.from_numpy(np.where(known, true, -1)))
    assert class_overlaps(found, COMPLETE) == pytest.approx(expected.numpy(), abs=1e-6)
    assert figures(found, COMPLETE)["mean_iou"] == pytest.approx(float(expected.mean()), abs=1e-6)


def test_overlaps_and_accuracy_are_those_that_training_validates_by() -> None:
    predicted, true, known = blobs(0), blobs(1), speckle(2)
    found = figures(whole(class_sample(predicted, true, known), COMPLETE), COMPLETE)
    matrix = metrics.confusion(torch.from_numpy(predicted), torch.from_numpy(np.where(known, true, metrics.UNNAMED)), 4)
    assert found["mean_iou"] == pytest.approx(metrics.mean_iou(matrix))
    assert found["palette_accuracy"] == pytest.approx(metrics.accuracy(matrix))


def test_on_partly_labelled_data_the_overlap_is_binary() -> None:
    """The named class against everything else, whatever the prediction calls that."""
    predicted, true = blobs(0), blobs(1)
    found = whole(partly_sample(predicted, true), PARTLY)
    expected = float(BinaryJaccardIndex()(torch.from_numpy(predicted == 2).int(), torch.from_numpy(true == 2).int()))
    overlaps = class_overlaps(found, PARTLY)
    assert overlaps[2] == pytest.approx(expected)
    assert np.isnan(overlaps[[0, 1, 3]]).all()
    assert figures(found, PARTLY)["mean_iou"] == pytest.approx(expected)
    renamed = np.array([3, 0, 2, 1])[predicted]
    again = figures(whole(partly_sample(renamed, true), PARTLY), PARTLY)
    for name in ("mean_iou", "edge_f1", "palette_accuracy"):
        assert again[name] == figures(found, PARTLY)[name]


def test_calibration_error_is_that_of_torchmetrics() -> None:
    random = np.random.default_rng(0)
    probabilities = random.dirichlet(np.ones(4), (40, 50)).astype(np.float32)
    predicted, true, known = probabilities.argmax(axis=-1), blobs(1), speckle(2)
    sample = class_sample(predicted, true, known, confidence=probabilities.max(axis=-1))
    expected = MulticlassCalibrationError(4, n_bins=15)(
        torch.from_numpy(probabilities[known]), torch.from_numpy(true[known])
    )
    found = figures(whole(sample, COMPLETE), COMPLETE)["calibration_error"]
    assert found == pytest.approx(float(expected), abs=1e-5)


def test_close_pixels_are_counted_by_their_worst_band() -> None:
    true = np.full((3, 1, 4), 100, np.float32)
    predicted = true.copy()
    predicted[1] = [[100, 104.9, 105, 90]]
    assert figures(whole(picture_sample(predicted, true), None), None)["pixel_accuracy"] == 0.5


# --- laws ---


def test_a_perfect_prediction_is_perfect() -> None:
    true = blobs(1)
    sample = class_sample(true, true, speckle(0), confidence=np.ones(true.shape, np.float32))
    found = figures(whole(sample, COMPLETE), COMPLETE)
    assert found["psnr"] == np.inf
    assert {found[n] for n in ("mean_iou", "edge_f1", "palette_accuracy", "pixel_accuracy")} == {1.0}
    assert {found[n] for n in ("l1", "rmse", "calibration_error")} == {0.0}
    assert found["ssim"] == pytest.approx(1.0, abs=1e-6)


def test_what_is_not_known_has_no_influence() -> None:
    predicted, true, known = blobs(0), blobs(1), speckle(2)
    elsewhere = np.where(known, predicted, blobs(5)), np.where(known, true, blobs(6))
    assert same(whole(class_sample(predicted, true, known), COMPLETE), whole(class_sample(*elsewhere, known), COMPLETE))


def test_a_masked_pixel_is_a_removed_pixel() -> None:
    """A masked margin leaves what a smaller picture gives; the similarity looks over the cut, all else does not."""
    predicted, true, known = blobs(0), blobs(1), np.zeros((40, 50), bool)
    known[:30, :35] = True
    masked = whole(class_sample(predicted, true, known), COMPLETE)
    removed = whole(class_sample(predicted[:30, :35], true[:30, :35]), COMPLETE)
    assert same(masked._replace(picture=masked.picture[:4]), removed._replace(picture=removed.picture[:4]))


def test_masking_one_more_pixel_takes_away_what_it_added() -> None:
    predicted, true, known = noise(0), noise(1), np.ones((40, 50), bool)
    before = whole(picture_sample(predicted, true, known), None)
    known[11, 13] = False
    after = whole(picture_sample(predicted, true, known), None)
    difference = np.abs(predicted - true)[:, 11, 13].astype(np.float64)
    assert before.picture[:3] - after.picture[:3] == pytest.approx([1, difference.mean(), (difference**2).mean()])


@pytest.mark.parametrize("sets", [None, COMPLETE, PARTLY], ids=["pictures", "classes", "partly"])
def test_blocks_add_up_to_the_whole(sets) -> None:
    """Whatever the cut, if each block is seen with its surroundings."""
    predicted, true = blobs(0, 60, 70), blobs(1, 60, 70)
    border = np.zeros(true.shape, bool)
    border[:9] = True
    sample = (partly_sample if sets is PARTLY else class_sample)(predicted, true)._replace(border=border)
    sample = sample._replace(confidence=np.random.default_rng(0).random(true.shape).astype(np.float32))
    if sets is None:
        sample = sample._replace(predicted=noise(0, 3, 60, 70), classes=None, sets=None)
    parts = []
    for top, bottom in ((0, 23), (23, 60)):
        for left, right in ((0, 17), (17, 41), (41, 70)):
            seen = slice(max(top - MARGIN, 0), bottom + MARGIN), slice(max(left - MARGIN, 0), right + MARGIN)
            core = tuple(
                slice(start - part.start, stop - part.start)
                for part, (start, stop) in zip(seen, ((top, bottom), (left, right)), strict=True)
            )
            parts.append(tally(type(sample)(*(a if a is None else a[(..., *seen)] for a in sample)), sets, core))
    assert same(pooled(parts), whole(sample, sets), 1e-5)


def test_the_order_of_tiles_has_no_influence() -> None:
    tallies = [whole(class_sample(blobs(n), blobs(n + 9)), COMPLETE) for n in range(5)]
    assert same(pooled(tallies), pooled(tallies[::-1]))
    draws = pooled(tallies, np.array([[1, 1, 1, 1, 1], [2, 0, 0, 1, 0]]))
    assert same(Tally(*(sums[0] for sums in draws)), pooled(tallies))
    assert same(Tally(*(sums[1] for sums in draws)), pooled([tallies[0], tallies[0], tallies[3]]))


def test_errors_are_told_apart_by_the_border() -> None:
    true = blobs(1)
    border = np.zeros(true.shape, bool)
    border[:10] = True
    wrong_there = np.where(border, (true + 1) % 4, true)
    found = whole(class_sample(wrong_there, true, border=border), COMPLETE)
    assert found.border.tolist() == [[500, 500], [0, 1500]]
    assert figures(found, COMPLETE)["border_excess"] == 1.0


def test_similarity_of_pictures_smaller_than_its_window() -> None:
    sample = picture_sample(noise(0, 1, 3, 2), noise(1, 1, 3, 2))
    assert similarity(sample).shape == (3, 2)
    assert np.isfinite(similarity(sample)).all()


# --- edges ---


def line(column: int) -> np.ndarray:
    return (np.arange(50) >= column)[None].repeat(40, axis=0).astype(np.int64)


@pytest.mark.parametrize(("shift", "expected"), [(0, 1.0), (1, 1.0), (2, 1.0), (3, 0.0), (9, 0.0)])
def test_edges_may_be_two_pixels_away(shift: int, expected: float) -> None:
    for sign in (-1, 1):
        for turn in (0, 1):
            predicted, true = (np.rot90(line(c), turn).copy() for c in (25 + sign * shift, 25))
            found = whole(class_sample(predicted, true), COMPLETE)
            assert figures(found, COMPLETE)["edge_f1"] == expected


def test_edges_are_those_of_a_search_over_all_pixels() -> None:
    predicted, true, known = blobs(0), blobs(1), speckle(3, share=0.95)
    found, right = (class_edges(classes, known) for classes in (predicted, true))
    places = [np.argwhere(edges) for edges in (found, right)]
    distances = np.hypot(*np.moveaxis(places[0][:, None] - places[1][None], -1, 0))
    near = distances <= 2
    expected = [len(places[0]), near.any(axis=1).sum(), len(places[1]), near.any(axis=0).sum()]
    assert matches(found, right, (slice(None), slice(None))).tolist() == expected


def test_f1_of_nothing_and_of_one_side() -> None:
    assert np.isnan(f1(np.array([0, 0, 0, 0])))
    assert f1(np.array([5, 0, 0, 0])) == f1(np.array([0, 0, 5, 0])) == 0.0
    assert f1(np.array([4, 2, 8, 8])) == pytest.approx(2 / 3)


def test_steps_between_pictures_are_edges_and_ramps_are_not() -> None:
    sharp = np.where(np.arange(50) >= 25, 255.0, 233.0)[None, None].repeat(40, axis=1).astype(np.float32)
    ramp = np.clip((np.arange(50) - 20) * 2.2 + 233, 233, 255)[None, None].repeat(40, axis=1).astype(np.float32)
    assert figures(whole(picture_sample(sharp, sharp), None), None)["edge_f1"] == 1.0
    assert figures(whole(picture_sample(ramp, sharp), None), None)["edge_f1"] == 0.0
