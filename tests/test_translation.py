"""From a scene to a map on the same grid: identity, masks, resumption, and what is refused."""

import json
import warnings
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from geopix2pix import translate
from geopix2pix.errors import Cancelled, ConfigError, OutputError, RasterError, SceneError, SceneWarning
from geopix2pix.grid import WindowGrid
from geopix2pix.journal import read_journal, start_journal
from geopix2pix.manifest import Manifest
from geopix2pix.normalize import Scaling
from geopix2pix.output import OutputSpec
from geopix2pix.painting import write_rows
from geopix2pix.products import painted
from geopix2pix.progress import Event
from geopix2pix.raster import RasterReader
from geopix2pix.writer import RasterWriter

TRANSFORM = Affine.translation(500000, 5800000) @ Affine.rotation(17) @ Affine.scale(0.5, -0.5)


def write_scene(path: Path, data: np.ndarray, valid: np.ndarray | None = None, **profile: object) -> Path:
    profile = {"crs": "EPSG:32633", "transform": TRANSFORM, "driver": "GTiff", **profile}
    bands, height, width = data.shape
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK="YES"),
        rasterio.open(path, "w", width=width, height=height, count=bands, dtype=data.dtype, **profile) as dataset,
    ):
        dataset.write(data)
        if valid is not None:
            dataset.write_mask(valid)
    return path


def mask(kind: str, height: int, width: int, random: np.random.Generator) -> np.ndarray:
    rows, cols = np.mgrid[0:height, 0:width]
    match kind:
        case "L":
            return (rows < height // 3) | (cols < width // 3) | ((rows == 0) & (cols == 0))
        case "speckled":
            return random.random((height, width)) < 0.7
        case "collar":
            return abs(rows - height / 2) + abs(cols - width / 2) < max(height, width) / 2
    return np.ones((height, width), bool)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    height=st.integers(1, 100),
    width=st.integers(1, 100),
    overlap=st.sampled_from([0, 8, 24]),
    dtype=st.sampled_from(["uint8", "uint16", "int16", "float32"]),
    kind=st.sampled_from(["full", "L", "speckled", "collar"]),
    clip=st.booleans(),
    seed=st.integers(0, 99),
)
def test_an_identity_model_copies_the_scene(
    tmp_path, manifest: Manifest, height, width, overlap, dtype, kind, clip, seed
) -> None:
    random = np.random.default_rng(seed)
    valid = mask(kind, height, width, random)
    if not valid.any():
        valid[0, 0] = True
    if dtype == "float32":
        data = random.normal(0, 100, (3, height, width)).astype(dtype)
        scaling = Scaling.uniform(float(data.min()) - 1, float(data.max()) + 1, 3)
    else:
        limits = np.iinfo(dtype)
        data = random.integers(limits.min, limits.max, (3, height, width), dtype, endpoint=True)
        scaling = Scaling.full_range(dtype, 3)
    expected = data
    if clip:
        low, high = (int(v) for v in np.percentile(data, (20, 80)))
        if low < high:
            scaling, expected = Scaling.uniform(low, high, 3), data.clip(low, high)
    source = write_scene(tmp_path / "scene.tif", data, valid)
    output = tmp_path / "out.tif"

    target = replace(manifest.target, dtype=dtype, scaling=scaling)
    engine = SimpleNamespace(
        manifest=replace(manifest, target=target), device_type="cpu", predict=lambda patches: patches
    )
    with RasterReader(source) as reader:
        grid = WindowGrid.fitted(width, height, window=32, overlap=overlap, stride=8)
        spec = OutputSpec(width=width, height=height, bands=3, dtype=dtype, georeference=reader.georeference)
        with RasterWriter(output, spec, parameters={}, overwrite=True) as writer:
            paint = lambda values: [painted("map", values, engine.manifest)]  # noqa: E731
            write_rows(reader, engine, scaling, grid, writer, paint, 2, lambda event: None)
            writer.assemble()
    with rasterio.open(source) as before, rasterio.open(output) as after:
        assert (after.width, after.height) == (width, height)
        assert after.crs == before.crs
        assert after.transform.almost_equals(before.transform, 1e-9)
        assert np.array_equal(after.dataset_mask() != 0, valid)
        found = after.read()[:, valid]
    if dtype == "float32":
        assert np.abs(found - expected[:, valid]).max() <= 1e-6 * (scaling.high[0] - scaling.low[0])
    else:
        assert np.array_equal(found, expected[:, valid])


