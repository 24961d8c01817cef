"""Preparing vectors: what is kept of files, what is counted, and which files and layers are refused."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import pytest
import shapely
from rasterio.crs import CRS
from rasterio.warp import transform_geom
from shapely import LineString, MultiPolygon, Point, Polygon, box

from geopix2pix.cartography import vectorfile
from geopix2pix.cartography.prepared import Prepared, Rows, near_rows
from geopix2pix.cartography.style import Style
from geopix2pix.cartography.vectorfile import vector_layers
from geopix2pix.cartography.vectors import prepare
from geopix2pix.errors import Cancelled, OutputError, StyleError, TileSetWarning, VectorError
from geopix2pix.geogrid import GeoGrid
from tests.features import GRID, LEFT, TOP, UTM, at, style_of, write_features

BOUNDS = (LEFT, TOP - 100, LEFT + 100, TOP)
EVERYWHERE = (-1e9, -1e9, 1e9, 1e9)
FILL = {"type": "fill"}
BOW_TIE = Polygon([(10, 10), (30, 30), (30, 10), (10, 30)])
FORMATS = {"GPKG": ".gpkg", "GeoJSON": ".geojson", "ESRI Shapefile": ".shp", "FlatGeobuf": ".fgb"}


@pytest.fixture
def things(tmp_path: Path) -> Path:
    """Three areas, the last outside of `BOUNDS`, with an attribute."""
    shapes = [at(box(0, 0, 10, 20)), at(box(50, 50, 60, 70)), at(box(500, 500, 510, 510))]
    return write_features(tmp_path / "things.gpkg", shapes, {"kind": ["a", "b", "a"], "size": [1, 2, 3]})


def prepared(tmp_path: Path, paths: Any, style: Style, **options: Any) -> tuple[Prepared, Rows]:
    paths = [paths] if isinstance(paths, Path) else paths
    arguments = {"grid": GRID, "bounds": BOUNDS, "output": tmp_path / "prepared.gpkg"} | options
    about = prepare(paths, style, **arguments)
    return about, near_rows(about.path, EVERYWHERE)


def count(about: Prepared, layer: str = "0") -> tuple[int, int, int]:
    found = about.counts[layer]
    return found.drawn, found.mended, found.dropped


def test_what_is_in_the_bounds_is_kept_with_what_it_is_drawn_with(tmp_path: Path, things: Path) -> None:
    style = style_of(
        {"type": "fill", "paint": {"fill-color": ["match", ["get", "kind"], "a", "#010203", "#040506"]}},
        {"type": "line", "filter": [">", ["get", "size"], 1], "paint": {"line-width": ["get", "size"]}},
    )
    about, rows = prepared(tmp_path, things, style)
    assert rows.layers.tolist() == [0, 0, 1]
    assert [ink.color for ink in rows.inks] == [(1, 2, 3), (4, 5, 6), (0, 0, 0)]
    assert rows.inks[2].width == 2
    assert shapely.equals(
        rows.geometries, [at(box(0, 0, 10, 20)), at(box(50, 50, 60, 70)), at(box(50, 50, 60, 70))]
    ).all()
    assert count(about, "0") == (2, 0, 0)
    assert count(about, "1") == (1, 0, 0)
    assert Prepared.load(about.path) == about


@pytest.mark.parametrize("driver", FORMATS)
def test_every_format_gives_the_same(tmp_path: Path, driver: str) -> None:
    shapes = [at(box(i, i, i + 5, i + 7)) for i in range(0, 50, 10)]
    columns = {"name": ["x", "y", "ü", "", "z"], "n": [1, 2, 3, 4, 5]}
    options: dict[str, Any] = {"geometry_type": "Polygon"}
    file = write_features(tmp_path / f"things{FORMATS[driver]}", shapes, columns, driver=driver, **options)
    fields = {"fill-color": ["match", ["get", "name"], "ü", "#0000FF", "#FF0000"]}
    style = style_of({"type": "fill", "filter": ["<=", ["get", "n"], 4], "paint": fields})
    _, rows = prepared(tmp_path, file, style)
    order = np.argsort(shapely.bounds(rows.geometries)[:, 0])  # FlatGeobuf sorts its features by place
    assert shapely.equals_exact(rows.geometries[order], shapes[:4], 1e-6, normalize=True).all()
    assert [rows.inks[i].color[2] for i in order] == [0, 0, 255, 0]


@pytest.mark.parametrize("driver", FORMATS)
def test_pieces_make_no_difference(tmp_path: Path, driver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = [at(box(i, 99 - i, i + 5, 105 - i)) for i in range(40)]
    file = write_features(
        tmp_path / f"things{FORMATS[driver]}", shapes, {"n": range(40)}, driver=driver, geometry_type="Polygon"
    )
    style = style_of({"type": "fill", "paint": {"fill-opacity": ["/", ["get", "n"], 40]}})
    found = []
    for piece in (7, 1000):
        monkeypatch.setattr(vectorfile, "PARSED_PIECE", piece)
        monkeypatch.setattr(vectorfile, "PIECE", piece)
        found.append(prepared(tmp_path, file, style)[1])
    assert found[0].inks == found[1].inks
    assert len(found[0].inks) == 39
    assert shapely.equals(found[0].geometries, found[1].geometries).all()


def test_equal_files_give_equal_bytes(tmp_path: Path, things: Path) -> None:
    style = style_of(FILL)
    outputs = [tmp_path / name for name in ("a.gpkg", "b.gpkg", "a.gpkg")]  # the last one over the first
    first, second, third = (prepared(tmp_path, things, style, output=output)[0].path.read_bytes() for output in outputs)
    assert first == second == third
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.gpkg", "b.gpkg", "things.gpkg"]


def test_layers_of_one_name_in_several_files_are_drawn_one_after_another(tmp_path: Path) -> None:
    files = [
        write_features(tmp_path / f"{name}.gpkg", [at(box(0, 0, 9, 9))], {name: [1]}, layer="things") for name in "xy"
    ]
    style = style_of({"type": "fill", "paint": {"fill-color": ["case", ["has", "x"], "#010000", "#020000"]}})
    for order in (1, -1):
        about, rows = prepared(tmp_path, files[::order], style)
        assert [ink.color[0] for ink in rows.inks] == [1, 2][::order]
        assert about.files == ("x.gpkg", "y.gpkg")[::order]


def test_nulls_are_absent_and_types_are_kept(tmp_path: Path) -> None:
    features = [
        {"n": 1, "b": True, "t": "1", "m": "mixed", "f": 0.5, "d": "2020-01-02"},
        {"n": None, "b": None, "t": None, "m": 3, "f": None, "d": None},
        {"b": False},
    ]
    document = {
        "type": "FeatureCollection",
        "features": [
            {"type": "Feature", "properties": properties, "geometry": {"type": "Point", "coordinates": [15, 52]}}
            for properties in features
        ],
    }
    path = tmp_path / "things.geojson"
    path.write_text(json.dumps(document))
    (layer,) = vector_layers(path)
    (piece,) = layer.pieces(None, layer.fields)
    assert piece.properties[0] == features[0]
    assert piece.properties[1] == {"m": "3"}  # GDAL reads a column of several types as text
    assert piece.properties[2] == {"b": False}
    assert type(piece.properties[0]["b"]) is bool


# Geometry


def test_geometry_comes_into_the_system_of_the_grid(tmp_path: Path) -> None:
    shapes = [at(box(i, i, i + 20, i + 30)) for i in (0, 40)]
    there = [
        shapely.geometry.shape(transform_geom(UTM, "EPSG:4326", shapely.geometry.mapping(shape))) for shape in shapes
    ]
    file = write_features(tmp_path / "things.gpkg", there, crs="EPSG:4326")
    _, rows = prepared(tmp_path, file, style_of(FILL))
    assert shapely.hausdorff_distance(rows.geometries, shapes).max() < 1e-6


def test_what_crosses_itself_is_mended_and_counted(tmp_path: Path) -> None:
    spike = Polygon([(50, 50), (60, 50), (70, 50), (60, 50), (60, 60), (50, 60)])
    file = write_features(tmp_path / "things.gpkg", [at(BOW_TIE), at(spike), at(box(0, 0, 5, 5))])
    about, rows = prepared(tmp_path, file, style_of(FILL))
    assert count(about) == (3, 2, 0)
    assert shapely.is_valid(rows.geometries).all()
    assert shapely.get_type_id(rows.geometries).tolist() == [3] * 4  # the bow tie has become two triangles
    assert shapely.area(rows.geometries).tolist() == pytest.approx([100, 100, 100, 25])


def test_collections_are_drawn_part_by_part_and_counted_once(tmp_path: Path) -> None:
    line, area = at(LineString([(0, 0), (9, 9)])), at(box(0, 0, 9, 9))
    nested = shapely.GeometryCollection(
        [Point(LEFT, TOP), line, shapely.GeometryCollection([area, MultiPolygon([area])])]
    )
    about, rows = prepared(
        tmp_path, write_features(tmp_path / "things.gpkg", [nested]), style_of(FILL, {"type": "line"})
    )
    assert (count(about, "0"), count(about, "1")) == ((1, 0, 0), (1, 0, 0))
    assert sorted(zip(rows.layers.tolist(), shapely.get_type_id(rows.geometries).tolist(), strict=True)) == [
        (0, 3), (0, 3), (1, 1), (1, 3), (1, 3)
    ]  # fmt: skip


def test_what_has_no_area_or_leaves_the_reference_system_is_dropped_and_counted(tmp_path: Path) -> None:
    flat = Polygon([(14.9, 52), (15.1, 52), (14.9, 52)])
    away = Polygon([(15, 52), (15.1, 52), (105, 0)])  # PROJ has no UTM 33 at 105 degrees east on the equator
    file = write_features(tmp_path / "things.gpkg", [flat, away, box(14.9, 51.9, 15.1, 52.1)], crs="EPSG:4326")
    grid = GeoGrid.anchored(UTM, 100)
    about, rows = prepared(tmp_path, file, style_of(FILL), grid=grid, bounds=(490_000, 5_740_000, 510_000, 5_770_000))
    assert count(about) == (1, 0, 2)
    assert len(rows.inks) == 1


def test_points_are_not_drawn(tmp_path: Path) -> None:
    file = write_features(tmp_path / "things.gpkg", [at(Point(5, 5))])
    with pytest.warns(TileSetWarning, match="nothing in layer 'things' is drawn"):
        about, _ = prepared(tmp_path, file, style_of(FILL, {"type": "line"}))
    assert count(about, "0") == count(about, "1") == (0, 0, 0)


@pytest.mark.parametrize("units", ["pixels", "metres"])
def test_strokes_are_kept_if_they_reach_into_the_bounds(tmp_path: Path, units: str) -> None:
    """A pixel is half a metre wide; the fourth line ends a metre before the bounds."""
    widths = np.array([10, 300, 10, 298, 10]) * (1 if units == "metres" else 2)
    lines = [at(LineString([(-away, -50), (-away, 150)])) for away in (4.0, 149.0, 149.0, 150.0, -50.0)]
    file = write_features(tmp_path / "things.gpkg", lines, {"width": widths})
    look = {"paint": {"line-width": ["get", "width"]}, "layout": {"line-join": "round"}}
    about, rows = prepared(tmp_path, file, style_of({"type": "line", **look, "metadata": {"geopix2pix:units": units}}))
    assert (LEFT - shapely.bounds(rows.geometries)[:, 0]).round().tolist() == [4, 149, -50]
    assert about.reach == pytest.approx(300, rel=1e-3)
    assert count(about) == (3, 0, 0)


@pytest.mark.parametrize(
    ("paint", "layout", "message"),
    [
        ({"line-width": 10_000}, {}, "reaches 10000 pixels from its line"),
        ({"line-dasharray": [0.01, 0.01]}, {}, "repeat every 0.02 pixels"),
    ],
)
def test_strokes_that_cannot_be_drawn_are_refused(tmp_path: Path, paint: Any, layout: Any, message: str) -> None:
    file = write_features(tmp_path / "things.gpkg", [at(LineString([(0, 0), (50, 50)]))])
    with pytest.raises(StyleError, match=f"style layer '0': .*{message}"):
        prepared(tmp_path, file, style_of({"type": "line", "paint": paint, "layout": layout}))
    assert not (tmp_path / "prepared.gpkg").exists()


def test_the_grid_must_be_on_the_earth(tmp_path: Path) -> None:
    local = CRS.from_wkt('LOCAL_CS["site",UNIT["metre",1],AXIS["x",EAST],AXIS["y",NORTH]]')
    file = write_features(tmp_path / "things.gpkg", [at(LineString([(0, 0), (50, 50)]))])
    style = style_of({"type": "line"})
    with pytest.raises(VectorError, match="a grid in site, which is not on the earth"):
        prepared(tmp_path, file, style, grid=GeoGrid.anchored(local, 1.0))


# Layers


def test_layers_are_found_by_their_names_or_by_those_given_for_them(tmp_path: Path, things: Path) -> None:
    style = style_of({"type": "fill", "source-layer": "areas"})
    with pytest.raises(VectorError, match=r"layers that are not there: areas; layers there: things; .*areas=LAYER"):
        prepared(tmp_path, things, style)
    about, _ = prepared(tmp_path, things, style, layers={"areas": "things"})
    assert count(about) == (2, 0, 0)


@pytest.mark.parametrize("layers", [{"areas": "thing"}, {"area": "things"}])
def test_names_that_are_given_must_be_there(tmp_path: Path, things: Path, layers: dict[str, str]) -> None:
    with pytest.raises(VectorError, match="layers there: things; the style 'test style' draws areas"):
        prepared(tmp_path, things, style_of({"type": "fill", "source-layer": "areas"}), layers=layers)


def test_some_missing_layers_are_warned_of(tmp_path: Path, things: Path) -> None:
    with pytest.warns(TileSetWarning, match="not there: roads; layers there: things"):
        about, _ = prepared(tmp_path, things, style_of(FILL, {"type": "line", "source-layer": "roads"}))
    assert count(about, "1") == (0, 0, 0)


def test_a_style_without_vectors_is_refused(tmp_path: Path, things: Path) -> None:
    with pytest.raises(StyleError, match="draws no layer"):
        prepared(tmp_path, things, style_of({"type": "background"}))


def test_layers_with_nothing_in_the_bounds_are_warned_of(tmp_path: Path, things: Path) -> None:
    with pytest.warns(TileSetWarning, match=r"things\.gpkg: nothing in layer 'things' is drawn within \(0, 0, 9, 9\)"):
        about, rows = prepared(tmp_path, things, style_of(FILL), bounds=(0, 0, 9, 9))
    assert count(about) == (0, 0, 0)
    assert not rows.inks


def test_a_value_that_does_not_fit_leaves_nothing(tmp_path: Path, things: Path) -> None:
    with pytest.raises(StyleError, match="`fill-opacity` needs a number from 0 to 1; for a feature with {'size': 2}"):
        prepared(tmp_path, things, style_of({"type": "fill", "paint": {"fill-opacity": ["get", "size"]}}))
    assert [path.name for path in tmp_path.iterdir()] == ["things.gpkg"]


def test_stopping_leaves_what_was_there(tmp_path: Path, things: Path) -> None:
    (tmp_path / "prepared.gpkg").write_text("mine")

    def stop(event: Any) -> None:
        raise Cancelled("stop")

    with pytest.raises(Cancelled):
        prepared(tmp_path, things, style_of(FILL), progress=stop)
    assert (tmp_path / "prepared.gpkg").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 2


def test_what_cannot_be_written_is_told(tmp_path: Path, things: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        prepared(tmp_path, things, style_of(FILL), output=tmp_path / "missing" / "prepared.gpkg")


@pytest.mark.slow
@pytest.mark.parametrize("size", [16, 80, 160, 320, 640])
def test_a_full_disk_loses_nothing(tmp_path: Path, small_disk: Callable[[int], Path], size: int) -> None:
    shapes = [at(box(i % 90, i // 90, i % 90 + 5, i // 90 + 7)) for i in range(8000)]
    file = write_features(tmp_path / "things.gpkg", shapes)
    disk = small_disk(size)
    (disk / "prepared.gpkg").write_text("an older file")
    with pytest.raises(OutputError, match=r"prepared\.gpkg: cannot be written"):
        prepared(tmp_path, file, style_of(FILL), output=disk / "prepared.gpkg")
    assert [(path.name, path.read_text()) for path in disk.iterdir()] == [("prepared.gpkg", "an older file")]


# Files of others


VRT = '<OGRVRTDataSource><OGRVRTLayer name="things"><SrcDataSource>{0}</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>'
GDALG = (
    '{"type": "gdal_streamed_alg", "command_line": "gdal vector pipeline ! read things.gpkg", "FeatureCollection": 1}'
)
ESRI = '{"geometryType": "esriGeometryPoint", "spatialReference": {"wkid": 4326}, "features": []}'


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.vrt", VRT, "vector files end in .gpkg, .geojson"),
        ("a.gpkg", VRT, "does not begin as GPKG"),
        ("a.geojson", VRT, "does not begin as GeoJSON"),
        ("a.shp", VRT, "does not begin as ESRI Shapefile"),
        ("a.json", GDALG, "does not begin as GeoJSON"),
        ("a.geojson", '{"type": "FeatureCollection", "features": [', "a.geojson: cannot "),
        ("a.json", '{"type": "Topology"}', "a.json: "),
        ("a.json", ESRI, "GeoJSON was expected, found ESRIJSON|a.json: cannot"),
        ("a.fgb", "fgb\3fgb\0torn", "layers with geometry are needed, found none"),
        ("a.shp", "\0\0\x27\x0atorn", "a.shp: cannot open it as vectors"),
        ("a!b.geojson", "{}", "rename it"),
        ("a;b.geojson", "{}", "rename it"),
        ("a.zip", "PK", "vector files end in"),
    ],
)
def test_files_that_are_not_vectors_of_ours_are_refused(
    tmp_path: Path, things: Path, name: str, content: str, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content.format(things).encode("latin-1") if content is VRT else content.encode("latin-1"))
    with pytest.raises(VectorError, match=message) as caught:
        vector_layers(path)
    assert "\n" not in str(caught.value)


def test_databases_that_are_no_geopackage_are_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "a.gpkg") as database:
        database.execute("CREATE TABLE things (geometry BLOB)")
    with pytest.raises(VectorError, match="does not begin as GPKG"):
        vector_layers(tmp_path / "a.gpkg")


@pytest.mark.parametrize("path", ["missing.gpkg", "/vsicurl/http://localhost/a.gpkg", "http://localhost/a.geojson"])
def test_what_is_no_local_file_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(VectorError, match=r"cannot be opened \(No such file|below /vsi"):
        vector_layers(tmp_path / path if path == "missing.gpkg" else Path(path))


def test_folders_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.gpkg").mkdir()
    with pytest.raises(VectorError, match="cannot be opened"):
        vector_layers(tmp_path / "a.gpkg")


@pytest.mark.filterwarnings("ignore:'crs' was not provided")
@pytest.mark.parametrize("driver", ["GPKG", "ESRI Shapefile", "FlatGeobuf"])
def test_vectors_without_a_reference_system_are_refused(tmp_path: Path, driver: str) -> None:
    options = {"crs": None, "driver": driver, "geometry_type": "Polygon"}
    file = write_features(tmp_path / f"things{FORMATS[driver]}", [at(box(0, 0, 9, 9))], {"n": [1]}, **options)
    with pytest.raises(VectorError, match=r"layer 'things' needs a reference system.*ogr2ogr -a_srs"):
        prepared(tmp_path, file, style_of(FILL))


@pytest.mark.parametrize("driver", FORMATS)
def test_truncated_files_are_told(tmp_path: Path, driver: str) -> None:
    shapes = [at(box(i, i, i + 5, i + 7)) for i in range(2000)]
    options: dict[str, Any] = {"driver": driver, "geometry_type": "Polygon"}
    file = write_features(tmp_path / f"things{FORMATS[driver]}", shapes, {"n": range(2000)}, **options)
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 6 // 10])
    with pytest.raises(VectorError, match="things"):
        prepared(tmp_path, file, style_of(FILL), bounds=(LEFT, TOP - 3000, LEFT + 3000, TOP))
    assert not (tmp_path / "prepared.gpkg").exists()


def test_settings_of_gdal_are_put_back(things: Path) -> None:
    names = vectorfile.SETTINGS
    before = [pyogrio.get_gdal_config_option(name) for name in names]
    with vectorfile.settings():
        assert [pyogrio.get_gdal_config_option(name) for name in names] == list(names.values())
    vector_layers(things)
    assert [pyogrio.get_gdal_config_option(name) for name in names] == before


def test_unreadable_prepared_files_are_told(tmp_path: Path, things: Path) -> None:
    with pytest.raises(VectorError, match="cannot read it as prepared features"):
        Prepared.load(things)
    with pytest.raises(VectorError, match=r"missing\.gpkg: cannot read"):
        Prepared.load(tmp_path / "missing.gpkg")
