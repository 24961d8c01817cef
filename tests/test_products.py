"""What comes out beside the map: classes, confidence, polygons, web-map tiles; all of it together, or nothing."""

import sqlite3
import struct
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyogrio
import pyogrio.raw
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from rasterio.crs import CRS
from rasterio.features import shapes

from geopix2pix import translate
from geopix2pix.assembly import STEPS
from geopix2pix.errors import Cancelled, ConfigError, GeoPix2PixWarning, OutputError
from geopix2pix.geogrid import GeoGrid
from geopix2pix.grid import Window
from geopix2pix.manifest import Manifest
from geopix2pix.mapvectors import write_polygons
from geopix2pix.products import classes_of, painted
from geopix2pix.progress import Event, silent
from geopix2pix.steadying import Steadied
from geopix2pix.webexport import encoded, write_tiles
from geopix2pix.webtiles.slippy import SlippyView
from tests.rasters import l_shape, write_raster
from tests.test_job import PLACE, random_scene

ALL = {
    "classes": "classes.tif",
    "confidence": "confidence.tif",
    "vector": "polygons.gpkg",
    "tiles": "tiles.mbtiles",
    "preview": "preview.png",
}


def everything(source: Path, folder: Path, model: Path, **options) -> Path:
    folder.mkdir(exist_ok=True)
    named = {option: folder / name for option, name in ALL.items()}
    return translate(source, folder / "out.tif", model=model, threads=1, **{**named, **options})


@pytest.fixture(scope="module")
def made(tmp_path_factory, palette_model: Path) -> Path:
    """A folder with a scene and all that can be made of it."""
    folder = tmp_path_factory.mktemp("made")
    source = random_scene(folder / "scene.tif", 150, 170, mask=l_shape(150, 170))
    everything(source, folder / "results", palette_model)
    return folder


# Classes and confidence


@given(arrays(np.float32, st.tuples(*[st.integers(1, 6)] * 3), elements=st.sampled_from([-1, 0, 0.25, 0.5])))
def test_the_class_is_the_first_of_the_highest(values: np.ndarray) -> None:
    assert np.array_equal(classes_of(values), values.argmax(axis=0))


def test_map_classes_and_confidence_tell_the_same(made: Path, palette_manifest: Manifest) -> None:
    results, palette = made / "results", palette_manifest.target.palette
    with rasterio.open(results / "out.tif") as map_, rasterio.open(results / "classes.tif") as classes:
        valid, indices = map_.dataset_mask() != 0, classes.read(1)
        assert np.array_equal(classes.read_masks(1) != 0, valid)
        assert (indices[~valid] == 255).all() and classes.nodata == 255
        assert np.array_equal(np.moveaxis(palette.display[indices[valid]], -1, 0), map_.read()[:, valid])
        assert {i: classes.colormap(1)[i][:3] for i in range(3)} == dict(
            enumerate(map(tuple, palette.display.tolist()))
        )
        assert [classes.tags()[f"CLASS_{i}"] for i in range(3)] == list(palette.names)
        assert classes.descriptions == ("class",) and classes.colorinterp[0].name == "palette"
        assert (classes.crs, classes.transform) == (map_.crs, map_.transform)
    with rasterio.open(results / "confidence.tif") as confidence:
        percent = confidence.read(1)
        assert (percent[~valid] == 255).all() and confidence.nodata == 255
        assert percent[valid].min() >= 33 and percent[valid].max() <= 100
        assert confidence.tags()["GEOPIX2PIX_TEMPERATURE"] == "none: uncalibrated"


def test_confidence_is_the_probability_of_the_painted_class(palette_manifest: Manifest) -> None:
    values = np.random.default_rng(0).dirichlet(np.ones(3), (20, 30)).astype(np.float32).transpose(2, 0, 1)
    (percent,), (index,) = (painted(kind, values, palette_manifest) for kind in ("confidence", "classes"))
    chosen = np.take_along_axis(values, index[None].astype(int), axis=0)[0]
    assert np.abs(percent / 100 - chosen).max() <= 0.005 + 1e-6


