"""SlippyView: a mosaic of tiles is the picture that they were cut from."""

import json
import math
import warnings
from pathlib import Path

import mercantile
import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS

from geopix2pix.aligned import AlignedView
from geopix2pix.errors import ConfigError, DownloadError, RasterError, SceneError
from geopix2pix.fill import FILL_RADIUS
from geopix2pix.geogrid import GeoGrid
from geopix2pix.grid import Window
from geopix2pix.ground import points_in
from geopix2pix.view import View
from geopix2pix.webtiles.slippy import SlippyView
from geopix2pix.webtiles.tilelevel import Level, open_pyramid, own_pixels
from geopix2pix.webtiles.tilepixels import TilePixels
from tests.rasters import DATA, write_raster
from tests.webtiles import SIDE, colors, encoded, pyramid, square, write_folder, write_mbtiles, write_pmtiles

MERCATOR = CRS.from_epsg(3857)
ZOOM, X, Y, COUNT = 12, 2200, 1400, 4
LEVEL = Level(ZOOM, SIDE)
EXTENT = Window(X * SIDE, Y * SIDE, COUNT * SIDE, COUNT * SIDE)
UTM = GeoGrid.anchored(CRS.from_epsg(32633), 210.0)
TURNED = GeoGrid(
    crs=CRS.from_epsg(32633),
    transform=Affine.translation(3e5, 5.8e6) * Affine.rotation(30) * Affine.scale(190, -190),
)
LOCAL = 'LOCAL_CS["a site",UNIT["metre",1]]'


@pytest.fixture(scope="module")
def kinds(tmp_path_factory) -> dict[str, object]:
    folder = tmp_path_factory.mktemp("tiles")
    tiles = pyramid(square(ZOOM, X, Y, COUNT))
    return {
        "xyz": write_folder(folder / "xyz", tiles),
        "tms": write_folder(folder / "tms", tiles, "{z}/{x}/{-y}.png"),
        "quadkey": write_folder(folder / "quadkey", tiles, "{quadkey}.png"),
        "mbtiles": write_mbtiles(folder / "a.mbtiles", tiles),
        "pmtiles": write_pmtiles(folder / "a.pmtiles", tiles),
    }


@pytest.fixture(scope="module")
def raster(tmp_path_factory) -> Path:
    """The picture that the tiles are cut from, as a GeoTIFF."""
    path = tmp_path_factory.mktemp("raster") / "a.tif"
    transform = LEVEL.grid.transform_of(EXTENT)
    return write_raster(path, colors(EXTENT), crs="EPSG:3857", transform=transform, photometric="rgb")


def here(grid: GeoGrid, view: View) -> Window:
    """The window of all that a view has."""
    return grid.window(view.extents()[0])


# The same grid


@pytest.mark.parametrize("kernel", ["nearest", "bilinear", "cubic", "average"])
@pytest.mark.parametrize("kind", ["xyz", "tms", "quadkey", "mbtiles", "pmtiles"])
def test_a_mosaic_is_the_picture_that_the_tiles_were_cut_from(kinds, kind, kernel):
    grid, window = own_pixels(kinds[kind], None)
    assert (grid, window) == (LEVEL.grid, EXTENT)
    view = SlippyView(kinds[kind], None, grid, kernel=kernel)
    assert view.level == LEVEL
    patch = view.read(window)
    assert patch.valid.all()
    assert np.array_equal(patch.data, colors(window))


def test_the_pixels_are_those_that_mercantile_says():
    """The corners of a tile are those of its pixels, from one library to the other."""
    for tile in (mercantile.Tile(0, 0, 0), mercantile.Tile(X, Y, ZOOM), mercantile.Tile(2**20, 3, 21)):
        for side in (1, 256, 512):
            level = Level(tile.z, side)
            bounds = level.grid.bounds(Window(tile.x * side, tile.y * side, side, side))
            assert np.allclose(bounds, mercantile.xy_bounds(tile), rtol=0, atol=1e-6)
            assert level.across == side * 2**tile.z


