"""Laws of the grid: windows and bounds are one, separate builds share pixels, and a scene lies within its bounds."""

import json
import math

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.transform import from_origin
from rasterio.warp import transform, transform_bounds

from geopix2pix.errors import ConfigError, SceneError
from geopix2pix.geogrid import GeoGrid
from geopix2pix.grid import Window
from geopix2pix.ground import points_in
from geopix2pix.raster import RasterReader
from tests.rasters import ROTATED, coordinates, write_raster

UTM, DEGREES, MERCATOR = (CRS.from_epsg(code) for code in (32632, 4326, 3857))
WEB_PIXEL = 2 * math.pi * 6378137 / 256  # metres of a pixel of a web map at zoom 0
METRES = (0.3, 0.1, 1 / 3, 0.5, 10.0, 0.05, *(WEB_PIXEL / 2**zoom for zoom in (1, 14, 18, 22)))
ORIGINS = ((0.0, 0.0), (300_000.0, 5_000_000.0), (-math.pi * 6378137, math.pi * 6378137))  # the last of web maps

resolutions = st.sampled_from((*METRES, 1e-5, 2.7e-6))
positions = st.integers(-(10**8), 10**8)
sizes = st.integers(1, 20_000)
windows = st.builds(Window, positions, positions, sizes, sizes)


def scene(folder, transform=ROTATED, crs="EPSG:32632", size=(40, 30), **more):
    profile = {"transform": transform} if transform else {}
    return write_raster(folder / "scene.tif", coordinates(1, size[1], size[0], "uint8"), crs=crs, **profile, **more)


@given(resolution=st.sampled_from(METRES), window=windows, origin=st.sampled_from(ORIGINS))
def test_the_window_of_its_bounds_is_the_window(resolution, window, origin):
    grid = GeoGrid.anchored(UTM, resolution, origin)
    assert grid.window(grid.bounds(window)) == window


@given(resolution=st.sampled_from((1e-5, 2.7e-6, 1 / 3600)), window=windows, corner=st.booleans())
def test_so_it_is_in_degrees(resolution, window, corner):
    grid = GeoGrid.anchored(DEGREES, resolution, (-180.0, 90.0) if corner else (0.0, 0.0))
    assert grid.window(grid.bounds(window)) == window


@given(
    resolution=resolutions,
    col=st.floats(-1e6, 1e6),
    row=st.floats(-1e6, 1e6),
    width=st.floats(0.01, 1e4),
    height=st.floats(0.01, 1e4),
)
def test_a_window_of_bounds_is_the_smallest_that_covers_them(resolution, col, row, width, height):
    grid = GeoGrid.anchored(UTM, resolution)
    (left, top), (right, bottom) = grid.transform * (col, row), grid.transform * (col + width, row + height)
    window = grid.window((left, bottom, right, top))
    tolerance = 2e-6
    assert window.col <= col + tolerance < window.col + 1 + 2 * tolerance
    assert window.row <= row + tolerance < window.row + 1 + 2 * tolerance
    assert window.right - 1 - 2 * tolerance < col + width - tolerance <= window.right
    assert window.bottom - 1 - 2 * tolerance < row + height - tolerance <= window.bottom


@given(resolution=resolutions, window=windows, cols=sizes, rows=sizes)
def test_neighbours_share_their_border_to_the_last_bit(resolution, window, cols, rows):
    grid = GeoGrid.anchored(UTM, resolution)
    left, bottom, right, top = grid.bounds(window)
    assert grid.bounds(Window(window.right, window.row, cols, rows))[0] == right
    assert grid.bounds(Window(window.col, window.bottom, cols, rows))[3] == bottom
    assert grid.bounds(Window(window.col - cols, window.row - rows, cols, rows))[1:3] == (top, left)


@given(resolution=resolutions, col=positions, row=positions)
def test_corners_of_pixels_are_whole_multiples_of_the_resolution(resolution, col, row):
    left, bottom, right, top = GeoGrid.anchored(UTM, resolution).bounds(Window(col, row, 1, 1))
    assert (left, right, top, bottom) == (
        col * resolution,
        (col + 1) * resolution,
        -row * resolution,
        -(row + 1) * resolution,
    )


@given(resolution=resolutions, window=windows)
def test_the_transform_of_a_window_begins_at_its_corner(resolution, window):
    grid = GeoGrid.anchored(UTM, resolution)
    found = grid.transform_of(window)
    left, _, _, top = grid.bounds(window)
    assert (found.c, found.f) == (left, top)
    assert (found.a, found.b, found.d, found.e) == (resolution, 0, 0, -resolution)


