"""Exported models: the same numbers, the same maps, the same bytes, and nothing written otherwise."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest

from geopix2pix.architecture import GeneratorSpec
from geopix2pix.deepness import deepness_metadata
from geopix2pix.errors import Cancelled, ConfigError, ModelFileError, OutputError
from geopix2pix.export import export_model
from geopix2pix.manifest import GroundResolution, Manifest
from geopix2pix.model import ModelFile, default_model, write_model
from geopix2pix.normalize import Scaling
from geopix2pix.onnx_engine import OnnxEngine
from geopix2pix.parity import ENOUGH, parity
from geopix2pix.progress import Event
from geopix2pix.torch_engine import TorchEngine

KINDS = ["model", "palette_model"]
SIZES = [(1, 4, 4), (3, 8, 20), (2, 100, 64)]


@pytest.fixture(params=KINDS)
def pair(request: pytest.FixtureRequest) -> tuple[Path, Path]:
    """A trained model and its export, with a raster head and with a palette head."""
    kind = request.param
    trained = "tiny_model" if kind == "model" else kind
    return request.getfixturevalue(trained), request.getfixturevalue(f"exported_{kind}")


def network_file(path: Path, manifest: Manifest, spread: float = 0.1, **spec: Any) -> Path:
    """A model file of a random network; its batch norms are measured on noise, as training does."""
    import torch

    from geopix2pix.networks import calibrate, generator, initialize, weights

    torch.manual_seed(0)
    network = generator(GeneratorSpec(**{"dropout": 0.0, **spec}))
    initialize(network, seed=3, std=spread)
    side = 2 * network.spec.total_stride
    noise = [torch.rand(2, 3, side, side) * 2 - 1 for _ in range(2)]
    network.eval()
    calibrate(network, noise)
    stride = network.spec.total_stride
    described = replace(manifest, generator=network.spec, total_stride=stride, window=side, overlap=0)
    write_model(path, described, {name: tensor.numpy() for name, tensor in weights(network).items()})
    return path


# --- the same maps ---


def test_the_values_to_blend_are_those_of_torch(pair: tuple[Path, Path]) -> None:
    trained, exported = (ModelFile.load(path) for path in pair)
    reference, engine = TorchEngine(trained, "cpu", threads=1), OnnxEngine(exported, threads=1)
    for batch, rows, cols in SIZES:
        patches = np.random.default_rng(rows).uniform(-1, 1, (batch, 3, rows, cols)).astype(np.float32)
        expected, found = reference.predict(patches), engine.predict(patches)
        assert found.shape == expected.shape
        assert found.dtype == np.float32
        assert np.abs(found - expected).max() < 1e-5
        assert np.ptp(expected) > 1e-3, "a constant answer would prove nothing"


# Every layer that a generator of ours can have: both paddings, both ways up, all norms, lite and other encoders.
NETWORKS = {
    "classic": {"depth": 8, "width": 4, "norm": "batch"},
    "replicate-transposed": {"depth": 3, "width": 8, "padding": "replicate", "norm": "frozen"},
    "channel": {"depth": 3, "width": 8, "padding": "replicate", "upsampling": "resize", "norm": "channel"},
    "lite": {
        "body": "encoder", "encoder": "tu-tf_efficientnet_lite0", "depth": 3, "decoder_channels": (8, 8, 8),
        "padding": "replicate", "upsampling": "resize", "norm": "frozen",
    },
    "resnet": {
        "body": "encoder", "encoder": "resnet18", "depth": 3, "decoder_channels": (8, 8, 8), "upsampling": "resize",
        "norm": "batch",
    },
    "excitation": {
        "body": "encoder", "encoder": "tu-mobilenetv3_small_100", "depth": 3, "decoder_channels": (8, 8, 8),
        "upsampling": "resize", "norm": "frozen",
    },
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
def test_every_kind_of_network_is_exported(network: str, manifest: Manifest, tmp_path: Path) -> None:
    trained = network_file(tmp_path / "trained.safetensors", manifest, **NETWORKS[network])
    exported = ModelFile.load(export_model(trained, tmp_path / "exported.onnx", threads=1))
    reference, engine = TorchEngine(ModelFile.load(trained), "cpu", threads=1), OnnxEngine(exported, threads=1)
    stride = exported.manifest.total_stride
    for batch, rows, cols in [(1, stride, 3 * stride), (2, 2 * stride, 2 * stride)]:
        patches = np.random.default_rng(0).uniform(-1, 1, (batch, 3, rows, cols)).astype(np.float32)
        expected = reference.predict(patches)
        assert np.abs(engine.predict(patches) - expected).max() < 1e-4
        assert np.ptp(expected) > 0.1


def test_scenes_outside_of_the_scaling_are_clipped(pair: tuple[Path, Path]) -> None:
    """As the scaling of the manifest says; programs that only subtract and divide would not."""
    engine = OnnxEngine(ModelFile.load(pair[1]), threads=1)
    patches = np.random.default_rng(0).uniform(-3, 3, (1, 3, 16, 16)).astype(np.float32)
    assert np.array_equal(engine.predict(patches), engine.predict(patches.clip(-1, 1)))


# --- the same numbers ---


def same_tensors(trained: ModelFile, exported: ModelFile) -> bool:
    """Whether every tensor of a trained model is in the exported graph, to the bit and in no more bytes."""
    held = {(array.dtype.str, array.shape, array.tobytes()) for array in exported.weights.values()}
    single = {
        (key[0].replace("f2", "f4"), key[1], np.frombuffer(key[2], key[0]).astype("<f4").tobytes()) for key in held
    }
    small = [array for array in trained.weights.values() if array.size < 16]
    large = [array for array in trained.weights.values() if array.size >= 16]
    return all((array.dtype.str, array.shape, array.tobytes()) in held for array in large) and all(
        ("<f4", array.shape, array.astype("<f4").tobytes()) in single for array in small
    )


def test_the_graph_holds_the_tensors_of_the_model_file(pair: tuple[Path, Path]) -> None:
    trained, exported = (ModelFile.load(path) for path in pair)
    assert same_tensors(trained, exported)
    other = trained._replace(weights={name: array + 1 for name, array in trained.weights.items()})
    assert not same_tensors(other, exported)


def test_the_exported_default_is_the_default() -> None:
    trained, exported = ModelFile.load(default_model()), ModelFile.load(default_model(exported=True))
    assert exported.manifest == trained.manifest
    assert same_tensors(trained, exported)
    assert default_model(exported=True).stat().st_size < 15e6


def test_the_same_model_gives_the_same_bytes(palette_model: Path, exported_palette_model: Path, tmp_path: Path) -> None:
    again = export_model(palette_model, tmp_path / "again.onnx", threads=1)
    assert again.read_bytes() == exported_palette_model.read_bytes()


def test_the_file_is_valid_and_tells_nothing_of_the_machine(pair: tuple[Path, Path]) -> None:
    data = pair[1].read_bytes()
    made = onnx.load_from_string(data)
    onnx.checker.check_model(made, full_check=True)
    assert (made.ir_version, made.opset_import[0].version) == (8, 18)
    for told in (b"site-packages", b"pkg.torch", b"pytorch", b'File "', str(Path.cwd()).encode()):
        assert told not in data


def test_the_manifest_travels_along(pair: tuple[Path, Path]) -> None:
    trained, exported = (ModelFile.load(path) for path in pair)
    assert exported.manifest == trained.manifest
    assert exported.window is None


# --- windows of one side, for Deepness ---


@pytest.fixture(scope="module")
def windowed(palette_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_model(palette_model, tmp_path_factory.mktemp("windowed") / "tiny.onnx", window=32, threads=1)


def test_a_window_is_fixed_on_request(windowed: Path, palette_manifest: Manifest) -> None:
    loaded = ModelFile.load(windowed)
    assert loaded.window == 32
    assert loaded.manifest == replace(palette_manifest, window=32, overlap=16)
    made = onnx.load(windowed)
    for values, channels in ((made.graph.input, 3), (made.graph.output, 3)):
        assert [side.dim_value for side in values[0].type.tensor_type.shape.dim] == [1, channels, 32, 32]


def test_what_deepness_feeds_is_what_we_feed(windowed: Path, palette_model: Path) -> None:
    """Its arithmetic, as in its preprocessing: over 255, less the mean, over the deviation."""
    loaded = ModelFile.load(windowed)
    assert loaded.graph is not None
    told = {name: json.loads(text) for name, text in loaded.graph.metadata.items()}
    mean, deviation = (np.array(told[f"standardization_{name}"], np.float32) for name in ("mean", "std"))
    tile = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    fed = np.transpose((np.float32(tile[None] * 1.0 / 255.0) - mean) / deviation, (0, 3, 1, 2))
    scaled = loaded.manifest.source.scaling.forward(np.moveaxis(tile, -1, 0))
    assert np.abs(fed[0] - scaled).max() < 1e-6
    answer = OnnxEngine(loaded, threads=1).predict(fed)
    expected = TorchEngine(ModelFile.load(palette_model), "cpu", threads=1).predict(scaled[None])
    assert np.abs(answer - expected).max() < 1e-5
    assert told["model_type"] == "Segmentor"
    assert told["class_names"] == {"0": "land", "1": "road", "2": "water"}
    assert told["tile_size"] == told["tiles_size"] == 32
    assert told["tiles_overlap"] == 50
    assert told["resolution"] == pytest.approx(50)


def test_deepness_of_other_models(manifest: Manifest) -> None:
    narrow = replace(manifest.source, scaling=Scaling((10.0, 0.0, 20.0), (100.0, 255.0, 200.0)))
    signed = replace(manifest.target, scaling=Scaling.uniform(-1, 3, 3))
    told = deepness_metadata(
        replace(manifest, source=narrow, target=signed, ground_resolution=GroundResolution(low=None, high=None))
    )
    assert json.loads(told["model_type"]) == "Regressor"
    assert json.loads(told["reg_output_scaling"]) == 2.0
    assert "resolution" not in told
    value = 37.0
    mean, deviation = (json.loads(told[f"standardization_{name}"]) for name in ("mean", "std"))
    found = [(value / 255 - m) / d for m, d in zip(mean, deviation, strict=True)]
    expected = narrow.scaling.forward(np.full((3, 1, 1), value, np.float32))[:, 0, 0]
    assert found == pytest.approx(expected.tolist(), abs=1e-6)
    wide = replace(manifest.source, dtype="uint16", scaling=Scaling.full_range("uint16", 3))
    assert deepness_metadata(replace(manifest, source=wide)) == {}, "it gives 8-bit values only"


# --- what is refused, and leaves nothing ---


def test_what_cannot_be_exported_leaves_nothing(
    tiny_model: Path, exported_model: Path, manifest: Manifest, tmp_path: Path
) -> None:
    taken = tmp_path / "taken.onnx"
    taken.write_text("precious")
    refused = [
        (tiny_model, {"window": 30}, ConfigError, "multiple of 4"),
        (tiny_model, {"window": 0}, ConfigError, "multiple of 4"),
        (exported_model, {}, ModelFileError, "exported already"),
        (tmp_path / "absent", {}, ModelFileError, "does not exist"),
        (tiny_model, {"mlm": tmp_path / "out.onnx"}, OutputError, "asked for twice"),
        (tiny_model, {"mlm": taken}, OutputError, "exists"),
        (tiny_model, {"mlm": tmp_path / "nowhere" / "item.json"}, OutputError, "does not exist"),
    ]
    for model, arguments, kind, message in refused:
        with pytest.raises(kind, match=message):
            export_model(model, tmp_path / "out.onnx", **arguments)
    with pytest.raises(OutputError, match="exists"):
        export_model(tiny_model, taken)
    with pytest.raises(OutputError, match="input itself"):
        export_model(tiny_model, tiny_model, overwrite=True)
    with pytest.raises(OutputError, match="folder"):
        export_model(tiny_model, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["taken.onnx"]
    assert taken.read_text() == "precious"


@pytest.mark.slow
def test_a_model_that_answers_no_numbers_is_not_exported(manifest: Manifest, tmp_path: Path) -> None:
    """Weights that are finite, but overflow on the way: what the engines then answer is nobody's map."""
    trained = network_file(
        tmp_path / "wild.safetensors", manifest, spread=3e4,
        depth=4, width=8, norm="none", padding="replicate", upsampling="resize",
    )  # fmt: skip
    with pytest.raises(ModelFileError, match=r"not written: in ONNX Runtime .* inf before rounding"):
        export_model(trained, tmp_path / "out.onnx", threads=1)
    assert [path.name for path in tmp_path.iterdir()] == ["wild.safetensors"]


