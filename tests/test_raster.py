"""RasterReader against plain rasterio reads, and the law that a pixel is the same in whatever window it is read."""

import shutil
import socket
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.shutil import copy
from rasterio.windows import Window as RasterioWindow

from geopix2pix import gdal
from geopix2pix.bands import sample_windows
from geopix2pix.errors import GeoPix2PixError, RasterError, SceneError, SceneWarning
from geopix2pix.fill import FILL_RADIUS
from geopix2pix.gdal import guarded, unreferenced_allowed
from geopix2pix.grid import Window
from geopix2pix.raster import RasterReader
from tests.rasters import DATA, MASKS, ROTATED, coordinates, l_shape, rotated_collar, speckle, write_raster

DTYPES = ("uint8", "uint16", "int16", "float32")
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the real data are not beside this checkout")


def vrt(path: Path, *bands: str, size: tuple[int, int] = (10, 10), inside: str = "", attributes: str = "") -> Path:
    """A VRT of the given bands, each the inside of a VRTRasterBand of bytes."""
    listed = "".join(f'<VRTRasterBand dataType="Byte" band="{i}">{b}</VRTRasterBand>' for i, b in enumerate(bands, 1))
    shape = f'rasterXSize="{size[0]}" rasterYSize="{size[1]}"'
    path.write_text(f"<VRTDataset {shape} {attributes}>{inside}{listed}</VRTDataset>")
    return path


def source(name: str | Path, band: int | str = 1) -> str:
    return f"<SimpleSource><SourceFilename>{name}</SourceFilename><SourceBand>{band}</SourceBand></SimpleSource>"


def whole(reader: RasterReader, around: int = 0) -> Window:
    return reader.extent.padded(around)


# Values and validity, with rasterio as the oracle


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_valid_pixels_come_back_bit_for_bit_in_any_window(tmp_path_factory, data):
    height, width = data.draw(st.integers(1, 90), "height"), data.draw(st.integers(1, 90), "width")
    dtype = data.draw(st.sampled_from(DTYPES), "dtype")
    mask = data.draw(st.sampled_from([None, *MASKS]), "mask")
    window = Window(*data.draw(st.tuples(*[st.integers(-70, 110)] * 2, *[st.integers(1, 80)] * 2), "window"))
    path = tmp_path_factory.mktemp("scene") / "scene.tif"
    pixels = coordinates(data.draw(st.integers(1, 4), "bands"), height, width, dtype)
    expected_valid = np.ones((height, width), bool) if mask is None else mask(height, width)
    write_raster(path, pixels, mask=None if mask is None else expected_valid, transform=ROTATED, crs="EPSG:32632")
    with RasterReader(path) as reader:
        patch = reader.read(window)
    assert patch.data.dtype == dtype
    assert patch.data.shape == (len(pixels), window.height, window.width)
    seen = np.zeros((window.height, window.width), bool)
    inside = window.intersection(Window(0, 0, width, height))
    if not inside.is_empty:
        there = inside.shifted(-window.col, -window.row).slices
        seen[there] = expected_valid[inside.slices]
        rows, cols = inside.slices
        assert np.array_equal(patch.data[:, seen], pixels[:, rows, cols][:, seen[there]])
    assert np.array_equal(patch.valid, seen)


@pytest.mark.parametrize("driver", ["JPEG", "PNG", "GTiff"])
def test_reads_equal_those_of_rasterio(tmp_path, driver):
    path = write_raster(tmp_path / "scene", coordinates(3, 50, 70, "uint8"), driver=driver)
    with unreferenced_allowed(), rasterio.open(path) as dataset, RasterReader(path) as reader:
        window = Window(11, 7, 40, 30)
        assert np.array_equal(reader.read(window).data, dataset.read(window=RasterioWindow(*window)))


def test_nodata_counts_for_each_band_by_its_own_value(tmp_path):
    pixels = np.full((2, 4, 4), 5, np.uint8)
    pixels[0, 0, 0], pixels[1, 1, 1] = 7, 9
    pixels[1, 2, 2] = 7  # nodata of the other band
    write_raster(tmp_path / "a.tif", pixels)
    bands = [f"<NoDataValue>{v}</NoDataValue>{source(tmp_path / 'a.tif', b)}" for b, v in enumerate((7, 9), 1)]
    with RasterReader(vrt(tmp_path / "a.vrt", *bands, size=(4, 4))) as reader:
        assert np.argwhere(~reader.read(reader.extent).valid).tolist() == [[0, 0], [1, 1]]
    with RasterReader(tmp_path / "a.vrt", bands=[2]) as reader:
        assert np.argwhere(~reader.read(reader.extent).valid).tolist() == [[1, 1]]


