"""A picture of a scene beside its map, to look at without a GIS."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.enums import Resampling
from rasterio.errors import RasterioIOError
from rasterio.io import DatasetReader, MemoryFile
from rasterio.windows import Window as RasterioWindow

from geopix2pix.bands import color_table
from geopix2pix.damage import Damage, blocks_in
from geopix2pix.gdal import MAX_PIXELS, guarded, open_dataset
from geopix2pix.grid import Window
from geopix2pix.remote import Source

SIDE = 1024  # pixels of the longer side of each half: a screen shows both
GUTTER = 16
MASKED = 128
STRETCH = (2, 98)  # percentiles of what is not stored in eight bits

Picture = npt.NDArray[np.uint8]


def side_by_side(
    source: Source,
    result: Path,
    bands: Sequence[int],
    extent: Window,
    max_pixels: int = MAX_PIXELS,
    damage: Damage | None = None,
) -> bytes:
    """A PNG of the `bands` (1-based, the first three or the first one) of a scene on the left, its map on the right.

    `extent` is the window of the scene that the map shows, on whatever pixels; both pictures are of one size. What is
    masked in the result is grey on both sides, for roads are often white.
    `damage` may let damaged blocks of the scene be black.

    Raises:
        RasterError: one of them cannot be read.
    """
    shown = list(bands[:3]) if len(bands) >= 3 else [bands[0]] * 3
    right, valid = _decimated(result, None, None, max_pixels, Damage())
    left, _ = _decimated(source, shown, extent, max_pixels, Damage() if damage is None else damage, valid.shape)
    for picture in (left, right):
        picture[:, ~valid] = MASKED
    gutter = np.full((3, left.shape[1], GUTTER), 255, np.uint8)
    both = np.concatenate([left, gutter, right], axis=2)
    with guarded(result, "make a preview of it"), MemoryFile() as file:
        rows, cols = both.shape[1:]
        with file.open(driver="PNG", width=cols, height=rows, count=3, dtype="uint8") as png:
            png.write(both)
        return bytes(file.read())


def _decimated(
    path: Source,
    bands: Sequence[int] | None,
    extent: Window | None,
    max_pixels: int,
    damage: Damage,
    shape: tuple[int, ...] = (),
) -> tuple[Picture, npt.NDArray[np.bool_]]:
    """A window of a raster as red, green and blue, and where it is valid; of a shape, or of up to `SIDE` a side."""
    with open_dataset(path, max_pixels=max_pixels) as dataset, guarded(path, "make a preview of it"):
        where = Window(0, 0, dataset.width, dataset.height) if extent is None else extent
        shrink = min(1.0, SIDE / max(where.width, where.height))
        shape = shape or (max(1, round(where.height * shrink)), max(1, round(where.width * shrink)))
        indexes = bands or (dataset.indexes[:3] if dataset.count >= 3 else [1, 1, 1])
        window = RasterioWindow(*where)
        try:
            data = dataset.read(indexes, out_shape=(3, *shape), window=window, resampling=Resampling.nearest)
            valid = dataset.dataset_mask(out_shape=shape, window=window) != 0
        except RasterioIOError:
            if not damage.masks:
                raise
            data, valid = _picked(path, dataset, indexes, where, shape, damage)
        if (colors := color_table(dataset)) is not None:
            data = colors[:3, data[0]]
    return _eight_bits(data, valid), valid


def _picked(
    path: Source, dataset: DatasetReader, bands: Sequence[int], where: Window, shape: tuple[int, ...], damage: Damage
) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """As many pixels of a window as `shape` has, evenly spread, picked block by block of what can be decoded."""

    def read(window: Window) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
        block = RasterioWindow(*window)
        return dataset.read(bands, window=block), dataset.dataset_mask(window=block) != 0

    rows = where.row + (2 * np.arange(shape[0]) + 1) * where.height // (2 * shape[0])
    cols = where.col + (2 * np.arange(shape[1]) + 1) * where.width // (2 * shape[1])
    data, valid = np.zeros((len(bands), *shape), dataset.dtypes[bands[0] - 1]), np.zeros(shape, bool)
    for block in blocks_in(dataset, where):
        down = np.flatnonzero((rows >= block.row) & (rows < block.bottom))[:, None]
        across = np.flatnonzero((cols >= block.col) & (cols < block.right))
        if down.size and across.size:
            for _, (values, known) in damage.parts(path, dataset, block, read):
                row, col = rows[down] - block.row, cols[across] - block.col
                data[:, down, across], valid[down, across] = values[:, row, col], known[row, col]
    return data, valid


def _eight_bits(data: npt.NDArray[Any], valid: npt.NDArray[np.bool_]) -> Picture:
    if data.dtype == np.uint8 or not valid.any():
        return data.astype(np.uint8)
    low, high = np.nanpercentile(data[:, valid], STRETCH)
    scaled = (np.nan_to_num(data.astype(np.float64)) - low) / max(high - low, np.finfo(float).eps)
    stretched: Picture = (scaled.clip(0, 1) * 255).astype(np.uint8)
    return stretched
