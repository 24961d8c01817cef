"""A job is settled before it is begun, and is the same work in one piece or in shares, on a scene or a part of it."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.features import geometry_mask

from geopix2pix import translate
from geopix2pix.errors import Cancelled, ConfigError, OutputError, RasterError, RegionError
from geopix2pix.parts import shard_folder
from geopix2pix.planning import planned
from geopix2pix.progress import Event
from geopix2pix.raster import RasterReader
from geopix2pix.translation import assemble, run
from tests.rasters import l_shape, write_raster

PLACE = Affine(0.5, 0, 500_000, 0, -0.5, 5_800_000)


def random_scene(path: Path, height: int = 300, width: int = 260, mask: np.ndarray | None = None, **profile) -> Path:
    data = np.random.default_rng(3).integers(1, 255, (3, height, width), np.uint8)
    return write_raster(
        path, data, mask=mask, **{"crs": "EPSG:32633", "transform": PLACE, "photometric": "rgb"} | profile
    )


def region_file(path: Path, shape: shapely.Geometry, crs: str = "EPSG:32633") -> Path:
    import pyogrio.raw

    pyogrio.raw.write(path, shapely.to_wkb(np.array([shape])), [], [], geometry_type="Polygon", crs=crs)
    return path


def in_metres(left: float, top: float, right: float, bottom: float) -> shapely.Geometry:
    """A rectangle of pixels on the ground."""
    return shapely.box(*(PLACE * (left, bottom)), *(PLACE * (right, top)))


# Settled, not begun


def test_a_job_is_described_and_nothing_is_written(scene: Path, palette_model: Path, tmp_path: Path) -> None:
    job = planned(scene, tmp_path / "out.tif", model=palette_model, classes=tmp_path / "classes.tif")
    described = json.loads(json.dumps(job.to_json()))
    assert described["windows"] == described["rows"] * described["columns"] == job.grid.rows * job.grid.columns
    assert described["raw_bytes"] == 150 * 110 * (3 + 1)
    assert (described["width"], described["height"]) == (150, 110)
    assert list(tmp_path.iterdir()) == []


def test_what_is_held_does_not_grow_with_the_scene(palette_model: Path, tmp_path: Path) -> None:
    held = []
    for width, height in ((60, 60), (60, 2400), (2400, 60)):
        source = random_scene(tmp_path / f"{width}x{height}.tif", height, width)
        held.append(planned(source, tmp_path / "out.tif", model=palette_model).held_bytes)
    assert len(set(held)) == 1


def test_a_source_or_model_that_changes_after_planning_is_noticed(tiny_model: Path, tmp_path: Path) -> None:
    source = random_scene(tmp_path / "scene.tif")
    model = tmp_path / "model.safetensors"
    model.write_bytes(tiny_model.read_bytes())
    job = planned(source, tmp_path / "out.tif", model=model)
    random_scene(source, 290)
    with pytest.raises(RasterError, match="was changed"):
        run(job)
    job = planned(source, tmp_path / "out.tif", model=model)
    model.write_bytes(model.read_bytes()[:-2] + b"\0\0")
    with pytest.raises(ConfigError, match="was changed"):
        run(job)
    assert not (tmp_path / "out.tif").exists()


# In shares


@pytest.mark.parametrize("cuts", [(1,), (2, 3), (1, 2, 3, 4, 5), ()])
def test_shares_make_the_same_bytes_as_one_run(palette_model: Path, tmp_path: Path, cuts: tuple[int, ...]) -> None:
    source = random_scene(tmp_path / "scene.tif", mask=l_shape(300, 260))
    options = {"model": palette_model, "threads": 1}
    names = ("out.tif", "classes.tif", "confidence.tif")
    whole, shared = tmp_path / "whole", tmp_path / "shared"
    for folder in (whole, shared):
        folder.mkdir()
    paths = [folder / name for folder in (whole, shared) for name in names]
    translate(source, paths[0], classes=paths[1], confidence=paths[2], **options)
    job = planned(source, paths[3], classes=paths[4], confidence=paths[5], **options)
    assert job.grid.rows >= 6
    ends = [0, *cuts, job.grid.rows]
    shares = [range(a, b) for a, b in itertools.pairwise(ends)]
    for rows in reversed(shares):
        assert run(job, rows=rows) == shard_folder(job.output, rows)
        assert not job.output.exists()
    assert assemble(job) == job.output
    names = ("classes.tif.aux.xml", *names)
    for name in names:
        assert (shared / name).read_bytes() == (whole / name).read_bytes()
    assert sorted(path.name for path in shared.iterdir()) == sorted(names)


def test_a_share_that_was_stopped_goes_on(tiny_model: Path, tmp_path: Path) -> None:
    source = random_scene(tmp_path / "scene.tif")
    whole = translate(source, tmp_path / "whole.tif", model=tiny_model, threads=1).read_bytes()
    job = planned(source, tmp_path / "out.tif", model=tiny_model, threads=1)

    def cancel(event: Event) -> None:
        if event.done == 2 * job.grid.columns + 1:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        run(job, rows=range(1, 5), progress=cancel)
    resumed: list[int] = []
    run(job, rows=range(1, 5), progress=lambda event: resumed.append(event.done))
    assert resumed[0] == 2 * job.grid.columns, "finished rows must not be computed again"
    run(job, rows=range(1))
    with pytest.raises(OutputError, match="the first is 5, were not computed"):
        assemble(job)
    run(job, rows=range(5, job.grid.rows))
    assert assemble(job).read_bytes() == whole


def test_shares_of_other_settings_are_refused(tiny_model: Path, tmp_path: Path) -> None:
    source = random_scene(tmp_path / "scene.tif")
    run(planned(source, tmp_path / "out.tif", model=tiny_model), rows=range(2))
    with pytest.raises(OutputError, match="another result"):
        assemble(planned(source, tmp_path / "out.tif", model=tiny_model, overlap=24))
    with pytest.raises(ConfigError, match="rows"):
        run(planned(source, tmp_path / "out.tif", model=tiny_model), rows=range(3, 99))


# Where


@pytest.mark.parametrize("mask", [None, l_shape(300, 260)])
def test_a_region_is_cut_from_the_map_of_the_whole_scene(palette_model: Path, tmp_path: Path, mask) -> None:
    """Pixel for pixel, whatever windows the region leaves out; so maps of neighbouring regions fit together."""
    source = random_scene(tmp_path / "scene.tif", mask=mask)
    options = {"model": palette_model, "threads": 1}
    translate(source, tmp_path / "whole.tif", **options)
    corners = [(20, 200), (70, 90), (150, 160), (230.5, 121.2), (180, 280)]
    shape = shapely.Polygon([PLACE * corner for corner in corners])
    region = region_file(tmp_path / "region.geojson", shape)
    output = translate(source, tmp_path / "out.tif", region=region, **options)
    with rasterio.open(tmp_path / "whole.tif") as whole, rasterio.open(output) as part:
        col, row = (round(x) for x in ~whole.transform * (part.transform.c, part.transform.f))
        assert (col, row, part.width, part.height) == (20, 90, 211, 190)
        inside = geometry_mask([shape], (190, 211), part.transform, invert=True)
        window = rasterio.windows.Window(col, row, part.width, part.height)
        expected = inside & (whole.dataset_mask(window=window) != 0)
        assert np.array_equal(part.dataset_mask() != 0, expected)
        assert np.array_equal(part.read() * expected, whole.read(window=window) * expected)
        assert (part.read() * ~expected == 0).all()


def test_bounds_are_a_region_in_any_reference_system(tiny_model: Path, tmp_path: Path) -> None:
    source = random_scene(tmp_path / "scene.tif")
    box = in_metres(40, 100, 140, 250)
    translate(source, tmp_path / "a.tif", model=tiny_model, bounds=box.bounds)
    left, bottom, right, top = rasterio.warp.transform_bounds("EPSG:32633", "EPSG:4326", *box.bounds, densify_pts=99)
    translate(source, tmp_path / "b.tif", model=tiny_model, bounds=(left, bottom, right, top), bounds_crs="EPSG:4326")
    with rasterio.open(tmp_path / "a.tif") as a, rasterio.open(tmp_path / "b.tif") as b:
        assert (a.width, a.height) == (100, 150)
        assert a.transform == PLACE * Affine.translation(40, 100)
        assert b.bounds.left <= a.bounds.left and b.bounds.top >= a.bounds.top
        assert 0 <= b.width - a.width <= 8


def test_windows_outside_of_the_region_are_neither_read_nor_computed(
    tiny_model: Path, tmp_path: Path, monkeypatch
) -> None:
    from geopix2pix import torch_engine

    source = random_scene(tmp_path / "scene.tif", mask=np.indices((300, 260))[0] < 200)
    reads, computed = [], []
    stored, predict = RasterReader._stored, torch_engine.TorchEngine.predict
    monkeypatch.setattr(RasterReader, "_stored", lambda self, window: (reads.append(window), stored(self, window))[1])
    monkeypatch.setattr(
        torch_engine.TorchEngine, "predict", lambda self, batch: (computed.extend(batch), predict(self, batch))[1]
    )
    far = shapely.union(in_metres(0, 0, 30, 30), in_metres(200, 150, 240, 290))
    region = region_file(tmp_path / "region.geojson", far.envelope.difference(in_metres(31, 0, 260, 149)))
    job = planned(source, tmp_path / "out.tif", model=tiny_model, region=region)
    reads.clear()
    run(job)
    wanted = [
        job.grid.window_at(column, row)
        for row in range(job.grid.rows)
        for column in range(job.grid.columns)
        if not job.grid.support(column, row).is_empty
    ]
    assert len(computed) < len(wanted)
    assert len(reads) < 2 * len(wanted)
    empty = [window for window in reads if window.row >= 200]
    assert len(empty) == len(set(empty)), "windows without a valid pixel must not be read twice"
    with rasterio.open(tmp_path / "out.tif") as dataset:
        assert dataset.dataset_mask().any()


def test_regions_that_cannot_be_used_are_refused(tiny_model: Path, tmp_path: Path) -> None:
    source = random_scene(tmp_path / "scene.tif")
    nowhere = random_scene(tmp_path / "plain.tif", crs=None, transform=None)
    away = region_file(tmp_path / "away.geojson", shapely.box(0, 0, 5, 5))
    refused = [
        (source, {"region": away}, RegionError, "the region lies at"),
        (source, {"bounds": (9, 9, 1, 1)}, RegionError, "left below right"),
        (source, {"bounds": (0, 0, 1, 1), "region": away}, ConfigError, "give one of them"),
        (source, {"bounds": (0, 0, 1, 1), "bounds_crs": "nonsense"}, ConfigError, "nonsense"),
        (nowhere, {"bounds": (0, 0, 1, 1)}, ValueError, "reference system"),
    ]
    for path, arguments, kind, message in refused:
        with pytest.raises(kind, match=message):
            translate(path, tmp_path / "out.tif", model=tiny_model, **arguments)
    assert not (tmp_path / "out.tif").exists()


def test_a_region_without_a_valid_pixel_is_told(tiny_model: Path, tmp_path: Path) -> None:
    source = random_scene(tmp_path / "scene.tif", mask=l_shape(300, 260))
    with pytest.raises(ValueError, match="the region holds no valid pixel"):
        translate(source, tmp_path / "out.tif", model=tiny_model, bounds=in_metres(200, 10, 250, 60).bounds)
    assert not (tmp_path / "out.tif.part").exists()
