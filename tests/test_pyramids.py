"""Pyramids of web-map tiles: all kinds of them say the same of the same tiles, and hostile ones are refused."""

import gzip
import json
import os
import shutil
import sqlite3
import struct
import sys
import tracemalloc
import zlib
from pathlib import Path

import mercantile
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pmtiles.tile import Compression, Entry, TileType, serialize_directory, serialize_header

from geopix2pix.errors import ConfigError, DownloadError, OutputError, RasterError
from geopix2pix.grid import Window
from geopix2pix.webtiles.addresses import Address, host_of, masked
from geopix2pix.webtiles.mbtiles import MBTiles
from geopix2pix.webtiles.pmtiles import PMTiles
from geopix2pix.webtiles.pyramids import TileCache, blocks
from geopix2pix.webtiles.tilelevel import open_pyramid
from geopix2pix.webtiles.tilepicture import DamagedError, decoded
from tests.webtiles import (
    encoded,
    pyramid,
    square,
    tile_colors,
    write_folder,
    write_mbtiles,
    write_pmtiles,
)

TILES = pyramid([*square(6, 33, 21), *square(4, 8, 5, 1)])
KINDS = {
    "folder": lambda folder, tiles: write_folder(folder / "maps", tiles),
    "mbtiles": lambda folder, tiles: write_mbtiles(folder / "a.mbtiles", tiles),
    "pmtiles": lambda folder, tiles: write_pmtiles(folder / "a.pmtiles", tiles),
}


@st.composite
def tiles(draw: st.DrawFn) -> mercantile.Tile:
    zoom = draw(st.integers(0, 24))
    return mercantile.Tile(draw(st.integers(0, 2**zoom - 1)), draw(st.integers(0, 2**zoom - 1)), zoom)


# Addresses


@given(tile=tiles())
def test_rows_from_the_south_are_those_from_the_north_turned_over(tile):
    turned = mercantile.Tile(tile.x, 2**tile.z - 1 - tile.y, tile.z)
    north = Address.parse("a/{z}/{x}/{y}.png")
    for place in ("{-y}", "{ty}"):
        south = Address.parse(f"a/{{z}}/{{x}}/{place}.png")
        assert south.of(tile) == north.of(turned)
        assert south.of(turned) == north.of(tile)


@given(tile=tiles())
def test_quadkeys_are_those_of_mercantile(tile):
    for place in ("{q}", "{quadkey}"):
        assert Address.parse(f"a/{place}.jpg").of(tile) == f"a/{mercantile.quadkey(tile)}.jpg"


@given(tile=tiles())
def test_tiles_take_turns_among_sub_domains(tile):
    for template, letters in (("{s}", "abc"), ("{a-d}", "abcd"), ("{1-3}", "123")):
        address = Address.parse(f"https://{template}.example.org/{{z}}/{{x}}/{{y}}@2x.png")
        assert address.host == "example.org"
        urls = {address.of(mercantile.Tile(tile.x, tile.y, 30)), address.of(mercantile.Tile(tile.x + 1, tile.y, 30))}
        assert len(urls) == 2
        host = host_of(address.of(tile))
        assert host[0] in letters
        assert host[1:] == ".example.org"


@pytest.mark.parametrize(
    ("template", "what"),
    [
        ("maps/{x}/{y}.png", "needs {z};"),
        ("maps/{z}/{y}.png", "needs {x};"),
        ("maps/{z}/{x}.png", "needs {y} (or {-y} for TMS rows);"),
        ("maps", "needs {z} and {x} and {y}"),
        ("maps/{z}/{x}/{y}/{r}.png", "{r} has no meaning"),
        ("maps/{s}/{z}/{x}/{y}.png", "{s} has no meaning"),
        ("https://{b-a}.example.org/{z}/{x}/{y}", "{b-a} has no meaning"),
        ("ftp://example.org/{z}/{x}/{y}.png", "http and https alone"),
        ("file:///maps/{z}/{x}/{y}.png", "http and https alone"),
        ("https:///{z}/{x}/{y}.png", "no host"),
        ("https://me:word@example.org/{z}/{x}/{y}.png", "a user name"),
    ],
)
def test_impossible_templates_are_refused(template, what):
    with pytest.raises(ConfigError) as caught:
        Address.parse(template)
    assert what in str(caught.value)
    assert "word" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_prefix_is_dropped():
    assert Address.parse("xyz:a/{z}/{x}/{y}.png") == Address.parse("a/{z}/{x}/{y}.png")
    assert Address.parse("xyz:https://a/{z}/{x}/{y}").is_remote


