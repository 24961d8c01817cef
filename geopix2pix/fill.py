"""Values for pixels that hold no data, so that a network sees a scene without holes and without borders.

What a pixel is filled with depends on its position in the scene alone, never on the window that reads it.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

FILL_RADIUS = 32
"""Pixels over which the nearest valid pixel fills a hole; beyond it a hole shows the scene's median."""


def reflect(positions: npt.NDArray[np.intp], size: int) -> npt.NDArray[np.intp]:
    """The positions in 0..size-1 that are seen at `positions`, any distance outside, under repeated reflection.

    The border pixel is repeated (`symmetric` in numpy's words), so that one pixel is enough to reflect and every pixel
    is shown equally often.

    >>> reflect(np.arange(-4, 5), 3)
    array([2, 2, 1, 0, 0, 1, 2, 2, 1])
    """
    folded = positions % (2 * size)
    return np.minimum(folded, 2 * size - 1 - folded)


def fill_holes(
    data: npt.NDArray[Any],
    valid: npt.NDArray[np.bool_],
    radius: int = FILL_RADIUS,
) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """`data` (bands, rows, cols) with the holes filled from the nearest valid pixels, and where it is known.

    A hole takes all its bands from one pixel at most `radius` away (Euclidean); of several the one in the nearest
    column, left before right and upper before lower. Where there is none the second value is False and `data` as it
    was. A piece of a scene is filled like the scene wherever the cut is at least `radius` pixels away.
    """
    rows, cols = np.nonzero(~valid)
    above, distance = _nearest_in_column(valid, radius)
    unreachable = radius**2 + 1
    best = np.full(rows.shape, unreachable)
    source_rows, source_cols = rows.copy(), cols.copy()
    for shift in sorted(range(-radius, radius + 1), key=abs):
        if best.size == 0 or shift**2 >= best.max():
            break
        shifted = np.clip(cols + shift, 0, valid.shape[1] - 1)
        squared = distance[rows, shifted] ** 2 + shift**2
        nearer = (squared < best) & (shifted == cols + shift)
        best[nearer] = squared[nearer]
        source_rows[nearer] = above[rows, shifted][nearer]
        source_cols[nearer] = shifted[nearer]
    filled = data.copy()
    filled[:, rows, cols] = data[:, source_rows, source_cols]
    known = valid.copy()
    known[rows, cols] = best < unreachable
    return filled, known


def _nearest_in_column(valid: npt.NDArray[np.bool_], radius: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """The row of the nearest valid pixel in each pixel's column, the upper one of two, and how far away it is.

    The distance is `radius` + 1 where none is within `radius`.
    """
    far = valid.shape[0] + radius + 1
    rows = np.broadcast_to(np.arange(valid.shape[0])[:, None], valid.shape)
    upper = np.maximum.accumulate(np.where(valid, rows, -far), axis=0)
    lower = np.minimum.accumulate(np.where(valid, rows, 2 * far)[::-1], axis=0)[::-1]
    nearest = np.where(rows - upper <= lower - rows, upper, lower)
    return nearest, np.minimum(np.abs(nearest - rows), radius + 1)
