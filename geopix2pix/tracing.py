"""A network of torch as an ONNX graph that holds the numbers of the model file, not the exporter's surroundings."""

import warnings

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from geopix2pix import __version__
from geopix2pix.errors import ConfigError

OPSET = 18
"""ONNX's operators as of 2022, the first that torch's exporter writes and all that our networks need."""
IR_VERSION = 8  # the representation that came with them; ONNX Runtime reads both from version 1.14 on
SOURCE, TARGET = "scene", "answer"
LEAST_HALVED = 16  # values; a smaller tensor saves less than the node that widens it takes


class _Clipped(nn.Module):
    """A network that moves what it reads into [-1, 1], for programs that scale scenes, but do not clip them."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, scene: Tensor) -> Tensor:
        answer: Tensor = self.network(scene.clamp(-1.0, 1.0))
        return answer


def traced(
    network: nn.Module, *, bands: int, channels: int, stride: int, clip: bool, window: int | None
) -> onnx.ModelProto:
    """The graph of a network in evaluation mode: (batch, bands, rows, cols) to (batch, channels, rows, cols).

    With `window` it takes one square patch of this side alone, otherwise any batch with sides that are multiples of the
    stride. Batch norms stay what they are and are merged into convolutions by whatever runs the graph: so its tensors
    are those of the model file, and those that half precision holds exactly are stored in it.

    Raises:
        ConfigError: this torch cannot export this network.
    """
    free = torch.export.Dim.AUTO
    # Sizes 0 and 1 would become constants of the graph.
    example = torch.zeros(2, bands, 2 * stride, 3 * stride)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from onnxscript import optimizer

            program = torch.onnx.export(
                _Clipped(network) if clip else network,
                (example,),
                dynamo=True,  # the other exporter is deprecated, and writes four times as many nodes
                optimize=False,  # would merge the batch norms
                opset_version=OPSET,
                input_names=[SOURCE],
                output_names=[TARGET],
                dynamic_shapes=({0: free, 2: free, 3: free},),
                verbose=False,
            )
            assert program is not None, "it returns a program with dynamo=True"
            # Shapes are computed, weights are not: kernels that are cut and summed stay whole in the file.
            optimizer.fold_constants(program.model, input_size_limit=LEAST_HALVED)
            optimizer.remove_unused_nodes(program.model)
            model = program.model_proto
    except (ImportError, TypeError, RuntimeError) as error:
        raise ConfigError(
            f"torch {torch.__version__} cannot export this network ({' '.join(str(error).split())[:300]}); upgrade "
            "torch, onnx and onnxscript, or train another network"
        ) from error
    _tidy(model, bands, channels, window)
    _halve(model)
    return model


def _tidy(model: onnx.ModelProto, bands: int, channels: int, window: int | None) -> None:
    """Leave out what tells of the exporter and of the machine, and name the sides."""
    graph = model.graph
    model.ir_version = IR_VERSION
    model.producer_name, model.producer_version = "geopix2pix", __version__
    graph.name, graph.doc_string = "geopix2pix", ""
    for told in (model.metadata_props, graph.metadata_props, graph.value_info):
        del told[:]
    for part in (*graph.node, *graph.initializer):
        part.doc_string = ""
        del part.metadata_props[:]
    sides = ("batch", "rows", "cols") if window is None else (1, window, window)
    for values, name, count in ((graph.input, SOURCE, bands), (graph.output, TARGET, channels)):
        del values[:]
        shape = [sides[0], count, *sides[1:]]
        values.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))


def _halve(model: onnx.ModelProto) -> None:
    """Store tensors in half precision where that loses nothing, with a node that widens each."""
    widening = []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype != np.float32 or values.size < LEAST_HALVED:
            continue
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if np.array_equal(half, values):
            name = tensor.name
            tensor.CopyFrom(numpy_helper.from_array(half, f"{name}.half"))
            widening.append(helper.make_node("Cast", [tensor.name], [name], name=f"{name}.widen", to=TensorProto.FLOAT))
    nodes = [*widening, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