@pytest.fixture
def masked_scene(tmp_path: Path) -> Path:
    random = np.random.default_rng(5)
    data = random.integers(0, 255, (3, 150, 230), np.uint8, endpoint=True)
    return write_scene(tmp_path / "scene.tif", data, mask("collar", 150, 230, random), photometric="rgb")


def test_the_map_lies_over_the_scene(masked_scene: Path, tiny_model: Path, tmp_path: Path) -> None:
    output = translate(masked_scene, tmp_path / "out.tif", model=tiny_model)
    with rasterio.open(masked_scene) as before, rasterio.open(output) as after:
        assert (after.crs, after.width, after.height) == (before.crs, before.width, before.height)
        assert after.transform.almost_equals(before.transform, 1e-9)
        assert np.array_equal(after.dataset_mask(), before.dataset_mask())
        assert after.descriptions == ("red", "green", "blue")
        assert after.profile["tiled"]
        assert after.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert json.loads(after.tags()["GEOPIX2PIX_BANDS"]) == [1, 2, 3]
        assert not any(str(tmp_path) in value for value in after.tags().values())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.tif", "scene.tif"]


def test_batches_and_interruptions_do_not_change_a_byte(masked_scene: Path, tiny_model: Path, tmp_path: Path) -> None:
    whole = translate(masked_scene, tmp_path / "whole.tif", model=tiny_model, threads=1).read_bytes()
    batched = translate(masked_scene, tmp_path / "batched.tif", model=tiny_model, threads=1, batch=5)
    assert batched.read_bytes() == whole

    for stop in (1, 6, 11, 14):
        computed = []

        def cancel(event: Event, stop: int = stop, computed: list[int] = computed) -> None:
            computed.append(event.done)
            if event.stage == "translate" and event.done == stop:
                raise Cancelled("enough")

        output = tmp_path / f"stopped-{stop}.tif"
        with pytest.raises(Cancelled):
            translate(masked_scene, output, model=tiny_model, threads=1, progress=cancel)
        assert not output.exists()
        resumed: list[int] = []
        translate(masked_scene, output, model=tiny_model, threads=1, progress=lambda e, r=resumed: r.append(e.done))
        assert output.read_bytes() == whole
        # What was told is written; the thread that writes may have been ahead of what was told.
        assert stop - stop % 5 <= resumed[0] <= stop - stop % 5 + 5, (
            "finished rows of five windows are not computed again"
        )
        assert resumed[0] % 5 == 0


def cancelled(scene: Path, model: Path, output: Path) -> Path:
    """A result that was given up after eleven windows."""

    def cancel(event: Event) -> None:
        if event.done == 11:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        translate(scene, output, model=model, progress=cancel)
    return output


def test_a_changed_source_is_noticed(masked_scene: Path, tiny_model: Path, tmp_path: Path) -> None:
    output = cancelled(masked_scene, tiny_model, tmp_path / "out.tif")
    write_scene(masked_scene, np.full((3, 150, 230), 9, np.uint8), photometric="rgb")
    with pytest.warns(UserWarning, match="starting anew"):
        translate(masked_scene, output, model=tiny_model)
    fresh = translate(masked_scene, tmp_path / "fresh.tif", model=tiny_model)
    assert output.read_bytes() == fresh.read_bytes()


def test_rows_of_a_version_with_other_windows_are_not_gone_on_with(
    masked_scene: Path, tiny_model: Path, tmp_path: Path
) -> None:
    output = cancelled(masked_scene, tiny_model, tmp_path / "out.tif")
    journal = tmp_path / "out.tif.part" / "journal.jsonl"
    lines = read_journal(journal)
    start_journal(journal, [lines[0] | {"format": 3}, *lines[1:]])
    with pytest.warns(UserWarning, match="format was 3, is 4; starting anew"):
        translate(masked_scene, output, model=tiny_model)


def test_a_palette_model_paints_display_colours_only(scene: Path, palette_model: Path, tmp_path: Path) -> None:
    output = translate(scene, tmp_path / "out.tif", model=palette_model)
    with rasterio.open(output) as dataset:
        colors = {tuple(pixel) for pixel in dataset.read().reshape(3, -1).T.tolist()}
    assert colors <= {(0xF2, 0xEF, 0xE9), (0x30, 0x30, 0xFF), (0xAA, 0xD3, 0xDF)}


