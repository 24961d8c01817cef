"""Convolutions that repeat the edge instead of padding with zeros, so that no border tells a network where it is."""

import torch.nn.functional as F
from torch import Tensor, nn

from geopix2pix.architecture import Padding
from geopix2pix.errors import ConfigError


class ReplicateConv2d(nn.Conv2d):
    """The convolution `layer`, whose parameters it takes over, on a scene whose edge pixels are repeated outside."""

    def __init__(self, layer: nn.Conv2d, *, rows: tuple[int, int], cols: tuple[int, int]) -> None:
        """Repeat `rows` above and below, `cols` on the left and on the right."""
        super().__init__(
            layer.in_channels,
            layer.out_channels,
            layer.kernel_size,  # type: ignore[arg-type]  # torch takes pairs, but types its own as tuples of any length
            stride=layer.stride,  # type: ignore[arg-type]
            dilation=layer.dilation,  # type: ignore[arg-type]
            groups=layer.groups,
            bias=layer.bias is not None,
        )
        self.weight, self.bias = layer.weight, layer.bias
        self.edges = (*cols, *rows)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, self.edges, mode="replicate") if any(self.edges) else x)


class ReplicateConvTranspose2d(nn.ConvTranspose2d):
    """A 4x4 stride-2 transposed convolution that doubles its input as if the edge pixels went on outside."""

    def __init__(self, in_channels: int, out_channels: int, *, bias: bool) -> None:
        # One repeated pixel on each side becomes two; they are cropped together with the usual one.
        super().__init__(in_channels, out_channels, 4, stride=2, padding=3, bias=bias)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        return super().forward(F.pad(x, (1, 1, 1, 1), mode="replicate"), output_size)


def convolution(
    in_channels: int, out_channels: int, size: int, *, stride: int = 1, bias: bool, padding: Padding
) -> nn.Conv2d:
    """A convolution whose output is its input's size divided by `stride`."""
    return nn.Conv2d(
        in_channels, out_channels, size, stride=stride, padding=(size - 1) // 2, bias=bias, padding_mode=padding
    )


def replicate_edges(network: nn.Module) -> None:
    """Make all convolutions of a foreign network repeat edge pixels instead of padding with zeros, in place.

    Parameter names stay. TensorFlow's "SAME" padding becomes the explicit one that it is for inputs of even size, the
    odd pixel on the right and at the bottom.

    Raises:
        ConfigError: there is a kind of convolution whose padding is not known.
    """
    for name, layer in network.named_children():
        if isinstance(layer, nn.Conv2d):
            setattr(network, name, _replicated(layer))
        else:
            replicate_edges(layer)
    _repeat_before_expansion(network)


def _replicated(layer: nn.Conv2d) -> nn.Conv2d:
    kind = type(layer).__name__
    if layer.padding == (0, 0) and (type(layer) is nn.Conv2d or layer.kernel_size == (1, 1)):
        return layer
    if type(layer) is nn.Conv2d and isinstance(layer.padding, tuple):
        rows, cols = layer.padding
        return ReplicateConv2d(layer, rows=(rows, rows), cols=(cols, cols))
    if kind == "Conv2dSame":
        return ReplicateConv2d(layer, rows=_same(layer, 0), cols=_same(layer, 1))
    raise ConfigError(
        f"replicate padding was asked for an encoder with {kind} layers, whose own padding cannot be replaced; "
        "choose another encoder or the padding `zeros`"
    )


def _same(layer: nn.Conv2d, axis: int) -> tuple[int, int]:
    reach = layer.dilation[axis] * (layer.kernel_size[axis] - 1) + 1
    total = max(reach - layer.stride[axis], 0)
    return total // 2, total - total // 2


def _repeat_before_expansion(network: nn.Module) -> None:
    """Where timm's inverted residual widens its input for a depthwise convolution, repeat edges before that.

    What widens it (a pointwise convolution, a norm, an activation) looks at single pixels, so that it makes the same
    edges of them; a sixth of the values is moved.
    """
    deep, wide = getattr(network, "conv_dw", None), getattr(network, "conv_pw", None)
    if not hasattr(network, "conv_pwl") or not isinstance(deep, ReplicateConv2d) or not isinstance(wide, nn.Conv2d):
        return
    network.conv_pw = ReplicateConv2d(wide, rows=deep.edges[2:], cols=deep.edges[:2])
    network.conv_dw = ReplicateConv2d(deep, rows=(0, 0), cols=(0, 0))
