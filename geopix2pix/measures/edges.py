"""Edges of a map, and how many of them lie where they should.

The boundary F-measure of Martin et al. (2004, IEEE PAMI 26(5), section 3), with the tolerance instead of a matching of
single pixels, as for classes in Csurka et al. (2013, BMVC).
"""

from typing import Any

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int64]
Core = tuple[slice, slice]
"""Rows and columns that count; what lies around them is only looked at."""

TOLERANCE = 2
"""Pixels, as the crow flies."""
STEP = 16.0
"""Grey levels between neighbours in some band that make an edge in a picture without classes. Streets are 22 levels
from their ground in common map styles; the noise of JPEG is below 10."""
REACH = TOLERANCE + 1
"""Pixels around a core on which its counts depend."""


def class_edges(classes: npt.NDArray[Any], known: Mask) -> Mask:
    """Where the right or the lower neighbour is of another class and both are known; shape (rows, cols)."""
    return _left_and_above(classes[:, 1:] != classes[:, :-1], classes[1:] != classes[:-1], known)


def picture_edges(levels: npt.NDArray[np.float32], known: Mask) -> Mask:
    """Where some band (bands, rows, cols) steps by `STEP` levels or more to the right or below; both pixels known."""
    across, down = (np.abs(np.diff(levels, axis=axis)).max(axis=0) >= STEP for axis in (2, 1))
    return _left_and_above(across, down, known)


def _left_and_above(across: Mask, down: Mask, known: Mask) -> Mask:
    edges = np.zeros(known.shape, bool)
    edges[:, :-1] |= across & known[:, :-1] & known[:, 1:]
    edges[:-1] |= down & known[:-1] & known[1:]
    return edges


def matches(predicted: Mask, true: Mask, core: Core) -> Counts:
    """Predicted edge pixels, those of them near a true one, true edge pixels, those of them near a predicted one."""
    found, right = predicted & _near(true), true & _near(predicted)
    return np.array([int(mask[core].sum()) for mask in (predicted, found, true, right)], np.int64)


def _near(edges: Mask) -> Mask:
    """Where an edge is at most `TOLERANCE` away."""
    rows, cols = edges.shape
    padded = np.pad(edges, TOLERANCE)
    near = np.zeros_like(edges)
    for down in range(-TOLERANCE, TOLERANCE + 1):
        for right in range(-TOLERANCE, TOLERANCE + 1):
            if down**2 + right**2 <= TOLERANCE**2:
                row, col = TOLERANCE + down, TOLERANCE + right
                near |= padded[row : row + rows, col : col + cols]
    return near


def f1(counts: npt.NDArray[Any]) -> float:
    """The harmonic mean of the shares of predicted and of true edges that are matched, from counts of `matches`.

    Zero where one side has edges and the other has none; NaN where neither has.
    """
    predicted, found, true, right = counts.tolist()
    if predicted == 0 and true == 0:
        return float("nan")
    if found == 0 or right == 0:
        return 0.0
    precision, recall = found / predicted, right / true
    return float(2 * precision * recall / (precision + recall))
