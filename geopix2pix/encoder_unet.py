"""A U-Net (Ronneberger et al. 2015) whose way down is an encoder of segmentation-models-pytorch."""

from typing import Any

from torch import Tensor, nn

from geopix2pix.architecture import ENCODER_NAME, GeneratorSpec
from geopix2pix.doubling import DoublingConv2d
from geopix2pix.errors import ConfigError
from geopix2pix.norms import norm_layer
from geopix2pix.padding import convolution, replicate_edges


class EncoderUNet(nn.Module):
    """The decoder doubles by nearest neighbours, joins the encoder's features (at last the scene) and convolves."""

    def __init__(self, spec: GeneratorSpec) -> None:
        super().__init__()
        self.encoder = _encoder(spec)
        encoder_channels: list[int] = self.encoder.out_channels  # type: ignore[assignment]  # a property
        *skips, deepest = encoder_channels
        self.decoder = nn.ModuleList()
        coarser = (deepest, *spec.decoder_channels[:-1])
        for before, skip, after in zip(coarser, reversed(skips), spec.decoder_channels, strict=True):
            joining = DoublingConv2d(before, skip, after, bias=spec.norm == "none", padding=spec.padding)
            self.decoder.append(_Level(*_block(spec, joining), *_block(spec, _convolution(spec, after))))
        self.head = convolution(spec.decoder_channels[-1], spec.out_channels, 3, bias=True, padding=spec.padding)

    def forward(self, x: Tensor) -> Tensor:
        *skips, x = self.encoder(x)
        for level, skip in zip(self.decoder, reversed(skips), strict=True):
            x = level(x, skip)
        output: Tensor = self.head(x)
        return output


class _Level(nn.Sequential):
    """A step up: the first layer doubles coarse features and joins finer ones; the others follow."""

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:  # type: ignore[override]  # of two features
        joining, *layers = self
        x: Tensor = joining(coarse, fine)
        for layer in layers:
            x = layer(x)
        return x


def _encoder(spec: GeneratorSpec) -> nn.Module:
    if not ENCODER_NAME.fullmatch(spec.encoder):
        raise ConfigError(f"encoder: {spec.encoder!r} is no plain name of an encoder in segmentation-models-pytorch")
    from segmentation_models_pytorch.encoders import get_encoder  # takes seconds, which other bodies save

    try:
        encoder: nn.Module = get_encoder(spec.encoder, in_channels=spec.in_bands, depth=spec.depth, weights=None)
    except (KeyError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f"encoder: segmentation-models-pytorch cannot build {spec.encoder!r} with depth {spec.depth}: {error}"
        ) from error
    _drop_unused_stages(encoder)
    if spec.padding == "replicate":
        replicate_edges(encoder)
    return encoder


def _drop_unused_stages(encoder: nn.Module) -> None:
    """Cut off the stages of timm's EfficientNets and MobileNets that come after the last feature but still compute."""
    model: Any = getattr(encoder, "model", None)
    if isinstance(getattr(model, "blocks", None), nn.Sequential):
        last: str = model.feature_info.get_dicts()[-1]["module"]  # such as blocks.4
        if last.startswith("blocks."):
            model.blocks = model.blocks[: int(last.split(".")[1]) + 1]


def _block(spec: GeneratorSpec, conv: nn.Conv2d) -> list[nn.Module]:
    return [conv, norm_layer(spec.norm, conv.out_channels), nn.ReLU(inplace=True)]


def _convolution(spec: GeneratorSpec, channels: int) -> nn.Conv2d:
    return convolution(channels, channels, 3, bias=spec.norm == "none", padding=spec.padding)