@settings(max_examples=60, deadline=None)
@given(
    col=st.integers(-50, EXTENT.width + 50),
    row=st.integers(-50, EXTENT.height + 50),
    width=st.integers(1, 70),
    height=st.integers(1, 70),
)
def test_a_window_is_the_cut_out_of_the_whole(kinds, col, row, width, height):
    window = Window(EXTENT.col + col, EXTENT.row + row, width, height)
    view = SlippyView(kinds["xyz"], ZOOM, LEVEL.grid, kernel="nearest")
    patch = view.read(window)
    inside = window.intersection(EXTENT)
    valid = np.zeros((height, width), bool)
    if not inside.is_empty:
        valid[inside.shifted(-window.col, -window.row).slices] = True
    assert np.array_equal(patch.valid, valid)
    assert np.array_equal(patch.data[:, valid], colors(window)[:, valid])


@pytest.mark.parametrize("grid", [UTM, TURNED, LEVEL.grid.shifted(0.3, 0.6)], ids=["utm", "turned", "shifted"])
@pytest.mark.parametrize("kernel", ["nearest", "bilinear", "cubic"])
def test_a_pixel_is_the_same_in_every_window(kinds, grid, kernel):
    view = SlippyView(kinds["mbtiles"], None, grid, kernel=kernel)
    whole = here(grid, view).padded(FILL_RADIUS + 10)
    expected = view.read(whole)
    assert 0.2 < expected.valid.mean() < 0.95
    for side in (37, 64):
        fresh = SlippyView(kinds["mbtiles"], None, grid, kernel=kernel)
        for top in range(whole.row, whole.bottom - side, side):
            for left in range(whole.col, whole.right - side, side):
                patch = fresh.read(Window(left, top, side, side))
                rows, cols = Window(left, top, side, side).shifted(-whole.col, -whole.row).slices
                assert np.array_equal(patch.valid, expected.valid[rows, cols])
                assert np.array_equal(patch.data, expected.data[:, rows, cols])


@pytest.mark.parametrize("grid", [UTM, TURNED], ids=["utm", "turned"])
def test_all_kinds_agree_bit_for_bit_on_any_grid(kinds, grid):
    views = [SlippyView(made, None, grid, kernel="cubic") for made in kinds.values()]
    window = here(grid, views[0]).padded(20)
    first, *others = [view.read(window) for view in views]
    for patch in others:
        assert np.array_equal(patch.data, first.data)
        assert np.array_equal(patch.valid, first.valid)


@pytest.mark.parametrize("kernel", ["nearest", "bilinear", "cubic"])
@pytest.mark.parametrize("grid", [UTM, TURNED], ids=["utm", "turned"])
def test_tiles_show_what_a_raster_of_the_same_picture_shows(kinds, raster, grid, kernel):
    tiles = SlippyView(kinds["xyz"], None, grid, kernel=kernel)
    file = AlignedView([raster], grid, kernel=kernel)
    window = here(grid, file).padded(5)
    here_tiles, here_file = tiles.read(window), file.read(window)
    assert np.array_equal(here_tiles.valid, here_file.valid)
    inner = here_tiles.valid.copy()
    if kernel != "nearest":  # beyond its edge a raster shows its reflection, tiles the nearest pixel
        inner = np.array([np.roll(inner, (i, j), (0, 1)) for i in range(-3, 4) for j in range(-3, 4)]).all(axis=0)
    assert inner.sum() > 1000
    assert np.array_equal(here_tiles.data[:, inner], here_file.data[:, inner])


def test_it_is_of_three_bands_of_bytes(kinds):
    view = SlippyView(kinds["xyz"], None, UTM, kernel="cubic")
    assert (view.names, view.dtype) == (("red", "green", "blue"), "uint8")
    assert view.read(Window(0, 0, 2, 3)).data.shape == (3, 3, 2)


def test_a_grid_that_lies_nowhere_is_refused(kinds):
    with pytest.raises(SceneError, match="no operation leads"):
        SlippyView(kinds["xyz"], None, GeoGrid.anchored(CRS.from_wkt(LOCAL), 1.0), kernel="cubic")


# Absent tiles


def test_absent_tiles_are_holes_that_show_the_nearest_pixel(tmp_path):
    tiles = pyramid(square(ZOOM, X, Y, 3))
    del tiles[mercantile.Tile(X + 1, Y + 1, ZOOM)]
    view = SlippyView(write_folder(tmp_path, tiles), None, LEVEL.grid, kernel="nearest")
    patch = view.read(Window(X * SIDE, Y * SIDE, 3 * SIDE, 3 * SIDE))
    hole = np.zeros_like(patch.valid)
    hole[SIDE : 2 * SIDE, SIDE : 2 * SIDE] = True
    assert np.array_equal(patch.valid, ~hole)
    assert np.array_equal(patch.data[:, SIDE + 3, SIDE + 1], patch.data[:, SIDE + 3, SIDE - 1])
    assert np.array_equal(patch.data[:, SIDE, 2 * SIDE - 9], patch.data[:, SIDE - 1, 2 * SIDE - 9])
    far = view.read(Window(X * SIDE - 3 * FILL_RADIUS, Y * SIDE, 9, 9))
    assert not far.valid.any()
    assert not far.data.any()


