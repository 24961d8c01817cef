"""Normalization layers, and how batch norms are measured once and then left alone."""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geopix2pix.architecture import Norm

# Ioffe 2017, section 4: r_max and d_max, which rise there; here statistics are measured before training starts.
MAX_SCALE, MAX_SHIFT = 3.0, 5.0
RENORM_MOMENTUM = 0.01  # likewise


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
    """A fresh layer of the kind `norm`; the batch norms differ only in `hold_statistics` and `renormalize`."""
    match norm:
        case "batch" | "frozen" | "renorm":
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


def renormalize(network: nn.Module) -> None:
    """Make every batch norm a batch renormalization (Ioffe 2017, algorithm 1) while `network` trains.

    A layer then normalizes by statistics that move with the batches, as it does in use; yet gradients flow through the
    statistics of the batch, as in batch norm. The layers stay what they are, and so do the names of their tensors.
    """
    for layer in batch_norms(network):
        layer.register_forward_pre_hook(_Renormalization(network))


class _Renormalization:
    """Changes the input of a batch norm that holds its statistics so that its output is the renormalized one.

    Where a batch is so like the others that no correction meets its limit, that is the input itself, and only the
    gradient differs from that of a frozen norm.
    """

    def __init__(self, network: nn.Module) -> None:
        self._network = network

    def __call__(self, layer: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor | None:
        assert isinstance(layer, nn.BatchNorm2d) and layer.running_mean is not None and layer.running_var is not None
        if not self._network.training:
            return None
        (x,) = inputs
        variance, mean = torch.var_mean(x.float(), dim=(0, 2, 3), correction=0)
        with torch.no_grad():
            layer.running_mean.lerp_(mean, RENORM_MOMENTUM)
            layer.running_var.lerp_(variance, RENORM_MOMENTUM)
        own, stored = (variance + layer.eps).sqrt(), (layer.running_var + layer.eps).sqrt()
        scale = (own / stored).detach().clamp(1 / MAX_SCALE, MAX_SCALE)
        shift = ((mean - layer.running_mean) / stored).detach().clamp(-MAX_SHIFT, MAX_SHIFT)
        normalized = (x - _spread(mean)) * _spread(scale / own) + _spread(shift)
        # The layer, which holds its statistics, undoes this line.
        return (normalized * _spread(stored) + _spread(layer.running_mean)).to(x.dtype)


def _spread(channels: Tensor) -> Tensor:
    return channels.view(1, -1, 1, 1)


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
