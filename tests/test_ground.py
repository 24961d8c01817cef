"""Lengths against PROJ's own geodesics, and the places where formulas usually break: poles, antimeridian, no place."""

import math

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.transform import from_origin
from rasterio.warp import transform

from geopix2pix.errors import SceneError
from geopix2pix.ground import full_turn, metric_crs, name, pixel_sides, points_in
from tests.rasters import ROTATED

LOCAL = CRS.from_wkt('LOCAL_CS["site",UNIT["metre",1],AXIS["x",EAST],AXIS["y",NORTH]]')
DEGREES = CRS.from_epsg(4326)
ORTHOGRAPHIC = CRS.from_proj4("+proj=ortho +lat_0=40 +lon_0=10 +datum=WGS84")  # half of the earth, nothing around it


def geodesic(crs: CRS, start: tuple[float, float], end: tuple[float, float]) -> float:
    """Metres between two points: for the azimuthal equidistant projection around one of them PROJ solves geodesics."""
    (lon, other_lon), (lat, other_lat) = transform(crs, DEGREES, *zip(start, end, strict=True))
    around = CRS.from_proj4(f"+proj=aeqd +lat_0={lat!r} +lon_0={lon!r} +datum=WGS84")
    (x,), (y,) = transform(DEGREES, around, [other_lon], [other_lat])
    return math.hypot(x, y)