@pytest.mark.parametrize("nodata", [None, np.nan, -9999.0, -3.4028234663852886e38])
def test_what_is_not_finite_is_not_valid_whatever_nodata_says(tmp_path, nodata):
    pixels = coordinates(2, 5, 5, "float32")
    pixels[0, 0, 0], pixels[1, 1, 1], pixels[0, 2, 2] = np.nan, np.inf, -np.inf
    if nodata is not None:
        pixels[1, 3, 3] = nodata
    path = write_raster(tmp_path / "a.tif", pixels, nodata=nodata)
    with RasterReader(path) as reader:
        patch = reader.read(reader.extent)
    holes = [[0, 0], [1, 1], [2, 2]] + ([[3, 3]] if nodata is not None else [])
    assert np.argwhere(~patch.valid).tolist() == holes
    assert np.isfinite(patch.data).all()


@pytest.mark.parametrize(("dtype", "nodata"), [("uint8", 300), ("uint8", -1), ("int16", 2.5)])
def test_nodata_that_the_dtype_cannot_hold_masks_nothing(tmp_path, dtype, nodata):
    write_raster(tmp_path / "a.tif", coordinates(1, 4, 4, dtype))
    band = f"<NoDataValue>{nodata}</NoDataValue>{source(tmp_path / 'a.tif')}"
    path = vrt(tmp_path / "a.vrt", band, size=(4, 4))
    path.write_text(path.read_text().replace("Byte", {"uint8": "Byte", "int16": "Int16"}[dtype]))
    with RasterReader(path) as reader:
        assert reader.read(reader.extent).valid.all()


@pytest.mark.parametrize("internal", [True, False])
def test_masks_count_in_the_file_and_beside_it(tmp_path, internal):
    path = write_raster(tmp_path / "a.tif", coordinates(3, 40, 40, "uint8"), mask=l_shape(40, 40), internal=internal)
    assert (tmp_path / "a.tif.msk").exists() != internal
    with RasterReader(path) as reader:
        assert np.array_equal(reader.read(reader.extent).valid, l_shape(40, 40))


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("largest", [1, 255])
def test_an_alpha_band_is_a_mask_and_no_data(tmp_path, dtype, largest):
    alpha = (speckle(40, 40) * largest).astype(dtype)
    pixels = np.concatenate([coordinates(3, 40, 40, dtype), alpha[None]])
    path = write_raster(tmp_path / "a.tif", pixels, colors=("red", "green", "blue", "alpha"))
    with RasterReader(path) as reader:
        assert reader.bands == (1, 2, 3)
        assert reader.band_names == ("red", "green", "blue")
        assert np.array_equal(reader.read(reader.extent).valid, speckle(40, 40))


@pytest.mark.parametrize("mask", [None, l_shape, rotated_collar])
def test_an_alpha_band_that_looks_like_data_is_data_and_the_user_is_told(tmp_path, mask):
    pixels = coordinates(4, 40, 40, "uint8") * (1 if mask is None else mask(40, 40))
    path = write_raster(tmp_path / "a.tif", pixels.astype("uint8"), colors=("red", "green", "blue", "alpha"))
    with pytest.warns(SceneWarning, match="band 4 is tagged as alpha"), RasterReader(path) as reader:
        assert reader.bands == (1, 2, 3, 4)
        assert reader.band_names[3] == "band 4"
        assert reader.read(reader.extent).valid.all()


def test_an_alpha_band_that_is_asked_for_is_data_and_others_do_not_obey_it_if_it_looks_like_data(tmp_path):
    pixels = coordinates(4, 40, 40, "uint8")
    pixels[3, :3] = 0
    path = write_raster(tmp_path / "a.tif", pixels, colors=("red", "green", "blue", "alpha"))
    for bands in ([4, 1], [1, 2, 3]):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with RasterReader(path, bands=bands) as reader:
                assert reader.read(reader.extent).valid.all()
                expected = pixels[[band - 1 for band in bands]]
                assert np.array_equal(reader.read(reader.extent).data, expected)