def test_a_scene_without_georeference_is_translated_with_a_warning(tiny_model: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain.tif"
    write_scene(plain, np.full((3, 40, 30), 80, np.uint8), crs=None, transform=None, photometric="rgb")
    with pytest.warns(SceneWarning, match="no georeference"):
        output = translate(plain, tmp_path / "out.tif", model=tiny_model)
    with rasterio.open(output) as dataset:
        assert dataset.crs is None
        assert (dataset.width, dataset.height) == (30, 40)


def test_a_near_infrared_band_tagged_as_alpha_is_no_mask(tiny_model: Path, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    data = random.integers(1, 254, (4, 60, 60), np.uint8)
    scene = write_scene(tmp_path / "naip.tif", data, photometric="rgb", alpha="yes")
    with pytest.warns(SceneWarning, match="alpha"):
        output = translate(scene, tmp_path / "out.tif", model=tiny_model)
    with rasterio.open(output) as dataset:
        assert (dataset.dataset_mask() == 255).all()
        assert json.loads(dataset.tags()["GEOPIX2PIX_BANDS"]) == [1, 2, 3]


def test_scaling_carries_a_scene_of_another_dtype(tiny_model: Path, tmp_path: Path) -> None:
    eight = np.random.default_rng(0).integers(0, 255, (3, 50, 50), np.uint8, endpoint=True)
    first = write_scene(tmp_path / "8.tif", eight, photometric="rgb")
    second = write_scene(tmp_path / "16.tif", eight.astype(np.uint16) * 257, photometric="rgb")
    with pytest.raises(SceneError, match="--scaling"):
        translate(second, tmp_path / "no.tif", model=tiny_model)
    translate(first, tmp_path / "a.tif", model=tiny_model)
    translate(second, tmp_path / "b.tif", model=tiny_model, scaling=(0, 65535))
    with rasterio.open(tmp_path / "a.tif") as a, rasterio.open(tmp_path / "b.tif") as b:
        assert np.abs(a.read().astype(int) - b.read()).max() <= 1
    translate(second, tmp_path / "c.tif", model=tiny_model, scaling="scene")
    assert not (tmp_path / "no.tif").exists()


def test_bands_are_the_callers_to_choose(scene: Path, tiny_model: Path, tmp_path: Path) -> None:
    with rasterio.open(scene) as dataset:
        turned = write_scene(tmp_path / "bgr.tif", dataset.read([3, 2, 1]), photometric="minisblack")
    translate(scene, tmp_path / "a.tif", model=tiny_model)
    translate(turned, tmp_path / "b.tif", model=tiny_model, bands=(3, 2, 1))
    with rasterio.open(tmp_path / "a.tif") as a, rasterio.open(tmp_path / "b.tif") as b:
        assert np.array_equal(a.read(), b.read())
    gray = write_scene(tmp_path / "gray.tif", np.full((1, 40, 40), 9, np.uint8))
    with pytest.raises(SceneError, match="--bands 1,1,1"):
        translate(gray, tmp_path / "c.tif", model=tiny_model)
    translate(gray, tmp_path / "c.tif", model=tiny_model, bands=(1, 1, 1))
    with pytest.raises(SceneError, match="2 bands were chosen"):
        translate(gray, tmp_path / "d.tif", model=tiny_model, bands=(1, 1))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("red", "green", "blue"), (1, 2, 3)),
        (("blue", "green", "red"), (3, 2, 1)),
        (("Blue", "NIR", "Green", "Red"), (4, 3, 1)),
    ],
)
def test_bands_are_found_by_their_names(tiny_model: Path, tmp_path: Path, names, expected) -> None:
    scene = write_scene(tmp_path / "scene.tif", np.full((len(names), 40, 40), 9, np.uint8), photometric="minisblack")
    with rasterio.open(scene, "r+") as dataset:
        dataset.descriptions = names
    with warnings.catch_warnings():
        warnings.simplefilter("error", SceneWarning)
        output = translate(scene, tmp_path / "out.tif", model=tiny_model)
    with rasterio.open(output) as dataset:
        assert json.loads(dataset.tags()["GEOPIX2PIX_BANDS"]) == list(expected)


def test_bands_without_names_are_taken_in_order_with_a_warning(tiny_model: Path, tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "scene.tif", np.full((5, 40, 40), 9, np.uint8), photometric="minisblack")
    with pytest.warns(SceneWarning, match="do not go by the names"):
        output = translate(scene, tmp_path / "out.tif", model=tiny_model)
    with rasterio.open(output) as dataset:
        assert json.loads(dataset.tags()["GEOPIX2PIX_BANDS"]) == [1, 2, 3]


