"""Metrics: a confusion matrix counted by hand, and what follows from it."""

import math

import pytest
import torch

from geopix2pix.metrics import (
    UNNAMED,
    accuracy,
    class_iou,
    confusion,
    mean_iou,
    named_class,
    palette_accuracy,
)

CLASSES = 4
EVERYTHING = 2**CLASSES - 1


def random_classes(seed, low=0):
    return torch.randint(low, CLASSES, (2, 9, 8), generator=torch.Generator().manual_seed(seed))


def test_the_confusion_matrix_counts_every_named_pixel_once():
    predicted, truth = random_classes(0), random_classes(1, low=UNNAMED)
    expected = torch.zeros(CLASSES, CLASSES, dtype=torch.int64)
    for p, t in zip(predicted.flatten().tolist(), truth.flatten().tolist(), strict=True):
        if t != UNNAMED:
            expected[t, p] += 1
    assert torch.equal(confusion(predicted, truth, CLASSES), expected)


def test_matrices_of_parts_add_up_to_the_matrix_of_the_whole():
    predicted, truth = random_classes(0), random_classes(1, low=UNNAMED)
    parts = [confusion(predicted[i], truth[i], CLASSES) for i in range(2)]
    assert torch.equal(parts[0] + parts[1], confusion(predicted, truth, CLASSES))


def test_scores_are_perfect_for_the_truth_and_zero_for_its_opposite():
    truth = random_classes(2)
    right, wrong = confusion(truth, truth, CLASSES), confusion((truth + 1) % CLASSES, truth, CLASSES)
    assert accuracy(right) == mean_iou(right) == 1.0
    assert accuracy(wrong) == mean_iou(wrong) == 0.0


def test_intersection_over_union_is_that_of_the_pixels():
    predicted, truth = random_classes(3), random_classes(4)
    iou = class_iou(confusion(predicted, truth, CLASSES))
    for k in range(CLASSES):
        mine, theirs = predicted == k, truth == k
        assert float(iou[k]) == pytest.approx(float((mine & theirs).sum() / (mine | theirs).sum()))
    assert mean_iou(confusion(predicted, truth, CLASSES)) == pytest.approx(float(iou.mean()))


def test_classes_that_occur_nowhere_do_not_count():
    matrix = confusion(torch.zeros(1, 2, 2, dtype=torch.int64), torch.zeros(1, 2, 2, dtype=torch.int64), CLASSES)
    assert class_iou(matrix).isnan().tolist() == [False, True, True, True]
    assert mean_iou(matrix) == 1.0


def test_scores_of_nothing_are_not_numbers():
    nothing = confusion(random_classes(0), torch.full((2, 9, 8), UNNAMED), CLASSES)
    assert not nothing.any()
    assert math.isnan(accuracy(nothing))
    assert math.isnan(mean_iou(nothing))
    assert math.isnan(palette_accuracy(random_classes(0), torch.full((2, 9, 8), EVERYTHING), CLASSES))


def test_only_sets_of_one_class_name_a_class():
    allowed = torch.tensor([[[0b0001, 0b1000, 0b0110, EVERYTHING, 0]]])
    assert named_class(allowed, CLASSES).tolist() == [[[0, 3, UNNAMED, UNNAMED, UNNAMED]]]
    truth = random_classes(5)
    assert torch.equal(named_class(1 << truth, CLASSES), truth)


def test_palette_accuracy_is_accuracy_where_every_class_is_named():
    predicted, truth = random_classes(6), random_classes(7)
    expected = accuracy(confusion(predicted, truth, CLASSES))
    assert palette_accuracy(predicted, 1 << truth, CLASSES) == pytest.approx(expected)


def test_palette_accuracy_takes_any_member_of_a_set_and_leaves_out_pixels_that_say_nothing():
    predicted = torch.tensor([[[0, 1, 2, 3, 0]]])
    allowed = torch.tensor([[[0b0011, 0b0011, 0b0011, EVERYTHING, 0b1110]]])
    assert palette_accuracy(predicted, allowed, CLASSES) == pytest.approx(2 / 4)
