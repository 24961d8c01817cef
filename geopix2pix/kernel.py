"""Kernels: the value between pixels as a weighted sum of those around it."""

import math
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Kernel = Literal["nearest", "bilinear", "cubic", "average"]
"""How a value between pixels is found. `average` is the mean over the extent of a pixel; `cubic` is the convolution of
R. G. Keys, "Cubic convolution interpolation for digital image processing", IEEE Transactions on Acoustics, Speech, and
Signal Processing 29 (6), 1981, with a = -1/2."""

Floats = npt.NDArray[np.floating[Any]]
Indices = npt.NDArray[np.intp]


def reach(kernel: Kernel, stretch: Any) -> Any:
    """How far the weights reach to each side, in pixels, for a kernel that is `stretch` pixels wide instead of one."""
    return {"nearest": 0 * stretch, "bilinear": stretch, "cubic": 2 * stretch, "average": (stretch + 1) / 2}[kernel]


def nearest(data: npt.NDArray[Any], cols: Floats, rows: Floats) -> npt.NDArray[Any]:
    """The pixels of `data` (..., rows, cols) on which the places lie, those of its border for places outside.

    Pixel 0 lies from 0 to below 1.
    """
    height, width = data.shape[-2:]
    return data[..., _index(np.floor(rows), height), _index(np.floor(cols), width)]


def mixed(
    data: npt.NDArray[Any], cols: Floats, rows: Floats, kernel: Kernel, *, wide: Floats, high: Floats
) -> npt.NDArray[Any]:
    """The values of `data` (bands, rows, cols) at the places, in its dtype; its border is repeated outside.

    The middle of pixel 0 is at 0.5. The kernel is stretched to `wide` columns and `high` rows, 1 or more at each place.
    At the middle of a pixel a kernel that is not stretched gives exactly its value (of integers beyond 2^53 nearly).
    """
    bands, height, width = data.shape
    values = data.reshape(bands, -1).astype(np.float64)
    total, line, seen = (np.zeros((bands, *cols.shape)) for _ in range(3))
    columns = [(_index(col, width), weight) for col, weight in _taps(cols - 0.5, wide, kernel)]
    for row, weight in _taps(rows - 0.5, high, kernel):
        start = _index(row, height) * width
        line[:] = 0
        for column, across in columns:
            np.take(
                values, start + column, axis=1, out=seen, mode="clip"
            )  # into one buffer: much faster than a new one
            seen *= across
            line += seen
        line *= weight
        total += line
    return rounded(total, data.dtype)


def rounded(values: Floats, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """The nearest values that the dtype has; halves go to the even one."""
    kind = np.dtype(dtype)
    if kind.kind == "f":
        limits = np.finfo(kind)
        return np.clip(values, limits.min, limits.max).astype(kind)
    low, high = float(np.iinfo(kind).min), float(np.iinfo(kind).max)
    if high > np.iinfo(kind).max:  # the largest 64-bit integers are no doubles
        high = math.nextafter(high, 0)
    return np.clip(np.rint(values), low, high).astype(kind)


def _taps(middles: Floats, stretch: Floats, kernel: Kernel) -> list[tuple[Indices, Floats]]:
    """Which pixels on an axis, pixel 0 having its middle at 0, make the value at `middles`, and with which weights."""
    reached = reach(kernel, stretch)
    first = np.floor(middles - reached).astype(np.intp) + 1
    pixels = [first + tap for tap in range(math.ceil(2 * reached.max()))]
    weights = [_weight(np.abs(pixel - middles), stretch, kernel) for pixel in pixels]
    total = sum(weights)
    return [(pixel, weight / total) for pixel, weight in zip(pixels, weights, strict=True)]


def _weight(distance: Floats, stretch: Floats, kernel: Kernel) -> Floats:
    if kernel == "average":
        return np.clip((stretch + 1) / 2 - distance, 0, 1)
    distance = distance / stretch
    if kernel == "bilinear":
        return np.maximum(1 - distance, 0)
    near = (1.5 * distance - 2.5) * distance**2 + 1
    far = ((2.5 - 0.5 * distance) * distance - 4) * distance + 2
    return np.where(distance < 1, near, np.where(distance < 2, far, 0))


def _index(positions: npt.NDArray[Any], size: int) -> Indices:
    index: Indices = np.clip(positions, 0, size - 1).astype(np.intp)
    return index