def test_gis_finds_the_names_of_the_classes(made: Path, palette_manifest: Manifest) -> None:
    text = (made / "results" / "classes.tif.aux.xml").read_text()
    for name in palette_manifest.target.palette.names:
        assert f"<Category>{name}</Category>" in text


def test_uncalibrated_confidence_is_told(scene: Path, palette_model: Path, tmp_path: Path) -> None:
    with pytest.warns(GeoPix2PixWarning, match="uncalibrated"):
        translate(scene, tmp_path / "out.tif", model=palette_model, confidence=tmp_path / "confidence.tif")


@pytest.mark.parametrize("average", [("flips",), ("shifts",), ("flips", "shifts")])
def test_averages_are_means_over_mirror_images_and_shifts(palette_manifest: Manifest, average) -> None:
    """Of a function of each pixel and its place they are the mean of what it says of all these places."""
    rows, cols = np.mgrid[:64, :64].astype(np.float32)
    engine = SimpleNamespace(manifest=palette_manifest, predict=lambda batch: batch[:, :1] + 100 * rows + 10_000 * cols)
    batch = np.random.default_rng(0).random((2, 3, 64, 64)).astype(np.float32)
    found = Steadied(engine, average).predict(batch)
    half = palette_manifest.total_stride // 2 if "shifts" in average else 0
    mirrors = (lambda x: x, lambda x: 63 - x) if "flips" in average else (lambda x: x,)
    places = [np.mean([m(axis + by) for m in mirrors for by in (0, half)], axis=0) for axis in (rows, cols)]
    expected = batch[:, 0] + 100 * places[0] + 10_000 * places[1]
    inner = np.s_[8:-8, 8:-8]
    assert np.allclose(found[:, 0][(slice(None), *inner)], expected[(slice(None), *inner)], rtol=1e-6)


def test_averages_know_every_pixel_up_to_the_border(palette_manifest: Manifest) -> None:
    """A pixel that a shift moves out is no mean of its neighbours: the border of a scene is part of the map."""
    engine = SimpleNamespace(manifest=palette_manifest, predict=lambda batch: batch)
    batch = np.random.default_rng(0).random((2, 3, 64, 64)).astype(np.float32)
    assert np.array_equal(Steadied(engine, ("flips", "shifts")).predict(batch), batch)


def test_an_average_over_flips_does_not_know_left_from_right(palette_model: Path, tmp_path: Path) -> None:
    data = np.random.default_rng(1).integers(1, 255, (3, 64, 64), np.uint8)
    options = {"model": palette_model, "threads": 1, "average": ("flips",), "window": 256, "overlap": 64}
    maps = []
    for name, picture in (("plain", data), ("mirrored", data[:, :, ::-1])):
        source = write_raster(tmp_path / f"{name}.tif", picture, crs="EPSG:32633", transform=PLACE, photometric="rgb")
        with rasterio.open(translate(source, tmp_path / f"{name}-map.tif", **options)) as dataset:
            maps.append(dataset.read())
            assert dataset.tags()["GEOPIX2PIX_AVERAGE"] == '["flips"]'
    assert (maps[0] == maps[1][:, :, ::-1]).all(axis=0).mean() > 0.9


def test_classes_need_a_model_with_classes(scene: Path, tiny_model: Path, tmp_path: Path) -> None:
    for option in ("classes", "confidence", "vector"):
        with pytest.raises(ConfigError, match="palette"):
            translate(scene, tmp_path / "out.tif", model=tiny_model, **{option: tmp_path / ALL[option]})
    assert list(tmp_path.iterdir()) == []


# Together or not at all


