"""On which pixels is worked, and that results lie where the scene lies, in any reference system."""

import warnings
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS

from geopix2pix import translate
from geopix2pix.aligned import AlignedView
from geopix2pix.errors import ConfigError, SceneError, SceneWarning
from geopix2pix.geogrid import GeoGrid
from geopix2pix.grid import Window
from geopix2pix.ground import pixel_sides
from geopix2pix.manifest import GroundResolution
from geopix2pix.model import ModelFile, write_model
from geopix2pix.planning import planned
from geopix2pix.raster import Georeference
from tests.rasters import l_shape, write_raster

SIZE = 150, 190
DEGREE = 111_320  # metres, about


def place(kind: str, metres: float) -> dict:
    """A place for a scene with pixels of about so many metres."""
    utm = Affine.translation(500_000, 5_000_000)
    match kind:
        case "degrees":
            return {"crs": "EPSG:4326", "transform": Affine(metres / DEGREE / 0.64, 0, 15, 0, -metres / DEGREE, 50)}
        case "feet":  # New York Long Island, US survey feet
            return {"crs": "EPSG:2263", "transform": Affine(metres / 0.3048, 0, 980_000, 0, -metres / 0.3048, 200_000)}
        case "rotated":
            return {"crs": "EPSG:32633", "transform": utm @ Affine.rotation(30) @ Affine.scale(metres, -metres)}
        case "south-up":
            return {"crs": "EPSG:32633", "transform": utm @ Affine.scale(metres, metres)}
        case "antimeridian":  # Taveuni, from 179.9995 degrees on
            step = metres / DEGREE
            return {"crs": "EPSG:4326", "transform": Affine(step / 0.957, 0, 180 - 95 * step, 0, -step, -16.8)}
        case "control points":
            corners = [(0, 0), (0, 190), (150, 0), (150, 190), (70, 90)]
            gcps = [GroundControlPoint(r, c, 500_000 + metres * c, 5_000_000 - metres * r) for r, c in corners]
            return {"gcps": gcps, "crs": "EPSG:32633"}
    return {"crs": "EPSG:32633", "transform": utm @ Affine.scale(metres, -metres)}


KINDS = ["plain", "degrees", "feet", "rotated", "south-up", "antimeridian", "control points"]


def smooth_scene(path: Path, kind: str, metres: float) -> Path:
    rows, cols = np.mgrid[: SIZE[0], : SIZE[1]]
    data = np.stack([128 + 100 * np.sin(rows / 9 + b) * np.cos(cols / 11 - b) for b in range(3)]).astype(np.uint8)
    return write_raster(path, data, mask=l_shape(*SIZE), photometric="rgb", **place(kind, metres))


