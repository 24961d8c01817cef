"""Model files: what is written comes back, and whatever else a file may hold is refused with one clear sentence."""

import copy
import hashlib
import importlib
import json
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from geopix2pix.errors import ModelFileError, OutputError
from geopix2pix.manifest import FORMAT, Manifest
from geopix2pix.model import KEY, MAX_MANIFEST, ModelFile, default_model, write_model

RNG = np.random.default_rng(7)
WEIGHTS = {
    "down.0.weight": RNG.normal(size=(4, 3, 4, 4)).astype(np.float32),
    "up.0.bias": RNG.normal(size=5),
    "norm.num_batches_tracked": np.array(70_000, np.int64),
}
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=5), values, max_size=3),
    max_leaves=5,
)
many = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def path(tmp_path: Path, manifest: Manifest) -> Path:
    """A good model file."""
    write_model(tmp_path / "model.safetensors", manifest, WEIGHTS)
    return tmp_path / "model.safetensors"


def refusal(path: Path) -> str:
    """The message with which a file is refused: one line that begins with its path."""
    with pytest.raises(ModelFileError) as caught:
        ModelFile.load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


def with_text(path: Path, text: str) -> Path:
    """A safetensors file at `path` with `text` where the manifest belongs."""
    save_file({"a": np.zeros(1, np.float16)}, path, {KEY: text})
    return path


# --- what is written comes back ---


@pytest.mark.parametrize("kind", ["manifest", "palette_manifest"])
def test_manifest_survives_json(kind: str, request: pytest.FixtureRequest) -> None:
    manifest = request.getfixturevalue(kind)
    assert Manifest.from_json(json.loads(json.dumps(manifest.to_json()))) == manifest


def test_file_round_trip(path: Path, manifest: Manifest) -> None:
    loaded = ModelFile.load(path)
    assert loaded.manifest == manifest
    assert loaded.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert loaded.weights.keys() == WEIGHTS.keys()
    for name, array in loaded.weights.items():
        assert array.shape == WEIGHTS[name].shape
        expected = WEIGHTS[name].astype(np.float16) if WEIGHTS[name].dtype.kind == "f" else WEIGHTS[name]
        assert array.dtype == expected.dtype
        np.testing.assert_array_equal(array, expected)


def test_values_beyond_half_precision_stay_single(tmp_path: Path, manifest: Manifest) -> None:
    variance = np.array([1.0, 1e6], np.float32)
    write_model(tmp_path / "m", manifest, {"norm.running_var": variance})
    stored = ModelFile.load(tmp_path / "m").weights["norm.running_var"]
    assert stored.dtype == np.float32
    np.testing.assert_array_equal(stored, variance)


def test_strided_weights_keep_their_order(tmp_path: Path, manifest: Manifest) -> None:
    weights = np.arange(12, dtype=np.float32).reshape(3, 4).T
    write_model(tmp_path / "m", manifest, {"a": weights, "b": weights[::2]})
    loaded = ModelFile.load(tmp_path / "m").weights
    np.testing.assert_array_equal(loaded["a"], weights)
    np.testing.assert_array_equal(loaded["b"], weights[::2])


def test_same_model_same_bytes(path: Path, tmp_path: Path, manifest: Manifest) -> None:
    other = replace(manifest, provenance=dict(reversed(manifest.provenance.items())))
    write_model(tmp_path / "again", other, dict(reversed(WEIGHTS.items())))
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_unknown_fields_are_ignored(path: Path, manifest: Manifest) -> None:
    data = manifest.to_json()
    data["later"] = data["source"]["later"] = {"any": ["thing"]}
    assert ModelFile.load(with_text(path, json.dumps(data))).manifest == manifest


def test_default_model() -> None:
    if not default_model().exists():
        pytest.skip("this checkout has no default model yet")
    assert ModelFile.load(default_model()).weights


