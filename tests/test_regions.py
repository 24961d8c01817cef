"""Regions: what is inside in one CRS is inside in another, from whatever file, and no valid pixel is cut off."""

import http.server
import json
import threading
import warnings
from pathlib import Path

import numpy as np
import pyogrio.raw
import pytest
import shapely
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.warp import transform
from shapely import Geometry

from geopix2pix import outline
from geopix2pix.errors import RegionError, SceneError, TileSetWarning, VectorError
from geopix2pix.outline import footprint
from geopix2pix.raster import RasterReader
from geopix2pix.regions import bounds_region, check_overlap, inside, load_region
from geopix2pix.tilesets.zones import load_zones
from tests.rasters import MASKS, ROTATED, coordinates, rotated_collar, write_raster

DEGREES, UTM, MERCATOR = CRS.from_epsg(4326), CRS.from_epsg(32633), CRS.from_epsg(3857)
DRIVERS = {"GeoJSON": "geojson", "GPKG": "gpkg", "ESRI Shapefile": "shp", "FlatGeobuf": "fgb"}
RECTANGLE = shapely.box(12.0, 45.0, 18.0, 48.0)
"""As wide as a UTM zone: its northern edge bends by kilometres there."""


def write(path: Path, *geometries: Geometry | None, crs: CRS | None = DEGREES, **columns: list) -> Path:
    """A vector file, or one more layer of it under the name in front of an `@`."""
    layer, _, name = path.name.rpartition("@")
    path = path.with_name(name)
    kinds = {g.geom_type for g in geometries if g is not None} or {"Polygon"}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "'crs' was not provided")
        pyogrio.raw.write(
            path,
            shapely.to_wkb(np.array(geometries, object)),
            [np.array(values, object) for values in columns.values()],
            list(columns),
            layer=layer or path.stem,
            driver=next(driver for driver, suffix in DRIVERS.items() if suffix == path.suffix[1:]),
            geometry_type=kinds.pop() if len(kinds) == 1 else "Unknown",
            crs=None if crs is None else crs.to_wkt(),
            append=path.exists(),
        )
    return path


def geojson(path: Path, *geometries: dict) -> Path:
    features = [{"type": "Feature", "properties": {}, "geometry": geometry} for geometry in geometries]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


@pytest.mark.parametrize("suffix", DRIVERS.values())
def test_what_is_inside_in_degrees_is_inside_in_metres(tmp_path, suffix):
    hole = shapely.Point(15, 46.5).buffer(0.7)
    area = shapely.union(RECTANGLE.difference(hole), shapely.box(18.5, 45, 18.6, 45.1))
    region = load_region(write(tmp_path / f"area.{suffix}", *shapely.get_parts(area)), UTM)
    points = np.random.default_rng(0).uniform((11.9, 44.9), (18.7, 48.1), (20_000, 2))
    edge = shapely.distance(area.boundary, shapely.points(points)) < 1e-6  # a decimetre
    there = shapely.points(np.column_stack(transform(DEGREES, UTM, *points.T)))
    assert edge.mean() < 0.01
    assert (shapely.contains(region, there) == shapely.contains(area, shapely.points(points)))[~edge].all()


def test_four_corners_alone_would_not_do():
    bent = bounds_region(RECTANGLE.bounds, DEGREES, UTM)
    corners = np.column_stack(transform(DEGREES, UTM, *shapely.get_coordinates(RECTANGLE).T))
    assert shapely.hausdorff_distance(bent, shapely.Polygon(corners)) > 3000


def test_in_its_own_crs_an_area_stays_as_it_is(tmp_path):
    area = shapely.Polygon([(500_000, 5e6), (500_100, 5e6), (500_000, 5_000_070)])
    assert load_region(write(tmp_path / "area.gpkg", area, crs=UTM), UTM).equals_exact(area)


