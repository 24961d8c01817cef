"""The index of a tile set: what is written is what is read, for any text, and QGIS shows it as it is meant."""

import json
import os
import shutil
import sqlite3
import subprocess
from dataclasses import replace
from pathlib import Path

import pyogrio
import pytest
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS

from geopix2pix.errors import OutputError, TileSetError
from geopix2pix.grid import Window
from geopix2pix.registration import Offset
from geopix2pix.tilesets.indexstyle import COLORS
from geopix2pix.tilesets.tileindex import Tile, duplicates, read_index, write_index

UTM = CRS.from_epsg(32633)
BANDS = ("red", "near infrared")
QGIS = "/usr/bin/python3"
"""The Python that a distribution's QGIS belongs to."""

texts = st.text(st.characters(exclude_categories=("Cs", "Cc")))
shares = st.floats(0, 1)
numbers = st.floats(allow_nan=False)
corners = st.integers(-(10**7), 10**7)


def made(number: int = 0, **changes) -> Tile:
    """A tile that differs from those of other numbers."""
    tile = Tile(
        name=f"c{number:+06d}r+00000",
        split="train",
        window=Window(256 * number, 0, 256, 256),
        footprint=shapely.box(500_000 + 128 * number, 5_000_000, 500_128 + 128 * number, 5_000_128),
        origin="a.tif; b.tif",
        coverage=0.75,
        offset=Offset(0.25, -1.5, 0.9),
        note="",
        shares={"road": 0.1, "Gebäude & <Höfe>": 0.9},
        means=(1.0, float(number)),
        deviations=(0.5, 0.25),
        sha256=f"{number:064x}",
    )
    return replace(tile, **changes)


@st.composite
def indices(draw):
    """Tiles of all kinds, and the bands of their source; names of bands may be the same."""
    bands = draw(st.lists(texts, max_size=4))
    classes = draw(st.lists(texts, max_size=6, unique=True))
    values = st.lists(numbers, min_size=len(bands), max_size=len(bands)).map(tuple)
    tile = st.builds(
        Tile,
        name=texts,
        split=st.sampled_from(list(COLORS)),
        window=st.builds(Window, corners, corners, st.integers(1, 4096), st.integers(1, 4096)),
        footprint=st.builds(
            lambda x, y, side: shapely.box(x, y, x + side, y + side), numbers_near, numbers_near, sides
        ),
        origin=texts,
        coverage=shares,
        offset=st.none() | st.builds(Offset, numbers, numbers, shares),
        note=texts,
        shares=st.dictionaries(st.sampled_from(classes), shares) if classes else st.just({}),
        means=values,
        deviations=values,
        sha256=texts,
    )
    return draw(st.lists(tile, max_size=5, unique_by=lambda tile: tile.name)), bands


numbers_near = st.floats(-1e7, 1e7)
sides = st.floats(1, 1e4)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(indices(), st.sampled_from([None, UTM, CRS.from_epsg(4326), CRS.from_epsg(2263)]))
def test_what_is_written_is_read_and_equal_tiles_are_equal_bytes(tmp_path, index, crs):
    tiles, bands = index
    path = tmp_path / "index.gpkg"
    write_index(path, tiles, crs, bands)
    assert read_index(path) == tiles
    first = path.read_bytes()
    write_index(path, read_index(path), crs, bands)
    assert path.read_bytes() == first
    assert list(tmp_path.iterdir()) == [path]


def test_classes_and_bands_of_any_name_get_columns_of_their_own(tmp_path):
    classes = ["road", "ROAD", "road ", "道路", "水", "a-b", "a_b", "share", "x" * 500 + "1", "x" * 500 + "2"]
    tiles = [
        made(
            shares={name: (place + 1) / 20 for place, name in enumerate(classes)},
            means=(1, 2, 3, 4),
            deviations=(5, 6, 7, 8),
        )
    ]
    write_index(tmp_path / "index.gpkg", tiles, UTM, ["Red", "red", "赤", "NIR (0.8 µm)"])
    assert read_index(tmp_path / "index.gpkg") == tiles
    fields = pyogrio.read_info(tmp_path / "index.gpkg", layer="tiles")["fields"]
    assert len({field.lower() for field in fields}) == len(fields) == 12 + 10 + 2 * 4 + 1
    assert {"share_road", "share_a_b", "mean_red", "std_nir_0_8_m"} <= set(fields)


