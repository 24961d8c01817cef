"""Laws of warping: identity, exact places, independence of windows and pieces; GDAL's own warper as an oracle."""

import math
import warnings

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.transform import from_origin
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform

from geopix2pix.errors import SceneError
from geopix2pix.geogrid import GeoGrid
from geopix2pix.grid import Window
from geopix2pix.manifest import DType
from geopix2pix.raster import Patch
from geopix2pix.warp import Kernel, needed, stretches, warped
from tests.rasters import ROTATED, coordinates, write_raster

KERNELS = ("nearest", "bilinear", "cubic", "average")
MIXING = KERNELS[1:]
DTYPES = DType.__args__
SIZE = 90, 80  # columns and rows of the scenes

UTM, OTHER_ZONE, DEGREES, MERCATOR, FEET = (CRS.from_epsg(code) for code in (32632, 32633, 4326, 3857, 2263))
LOCAL = CRS.from_wkt('LOCAL_CS["site",UNIT["metre",1],AXIS["x",EAST],AXIS["y",NORTH]]')
FINE = from_origin(600_000, 5_000_000, 0.3, 0.3)

# The grid of a scene, and another grid.
CASES = {
    "half a pixel aside": (GeoGrid(crs=UTM, transform=FINE), GeoGrid(crs=UTM, transform=FINE).shifted(0.5, 0.5)),
    "a third of a pixel aside": (GeoGrid(crs=UTM, transform=FINE), GeoGrid.anchored(UTM, 0.3, (0.1, 0.1))),
    "twice as coarse": (GeoGrid(crs=UTM, transform=FINE), GeoGrid.anchored(UTM, 0.6)),
    "much finer": (GeoGrid(crs=UTM, transform=FINE), GeoGrid.anchored(UTM, 0.07)),
    "another zone": (GeoGrid(crs=UTM, transform=FINE), GeoGrid.anchored(OTHER_ZONE, 0.3)),
    "another zone, coarser": (GeoGrid(crs=UTM, transform=FINE), GeoGrid.anchored(OTHER_ZONE, 0.77)),
    "rotated": (GeoGrid(crs=UTM, transform=ROTATED), GeoGrid.anchored(UTM, 0.5)),
    "south up": (GeoGrid(crs=UTM, transform=Affine(0.3, 0, 6e5, 0, 0.3, 5e6)), GeoGrid.anchored(UTM, 0.3)),
    "east to the left": (GeoGrid(crs=UTM, transform=Affine(-0.3, 0, 6e5, 0, -0.3, 5e6)), GeoGrid.anchored(UTM, 0.5)),
    "degrees to metres": (
        GeoGrid(crs=DEGREES, transform=from_origin(-115.17, 36.24, 2.7e-6, 2.7e-6)),
        GeoGrid.anchored(CRS.from_epsg(32611), 0.3),
    ),
    "metres to degrees": (GeoGrid(crs=UTM, transform=FINE), GeoGrid.anchored(DEGREES, 3e-6)),
    "web map to metres": (
        GeoGrid(crs=MERCATOR, transform=from_origin(1_200_000, 6_000_000, 0.4, 0.4)),
        GeoGrid.anchored(UTM, 0.3),
    ),
    "feet to metres": (
        GeoGrid(crs=FEET, transform=from_origin(980_000, 200_000, 1, 1)),
        GeoGrid.anchored(CRS.from_epsg(32618), 0.3),
    ),
    "no place on the earth": (GeoGrid(crs=LOCAL, transform=FINE), GeoGrid.anchored(LOCAL, 0.4)),
    "across the antimeridian": (
        GeoGrid.anchored(CRS.from_epsg(32660), 1).shifted(829_950, -1_000_000),
        GeoGrid.anchored(DEGREES, 9e-6),
    ),
    "across the antimeridian in degrees": (
        GeoGrid(crs=DEGREES, transform=from_origin(180 - 4e-4, 40, 1e-5, 1e-5)),
        GeoGrid.anchored(CRS.from_epsg(32601), 1),
    ),
}
over_cases = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def picture(dtype: str = "uint8", bands: int = 3, seed: int = 0, holes: bool = False) -> Patch:
    """Random pixels, so that no place looks like another."""
    random = np.random.default_rng(seed)
    data = random.integers(0, 256 if np.dtype(dtype).itemsize == 1 else 4000, (bands, SIZE[1], SIZE[0]))
    valid = random.random(data.shape[1:]) > 0.3 if holes else np.ones(data.shape[1:], bool)
    return Patch(data.astype(dtype), valid)