def test_overlapping_polygons_are_one_area_and_other_geometries_do_not_count(tmp_path):
    parts = [
        shapely.box(0, 0, 2, 2),
        None,
        shapely.Point(9, 9),
        shapely.MultiPolygon([shapely.box(1, 1, 3, 3), shapely.box(5, 5, 6, 6)]),
    ]
    collection = shapely.GeometryCollection(
        [shapely.MultiPolygon([shapely.box(7, 7, 8, 8)]), shapely.LineString([(0, 0), (9, 9)])]
    )
    region = load_region(
        geojson(tmp_path / "a.geojson", *(p and shapely.geometry.mapping(p) for p in [*parts, collection])), DEGREES
    )
    assert region.equals(
        shapely.union_all(
            [shapely.box(0, 0, 2, 2), shapely.box(1, 1, 3, 3), shapely.box(5, 5, 6, 6), shapely.box(7, 7, 8, 8)]
        )
    )


def test_invalid_polygons_are_mended_and_counted(tmp_path):
    bow = shapely.Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])
    spike = shapely.Polygon([(5, 5), (6, 5), (6, 6), (9, 6), (6, 6), (5, 6)])
    path = write(tmp_path / "a.geojson", shapely.box(9, 9, 10, 10), bow, spike)
    with pytest.warns(
        TileSetWarning, match=r"a.geojson: 2 of 3 polygons .* mended .*feature 2: Self-intersection\[1 1\]"
    ):
        region = load_region(path, DEGREES)
    assert region.is_valid
    assert region.area == pytest.approx(1 + 2 + 1)
    with pytest.raises(RegionError, match="have no area"), pytest.warns(TileSetWarning):
        load_region(write(tmp_path / "b.geojson", shapely.Polygon([(0, 0), (1, 1), (2, 2), (0, 0)])), DEGREES)


def test_of_several_layers_one_is_named(tmp_path):
    write(tmp_path / "first@a.gpkg", shapely.box(0, 0, 1, 1), crs=UTM)
    assert load_region(tmp_path / "a.gpkg", UTM).area == 1
    write(tmp_path / "second@a.gpkg", shapely.box(0, 0, 2, 2), crs=UTM)
    assert load_region(tmp_path / "a.gpkg:second", UTM).area == 4
    with pytest.raises(
        VectorError, match=r"the only layer was asked for, found \['first', 'second'\]; name one as a.gpkg:LAYER"
    ):
        load_region(tmp_path / "a.gpkg", UTM)
    with pytest.raises(VectorError, match="the layer 'third' was asked for"):
        load_region(tmp_path / "a.gpkg:third", UTM)


@pytest.mark.parametrize("crs", [CRS.from_epsg(32601), CRS.from_epsg(32660), CRS.from_epsg(3832)])
def test_across_the_antimeridian_every_spelling_is_the_same_area(tmp_path, crs):
    beyond = load_region(write(tmp_path / "beyond.geojson", shapely.box(179, 50, 181, 51)), crs)
    cut = load_region(
        write(tmp_path / "cut.geojson", shapely.box(179, 50, 180, 51), shapely.box(-180, 50, -179, 51)), crs
    )
    bounds = bounds_region((179, 50, -179, 51), DEGREES, crs)
    assert 100_000 < beyond.length / 4 < 300_000
    for other in (cut, bounds):
        assert shapely.symmetric_difference(beyond, other).area < 1e-6 * beyond.area


def test_a_jump_over_the_antimeridian_is_not_taken_for_a_way_round_the_world(tmp_path):
    path = write(
        tmp_path / "a.geojson", shapely.box(1, 1, 2, 2), shapely.Polygon([(179, 50), (-179, 50), (-179, 51), (179, 51)])
    )
    with pytest.raises(
        RegionError, match="an edge of feature 2 leads from longitude 179 to -179; .* beyond 180 or cut"
    ):
        load_region(path, CRS.from_epsg(32601))