@pytest.mark.parametrize(("crs", "found"), [(UTM, "EPSG:32633"), (CRS.from_epsg(4326), "EPSG:4326")])
def test_other_programs_find_layer_and_crs(tmp_path, crs, found):
    write_index(tmp_path / "index.gpkg", [made(n) for n in range(3)], crs, BANDS)
    info = pyogrio.read_info(tmp_path / "index.gpkg", layer="tiles")
    assert (info["crs"], info["features"], info["geometry_type"]) == (found, 3, "Polygon")
    assert tuple(info["total_bounds"]) == (500_000, 5_000_000, 500_384, 5_000_128)


def test_pictures_that_lie_nowhere_are_in_the_undefined_cartesian_plane(tmp_path):
    write_index(tmp_path / "index.gpkg", [made()], None, BANDS)
    with sqlite3.connect(tmp_path / "index.gpkg") as database:
        assert database.execute("select srs_id from gpkg_geometry_columns").fetchall() == [(-1,)]


def test_nothing_is_lost_when_writing_fails(tmp_path):
    path = tmp_path / "index.gpkg"
    write_index(path, [made()], UTM, BANDS)
    before = path.read_bytes()
    with pytest.raises(TileSetError, match="rename that file"):
        write_index(path, [made(), made(1, origin="caf\udce9.tif")], UTM, BANDS)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(OutputError, match=r"index.gpkg: cannot be written \(.*missing"):
        write_index(tmp_path / "missing" / "index.gpkg", [made()], UTM, BANDS)


@pytest.mark.slow
@pytest.mark.parametrize("size", [64, 128, 256])
def test_a_full_disk_loses_nothing(tmp_path, size):
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        (disk / "index.gpkg").write_text("an older file")
        with pytest.raises(OutputError, match="cannot be written"):
            write_index(disk / "index.gpkg", [made(n) for n in range(5000)], UTM, BANDS)
        assert [(file.name, file.read_text()) for file in disk.iterdir()] == [("index.gpkg", "an older file")]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def edited(path: Path, *statements: str) -> Path:
    """An index of three tiles after someone's edits."""
    write_index(path, [made(n) for n in range(3)], UTM, BANDS)
    with sqlite3.connect(path) as database:
        for name, kind in database.execute("select name, type from sqlite_master").fetchall():
            if kind == "trigger" and "rtree" in name:  # they call functions that only GIS programs define
                database.execute(f'drop trigger "{name}"')
        for statement in statements:
            database.execute(statement)
    database.close()
    return path


def test_edits_of_split_order_and_number_of_rows_are_read(tmp_path):
    path = edited(
        tmp_path / "index.gpkg",
        "update tiles set split = 'validation', note = null where fid = 3",
        "delete from tiles where fid = 2",
        "alter table tiles add column mine text",
    )
    assert read_index(path) == [made(0), made(2, split="validation")]


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (
            "update tiles set split = 'val' where fid = 2",
            r"row 2, tile c\+00001r\+00000, has the split 'val'.*validation",
        ),
        ("update tiles set split = 'Train' where fid = 1", "row 1, .*'Train'"),
        ("update tiles set split = null where fid = 3", "row 3 has no split; fill it in or delete the row"),
        ("update tiles set width = null where fid = 3", "row 3 has no width"),
        ("update tiles set geom = null where fid = 2", "row 2 has no geom"),
        ("update tiles set sha256 = null", "row 1 has no sha256"),
        ("update tiles set name = 'c+00000r+00000' where fid = 3", "rows 1 and 3 are the same tile; delete one"),
        ("alter table tiles drop column share_road", "columns share_road are gone or changed; restore the index"),
        ("alter table tiles rename column col to column_", "columns col are gone"),
        ("drop table gpkg_metadata_reference", "no longer names its classes and bands"),
        ("update gpkg_metadata set metadata = '<a/>'", "no longer names its classes and bands"),
        ("update gpkg_contents set table_name = 'others' where table_name = 'tiles'", "no readable index"),
    ],
)
def test_impossible_edits_are_told_with_their_row(tmp_path, statement, message):
    path = edited(tmp_path / "index.gpkg", "pragma foreign_keys = off", statement)
    with pytest.raises(TileSetError, match=f"index.gpkg: .*{message}"):
        read_index(path)