def whole(source: GeoGrid, grid: GeoGrid, around: int = 0) -> Window:
    """The window of a grid that a scene lies in."""
    return grid.window(source.bounds_in(grid.crs, Window(0, 0, *SIZE))).padded(around)


def shown(patch: Patch, source: GeoGrid, grid: GeoGrid, window: Window, kernel: Kernel) -> Patch:
    return warped(patch, source.crs, source.transform, grid, window, kernel)


def equal(first: Patch, second: Patch) -> bool:
    return np.array_equal(first.data, second.data) and np.array_equal(first.valid, second.valid)


def cut(patch: Patch, window: Window) -> Patch:
    rows, cols = window.slices
    return Patch(patch.data[:, rows, cols], patch.valid[rows, cols])


# What stays the same


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("resolution", [0.3, 0.1, 1 / 3, 1e-5])
def test_a_grid_of_its_own_shows_a_scene_bit_for_bit(kernel, dtype, resolution):
    limits = np.iinfo(dtype) if np.dtype(dtype).kind in "iu" else np.finfo(dtype)
    patch = picture(dtype, holes=True)
    patch.data[0, 5, 5:7] = limits.min, limits.max
    source = GeoGrid.anchored(UTM, resolution).shifted(123_456, -654_321)
    window = Window(0, 0, *SIZE)
    assert needed(source, window, source.crs, source.transform, kernel) == window
    assert equal(shown(patch, source, source, window, kernel), patch)
    elsewhere = GeoGrid.anchored(UTM, resolution)  # the same pixels under other numbers
    assert equal(shown(patch, source, elsewhere, window.shifted(123_456, -654_321), kernel), patch)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("affine", [Affine(0.3, 0, 6e5, 0, 0.3, 4.8e6), Affine(-0.3, 0, 6e5, 0, -0.3, 4.8e6)])
def test_a_mirrored_scene_is_mirrored_back_bit_for_bit(kernel, affine):
    patch = picture(holes=True)
    source = GeoGrid(crs=UTM, transform=affine)
    grid = GeoGrid.anchored(UTM, 0.3)
    found = shown(patch, source, grid, whole(source, grid), kernel)
    flip = (slice(None, None, -1), slice(None)) if affine.e > 0 else (slice(None), slice(None, None, -1))
    assert equal(found, Patch(patch.data[:, flip[0], flip[1]], patch.valid[flip]))


@pytest.mark.parametrize("kernel", KERNELS)
@given(cols=st.integers(-200, 200), rows=st.integers(-200, 200))
def test_whole_pixels_there_and_back_are_nothing(kernel, cols, rows):
    patch, window = picture(), Window(0, 0, *SIZE)
    here = GeoGrid.anchored(UTM, 0.1).shifted(6_000_000, -50_000_000)
    there = here.shifted(cols, rows)
    moved = shown(patch, here, there, window.shifted(-cols, -rows), kernel)
    assert equal(moved, patch)
    back = warped(moved, there.crs, there.transform, here, window, kernel, at=(-cols, -rows))
    assert equal(back, patch)


@over_cases
@pytest.mark.parametrize("kernel", KERNELS)
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_pixel_is_the_same_in_every_window_and_from_every_piece(case, kernel, data):
    source, grid = case
    patch, extent, around = picture(holes=True), Window(0, 0, *SIZE), whole(*case, around=3)
    expected = shown(patch, source, grid, around, kernel)
    col, row = data.draw(st.integers(0, around.width - 1)), data.draw(st.integers(0, around.height - 1))
    width = data.draw(st.integers(1, around.width - col))
    height = data.draw(st.integers(1, around.height - row))
    window = Window(around.col + col, around.row + row, width, height)
    found = shown(patch, source, grid, window, kernel)
    assert equal(found, cut(expected, window.shifted(-around.col, -around.row)))
    piece = needed(grid, window, source.crs, source.transform, kernel, extent=extent)
    margin = data.draw(st.integers(0, 5))
    piece = piece.padded(margin).intersection(extent)
    if not piece.is_empty:
        place = source.crs, source.transform
        again = warped(cut(patch, piece), *place, grid, window, kernel, at=(piece.col, piece.row))
        assert np.array_equal(again.valid, found.valid)
        assert np.array_equal(again.data[:, found.valid], found.data[:, found.valid])
    else:
        assert not found.valid.any()