def test_results_appear_together_and_the_same_after_any_stop(made: Path, palette_model: Path, tmp_path: Path) -> None:
    stages: list[tuple[str, int]] = []
    everything(
        made / "scene.tif", tmp_path / "fresh", palette_model, progress=lambda e: stages.append((e.stage, e.done))
    )
    assert {"translate", "assemble", "polygons", "tiles"} <= {stage for stage, _ in stages}
    names = sorted(path.name for path in (made / "results").iterdir())
    steps = [done for stage, done in stages if stage == "assemble"]
    assert steps == sorted(steps) and steps[-1] == 3 * 2 * STEPS, "map, classes and confidence"
    copying = next(done for done in steps if done)
    for number, stop in enumerate([stages[3], ("assemble", copying), ("polygons", 0), ("tiles", 0)]):

        def cancel(event: Event, stop=stop) -> None:
            if (event.stage, event.done) == stop:
                raise Cancelled("enough")

        folder = tmp_path / str(number)
        with pytest.raises(Cancelled):
            everything(made / "scene.tif", folder, palette_model, progress=cancel)
        assert [path.name for path in folder.iterdir()] == ["out.tif.part"]
        everything(made / "scene.tif", folder, palette_model)
        assert sorted(path.name for path in folder.iterdir()) == names
        for name in names:
            assert (folder / name).read_bytes() == (made / "results" / name).read_bytes(), name


def test_no_result_is_replaced_without_leave(made: Path, palette_model: Path, tmp_path: Path) -> None:
    for name in ALL.values():
        (tmp_path / name).write_text("precious")
        with pytest.raises(OutputError, match="exists already"):
            everything(made / "scene.tif", tmp_path, palette_model)
        assert [path.name for path in tmp_path.iterdir()] == [name]
        (tmp_path / name).unlink()


# Cloud-optimised


def blocks_of(data: bytes) -> list[dict[int, list[int]]]:
    """The tags of each directory of a classic TIFF that hold whole numbers, and `0`: where the directory lies."""
    assert data[:4] == b"II*\0"
    (place,) = struct.unpack_from("<I", data, 4)
    found = []
    while place:
        (count,) = struct.unpack_from("<H", data, place)
        tags = {0: [place]}
        for entry in range(count):
            tag, kind, number = struct.unpack_from("<HHI", data, place + 2 + 12 * entry)
            if kind in (3, 4):
                code, size = ("H", 2) if kind == 3 else ("I", 4)
                at = place + 10 + 12 * entry
                at = at if number * size <= 4 else struct.unpack_from("<I", data, at)[0]
                tags[tag] = list(struct.unpack_from(f"<{number}{code}", data, at))
        found.append(tags)
        (place,) = struct.unpack_from("<I", data, place + 2 + 12 * count)
    return found


WIDTH, HEIGHT, KIND, OFFSETS, TILE, SIZES = 256, 257, 254, 324, 322, 325


def check_cog(path: Path) -> None:
    """The rules of GDAL's validate_cloud_optimized_geotiff: tiles, overviews that shrink, directories before data, data
    of smaller overviews before that of larger ones, and the sizes of tiles in front of them.
    """
    directories = blocks_of(path.read_bytes())
    main, *others = directories
    assert TILE in main, "not tiled"
    assert main[0][0] < 300, "the main directory is not at the start"
    assert [d[0][0] for d in directories] == sorted(d[0][0] for d in directories)
    pictures = [d for d in directories if d.get(KIND, [0])[0] in (0, 1)]
    masks = [d for d in directories if d.get(KIND, [0])[0] in (4, 5)]
    assert len(masks) in (0, len(pictures))
    widths = [d[WIDTH][0] for d in pictures]
    assert widths == sorted(set(widths), reverse=True)
    if max(main[WIDTH][0], main[HEIGHT][0]) > 512:
        assert len(pictures) > 1, "a large picture without overviews"
        assert max(pictures[-1][WIDTH][0], pictures[-1][HEIGHT][0]) <= 512
    assert max(d[0][0] for d in directories) < min(o for d in directories for o in d[OFFSETS] if o), "data first"
    firsts = [min(o for o in d[OFFSETS] if o) for d in pictures]
    assert firsts == sorted(firsts, reverse=True), "the data of larger overviews come first"
    data = path.read_bytes()
    assert b"LAYOUT=IFDS_BEFORE_DATA" in data[:300]
    for directory in directories:
        assert all(
            offset % 1 == 0 and offset + size <= len(data)
            for offset, size in zip(directory[OFFSETS], directory[SIZES], strict=True)
        )
    assert others or max(main[WIDTH][0], main[HEIGHT][0]) <= 512


