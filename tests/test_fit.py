"""Whether a scene is like what a model learned from, and that this is told with numbers."""

import re
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from geopix2pix.errors import ModelFileError, SceneWarning
from geopix2pix.fit import distances
from geopix2pix.manifest import QUANTILES, Manifest
from geopix2pix.model import ModelFile, write_model
from geopix2pix.normalize import Scaling
from geopix2pix.planning import planned
from tests.rasters import write_raster
from tests.test_job import PLACE

FULL = Scaling.full_range("uint8", 3)


def quantiles(data: np.ndarray) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(map(float, np.percentile(band, QUANTILES))) for band in data)


def picture(middle: float, spread: float = 20, dtype: str = "uint8", seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).normal(middle, spread, (3, 200, 200))
    return values.clip(np.iinfo(dtype).min, np.iinfo(dtype).max).astype(dtype)


@pytest.fixture
def told_model(tiny_model: Path, tmp_path: Path) -> Path:
    loaded = ModelFile.load(tiny_model)
    source = replace(loaded.manifest.source, quantiles=quantiles(picture(120, seed=1)))
    write_model(tmp_path / "told.safetensors", replace(loaded.manifest, source=source), loaded.weights)
    return tmp_path / "told.safetensors"


def scene_of(path: Path, data: np.ndarray) -> Path:
    return write_raster(path, data, crs="EPSG:32633", transform=PLACE, photometric="rgb")


def test_distances_are_those_between_the_values() -> None:
    first, second = np.array(quantiles(picture(100))), np.array(quantiles(picture(100)))
    assert distances(first, FULL, second, FULL).tolist() == [0, 0, 0]
    assert distances(first, FULL, second + 51, FULL) == pytest.approx([0.2] * 3, abs=1e-6)
    twice = Scaling.uniform(0, 510, 3)
    assert distances(first * 2, twice, second, FULL) == pytest.approx([0] * 3, abs=1e-6)


def test_a_scene_like_those_in_training_is_no_surprise(told_model: Path, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", SceneWarning)
        planned(scene_of(tmp_path / "scene.tif", picture(135)), tmp_path / "out.tif", model=told_model)


def test_an_unlike_scene_is_told_once_with_numbers(told_model: Path, tmp_path: Path) -> None:
    source = scene_of(tmp_path / "scene.tif", picture(40, 8))
    with pytest.warns(SceneWarning) as told:
        planned(source, tmp_path / "out.tif", model=told_model)
    (message,) = [str(w.message) for w in told if "does not look like" in str(w.message)]
    here, there = (np.median(picture(*light), axis=(1, 2)) for light in ((40, 8), (120,)))
    told_here, told_there = (float(text) for text in re.findall(r"of (\d+\.?\d*) \(", message))
    assert min(abs(here - told_here)) <= 1 and min(abs(there - told_there)) <= 1
    with warnings.catch_warnings():
        warnings.simplefilter("error", SceneWarning)
        stretched = scene_of(tmp_path / "dark.tif", (picture(120, seed=2) / 4).astype(np.uint8))
        planned(stretched, tmp_path / "out.tif", model=told_model, scaling=(0, 64))


def test_a_model_that_tells_nothing_is_compared_with_nothing(tiny_model: Path, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", SceneWarning)
        planned(scene_of(tmp_path / "scene.tif", picture(10, 2)), tmp_path / "out.tif", model=tiny_model)


def test_twelve_bits_in_sixteen_are_told(tiny_model: Path, tmp_path: Path) -> None:
    source = scene_of(tmp_path / "scene.tif", picture(2000, 300, "uint16"))
    with pytest.warns(SceneWarning, match="--scaling LOW,HIGH"):
        planned(source, tmp_path / "out.tif", model=tiny_model, scaling=(0, 65535))
    with warnings.catch_warnings():
        warnings.simplefilter("error", SceneWarning)
        planned(source, tmp_path / "out.tif", model=tiny_model, scaling=(0, 4095))


def test_manifests_without_quantiles_are_read_and_wrong_ones_are_not(manifest: Manifest) -> None:
    data = manifest.to_json()
    del data["source"]["quantiles"]
    assert Manifest.from_json(data) == manifest
    data["source"]["quantiles"] = [[1.0] * len(QUANTILES)] * 3
    assert Manifest.from_json(data).source.quantiles is not None
    for wrong in ([[1.0]] * 3, [[1.0] * len(QUANTILES)] * 2, [list(range(len(QUANTILES)))[::-1]] * 3, "many"):
        data["source"]["quantiles"] = wrong
        with pytest.raises(ModelFileError, match="quantiles"):
            Manifest.from_json(data)