@over_cases
@pytest.mark.parametrize("kernel", KERNELS)
def test_what_is_needed_is_enough_and_not_much_more(case, kernel):
    source, grid = case
    window = whole(*case).padded(-6)
    place = source.crs, source.transform
    extent = Window(0, 0, *SIZE)
    piece = needed(grid, window, *place, kernel, extent=extent)
    patch = picture()
    filled = Patch(np.pad(patch.data, ((0, 0), (40, 40), (40, 40)), mode="symmetric"), np.pad(patch.valid, 40))
    expected = warped(filled, *place, grid, window, kernel, at=(-40, -40))
    found = warped(cut(filled, piece.shifted(40, 40)), *place, grid, window, kernel, at=(piece.col, piece.row))
    assert equal(found, expected)
    wide, high = (float(stretch.max()) for stretch in stretches(grid, window, *place))
    exact = needed(grid, window, *place, "nearest", extent=extent)
    margin = {"nearest": 0, "bilinear": 1, "cubic": 2, "average": 1}[kernel]
    assert piece.width - exact.width in range(2 * math.ceil(margin * wide) + 1)
    assert piece.height - exact.height in range(2 * math.ceil(margin * high) + 1)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", ["another zone", "degrees to metres"])
def test_a_scene_of_one_value_stays_so(kernel, dtype, case):
    source, grid = CASES[case]
    integer = np.dtype(dtype).kind in "iu"
    for value in (np.iinfo(dtype).max, np.iinfo(dtype).min or 1, 100) if integer else (1e38, -1e-38, 100):
        patch = Patch(np.full((1, SIZE[1], SIZE[0]), value, dtype), np.ones((SIZE[1], SIZE[0]), bool))
        found = shown(patch, source, grid, whole(source, grid), kernel)
        assert found.data.dtype == dtype
        seen = found.data[:, found.valid]
        exact = kernel == "nearest" or (integer and np.dtype(dtype).itemsize < 8)
        tolerance = 0.0 if exact else 1e-6 if dtype == "float32" else 1e-14
        assert np.all(np.abs(seen / np.float64(patch.data[0, 0, 0]) - 1) <= tolerance)


# Where things are


@over_cases
def test_each_pixel_shows_the_one_under_its_middle(case):
    """The oracle goes from the scene's pixels by rasterio's transform, one by one."""
    source, grid = case
    patch, window = picture("uint16", holes=True), whole(*case, around=2)
    found = shown(patch, source, grid, window, "nearest")
    random = np.random.default_rng(1)
    rows, cols = random.integers(0, window.height, 200), random.integers(0, window.width, 200)
    xs, ys = grid.places(window.col + cols + 0.5, window.row + rows + 0.5)
    if source.crs != grid.crs:
        xs, ys = transform(grid.crs, source.crs, xs, ys)
    for row, col, x, y in zip(rows, cols, xs, ys, strict=True):
        x += 360 * (source.crs == DEGREES and x < source.transform.c - 180)
        at_col, at_row = ~source.transform * (x, y)
        if min(abs(at_col - round(at_col)), abs(at_row - round(at_row))) < 1e-4:
            continue  # on the border of two pixels rounding decides
        at_col, at_row = math.floor(at_col), math.floor(at_row)
        inside = 0 <= at_col < SIZE[0] and 0 <= at_row < SIZE[1]
        assert found.valid[row, col] == (inside and patch.valid[at_row, at_col])
        if inside:
            assert np.array_equal(found.data[:, row, col], patch.data[:, at_row, at_col])