def test_a_scene_with_a_colour_table_is_seen_in_colours(tiny_model: Path, tmp_path: Path) -> None:
    scene = write_scene(tmp_path / "scene.tif", np.tile(np.arange(40, dtype=np.uint8) % 3, (1, 40, 1)))
    with rasterio.open(scene, "r+") as dataset:
        dataset.write_colormap(1, {0: (255, 0, 0, 255), 1: (0, 99, 0, 255), 2: (7, 8, 9, 255)})
    translate(scene, tmp_path / "out.tif", model=tiny_model, preview=tmp_path / "both.png")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(tmp_path / "both.png") as png:
            assert {tuple(pixel) for pixel in png.read()[:, :, :40].reshape(3, -1).T.tolist()} == {
                (255, 0, 0),
                (0, 99, 0),
                (7, 8, 9),
            }


@pytest.mark.parametrize("window", [16, 36, 52, 96, 512])
def test_an_overlap_is_found_for_any_window(scene: Path, tiny_model: Path, tmp_path: Path, window: int) -> None:
    translate(scene, tmp_path / "out.tif", model=tiny_model, window=window)


def test_what_cannot_be_translated_is_refused_and_leaves_nothing(scene: Path, tiny_model: Path, tmp_path: Path) -> None:
    empty = write_scene(tmp_path / "empty.tif", np.zeros((3, 70, 70), np.uint8), nodata=0, photometric="rgb")
    text = tmp_path / "text.tif"
    text.write_text("no raster")
    torn = tmp_path / "torn.tif"
    torn.write_bytes(scene.read_bytes()[:-20000])
    before = sorted(path.name for path in tmp_path.iterdir())
    refused = [
        (tmp_path / "missing.tif", {}, RasterError, "missing.tif"),
        (text, {}, RasterError, "text.tif"),
        (torn, {}, RasterError, "torn.tif"),
        (empty, {}, SceneError, "no valid pixel"),
        (scene, {"window": 30}, ConfigError, "multiple of 4"),
        (scene, {"window": 64, "overlap": 7}, ConfigError, "nearest"),
        (scene, {"max_pixels": 1000}, RasterError, "1000"),
        (scene, {"scaling": (5, 5)}, ConfigError, "below"),
        (scene, {"device": "abacus"}, ConfigError, "abacus"),
        (scene, {"model": text}, Exception, "text.tif"),
    ]
    for source, arguments, kind, message in refused:
        with pytest.raises(kind, match=message), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            translate(source, tmp_path / "out.tif", **{"model": tiny_model, **arguments})
        assert sorted(path.name for path in tmp_path.iterdir()) == before, f"{message} left something behind"


def test_an_output_is_replaced_only_on_request(scene: Path, tiny_model: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.tif"
    output.write_text("precious")
    with pytest.raises(OutputError, match="exists"):
        translate(scene, output, model=tiny_model)
    with pytest.raises(OutputError, match="input itself"):
        translate(scene, scene, model=tiny_model, overwrite=True)
    with pytest.raises(OutputError, match="folder"):
        translate(scene, tmp_path / "nowhere" / "out.tif", model=tiny_model)
    with pytest.raises(OutputError, match="exists"):
        translate(scene, tmp_path / "new.tif", model=tiny_model, preview=output)
    with pytest.raises(OutputError, match="asked for twice"):
        translate(scene, tmp_path / "new.tif", model=tiny_model, preview=tmp_path / "new.tif")
    with pytest.raises(OutputError, match="is the model"):
        translate(scene, tiny_model, model=tiny_model, overwrite=True)
    with pytest.raises(OutputError, match=r"ends in \.tif"):
        translate(scene, tmp_path / "new.png", model=tiny_model)
    assert output.read_text() == "precious"
    assert not (tmp_path / "new.tif").exists()
    translate(scene, output, model=tiny_model, overwrite=True)
    with rasterio.open(output) as dataset:
        assert dataset.count == 3


def test_a_preview_shows_scene_and_map_side_by_side(scene: Path, tiny_model: Path, tmp_path: Path) -> None:
    translate(scene, tmp_path / "out.tif", model=tiny_model, preview=tmp_path / "both.png")
    with rasterio.open(scene) as before, rasterio.open(tmp_path / "out.tif") as after:
        left, right = before.read(), after.read()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(tmp_path / "both.png") as png:
            both = png.read()
    width = left.shape[2]
    assert np.array_equal(both[:, :, :width], left)
    assert np.array_equal(both[:, :, -width:], right)
