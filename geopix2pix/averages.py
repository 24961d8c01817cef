"""Means of a scene's pixels, for grids that are coarser than the scene."""

import numpy as np

from geopix2pix.grid import Window
from geopix2pix.raster import Patch, RasterReader

PIXELS_AT_ONCE = 2**22
"""Pixels of the scene that are held in memory at one time, whatever the window."""


def averaged(reader: RasterReader, window: Window, factors: tuple[int, int]) -> Patch:
    """A window of the scene whose pixels are the means of so many columns and rows; the data are float64.

    `window` is in these larger pixels, the first of which begins with the scene's first. One is valid if at least half
    of its pixels are. Its mean is that of the valid ones or, where there are none, of what they are filled with.

    Raises:
        RasterError: the file is truncated or damaged there.
    """
    across, down = factors
    data = np.zeros((len(reader.band_names), window.height, window.width))
    valid = np.zeros((window.height, window.width), bool)
    width = max(1, min(window.width, PIXELS_AT_ONCE // (across * down)))
    height = max(1, min(window.height, PIXELS_AT_ONCE // (across * down * width)))
    for row in range(0, window.height, height):
        for col in range(0, window.width, width):
            part = Window(col, row, width, height).intersection(Window(0, 0, window.width, window.height))
            at = part.shifted(window.col, window.row)
            fine = Window(at.col * across, at.row * down, at.width * across, at.height * down)
            rows, cols = part.slices
            data[:, rows, cols], valid[rows, cols] = _means(reader.read(fine), across, down)
    return Patch(data, valid)


def _means(patch: Patch, across: int, down: int) -> Patch:
    bands, height, width = patch.data.shape
    blocks = height // down, down, width // across, across
    known = patch.valid.reshape(blocks).sum(axis=(1, 3))
    shown = np.where(known > 0, known, across * down)
    counted = patch.valid | ~np.repeat(np.repeat(known > 0, down, axis=0), across, axis=1)
    sums = (patch.data * counted).reshape(bands, *blocks).sum(axis=(2, 4), dtype=np.float64)
    return Patch(sums / shown, 2 * known >= across * down)