# --- writing is all or nothing ---


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_not_written(path: Path, manifest: Manifest, value: float) -> None:
    before = path.read_bytes()
    with pytest.raises(ModelFileError, match=r"'up\.0\.bias' holds values that are not finite"):
        write_model(path, manifest, WEIGHTS | {"up.0.bias": np.array([0, value])})
    assert path.read_bytes() == before


def test_impossible_manifest_is_not_written(tmp_path: Path, manifest: Manifest) -> None:
    with pytest.raises(ModelFileError, match=r"manifest\.overlap: expected 0 to below the window, 64, found 64"):
        write_model(tmp_path / "m", replace(manifest, overlap=64), WEIGHTS)
    with pytest.raises(ModelFileError, match=r"manifest\.window: expected a whole number"):
        write_model(tmp_path / "m", replace(manifest, window=64.5), WEIGHTS)
    assert not list(tmp_path.iterdir())


def test_unwritable_target(path: Path, manifest: Manifest) -> None:
    folder = path.parent / "folder"
    folder.mkdir()
    for target in (folder, path / "below-a-file", folder / "absent" / "m", folder / ("long" * 100)):
        with pytest.raises(OutputError, match="cannot be written") as caught:
            write_model(target, manifest, WEIGHTS)
        assert str(target) in str(caught.value)
    assert sorted(path.parent.rglob("*")) == [folder, path]


# --- files of other kinds ---


def test_no_file(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "absent")
    assert "is a folder" in refusal(tmp_path)
    (tmp_path / "empty").touch()
    assert "is empty" in refusal(tmp_path / "empty")


class Payload:
    """Pickles to a call that leaves a trace when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return Path.touch, (self.trace,)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_are_never_opened(tmp_path: Path, protocol: int) -> None:
    trace, file = tmp_path / "trace", tmp_path / "model.pt"
    file.write_bytes(pickle.dumps(Payload(trace), protocol))
    message = refusal(file)
    assert "never opened" in message or protocol < 2  # the text protocols have no mark
    assert not trace.exists()
    pickle.loads(file.read_bytes())
    assert trace.exists(), "the payload works, so that the test can fail"


@pytest.mark.parametrize("zipped", [True, False])
def test_torch_files_are_never_opened(tmp_path: Path, zipped: bool) -> None:
    import torch

    trace = tmp_path / "trace"
    torch.save(Payload(trace), tmp_path / "model.pt", _use_new_zipfile_serialization=zipped)
    assert zipfile.is_zipfile(tmp_path / "model.pt") == zipped
    assert "never opened" in refusal(tmp_path / "model.pt")
    assert not trace.exists()


def test_header_length_that_looks_like_a_pickle(path: Path, manifest: Manifest) -> None:
    """0x80 0x02 opens a pickle, and a safetensors file with a header of 640 + n x 65536 bytes too."""

    def length(text: int) -> int:
        write_model(path, replace(manifest, provenance={"filler": "x" * text}), WEIGHTS)
        return int.from_bytes(path.read_bytes()[:8], "little")

    missing = 0x10280 - length(1000)
    assert length(1000 + missing) == 0x10280
    assert path.read_bytes()[:2] == b"\x80\x02"
    assert ModelFile.load(path).weights.keys() == WEIGHTS.keys()


@pytest.mark.parametrize("content", [b"\0", b"\x89PNG\r\n\x1a\n" + bytes(90), b'{"json": true}', b"II*\0" + bytes(9)])
def test_other_files(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    assert "is no model file" in refusal(tmp_path / "file")


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_safetensors_of_others(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    save_file(WEIGHTS, tmp_path / "file", metadata)
    assert "has no geopix2pix manifest" in refusal(tmp_path / "file")


@pytest.mark.parametrize("told", [False, True])
def test_dtype_unknown_to_numpy(path: Path, told: bool) -> None:
    """Whether or not another package has taught it to numpy, as onnx does."""
    if told:
        importlib.import_module("ml_dtypes")
    content = path.read_bytes().replace(b'"F16"', b'"BF16"', 1)
    header = int.from_bytes(content[:8], "little")
    path.write_bytes((header + 1).to_bytes(8, "little") + content[8:])
    assert "is truncated or damaged" in refusal(path)


# --- damage ---


@many
@given(data=st.data())
def test_truncated_anywhere(path: Path, data: st.DataObject) -> None:
    good = path.read_bytes()
    file = path.with_name("truncated")
    file.write_bytes(good[: data.draw(st.integers(0, len(good) - 1))])
    refusal(file)


@many
@given(data=st.data())
def test_damaged_anywhere(path: Path, data: st.DataObject) -> None:
    """Any other bytes anywhere: the file is refused or still a model, and nothing else happens."""
    content = bytearray(path.read_bytes())
    start = data.draw(st.integers(0, len(content) - 1))
    content[start : start + 8] = data.draw(st.binary(max_size=12))
    file = path.with_name("damaged")
    file.write_bytes(content)
    try:
        ModelFile.load(file)
    except ModelFileError as error:
        assert str(error).startswith(f"{file}: ")


def test_weights_that_are_not_finite_are_refused(path: Path, manifest: Manifest) -> None:
    save_file({"a": np.array([1, np.nan], np.float16)}, path, {KEY: json.dumps(manifest.to_json())})
    assert "tensor 'a' holds values that are not finite" in refusal(path)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"format": NaN}', '{"format": ' + "9" * 5000 + "}"])
def test_manifest_that_is_no_json(path: Path, text: str) -> None:
    assert "manifest: is no valid JSON" in refusal(with_text(path, text))


def test_manifest_beyond_all_measure(path: Path) -> None:
    text = json.dumps("x" * MAX_MANIFEST)
    assert f"has {len(text)} characters, at most {MAX_MANIFEST}" in refusal(with_text(path, text))


# --- wrong fields are named ---


def test_newer_format_comes_first(path: Path) -> None:
    message = refusal(with_text(path, json.dumps({"format": FORMAT + 1})))
    assert f"manifest.format: {FORMAT + 1} is newer than {FORMAT}" in message
    assert "upgrade geopix2pix" in message


Place = tuple[str | int, ...]


def places(data: Any, place: Place = ()) -> list[Place]:
    """Every place in a JSON document, containers included."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [place, *(inner for key, value in items for inner in places(value, (*place, key)))]


