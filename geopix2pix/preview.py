"""A picture of a scene beside its map, to look at without a GIS."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.enums import Resampling
from rasterio.io import MemoryFile
from rasterio.windows import Window as RasterioWindow

from geopix2pix.bands import color_table
from geopix2pix.gdal import MAX_PIXELS, guarded, open_dataset
from geopix2pix.grid import Window
from geopix2pix.remote import Source

SIDE = 1024  # pixels of the longer side of each half: a screen shows both
GUTTER = 16
STRETCH = (2, 98)  # percentiles of what is not stored in eight bits

Picture = npt.NDArray[np.uint8]


def side_by_side(
    source: Source, result: Path, bands: Sequence[int], extent: Window, max_pixels: int = MAX_PIXELS
) -> bytes:
    """A PNG of the `bands` (1-based, the first three or the first one) of a scene on the left, its map on the right.

    `extent` is the window of the scene that the map shows. What is masked in the result is white on both sides.

    Raises:
        RasterError: one of them cannot be read.
    """
    shown = list(bands[:3]) if len(bands) >= 3 else [bands[0]] * 3
    right, valid = _decimated(result, None, None, max_pixels)
    left, _ = _decimated(source, shown, extent, max_pixels)
    for picture in (left, right):
        picture[:, ~valid] = 255
    gutter = np.full((3, left.shape[1], GUTTER), 255, np.uint8)
    both = np.concatenate([left, gutter, right], axis=2)
    with guarded(result, "make a preview of it"), MemoryFile() as file:
        rows, cols = both.shape[1:]
        with file.open(driver="PNG", width=cols, height=rows, count=3, dtype="uint8") as png:
            png.write(both)
        return bytes(file.read())


def _decimated(
    path: Source, bands: Sequence[int] | None, extent: Window | None, max_pixels: int
) -> tuple[Picture, npt.NDArray[np.bool_]]:
    """At most `SIDE` pixels a side of a window of a raster as red, green and blue, and where it is valid."""
    with open_dataset(path, max_pixels=max_pixels) as dataset, guarded(path, "make a preview of it"):
        where = Window(0, 0, dataset.width, dataset.height) if extent is None else extent
        shrink = min(1.0, SIDE / max(where.width, where.height))
        shape = max(1, round(where.height * shrink)), max(1, round(where.width * shrink))
        indexes = bands or (dataset.indexes[:3] if dataset.count >= 3 else [1, 1, 1])
        window = RasterioWindow(*where)
        data = dataset.read(indexes, out_shape=(3, *shape), window=window, resampling=Resampling.nearest)
        valid = dataset.dataset_mask(out_shape=shape, window=window) != 0
        if (colors := color_table(dataset)) is not None:
            data = colors[:3, data[0]]
    return _eight_bits(data, valid), valid


def _eight_bits(data: npt.NDArray[Any], valid: npt.NDArray[np.bool_]) -> Picture:
    if data.dtype == np.uint8 or not valid.any():
        return data.astype(np.uint8)
    low, high = np.nanpercentile(data[:, valid], STRETCH)
    scaled = (np.nan_to_num(data.astype(np.float64)) - low) / max(high - low, np.finfo(float).eps)
    stretched: Picture = (scaled.clip(0, 1) * 255).astype(np.uint8)
    return stretched
