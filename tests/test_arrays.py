"""Scenes in memory and open datasets are translated as files are."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.io import MemoryFile
from rasterio.vrt import WarpedVRT

from geopix2pix import translate, translate_array
from geopix2pix.errors import Cancelled, ConfigError, RasterError, SceneError
from tests.rasters import l_shape
from tests.test_job import PLACE, random_scene
from tests.test_resolution import smooth_scene

pytestmark = pytest.mark.filterwarnings("ignore::geopix2pix.errors.GeoPix2PixWarning")


def translated_file(source: Path, folder: Path, model: Path, **options) -> dict[str, np.ndarray]:
    rasters = {name: folder / f"{name}.tif" for name in ("classes", "confidence")}
    output = translate(source, folder / "map.tif", model=model, threads=1, **rasters, **options)
    with rasterio.open(output) as dataset:
        found = {"map": dataset.read(), "valid": dataset.dataset_mask() != 0}
    for name, path in rasters.items():
        with rasterio.open(path) as dataset:
            found[name] = dataset.read(1)
    return found


@pytest.mark.parametrize("metres", [0.5, 0.25])
def test_an_array_becomes_what_its_file_becomes(palette_model: Path, tmp_path: Path, metres: float) -> None:
    source = smooth_scene(tmp_path / "scene.tif", "rotated", metres)
    with rasterio.open(source) as dataset:
        found = translate_array(
            dataset.read(),
            valid=dataset.dataset_mask(),
            crs=dataset.crs,
            transform=dataset.transform,
            confidence=True,
            model=palette_model,
            threads=1,
            folder=tmp_path,
        )
    expected = translated_file(source, tmp_path, palette_model)
    for name, values in expected.items():
        assert np.array_equal(getattr(found, name), values), name
    assert found.class_names == ("land", "road", "water")
    assert not list(tmp_path.glob("geopix2pix-*"))


def test_an_array_needs_no_place(tiny_model: Path) -> None:
    data = np.random.default_rng(0).integers(1, 255, (3, 70, 50), np.uint8)
    valid = l_shape(70, 50)
    found = translate_array(data, valid=valid, model=tiny_model)
    assert found.map.shape == (3, 70, 50) and found.map.dtype == np.uint8
    assert np.array_equal(found.valid, valid)
    assert (found.map[:, ~valid] == 0).all()
    assert (found.classes, found.confidence, found.class_names) == (None, None, ())
    assert found.names == ("red", "green", "blue")


def test_what_is_not_finite_is_not_valid(tiny_model: Path) -> None:
    data = np.random.default_rng(0).random((3, 40, 40), np.float32)
    data[1, 5, 7] = np.nan
    found = translate_array(data, model=tiny_model, scaling=(0, 1))
    assert np.argwhere(~found.valid).tolist() == [[5, 7]]


def test_impossible_arrays_are_refused(tiny_model: Path, palette_model: Path, tmp_path: Path) -> None:
    data = np.ones((3, 40, 40), np.uint8)
    refused = [
        (data[0], {}, SceneError, "1 bands were chosen"),
        (data[:, :0], {}, SceneError, "none may be 0"),
        (data[None], {}, SceneError, "rows, cols"),
        (data.astype(complex), {}, SceneError, "complex128"),
        (data > 0, {}, SceneError, "bool"),
        (data, {"valid": np.ones((9, 9))}, SceneError, "shape of a band"),
        (data, {"valid": np.zeros((40, 40))}, SceneError, "no valid pixel"),
        (data, {"crs": "nonsense"}, ConfigError, "nonsense"),
        (data, {"confidence": True}, ConfigError, "palette"),
        (data.astype(np.uint16), {}, SceneError, "--scaling"),
    ]
    for array, options, kind, message in refused:
        with pytest.raises(kind, match=message):
            translate_array(array, **{"model": tiny_model, "folder": tmp_path, **options})

    def stop(event: object) -> None:
        raise Cancelled("enough")

    with pytest.raises(Cancelled):
        translate_array(data, model=palette_model, folder=tmp_path, progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_an_open_dataset_is_translated_as_its_file(tiny_model: Path, tmp_path: Path) -> None:
    source = random_scene(tmp_path / "scene.tif", 90, 80)
    translate(source, tmp_path / "a.tif", model=tiny_model, threads=1)
    with rasterio.open(source) as dataset:
        translate(dataset, tmp_path / "b.tif", model=tiny_model, threads=1)
        assert dataset.read(1).shape == (90, 80), "it stays open"
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()


def test_datasets_that_show_something_else_than_a_file_are_refused(tiny_model: Path, tmp_path: Path) -> None:
    source = random_scene(tmp_path / "scene.tif", 90, 80)
    with rasterio.open(source) as dataset:
        closed = dataset
        with WarpedVRT(dataset, crs="EPSG:4326") as warped, pytest.raises(RasterError, match="translate_array"):
            translate(warped, tmp_path / "out.tif", model=tiny_model)
    with MemoryFile(source.read_bytes()) as memory, memory.open() as inside:
        with pytest.raises(RasterError, match="translate_array"):
            translate(inside, tmp_path / "out.tif", model=tiny_model)
        found = translate_array(inside.read(), crs=inside.crs, transform=PLACE, model=tiny_model)
    assert found.valid.all()
    with pytest.raises(RasterError, match="closed"):
        translate(closed, tmp_path / "out.tif", model=tiny_model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert not (tmp_path / "out.tif").exists()
