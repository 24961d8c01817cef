"""Small strange rasters for tests. A pixel's value tells where it is, so that a shift by one is seen."""

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from rasterio.enums import ColorInterp

from geopix2pix.gdal import unreferenced_allowed

DATA = Path(__file__).parents[2] / "shared" / "data"
"""Real data, which are not part of the repository."""

ROTATED = Affine(0.4, 0.3, 300_000, 0.3, -0.4, 5_000_000)  # half-metre pixels, not parallel to the axes


def coordinates(bands: int, height: int, width: int, dtype: str) -> np.ndarray:
    """Values from 1 up that differ between neighbours and between bands, shape (bands, rows, cols)."""
    band, row, col = np.ogrid[:bands, :height, :width]
    return ((band * 101 + row * 31 + col * 7) % 120 + 1).astype(dtype)


def write_raster(
    path: Path,
    data: np.ndarray,
    *,
    mask: np.ndarray | None = None,
    internal: bool = True,
    colors: tuple[str, ...] = (),
    **profile: Any,
) -> Path:
    """A raster file with `data` and, if given, a mask (True = valid), either in the file or in a .msk beside it."""
    bands, height, width = data.shape
    size = {"count": bands, "height": height, "width": width, "dtype": data.dtype}
    if profile.get("driver", "GTiff") == "GTiff":
        profile = {"photometric": "minisblack"} | profile  # else GDAL takes the fourth of four bands for alpha
    with (
        unreferenced_allowed(),
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=internal),
        rasterio.open(path, "w", **{"driver": "GTiff"} | size | profile) as dataset,
    ):
        dataset.write(data)
        if colors:
            dataset.colorinterp = [ColorInterp[color] for color in colors]
        if mask is not None:
            dataset.write_mask(mask)
    return path


def l_shape(height: int, width: int) -> np.ndarray:
    """Valid in the shape of an L: the upper right three quarters hold no data."""
    valid = np.zeros((height, width), bool)
    valid[:, : max(1, width // 4)] = True
    valid[height - max(1, height // 4) :] = True
    return valid


def speckle(height: int, width: int) -> np.ndarray:
    """Single pixels without data all over."""
    return np.random.default_rng(7).random((height, width)) > 0.2


def rotated_collar(height: int, width: int) -> np.ndarray:
    """Valid in a square that stands on its corner, as in a scene that was rotated to north."""
    row, col = np.ogrid[:height, :width]
    return abs(2 * row - height) / height + abs(2 * col - width) / width <= 1.0


def almost_empty(height: int, width: int) -> np.ndarray:
    """Valid in one corner pixel."""
    valid = np.zeros((height, width), bool)
    valid[-1, -1] = True
    return valid


MASKS = (l_shape, speckle, rotated_collar, almost_empty)