@needs_data
@pytest.mark.data
def test_near_infrared_tagged_as_alpha_in_a_real_scene_is_data():
    path = DATA / "scenes" / "naip" / "m_3211605_ne_11_060_20200415.tif"
    with pytest.warns(SceneWarning, match="band 4"), RasterReader(path) as reader:
        assert reader.bands == (1, 2, 3, 4)


@needs_data
@pytest.mark.data
def test_a_real_alpha_band_is_a_mask_and_a_georeference_may_lie_beside_the_file():
    with RasterReader(DATA / "scenes" / "vegas" / "scene.tif") as reader:
        assert reader.bands == (1, 2, 3)
    tile = next((DATA / "train" / "banepa-buildings" / "tiles").glob("*.tif"))
    with RasterReader(tile) as reader:
        assert reader.georeference.is_known


def test_bands_come_in_the_order_asked_for_and_in_a_common_dtype(tmp_path):
    write_raster(tmp_path / "a.tif", coordinates(2, 6, 6, "uint8"))
    write_raster(tmp_path / "b.tif", coordinates(1, 6, 6, "float32") / 4)
    path = vrt(tmp_path / "a.vrt", source(tmp_path / "a.tif"), source(tmp_path / "b.tif"), size=(6, 6))
    path.write_text(path.read_text().replace('"Byte" band="2"', '"Float32" band="2"'))
    with RasterReader(path, bands=[2, 1, 2]) as reader:
        assert reader.dtype == "float32"
        data = reader.read(reader.extent).data
    assert np.array_equal(data[0], coordinates(1, 6, 6, "float32")[0] / 4)
    assert np.array_equal(data[1], coordinates(1, 6, 6, "uint8")[0])
    assert np.array_equal(data[2], data[0])


def test_a_colour_table_is_expanded_when_asked_for(tmp_path):
    index = np.arange(16, dtype=np.uint8).reshape(1, 4, 4)
    table = {value: (value, 2 * value, 100 + value, 0 if value == 3 else 255) for value in range(16)}
    path = write_raster(tmp_path / "a.tif", index)
    with unreferenced_allowed(), rasterio.open(path, "r+") as dataset:
        dataset.write_colormap(1, table)
    with RasterReader(path) as reader:
        assert np.array_equal(reader.read(reader.extent).data, index)
    opaque = path.with_suffix(".png")  # GeoTIFF keeps no alpha in its colour tables
    with (
        rasterio.Env(),
        unreferenced_allowed(),
        rasterio.open(opaque, "w", driver="PNG", width=4, height=4, count=1, dtype="uint8") as dataset,
    ):
        dataset.write(index)
        dataset.write_colormap(1, table)
    for name, transparent in ((path, 0), (opaque, 1)):
        with RasterReader(name, expand_colors=True) as reader:
            assert (reader.dtype, reader.band_names) == ("uint8", ("red", "green", "blue"))
            patch = reader.read(reader.extent)
        assert patch.valid.size - patch.valid.sum() == transparent
        expected = np.array([table[v][:3] for v in range(16)]).T.reshape(3, 4, 4)
        assert np.array_equal(patch.data[:, patch.valid], expected[:, patch.valid])


# Filling: the same in whatever window


@pytest.mark.parametrize("mask", [*MASKS, None])
@pytest.mark.parametrize("shape", [(100, 130), (70, 3), (1, 1)])
def test_a_pixel_is_the_same_in_every_window(tmp_path, mask, shape):
    pixels = coordinates(2, *shape, "int16")
    path = write_raster(tmp_path / "a.tif", pixels, mask=None if mask is None else mask(*shape))
    around = 60
    with RasterReader(path) as reader:
        expected = reader.read(whole(reader, around))
        for side, offset in ((37, 0), (64, 11), (64, -29)):
            for top in range(-around - 64, shape[0] + around, side):
                for left in range(-around - 64, shape[1] + around, side):
                    window = Window(left + offset, top + offset, side, side)
                    shared = window.intersection(whole(reader, around))
                    rows, cols = shared.shifted(around, around).slices
                    patch = reader.read(window)
                    here_rows, here_cols = shared.shifted(-window.col, -window.row).slices
                    assert np.array_equal(patch.data[:, here_rows, here_cols], expected.data[:, rows, cols])
                    assert np.array_equal(patch.valid[here_rows, here_cols], expected.valid[rows, cols])


