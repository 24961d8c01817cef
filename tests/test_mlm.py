"""The STAC item of a model has what the MLM extension requires, in the form that it requires."""

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from geopix2pix.grid import WindowGrid
from geopix2pix.manifest import Manifest
from geopix2pix.mlm import mlm_item
from geopix2pix.model import ModelFile, default_model, write_model

# As the extension's schema and text list them, version 1.4.0 (and STAC 1.1.0 for the item itself).
ITEM = ("type", "stac_version", "stac_extensions", "id", "geometry", "properties", "links", "assets")
PROPERTIES = ("datetime", "mlm:name", "mlm:architecture", "mlm:tasks", "mlm:input", "mlm:output")
KNOWN = {
    "mlm:name", "mlm:architecture", "mlm:tasks", "mlm:framework", "mlm:framework_version", "mlm:memory_size",
    "mlm:total_parameters", "mlm:pretrained", "mlm:pretrained_source", "mlm:batch_size_suggestion", "mlm:accelerator",
    "mlm:accelerator_constrained", "mlm:accelerator_summary", "mlm:accelerator_count", "mlm:input", "mlm:output",
    "mlm:hyperparameters",
}  # fmt: skip
INPUT, OUTPUT, STRUCTURE = ("name", "bands", "input"), ("name", "tasks", "result"), ("shape", "dim_order", "data_type")
TASKS = {
    "regression", "classification", "scene-classification", "detection", "object-detection", "segmentation",
    "semantic-segmentation", "instance-segmentation", "panoptic-segmentation", "similarity-search", "generative",
    "image-captioning", "super-resolution",
}  # fmt: skip
NAME = r"[a-zA-Z][a-zA-Z0-9_.\-\s]+[a-zA-Z0-9]"
Z_SCORE = ("type", "mean", "stddev")
CLASS = ("value", "description")  # of the classification extension, version 1.1.0, which the schema refers to


def check(item: dict[str, Any]) -> None:
    """All that is required, and nothing with the extension's prefix that it does not know."""
    assert all(field in item for field in ITEM)
    assert (item["type"], item["stac_version"]) == ("Feature", "1.1.0")
    assert "https://stac-extensions.github.io/mlm/v1.4.0/schema.json" in item["stac_extensions"]
    assert item["geometry"] is None, "then an item needs no bbox"
    properties = item["properties"]
    assert all(field in properties for field in PROPERTIES)
    assert properties["datetime"] is None
    assert {"start_datetime", "end_datetime"} <= properties.keys(), "which an item without a datetime needs"
    assert {name for name in properties if name.startswith("mlm:")} <= KNOWN
    assert re.fullmatch(NAME, properties["mlm:name"])
    assert set(properties["mlm:tasks"]) <= TASKS
    assert properties["mlm:total_parameters"] > 0
    (source,), (answer,) = properties["mlm:input"], properties["mlm:output"]
    assert all(field in source for field in INPUT)
    assert all(field in answer for field in OUTPUT)
    assert set(answer["tasks"]) <= set(properties["mlm:tasks"])
    for structure in (source["input"], answer["result"]):
        assert all(field in structure for field in STRUCTURE)
        assert len(structure["shape"]) == len(structure["dim_order"])
        assert all(type(side) is int and side >= -1 for side in structure["shape"])
        assert all(re.fullmatch("[a-z-_]+", name) for name in structure["dim_order"])
    # Bands that an input refers to by name are described once, as in STAC 1.1.
    assert source["bands"] == [band["name"] for band in properties["bands"]]
    assert len(source["value_scaling"]) == len(source["bands"])
    assert all(set(scaling) == set(Z_SCORE) and scaling["type"] == "z-score" for scaling in source["value_scaling"])
    for entry in answer.get("classification:classes", []):
        assert all(field in entry for field in CLASS)
        assert re.fullmatch(r"[0-9A-Za-z-_.]+", entry["name"])
        assert re.fullmatch(r"[0-9A-F]{6}", entry["color_hint"])
    asset = item["assets"]["model"]
    assert "mlm:model" in asset["roles"]
    assert {"href", "type", "mlm:artifact_type"} <= asset.keys()
    assert not Path(asset["href"]).is_absolute()


@pytest.mark.parametrize("kind", ["tiny_model", "exported_model", "palette_model", "exported_palette_model"])
def test_what_is_required_is_there(kind: str, request: pytest.FixtureRequest) -> None:
    path = request.getfixturevalue(kind)
    item = json.loads(json.dumps(mlm_item(ModelFile.load(path), path), allow_nan=False))
    check(item)
    asset = item["assets"]["model"]
    assert asset["file:size"] == path.stat().st_size
    assert asset["file:checksum"] == "1220" + hashlib.sha256(path.read_bytes()).hexdigest()
    assert item["properties"]["mlm:framework"] == ("ONNX" if "exported" in kind else "PyTorch")


@pytest.mark.parametrize("exported", [True, False])
def test_the_default_model(exported: bool) -> None:
    path = default_model(exported=exported)
    item = mlm_item(ModelFile.load(path), path)
    check(item)
    assert [entry["name"] for entry in item["properties"]["mlm:output"][0]["classification:classes"]] == [
        "land", "building", "road", "vegetation", "water",
    ]  # fmt: skip


def test_the_item_says_how_windows_overlap(exported_model: Path, manifest: Manifest) -> None:
    own = mlm_item(ModelFile.load(exported_model), exported_model)["properties"]
    grid = WindowGrid.fitted(640, 640, window=64, overlap=16, stride=4)
    assert own["geopix2pix:window"] == 64
    assert own["geopix2pix:overlap"] == 2 * own["geopix2pix:halo"] + own["geopix2pix:feather"] == grid.overlap
    assert own["geopix2pix:total_stride"] == 4
    assert own["geopix2pix:target"]["scaling"] == {"low": [0.0] * 3, "high": [255.0] * 3, "clip": True}


@pytest.mark.parametrize("name", ["ü", "7 streets", "a", "Straßen & Wege", "..", "roads_"])
def test_any_name_becomes_one_that_is_allowed(name: str, manifest: Manifest, tiny_model: Path, tmp_path: Path) -> None:
    loaded = ModelFile.load(tiny_model)
    write_model(tmp_path / "m.safetensors", replace(manifest, name=name), loaded.weights)
    item = mlm_item(ModelFile.load(tmp_path / "m.safetensors"), tmp_path / "m.safetensors")
    check(item)
    assert item["properties"]["title"] == f"{name} 1"
