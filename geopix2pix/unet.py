"""The U-Net of pix2pix (Isola et al. 2017, section 3.2.1 and appendix 6.1.1)."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from geopix2pix.architecture import GeneratorSpec
from geopix2pix.norms import norm_layer
from geopix2pix.padding import ReplicateConvTranspose2d, convolution

DROPOUT_LEVELS = 3  # the CD512 levels of the paper


class UNet(nn.Module):
    """Stride-2 convolutions down to the bottleneck and as many steps back, with skip connections between equals.

    A convolution has a bias where no norm follows it.
    """

    def __init__(self, spec: GeneratorSpec) -> None:
        super().__init__()
        channels = [spec.width * min(2**level, 8) for level in range(spec.depth)]
        ladder = enumerate(pairwise([spec.in_bands, *channels]))
        self.down = nn.ModuleList(_down(spec, level, before, after) for level, (before, after) in ladder)
        self.up = nn.ModuleList()
        for step, level in enumerate(reversed(range(spec.depth))):
            before = channels[level] if step == 0 else 2 * channels[level]
            self.up.append(_up(spec, step, before, channels[level - 1] if level else spec.out_channels))

    def forward(self, x: Tensor) -> Tensor:
        features = []
        for stage in self.down:
            x = stage(x)
            features.append(x)
        x = self.up[0](features.pop())
        for stage in self.up[1:]:
            x = stage(torch.cat([x, features.pop()], dim=1))
        return x


def _down(spec: GeneratorSpec, level: int, before: int, after: int) -> nn.Sequential:
    layers = nn.Sequential()
    if level > 0:
        layers.append(nn.LeakyReLU(0.2))
    norm = spec.norm if 0 < level < spec.depth - 1 else "none"
    layers.append(convolution(before, after, 4, stride=2, bias=norm == "none", padding=spec.padding))
    layers.append(norm_layer(norm, after))
    return layers


def _up(spec: GeneratorSpec, step: int, before: int, after: int) -> nn.Sequential:
    last = step == spec.depth - 1
    layers = nn.Sequential(nn.ReLU(), *_doubling(spec, before, after, bias=last or spec.norm == "none"))
    if not last:
        layers.append(norm_layer(spec.norm, after))
        if step < DROPOUT_LEVELS:
            layers.append(nn.Dropout(spec.dropout))
    return layers


def _doubling(spec: GeneratorSpec, before: int, after: int, *, bias: bool) -> list[nn.Module]:
    if spec.upsampling == "resize":
        return [nn.Upsample(scale_factor=2), convolution(before, after, 3, bias=bias, padding=spec.padding)]
    if spec.padding == "replicate":
        return [ReplicateConvTranspose2d(before, after, bias=bias)]
    return [nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, bias=bias)]