@pytest.fixture(scope="module")
def unknown_model(tiny_model: Path, tmp_path_factory) -> Path:
    loaded = ModelFile.load(tiny_model)
    path = tmp_path_factory.mktemp("unknown") / "tiny.safetensors"
    manifest = replace(loaded.manifest, ground_resolution=GroundResolution(low=None, high=None, basis=None))
    write_model(path, manifest, loaded.weights)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_a_scene_that_the_model_knows_is_worked_on_in_its_own_pixels(tiny_model: Path, tmp_path: Path, kind) -> None:
    source = smooth_scene(tmp_path / "scene.tif", kind, 0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error", SceneWarning)
        assert planned(source, tmp_path / "out.tif", model=tiny_model).working is None


@pytest.mark.parametrize("kind", KINDS)
def test_results_lie_on_the_pixels_of_the_scene_whatever_was_worked_on(
    palette_model: Path, tmp_path: Path, kind
) -> None:
    source = smooth_scene(tmp_path / "scene.tif", kind, 0.25)
    with pytest.warns(SceneWarning, match=r"0\.25.*knows 0\.4 to 0\.6 m; it is worked on at 0\.4 m"):
        output = translate(source, tmp_path / "out.tif", model=palette_model, classes=tmp_path / "classes.tif")
    with rasterio.open(source) as before, rasterio.open(output) as after:
        assert (after.width, after.height) == (before.width, before.height)
        old, new = Georeference.of(before), Georeference.of(after)
        assert (new.crs, new.gcps_crs, len(new.gcps)) == (old.crs, old.gcps_crs, len(old.gcps))
        assert new.transform.almost_equals(old.transform, 1e-9)
        assert np.array_equal(before.dataset_mask(), after.dataset_mask())
        assert after.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"


@pytest.mark.parametrize("kind", KINDS)
def test_working_pixels_are_square_and_of_the_size_that_the_model_knows(tiny_model: Path, tmp_path: Path, kind) -> None:
    source = smooth_scene(tmp_path / "scene.tif", kind, 0.25)
    with pytest.warns(SceneWarning, match="worked on"):
        job = planned(source, tmp_path / "out.tif", model=tiny_model)
    assert job.working is not None
    middle = job.extent.width / 2, job.extent.height / 2
    assert pixel_sides(job.working.crs, job.working.transform, *middle) == pytest.approx((0.4, 0.4), rel=1e-5)


def test_what_is_delivered_is_what_was_computed_seen_on_the_scene(palette_model: Path, tmp_path: Path) -> None:
    source = smooth_scene(tmp_path / "scene.tif", "rotated", 0.25)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        output = translate(source, tmp_path / "out.tif", model=palette_model, threads=1)
        working = translate(source, tmp_path / "work.tif", model=palette_model, threads=1, deliver="working")
    with rasterio.open(output) as after, rasterio.open(working) as computed:
        data, valid = after.read(), after.dataset_mask() != 0
        assert pixel_sides(computed.crs, computed.transform, 40, 40) == pytest.approx((0.4, 0.4), rel=1e-3)
        assert computed.transform.c == after.transform.c and computed.transform.f == after.transform.f
        grid = GeoGrid(crs=after.crs, transform=after.transform)
    with closing(AlignedView([working], grid, kernel="nearest")) as view:
        expected, shown = view.read(Window(0, 0, SIZE[1], SIZE[0]))
    assert np.array_equal(data[:, valid], expected[:, valid])
    assert (shown == valid).mean() > 0.97


@pytest.mark.parametrize("kind", KINDS)
def test_a_preview_shows_the_scene_on_the_pixels_that_are_delivered(tiny_model: Path, tmp_path: Path, kind) -> None:
    source = smooth_scene(tmp_path / "scene.tif", kind, 0.25)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        options = {"deliver": "working", "preview": tmp_path / "both.png"}
        working = translate(source, tmp_path / "work.tif", model=tiny_model, threads=1, **options)
        with rasterio.open(tmp_path / "both.png") as png:
            both = png.read()
    with rasterio.open(working) as computed:
        valid, width = computed.dataset_mask() != 0, computed.width
        grid = GeoGrid(crs=computed.crs, transform=computed.transform)
    with closing(AlignedView([source], grid, kernel="nearest")) as view:
        expected, shown = view.read(Window(0, 0, width, len(valid)))
    left, seen = both[:, :, :width].astype(int), valid & shown
    assert np.abs(left - expected)[:, seen].mean() < 4, "of 0 to 255; the waves of the scene are 28 pixels long"
    assert (both[:, :, :width][:, ~valid] == both[:, :, -width:][:, ~valid]).all()


def test_a_region_is_delivered_on_the_pixels_of_the_scene(palette_model: Path, tmp_path: Path) -> None:
    source = smooth_scene(tmp_path / "scene.tif", "plain", 0.25)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = translate(source, tmp_path / "whole.tif", model=palette_model, threads=1)
        bounds = (500_005, 4_999_970, 500_015, 4_999_985)
        part = translate(source, tmp_path / "part.tif", model=palette_model, threads=1, bounds=bounds)
    with rasterio.open(whole) as a, rasterio.open(part) as b:
        assert b.bounds == bounds
        window = a.window(*bounds)
        assert np.array_equal(a.read(window=window), b.read())


def test_a_resolution_can_be_forced(tiny_model: Path, tmp_path: Path) -> None:
    source = smooth_scene(tmp_path / "scene.tif", "plain", 0.5)
    job = planned(source, tmp_path / "out.tif", model=tiny_model, resolution=0.8)
    assert job.extent == Window(0, 0, 119, 94)
    assert job.to_json()["width"] == 190
    with pytest.raises(ConfigError, match="above 0"):
        planned(source, tmp_path / "out.tif", model=tiny_model, resolution=-1)
    plain = write_raster(tmp_path / "plain.tif", np.ones((3, 40, 40), np.uint8), photometric="rgb")
    with pytest.raises(SceneError, match="reference system"):
        planned(plain, tmp_path / "out.tif", model=tiny_model, resolution=1)


def test_what_the_model_would_have_to_invent_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    source = smooth_scene(tmp_path / "scene.tif", "plain", 10)
    with pytest.raises(SceneError, match="--resolution 0.6"):
        planned(source, tmp_path / "out.tif", model=tiny_model)
    assert planned(source, tmp_path / "out.tif", model=tiny_model, resolution=5).working is not None


def test_a_bent_scene_is_refused_where_a_place_is_needed(tiny_model: Path, tmp_path: Path) -> None:
    bent = place("control points", 0.25)
    bent["gcps"][4].x += 5
    source = write_raster(tmp_path / "scene.tif", np.ones((3, *SIZE), np.uint8), photometric="rgb", **bent)
    with pytest.raises(SceneError, match="gdalwarp"):
        planned(source, tmp_path / "out.tif", model=tiny_model)


def test_a_model_that_does_not_tell_keeps_the_scenes_pixels_and_that_is_told(
    unknown_model: Path, tmp_path: Path
) -> None:
    source = smooth_scene(tmp_path / "scene.tif", "plain", 7)
    with pytest.warns(SceneWarning, match="does not tell for which ground resolution"):
        assert planned(source, tmp_path / "out.tif", model=unknown_model).working is None


def test_local_coordinates_are_kept(tiny_model: Path, tmp_path: Path) -> None:
    crs = CRS.from_wkt('LOCAL_CS["a building site",UNIT["metre",1]]')
    source = write_raster(
        tmp_path / "scene.tif",
        np.ones((3, *SIZE), np.uint8),
        crs=crs,
        transform=Affine(3, 0, 9, 0, -3, 9),
        photometric="rgb",
    )
    assert planned(source, tmp_path / "out.tif", model=tiny_model).working is None