@over_cases
@pytest.mark.parametrize("kernel", ["bilinear", "cubic", "average"])
def test_a_ramp_shows_the_exact_place_of_each_pixel(case, kernel):
    """Away from the border these kernels give a linear function of the place back; the nearest pixel misses by 0.5.

    Means over a fraction of pixels do so but roughly.
    """
    source, grid = case
    rows, cols = np.mgrid[: SIZE[1], : SIZE[0]] + 0.5
    patch = Patch(np.stack([cols, rows]), np.ones(cols.shape, bool))
    window = whole(*case)
    found = shown(patch, source, grid, window, kernel)
    at_rows, at_cols = np.mgrid[: window.height, : window.width] + 0.5
    xs, ys = (v.ravel() for v in grid.places(window.col + at_cols, window.row + at_rows))
    if source.crs != grid.crs:
        xs, ys = np.array(transform(grid.crs, source.crs, xs, ys))
    if source.crs == DEGREES:
        xs = np.where(xs < source.transform.c - 180, xs + 360, xs)
    expected = np.array(GeoGrid(crs=UTM, transform=~source.transform).places(xs, ys)).reshape(2, *at_rows.shape)
    inside = (expected > 8).all(axis=0) & (expected[0] < SIZE[0] - 8) & (expected[1] < SIZE[1] - 8)
    assert inside.sum() > 100
    wide, high = stretches(grid, window, source.crs, source.transform)
    assert np.abs(found.data - expected)[:, inside].max() < (1e-4 if max(wide.max(), high.max()) == 1 else 0.1)


def test_between_two_pixels_the_right_and_the_lower_one_show():
    source, grid = CASES["half a pixel aside"]
    patch = picture()
    found = shown(patch, source, grid, Window(-1, -1, *SIZE), "nearest")
    assert equal(found, patch)


@pytest.mark.parametrize("kernel", KERNELS)
def test_validity_is_that_of_the_nearest_pixel_whatever_the_kernel(kernel):
    for source, grid in CASES.values():
        window, patch = whole(source, grid, around=2), picture(holes=True)
        mask = Patch(patch.valid[None].astype("uint8"), np.ones_like(patch.valid))
        seen = shown(mask, source, grid, window, "nearest")
        found = shown(patch, source, grid, window, kernel)
        assert np.array_equal(found.valid, (seen.data[0] == 1) & seen.valid)


# GDAL's warper as an oracle


@pytest.mark.parametrize(
    "case", ["another zone", "rotated", "south up", "degrees to metres", "metres to degrees", "feet to metres"]
)
@pytest.mark.parametrize("kernel", ["nearest", "bilinear", "cubic"])
def test_pixels_are_those_of_gdal(tmp_path, case, kernel):
    source, grid = CASES[case]
    grid = GeoGrid(crs=grid.crs, transform=grid.transform * Affine.scale(0.7))  # finer: means are computed otherwise
    patch, window = picture(), whole(source, grid)
    path = write_raster(tmp_path / "scene.tif", patch.data, crs=source.crs, transform=source.transform)
    options = {
        "crs": grid.crs,
        "transform": grid.transform_of(window),
        "width": window.width,
        "height": window.height,
        "resampling": Resampling[kernel],
        "tolerance": 1e-9,  # 0 is refused
        "add_alpha": True,
        "XSCALE": 1,  # else it takes the bounding box of what is rotated for its size, and blurs it
        "YSCALE": 1,
    }
    with rasterio.open(path) as dataset, WarpedVRT(dataset, **options) as vrt:
        expected = vrt.read()
    found = shown(patch, source, grid, window, kernel)
    both = found.valid & (expected[-1] == 255)
    assert both.sum() >= 0.99 * found.valid.sum()
    if kernel == "nearest":
        assert np.mean(found.valid == (expected[-1] == 255)) > 0.999
        assert np.mean(found.data[:, both] == expected[:3, both]) > 0.999
        return
    rows, cols = np.mgrid[: SIZE[1], : SIZE[0]]
    inner = (np.minimum(rows, cols) >= 3) & (rows < SIZE[1] - 3) & (cols < SIZE[0] - 3)
    both &= shown(Patch(patch.data, inner), source, grid, window, "nearest").valid  # borders are treated otherwise
    difference = np.abs(found.data[:, both].astype(int) - expected[:3, both])
    assert difference.max() <= 2
    assert np.mean(difference > 0) < 0.05


# Grids that are coarser than the scene


@pytest.mark.parametrize("factor", [2, 3, 5])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_the_average_over_whole_pixels_is_their_mean(factor, dtype):
    patch = picture(dtype)
    source = GeoGrid(crs=UTM, transform=FINE)
    grid = GeoGrid(crs=UTM, transform=FINE * Affine.scale(factor))
    rows, cols = SIZE[1] // factor, SIZE[0] // factor
    found = shown(patch, source, grid, Window(0, 0, cols, rows), "average")
    blocks = patch.data[:, : rows * factor, : cols * factor].reshape(3, rows, factor, cols, factor)
    expected = blocks.mean(axis=(2, 4), dtype=np.float64)
    assert np.abs(found.data - expected).max() <= (0.5 if dtype == "uint8" else 1e-3)


