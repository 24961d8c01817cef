"""ONNX files are read as ONNX itself reads them, without running them, and what ours never hold is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from geopix2pix import model as model_files
from geopix2pix.errors import ModelFileError
from geopix2pix.manifest import Manifest
from geopix2pix.model import KEY, ModelFile, default_model
from geopix2pix.onnxfile import MAX_FIELDS, OnnxError, read_onnx

WEIGHTS = {
    "kernel": np.arange(27, dtype=np.float32).reshape(3, 3, 3, 1),
    "half": np.linspace(-1, 1, 12, dtype=np.float16).reshape(3, 4),
    "sizes": np.array([1, -2, 2**40], np.int64),
    "one": np.array(2.5, np.float64),
    "none": np.zeros((0, 4), np.float32),
}


def graph(manifest: Manifest | None = None) -> onnx.ModelProto:
    """A small model with all kinds of tensors, whose answer is the scene turned upside down in value."""
    nodes = [helper.make_node("Neg", ["scene"], ["answer"])]
    scene, answer = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 3, "rows", "cols"])
        for name in ("scene", "answer")
    )
    tensors = [numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in WEIGHTS.items()]
    built = helper.make_graph(nodes, "test", [scene], [answer], tensors)
    made = helper.make_model(built, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    if manifest is not None:
        made.metadata_props.add(key=KEY, value=json.dumps(manifest.to_json()))
    return made


def test_what_is_read_is_what_onnx_reads() -> None:
    made = graph()
    made.metadata_props.add(key="Läufer", value="\N{SNOWMAN}")
    found = read_onnx(made.SerializeToString())
    assert found.metadata == {"Läufer": "\N{SNOWMAN}"}
    assert found.opset == 18
    assert found.source == found.target == (None, 3, None, None)
    assert found.weights.keys() == WEIGHTS.keys()
    for name, array in WEIGHTS.items():
        assert found.weights[name].dtype == array.dtype
        np.testing.assert_array_equal(found.weights[name], array)


def test_the_exported_default_is_read_as_onnx_reads_it() -> None:
    data = default_model(exported=True).read_bytes()
    made, found = onnx.load_from_string(data), read_onnx(data)
    assert found.metadata == {entry.key: entry.value for entry in made.metadata_props}
    assert found.weights.keys() == {tensor.name for tensor in made.graph.initializer}
    for tensor in made.graph.initializer:
        np.testing.assert_array_equal(found.weights[tensor.name], numpy_helper.to_array(tensor))


@settings(deadline=None)
@given(sides=st.lists(st.integers(1, 2**31), min_size=4, max_size=4))
def test_sides_of_any_length(sides: list[int]) -> None:
    made = graph()
    for dim, side in zip(made.graph.input[0].type.tensor_type.shape.dim, sides, strict=True):
        dim.dim_value = side
    assert read_onnx(made.SerializeToString()).source == tuple(sides)


def test_packed_shapes_are_shapes() -> None:
    """Other writers pack repeated numbers."""
    tensor = numpy_helper.from_array(np.arange(6, dtype=np.float32), "packed")
    unpacked = b"\x08\x06"  # field 1, the number 6
    assert tensor.SerializeToString().startswith(unpacked)
    content = b"\x0a\x02\x02\x03" + tensor.SerializeToString()[2:]  # field 1, two bytes: 2 and 3
    made = graph()
    del made.graph.initializer[:]
    plain = made.SerializeToString()
    # A protobuf message may come in parts, which are merged; here the graph gets a second one, so it is refused.
    wrapped = b"\x2a" + bytes([len(content)]) + content
    with pytest.raises(OnnxError, match="field 7 occurs 2 times"):
        read_onnx(plain + b"\x3a" + bytes([len(wrapped)]) + wrapped)
    graph_bytes = made.graph.SerializeToString() + wrapped
    made.ClearField("graph")
    length = len(graph_bytes)
    tag = b"\x3a" + (bytes([length]) if length < 128 else bytes([length % 128 + 128, length // 128]))
    np.testing.assert_array_equal(
        read_onnx(made.SerializeToString() + tag + graph_bytes).weights["packed"], np.arange(6.0).reshape(2, 3)
    )


# --- what ours never hold ---


def functions(made: onnx.ModelProto) -> None:
    made.functions.add(name="anything", domain="")


def training(made: onnx.ModelProto) -> None:
    made.training_info.add()


def foreign_operators(made: onnx.ModelProto) -> None:
    made.opset_import.append(helper.make_opsetid("com.example", 1))


def foreign_node(made: onnx.ModelProto) -> None:
    made.graph.node[0].domain = "com.example"


def external_tensor(made: onnx.ModelProto) -> None:
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def external_entries_alone(made: onnx.ModelProto) -> None:
    made.graph.initializer[0].external_data.add(key="location", value="weights.bin")


def external_constant(made: onnx.ModelProto) -> None:
    tensor = helper.make_tensor("secret", TensorProto.FLOAT, [1], [0.0])
    tensor.data_location = TensorProto.EXTERNAL
    made.graph.node.append(helper.make_node("Constant", [], ["secret"], value=tensor))


def loop(made: onnx.ModelProto) -> None:
    body = helper.make_graph([], "body", [], [])
    made.graph.node.append(helper.make_node("Loop", ["", ""], [], body=body))


def branches(made: onnx.ModelProto) -> None:
    node = helper.make_node("If", ["scene"], ["other"])
    node.attribute.add(name="branches", type=onnx.AttributeProto.GRAPHS).graphs.add()
    made.graph.node.append(node)


def sparse(made: onnx.ModelProto) -> None:
    made.graph.sparse_initializer.add()


def sparse_constant(made: onnx.ModelProto) -> None:
    node = helper.make_node("Constant", [], ["sparse"])
    node.attribute.add(name="sparse_value", type=onnx.AttributeProto.SPARSE_TENSOR).sparse_tensor.dims.append(1)
    made.graph.node.append(node)


def two_inputs(made: onnx.ModelProto) -> None:
    made.graph.input.append(made.graph.input[0])


def no_output(made: onnx.ModelProto) -> None:
    del made.graph.output[:]


def bytes_in(made: onnx.ModelProto) -> None:
    made.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8


def sequence_in(made: onnx.ModelProto) -> None:
    made.graph.input[0].type.ClearField("tensor_type")
    made.graph.input[0].type.sequence_type.elem_type.tensor_type.elem_type = TensorProto.FLOAT


def no_operators(made: onnx.ModelProto) -> None:
    del made.opset_import[:]


def same_entries(made: onnx.ModelProto) -> None:
    for _ in range(2):
        made.metadata_props.add(key="twin", value="")


def same_tensors(made: onnx.ModelProto) -> None:
    made.graph.initializer.append(made.graph.initializer[0])


def strings(made: onnx.ModelProto) -> None:
    made.graph.initializer.append(helper.make_tensor("text", TensorProto.STRING, [1], [b"text"]))


def short(made: onnx.ModelProto) -> None:
    made.graph.initializer[0].raw_data = b"1234"


def huge(made: onnx.ModelProto) -> None:
    made.graph.initializer[0].dims[0] = 2**40


def negative(made: onnx.ModelProto) -> None:
    del made.graph.initializer[0].dims[:]
    made.graph.initializer[0].dims.extend([0, -1])
    made.graph.initializer[0].raw_data = b""


def many_sides(made: onnx.ModelProto) -> None:
    made.graph.initializer[0].dims.extend([1] * 9)


def many_fields(made: onnx.ModelProto) -> None:
    made.graph.initializer[0].dims.extend([1] * MAX_FIELDS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (functions, "functions"),
        (training, "training"),
        (foreign_operators, "'com.example', which are not ONNX's own"),
        (foreign_node, "'com.example', which are not ONNX's own"),
        (external_tensor, "tensor 'kernel' lie in another file"),
        (external_entries_alone, "tensor 'kernel' lie in another file"),
        (external_constant, "tensor 'secret' lie in another file"),
        (loop, "'Loop' holds a graph"),
        (branches, "'If' holds a graph"),
        (sparse, "sparse"),
        (sparse_constant, "sparse"),
        (two_inputs, "2 inputs"),
        (no_output, "0 outputs"),
        (bytes_in, "input is no float32 tensor"),
        (sequence_in, "instead of once"),
        (no_operators, "0 sets of operators"),
        (same_entries, "two entries"),
        (same_tensors, "two tensors"),
        (strings, "unknown element type 8"),
        (short, "4 bytes, which do not make the shape"),
        (huge, "impossible shape"),
        (negative, "impossible shape"),
        (many_sides, "impossible shape"),
        (many_fields, f"more than {MAX_FIELDS} fields"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_ours_never_hold_is_refused(
    change: Callable[[onnx.ModelProto], None], message: str, manifest: Manifest, tmp_path: Path
) -> None:
    made = graph(manifest)
    path = tmp_path / "model.onnx"
    path.write_bytes(made.SerializeToString())
    assert ModelFile.load(path).manifest == manifest, "the file is good before the change"
    change(made)
    path.write_bytes(made.SerializeToString())
    with pytest.raises(ModelFileError, match=message) as caught:
        ModelFile.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


# --- damage ---

many = settings(max_examples=150, deadline=None)


@many
@given(data=st.binary(max_size=60))
def test_any_bytes(data: bytes) -> None:
    try:
        read_onnx(data)
    except OnnxError as error:
        assert "\n" not in str(error)


@many
@given(data=st.data())
def test_damaged_anywhere(data: st.DataObject) -> None:
    """Cut off, or with any other bytes anywhere: the file is refused or still a model, and nothing else happens."""
    content = bytearray(graph().SerializeToString())
    start = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content = content[:start]
    else:
        content[start : start + 8] = data.draw(st.binary(max_size=12))
    try:
        read_onnx(bytes(content))
    except OnnxError as error:
        assert "\n" not in str(error)


# --- the manifest and the graph belong together ---


def refusal(path: Path, made: onnx.ModelProto) -> str:
    path.write_bytes(made.SerializeToString())
    with pytest.raises(ModelFileError) as caught:
        ModelFile.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value)


def test_a_file_of_others(tmp_path: Path) -> None:
    assert "has no geopix2pix manifest" in refusal(tmp_path / "model.onnx", graph())


@pytest.mark.parametrize("text", ["", "[]", '{"format": 99}', '{"format": NaN}'])
def test_a_manifest_that_is_none(tmp_path: Path, text: str) -> None:
    made = graph()
    made.metadata_props.add(key=KEY, value=text)
    assert ": manifest" in refusal(tmp_path / "model.onnx", made)


@pytest.mark.parametrize(
    "sides",
    [
        ["batch", 4, "rows", "cols"],
        ["batch", "bands", "rows", "cols"],
        [1, 3, 64, 128],
        [1, 3, 32, 32],
        [2, 3, 64, 64],
        ["batch", 3, 64, "cols"],
        [3, 64, 64],
        [],
    ],
)
@pytest.mark.parametrize("which", ["input", "output"])
def test_other_arrays_than_the_manifest_says(tmp_path: Path, manifest: Manifest, sides: list, which: str) -> None:
    made = graph(manifest)
    values = getattr(made.graph, which)
    name = values[0].name
    del values[:]
    values.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, sides))
    assert "arrays of shape" in refusal(tmp_path / "model.onnx", made)


def test_one_window_alone(tmp_path: Path, manifest: Manifest) -> None:
    made = graph(manifest)
    for values in (made.graph.input, made.graph.output):
        name = values[0].name
        del values[:]
        values.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 64, 64]))
    (tmp_path / "model.onnx").write_bytes(made.SerializeToString())
    assert ModelFile.load(tmp_path / "model.onnx").window == 64


def test_constants_that_are_not_finite(tmp_path: Path, manifest: Manifest) -> None:
    made = graph(manifest)
    made.graph.initializer.append(numpy_helper.from_array(np.array([np.nan], np.float32), "spoiled"))
    assert "tensor 'spoiled' holds values that are not finite" in refusal(tmp_path / "model.onnx", made)


def test_files_beyond_all_measure(tmp_path: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    made = graph(manifest)
    monkeypatch.setattr(model_files, "MAX_GRAPH", len(made.SerializeToString()) - 1)
    assert "MiB that are accepted" in refusal(tmp_path / "model.onnx", made)