@pytest.mark.parametrize("compress", ["deflate", "zstd", "lzw"])
def test_every_raster_is_a_valid_cog(palette_model: Path, tmp_path: Path, compress: str) -> None:
    source = random_scene(tmp_path / "scene.tif", 700, 600, mask=l_shape(700, 600))
    rasters = {"classes": tmp_path / "classes.tif", "confidence": tmp_path / "confidence.tif"}
    output = translate(source, tmp_path / "out.tif", model=palette_model, compress=compress, window=256, **rasters)
    for path in (output, *rasters.values()):
        check_cog(path)
        with rasterio.open(path) as dataset:
            assert dataset.profile["compress"] == compress


def test_the_check_finds_what_is_no_cog(tmp_path: Path) -> None:
    plain = write_raster(tmp_path / "plain.tif", np.zeros((1, 600, 600), np.uint8), tiled=True)
    with pytest.raises(AssertionError):
        check_cog(plain)


def test_a_plain_geotiff_holds_the_same_pixels(scene: Path, palette_model: Path, tmp_path: Path) -> None:
    cog = translate(scene, tmp_path / "cog.tif", model=palette_model)
    plain = translate(scene, tmp_path / "plain.tif", model=palette_model, form="gtiff")
    with rasterio.open(cog) as first, rasterio.open(plain) as second:
        assert np.array_equal(first.read(), second.read())
        assert "LAYOUT" not in second.tags(ns="IMAGE_STRUCTURE")
        assert second.overviews(1) == []


# Polygons


@pytest.mark.parametrize("ending", [".gpkg", ".geojson", ".fgb"])
def test_polygons_are_those_of_the_class_raster(made: Path, palette_model: Path, tmp_path: Path, ending: str) -> None:
    vector = tmp_path / f"polygons{ending}"
    translate(made / "scene.tif", tmp_path / "out.tif", model=palette_model, threads=1, vector=vector)
    assert not (tmp_path / "classes.tif").exists()
    meta, _, wkb, (number, name, area) = pyogrio.raw.read(vector)
    with rasterio.open(made / "results" / "classes.tif") as dataset:
        raster, grid = dataset.read(1), dataset.transform
    expected = [(shapely.geometry.shape(s), int(v)) for s, v in shapes(raster, raster != 255, 4, transform=grid)]
    assert len(expected) == len(wkb)
    assert set(zip(number.tolist(), name.tolist(), strict=True)) <= {(0, "land"), (1, "road"), (2, "water")}
    if ending == ".geojson":
        assert CRS.from_user_input(meta["crs"]).to_epsg() == 4326
        return
    assert CRS.from_user_input(meta["crs"]).to_epsg() == 32633
    found = sorted(
        (int(n), shapely.to_wkb(shapely.normalize(s))) for n, s in zip(number, shapely.from_wkb(wkb), strict=True)
    )
    assert found == sorted((v, shapely.to_wkb(shapely.normalize(s))) for s, v in expected)
    assert area.sum() == pytest.approx((raster != 255).sum() * 0.25, rel=2e-3)


def test_small_polygons_are_left_out(tmp_path: Path) -> None:
    raster = np.zeros((40, 40), np.uint8)
    raster[5:7, 5:7], raster[20:30, 20:30] = 1, 1
    path = write_raster(tmp_path / "classes.tif", raster[None], crs="EPSG:32633", transform=PLACE, nodata=255)
    grid = GeoGrid(crs=CRS.from_epsg(32633), transform=PLACE)
    for least, count in ((0, 3), (1.1, 2), (26, 1), (1e6, 0)):
        vector = tmp_path / f"{count}.gpkg"
        write_polygons(vector, path, ("land", "road"), grid, least, silent)
        assert pyogrio.read_info(vector)["features"] == count


