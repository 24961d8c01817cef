"""Patterns on nothing and another map in training mode: found where they are, and only there."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from geopix2pix.evaluation.stability import flatness, middle, train_eval
from geopix2pix.grid import WindowGrid
from geopix2pix.manifest import Manifest
from geopix2pix.model import ModelFile, write_model
from geopix2pix.raster import RasterReader
from geopix2pix.torch_engine import TorchEngine
from tests.rasters import coordinates, write_raster

GRID = WindowGrid(width=200, height=200, window=64, crop=4, feather=8)


def model(folder: Path, manifest: Manifest, **changes) -> ModelFile:
    """A tiny model with random weights and the generator of the manifest, changed."""
    from geopix2pix.networks import generator, initialize, weights

    spec = replace(manifest.generator, **changes)
    network = generator(spec)
    initialize(network, seed=4, std=0.3)
    path = folder / "model.safetensors"
    write_model(path, replace(manifest, generator=spec), {n: t.numpy() for n, t in weights(network).items()})
    return ModelFile.load(path)


@pytest.mark.parametrize("head", ["raster", "palette"])
def test_a_network_that_sees_no_border_paints_nothing_in_one_colour(head, manifest, palette_manifest, tmp_path) -> None:
    loaded = model(tmp_path, manifest if head == "raster" else palette_manifest)
    found = flatness(TorchEngine(loaded, "cpu"), GRID)
    assert found["passed"]
    assert found["colors"] == 1
    assert found["spread"] < 1e-3


def test_zeros_around_a_window_paint_a_pattern_on_nothing(manifest: Manifest, tmp_path: Path) -> None:
    loaded = model(tmp_path, manifest, padding="zeros", upsampling="transposed")
    found = flatness(TorchEngine(loaded, "cpu"), GRID)
    assert not found["passed"]
    assert found["colors"] > 1
    assert found["spread"] > 1


def test_what_is_cropped_is_not_seen(manifest: Manifest, tmp_path: Path) -> None:
    engine = TorchEngine(model(tmp_path, manifest, padding="zeros"), "cpu")
    deep = WindowGrid(width=200, height=200, window=128, crop=40, feather=8)
    assert flatness(engine, deep)["spread"] < 1e-3 < flatness(engine, GRID)["spread"]


def patch() -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (3, 64, 64)).astype(np.float32)


@pytest.mark.parametrize("norm", ["none", "channel", "frozen"])
def test_constant_statistics_paint_the_same_map_in_training_mode(norm, palette_manifest, tmp_path) -> None:
    found = train_eval(model(tmp_path, palette_manifest, norm=norm), patch())
    assert (found["difference"], found["changed"]) == (0, 0)


def test_statistics_of_the_picture_paint_another_map(palette_manifest: Manifest, tmp_path: Path) -> None:
    found = train_eval(model(tmp_path, palette_manifest, norm="batch"), patch())
    assert found["difference"] > 1
    assert found["changed"] > 0
    assert train_eval(model(tmp_path, palette_manifest, norm="batch"), patch()) == found, "it repeats"


def test_dropout_paints_another_map(manifest: Manifest, tmp_path: Path) -> None:
    import torch

    loaded = model(tmp_path, replace(manifest, total_stride=8), depth=3, dropout=0.5)
    state = torch.random.get_rng_state()
    found = train_eval(loaded, patch())
    assert found["difference"] > 0
    assert found["changed"] is None
    assert torch.equal(torch.random.get_rng_state(), state)


def test_the_middle_of_a_scene_is_read_as_the_network_sees_it(manifest: Manifest, tmp_path: Path) -> None:
    scaling = manifest.source.scaling
    small = write_raster(tmp_path / "small.tif", coordinates(3, 20, 30, "uint8"))
    large = write_raster(tmp_path / "large.tif", coordinates(3, 700, 900, "uint8"))
    with RasterReader(small) as reader:
        assert middle(reader, manifest, scaling).shape == (3, 64, 64)
    with RasterReader(large) as reader:
        found = middle(reader, replace(manifest, window=1024), scaling)
        assert found.shape == (3, 512, 512)
        expected = coordinates(3, 700, 900, "uint8")[:, 94 : 94 + 512, 194 : 194 + 512]
        assert np.array_equal(scaling.backward(found, "uint8"), expected)