@pytest.mark.parametrize(
    "name", ["key", "KEY", "apikey", "api_key", "api-key", "access_token", "token", "subscription-key", "sig", "tk"]
)
@pytest.mark.parametrize("before", ["?", "?layer=roads&", "?z={z};"])
def test_keys_are_masked_and_nothing_else_is(name, before):
    secret = "s3cret-%2F.value"
    url = f"https://example.org/{{z}}/{{x}}/{{y}}.png{before}{name}={secret}&style=dark"
    address = Address.parse(url)
    assert address.name == url.replace(secret, "***")
    assert masked(f"no answer from {url} or {url}") == f"no answer from {address.name} or {address.name}"
    assert secret in address.of(mercantile.Tile(0, 0, 0))


@pytest.mark.parametrize("parameter", ["layer", "monkey", "keyboard", "tokens_of_love", "layer_id"])
def test_parameters_that_name_a_layer_are_shown(parameter):
    url = f"https://example.org/{{z}}/{{x}}/{{y}}.png?{parameter}=7"
    assert Address.parse(url).name == url


def test_results_name_a_folder_without_those_around_it():
    assert Address.parse("/home/me/maps/{z}/{x}/{y}.png").label == "maps/{z}/{x}/{y}.png"
    assert Address.parse("maps/{z}/{x}/{y}.png").label == "maps/{z}/{x}/{y}.png"
    assert Address.parse("{z}/{x}/{y}.png").label == "{z}/{x}/{y}.png"


# All kinds of pyramids


@pytest.mark.parametrize("kind", KINDS)
def test_all_kinds_hold_the_same_tiles(tmp_path, kind):
    pyramid = open_pyramid(KINDS[kind](tmp_path, TILES), None)
    assert pyramid.zooms == (4, 6)
    for tile, data in TILES.items():
        assert pyramid.has(tile)
        assert pyramid.read(tile) == data
    assert pyramid.first(6) in TILES
    assert pyramid.first(5) is None
    for absent in (mercantile.Tile(32, 21, 6), mercantile.Tile(33, 21, 7), mercantile.Tile(0, 0, 0)):
        assert not pyramid.has(absent)
        assert pyramid.read(absent) is None
    # PMTiles tell of all levels together: here of the one tile of zoom 4
    assert pyramid.blocks(6) == [Window(32, 20, 4, 4) if kind == "pmtiles" else Window(33, 21, 3, 3)]
    pyramid.close()


@pytest.mark.parametrize("kind", KINDS)
def test_many_tiles_of_many_zooms_are_found_or_not(tmp_path, kind):
    """Enough of them for PMTiles to need directories below the first one."""
    rng = np.random.default_rng(1)
    wanted = {
        mercantile.Tile(int(x), int(y), int(z))
        for z, x, y in zip(rng.integers(9, 13, 6000), *rng.integers(0, 512, (2, 6000)), strict=True)
    }
    tiles = {tile: str(tile).encode() for tile in wanted}
    pyramid = open_pyramid(KINDS[kind](tmp_path, tiles), None)
    assert pyramid.zooms == (9, 10, 11, 12)
    others = {mercantile.Tile(tile.x ^ 1, tile.y, tile.z) for tile in tiles}
    for tile in list(wanted | others)[:2000]:
        assert pyramid.read(tile) == tiles.get(tile)
        assert pyramid.has(tile) == (tile in tiles)
    for zoom in pyramid.zooms:
        assert pyramid.first(zoom) in tiles
        inside = {(tile.x, tile.y) for tile in wanted if tile.z == zoom}
        found = pyramid.blocks(zoom)
        assert all(sum(b.col <= x < b.right and b.row <= y < b.bottom for b in found) == 1 for x, y in inside)
    pyramid.close()


