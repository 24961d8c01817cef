"""The Inception network that FID and KID are measured with, built empty and filled from a local file.

It differs from that of torchvision in its pooling: the TensorFlow graph of 2015 (Heusel et al. 2017) leaves the padding
out of averages, and its last block takes maxima. The names of its weights are those of torch-fidelity and pytorch-fid.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models import inception

from geopix2pix.errors import ModelFileError

SIDE = 299  # pixels, to which the network was trained and every picture is resized
FEATURES = 2048


class _BlockA(inception.InceptionA):  # type: ignore[misc]
    def _forward(self, x: Tensor) -> list[Tensor]:
        return [
            self.branch1x1(x),
            self.branch5x5_2(self.branch5x5_1(x)),
            self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x))),
            self.branch_pool(_mean_inside(x)),
        ]


class _BlockC(inception.InceptionC):  # type: ignore[misc]
    def _forward(self, x: Tensor) -> list[Tensor]:
        long = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        return [
            self.branch1x1(x),
            self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x))),
            self.branch7x7dbl_5(self.branch7x7dbl_4(long)),
            self.branch_pool(_mean_inside(x)),
        ]


class _BlockE(inception.InceptionE):  # type: ignore[misc]
    def __init__(self, in_channels: int, *, last: bool) -> None:
        super().__init__(in_channels)
        self._last = last

    def _forward(self, x: Tensor) -> list[Tensor]:
        short, long = self.branch3x3_1(x), self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        pool = F.max_pool2d(x, 3, stride=1, padding=1) if self._last else _mean_inside(x)
        return [
            self.branch1x1(x),
            torch.cat([self.branch3x3_2a(short), self.branch3x3_2b(short)], 1),
            torch.cat([self.branch3x3dbl_3a(long), self.branch3x3dbl_3b(long)], 1),
            self.branch_pool(pool),
        ]


def _mean_inside(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


class Inception(nn.Module):
    """Pictures (n, 3, rows, cols), grey levels from 0 to 255, to features (n, 2048)."""

    num_features = FEATURES

    def __init__(self) -> None:
        super().__init__()
        conv = inception.BasicConv2d
        self.Conv2d_1a_3x3 = conv(3, 32, kernel_size=3, stride=2)
        self.Conv2d_2a_3x3 = conv(32, 32, kernel_size=3)
        self.Conv2d_2b_3x3 = conv(32, 64, kernel_size=3, padding=1)
        self.Conv2d_3b_1x1 = conv(64, 80, kernel_size=1)
        self.Conv2d_4a_3x3 = conv(80, 192, kernel_size=3)
        self.Mixed_5b = _BlockA(192, pool_features=32)
        self.Mixed_5c = _BlockA(256, pool_features=64)
        self.Mixed_5d = _BlockA(288, pool_features=64)
        self.Mixed_6a = inception.InceptionB(288)
        self.Mixed_6b = _BlockC(768, channels_7x7=128)
        self.Mixed_6c = _BlockC(768, channels_7x7=160)
        self.Mixed_6d = _BlockC(768, channels_7x7=160)
        self.Mixed_6e = _BlockC(768, channels_7x7=192)
        self.Mixed_7a = inception.InceptionD(768)
        self.Mixed_7b = _BlockE(1280, last=False)
        self.Mixed_7c = _BlockE(2048, last=True)

    def forward(self, pictures: Tensor) -> Tensor:
        x = F.interpolate(pictures, (SIDE, SIDE), mode="bilinear", align_corners=False, antialias=True)
        x = (x - 128) / 128
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Conv2d_3b_1x1(F.max_pool2d(x, 3, stride=2))
        x = F.max_pool2d(self.Conv2d_4a_3x3(x), 3, stride=2)
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x)))
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))))
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))
        features: Tensor = x.mean(dim=(2, 3))
        return features


def load_inception(path: Path) -> Inception:
    """The network with the weights in a safetensors file; its classifier may be in the file and is not used.

    Raises:
        ModelFileError: the file cannot be read or holds other weights; the message names the tensor.
    """
    network = Inception()
    fill(network, path, "the Inception network of FID and KID")
    return network


def fill(network: nn.Module, path: Path, what: str) -> None:
    """Fill a network from a safetensors file, which may hold more, and put it into evaluation mode without gradients.

    Raises:
        ModelFileError: the file cannot be read or does not fit; the message names the tensor.
    """
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelFileError(
            f"{path}: no readable weights of {what} ({error}); a local .safetensors file is needed, nothing is fetched "
            "(docs/evaluation.md tells how to make one)"
        ) from error
    own = dict(network.named_parameters()) | dict(network.named_buffers())  # which name what is shared only once
    state = {name: tensor for name, tensor in network.state_dict().items() if name in own}
    expected = {name: tensor for name, tensor in state.items() if tensor.is_floating_point()}
    for name, tensor in expected.items():
        found = tuple(tensors[name].shape) if name in tensors else "missing"
        if found != tuple(tensor.shape):
            raise ModelFileError(
                f"{path}: not the weights of {what}: tensor {name} is {found}, expected {tuple(tensor.shape)}"
            )
    network.load_state_dict({name: tensors[name].to(torch.float32) for name in expected}, strict=False)
    network.eval().requires_grad_(False)
