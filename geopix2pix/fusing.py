"""Networks for the forward pass alone: batch norms with stored statistics become part of the convolutions before."""

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from geopix2pix.norms import batch_norms

ROUNDING = 1e-3  # of the largest value; merged layers differ from single ones by some 1e-6


def fused(network: nn.Module, example: Tensor) -> nn.Module:
    """A network in evaluation mode, or its copy in which convolutions hold the norms that their answers go through.

    `example` is an input by which it is seen what follows what. The copy computes the same but for rounding (Jacob et
    al. 2018, section 3.2); it has other parameters, and cannot be trained. A network in which something else reads an
    answer, too, is left as it is.
    """
    copied = copy.deepcopy(network)
    expected, followed = _followed(copied, example)
    for parent in list(copied.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.BatchNorm2d) and (conv := followed.get(layer)):
                merged = fuse_conv_bn_eval(conv, layer)
                conv.weight, conv.bias = merged.weight, merged.bias
                setattr(parent, name, getattr(layer, "act", nn.Identity()))  # timm's norms have one built in
    with torch.inference_mode():
        same = (copied(example) - expected).abs().max() <= ROUNDING * expected.abs().max()  # no number is the same
    return copied if same else network


def _followed(network: nn.Module, example: Tensor) -> tuple[Tensor, dict[nn.Module, nn.Conv2d]]:
    """The answer to the example; for each batch norm that reads what a convolution answers on the way, that one."""
    answers: dict[nn.Conv2d, tuple[Tensor, int]] = {}
    followed: dict[nn.Module, nn.Conv2d] = {}

    def answered(conv: nn.Conv2d, inputs: tuple[Tensor, ...], answer: Tensor) -> None:
        answers[conv] = answer, answer._version  # which rises when something is computed in place

    def read(norm: nn.BatchNorm2d, inputs: tuple[Tensor, ...]) -> None:
        for conv, (answer, version) in answers.items():
            if inputs[0] is answer and answer._version == version:
                followed[norm] = conv

    hooks = [norm.register_forward_pre_hook(read) for norm in batch_norms(network)]
    hooks += [layer.register_forward_hook(answered) for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    with torch.no_grad():
        found: Tensor = network(example)
    for hook in hooks:
        hook.remove()
    return found, followed