PLACES = {
    "UTM": ("EPSG:32632", from_origin(300_000, 5_000_000, 0.3, 0.3)),
    "UTM far from its meridian": ("EPSG:32632", from_origin(-200_000, 5_000_000, 10, 10)),
    "US survey feet": ("EPSG:2263", from_origin(980_000, 200_000, 1, 1)),
    "degrees": ("EPSG:4326", from_origin(10, 60, 1e-5, 1e-5)),
    "whole degrees": ("EPSG:4326", from_origin(10, 60, 1, 1)),
    "degrees of another datum": ("EPSG:4267", from_origin(-100, 40, 1e-4, 1e-4)),
    "degrees on the antimeridian": ("EPSG:4326", from_origin(180 - 5e-4, 40, 1e-3, 1e-3)),
    "degrees beyond the antimeridian": ("EPSG:4326", from_origin(185, 40, 1e-3, 1e-3)),
    "degrees at the pole": ("EPSG:4326", from_origin(0, 90, 1e-3, 1e-3)),
    "web mercator": ("EPSG:3857", from_origin(1_000_000, 8_123_456, 1, 1)),
    "polar stereographic over the pole": ("EPSG:3413", from_origin(-500, 500, 1000, 1000)),
    "equal area": ("EPSG:3035", from_origin(2_700_000, 5_000_000, 1000, 1000)),
    "rotated": ("EPSG:32632", ROTATED),
    "sheared and upside down": ("EPSG:32632", Affine(2, 1, 300_000, 0.5, 3, 5_000_000)),
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_sides_are_geodesics(place):
    crs, affine = CRS.from_string(place[0]), place[1]
    across, down = pixel_sides(crs, affine, 0.5, 0.5)
    assert across == pytest.approx(geodesic(crs, affine * (0, 0.5), affine * (1, 0.5)), rel=1e-6, abs=1e-8)
    assert down == pytest.approx(geodesic(crs, affine * (0.5, 0), affine * (0.5, 1)), rel=1e-6, abs=1e-8)


@given(lon=st.floats(-180, 180), lat=st.floats(-85, 85), turn=st.integers(-1, 1))
def test_sides_are_the_same_a_turn_round_the_earth(lon, lat, turn):
    here = pixel_sides(DEGREES, from_origin(lon, lat, 1e-4, 1e-4), 0, 0)
    there = pixel_sides(DEGREES, from_origin(lon + 360 * turn, lat, 1e-4, 1e-4), 0, 0)
    assert there == pytest.approx(here, rel=1e-7)


def test_metres_shrink_with_the_latitude_on_web_maps():
    crs = CRS.from_epsg(3857)
    for y in (0, 4e6, 8e6, 16e6):
        across, down = pixel_sides(crs, from_origin(0, y, 1, 1), 0, 0)
        assert across == pytest.approx(1 / math.cosh(y / 6378137), rel=4e-3)  # the ellipsoid is not the sphere
        assert down == pytest.approx(1 / math.cosh(y / 6378137), rel=8e-3)


@pytest.mark.parametrize(
    ("crs", "affine"),
    [
        (LOCAL, from_origin(0, 0, 1, 1)),
        (DEGREES, from_origin(0, 95, 1, 1)),
        (DEGREES, from_origin(0, 90, 1e-3, 1e-3) * Affine.translation(0, -1)),
        (DEGREES, from_origin(math.nan, 0, 1, 1)),
        (DEGREES, from_origin(0, 0, 0, 1)),
        (ORTHOGRAPHIC, from_origin(9e6, 0, 1, 1)),
        (CRS.from_epsg(32632), from_origin(1e30, 0, 1, 1)),
        (CRS.from_proj4("+proj=longlat +a=3396190 +b=3376200"), from_origin(0, 0, math.inf, 1)),
    ],
)
def test_no_length_where_the_place_does_not_tell(crs, affine):
    assert pixel_sides(crs, affine, 0.5, 0.5) is None


@pytest.mark.parametrize(
    ("crs", "x", "y", "expected"),
    [
        ("EPSG:32633", 5e5, 5e6, 32633),
        ("EPSG:3857", 1e6, 6e6, 3857),
        ("EPSG:4326", 9, 47, 32632),
        ("EPSG:4326", 9, -47, 32732),
        ("EPSG:4326", 9, 0, 32632),
        ("EPSG:4326", -180, 47, 32601),
        ("EPSG:4326", 180, 47, 32601),
        ("EPSG:4326", 179.9, 47, 32660),
        ("EPSG:4326", 189, 47, 32602),
        ("EPSG:4326", 9, 85, 5041),
        ("EPSG:4326", 9, -81, 5042),
        ("EPSG:2263", 980_000, 200_000, 32618),  # feet
        ("EPSG:4267", -100, 40, 32614),
    ],
)
def test_the_metric_crs_is_that_of_the_place(crs, x, y, expected):
    assert metric_crs(CRS.from_string(crs), x, y) == CRS.from_epsg(expected)


@pytest.mark.parametrize(("crs", "x", "y"), [(LOCAL, 1, 1), (DEGREES, 0, 95), (ORTHOGRAPHIC.to_wkt(), 9e6, 0)])
def test_there_is_no_metric_crs_for_no_place(crs, x, y):
    crs = CRS.from_user_input(crs)
    if crs.is_projected:  # in metres itself, wherever the place may be
        assert metric_crs(crs, x, y) == crs
        return
    with pytest.raises(SceneError, match="CRS"):
        metric_crs(crs, x, y)


@pytest.mark.parametrize("code", [4326, 4267, 3857, 4807])  # the last counts in grads from Paris
@given(share=st.floats(-0.45, 0.45), turns=st.integers(-2, 2))
def test_a_full_turn_comes_back_to_the_same_place(code, share, turns):
    crs = CRS.from_epsg(code)
    x = np.array([share, share + turns]) * full_turn(crs)
    (first, second), _ = points_in(DEGREES, crs, x, np.array([20.0, 20.0]))
    assert math.remainder(second - first, 360) == pytest.approx(0, abs=1e-9)


def test_projections_of_a_part_of_the_earth_have_no_full_turn():
    assert full_turn(CRS.from_epsg(32632)) is None
    assert full_turn(LOCAL) is None


def test_points_without_a_place_are_nan_and_the_others_do_not_suffer():
    rows, cols = np.mgrid[-9e6:9e6:40j, -9e6:9e6:40j]
    xs, ys = cols.ravel(), rows.ravel()
    found = points_in(DEGREES, ORTHOGRAPHIC, xs, ys)
    on_earth = np.hypot(xs, ys) < 6.35e6
    off_earth = np.hypot(xs, ys) > 6.38e6
    assert np.isfinite(found[:, on_earth]).all()
    assert np.isnan(found[:, off_earth]).all()
    expected = transform(ORTHOGRAPHIC, DEGREES, xs[on_earth], ys[on_earth])
    assert np.array_equal(found[:, on_earth], expected)


def test_a_point_is_the_same_alone_and_among_others():
    xs, ys = np.array([-100.0, -150, -60, -80]), np.array([40.0, 64, 47, 25])  # where other datum shifts are best
    together = points_in(DEGREES, CRS.from_epsg(4267), xs, ys)
    alone = [points_in(DEGREES, CRS.from_epsg(4267), xs[i : i + 1], ys[i : i + 1])[:, 0] for i in range(4)]
    assert np.array_equal(together.T, alone)


def test_what_lies_in_no_known_place_cannot_be_brought_elsewhere():
    xs = np.array([1.0, 2.0])
    assert np.array_equal(points_in(LOCAL, LOCAL, xs, xs), [xs, xs])
    with pytest.raises(SceneError, match="no operation leads from one to the other"):
        points_in(DEGREES, LOCAL, xs, xs)


def test_a_crs_has_a_short_name():
    assert name(DEGREES) == "EPSG:4326"
    assert name(LOCAL) == "site"