def changed(data: Any, place: Place, value: Any) -> Any:
    """A copy of the document with another value at `place`."""
    if not place:
        return value
    result = copy.copy(data)
    result[place[0]] = changed(data[place[0]], place[1:], value)
    return result


def at(data: Any, place: Place) -> Any:
    return at(data[place[0]], place[1:]) if place else data


def shown(place: Place) -> str:
    return "manifest" + "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in place)


@pytest.mark.parametrize("kind", ["manifest", "palette_manifest"])
def test_value_of_another_type_is_named(kind: str, request: pytest.FixtureRequest) -> None:
    data = request.getfixturevalue(kind).to_json()
    everywhere = places(data)
    assert len(everywhere) > 60
    for place in everywhere:
        wrong = 7 if isinstance(at(data, place), dict) else {"wrong": 7}
        with pytest.raises(ModelFileError) as caught:
            Manifest.from_json(changed(data, place, wrong))
        if "palette" not in place:  # palettes have words of their own
            assert str(caught.value).startswith(shown(place))
        else:
            assert str(caught.value).startswith("manifest.target.palette")
            assert str(next(key for key in reversed(place) if isinstance(key, str))) in str(caught.value)


def test_missing_field_is_named(manifest: Manifest) -> None:
    data = manifest.to_json()
    named = [place for place in places(data) if place and isinstance(place[-1], str) and place[0] != "provenance"]
    for place in named:
        parent = {key: value for key, value in at(data, place[:-1]).items() if key != place[-1]}
        with pytest.raises(ModelFileError) as caught:
            Manifest.from_json(changed(data, place[:-1], parent))
        assert str(caught.value).startswith(f"{shown(place)}: is missing")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("format",), 0),
        (("format",), True),
        (("name",), "two\nlines"),
        (("name",), "\ud800"),
        (("generator", "body"), "transformer"),
        (("generator", "in_bands"), 0),
        (("generator", "in_bands"), 3.0),
        (("generator", "out_channels"), 10**9),
        (("generator", "depth"), 60),
        (("generator", "width"), 10**9),
        (("generator", "dropout"), 1.0),
        (("generator", "dropout"), float("nan")),
        (("source", "names"), ["red", "green"]),
        (("source", "dtype"), "complex64"),
        (("source", "scaling"), {"low": [0], "high": [0], "clip": True}),
        (("source", "scaling", "low"), [0, 0]),
        (("source", "scaling", "low", 1), "x"),
        (("source", "scaling", "low", 1), 10**400),
        (("target", "names"), ["one"]),
        (("target", "dtype"), "int64"),
        (("target", "scaling"), None),
        (("target", "scaling", "clip"), 1),
        (("window",), 0),
        (("window",), 2**40),
        (("overlap",), -2),
        (("overlap",), 64),
        (("total_stride",), 8),
        (("receptive_field",), 0),
        (("tile_independent",), None),
        (("ground_resolution", "low"), 0.7),
        (("ground_resolution", "low"), -1),
        (("ground_resolution", "basis"), None),
        (("temperature",), 0),
        (("provenance",), {"data": 7}),
    ],
)
def test_impossible_value_is_named(manifest: Manifest, place: Place, value: Any) -> None:
    with pytest.raises(ModelFileError) as caught:
        Manifest.from_json(changed(manifest.to_json(), place, value))
    # A law of several fields is reported at their parent.
    assert str(caught.value).startswith((shown(place), f"{shown(place[:-1])}: "))


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("generator", "out_channels"), 4),
        (("target", "palette", "classes", 0, "name"), "two\nlines"),
        (("target", "palette"), None),
        (("target", "scaling"), {"low": [0, 0, 0], "high": [1, 1, 1], "clip": True}),
        (("target", "dtype"), "float32"),
        (("target", "names"), ["land", "road"]),
    ],
)
def test_palette_head_needs_its_palette(palette_manifest: Manifest, place: Place, value: Any) -> None:
    with pytest.raises(ModelFileError, match=r"^manifest\.target\."):
        Manifest.from_json(changed(palette_manifest.to_json(), place, value))