@pytest.mark.parametrize("affine", [ROTATED, Affine(0.5, 0, 1, 0, 0.25, 2), Affine(-1, 0, 5, 0, 1, 7)])
@given(window=st.builds(Window, st.integers(-99, 99), st.integers(-99, 99), st.integers(1, 99), st.integers(1, 99)))
def test_any_grid_covers_a_window_by_that_of_its_bounds(affine, window):
    grid = GeoGrid(crs=UTM, transform=affine)
    around = grid.window(grid.bounds(window))
    assert around.intersection(window) == window
    assert affine is ROTATED or around == window


@given(cols=st.integers(-999, 999), rows=st.integers(-999, 999), window=windows)
def test_a_shifted_grid_shows_what_lies_there(cols, rows, window):
    grid = GeoGrid.anchored(UTM, 0.25)
    assert grid.shifted(cols, rows).bounds(window) == grid.bounds(window.shifted(cols, rows))
    assert grid.shifted(cols, rows).shifted(-cols, -rows) == grid


def test_places_are_those_of_the_transform():
    grid = GeoGrid(crs=UTM, transform=ROTATED)
    xs, ys = grid.places(np.arange(3.0), np.arange(2.0)[:, None])
    for row, col in np.ndindex(2, 3):
        assert (xs[row, col], ys[row, col]) == pytest.approx(ROTATED * (col, row), rel=1e-15)


# Refusals


@pytest.mark.parametrize("resolution", [0, -1, math.nan, math.inf])
def test_a_resolution_is_above_0(resolution):
    with pytest.raises(ConfigError, match="resolution above 0"):
        GeoGrid.anchored(UTM, resolution)


@pytest.mark.parametrize(
    "affine", [Affine(1, 1, 0, 1, 1, 0), Affine(1, 0, math.nan, 0, 1, 0), Affine.scale(1e200, 1e200)]
)
def test_pixels_have_a_size(affine):
    with pytest.raises(ConfigError, match="pixels of a finite size"):
        GeoGrid(crs=UTM, transform=affine)


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_bounds_are_finite(number):
    with pytest.raises(ConfigError, match="finite"):
        GeoGrid.anchored(UTM, 1).window((0, 0, number, 1))


# JSON


@pytest.mark.parametrize("affine", [ROTATED, from_origin(0, 0, 1 / 3, 0.1)])
@pytest.mark.parametrize("crs", ["EPSG:32632", "EPSG:4326", "+proj=laea +lat_0=10 +datum=WGS84", "EPSG:2263"])
def test_a_grid_survives_json(affine, crs):
    grid = GeoGrid(crs=CRS.from_user_input(crs), transform=affine)
    assert GeoGrid.from_json(json.loads(json.dumps(grid.to_json()))) == grid


GOOD = GeoGrid.anchored(UTM, 0.3).to_json()


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ([], "set.grid"),
        ({**GOOD, "crs": None}, "set.grid.crs"),
        ({**GOOD, "crs": 5}, "set.grid.crs"),
        ({**GOOD, "crs": "PROJCS[nonsense"}, "set.grid.crs"),
        ({"crs": GOOD["crs"]}, "set.grid.transform"),
        ({**GOOD, "transform": [1, 2, 3]}, "set.grid.transform"),
        ({**GOOD, "transform": [1, 0, 0, 0, "-1", 0]}, "set.grid.transform"),
        ({**GOOD, "transform": [0, 0, 0, 0, 0, 0]}, "set.grid.transform"),
    ],
)
def test_what_is_wrong_in_a_document_is_named(data, field):
    with pytest.raises(ConfigError, match=f"^{field}: "):
        GeoGrid.from_json(data, "set.grid")


# The grid of a scene


def test_a_scene_has_the_grid_of_its_transform(tmp_path):
    with RasterReader(scene(tmp_path)) as reader:
        assert GeoGrid.of(reader) == GeoGrid(crs=UTM, transform=ROTATED)


def points(bend: float = 0.0, count: int = 9) -> list[GroundControlPoint]:
    places = [(row, col) for row in (0, 15, 30) for col in (0, 20, 40)][:count]
    return [
        GroundControlPoint(row=r, col=c, x=x + bend * ((c - 20) / 20) ** 2, y=y)
        for r, c in places
        for x, y in [ROTATED * (c, r)]
    ]


def test_control_points_that_lie_straight_are_a_transform(tmp_path):
    with RasterReader(scene(tmp_path, transform=None, gcps=points())) as reader:
        grid = GeoGrid.of(reader)
    assert grid.crs == UTM
    assert np.allclose(grid.transform[:6], ROTATED[:6], rtol=1e-12, atol=1e-6)


@pytest.mark.parametrize("pixels", [3, 1000])
def test_control_points_that_bend_the_scene_are_refused(tmp_path, pixels):
    path = scene(tmp_path, transform=None, gcps=points(bend=pixels / 2))
    with RasterReader(path) as reader, pytest.raises(SceneError, match=r"scene.tif: .* bend it, .* gdalwarp -order 2"):
        GeoGrid.of(reader)