@pytest.mark.slow
def test_a_cancelled_export_leaves_nothing(tiny_model: Path, tmp_path: Path) -> None:
    def cancel(event: Event) -> None:
        if event.stage == "compare":
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        export_model(tiny_model, tmp_path / "out.onnx", threads=1, progress=cancel)
    assert not list(tmp_path.iterdir())


# --- the comparison itself ---


def answering(manifest: Manifest, change: Any) -> Any:
    """An engine whose answer is its first channels, changed."""
    channels = manifest.generator.out_channels
    return SimpleNamespace(manifest=manifest, predict=lambda batch: change(batch[:, :channels].copy()))


def same(values: np.ndarray) -> np.ndarray:
    return values


@pytest.mark.parametrize("window", [None, 64])
def test_equal_engines_are_equal_on_enough_pixels(manifest: Manifest, window: int | None) -> None:
    found = parity(answering(manifest, same), answering(manifest, same), window)
    assert found.holds
    assert found.pixels >= ENOUGH
    assert found[1:] == (0, 0, 0, 0.0)


def test_a_level_on_few_pixels_is_accepted_and_two_are_not(manifest: Manifest) -> None:
    def moved(levels: float, every: int) -> Any:
        def change(values: np.ndarray) -> np.ndarray:
            values[0, 0].flat[::every] += levels / 127.5
            return values

        return change

    reference = answering(manifest, same)
    few = parity(reference, answering(manifest, moved(1, 50_000)), None)
    assert 0 < few.changed < 100
    assert few.step == 1
    assert few.holds
    assert not parity(reference, answering(manifest, moved(1, 5000)), None).holds, "too many pixels"
    assert not parity(reference, answering(manifest, moved(2, 50_000)), None).holds, "too large a step"


