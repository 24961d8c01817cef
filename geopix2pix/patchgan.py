"""The PatchGAN discriminator of pix2pix (Isola et al. 2017, section 3.2.2 and appendix 6.1.2)."""

from torch import Tensor, nn

from geopix2pix.architecture import DiscriminatorSpec
from geopix2pix.errors import ConfigError
from geopix2pix.norms import norm_layer

UNFIT = ("frozen", "renorm")


def discriminator(spec: DiscriminatorSpec) -> nn.Sequential:
    """The PatchGAN that maps a source and a target, joined along the bands, to one logit per overlapping patch.

    Raises:
        ConfigError: a number is impossible, or the norm trains with stored statistics, while what the discriminator
            sees changes all the time.
    """
    if min(spec.in_channels, spec.width, spec.layers) < 1 or spec.norm in UNFIT:
        raise ConfigError(f"no discriminator can be built from {spec}: sizes start at 1, the norm is not {UNFIT}")
    channels = [spec.width * min(2**level, 8) for level in range(spec.layers + 1)]
    network = nn.Sequential(nn.Conv2d(spec.in_channels, spec.width, 4, stride=2, padding=1), nn.LeakyReLU(0.2))
    for level in range(1, spec.layers + 1):
        stride = 2 if level < spec.layers else 1
        bias = spec.norm == "none"
        network.append(nn.Conv2d(channels[level - 1], channels[level], 4, stride=stride, padding=1, bias=bias))
        network.append(norm_layer(spec.norm, channels[level]))
        network.append(nn.LeakyReLU(0.2))
    return network.append(nn.Conv2d(channels[-1], 1, 4, padding=1))


def patch_features(network: nn.Module, pair: Tensor) -> list[Tensor]:
    """What each stage of a discriminator, up to its activation, makes of a joined pair; the last are the logits."""
    assert isinstance(network, nn.Sequential)
    features, x = [], pair
    for layer in network:
        x = layer(x)
        if isinstance(layer, nn.LeakyReLU):
            features.append(x)
    return [*features, x]


def patch_field(spec: DiscriminatorSpec) -> int:
    """The side of the square of pixels that one logit sees."""
    field = 4 + 3  # the two stride-1 convolutions
    for _ in range(spec.layers):
        field = 2 * field + 2
    return field


def patch_stride(spec: DiscriminatorSpec) -> int:
    """Pixels between neighbouring patches."""
    return int(2**spec.layers)