@pytest.mark.parametrize("count", [1, 3])  # the first three lie in one row
def test_too_few_control_points_are_refused(tmp_path, count):
    path = scene(tmp_path, transform=None, gcps=points(count=count))
    with RasterReader(path) as reader, pytest.raises(SceneError, match=r"scene.tif: a georeference is needed"):
        GeoGrid.of(reader)


@pytest.mark.parametrize(
    ("crs", "affine", "missing"),
    [(None, ROTATED, "CRS"), ("EPSG:32632", None, "georeference"), (None, None, "CRS")],
)
def test_a_scene_without_a_place_is_refused_with_the_remedy(tmp_path, crs, affine, missing):
    with (
        RasterReader(scene(tmp_path, transform=affine, crs=crs)) as reader,
        pytest.raises(SceneError, match=rf"scene.tif: .*{missing}.* found none; give it one with gdal_translate"),
    ):
        GeoGrid.of(reader)


def test_a_scene_of_flat_pixels_is_refused(tmp_path):
    with (
        RasterReader(scene(tmp_path, transform=Affine(1, 1, 5, 1, 1, 5))) as reader,
        pytest.raises(SceneError, match=r"scene.tif: its georeference is of no use: .*finite size"),
    ):
        GeoGrid.of(reader)


# Bounds in another CRS


@pytest.mark.parametrize("crs", [DEGREES, MERCATOR, CRS.from_epsg(32633), CRS.from_epsg(3035), CRS.from_epsg(2154)])
@pytest.mark.parametrize("affine", [ROTATED, from_origin(200_000, 6_000_000, 100, 100), Affine(30, 0, 5e5, 0, 30, 0)])
def test_bounds_in_another_crs_contain_the_scene_and_little_else(crs, affine):
    grid, window = GeoGrid(crs=UTM, transform=affine), Window(-20, 10, 1000, 700)
    left, bottom, right, top = grid.bounds_in(crs, window)
    cols, rows = np.meshgrid(np.linspace(-20, 980, 301), np.linspace(10, 710, 301))
    xs, ys = transform(UTM, crs, *(values.ravel() for values in grid.places(cols, rows)))
    assert left <= min(xs) and max(xs) <= right and bottom <= min(ys) and max(ys) <= top
    assert [left, bottom, right, top] == pytest.approx(
        [min(xs), min(ys), max(xs), max(ys)], abs=2e-3 * max(right - left, top - bottom)
    )
    if affine.b == 0:
        expected = transform_bounds(UTM, crs, *grid.bounds(window), densify_pts=99)
        assert [left, bottom, right, top] == pytest.approx(expected, abs=2e-3 * max(right - left, top - bottom))


@pytest.mark.parametrize("crs", [DEGREES, MERCATOR])
def test_bounds_go_on_beyond_the_antimeridian(crs):
    grid = GeoGrid.anchored(CRS.from_epsg(32660), 100)
    window = grid.window((700_000, 1_000_000, 900_000, 1_200_000))
    left, _, right, _ = grid.bounds_in(crs, window)
    (west, east), _ = points_in(DEGREES, grid.crs, np.array([700_000.0, 900_000]), np.array([1_100_000.0] * 2))
    assert west > 178 and east < -179  # it does cross
    degree = 1 if crs == DEGREES else 2 * math.pi * 6378137 / 360
    assert left / degree == pytest.approx(west, abs=0.05)
    assert right / degree == pytest.approx(east + 360, abs=0.05)


@pytest.mark.parametrize(("code", "sign"), [(3413, 1), (3031, -1)])
def test_bounds_around_a_pole_are_all_longitudes_up_to_it(code, sign):
    grid = GeoGrid.anchored(CRS.from_epsg(code), 1000)
    left, bottom, right, top = grid.bounds_in(DEGREES, Window(-130, -170, 400, 300))
    assert right - left == 360
    assert (top, bottom)[sign < 0] == sign * 90
    assert 85 < abs((bottom, top)[sign < 0]) < 89


def test_a_scene_outside_the_domain_of_a_crs_has_no_bounds_there():
    grid = GeoGrid.anchored(DEGREES, 1)
    half_earth = CRS.from_proj4("+proj=ortho +lat_0=0 +lon_0=0 +datum=WGS84")
    with pytest.raises(SceneError, match="is outside of"):
        grid.bounds_in(half_earth, Window(170, -5, 10, 10))
    left, _, right, _ = grid.bounds_in(half_earth, Window(0, -5, 180, 10))  # half of it is
    assert (left, right) == (pytest.approx(0, abs=1e4), pytest.approx(6378137, rel=2e-3))