@pytest.mark.parametrize("field", ["classes", "knows", "other", "unlabelled"])
@pytest.mark.parametrize("value", [None, 7, "x", {}, [None], [[]]])
def test_palette_fields_are_named(palette_manifest: Manifest, field: str, value: Any) -> None:
    with pytest.raises(ModelFileError, match=rf"^manifest\.target\.palette.*{field}"):
        Manifest.from_json(changed(palette_manifest.to_json(), ("target", "palette", field), value))


@pytest.mark.parametrize("name", ["hf-hub:owner/model", "local-dir:/tmp/model", "", "../model"])
def test_encoder_is_a_plain_name(manifest: Manifest, name: str) -> None:
    """A scheme in the name makes timm fetch the model; a model file must not make it."""
    data = manifest.to_json()
    data["generator"] |= {"body": "encoder", "decoder_channels": [8, 4], "encoder": "tu-tf_efficientnet_lite0"}
    Manifest.from_json(data)
    with pytest.raises(ModelFileError, match=r"manifest\.generator\.encoder: expected the plain name"):
        Manifest.from_json(changed(data, ("generator", "encoder"), name))


@many
@given(data=st.data())
def test_any_json_anywhere(palette_manifest: Manifest, data: st.DataObject) -> None:
    """A document with anything anywhere is a manifest or refused in one line."""
    document = palette_manifest.to_json()
    place = data.draw(st.sampled_from(places(document)))
    try:
        Manifest.from_json(changed(document, place, data.draw(JSON_VALUES)))
    except ModelFileError as error:
        assert "\n" not in str(error)
