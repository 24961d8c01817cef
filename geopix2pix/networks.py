"""Generators, built from the plain numbers of a `GeneratorSpec`; never from anything that is downloaded."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from geopix2pix.architecture import MAX_DEPTH, MEASURED_NORMS, GeneratorSpec
from geopix2pix.encoder_unet import EncoderUNet
from geopix2pix.errors import ConfigError, ModelFileError
from geopix2pix.norms import ChannelNorm, hold_statistics, measure_statistics
from geopix2pix.patchgan import discriminator
from geopix2pix.unet import UNet

__all__ = [
    "Generator",
    "calibrate",
    "discriminator",
    "generator",
    "initialize",
    "load_encoder",
    "load_generator",
    "picture",
    "weights",
]

IN_MODELS = "body.encoder."  # how the names of an encoder begin in a model file


class Generator(nn.Module):
    """A network from scenes to pictures: (n, in_bands, rows, cols) in [-1, 1] to (n, out_channels, rows, cols).

    Rows and columns are multiples of the total stride. The raster head answers in [-1, 1], the palette head with
    logits; `picture` turns either into a picture.
    """

    def __init__(self, spec: GeneratorSpec) -> None:
        super().__init__()
        self.spec = spec
        self.body: nn.Module = EncoderUNet(spec) if spec.body == "encoder" else UNet(spec)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.body(x)
        return torch.tanh(output) if self.spec.head == "raster" else output

    def train(self, mode: bool = True) -> "Generator":
        """Set the mode of all layers, save that batch norms keep to stored statistics unless the norm is `batch`."""
        super().train(mode)
        if self.spec.norm != "batch":
            hold_statistics(self)
        return self


def generator(spec: GeneratorSpec) -> Generator:
    """A generator with random weights, in training mode.

    Raises:
        ConfigError: the specification contradicts itself or names an unknown encoder.
    """
    if min(spec.in_bands, spec.out_channels, spec.width) < 1 or not 0 <= spec.dropout < 1:
        raise ConfigError(f"no generator can be built from {spec}: bands and width start at 1, dropout is in [0, 1)")
    if spec.head == "palette" and spec.out_channels < 2:
        raise ConfigError(f"a palette head needs at least two classes, found out_channels {spec.out_channels}")
    if spec.body == "unet" and not 1 <= spec.depth <= MAX_DEPTH:
        raise ConfigError(f"depth: a unet has 1 to {MAX_DEPTH} levels, found {spec.depth}")
    if spec.body == "encoder":
        if len(spec.decoder_channels) != spec.depth or min(spec.decoder_channels, default=0) < 1:
            raise ConfigError(
                f"decoder_channels: an encoder of depth {spec.depth} needs {spec.depth} positive numbers, "
                f"found {spec.decoder_channels}"
            )
        if spec.upsampling != "resize":
            raise ConfigError(f"upsampling: the body `encoder` has only `resize`, found {spec.upsampling!r}")
    return Generator(spec).train().to(memory_format=torch.channels_last)  # a fifth to a half faster on a CPU


def initialize(network: nn.Module, *, seed: int, std: float = 0.02) -> None:
    """Draw weights as pix2pix does: convolutions from N(0, std), norm scales from N(1, std), shifts and biases zero.

    Leaves the encoder of a body `encoder` alone: its library starts it well, from torch's global random state.
    """
    spared = {layer for body in network.modules() if isinstance(body, EncoderUNet) for layer in body.encoder.modules()}
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for layer in network.modules():
            if layer in spared or not isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.BatchNorm2d | ChannelNorm):
                continue
            mean = 0.0 if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) else 1.0
            layer.weight.copy_(torch.empty(layer.weight.shape).normal_(mean, std, generator=random))
            if layer.bias is not None:
                layer.bias.zero_()


def calibrate(generator: Generator, batches: Iterable[Tensor]) -> None:
    """Measure the statistics that batch norms use outside training, on source batches, in one pass.

    With a norm that stores statistics this covers all batch norms, those of an encoder included; with other norms an
    encoder keeps the statistics that came with its weights, and nothing happens.
    """
    if generator.spec.norm in MEASURED_NORMS:
        measure_statistics(generator, batches)


def picture(output: Tensor, colors: Tensor | None) -> Tensor:
    """The picture in a generator's output: the output itself, or for a palette head softmax times palette.

    `colors` are the training colours of the palette head, (classes, bands) in [-1, 1], None for a raster head.
    """
    if colors is None:
        return output
    return torch.einsum("nkhw,kc->nchw", output.softmax(dim=1), colors)


def weights(network: nn.Module) -> dict[str, Tensor]:
    """What a file has to hold of a network: its state without the batch counters, which nothing reads; contiguous."""
    return {name: tensor.contiguous() for name, tensor in network.state_dict().items() if tensor.is_floating_point()}


def load_encoder(generator: Generator, path: Path) -> None:
    """Fill the encoder of a body `encoder` from a safetensors file of its own names, or from one of our model files.

    The file may hold more, such as the stages that an encoder of less depth does without.

    Raises:
        ConfigError: the generator has no encoder.
        ModelFileError: the file cannot be read or does not fit; the message names the tensor.
    """
    if not isinstance(generator.body, EncoderUNet):
        raise ConfigError(f"{path}: encoder weights need the body `encoder`, found {generator.spec.body!r}")
    tensors = {name.removeprefix(IN_MODELS): tensor for name, tensor in _tensors_in(path).items()}
    spec = generator.spec
    _load(
        generator.body.encoder,
        tensors,
        f"{path}: not the weights of encoder {spec.encoder!r} for {spec.in_bands} bands",
    )


def load_generator(generator: Generator, path: Path) -> None:
    """Fill a generator from a model file of a like one, to go on from there.

    Where the file's last layer has other outputs, that layer keeps its random start.

    Raises:
        ModelFileError: the file cannot be read or does not fit; the message names the tensor.
    """
    tensors, new = _tensors_in(path), weights(generator)
    *_, last = new
    head = last.rpartition(".")[0]
    if any(name in tensors and tensors[name].shape != new[name].shape for name in new if name.startswith(head)):
        tensors |= {name: tensor for name, tensor in new.items() if name.startswith(head)}
    _load(generator, tensors, f"{path}: not the weights of such a generator")


def _tensors_in(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelFileError(f"{path}: no readable weights ({error}); a .safetensors file is needed") from error


def _load(network: nn.Module, tensors: Mapping[str, Tensor], complaint: str) -> None:
    expected = {name: tuple(tensor.shape) for name, tensor in weights(network).items()}
    for name, shape in expected.items():
        found = tuple(tensors[name].shape) if name in tensors else "missing"
        if found != shape:
            raise ModelFileError(f"{complaint}: tensor {name} is {found}, expected {shape}")
    # Batch counters, which nothing reads, are in no file.
    network.load_state_dict({name: tensors[name] for name in expected}, strict=False)