@given(zoom=st.integers(0, 20), data=st.data())
def test_blocks_hold_each_tile_once_and_touch_tiles_on_all_sides(zoom, data):
    number = st.integers(0, 2**zoom - 1)
    places = data.draw(st.lists(st.tuples(number, number), max_size=30))
    found = blocks(zoom, places)
    for x, y in places:
        assert sum(block.intersection(Window(x, y, 1, 1)).width == 1 for block in found if _meets(block, x, y)) == 1
    for block in found:
        inside = [(x, y) for x, y in places if _meets(block, x, y)]
        columns, rows = {x for x, _ in inside}, {y for _, y in inside}
        assert (min(columns), max(columns) + 1) == (block.col, block.right)
        assert (min(rows), max(rows) + 1) == (block.row, block.bottom)


def _meets(block, x, y):
    return block.col <= x < block.right and block.row <= y < block.bottom


@pytest.mark.parametrize("kind", KINDS)
def test_a_change_of_the_tiles_changes_the_identity(tmp_path, kind):
    made = KINDS[kind](tmp_path, TILES)
    with_all = open_pyramid(made, None).identity(6)
    assert open_pyramid(made, None).identity(6) == with_all
    assert json.loads(json.dumps(with_all)) == with_all
    assert str(tmp_path) not in json.dumps(with_all)
    shutil.rmtree(tmp_path)
    tmp_path.mkdir()
    tiles = dict(TILES)
    del tiles[mercantile.Tile(34, 22, 6)]
    assert open_pyramid(KINDS[kind](tmp_path, tiles), None).identity(6) != with_all


@pytest.mark.parametrize(
    "template", ["{z}/{x}/{-y}.png", "{z}/{x}/{ty}.jpg", "{z}-{x}_{y}.png", "q/{quadkey}.png", "{q}"]
)
def test_folders_of_every_form(tmp_path, template):
    folder = open_pyramid(write_folder(tmp_path / "a [b]", TILES, template), None)
    assert folder.zooms == (4, 6)
    assert all(folder.read(tile) == data for tile, data in TILES.items())
    assert folder.blocks(6) == [Window(33, 21, 3, 3)]


