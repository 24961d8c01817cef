"""Normalization layers, and how batch norms are measured once and then left alone."""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geopix2pix.architecture import Norm


class ChannelNorm(nn.Module):
    """Layer norm over the channels of each pixel (Ba et al. 2016), which looks at no other pixel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        pixels = x.permute(0, 2, 3, 1)
        return F.layer_norm(pixels, self.weight.shape, self.weight, self.bias).permute(0, 3, 1, 2)


def norm_layer(norm: Norm, channels: int) -> nn.Module:
    """A fresh layer of the kind `norm`; batch and frozen differ only in `hold_statistics`."""
    match norm:
        case "batch" | "frozen":
            return nn.BatchNorm2d(channels)
        case "channel":
            return ChannelNorm(channels)
        case "none":
            return nn.Identity()


def batch_norms(network: nn.Module) -> list[nn.BatchNorm2d]:
    """All batch norms inside `network`, those of encoder libraries (with an activation built in) included."""
    return [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]


def hold_statistics(network: nn.Module) -> None:
    """Make every batch norm use its stored statistics, also in a network that trains; scale and shift still train."""
    for layer in batch_norms(network):
        layer.eval()


def measure_statistics(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Replace the stored statistics of every batch norm by the average of those of `batches`, in one pass.

    Every layer sees its input as normalized by the batch's own statistics in the layers before it, as in training.
    Dropout is off. The network is left in the mode in which it was found.

    Raises:
        ValueError: there is no batch.
    """
    training = network.training
    network.eval()
    layers = batch_norms(network)
    momenta = [layer.momentum for layer in layers]
    count = 0
    for layer in layers:
        layer.train()
    with torch.no_grad():
        for batch in batches:
            count += 1
            for layer in layers:
                layer.momentum = 1 / count  # the cumulative average; the first batch overwrites what was stored
            network(batch)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    network.train(training)
    if count == 0:
        raise ValueError("no batch to measure statistics on")
