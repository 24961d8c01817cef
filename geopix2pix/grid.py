"""Where windows lie on a scene, and with which weights they are blended: pixel arithmetic and nothing else.

The windows are those of an endless regular grid that are needed to cover the scene. Neighbours are blended with weights
that add up to one without any division; where the scene ends there is no neighbour, and a window has full weight.
"""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from geopix2pix.errors import ConfigError

MAX_FEATHER = 2048  # products of two weights are multiples of 1 / (2 * feather)^2, which float32 holds down to 2^-24


class Window(NamedTuple):
    """A rectangle of pixels. It may begin at negative positions and reach beyond the scene."""

    col: int
    row: int
    width: int
    height: int

    @property
    def right(self) -> int:
        """The first column after the window."""
        return self.col + self.width

    @property
    def bottom(self) -> int:
        """The first row after the window."""
        return self.row + self.height

    @property
    def is_empty(self) -> bool:
        return self.width == 0 or self.height == 0

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns of the window in an array (rows, cols) whose first pixel is at (0, 0).

        Raises:
            ValueError: the window begins at a negative position, which a slice would count from the far end.
        """
        if self.col < 0 or self.row < 0:
            raise ValueError(f"{self} begins outside the array")
        return slice(self.row, self.bottom), slice(self.col, self.right)

    def intersection(self, other: "Window") -> "Window":
        """What both windows share, on each axis for itself: 0 pixels wide or high where they share none."""
        col, row = max(self.col, other.col), max(self.row, other.row)
        right, bottom = min(self.right, other.right), min(self.bottom, other.bottom)
        return Window(col, row, max(right - col, 0), max(bottom - row, 0))

    def padded(self, pixels: int) -> "Window":
        """The window with `pixels` more on each side."""
        return Window(self.col - pixels, self.row - pixels, self.width + 2 * pixels, self.height + 2 * pixels)

    def shifted(self, cols: int, rows: int) -> "Window":
        return self._replace(col=self.col + cols, row=self.row + rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowGrid:
    """Overlapping square windows over a scene, in `columns` x `rows`, and their weights.

    Along one axis a window is `crop` pixels that are thrown away, a feathered band, pixels of its own, a feathered
    band, and `crop` pixels again; neighbours share their bands. The first window is the last one that begins at or
    before the border of the whole, the last window the first one that reaches its end; out to there they have full
    weight. At offset 0 the first one begins with the whole.

    Raises:
        ConfigError: the scene is empty, or no part of the whole, or the step would be less wide than the feather.
    """

    width: int
    """Columns of the scene."""
    height: int
    """Rows of the scene."""
    window: int
    """Side of a window in pixels."""
    crop: int
    """Outer pixels of each window that are thrown away, on each side."""
    feather: int
    """Pixels of the blended band between neighbours: 0 or a power of two."""
    offset: tuple[int, int] = (0, 0)
    """Columns and rows by which the whole grid is moved; only their remainder by the step matters."""
    trim: int = 0
    """Windows that reach out of the whole may be smaller by multiples of this; 0 if all must be of one size."""
    whole: Window | None = None
    """What the scene is a part of; None if it is all."""

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise ConfigError(f"a scene of {self.width} x {self.height} pixels has nothing to cover")
        if self.scene.intersection(self._whole) != self.scene:
            raise ConfigError(f"{self.scene} is no part of {self.whole}, as which it was given")
        if not 0 <= self.feather <= MAX_FEATHER or self.feather & (self.feather - 1):
            raise ConfigError(f"feather {self.feather} must be 0 or a power of two up to {MAX_FEATHER}")
        if self.crop < 0 or self.step < max(self.feather, 1):
            raise ConfigError(
                f"windows of {self.window} pixels with crop {self.crop} and feather {self.feather} leave a step of "
                f"{self.step}: crop must not be negative, nor the step below the feather or 1; choose a larger window"
            )

    @classmethod
    def fitted(
        cls, width: int, height: int, *, window: int, overlap: int, stride: int, offset: tuple[int, int] = (0, 0)
    ) -> "WindowGrid":
        """The grid whose neighbouring windows share `overlap` pixels, for a network of total stride `stride`.

        Most of the overlap is cropped, since a network is worst near its border; the feathered band is the largest
        power of two of at most a quarter of it and of the step, none below an overlap of 8.

        Raises:
            ConfigError: no grid has this overlap; the message names the nearest overlaps that fit.
        """
        unit = alignment(window, stride)
        fitting = [o for o in range(0, window, 2) if (window - o) % unit == 0]
        if not fitting:
            raise ConfigError(
                f"no overlap fits windows of {window} pixels, whose step must be a multiple of {unit}: choose a "
                "positive, even window"
            )
        if overlap not in fitting:
            nearest = sorted(sorted(fitting, key=lambda o: abs(o - overlap))[:2])
            raise ConfigError(
                f"overlap {overlap} does not fit windows of {window} pixels: it must be even and leave a step (window "
                f"minus overlap) that is a positive multiple of {unit}; nearest that fit: "
                + " and ".join(map(str, nearest))
            )
        widest = min(overlap // 4, window - overlap, MAX_FEATHER)
        feather = 2 ** (widest.bit_length() - 1) if widest > 1 else 0
        return cls(
            width=width, height=height, window=window, crop=(overlap - feather) // 2, feather=feather, offset=offset
        )

    @property
    def step(self) -> int:
        """Pixels from one window to the next."""
        return self.window - self.overlap

    @property
    def overlap(self) -> int:
        """Pixels shared by neighbouring windows."""
        return 2 * self.crop + self.feather

    @property
    def scene(self) -> Window:
        return Window(0, 0, self.width, self.height)

    @property
    def columns(self) -> int:
        """Windows across the scene."""
        return len(self._starts(0))

    @property
    def rows(self) -> int:
        """Windows down the scene."""
        return len(self._starts(1))

    def weights_at(self, index: int, axis: int) -> npt.NDArray[np.float32]:
        """The weights of a window's pixels along axis 0 (columns) or 1 (rows), shape (window,).

        They are 0, a ramp, 1, the ramp mirrored, and 0; on a side where the whole ends they are 1 throughout. The
        weight of a pixel is the product of both axes. Ramps rise in odd multiples of 1 / (2 * feather), so that float32
        holds all weights, their products and their sums without rounding.
        """
        ramp = np.arange(1, 2 * self.feather, 2) / max(2 * self.feather, 1)
        rise = np.concatenate([np.zeros(self.crop), ramp])
        weights = np.ones(self.window, np.float32)
        start, whole = self._starts(axis)[index], self._whole
        if start > whole[axis]:
            weights[: len(rise)] = rise
        if start + self.window < whole[axis] + whole[axis + 2]:
            weights[self.window - len(rise) :] = rise[::-1]
        return weights

    def window_at(self, column: int, row: int) -> Window:
        """The pixels of a window, inside the scene and outside."""
        return Window(self._starts(0)[column], self._starts(1)[row], self.window, self.window)

    def seen_at(self, column: int, row: int) -> Window:
        """The part of a window that is computed: what lies outside of the whole is trimmed."""
        window = self.window_at(column, row)
        if not self.trim:
            return window
        wanted = window.intersection(self._whole)
        left, top = ((a - b) // self.trim * self.trim for a, b in ((wanted.col, window.col), (wanted.row, window.row)))
        right = (window.right - wanted.right) // self.trim * self.trim
        bottom = (window.bottom - wanted.bottom) // self.trim * self.trim
        return Window(window.col + left, window.row + top, window.width - left - right, window.height - top - bottom)

    @property
    def computed_pixels(self) -> int:
        """Those that all windows compute: their parts that are seen, each counted as often as it is computed."""
        widths = sum(self.seen_at(column, 0).width for column in range(self.columns))
        return widths * sum(self.seen_at(0, row).height for row in range(self.rows))

    def support(self, column: int, row: int) -> Window:
        """Where in the scene a window has weight."""
        return self.weighted(self.window_at(column, row))

    def weighted(self, window: Window) -> Window:
        """Where in the scene a window, or what is seen of it, has weight: all but its crop, and out to the border."""
        whole = self._whole
        left = window.col + self.crop * (window.col > whole.col)
        top = window.row + self.crop * (window.row > whole.row)
        right = window.right - self.crop * (window.right < whole.right)
        bottom = window.bottom - self.crop * (window.bottom < whole.bottom)
        return Window(left, top, right - left, bottom - top).intersection(self.scene)

    def finished(self, column: int, row: int) -> Window:
        """What becomes final in the scene once this window and all before it, in row-major order, are blended.

        It begins where the support of this window does and ends where the supports of the next ones begin. These
        rectangles tile the scene; in a part of a whole those of the first column and row may be empty.
        """
        support = self.support(column, row)
        right = self.support(column + 1, row).col if column + 1 < self.columns else self.width
        bottom = self.support(column, row + 1).row if row + 1 < self.rows else self.height
        return support._replace(width=right - support.col, height=bottom - support.row)

    @property
    def _whole(self) -> Window:
        return self.whole or self.scene

    def _starts(self, axis: int) -> range:
        """Where the windows begin on axis 0 (columns) or 1 (rows), in or outside the scene."""
        border, length = self._whole[axis], self._whole[axis + 2]
        first = border - (-self.offset[axis] % self.step)
        more = max(-((first + self.window - border - length) // self.step), 0)
        starts = range(first, first + more * self.step + 1, self.step)  # those of the whole
        before = bisect_right(starts, self.crop - self.window)
        until = bisect_left(starts, self.scene[axis + 2] - self.crop)
        return starts[min(before, more) : max(until, 1)]


def alignment(window: int, stride: int) -> int:
    """Pixels that a step of windows must be a multiple of, for a network of total stride `stride`.

    It is the stride, so that all windows see features of the same phase. A network whose stride is not below its
    window (the pix2pix U-Net at its own size) has no such step; it gets quarters of a window.
    """
    return stride if window > stride else max(window // 4, 1)
