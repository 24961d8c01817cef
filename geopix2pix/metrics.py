"""How good a picture of classes is. Everything follows from one confusion matrix, rows true, columns predicted."""

import math

import torch
from torch import Tensor

from geopix2pix.losses import class_sets

UNNAMED = -1


def named_class(allowed: Tensor, classes: int) -> Tensor:
    """The class of each pixel whose set of allowed classes holds exactly one, `UNNAMED` elsewhere.

    `allowed` is (n, rows, cols) int64 bit masks, and so is the answer in shape and dtype.
    """
    members = class_sets(allowed, classes)
    return torch.where(members.sum(dim=1) == 1, members.int().argmax(dim=1), UNNAMED)


def confusion(predicted: Tensor, truth: Tensor, classes: int) -> Tensor:
    """Pixels per true class (rows) and predicted class (columns), int64; where the truth is `UNNAMED` none count."""
    named = truth != UNNAMED
    cells = truth[named] * classes + predicted[named]
    return torch.bincount(cells, minlength=classes * classes).view(classes, classes)


def accuracy(matrix: Tensor) -> float:
    """The share of pixels on the diagonal of a confusion matrix; NaN if it counts none."""
    return float(matrix.diagonal().sum() / matrix.sum())


def class_iou(matrix: Tensor) -> Tensor:
    """Intersection over union of each class, float64; NaN for a class that is neither true nor predicted anywhere."""
    hits = matrix.diagonal().double()
    return hits / (matrix.sum(dim=0) + matrix.sum(dim=1) - hits)


def mean_iou(matrix: Tensor) -> float:
    """The mean of `class_iou` over the classes that occur; NaN if none does."""
    return float(class_iou(matrix).nanmean())


def palette_accuracy(predicted: Tensor, allowed: Tensor, classes: int) -> float:
    """The share of pixels whose predicted class is in their set of allowed classes; NaN if no pixel says anything."""
    members = class_sets(allowed, classes)
    informative = members.any(dim=1) & ~members.all(dim=1)
    hits = members.gather(1, predicted.unsqueeze(1)).squeeze(1) & informative
    return float(hits.sum() / informative.sum())


def class_variety(matrix: Tensor) -> float:
    """How much predicted pixels vary beside true ones: 0 if all are of one class; NaN where the truth does not vary.

    Of each side it is the share of pixels that are not of the most frequent class.
    """
    true, predicted = (1 - matrix.sum(dim=d).max().double() / matrix.sum() for d in (1, 0))
    return float(predicted / true) if true > 0 else math.nan


def value_variety(predicted: Tensor, target: Tensor, known: Tensor) -> float:
    """The same for pictures (n, bands, rows, cols), by the deviation of their values where they are `known`."""
    true, found = (picture.movedim(1, -1)[known].double().std(dim=0).mean() for picture in (target, predicted))
    return float(found / true) if true > 0 else math.nan