def test_transparent_pixels_are_holes(tmp_path):
    alpha = np.full((1, SIDE, SIDE), 255, np.uint8)
    alpha[0, 5, 7] = 0
    data = np.concatenate([colors(Window(X * SIDE, Y * SIDE, SIDE, SIDE)), alpha])
    made = write_folder(tmp_path, {mercantile.Tile(X, Y, ZOOM): encoded(data)})
    view = SlippyView(made, None, LEVEL.grid, kernel="nearest")
    patch = view.read(Window(X * SIDE, Y * SIDE, SIDE, SIDE))
    assert np.argwhere(~patch.valid).tolist() == [[5, 7]]
    assert np.array_equal(patch.data[:, 5, 7], patch.data[:, 4, 7]), "of equally near ones the pixel in its column"


def test_it_covers_where_there_are_tiles_and_nowhere_else(kinds):
    for name, made in kinds.items():
        view = SlippyView(made, None, UTM, kernel="cubic")
        window = here(UTM, view)
        label = {"mbtiles": "a.mbtiles", "pmtiles": "a.pmtiles", "xyz": "xyz/{z}/{x}/{y}.png"}.get(name)
        assert view.covers(window)
        assert label is None or view.origins(window) == (label,)
        for cols, rows in ((3, 0), (-3, 0), (0, 3), (0, -3)):
            aside = window.shifted(cols * window.width, rows * window.height)
            assert not view.covers(aside)
            assert view.origins(aside) == ()
            assert not view.read(aside._replace(width=20, height=20)).valid.any()


def test_where_it_does_not_cover_nothing_is_valid(tmp_path):
    rng = np.random.default_rng(4)
    tiles = [tile for tile in square(ZOOM, X, Y, 8) if rng.random() < 0.2]
    view = SlippyView(write_folder(tmp_path, pyramid(tiles)), None, UTM, kernel="cubic")
    area = UTM.window(LEVEL.grid.bounds_in(UTM.crs, Window(X * SIDE, Y * SIDE, 8 * SIDE, 8 * SIDE)))
    seen = [0, 0]
    for row in range(area.row, area.bottom, 32):
        for col in range(area.col, area.right, 32):
            window = Window(col, row, 32, 32)
            covered = view.covers(window)
            seen[covered] += 1
            assert covered or not view.read(window).valid.any()
    assert min(seen) > 10


def test_its_extents_hold_all_that_is_valid_and_no_more_than_groups_of_tiles(tmp_path):
    tiles = [*square(ZOOM, X, Y, 2), *square(ZOOM, X + 200, Y + 100, 1)]
    view = SlippyView(write_folder(tmp_path, pyramid(tiles)), None, LEVEL.grid, kernel="nearest")
    windows = [LEVEL.grid.window(extent) for extent in view.extents()]
    assert windows == [
        Window(X * SIDE, Y * SIDE, 2 * SIDE, 2 * SIDE),
        Window((X + 200) * SIDE, (Y + 100) * SIDE, SIDE, SIDE),
    ]
    bounds = LEVEL.grid.bounds(Window((X + 150) * SIDE, Y * SIDE, 100 * SIDE, 200 * SIDE))
    part = SlippyView(write_folder(tmp_path, pyramid(tiles)), None, LEVEL.grid, kernel="nearest", bounds=bounds)
    assert [LEVEL.grid.window(extent) for extent in part.extents()] == windows[1:]


# Zoom


@pytest.fixture(scope="module")
def levels(tmp_path_factory) -> str:
    """The same ground at zooms 8 to 12, but for 10."""
    west, south, east, north = mercantile.bounds(mercantile.Tile(X, Y, ZOOM))
    tiles = [mercantile.tile((west + east) / 2, (south + north) / 2, zoom) for zoom in (8, 9, 11, 12)]
    return write_folder(tmp_path_factory.mktemp("levels"), pyramid(tiles))