# Web-map tiles


@pytest.mark.parametrize("target", ["tiles.mbtiles", "tiles.pmtiles", "xyz:tiles/{z}/{x}/{y}.png"])
def test_tiles_show_the_map(made: Path, palette_model: Path, tmp_path: Path, target: str) -> None:
    path = f"xyz:{tmp_path / target.removeprefix('xyz:')}" if target.startswith("xyz:") else tmp_path / target
    translate(made / "scene.tif", tmp_path / "out.tif", model=palette_model, threads=1, tiles=path)
    with rasterio.open(tmp_path / "out.tif") as dataset:
        grid, picture, valid = (
            GeoGrid(crs=dataset.crs, transform=dataset.transform),
            dataset.read(),
            dataset.dataset_mask(),
        )
    with closing(SlippyView(path, None, grid, kernel="nearest")) as view:
        data, shown = view.read(Window(0, 0, 170, 150))
    assert (shown == (valid != 0)).mean() > 0.97
    both = shown & (valid != 0)
    near = [np.roll(picture, (down, right), (1, 2)) for down in (-1, 0, 1) for right in (-1, 0, 1)]
    same = np.any([(data == other).all(axis=0) for other in near], axis=0)
    assert same[both].mean() > 0.99, "what tiles show must lie within a pixel of where the map has it"


def test_coarser_tiles_are_made_of_finer_ones(tmp_path: Path) -> None:
    picture = np.full((3, 600, 600), 40, np.uint8)
    picture[:, ::2] = 80
    raster = write_raster(tmp_path / "a.tif", picture, crs="EPSG:3857", transform=Affine(1, 0, 0, 0, -1, 0))
    write_tiles(tmp_path / "a.mbtiles", raster, "a", nearest=False, smooth=True, attribution="us", progress=silent)
    with closing(sqlite3.connect(tmp_path / "a.mbtiles")) as database:
        metadata = dict(database.execute("SELECT * FROM metadata"))
        zooms = [zoom for (zoom,) in database.execute("SELECT DISTINCT zoom_level FROM tiles ORDER BY 1")]
        last = database.execute("SELECT count(*) FROM tiles WHERE zoom_level = ?", (zooms[0],)).fetchone()
    assert (metadata["minzoom"], metadata["maxzoom"]) == (str(zooms[0]), str(zooms[-1]))
    assert metadata["attribution"] == "us" and metadata["format"] == "png"
    assert last == (1,) or zooms[0] == 0


def test_few_colours_make_small_tiles() -> None:
    pixels = np.random.default_rng(0).choice(np.array([0, 255], np.uint8), (4, 256, 256))
    import io

    from PIL import Image

    with Image.open(io.BytesIO(encoded(pixels))) as picture:
        assert picture.mode == "P"
        back = np.moveaxis(np.asarray(picture.convert("RGBA")), -1, 0)
    assert np.array_equal(back, pixels * (pixels[3] > 0))


def test_impossible_results_are_refused_before_any_work(scene: Path, palette_model: Path, tmp_path: Path) -> None:
    refused = [
        ({"vector": tmp_path / "a.shp"}, "ends in .gpkg"),
        ({"tiles": tmp_path / "a.zip"}, "give OUT.mbtiles"),
        ({"min_area": 5}, "--vector"),
        ({"classes": tmp_path / "a.png"}, r"ends in \.tif"),
        ({"average": ("turns",)}, "flips, shifts"),
    ]
    for options, message in refused:
        with pytest.raises((ConfigError, OutputError), match=message):
            translate(scene, tmp_path / "out.tif", model=palette_model, **options)
    assert list(tmp_path.iterdir()) == []