@pytest.mark.parametrize(
    ("area", "crs"),
    [
        (shapely.box(179, 50, 181, 51), MERCATOR),  # the map is torn at 180 degrees
        (shapely.box(-90, -85, 89, 85), UTM),
        (shapely.box(100, -10, 110, 10), UTM),
        (shapely.box(0, 80, 10, 95), MERCATOR),
        (shapely.box(-125, 69, -124, 70), CRS.from_epsg(2056)),  # the projection folds: another place looks like it
        (shapely.box(133, 50, 138, 55), CRS.from_epsg(5514)),
    ],
)
def test_what_a_crs_cannot_show_is_refused(tmp_path, area, crs):
    with pytest.raises(RegionError, match=f"EPSG:{crs.to_epsg()}.*; cut it to the neighbourhood of the data"):
        load_region(write(tmp_path / "a.geojson", area), crs)


def test_a_pole_lies_inside(tmp_path):
    cap = shapely.segmentize(shapely.box(-180, 80, 180, 90), 90)
    region = load_region(write(tmp_path / "a.geojson", cap), CRS.from_epsg(3413))
    assert region.contains(shapely.Point(0, 0))
    assert region.area == pytest.approx(3.9e12, rel=0.1)


def test_files_that_hold_no_region_are_refused(tmp_path):
    square = shapely.box(0, 0, 1, 1)
    (tmp_path / "folder").mkdir()
    (tmp_path / "text.geojson").write_text("<html>not found</html>")
    whole = write(tmp_path / "whole.geojson", square).read_text()
    (tmp_path / "cut.geojson").write_text(whole[:-40])
    write(tmp_path / "bare.shp", square)
    (tmp_path / "bare.prj").unlink()
    geojson(
        tmp_path / "infinite.geojson", {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, float("inf")], [0, 0]]]}
    )
    for error, path, message in [
        (VectorError, tmp_path / "missing.geojson", "found none of this name"),
        (VectorError, tmp_path / "text.geojson", "cannot be read as vectors"),
        (VectorError, tmp_path / "cut.geojson", "cannot be read as vectors"),
        (VectorError, tmp_path / "folder", "cannot be read as vectors"),
        (RegionError, write(tmp_path / "none.gpkg"), "polygons are needed, found none among 0 features"),
        (RegionError, write(tmp_path / "lines.geojson", square.boundary, shapely.Point(1, 1)), "none among 2 features"),
        (RegionError, tmp_path / "bare.shp", r"has no CRS; .*\.prj"),
        (RegionError, write(tmp_path / "nowhere.gpkg", square, crs=None), "has no CRS"),
        ((RegionError, VectorError), tmp_path / "infinite.geojson", "no numbers|cannot be read"),
    ]:
        with pytest.raises(error, match=f"{path.name}: .*{message}"):
            load_region(path, UTM)


