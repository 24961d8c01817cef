"""Networks as plain numbers: what a model file, a checkpoint and a training configuration say about them.

No torch here, so that a model file can be read and checked without it; `networks` builds modules from these values.
"""

import re
from dataclasses import dataclass
from typing import Literal

Body = Literal["unet", "encoder"]
"""`unet`: the pix2pix U-Net (Isola et al. 2017, section 3.2); `encoder`: a U-Net on an encoder of
segmentation-models-pytorch."""
Head = Literal["raster", "palette"]
"""`raster`: tanh bands in [-1, 1]; `palette`: one logit per class, whose softmax times the palette is the picture."""
Norm = Literal["batch", "frozen", "renorm", "channel", "none"]
"""`batch`: batch norm, batch statistics while training; `frozen`: batch norm whose statistics are measured once on the
training data and are constants from then on; `renorm`: batch renormalization (Ioffe 2017), which trains with moving
statistics, corrected by those of the batch; `channel`: layer norm over the channels of each pixel."""
MEASURED_NORMS = ("batch", "frozen", "renorm")
"""Norms that use stored statistics of features outside training."""
Padding = Literal["zeros", "replicate"]
Upsampling = Literal["transposed", "resize"]
"""`transposed`: 4x4 stride-2 transposed convolution; `resize`: nearest-neighbour doubling, then a 3x3 convolution."""
Adversary = Literal["bce", "lsgan", "hinge", "none"]

ENCODER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
"""What an encoder may be called: with a colon or a slash in the name timm would look it up on a server."""
MAX_DEPTH = 10  # of a `unet`: a total stride of 1024 pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorSpec:
    """A generator. The defaults are the pix2pix U-Net as published: 54,414,531 parameters for 3 -> 3 bands."""

    body: Body = "unet"
    in_bands: int = 3
    out_channels: int = 3
    """Bands of the raster head, classes of the palette head."""
    head: Head = "raster"
    norm: Norm = "batch"
    padding: Padding = "zeros"
    upsampling: Upsampling = "transposed"
    depth: int = 8
    """Number of halvings; the total stride is 2 ** depth."""
    width: int = 64
    """Channels of the first level of a `unet`; they double up to eight times this."""
    dropout: float = 0.5
    """Share of values dropped in the first three decoder levels of a `unet` while training."""
    encoder: str = ""
    """Name of the encoder in segmentation-models-pytorch, for the body `encoder`."""
    decoder_channels: tuple[int, ...] = ()
    """Channels of the decoder levels, deepest first, for the body `encoder`; as many as `depth`."""

    @property
    def total_stride(self) -> int:
        """Pixels by which the input must move for the features of all levels to move with it."""
        return int(2**self.depth)


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscriminatorSpec:
    """A PatchGAN. The defaults are the published 70 x 70 one: 2,768,705 parameters for 3 + 3 bands."""

    in_channels: int = 6
    width: int = 64
    layers: int = 3
    """Stride-2 convolutions; the receptive field is 16, 34, 70, 142 pixels for 1, 2, 3, 4."""
    norm: Norm = "batch"
