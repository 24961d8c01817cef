"""Random changes to training pairs: where and how large a crop is taken, which way up, in what light.

Every draw comes from the generator that is passed in, in a fixed order, so that an image depends on nothing else.
"""

from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from geopix2pix.grid import Window

Symmetry = Literal["none", "mirror", "dihedral"]
"""`mirror`: left-right flips, as published; `dihedral`: all eight flips and quarter turns, for pictures from above."""
SHADES = 4  # places along a side between which the light changes


def random_window(rng: np.random.Generator, width: int, height: int, crop: int, scale: tuple[float, float]) -> Window:
    """A square window that, resized to `crop` pixels, magnifies the picture by a log-uniform factor within `scale`.

    Small pictures are magnified more rather than exceeded, as far as `scale` allows; beyond that the window is
    larger than the picture and starts at its first pixel.
    """
    low, high = scale
    low = min(max(low, crop / min(width, height)), high)
    factor = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    side = max(1, round(crop / factor))
    col = int(rng.integers(0, max(width - side, 0) + 1))
    row = int(rng.integers(0, max(height - side, 0) + 1))
    return Window(col, row, side, side)


def turned(picture: Tensor, symmetry: Symmetry, element: int) -> Tensor:
    """The picture (..., rows, cols) under one of the eight symmetries of the square, `element` from 0 to 7."""
    if symmetry == "none":
        return picture
    if element % 2:
        picture = picture.flip(-1)
    if symmetry == "dihedral":
        picture = picture.rot90(element // 2, (-2, -1))
    return picture


def relit(rng: np.random.Generator, source: Tensor, strength: float) -> Tensor:
    """The source (bands, rows, cols) in [-1, 1] as another sensor, season or hour might have seen it.

    Gamma, contrast, brightness, a gain per band, saturation where there are three bands, a slight blur for every fourth
    image, light that changes from one side to the other as under clouds, and a sensor's noise; at strength 1 each moves
    by up to about a quarter. The answer stays in [-1, 1].
    """
    gamma, contrast, saturation = np.exp(strength * rng.uniform(-0.25, 0.25, 3))
    brightness = strength * rng.uniform(-0.1, 0.1)
    gains = np.exp(strength * rng.uniform(-0.08, 0.08, len(source)))
    blurred = rng.random() < 0.25 * min(strength, 1)
    shade = strength * rng.uniform(-0.2, 0.2, (SHADES, SHADES))
    grain = strength * rng.uniform(0, 0.01)
    noise = rng.standard_normal(source.shape, dtype=np.float32) * np.float32(grain)
    # In NumPy: torch shares powers and means among its threads, and rounds them otherwise for other numbers of threads.
    seen = ((source + 1) / 2).clamp(0, 1).numpy() ** np.float32(gamma)
    light, mean = torch.from_numpy(seen), float(seen.mean(dtype=np.float64))
    light = (light - mean) * float(contrast) + mean + float(brightness)
    light = light * torch.from_numpy(gains.astype(np.float32))[:, None, None]
    if len(light) == 3:
        gray = light.mean(0, keepdim=True)
        light = gray + (light - gray) * float(saturation)
    light = light * torch.from_numpy(np.exp(_between(shade, *light.shape[1:])))
    if blurred:
        light = F.avg_pool2d(F.pad(light[None], (1, 1, 1, 1), mode="replicate"), 3, stride=1)[0]
    return (light + torch.from_numpy(noise)).clamp(0, 1) * 2 - 1


def _between(values: npt.NDArray[np.float64], rows: int, cols: int) -> npt.NDArray[np.float32]:
    """A surface (rows, cols), float32, that is linear between `values`, which are spread over it evenly."""
    at = [np.linspace(0, length - 1, size) for length, size in zip(values.shape, (rows, cols), strict=True)]
    down, across = (
        np.maximum(1 - np.abs(place[:, None] - np.arange(n)), 0) for place, n in zip(at, values.shape, strict=True)
    )
    surface: npt.NDArray[np.float32] = np.einsum("ri,ij,cj->rc", down, values, across).astype(np.float32)
    return surface
