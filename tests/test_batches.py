"""Batches: of one size where bits depend on it, and smaller ones once the memory is short, which is told."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st

from geopix2pix import translate, translation
from geopix2pix.batches import Batches
from geopix2pix.engine import Engine, load_engine
from geopix2pix.errors import Cancelled, DeviceMemoryError, GeoPix2PixWarning
from geopix2pix.model import ModelFile


class SmallDevice:
    """An engine on a device with room for so many patches; sizes of batches that it computed are in `sizes`."""

    def __init__(self, engine: Engine, room: int, device_type: str = "cuda") -> None:
        self._engine, self.room, self.device_type = engine, room, device_type
        self.sizes: list[int] = []

    @property
    def manifest(self):
        return self._engine.manifest

    @property
    def parameters(self):
        return self._engine.parameters | {"device": self.device_type}

    def predict(self, batch: np.ndarray) -> np.ndarray:
        if len(batch) > self.room:
            raise DeviceMemoryError("the memory is not enough; give a smaller --batch")
        self.sizes.append(len(batch))
        return self._engine.predict(batch)


class Plus:
    """An engine whose answer is the patch plus one."""

    manifest, device_type, parameters = None, "cpu", {}

    def predict(self, batch: np.ndarray) -> np.ndarray:
        return batch + 1


@settings(deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9), st.sampled_from(["cpu", "cuda"]))
def test_answers_are_those_of_single_patches_whatever_fits(count: int, size: int, room: int, device: str) -> None:
    engine = SmallDevice(Plus(), room, device)
    patches = np.random.default_rng(count).random((min(count, size), 2, 3, 4), np.float32)
    batches = Batches(engine, size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert np.array_equal(batches.predict(patches), patches + 1)
        assert np.array_equal(batches.predict(patches), patches + 1)
    if device == "cuda":
        assert len(set(engine.sizes)) == 1, "a GPU sees batches of one size"
        assert (batches.remarks != {}) == (size > room)
    else:
        assert batches.remarks == {}, "on a CPU no result depends on the batch"


def test_too_little_memory_for_one_is_told() -> None:
    with pytest.warns(GeoPix2PixWarning, match="--batch 1"), pytest.raises(DeviceMemoryError, match="not enough"):
        Batches(SmallDevice(Plus(), 0), 2).predict(np.zeros((2, 1, 4, 4), np.float32))


def on_a_small_device(monkeypatch: pytest.MonkeyPatch, model: Path, room: int) -> SmallDevice:
    device = SmallDevice(load_engine(ModelFile.load(model), device="cpu", threads=1), room)
    monkeypatch.setattr(translation, "load_engine", lambda *_, **__: device)
    return device


def test_a_run_that_had_to_halve_its_batch_says_so_in_its_tags(
    scene: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"model": tiny_model, "batch": 4, "window": 32, "overlap": 16}
    on_a_small_device(monkeypatch, tiny_model, 4)
    whole = translate(scene, tmp_path / "whole.tif", **given)
    device = on_a_small_device(monkeypatch, tiny_model, 3)
    with pytest.warns(GeoPix2PixWarning, match=r"memory of the cuda .* --batch 2, .* may differ"):
        halved = translate(scene, tmp_path / "halved.tif", **given)
    assert set(device.sizes) == {2}
    with rasterio.open(whole) as one, rasterio.open(halved) as two:
        assert np.array_equal(one.read(), two.read())
        assert one.tags()["GEOPIX2PIX_BATCH"] == "4"
        assert "GEOPIX2PIX_REPRODUCIBLE" not in one.tags()
        assert two.tags()["GEOPIX2PIX_REPRODUCIBLE"].startswith("no: memory ran out")


def test_the_remark_outlives_an_interruption(scene: Path, tiny_model: Path, tmp_path: Path, monkeypatch) -> None:
    given = {"model": tiny_model, "batch": 4, "window": 32, "overlap": 16}
    device = on_a_small_device(monkeypatch, tiny_model, 3)

    def cancel(event) -> None:
        if event.stage == "translate" and event.done == 25:
            raise Cancelled("enough")

    with pytest.warns(GeoPix2PixWarning, match="--batch 2"), pytest.raises(Cancelled):
        translate(scene, tmp_path / "out.tif", progress=cancel, **given)
    device.room = 4
    with rasterio.open(translate(scene, tmp_path / "out.tif", **given)) as dataset:
        assert dataset.tags()["GEOPIX2PIX_REPRODUCIBLE"].startswith("no: memory ran out")