def test_no_file_makes_gdal_talk_to_the_network(tmp_path):
    asked = []

    class Server(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        do_HEAD = do_GET  # noqa: N815 -- the name that the server asks for

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/a.geojson"
        for place in (url, f"/vsicurl/{url}"):
            source = f"<SrcDataSource>{place}</SrcDataSource><SrcLayer>a</SrcLayer>"
            (tmp_path / "a.vrt").write_text(
                f'<OGRVRTDataSource><OGRVRTLayer name="a">{source}</OGRVRTLayer></OGRVRTDataSource>'
            )
            with pytest.raises(VectorError):
                load_region(tmp_path / "a.vrt", UTM)
            with pytest.raises(VectorError, match="none of this name"):
                load_region(Path(place), UTM)
        server.shutdown()
    assert asked == []


def test_zones_are_the_areas_of_each_split(tmp_path):
    squares = [shapely.box(n, 0, n + 1, 1) for n in range(4)]
    path = write(
        tmp_path / "a.gpkg", *squares, crs=UTM, split=["test", "validation", "test", "train"], other=[1, 2, 3, 4]
    )
    zones = load_zones(path, UTM)
    assert set(zones) == {"train", "validation", "test"}
    assert zones["test"].equals(shapely.union(squares[0], squares[2]))
    with pytest.raises(
        RegionError, match="feature 2 has the split 'val'; it must be one of train, validation, test, unused"
    ):
        load_zones(write(tmp_path / "b.gpkg", *squares[:2], split=["train", "val"]), UTM)
    with pytest.raises(RegionError, match="feature 1 has the split None"):
        load_zones(write(tmp_path / "c.gpkg", *squares[:2], split=[None, "train"]), UTM)
    with pytest.raises(RegionError, match="has no column `split`"):
        load_zones(write(tmp_path / "d.gpkg", *squares[:2]), UTM)


@pytest.mark.parametrize(
    "bounds", [(1, 2, 1, 3), (1, 3, 2, 2), (1, 2, float("nan"), 3), (0, 0, float("inf"), 1), (3, 0, 2, 1)]
)
def test_bounds_without_an_area_are_refused(bounds):
    with pytest.raises(RegionError, match="bounds .*: must be left,bottom,right,top"):
        bounds_region(bounds, UTM, UTM)


def test_a_region_outside_the_data_is_told_with_both_places():
    data = shapely.box(500_000, 5e6, 500_100, 5_000_100)
    check_overlap(shapely.box(500_099, 5e6, 500_200, 5_000_100), data, UTM)
    for region in (shapely.box(45, 15, 46, 16), shapely.box(500_100, 5e6, 500_200, 5_000_100)):
        with pytest.raises(RegionError, match="EPSG:32633.*the data at 500000, 5000000, 500100, 5000100; check"):
            check_overlap(region, data, UTM)


pieces = st.integers(1, 12)


@settings(deadline=None, max_examples=80)
@given(
    st.integers(0, 10**6),
    st.integers(-40, 40),
    st.integers(-40, 40),
    pieces,
    pieces,
    st.sampled_from([ROTATED, Affine(2, 0, 5e5, 0, -2, 5e6)]),
)
def test_pixels_are_inside_as_their_centres_are_however_the_window_is_cut(seed, col, row, width, height, place):
    rng = np.random.default_rng(seed)
    star = np.column_stack([rng.uniform(2, 60, 9), np.sort(rng.uniform(0, 2 * np.pi, 9))])
    shape = shapely.make_valid(
        shapely.Polygon(np.column_stack([star[:, 0] * np.cos(star[:, 1]), star[:, 0] * np.sin(star[:, 1])]))
    )
    a, b, c, d, e, f = place[:6]
    region = shapely.affinity.affine_transform(shape, [a, b, d, e, c, f])
    found = inside(region, Affine(a, b, c + a * col + b * row, d, e, f + d * col + e * row), height, width)
    rows, cols = np.mgrid[row : row + height, col : col + width] + 0.5
    near = shapely.distance(shape.boundary, shapely.points(cols, rows)) < 1e-6
    assert found.shape == (height, width)
    assert (found == shapely.contains_xy(shape, cols, rows))[~near].all()


def holed(path: Path, valid: np.ndarray, how: str, **profile) -> Path:
    """A raster that is valid there, as files may say so."""
    height, width = valid.shape
    data = coordinates(3, height, width, "float32" if how == "nan" else "uint8")
    match how:
        case "nodata":
            data[1, ~valid] = 0  # in one of three bands
            return write_raster(path, data, nodata=0, **profile)
        case "nan":
            data[2, ~valid] = np.nan
            return write_raster(path, data, **profile)
        case "mask":
            return write_raster(path, data, mask=valid, **profile)
        case _:
            data = np.concatenate([data, valid[None] * np.uint8(255)])
            return write_raster(path, data, colors=("red", "green", "blue", "alpha"), **profile)


@pytest.mark.parametrize("how", ["nodata", "nan", "mask", "alpha"])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize(("cells", "chunk"), [(1024, 512), (16, 32), (5, 1)])
def test_an_outline_cuts_off_no_valid_pixel_and_hardly_takes_others(tmp_path, monkeypatch, mask, how, cells, chunk):
    monkeypatch.setattr(outline, "CELLS", cells)
    monkeypatch.setattr(outline, "CHUNK", chunk)
    valid = mask(60, 93)
    path = holed(tmp_path / "a.tif", valid, how, crs=UTM, transform=ROTATED)
    with RasterReader(path) as reader:
        assert (reader.read(reader.extent).valid == valid).all()
    area = footprint([path], UTM)
    found = inside(area, ROTATED, *valid.shape)
    assert found[valid].all()
    side = -(-int(np.ceil(np.sqrt(valid.size))) // cells)
    rows, cols = np.nonzero(valid)
    hull = shapely.MultiPoint(np.column_stack([cols, rows]) + 0.5)
    filled = shapely.concave_hull(hull, 0.15) if mask is not rotated_collar else hull.convex_hull
    reach = shapely.buffer(filled, 3 * side, join_style="mitre")
    rows, cols = np.nonzero(found)
    assert shapely.intersects_xy(reach, cols + 0.5, rows + 0.5).all()


def test_a_scene_without_holes_has_the_outline_of_its_border(tmp_path):
    path = write_raster(tmp_path / "a.tif", coordinates(1, 70, 50, "uint8"), crs=UTM, transform=ROTATED)
    corners = [ROTATED @ corner for corner in ((0, 0), (50, 0), (50, 70), (0, 70))]
    assert footprint([path], UTM).normalize().equals_exact(shapely.Polygon(corners).normalize(), 1e-6)


def test_what_valid_pixels_surround_is_inside_and_several_files_are_one_area(tmp_path):
    ring = np.ones((40, 40), bool)
    ring[10:30, 10:30] = False
    paths = [
        holed(tmp_path / f"{number}.tif", ring, "nodata", crs=crs, transform=Affine(1, 0, left, 0, -1, 5_000_000))
        for number, (left, crs) in enumerate([(500_000, UTM), (500_030, UTM), (500_200, UTM)])
    ]
    area = footprint(paths, UTM)
    assert area.equals(
        shapely.union(
            shapely.box(500_000, 4_999_960, 500_070, 5_000_000), shapely.box(500_200, 4_999_960, 500_240, 5_000_000)
        )
    )
    there = footprint(paths, DEGREES)
    points = shapely.points(np.column_stack(transform(UTM, DEGREES, [500_035, 500_120], [4_999_980, 4_999_980])))
    assert shapely.contains(there, points).tolist() == [True, False]


def test_a_bay_behind_an_inlet_narrower_than_what_is_read_at_once_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(outline, "CELLS", 48)
    monkeypatch.setattr(outline, "CHUNK", 16)
    valid = np.ones((96, 96), bool)
    valid[40:80, 30:80] = False
    valid[:40, 50:62] = False
    path = holed(tmp_path / "a.tif", valid, "nodata", crs=UTM, transform=ROTATED)
    found = inside(footprint([path], UTM), ROTATED, 96, 96)
    assert found[valid].all()
    assert not found[44:76, 34:76].any()


def test_of_a_scene_without_a_collar_only_the_border_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(outline, "CHUNK", 16)
    path = write_raster(tmp_path / "a.tif", coordinates(1, 96, 96, "uint8"), crs=UTM, transform=ROTATED)
    windows = []

    class Watched(RasterReader):
        def read(self, window):
            windows.append(window)
            return super().read(window)

    monkeypatch.setattr(outline, "RasterReader", Watched)
    footprint([path], UTM)
    assert len(windows) == len(set(windows)) == 20
    assert all(window.col in (0, 80) or window.row in (0, 80) for window in windows)


def test_scenes_without_a_place_or_a_valid_pixel_are_refused(tmp_path):
    data = coordinates(1, 9, 9, "uint8")
    with pytest.raises(SceneError, match="a.tif"):
        footprint([write_raster(tmp_path / "a.tif", data)], UTM)
    empty = write_raster(tmp_path / "b.tif", 0 * data, nodata=0, crs=UTM, transform=ROTATED)
    with pytest.raises(RegionError, match="b.tif: no valid pixel was found"):
        footprint([empty], UTM)