def test_values_on_the_edge_between_two_levels_may_fall_to_either_side(manifest: Manifest) -> None:
    """A hundredth of a level moves a hundredth of the values over an edge; nobody can see it, and nobody is right."""
    reference = answering(manifest, same)
    found = parity(reference, answering(manifest, lambda values: values + np.float32(0.01 / 127.5)), None)
    assert found.differing > 0.005 * found.pixels
    assert (found.changed, found.step, found.holds) == (0, 1, True)
    assert not parity(reference, answering(manifest, lambda values: values + np.float32(0.1 / 127.5)), None).holds


def test_classes_are_compared_not_probabilities(palette_manifest: Manifest) -> None:
    reference = answering(palette_manifest, same)
    doubled = parity(reference, answering(palette_manifest, lambda values: values * 2), None)
    assert doubled.difference > 100
    assert (doubled.changed, doubled.holds) == (0, True)
    turned = parity(reference, answering(palette_manifest, lambda values: values[:, ::-1]), None)
    assert turned.changed > turned.pixels / 2
    assert not turned.holds


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_equal_to_nothing(manifest: Manifest, value: float) -> None:
    def spoiled(values: np.ndarray) -> np.ndarray:
        values[0, 0, 0, 0] = value
        return values

    assert not parity(answering(manifest, same), answering(manifest, spoiled), None).holds