@pytest.mark.parametrize("kernel", MIXING)
@pytest.mark.parametrize("case", ["another zone, coarser", "twice as coarse"])
def test_what_is_finer_than_the_grid_becomes_its_mean_and_no_other_pattern(kernel, case):
    source, grid = CASES[case]
    rows, cols = np.mgrid[: SIZE[1], : SIZE[0]]
    checkers = ((rows + cols) % 2 * 200).astype("uint8")[None]
    patch = Patch(checkers, np.ones(checkers.shape[1:], bool))
    found = shown(patch, source, grid, whole(source, grid).padded(-4), kernel)
    assert np.abs(found.data.astype(int) - 100).max() <= 12
    classes = shown(patch, source, grid, whole(source, grid), "nearest").data
    assert set(np.unique(classes).tolist()) <= {0, 200}  # they are never mixed


@pytest.mark.parametrize(("resolution", "stretch"), [(0.29, 1), (0.31, 1), (0.36, 1.2)])
def test_pixels_of_nearly_the_same_size_are_not_blurred(resolution, stretch):
    grid = GeoGrid.anchored(UTM, resolution)
    for found in stretches(grid, Window(2_000_000, -16_000_000, 5, 4), UTM, FINE):
        assert found == pytest.approx(np.full((4, 5), stretch), abs=1e-4)


# Pieces without validity, without a place


@pytest.mark.parametrize("kernel", KERNELS)
def test_where_there_is_no_place_nothing_is_valid(kernel):
    half_earth = CRS.from_proj4("+proj=ortho +lat_0=0 +lon_0=0 +datum=WGS84")
    source, grid = GeoGrid(crs=half_earth, transform=from_origin(-4.5e6, 4e6, 1e5, 1e5)), GeoGrid.anchored(DEGREES, 1)
    patch = picture()
    window = Window(80, -100, 30, 120)  # across the end of the half, and beyond the pole
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = shown(patch, source, grid, window, kernel)
        piece = needed(grid, window, half_earth, source.transform, kernel)
        nowhere = Window(100, -5, 70, 10)
        nothing = shown(patch, source, grid, nowhere, kernel)
    assert not found.valid[:10].any() and not found.data[:, :10].any()
    assert not found.valid[:, 12:].any()
    assert not piece.is_empty
    assert needed(grid, nowhere, half_earth, source.transform, kernel).is_empty
    assert not nothing.valid.any() and not nothing.data.any()


def test_a_piece_of_nothing_shows_nothing():
    source, grid = CASES["another zone"]
    empty = Patch(np.zeros((2, 0, 0), "int16"), np.zeros((0, 0), bool))
    found = shown(empty, source, grid, Window(0, 0, 5, 4), "cubic")
    assert found.data.shape == (2, 4, 5) and found.data.dtype == "int16" and not found.valid.any()


@pytest.mark.parametrize(("source", "target"), [(LOCAL, UTM), (DEGREES, LOCAL)])
def test_what_is_not_on_the_earth_is_refused_elsewhere(source, target):
    grid = GeoGrid.anchored(target, 1)
    with pytest.raises(SceneError, match="no operation leads from one to the other; correct the CRS"):
        needed(grid, Window(0, 0, 5, 5), source, FINE, "nearest")


def test_the_pieces_of_a_scene_round_the_earth_are_found_on_both_sides():
    """A picture of all longitudes, shown where they begin and end."""
    source = GeoGrid(crs=DEGREES, transform=from_origin(-180, 20, 4, 0.5))
    patch = Patch(coordinates(1, SIZE[1], SIZE[0], "uint8"), np.ones((SIZE[1], SIZE[0]), bool))
    grid = GeoGrid.anchored(CRS.from_epsg(3832), 1e5)  # mercator around 150 degrees east
    found = shown(patch, source, grid, Window(20, -15, 40, 30), "nearest")
    assert found.valid.all()
    assert {int(value) for value in patch.data[0, :, [0, -1]].ravel()} & set(found.data.ravel().tolist())
