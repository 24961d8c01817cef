"""The seam measures: none where there is no seam, and all of them where windows are put side by side."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio

from geopix2pix import translate
from geopix2pix.errors import SceneError
from geopix2pix.grid import WindowGrid
from geopix2pix.model import ModelFile
from geopix2pix.raster import RasterReader
from geopix2pix.seams import measured_seams
from geopix2pix.torch_engine import TorchEngine

SIDES = ("by_stride", "by_less")


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scene whose every pixel matters to a network."""
    data = np.random.default_rng(0).integers(0, 255, (3, 200, 260), np.uint8, endpoint=True)
    path = tmp_path_factory.mktemp("noise") / "noise.tif"
    profile = {"driver": "GTiff", "width": 260, "height": 200, "count": 3, "dtype": "uint8", "photometric": "rgb"}
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.write(data)
    return path


class BordersShow:
    """An engine whose windows are bright along their upper and left border, as padding may make those of a network."""

    def __init__(self, engine: TorchEngine, depth: int) -> None:
        self.manifest, self._depth = engine.manifest, depth

    def predict(self, batch: np.ndarray) -> np.ndarray:
        bright = batch * 0.5
        bright[:, :, self._depth :, self._depth :] -= 0.3
        return bright


def report(scene: Path, engine: object, **grid: int) -> dict:
    with RasterReader(scene) as reader:
        placed = WindowGrid.fitted(reader.width, reader.height, stride=4, **grid)
        return measured_seams(reader, engine, engine.manifest.source.scaling, placed)


def test_borders_of_windows_are_found_when_nothing_hides_them(noise: Path, tiny_model: Path) -> None:
    engine = BordersShow(TorchEngine(ModelFile.load(tiny_model), "cpu"), depth=3)
    found = report(noise, engine, window=64, overlap=16)
    for side in SIDES:
        cropped, hard = found[f"blended_{side}"], found[f"hard_{side}"]
        assert cropped["gradient_excess"] == pytest.approx(0, abs=1e-4)
        assert cropped["difference"] < 1e-3
        assert all(cropped["passed"].values())
        assert hard["gradient_excess"] > 1
        assert hard["gradient_interval"][0] > 1
        assert hard["difference"] > 30
        assert not hard["passed"]["gradient"]
        assert not hard["passed"]["difference"]


def test_a_shift_by_less_than_the_stride_shows_the_phase_of_a_network(noise: Path, tiny_model: Path) -> None:
    found = report(noise, TorchEngine(ModelFile.load(tiny_model), "cpu"), window=96, overlap=64)
    assert found["blended_by_stride"]["difference"] < 1e-3
    assert found["blended_by_less"]["difference"] > found["blended_by_stride"]["difference"]
    assert found["shift"] == {"by_stride": 16, "by_less": 18}


def test_changed_classes_are_counted(noise: Path, palette_model: Path) -> None:
    found = report(noise, TorchEngine(ModelFile.load(palette_model), "cpu"), window=64, overlap=40)
    assert found["blended_by_stride"]["changed"] <= found["hard_by_stride"]["changed"]
    assert 0 < found["hard_by_stride"]["changed"] < 1
    assert found["blended_by_stride"]["passed"]["changed"]


def test_only_valid_pixels_are_measured(noise: Path, tiny_model: Path, tmp_path: Path) -> None:
    masked = tmp_path / "masked.tif"
    with rasterio.open(noise) as dataset:
        data, profile = dataset.read(), dataset.profile
    data[:, :, 40:] = 0
    with rasterio.open(masked, "w", **{**profile, "nodata": 0}) as dataset:
        dataset.write(data)
    engine = BordersShow(TorchEngine(ModelFile.load(tiny_model), "cpu"), depth=3)
    with pytest.raises(SceneError, match="without a valid pixel at any seam"):
        report(masked, engine, window=256, overlap=32)


def test_what_cannot_be_measured_is_refused_before_the_work(scene: Path, tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(SceneError, match="seams lie only in scenes larger"):
        translate(scene, tmp_path / "out.tif", model=tiny_model, window=160, seam_report=tmp_path / "seams.json")
    with pytest.raises(SceneError, match="room to move"):
        translate(scene, tmp_path / "out.tif", model=tiny_model, window=8, overlap=4, seam_report=tmp_path / "s.json")
    assert not list(tmp_path.iterdir())


def test_translate_writes_the_report(noise: Path, tiny_model: Path, tmp_path: Path) -> None:
    translate(noise, tmp_path / "out.tif", model=tiny_model, seam_report=tmp_path / "seams.json")
    found = json.loads((tmp_path / "seams.json").read_text())
    assert found["scene"] == "noise.tif"
    assert {f"{kind}_{side}" for kind in ("blended", "hard") for side in SIDES} <= found.keys()