@pytest.mark.parametrize("shape", [(20, 30), (1, 30), (1, 1)])
def test_outside_the_scene_its_reflection_is_seen_at_any_distance(tmp_path, shape):
    pixels = coordinates(1, *shape, "uint16")
    path = write_raster(tmp_path / "a.tif", pixels)
    with RasterReader(path) as reader:
        patch = reader.read(whole(reader, 100))
        far = reader.read(Window(-100_003, 99_998, 5, 5))
    assert np.array_equal(patch.data[0], np.pad(pixels[0], 100, mode="symmetric"))
    assert patch.valid.sum() == pixels.size
    assert not far.valid.any()


def test_holes_take_near_values_and_deep_holes_the_median(tmp_path):
    pixels = np.full((1, 200, 200), 50, np.uint8)
    pixels[:, :, :20] = 10
    valid = np.ones((200, 200), bool)
    valid[:, 15:140] = False
    path = write_raster(tmp_path / "a.tif", pixels, mask=valid)
    with RasterReader(path) as reader:
        row = reader.read(reader.extent).data[0, 100].tolist()
    assert row[15 : 14 + FILL_RADIUS + 1] == [10] * FILL_RADIUS
    assert row[140 - FILL_RADIUS :] == [50] * (60 + FILL_RADIUS)
    assert set(row[15 + FILL_RADIUS : 140 - FILL_RADIUS]) == {50}


def test_a_scene_without_a_valid_pixel_can_be_read(tmp_path):
    path = write_raster(tmp_path / "a.tif", np.full((2, 30, 30), 3, np.uint8), nodata=3)
    with RasterReader(path) as reader:
        patch = reader.read(whole(reader, 5))
        assert not patch.valid.any()
        assert not patch.data.any()
        with pytest.raises(SceneError, match="valid pixels"):
            reader.percentiles(50)


# Statistics of the whole scene


@given(width=st.integers(1, 40_000), height=st.integers(1, 40_000), count=st.integers(1, 64))
def test_sample_windows_lie_in_the_scene_apart_from_each_other(width, height, count):
    windows = sample_windows(width, height, count)
    scene = Window(0, 0, width, height)
    assert all(window == window.intersection(scene) and not window.is_empty for window in windows)
    assert len({(window.col, window.row) for window in windows}) == len(windows)
    assert all(window.col % 256 == 0 and window.row % 256 == 0 for window in windows)
    assert len(windows) <= max(count, 1)
    if width * height <= 256**2 * count**0.5 // 1 and max(width, height) <= 256 * int(count**0.5):
        assert sum(window.width * window.height for window in windows) == width * height


@pytest.mark.parametrize("mask", [None, l_shape, rotated_collar])
def test_percentiles_are_those_of_all_valid_pixels_in_small_scenes(tmp_path, mask):
    pixels = coordinates(2, 300, 520, "float32")
    valid = np.ones((300, 520), bool) if mask is None else mask(300, 520)
    pixels[1, ~valid] = np.nan
    with RasterReader(write_raster(tmp_path / "a.tif", pixels)) as reader:
        assert np.array_equal(reader.percentiles(2, 98), np.percentile(pixels[:, valid], (2, 98), axis=1))


# Where it lies


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:32632", None])
@pytest.mark.parametrize("transform", [ROTATED, Affine.identity()])
def test_the_georeference_is_that_of_the_file(tmp_path, crs, transform):
    path = write_raster(tmp_path / "a.tif", coordinates(1, 9, 9, "uint8"), crs=crs, transform=transform)
    with RasterReader(path) as reader:
        assert reader.georeference.crs == (None if crs is None else CRS.from_string(crs))
        assert reader.georeference.transform == transform
        assert reader.georeference.is_known == (crs is not None and transform == ROTATED)


def test_ground_control_points_are_a_georeference(tmp_path):
    corners = [(0, 0), (0, 9), (9, 0), (9, 9)]
    gcps = [GroundControlPoint(row=r, col=c, x=8 + c / 1000, y=47 - r / 1000, z=2) for r, c in corners]
    path = write_raster(tmp_path / "a.tif", coordinates(1, 9, 9, "uint8"), gcps=gcps, crs="EPSG:4326")
    with RasterReader(path) as reader:
        found = reader.georeference
    assert found.is_known
    assert found.transform == Affine.identity()
    assert [(p.row, p.col, p.x, p.y, p.z) for p in found.gcps] == [(p.row, p.col, p.x, p.y, p.z) for p in gcps]
    assert found.gcps_crs == CRS.from_epsg(4326)