@pytest.mark.parametrize("factor", [0.3, 0.75, 1.0, 1.35])
@pytest.mark.parametrize("zoom", [8, 9, 11, 12])
def test_the_zoom_is_that_with_pixels_nearest_in_size(levels, zoom, factor):
    _, bottom, _, top = LEVEL.grid.bounds(Window(X * SIDE, Y * SIDE, SIDE, SIDE))
    scale = math.cosh((bottom + top) / 2 / 6378137)  # of the projection: how much longer lengths are than on the ground
    resolution = Level(zoom, SIDE).grid.transform.a / scale * factor
    for crs in (32633, 3857):
        grid = GeoGrid.anchored(CRS.from_epsg(crs), resolution if crs != 3857 else resolution * scale)
        found = SlippyView(levels, None, grid, kernel="nearest").level.zoom
        sizes = {z: abs(math.log(Level(z, SIDE).grid.transform.a / scale / resolution)) for z in (8, 9, 11, 12)}
        assert found == min(sizes, key=sizes.__getitem__)


def test_a_zoom_that_is_not_there_is_told_with_those_that_are(levels):
    assert SlippyView(levels, 9, UTM, kernel="nearest").level.zoom == 9
    with pytest.raises(ConfigError, match="has no zoom 10; it has 8, 9, 11, 12"):
        SlippyView(levels, 10, UTM, kernel="nearest")


@pytest.mark.parametrize("side", [1, 16, 256, 512])
def test_the_side_of_tiles_is_that_of_the_first(tmp_path, side):
    tiles = pyramid(square(5, 17, 11, 2), side)
    made = write_folder(tmp_path, tiles, "{z}/{x}/{y}@2x.png")
    grid, window = own_pixels(made, 5)
    view = SlippyView(made, None, grid, kernel="nearest")
    assert view.level == Level(5, side)
    assert np.array_equal(view.read(window).data, colors(Window(17 * side, 11 * side, 2 * side, 2 * side)))


def test_tiles_that_disagree_in_size_are_told(tmp_path):
    tiles = pyramid([mercantile.Tile(17, 11, 5)], 32) | pyramid([mercantile.Tile(18, 11, 5)], 64)
    view = SlippyView(write_folder(tmp_path, tiles), None, Level(5, 32).grid, kernel="nearest")
    with pytest.raises(RasterError, match=r"tile 5/18/11: is 64 pixels wide, others are 32"):
        view.read(Window(18 * 32, 11 * 32, 5, 5))


def test_a_tile_that_is_no_picture_is_named(tmp_path):
    tiles = pyramid(square(5, 17, 11, 2)) | {mercantile.Tile(18, 12, 5): b"<html>Not here</html>"}
    view = SlippyView(write_folder(tmp_path, tiles), None, Level(5, SIDE).grid, kernel="nearest")
    with pytest.raises(RasterError, match=r"tile 5/18/12: a picture .* is needed, found the text '<html>Not here"):
        view.read(Window(17 * SIDE, 11 * SIDE, 2 * SIDE, 2 * SIDE))


# The ends of the world


@pytest.fixture(scope="module")
def antimeridian(tmp_path_factory) -> str:
    """Tiles of zoom 7 on both sides of it."""
    tiles = [mercantile.Tile(x % 2**7, y, 7) for x in range(2**7 - 3, 2**7 + 3) for y in range(70, 76)]
    return write_folder(tmp_path_factory.mktemp("antimeridian"), pyramid(tiles))


@pytest.mark.parametrize("turn", [0, 1, -3])
@pytest.mark.parametrize("kernel", ["nearest", "cubic"])
def test_columns_go_on_beyond_the_antimeridian(antimeridian, kernel, turn):
    level = Level(7, SIDE)
    view = SlippyView(antimeridian, 7, level.grid, kernel=kernel)
    window = Window(level.across - 40 + turn * level.across, 71 * SIDE, 80, 90)
    patch = view.read(window)
    assert view.covers(window)
    assert patch.valid.all()
    west, east = colors(Window(level.across - 40, window.row, 40, 90)), colors(Window(0, window.row, 40, 90))
    assert np.array_equal(patch.data, np.concatenate([west, east], axis=2))