def test_what_is_no_index_is_refused(tmp_path):
    write_index(tmp_path / "good.gpkg", [made(n) for n in range(300)], UTM, BANDS)
    good = (tmp_path / "good.gpkg").read_bytes()
    with sqlite3.connect(tmp_path / "other.sqlite") as database:
        database.execute("create table tiles (name text)")
    wrong = {
        "empty": b"",
        "text": b"name,split\n",
        "cut": good[:20_000],
        "other": (tmp_path / "other.sqlite").read_bytes(),
    }
    for name, content in wrong.items():
        (tmp_path / f"{name}.gpkg").write_bytes(content)
    (tmp_path / "folder.gpkg").mkdir()
    for name in (*wrong, "missing", "folder"):
        with pytest.raises(TileSetError, match="restore"):
            read_index(tmp_path / f"{name}.gpkg")


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_reading_writes_nothing_beside_the_index(tmp_path, mode):
    path = edited(tmp_path / "index.gpkg", "update tiles set note = 'x'")
    database = sqlite3.connect(path)
    assert database.execute(f"pragma journal_mode = {mode}").fetchone() == (mode,)
    database.close()
    os.utime(tmp_path, (0, 0))  # the time of a folder changes with every file that comes or goes
    assert len(read_index(path)) == 3
    assert tmp_path.stat().st_mtime == 0


def test_edits_in_a_program_that_is_still_open_are_seen(tmp_path):
    path = edited(tmp_path / "index.gpkg")
    database = sqlite3.connect(path)
    database.execute("pragma journal_mode = wal")
    database.execute("update tiles set split = 'test' where fid = 2")
    database.commit()
    assert [tile.split for tile in read_index(path)] == ["train", "test", "train"]
    database.close()


@given(st.lists(st.tuples(st.integers(), st.sampled_from("abcde")), unique_by=lambda pair: pair[0]))
def test_duplicates_are_all_but_the_first_of_equal_contents(pairs):
    digests = [(f"tile {number}", digest) for number, digest in pairs]
    found = duplicates(digests)
    content = dict(digests)
    assert len(content) - len(found) == len(set(content.values()))
    for name, first in found.items():
        assert content[name] == content[first] and first not in found
        assert list(content).index(first) < list(content).index(name)


LOOK = """
import json, sys
from qgis.core import QgsApplication, QgsProviderRegistry, QgsVectorLayer

application = QgsApplication([], False)
application.initQgis()
layer = QgsVectorLayer(sys.argv[1], "index", "ogr")  # with no layer named, as when the file is dropped on the map
fields = layer.fields()
widget = layer.editorWidgetSetup(fields.indexOf("split"))
found = {
    "layers": [s.name() for s in QgsProviderRegistry.instance().querySublayers(sys.argv[1])],
    "valid": layer.isValid(),
    "features": layer.featureCount(),
    "crs": layer.crs().authid(),
    "extent": layer.extent().toString(0),
    "by": [layer.renderer().type(), layer.renderer().classAttribute()],
    "colors": {c.value(): c.symbol().color().getRgb()[:3] for c in layer.renderer().categories()},
    "choices": [widget.type(), *[value for entry in widget.config()["map"] for value in entry.values()]],
    "aliases": {f.name(): layer.attributeAlias(i) for i, f in enumerate(fields) if layer.attributeAlias(i)},
}
layer.startEditing()
layer.changeAttributeValue(2, fields.indexOf("split"), "test")
found["saved"] = layer.commitChanges()
print(json.dumps(found))
"""


@pytest.mark.slow
def test_qgis_shows_the_split_in_colours_and_its_edits_are_read(tmp_path):
    probe = [QGIS, "-c", "import qgis.core"]
    if not Path(QGIS).exists() or subprocess.run(probe, check=False, capture_output=True).returncode:
        pytest.skip(f"{QGIS} has no QGIS")
    path = tmp_path / "index.gpkg"
    tiles = [made(n, split=split) for n, split in enumerate(COLORS)]
    write_index(path, tiles, UTM, BANDS)
    settings = {"QT_QPA_PLATFORM": "offscreen", "HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    done = subprocess.run([QGIS, "-c", LOOK, str(path)], env=settings, check=False, capture_output=True, text=True)
    assert "Warning" not in done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["layers"], found["valid"], found["features"], found["crs"]) == (["tiles"], True, 4, "EPSG:32633")
    assert found["extent"] == "500000,5000000 : 500512,5000128"
    assert found["by"] == ["categorizedSymbol", "split"]
    assert found["colors"] == {split: list(color) for split, color in COLORS.items()}
    assert found["choices"] == ["ValueMap", *COLORS]
    assert found["aliases"]["share_geb_ude_h_fe"] == "share of Gebäude & <Höfe>"
    assert found["aliases"]["std_near_infrared"] == "deviation of near infrared"
    assert found["saved"]
    assert read_index(path) == [replace(tile, split="test") if n == 1 else tile for n, tile in enumerate(tiles)]