def test_files_that_are_no_tiles_are_left_alone(tmp_path):
    template = write_folder(tmp_path, TILES)
    for name in ("6/33/99.png", "6/33/021.png", "6/33/x.png", "6/33/21.png.aux.xml", "readme.png", "7/1/notes.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    folder = open_pyramid(template, None)
    assert folder.zooms == (4, 6)
    assert folder.blocks(6) == [Window(33, 21, 3, 3)]


def test_a_folder_without_tiles_is_told(tmp_path):
    for template in ("{z}/{x}/{y}.png", "none/{z}/{x}/{y}.png"):
        with pytest.raises(RasterError, match="no tile lies there; check the folder"):
            open_pyramid(f"{tmp_path}/{template}", None)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_what_is_no_file_is_no_tile(tmp_path):
    template = write_folder(tmp_path, TILES)
    (tmp_path / "6/33/21.png").unlink()
    os.mkfifo(tmp_path / "6/33/21.png")  # reading it would wait for ever
    folder = open_pyramid(template, None)
    assert not folder.has(mercantile.Tile(33, 21, 6))
    assert folder.read(mercantile.Tile(33, 21, 6)) is None


# The cache


def test_what_is_kept_comes_back_and_what_was_never_asked_for_is_no_hole(tmp_path):
    cache = TileCache(Address.parse("https://example.org/{z}/{x}/{y}?key=abc"), tmp_path)
    there, absent, unknown = square(3, 1, 1, 2)[:3]
    cache.keep(there, b"picture")
    cache.keep(absent, b"")
    assert (cache.read(there), cache.read(absent)) == (b"picture", None)
    assert (cache.has(there), cache.has(absent), cache.has(unknown)) == (True, False, True)
    with pytest.raises(DownloadError, match=r"3/1/2\?key=\*\*\*: is not in the cache") as caught:
        cache.read(unknown)
    assert "abc" not in str(caught.value)
    assert not [path for path in tmp_path.rglob("*") if ".tmp" in path.name or "abc" in path.name]


def test_maps_do_not_share_a_cache_unless_only_their_keys_differ(tmp_path):
    url = "https://example.org/{z}/{x}/{y}?layer=1&key=a"
    same, other = url.replace("key=a", "key=b"), url.replace("layer=1", "layer=2")
    folders = [TileCache(Address.parse(u), tmp_path).folder for u in (url, same, other)]
    assert folders[0] == folders[1] != folders[2]
    assert {folder.parent for folder in folders} == {tmp_path}


@pytest.mark.parametrize("host", ["../../etc", "[::1]:80", "a" * 60, "EXAMPLE.org:8080"])
def test_no_host_leads_out_of_the_cache(tmp_path, host):
    cache = TileCache(Address(f"https://{host}/{{z}}/{{x}}/{{y}}"), tmp_path)
    assert cache.folder.resolve().parent == tmp_path.resolve()
    cache.keep(mercantile.Tile(0, 0, 0), b"x")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is closed to the superuser")
def test_a_cache_that_is_closed_to_us_is_told(tmp_path):
    tmp_path.chmod(0o500)
    cache = TileCache(Address.parse("https://example.org/{z}/{x}/{y}"), tmp_path)
    with pytest.raises(OutputError, match="cannot be cached"):
        cache.keep(mercantile.Tile(0, 0, 0), b"x")


def test_a_file_in_the_place_of_the_cache_is_told(tmp_path):
    (tmp_path / "cache").write_text("x")
    cache = TileCache(Address.parse("https://example.org/{z}/{x}/{y}"), tmp_path / "cache")
    with pytest.raises(OutputError, match="name another cache folder"):
        cache.keep(mercantile.Tile(0, 0, 0), b"x")
    with pytest.raises(DownloadError, match="is not in the cache"):
        cache.read(mercantile.Tile(0, 0, 0))


def test_a_server_needs_a_cache_and_an_archive_of_it_is_not_read():
    with pytest.raises(ConfigError, match="name a folder for it"):
        open_pyramid("https://example.org/{z}/{x}/{y}", None)
    with pytest.raises(ConfigError, match="download it first"):
        open_pyramid("https://example.org/a.pmtiles", None)


# MBTiles


def test_what_an_archive_says_of_its_makers_is_plain_text(tmp_path):
    said = '<a href="https://example.org/?key=1">&copy; Someone</a>\n<b>and</b>\u0007 others' + " x" * 1000
    for archive in (
        MBTiles(write_mbtiles(tmp_path / "a.mbtiles", TILES, attribution=said)),
        PMTiles(write_pmtiles(tmp_path / "a.pmtiles", TILES, attribution=said)),
    ):
        assert archive.attribution.startswith("© Someone and others x x")
        assert len(archive.attribution) == 500
    assert MBTiles(write_mbtiles(tmp_path / "b.mbtiles", TILES)).attribution == ""


def test_nothing_is_written_beside_an_archive(tmp_path):
    path = write_mbtiles(tmp_path / "a.mbtiles", TILES)
    before, inside = path.stat(), path.read_bytes()
    archive = MBTiles(path)
    archive.read(next(iter(TILES)))
    assert list(tmp_path.iterdir()) == [path]
    archive.close()
    assert (path.stat().st_mtime_ns, path.read_bytes()) == (before.st_mtime_ns, inside)


def test_an_archive_that_is_being_written_is_refused(tmp_path):
    path = write_mbtiles(tmp_path / "a.mbtiles", TILES)
    writer = sqlite3.connect(path)
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("DELETE FROM tiles WHERE zoom_level = 4")
    writer.commit()
    with pytest.raises(RasterError, match=r"is being written, or was not closed: see a\.mbtiles-wal"):
        MBTiles(path)
    writer.close()
    assert MBTiles(path).zooms == (6,)


def test_views_without_an_index_are_archives_too(tmp_path):
    path = write_mbtiles(tmp_path / "a.mbtiles", TILES)
    database = sqlite3.connect(path)
    database.executescript(
        "ALTER TABLE tiles RENAME TO stored; CREATE TABLE images AS SELECT DISTINCT tile_data, hex(tile_data) AS id "
        "FROM stored; CREATE TABLE map AS SELECT zoom_level, tile_column, tile_row, hex(tile_data) AS id FROM stored; "
        "CREATE VIEW tiles AS SELECT zoom_level, tile_column, tile_row, tile_data FROM map JOIN images USING (id); "
        "DROP TABLE metadata"
    )
    database.close()
    archive = MBTiles(path)
    assert archive.zooms == (4, 6)
    assert all(archive.read(tile) == data for tile, data in TILES.items())


HOSTILE = {
    "a view without an end": (
        "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n) "
        "SELECT 4 AS zoom_level, 0 AS tile_column, 0 AS tile_row, NULL AS tile_data FROM n WHERE i < 0",
        "took more than 3 million instructions",
    ),
    "a view that loads code": (
        "SELECT load_extension('evil') AS zoom_level, 0 AS tile_column, 0 AS tile_row, NULL AS tile_data",
        "is no whole MBTiles archive",
    ),
    "a tile beyond the world": (
        "SELECT 4 AS zoom_level, 16 AS tile_column, 0 AS tile_row, x'00' AS tile_data",
        "column 16, row 0 of zoom 4, which there is not",
    ),
    "numbers as words": (
        "SELECT 4 AS zoom_level, 'x' AS tile_column, 0 AS tile_row, x'00' AS tile_data",
        "column 'x', row 0 of zoom 4",
    ),
    "no tiles": (
        "SELECT 4 AS zoom_level, 0 AS tile_column, 0 AS tile_row, x'00' AS tile_data WHERE 0",
        "holds no tiles",
    ),
    "no columns": ("SELECT 1 AS one", "no such column"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_databases_are_refused(tmp_path, name):
    view, what = HOSTILE[name]
    database = sqlite3.connect(tmp_path / "a.mbtiles")
    database.execute(f"CREATE VIEW tiles AS {view}")
    database.commit()
    database.close()
    with pytest.raises(RasterError) as caught:
        MBTiles(tmp_path / "a.mbtiles", max_steps=3)
    assert what in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_tile_of_a_gigabyte_is_refused_without_reading_it(tmp_path):
    path = write_mbtiles(tmp_path / "a.mbtiles", TILES)
    database = sqlite3.connect(path)
    database.execute("UPDATE tiles SET tile_data = NULL WHERE zoom_level = 4")
    database.execute("ALTER TABLE tiles RENAME TO stored")
    database.execute(
        "CREATE VIEW tiles AS SELECT zoom_level, tile_column, tile_row, "
        "CASE WHEN zoom_level = 6 THEN zeroblob(900000000) ELSE tile_data END AS tile_data FROM stored"
    )
    database.commit()
    database.close()
    archive = MBTiles(path)
    tracemalloc.start()
    try:
        with pytest.raises(RasterError, match="holds 900000000 bytes"):
            archive.read(mercantile.Tile(33, 21, 6))
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
    assert archive.read(mercantile.Tile(8, 5, 4)) is None


def test_a_tile_of_letters_is_refused(tmp_path):
    path = write_mbtiles(tmp_path / "a.mbtiles", {mercantile.Tile(0, 0, 0): "<html>"})
    with pytest.raises(RasterError, match="holds 6 letters"):
        MBTiles(path).read(mercantile.Tile(0, 0, 0))


@pytest.mark.parametrize("kind", ["pbf", "application/vnd.mapbox-vector-tile", "avif", "TIFF"])
def test_archives_of_what_are_no_pictures_are_refused(tmp_path, kind):
    path = write_mbtiles(tmp_path / "a.mbtiles", TILES, format=kind)
    with pytest.raises(RasterError, match=f"of the format '{kind.lower()}'"):
        MBTiles(path)


@pytest.mark.parametrize("kind", ["png", "jpg", "jpeg", "webp", "image/png", "image/jpeg", "PNG"])
def test_archives_of_pictures_are_read_whatever_they_call_them(tmp_path, kind):
    assert MBTiles(write_mbtiles(tmp_path / "a.mbtiles", TILES, format=kind)).zooms == (4, 6)


@pytest.mark.parametrize("ending", [".mbtiles", ".pmtiles"])
def test_broken_archives_are_refused_at_any_length(tmp_path, ending):
    whole = (KINDS[ending[1:]])(tmp_path, TILES)
    data = whole.read_bytes()
    path = tmp_path / f"broken{ending}"
    with pytest.raises(RasterError, match="No such file"):
        open_pyramid(path, None)
    for content in (b"", b"<html>not here</html>" * 30, data[:60], data[: len(data) // 3], data[::-1]):
        path.write_bytes(content)
        with pytest.raises(RasterError):
            archive = open_pyramid(path, None)
            for tile in TILES:
                archive.read(tile)


@pytest.mark.parametrize("ending", [".mbtiles", ".pmtiles"])
def test_damaged_archives_are_told_or_read(tmp_path, ending):
    """Whatever byte is wrong, there is an error of ours or an answer, and it comes soon."""
    data = bytearray((KINDS[ending[1:]])(tmp_path, TILES).read_bytes())
    path = tmp_path / f"damaged{ending}"
    rng = np.random.default_rng(3)
    for position in [*range(127), *rng.integers(0, len(data), 150).tolist()]:
        damaged = data.copy()
        damaged[position] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged)
        try:
            archive = MBTiles(path, max_steps=20) if ending == ".mbtiles" else PMTiles(path)
            for tile in TILES:
                archive.read(tile)
            for zoom in archive.zooms:
                archive.blocks(zoom)
            archive.close()
        except RasterError as error:
            assert str(path) in str(error)


# PMTiles


def pmtiles_of(path: Path, root: bytes, leaves: bytes = b"", **header: object) -> Path:
    """An archive with directories of our own making and one tile of one byte."""
    fields = {
        "root_offset": 127,
        "root_length": len(root),
        "metadata_offset": 0,
        "metadata_length": 0,
        "leaf_directory_offset": 127 + len(root),
        "leaf_directory_length": len(leaves),
        "tile_data_offset": 127 + len(root) + len(leaves),
        "tile_data_length": 1,
        "clustered": True,
        "internal_compression": Compression.GZIP,
        "tile_compression": Compression.NONE,
        "tile_type": TileType.PNG,
        "min_zoom": 0,
        "max_zoom": 0,
    }
    path.write_bytes(serialize_header(fields | header) + root + leaves + b"x")
    return path


def test_a_run_of_equal_tiles_is_found_from_its_first_to_its_last(tmp_path):
    sea = encoded(np.full((3, 32, 32), 7))
    tiles = dict.fromkeys(square(5, 8, 8, 8), sea) | {mercantile.Tile(3, 3, 5): encoded(np.full((3, 32, 32), 9))}
    archive = PMTiles(write_pmtiles(tmp_path / "a.pmtiles", tiles))
    every = square(5, 0, 0, 32)
    assert {tile for tile in every if archive.has(tile)} == set(tiles)
    assert all(archive.read(tile) == tiles.get(tile) for tile in every)


def test_directories_that_lead_back_to_themselves_end(tmp_path):
    length = next(n for n in range(99) if len(serialize_directory([Entry(0, 0, n, 0)])) == n)
    itself = serialize_directory([Entry(0, 0, length, 0)])
    root = serialize_directory([Entry(0, 0, length, 0), Entry(1, 0, 1, 1)])
    archive = PMTiles(pmtiles_of(tmp_path / "a.pmtiles", root, itself, max_zoom=1))
    assert archive.zooms == (1,)
    with pytest.raises(RasterError, match="nested more than 4 deep"):
        archive.read(mercantile.Tile(0, 0, 0))


def test_a_directory_that_unpacks_to_gigabytes_is_refused_at_once(tmp_path):
    bomb = gzip.compress(b"\0" * (64 * 2**20), mtime=0)
    path = pmtiles_of(tmp_path / "a.pmtiles", bomb)
    tracemalloc.start()
    try:
        with pytest.raises(RasterError, match="holds more than 2097152 bytes in one place"):
            PMTiles(path)
        assert tracemalloc.get_traced_memory()[1] < 16 * 2**20
    finally:
        tracemalloc.stop()


def test_numbers_of_a_million_digits_are_refused(tmp_path):
    path = pmtiles_of(tmp_path / "a.pmtiles", gzip.compress(b"\x01" + b"\xff" * 2**20 + b"\x01", mtime=0))
    with pytest.raises(RasterError, match="holds impossible numbers"):
        PMTiles(path)


@pytest.mark.parametrize(
    ("header", "what"),
    [
        ({"tile_type": TileType.MVT}, "of the format 'mvt': vectors"),
        ({"tile_type": TileType.AVIF}, "of the format 'avif'"),
        ({"internal_compression": Compression.BROTLI}, "packed by brotli, not gzip"),
        ({"root_length": 2**40}, "needs 1099511627776 bytes at 127"),
        ({"root_offset": 2**63}, "needs 2"),
        ({"min_zoom": 5, "max_zoom": 2}, "holds no tiles"),
        ({"min_zoom": 200, "max_zoom": 255}, "holds no tiles"),
    ],
)
def test_headers_that_cannot_be_followed_are_told(tmp_path, header, what):
    root = serialize_directory([Entry(0, 0, 1, 1)])
    assert PMTiles(pmtiles_of(tmp_path / "a.pmtiles", root)).read(mercantile.Tile(0, 0, 0)) == b"x"
    with pytest.raises(RasterError) as caught:
        PMTiles(pmtiles_of(tmp_path / "a.pmtiles", root, **header))
    assert what in str(caught.value)


def test_a_tile_beyond_the_end_of_the_file_is_told(tmp_path):
    for entry in (Entry(0, 10**6, 1, 1), Entry(0, 0, 2**31, 1), Entry(0, 2**62, 1, 1)):
        archive = PMTiles(pmtiles_of(tmp_path / "a.pmtiles", serialize_directory([entry])))
        with pytest.raises(RasterError, match="replace the file"):
            archive.read(mercantile.Tile(0, 0, 0))


def test_a_package_that_is_missing_is_named(tmp_path, monkeypatch):
    path = write_pmtiles(tmp_path / "a.pmtiles", TILES)
    monkeypatch.setitem(sys.modules, "pmtiles", None)
    with pytest.raises(ConfigError, match=r"pip install 'geopix2pix\[tiles\]'"):
        PMTiles(path)


# The pictures of tiles


TILE = mercantile.Tile(3, 5, 4)
RGB = tile_colors(TILE)


@pytest.mark.parametrize(
    ("kind", "options"),
    [("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"})],
)
def test_lossless_pictures_come_back_bit_for_bit(kind, options):
    for data in (encoded(RGB, kind, **options), gzip.compress(encoded(RGB, kind, **options))):
        patch = decoded(data, "tile")
        assert np.array_equal(patch.data, RGB)
        assert patch.valid.all()


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_where_alpha_is_0_a_pixel_is_not_valid(kind):
    alpha = np.arange(32 * 32, dtype=np.uint8).reshape(1, 32, 32)
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    patch = decoded(encoded(np.concatenate([RGB, alpha]), kind, **options), "tile")
    assert np.array_equal(patch.valid, alpha[0] != 0)
    assert np.array_equal(patch.data, RGB)


def test_grey_is_repeated_in_all_bands_whatever_its_depth():
    alpha = (np.indices((32, 32)).sum(axis=0) % 2 * 255).astype(np.uint8)[None]
    for data in (encoded(RGB[:1]), encoded(RGB[:1], "TIFF")):
        assert np.array_equal(decoded(data, "tile").data, np.repeat(RGB[:1], 3, axis=0))
    patch = decoded(encoded(np.concatenate([RGB[:1], alpha])), "tile")
    assert np.array_equal(patch.data, np.repeat(RGB[:1], 3, axis=0))
    assert np.array_equal(patch.valid, alpha[0] != 0)
    for bits in (1, 2, 4):
        steps = np.arange(2**bits).repeat(8 // 2**bits if bits < 4 else 1)[:16]
        side = 16
        values = np.tile(steps[:side], (side, side // len(steps[:side]) + 1))[:, :side]
        patch = decoded(grey_png(values, bits), "tile")
        assert np.array_equal(patch.data[0], values * 255 // (2**bits - 1))


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def grey_png(values: np.ndarray, bits: int) -> bytes:
    """A grey PNG of fewer than 8 bits."""
    planes = (values[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    rows = np.packbits(planes.reshape(len(values), -1).astype(np.uint8), axis=1)
    lines = b"".join(b"\0" + row.tobytes() for row in rows)
    return png_of(len(values), bits, 0, lines)


def png_of(side: int, bits: int, color: int, lines: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, bits, color, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_palettes_are_expanded_and_their_transparent_colours_are_holes(kind):
    index = np.indices((32, 32)).sum(axis=0) % 16
    colors = np.random.default_rng(1).integers(0, 256, (16, 3), dtype=np.uint8)
    image = Image.fromarray(index.astype(np.uint8))
    image.putpalette(colors.tobytes())
    cases = {None: [], 3: [3]} | ({bytes([0, 255, 0, 128] + [255] * 12): [0, 2]} if kind == "PNG" else {})
    for transparency, holes in cases.items():
        data = save(image, kind, **({} if transparency is None else {"transparency": transparency}))
        patch = decoded(data, "tile")
        assert np.array_equal(patch.valid, ~np.isin(index, holes))
        assert np.array_equal(patch.data[:, patch.valid], colors[index].transpose(2, 0, 1)[:, patch.valid])


def save(image: Image.Image, kind: str, **options: object) -> bytes:
    import io

    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def test_a_colour_that_means_transparency_is_a_hole():
    image = Image.fromarray(RGB.transpose(1, 2, 0))
    color = tuple(int(value) for value in RGB[:, 4, 9])
    patch = decoded(save(image, "PNG", transparency=color), "tile")
    assert np.array_equal(patch.valid, ~(np.array(color)[:, None, None] == RGB).all(axis=0))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "TIFF"])
def test_pictures_that_are_cut_off_are_told_at_any_length(kind):
    noise = np.random.default_rng(2).integers(0, 256, (3, 64, 64))
    data = encoded(noise, kind) if kind != "GIF" else save(Image.fromarray(noise[0].astype(np.uint8)), "GIF")
    decoded(data, "tile")
    for length in (12, len(data) // 3, len(data) // 2, len(data) - 30):
        with pytest.raises(DamagedError, match="tile: holds a damaged"):
            decoded(data[:length], "tile")


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "found nothing"),
        (
            b"<!DOCTYPE html>\n<title>Too many\nrequests</title>",
            "found the text '<!DOCTYPE html> <title>Too many requests",
        ),
        (b"\x00\x01\x02\x03" * 9, "36 bytes that begin with 00 01 02 03"),
        (gzip.compress(b"\x1a\x0bvector tile" * 3), "found"),
        (encoded(RGB[:, :16]), "is 32 x 16 pixels"),
        (encoded(np.ones((3, 20, 20))), "is 20 x 20 pixels"),
        (encoded(np.ones((1, 8192, 8192))), "is 8192 x 8192 pixels"),
        (png_of(60000, 8, 6, b"\0" * 10), "is 60000 x 60000 pixels"),
        (png_of(32, 16, 0, b"\0" * 65 * 32), "holds 1 x uint16"),
        (b"\x1f\x8b" + b"\0" * 30, "the gzip around it"),
        (gzip.compress(encoded(RGB))[:-30], "the gzip around it ends too early"),
        (gzip.compress(b"\0" * 2**27), "unpacks to 67108864 bytes or more"),
    ],
    ids=range(12),  # compressed data hold the time, by which tests must not be named
)
def test_what_is_no_tile_is_told(data, what):
    with pytest.raises(RasterError) as caught:
        decoded(data, "maps, tile 1/2/3")
    assert what in str(caught.value)
    assert str(caught.value).startswith("maps, tile 1/2/3: ")
    assert "\n" not in str(caught.value)


def test_moving_pictures_are_no_tiles():
    first = Image.fromarray(RGB[0])
    moving = save(first, "GIF", save_all=True, append_images=[Image.fromarray(RGB[1])])
    with pytest.raises(RasterError, match="holds several frames"):
        decoded(moving, "tile")