def test_the_antimeridian_is_no_seam(antimeridian):
    """In UTM, whose zones 60 and 1 meet there."""
    utm, level = GeoGrid.anchored(CRS.from_epsg(32701), 9000.0), Level(7, SIDE)
    window = Window(-2, utm.window((0, 7.0e6, 1, 7.3e6)).row, 60, 30)
    patch = SlippyView(antimeridian, 7, utm, kernel="nearest").read(window)
    places = utm.places(window.col + np.arange(60) + 0.5, (window.row + np.arange(30) + 0.5)[:, None])
    xs, ys = points_in(MERCATOR, utm.crs, *(np.broadcast_to(place, (30, 60)).ravel() for place in places))
    cols, rows = (np.floor(place).astype(int).reshape(30, 60) for place in ~level.grid.transform * (xs, ys))
    cols = cols % level.across
    expected = np.stack([cols % 255 + 1, rows % 255 + 1, (cols * 3 + rows * 5) // 7 % 255 + 1])
    assert patch.valid.mean() > 0.5
    assert np.array_equal(patch.data[:, patch.valid], expected[:, patch.valid])
    assert {bool(side) for side in cols[patch.valid] < level.across // 2} == {True, False}, "both sides are seen"


def test_the_world_ends_in_the_north_and_in_the_south(tmp_path):
    level = Level(2, SIDE)
    view = SlippyView(write_folder(tmp_path, pyramid(square(2, 0, 0, 4))), 2, level.grid, kernel="nearest")
    patch = view.read(Window(0, -10, level.across, level.across + 20))
    assert patch.valid[10:-10].all()
    assert not patch.valid[:10].any()
    assert not patch.valid[-10:].any()
    assert np.array_equal(patch.data[:, 10:-10], colors(Window(0, 0, level.across, level.across)))


@pytest.mark.parametrize("code", [5041, 5042])
def test_the_poles_are_no_places_on_web_maps(tmp_path, code):
    made = write_folder(tmp_path, pyramid(square(2, 0, 0, 4)))
    grid = GeoGrid.anchored(CRS.from_epsg(code), 100_000.0, (2e6, 2e6))  # the pole is its origin
    view = SlippyView(made, 2, grid, kernel="bilinear")
    window = Window(-30, -30, 60, 60)
    patch = view.read(window)
    distance = np.hypot(*(np.indices((60, 60)) - 29.5))
    ends = np.radians(90 - 85.0511) * 6371 / 100  # pixels from the pole
    assert not patch.valid[distance < ends - 1].any()
    assert patch.valid[distance > ends + 1].all()
    assert view.covers(window)
    assert not view.read(Window(-2, -2, 4, 4)).valid.any()


# Bounded memory


def test_a_view_in_pieces_is_the_view_in_one(kinds, monkeypatch):
    window = here(UTM, SlippyView(kinds["xyz"], None, UTM, kernel="cubic"))
    whole = SlippyView(kinds["xyz"], None, UTM, kernel="cubic").read(window)
    monkeypatch.setattr("geopix2pix.webtiles.slippy.SHOWN_AT_ONCE", 500)
    monkeypatch.setattr("geopix2pix.webtiles.slippy.READ_AT_ONCE", 900)
    pieces = SlippyView(kinds["xyz"], None, UTM, kernel="cubic").read(window)
    assert np.array_equal(pieces.data, whole.data)
    assert np.array_equal(pieces.valid, whole.valid)


def test_a_level_that_is_far_too_fine_is_refused(kinds):
    coarse = GeoGrid.anchored(CRS.from_epsg(32633), 1e7)
    view = SlippyView(kinds["xyz"], ZOOM, coarse, kernel="average")
    with pytest.raises(SceneError, match="choose a coarser zoom or a finer resolution"):
        view.read(Window(0, -1, 1, 1))


class Counted:
    """A pyramid that counts what is read of it."""

    def __init__(self, inner):
        self.inner, self.reads = inner, []

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def read(self, tile):
        self.reads.append(tile)
        return self.inner.read(tile)


def test_a_tile_is_decoded_once_while_there_is_room(kinds):
    pixels = TilePixels(counted := Counted(open_pyramid(kinds["xyz"], None)), LEVEL)
    for col in range(EXTENT.col, EXTENT.right - 10, 7):
        pixels.read(Window(col, EXTENT.row + 3, 10, EXTENT.height - 6))
    assert len(counted.reads) == len(set(counted.reads)) == COUNT**2
    little = TilePixels(counted := Counted(open_pyramid(kinds["xyz"], None)), LEVEL, memory=3 * 4 * SIDE**2)
    for _ in range(2):
        assert np.array_equal(little.read(EXTENT).data, colors(EXTENT))
    assert len(counted.reads) == 2 * COUNT**2
    assert len(little._pictures) == 3


# What is told of it


def test_attributions_are_those_given_else_those_of_the_archive(tmp_path):
    tiles = pyramid(square(5, 17, 11, 2))
    for made in (
        write_mbtiles(tmp_path / "a.mbtiles", tiles, attribution="&copy; A"),
        write_pmtiles(tmp_path / "a.pmtiles", tiles, attribution="&copy; A"),
    ):
        assert SlippyView(made, None, UTM, kernel="nearest").attribution == "© A"
        assert SlippyView(made, None, UTM, kernel="nearest", attribution="B").attribution == "B"
    assert SlippyView(write_folder(tmp_path, tiles), None, UTM, kernel="nearest").attribution == ""


def test_the_identity_tells_tiles_level_grid_and_kernel_and_no_folder(kinds, tmp_path):
    made = kinds["mbtiles"]
    one = SlippyView(made, None, UTM, kernel="cubic").identity()
    assert json.loads(json.dumps(one)) == one
    assert SlippyView(made, None, UTM, kernel="cubic").identity() == one
    assert str(made.parent) not in json.dumps(one)
    others = [
        SlippyView(made, None, UTM, kernel="nearest"),
        SlippyView(made, None, UTM.shifted(1, 0), kernel="cubic"),
        SlippyView(kinds["pmtiles"], None, UTM, kernel="cubic"),
    ]
    assert all(view.identity() != one for view in others)


# Servers, from the cache alone


@pytest.mark.parametrize("zoom", [3, None])
def test_a_server_is_not_asked_for_the_poles(tmp_path, zoom):
    polar = GeoGrid.anchored(CRS.from_epsg(5041), 5000.0, (2e6, 2e6))
    view = {"kernel": "nearest", "cache": tmp_path, "bounds": (1.9e6, 1.9e6, 2.1e6, 2.1e6)}
    with pytest.raises(ConfigError, match="web maps do not reach|do not meet there"):
        SlippyView("https://example.org/{z}/{x}/{y}", zoom, polar, **view)


def test_a_server_needs_bounds_and_its_tiles_in_the_cache(tmp_path):
    url = "https://example.org/{z}/{x}/{y}.png?key=abc"
    bounds = LEVEL.grid.bounds(EXTENT)
    for zoom in (ZOOM, None):
        with pytest.raises(ConfigError, match="a server covers the world"):
            SlippyView(url, zoom, LEVEL.grid, kernel="nearest", cache=tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # who does not download is told nothing of terms
        with pytest.raises(DownloadError, match=r"is not in the cache") as caught:
            SlippyView(url, ZOOM, LEVEL.grid, kernel="nearest", bounds=bounds, cache=tmp_path)
    assert "abc" not in str(caught.value)
    with pytest.raises(ConfigError, match="name a zoom, and a region"):
        own_pixels(url, None, bounds=bounds, cache=tmp_path)
    with pytest.raises(ConfigError, match="name a zoom, and a region"):
        own_pixels(url, 3, cache=tmp_path)


# Real tiles


BANEPA = DATA / "train" / "banepa-buildings" / "tiles"


@pytest.mark.data
@pytest.mark.skipif(not DATA.is_dir(), reason="the real data are not beside this checkout")
def test_real_tiles_lie_where_their_own_georeferences_say():
    """Those are linear in degrees within a tile, which is off by 4 in 10,000 of a pixel there."""
    grid = GeoGrid.anchored(CRS.from_epsg(32645), 0.15)
    tiles = SlippyView(f"{BANEPA}/OAM-{{x}}-{{y}}-{{z}}.tif", None, grid, kernel="nearest")
    assert tiles.level == Level(19, 512)
    files = AlignedView(sorted(BANEPA.glob("*.tif")), grid, kernel="nearest")
    left, bottom, right, top = tiles.extents()[0]
    col, row = (round(place) for place in ~grid.transform * ((left + right) / 2, (bottom + top) / 2))
    window = Window(col - 300, row - 300, 600, 600)
    ours, theirs = tiles.read(window), files.read(window)
    assert ours.valid.mean() > 0.9
    assert np.mean(ours.valid == theirs.valid) > 0.99
    both = ours.valid & theirs.valid
    assert np.mean((ours.data == theirs.data).all(axis=0)[both]) > 0.99
