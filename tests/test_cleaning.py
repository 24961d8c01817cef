"""Small regions join what lies round them: the same whatever the strips, in all results, never what is not known."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.features import shapes, sieve

from geopix2pix import cleaning, translate
from geopix2pix.errors import ConfigError
from geopix2pix.manifest import Manifest
from tests.rasters import l_shape
from tests.test_job import random_scene

RESULTS = ("classes", "confidence")


def made(source: Path, folder: Path, model: Path, **options: object) -> dict[str, np.ndarray]:
    """The map, classes and confidence, by name, with the validity of the map."""
    folder.mkdir()
    paths = {name: folder / f"{name}.tif" for name in ("map", *RESULTS)}
    named = {name: paths[name] for name in RESULTS}
    translate(source, paths["map"], model=model, threads=1, **named, **options)  # type: ignore[arg-type]
    found = {}
    for name, path in paths.items():
        with rasterio.open(path) as dataset:
            found[name] = dataset.read().squeeze()
            found["valid"] = dataset.dataset_mask() != 0
    return found


@pytest.fixture(scope="module")
def scene_in_l(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_scene(tmp_path_factory.mktemp("clean") / "scene.tif", 150, 170, mask=l_shape(150, 170))


@pytest.mark.parametrize("strip", [7, 64, 256])
def test_regions_are_those_of_the_whole_map_whatever_the_strips(
    scene_in_l: Path, palette_model: Path, tmp_path: Path, strip: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = made(scene_in_l, tmp_path / "plain", palette_model)
    monkeypatch.setattr(cleaning, "STRIP", strip)
    clean = made(scene_in_l, tmp_path / "clean", palette_model, clean=12)
    valid = plain["valid"]
    assert np.array_equal(clean["valid"], valid)
    expected = sieve(plain["classes"], 12, mask=valid)
    assert np.array_equal(clean["classes"][valid], expected[valid]) and (clean["classes"][~valid] == 255).all()
    assert (expected != plain["classes"])[valid].any()


def test_all_results_tell_the_same(
    scene_in_l: Path, palette_model: Path, palette_manifest: Manifest, tmp_path: Path
) -> None:
    plain = made(scene_in_l, tmp_path / "plain", palette_model)
    clean = made(scene_in_l, tmp_path / "clean", palette_model, clean=12, vector=tmp_path / "clean.gpkg")
    valid, palette = plain["valid"], palette_manifest.target.palette
    assert palette is not None
    assert np.array_equal(palette.display[clean["classes"][valid]].T, clean["map"][:, valid])
    moved = valid & (clean["classes"] != plain["classes"])
    assert np.array_equal(clean["confidence"][valid & ~moved], plain["confidence"][valid & ~moved])
    assert np.array_equal(clean["confidence"][moved], 100 - plain["confidence"][moved])
    with rasterio.open(tmp_path / "clean" / "map.tif") as dataset:
        assert dataset.tags()["GEOPIX2PIX_CLEAN"] == "12"


def test_the_map_alone_is_cleaned_too_and_nothing_is_left(
    scene_in_l: Path, palette_model: Path, tmp_path: Path
) -> None:
    clean = made(scene_in_l, tmp_path / "all", palette_model, clean=12)
    alone = translate(scene_in_l, tmp_path / "alone.tif", model=palette_model, threads=1, clean=12)
    with rasterio.open(alone) as dataset:
        assert np.array_equal(dataset.read(), clean["map"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all", "alone.tif"]


def test_on_other_pixels_what_was_worked_on_is_cleaned(scene_in_l: Path, palette_model: Path, tmp_path: Path) -> None:
    with rasterio.open(scene_in_l) as dataset:
        coarse = {"resolution": 2 * dataset.res[0]}
    plain, clean = (
        made(scene_in_l, tmp_path / f"working{size}", palette_model, clean=size, deliver="working", **coarse)
        for size in (None, 6)
    )
    expected = sieve(plain["classes"], 6, mask=plain["valid"])
    assert np.array_equal(clean["classes"][clean["valid"]], expected[plain["valid"]])
    delivered = made(scene_in_l, tmp_path / "source", palette_model, clean=6, **coarse)
    assert delivered["classes"].shape == delivered["map"].shape[1:] == (150, 170)
    shown = np.kron(clean["classes"], np.ones((2, 2), np.uint8))[:150, :170]
    both = delivered["valid"] & (shown != 255)
    assert (delivered["classes"] == shown)[both].mean() > 0.95


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 999), size=st.integers(2, 30))
def test_large_regions_keep_all_of_their_pixels(seed: int, size: int) -> None:
    """A law of the filter of GDAL on which all rests."""
    rng = np.random.default_rng(seed)
    classes = np.kron(rng.integers(0, 3, (6, 6)), np.ones((8, 8))).astype(np.uint8)
    noisy = np.where(rng.random(classes.shape) < 0.1, rng.integers(0, 3, classes.shape), classes).astype(np.uint8)
    found = sieve(noisy, size)
    for shape, value in shapes(noisy, connectivity=4):
        inside = rasterio.features.rasterize([shape], noisy.shape).astype(bool)
        if inside.sum() >= size:
            assert (found[inside] == value).all()
    assert np.array_equal(sieve(noisy, 1), noisy)


def test_models_of_bands_and_single_pixels_are_refused(
    scene_in_l: Path, tiny_model: Path, palette_model: Path, tmp_path: Path
) -> None:
    for model, size in ((tiny_model, 9), (palette_model, 1), (palette_model, -3)):
        with pytest.raises(ConfigError, match=f"--clean {size}: is 2 pixels or more, for models that paint classes"):
            translate(scene_in_l, tmp_path / "out.tif", model=model, clean=size)
    assert list(tmp_path.iterdir()) == []
