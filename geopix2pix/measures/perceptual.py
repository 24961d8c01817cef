"""How far pictures are apart for a network that learned to see: LPIPS between two, KID and FID between two sets."""

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torchmetrics.functional.image.lpips import _LPIPS
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from geopix2pix.errors import ModelFileError
from geopix2pix.measures.figures import Interval
from geopix2pix.measures.inception import fill

SIDE = 256
"""Pixels of the squares that are compared; smaller pictures are one square of their shorter side."""
SMALLEST = 64  # below it nothing is left in the deepest layers of the networks
KNOWN_SHARE = 0.95
FID_PICTURES = 1000
"""Below so many the bias of FID hides what models differ by; KID has none (Binkowski et al. 2018, section 4)."""
SUBSETS = 100  # halves of the pictures, for the interval of KID

Backbone = Literal["alex", "vgg", "squeeze"]
Levels = npt.NDArray[np.float32]


def load_lpips(path: Path) -> nn.Module:
    """The network of LPIPS (Zhang et al. 2018) from a safetensors file: backbone and weights of its layers.

    The names are those of torchmetrics' network; which of its three backbones it is, the number of channels tells.

    Raises:
        ModelFileError: the file cannot be read or holds other weights.
    """
    failure: ModelFileError | None = None
    for backbone in get_args(Backbone):
        network: nn.Module = _LPIPS(pretrained=False, pnet_rand=True, net=backbone)  # empty: nothing is fetched
        try:
            fill(network, path, f"LPIPS ({backbone})")
        except ModelFileError as error:
            failure = failure or error
        else:
            return network
    assert failure is not None
    raise failure


@torch.inference_mode()
def lpips(network: nn.Module, predicted: Levels, true: Levels) -> float:
    """LPIPS of two pictures (bands, rows, cols) in grey levels."""
    first, second = (_three(picture)[None] / 127.5 - 1 for picture in (predicted, true))
    return float(network(first, second).squeeze())


@torch.inference_mode()
def features(network: nn.Module, picture: Levels) -> Tensor:
    """What the network sees in a picture (bands, rows, cols) in grey levels, shape (features,)."""
    seen: Tensor = network(_three(picture)[None])
    return seen[0]


def _three(picture: Levels) -> Tensor:
    """Red, green and blue, or what stands for them: the first three bands, or the first one as grey."""
    shown = picture[:3] if len(picture) >= 3 else np.repeat(picture[:1], 3, axis=0)
    return torch.from_numpy(np.ascontiguousarray(shown))


class _Given(nn.Module):
    """Features in place of the pictures that they were seen in."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, x: Tensor) -> Tensor:
        return x


def kernel_distance(predicted: Sequence[Tensor], true: Sequence[Tensor]) -> tuple[float, Interval]:
    """KID of two sets of features (Binkowski et al. 2018, section 4), and its 95 % interval; NaN for fewer than four.

    The value is that of all pictures and does not depend on their order. The interval is that of a normal distribution
    with the spread of 100 halves (the delete-half jackknife of Shao and Wu 1989).
    """
    count = min(len(predicted), len(true))
    if count < 4:
        return math.nan, Interval(math.nan, math.nan)
    with _quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        (value, _), (middle, spread) = (
            _kid(predicted, true, subsets=subsets, size=size) for subsets, size in ((1, count), (SUBSETS, count // 2))
        )
    deviation = 1.96 * math.hypot(spread, middle - value)
    return value, Interval(value - deviation, value + deviation)


def _kid(predicted: Sequence[Tensor], true: Sequence[Tensor], *, subsets: int, size: int) -> tuple[float, float]:
    metric = KernelInceptionDistance(_Given(len(true[0])), subsets=subsets, subset_size=size)
    metric.update(torch.stack(list(true)).double(), real=True)
    metric.update(torch.stack(list(predicted)).double(), real=False)
    mean, spread = metric.compute()
    return float(mean), float(spread)


def frechet_distance(predicted: Sequence[Tensor], true: Sequence[Tensor]) -> float:
    """FID of two sets of features (Heusel et al. 2017); NaN below `FID_PICTURES`."""
    if min(len(predicted), len(true)) < FID_PICTURES:
        return math.nan
    with _quiet():
        metric = FrechetInceptionDistance(_Given(len(true[0])))
        metric.update(torch.stack(list(true)).double(), real=True)
        metric.update(torch.stack(list(predicted)).double(), real=False)
        return float(metric.compute())


@contextmanager
def _quiet() -> Iterator[None]:
    """A context without the warning of torchmetrics that features take memory."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield
