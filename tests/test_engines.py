"""Engines: the file decides which one computes, and with either a result is the same bytes whatever disturbs it."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import rasterio
from onnx import helper

from geopix2pix import engine as engines
from geopix2pix import translate
from geopix2pix.engine import PLAIN, Means, check_engine, installed, load_engine, package_model
from geopix2pix.errors import Cancelled, ConfigError, ModelFileError
from geopix2pix.model import ModelFile, default_model
from geopix2pix.onnx_engine import OnnxEngine
from geopix2pix.progress import Event
from geopix2pix.torch_engine import TorchEngine
from tests.rasters import ROTATED, write_raster

# --- which one ---


def test_the_file_decides(tiny_model: Path, exported_model: Path) -> None:
    assert isinstance(load_engine(ModelFile.load(tiny_model), device="cpu"), TorchEngine)
    assert isinstance(load_engine(ModelFile.load(exported_model)), OnnxEngine)


@pytest.mark.parametrize("name", ["torch", "onnxruntime"])
def test_the_model_in_the_package_is_there_for_both(name: str) -> None:
    check_engine(ModelFile.load(package_model(name)), name, None)


@pytest.mark.parametrize("gpu", [False, True])
def test_without_a_name_the_package_gives_what_computes_best_here(gpu: bool, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "gpu").touch()
    monkeypatch.setattr(engines, "GPU_SIGNS", (str(tmp_path / ("gpu" if gpu else "none")),))
    monkeypatch.setattr(engines.platform, "system", lambda: "Linux")
    assert package_model(None) == default_model(exported=not gpu)
    assert package_model(None, "cpu") == default_model(exported=True)
    for device, means in (("cuda", PLAIN), ("auto", Means("bf16")), ("cpu", Means(compiled=True))):
        assert package_model(None, device, means) == default_model(), "only torch can"
    monkeypatch.setattr(engines, "installed", lambda name: name != "torch")
    assert package_model(None) == default_model(exported=True)
    monkeypatch.setattr(engines, "installed", lambda name: name == "torch")
    assert package_model(None) == default_model()


def test_what_is_not_installed_is_not_found() -> None:
    assert installed("torch")
    assert installed("onnxruntime")
    assert not installed("no_such_engine")


def test_what_an_engine_cannot_compute_is_refused(tiny_model: Path, exported_model: Path, monkeypatch) -> None:
    trained, exported = ModelFile.load(tiny_model), ModelFile.load(exported_model)
    with pytest.raises(ConfigError, match="--engine onnxruntime: .* is trained, .* model export"):
        check_engine(trained, "onnxruntime", None)
    with pytest.raises(ConfigError, match=r"--engine torch: .* is exported, .*\.safetensors"):
        check_engine(exported, "torch", None)
    with pytest.raises(ModelFileError, match="no graph"):
        OnnxEngine(trained)
    with pytest.raises(ConfigError, match="'cuda'.*CPU alone"):
        load_engine(exported, device="cuda")
    monkeypatch.setattr(engines, "installed", lambda name: False)
    with pytest.raises(ConfigError, match=r"needs torch, which is not installed here; give an exported model"):
        check_engine(trained, None, None)
    with pytest.raises(ConfigError, match="needs onnxruntime, which is not installed here; pip install onnxruntime"):
        check_engine(exported, None, None)


@pytest.mark.parametrize(
    ("means", "option"), [(Means("bf16"), "--precision bf16"), (Means(compiled=True), "--compile")]
)
def test_means_of_torch_are_refused_for_exported_models(means: Means, option: str, exported_model: Path) -> None:
    with pytest.raises(ConfigError, match=f"{option}: .*is exported"):
        check_engine(ModelFile.load(exported_model), None, None, means)


def test_half_precision_is_for_gpus(tiny_model: Path) -> None:
    with pytest.raises(ConfigError, match="--precision fp16: .*or a GPU"):
        load_engine(ModelFile.load(tiny_model), device="cpu", means=Means("fp16"))


@pytest.mark.parametrize("kind", ["model", "palette_model"])
def test_bf16_answers_nearly_the_same_and_is_told(kind: str, request: pytest.FixtureRequest) -> None:
    model = ModelFile.load(request.getfixturevalue("tiny_model" if kind == "model" else kind))
    patches = np.random.default_rng(0).uniform(-1, 1, (2, 3, 64, 64)).astype(np.float32)
    plain, lower = (load_engine(model, device="cpu", threads=1, means=Means(p)) for p in ("fp32", "bf16"))
    assert (plain.parameters["precision"], lower.parameters["precision"]) == ("float32", "bfloat16")
    expected, found = plain.predict(patches), lower.predict(patches)
    assert found.dtype == np.float32
    assert 0 < np.abs(found - expected).max() < 0.05, "8 bits of precision"
    if kind == "palette_model":
        assert np.abs(found.sum(axis=1) - 1).max() < 1e-6, "probabilities are in full precision"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch compiles with g++")
def test_a_compiled_network_answers_nearly_the_same_whatever_the_size(tiny_model: Path) -> None:
    model = ModelFile.load(tiny_model)
    plain, compiled = (load_engine(model, device="cpu", threads=1, means=Means(compiled=c)) for c in (False, True))
    assert compiled.parameters == {**plain.parameters, "compiled": "yes"}
    for side in (32, 64, 96):
        patches = np.random.default_rng(0).uniform(-1, 1, (2, 3, side, 64)).astype(np.float32)
        assert np.abs(compiled.predict(patches) - plain.predict(patches)).max() < 1e-4


def test_what_cannot_be_compiled_is_told_before_the_work(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    def broken(network, **options):
        def call(patches):
            raise RuntimeError("no working C++ compiler\nwas found")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(ConfigError, match=r"--compile: .*\(no working C\+\+ compiler was found\); leave it out"):
        load_engine(ModelFile.load(tiny_model), device="cpu", means=Means(compiled=True))


def test_the_device_and_the_versions_are_told(exported_model: Path) -> None:
    import onnxruntime

    told = OnnxEngine(ModelFile.load(exported_model), threads=3).parameters
    assert told == {
        "engine": f"onnxruntime {onnxruntime.__version__}", "device": "cpu", "precision": "float32", "threads": 3,
    }  # fmt: skip
    assert OnnxEngine(ModelFile.load(exported_model)).parameters["threads"] >= 1


# --- the same bytes ---


def test_a_patch_does_not_depend_on_its_batch(exported_palette_model: Path) -> None:
    engine = OnnxEngine(ModelFile.load(exported_palette_model), threads=1)
    patches = np.random.default_rng(0).uniform(-1, 1, (5, 3, 24, 40)).astype(np.float32)
    together = engine.predict(patches)
    assert np.array_equal(together, np.concatenate([engine.predict(patches[i : i + 1]) for i in range(5)]))
    assert np.array_equal(together[::-1], engine.predict(patches[::-1]))
    again = OnnxEngine(ModelFile.load(exported_palette_model), threads=1)
    assert np.array_equal(together, again.predict(patches))


def test_batches_and_interruptions_do_not_change_a_byte(scene: Path, exported_model: Path, tmp_path: Path) -> None:
    given = {"model": exported_model, "threads": 1, "window": 32, "overlap": 16}
    whole = translate(scene, tmp_path / "whole.tif", **given).read_bytes()
    assert translate(scene, tmp_path / "batched.tif", batch=4, **given).read_bytes() == whole

    def cancel(event: Event) -> None:
        if event.stage == "translate" and event.done == 25:
            raise Cancelled("enough")

    output, resumed = tmp_path / "stopped.tif", []
    with pytest.raises(Cancelled):
        translate(scene, output, progress=cancel, **given)
    assert not output.exists()
    translate(scene, output, progress=lambda event: resumed.append(event.done), **given)
    assert output.read_bytes() == whole
    assert resumed[0] > 0, "finished rows must not be computed again"


def test_another_engine_does_not_go_on_where_one_stopped(
    scene: Path, tiny_model: Path, exported_model: Path, tmp_path: Path
) -> None:
    def cancel(event: Event) -> None:
        if event.done == 9:
            raise Cancelled("enough")

    given = {"threads": 1, "window": 32, "overlap": 16}
    with pytest.raises(Cancelled):
        translate(scene, tmp_path / "out.tif", model=exported_model, progress=cancel, **given)
    with pytest.warns(UserWarning, match=r"parameters\.engine was .onnxruntime.*starting anew"):
        translate(scene, tmp_path / "out.tif", model=tiny_model, device="cpu", **given)


# --- the same map ---


@pytest.mark.parametrize("kind", ["model", "palette_model"])
def test_both_engines_paint_the_same_map(kind: str, scene: Path, tmp_path: Path, request) -> None:
    trained = request.getfixturevalue("tiny_model" if kind == "model" else kind)
    exported = request.getfixturevalue(f"exported_{kind}")
    with (
        rasterio.open(translate(scene, tmp_path / "a.tif", model=trained, device="cpu")) as one,
        rasterio.open(translate(scene, tmp_path / "b.tif", model=exported)) as two,
    ):
        first, second = one.read().astype(int), two.read().astype(int)
        assert np.ptp(first) > 0
        assert (first != second).any(axis=0).mean() <= 1e-3
        if kind == "model":
            assert np.abs(first - second).max() <= 1
        assert two.tags()["GEOPIX2PIX_ENGINE"].startswith("onnxruntime ")
        assert (one.crs, one.transform) == (two.crs, two.transform)
        assert np.array_equal(one.dataset_mask(), two.dataset_mask())


def test_seams_are_measured_with_an_exported_model(scene: Path, exported_model: Path, tmp_path: Path) -> None:
    report = tmp_path / "seams.json"
    translate(scene, tmp_path / "out.tif", model=exported_model, window=64, overlap=40, seam_report=report)
    assert json.loads(report.read_text())["blended_by_stride"]["difference"] < 1e-2


# --- windows of one side, and graphs that go wrong ---


def with_windows(path: Path, side: int, target: Path) -> Path:
    """The exported model with windows fixed, as `export_model(window=side)` writes it for the manifest's own window."""
    made = onnx.load(path)
    for values in (made.graph.input, made.graph.output):
        for dim, size in zip(values[0].type.tensor_type.shape.dim, (1, 3, side, side), strict=True):
            dim.dim_value = size
    target.write_bytes(made.SerializeToString())
    return target


def test_other_windows_than_the_exported_one_are_refused_before_the_work(
    scene: Path, exported_model: Path, tmp_path: Path
) -> None:
    fixed = with_windows(exported_model, 64, tmp_path / "fixed.onnx")
    with pytest.raises(ConfigError, match="exported for windows of 64 alone"):
        translate(scene, tmp_path / "out.tif", model=fixed, window=32)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fixed.onnx"]


def test_a_model_for_windows_of_one_side_paints_what_one_for_any_paints(exported_model: Path, tmp_path: Path) -> None:
    """Where its windows end with the scene; where they reach out they see its reflection, which others do not see."""
    fixed = with_windows(exported_model, 64, tmp_path / "fixed.onnx")
    data = np.random.default_rng(2).integers(1, 255, (3, 64 + 48, 64 + 2 * 48), np.uint8)
    for size, inside in (((112, 160), np.s_[:]), ((110, 150), np.s_[:, :80, :120])):
        picture = data[:, : size[0], : size[1]]
        source = write_raster(tmp_path / "scene.tif", picture, crs="EPSG:32633", transform=ROTATED, photometric="rgb")
        one, two = tmp_path / "fixed.tif", tmp_path / "free.tif"
        translate(source, one, model=fixed, threads=1, overwrite=True)
        translate(source, two, model=exported_model, threads=1, overwrite=True)
        with rasterio.open(one) as first, rasterio.open(two) as second:
            assert np.array_equal(first.read()[inside], second.read()[inside])


def spoiled(path: Path, target: Path, node: onnx.NodeProto) -> Path:
    """The exported model with one more node between its network and its answer."""
    made = onnx.load(path)
    for other in made.graph.node:
        other.output[:] = ["inner" if name == "answer" else name for name in other.output]
    made.graph.node.append(node)
    target.write_bytes(made.SerializeToString())
    return target


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (helper.make_node("NoSuchOperator", ["inner"], ["answer"]), "cannot run its graph"),
        (
            helper.make_node("Transpose", ["inner"], ["answer"], perm=[0, 2, 3, 1]),
            r"answers with shape \(1, \d+, \d+, 3\)",
        ),
        (helper.make_node("Reshape", ["inner", "missing"], ["answer"]), "cannot run its graph"),
    ],
    ids=["operator", "shape", "input"],
)
def test_graphs_that_go_wrong_are_refused_in_one_line_and_leave_nothing(
    scene: Path, exported_model: Path, tmp_path: Path, node: onnx.NodeProto, message: str, capfd
) -> None:
    bad = spoiled(exported_model, tmp_path / "bad.onnx", node)
    with pytest.raises(ModelFileError, match=message) as caught:
        translate(scene, tmp_path / "out.tif", model=bad)
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["bad.onnx"]
    assert capfd.readouterr() == ("", ""), "the library never prints, nor does what it calls"