def test_the_identity_follows_the_content_and_not_the_place(tmp_path):
    path = write_raster(tmp_path / "a.tif", coordinates(1, 9, 9, "uint8"), mask=l_shape(9, 9), internal=False)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for file in tmp_path.glob("a.tif*"):
        shutil.copy2(file, elsewhere)
    with RasterReader(path) as reader, RasterReader(elsewhere / "a.tif") as other:
        before = reader.identity()
        assert before == other.identity()
    assert [name for name, _, _ in before["files"]] == ["a.tif", "a.tif.msk"]
    write_raster(path, coordinates(1, 9, 9, "uint8"), mask=~l_shape(9, 9), internal=False)
    with RasterReader(path) as reader:
        assert reader.identity() != before


# Refusals


def truncated(path: Path) -> Path:
    write_raster(path, np.random.default_rng(0).integers(0, 255, (3, 300, 300), np.uint8), compress="deflate")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


def test_a_truncated_file_is_a_raster_error_when_it_is_read(tmp_path):
    path = truncated(tmp_path / "a.tif")
    with pytest.raises(RasterError, match=r"a\.tif"), RasterReader(path) as reader:
        reader.read(reader.extent)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.mkdir(), "a folder"),
        (lambda path: path.write_bytes(b""), "open it"),
        (lambda path: path.write_text("no raster"), "open it"),
        (lambda path: path.write_text("<VRTDataset"), "open it"),
        (lambda path: vrt(path, source("a" * 300)), "File name too long; check its name"),
        (lambda path: write_raster(path, np.ones((1, 4, 4), np.complex64)), "complex"),
        (lambda path: write_raster(path, np.ones((1, 40, 400), np.uint8)), "max_pixels"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line_that_names_it(tmp_path, make: Callable, message):
    path = tmp_path / "scene.tif"
    make(path)
    with pytest.raises(RasterError, match=message) as caught:
        RasterReader(path, max_pixels=10_000)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_name_that_the_system_refuses_is_refused_with_its_reason(tmp_path):
    with pytest.raises(RasterError, match="a{300}: .*File name too long; check its name"):
        RasterReader(tmp_path / ("a" * 300))


def test_a_programming_mistake_is_not_told_as_a_damaged_file(tmp_path):
    with pytest.raises(NameError), guarded(tmp_path / "a.tif", "read it"):
        raise NameError("no such name")
    with (
        pytest.raises(RasterError, match=r"a\.tif: cannot read it: MemoryError"),
        guarded(tmp_path / "a.tif", "read it"),
    ):
        raise MemoryError


@pytest.mark.parametrize(
    ("width", "layout", "expected"),
    [
        (9000, {"tiled": True, "blockxsize": 256, "blockysize": 256}, gdal.CACHE_BYTES),
        (2000, {"blockysize": 1}, gdal.CACHE_BYTES),
        (4000, {"blockysize": 1}, 2 * 1024 * 4000 * 3),
        (4000, {"blockysize": 700}, 2 * 2 * 700 * 4000 * 3),  # of 1100 rows in strips of 700 all are needed
        (9000, {"blockysize": 8}, 2 * 129 * 8 * 9000 * 3),
        (20000, {"blockysize": 8}, gdal.MAX_CACHE_BYTES),
        (40000, {"blockysize": 8}, gdal.CACHE_BYTES),
    ],
)
def test_the_cache_holds_what_a_window_touches_twice_if_it_can(tmp_path, monkeypatch, width, layout, expected):
    """It does not shrink again, since it is that of all rasters; and knows the blocks of what a mosaic is made of."""
    size = {"width": width, "height": 1100, "count": 3, "dtype": "uint8"}
    with rasterio.open(tmp_path / "a.tif", "w", driver="GTiff", sparse_ok=True, transform=ROTATED, **layout, **size):
        pass
    copy(tmp_path / "a.tif", tmp_path / "a.vrt", driver="VRT")
    write_raster(tmp_path / "b.tif", coordinates(1, 9, 9, "uint8"))
    for name, most in (("a.tif", expected), ("a.vrt", gdal.MAX_CACHE_BYTES)):
        monkeypatch.setitem(gdal.SETTINGS, "GDAL_CACHEMAX", gdal.CACHE_BYTES)
        for path in (tmp_path / "b.tif", tmp_path / name, tmp_path / "b.tif"):
            RasterReader(path).close()
        assert expected <= gdal.SETTINGS["GDAL_CACHEMAX"] <= most


def test_blocks_that_do_not_fit_into_memory_are_refused(tmp_path):
    path = tmp_path / "a.tif"
    with (
        unreferenced_allowed(),
        rasterio.open(
            path,
            "w",
            driver="GTiff",
            width=30_000,
            height=20_000,
            count=1,
            dtype="uint8",
            tiled=True,
            blockxsize=30_000,
            blockysize=20_000,
            SPARSE_OK=True,
        ),
    ):
        pass
    with pytest.raises(RasterError, match="blocks of 600000000 bytes"):
        RasterReader(path)


@pytest.mark.parametrize("bands", [[0], [4], [1, 2, 9], [-1]])
def test_bands_that_the_scene_does_not_have_are_refused(tmp_path, bands):
    path = write_raster(tmp_path / "a.tif", coordinates(3, 4, 4, "uint8"))
    with pytest.raises(SceneError, match="bands 1 to 3"):
        RasterReader(path, bands=bands)


def test_file_names_are_taken_literally(tmp_path, monkeypatch):
    for name in ("a#b?c=1.tif", "zip+file.tif", "mit Leerzeichen und Ümläuten.tif", "%41.tif"):
        path = write_raster(tmp_path / "plain.tif", coordinates(1, 4, 4, "uint8")).rename(tmp_path / name)
        with RasterReader(path) as reader:
            assert reader.width == 4
    monkeypatch.chdir(tmp_path)
    path.rename("plain.tif")
    for virtual in ("vrt://plain.tif", "GTIFF_DIR:1:plain.tif", "/vsizip/plain.tif", "https://example.org/plain.tif"):
        with pytest.raises(RasterError, match="no such file"):
            RasterReader(virtual)


def test_mosaics_of_local_files_are_read_also_nested(tmp_path):
    write_raster(tmp_path / "a.tif", coordinates(1, 10, 10, "uint8"))
    relative = '<SimpleSource><SourceFilename relativeToVRT="1">a.tif</SourceFilename></SimpleSource>'
    inner = vrt(tmp_path / "inner.vrt", relative)
    with RasterReader(vrt(tmp_path / "outer.vrt", source(inner))) as reader:
        assert np.array_equal(reader.read(reader.extent).data, coordinates(1, 10, 10, "uint8"))
        before = reader.identity()
    assert [name for name, _, _ in before["files"]] == ["a.tif", "inner.vrt", "outer.vrt"]
    write_raster(tmp_path / "a.tif", coordinates(1, 10, 10, "uint8") + 1)
    with RasterReader(tmp_path / "outer.vrt") as reader:
        assert reader.identity() != before


def test_a_mosaic_of_itself_is_refused(tmp_path):
    path = tmp_path / "a.vrt"
    vrt(path, source(path))
    with pytest.raises(RasterError, match="nested"):
        RasterReader(path)


UNUSUAL = (
    "<sourcefilename>{0}</sourcefilename>",
    '<SourceFilename xmlns="any">{0}</SourceFilename>',
    "<SOURCEFILENAME RELATIVETOVRT='1'>{0}</SOURCEFILENAME>",
)


@pytest.mark.parametrize("form", UNUSUAL)
def test_sources_are_checked_however_their_name_is_spelled(tmp_path, form):
    """A file of a format that we do not open, and GDAL does if the mosaic is not checked."""
    other = write_raster(tmp_path / "a.bin", coordinates(1, 10, 10, "uint8"), driver="PCIDSK")
    path = vrt(tmp_path / "a.vrt", f"<SimpleSource>{form.format(other)}<SourceBand>1</SourceBand></SimpleSource>")
    with unreferenced_allowed(), rasterio.open(path) as dataset:
        assert np.array_equal(dataset.read(), coordinates(1, 10, 10, "uint8"))
    with pytest.raises(RasterError):
        RasterReader(path)


@pytest.mark.parametrize(
    "form",
    [
        '<SimpleSource SourceFilename="{0}"><SourceBand>1</SourceBand></SimpleSource>',
        '<SimpleSource><SourceFilename relativeToVRT="2">{0}</SourceFilename></SimpleSource>',
        '<SimpleSource><SourceFilename relativeToVRT="0" RELATIVETOVRT="1">{0}</SourceFilename></SimpleSource>',
    ],
)
def test_sources_that_gdal_may_look_for_elsewhere_than_we_do_are_refused(tmp_path, form):
    a = write_raster(tmp_path / "a.tif", coordinates(1, 10, 10, "uint8"))
    path = vrt(tmp_path / "a.vrt", form.format(a))
    with pytest.raises(RasterError, match="unusual"):
        RasterReader(path)


@pytest.fixture
def server():
    """The address of a port, what is sent to it, and an event for the first who knocks."""
    visits, knocked = [], threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            while True:
                try:
                    visitor, _ = listening.accept()
                except OSError:
                    return
                with visitor:
                    visits.append(visitor.recv(65_536))
                    knocked.set()
                    visitor.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", visits, knocked
        listening.shutdown(socket.SHUT_RDWR)
    thread.join(5)


WARPED = """<GDALWarpOptions><SourceDataset>{a}</SourceDataset><Transformer><GenImgProjTransformer>
<SrcGeoLocTransformer><GeoLocTransformer><Metadata><MDI key="X_DATASET">{url}</MDI>
<MDI key="Y_DATASET">{url}</MDI></Metadata>
</GeoLocTransformer></SrcGeoLocTransformer></GenImgProjTransformer></Transformer></GDALWarpOptions>"""
WMS = "<GDAL_WMS><Service name='TMS'><ServerUrl>{0}</ServerUrl></Service><BandsCount>1</BandsCount></GDAL_WMS>"


def calls(folder: Path, url: str) -> list[Path]:
    """Files that make GDAL connect to `url` if it is let."""
    a = write_raster(folder / "a.tif", coordinates(1, 10, 10, "uint8"))
    tagged = write_raster(folder / "tagged.tif", coordinates(1, 10, 10, "uint8"))
    with unreferenced_allowed(), rasterio.open(tagged, "r+") as dataset:
        dataset.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=f"{url}/tagged.tif")
    overviews = f'<Metadata domain="OVERVIEWS"><MDI key="OVERVIEW_FILE">{url}/overviews.tif</MDI></Metadata>'
    beside = Path(shutil.copy(a, folder / "beside.tif"))
    (folder / "beside.tif.aux.xml").write_text(f"<PAMDataset>{overviews}</PAMDataset>")
    service = folder / "service.tif"
    service.write_text(WMS.format(url))
    mask = f"<MaskBand><VRTRasterBand dataType='Byte'>{source(f'/vsicurl/{url}/mask.tif')}</VRTRasterBand></MaskBand>"
    overview = f"<Overview><SourceFilename>/vsicurl/{url}/o.tif</SourceFilename><SourceBand>1</SourceBand></Overview>"
    warped = folder / "warped.vrt"
    vrt(warped, inside=WARPED.format(a=a, url=f"/vsicurl/{url}/x.tif"), attributes='subClass="VRTWarpedDataset"')
    return [
        tagged,
        beside,
        service,
        warped,
        vrt(folder / "vsicurl.vrt", source(f"/vsicurl/{url}/source.tif")),
        vrt(folder / "http.vrt", source(f"{url}/plain.tif")),
        vrt(folder / "wms.vrt", source(f"WMS:{url}/wms")),
        vrt(folder / "mask.vrt", source(a), inside=mask),
        vrt(folder / "overview.vrt", source(a) + overview),
        vrt(folder / "metadata.vrt", source(a), inside=overviews),
        vrt(folder / "nested.vrt", source(folder / "vsicurl.vrt")),
        vrt(folder / "to-service.vrt", source(service)),
        vrt(folder / "to-tagged.vrt", source(tagged)),
    ]


def test_no_file_makes_gdal_talk_to_the_network(tmp_path, server):
    url, visits, knocked = server
    for path in calls(tmp_path, url):
        with pytest.raises(GeoPix2PixError), RasterReader(path) as reader:
            reader.read(reader.extent)
        assert not knocked.wait(0.02), path.name
    assert visits == []


def test_the_files_of_the_network_test_do_call_when_they_are_let(tmp_path, server):
    url, visits, knocked = server
    path = calls(tmp_path, url)[0]
    with rasterio.Env(GDAL_HTTP_TIMEOUT="1"), unreferenced_allowed(), rasterio.open(path) as dataset:
        dataset.overviews(1)
    knocked.wait(60)  # GDAL may hold the interpreter until its time is over, and only then the server hears of it
    assert visits
