"""Tile sets whose map, or image, is a web map: in a folder, an archive, or on a server."""

from pathlib import Path

import mercantile
import numpy as np
import pytest
import rasterio

from geopix2pix.errors import Cancelled, ConfigError, DownloadError, TileSetWarning
from geopix2pix.grid import Window
from geopix2pix.tilesets.building import build
from geopix2pix.tilesets.request import Request
from geopix2pix.tilesets.tileset import TileSet
from geopix2pix.webtiles.tilelevel import Level
from tests.rasters import write_raster
from tests.test_building import listing
from tests.test_download import SECRET, TileServer, server  # noqa: F401 - a fixture
from tests.webtiles import SIDE, colors, pyramid, square, write_folder, write_mbtiles, write_pmtiles

pytestmark = pytest.mark.filterwarnings(f"ignore::{TileSetWarning.__module__}.TileSetWarning")

ZOOM, X, Y, COUNT = 12, 2200, 1340, 4
TILES = square(ZOOM, X, Y, COUNT)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """The very picture that the tiles were cut from, as a GeoTIFF in the CRS of web maps."""
    window = Window(X * SIDE, Y * SIDE, COUNT * SIDE, COUNT * SIDE)
    grid = Level(ZOOM, SIDE).grid
    return write_raster(tmp_path / "image.tif", colors(window), crs=grid.crs, transform=grid.transform_of(window))


def request(source: str | Path, target: str | Path, **fields) -> Request:
    given = {"size": SIDE, "zoom": ZOOM, "origin": "source", "coverage": 0.9}
    return Request(sources=(str(source),), targets=(str(target),), **given | fields)


def assert_sides_are_equal(folder: Path, count: int) -> TileSet:
    tiles = TileSet.open(folder)
    assert len(tiles.tiles) == count
    for tile in tiles.tiles:
        with rasterio.open(tiles.path("source", tile)) as source, rasterio.open(tiles.path("target", tile)) as target:
            np.testing.assert_array_equal(source.read(), target.read())
    return tiles


@pytest.mark.parametrize("kind", ["folder", "mbtiles", "pmtiles"])
@pytest.mark.parametrize("side", ["target", "source"])
def test_a_web_map_lies_pixel_on_pixel_over_the_image_it_shows(tmp_path, image, kind, side):
    made = pyramid(TILES)
    if kind == "folder":
        web = f"xyz:{write_folder(tmp_path / 'map', made)}"
    elif kind == "mbtiles":
        web = write_mbtiles(tmp_path / "map.mbtiles", made, attribution="© the makers")
    else:
        web = write_pmtiles(tmp_path / "map.pmtiles", made, attribution="© the makers")
    sides = (image, web) if side == "target" else (web, image)
    tiles = assert_sides_are_equal(build(request(*sides), tmp_path / "tiles"), COUNT**2)
    assert tiles.about.attributions == (() if kind == "folder" else ("© the makers",))


def test_a_server_is_asked_once_for_each_tile_and_recorded(tmp_path, image, server: TileServer):  # noqa: F811
    web = server.template
    with pytest.warns(TileSetWarning, match="terms of use"):
        build(request(image, web, cache=tmp_path / "cache", attributions=("© me",)), tmp_path / "tiles")
    tiles = TileSet.open(tmp_path / "tiles")
    assert len(tiles.tiles) == COUNT**2
    assert len(server.paths) == len(set(server.paths))
    assert tiles.about.attributions == ("© me",)
    assert SECRET not in (tmp_path / "tiles" / "tileset.json").read_text()
    asked = len(server.paths)
    build(request(image, web, cache=tmp_path / "cache", attributions=("© me",)), tmp_path / "again")
    assert len(server.paths) == asked
    assert listing(tmp_path / "again") == listing(tmp_path / "tiles")


def test_what_a_server_sent_before_a_stop_is_not_asked_for_again(tmp_path, image, server: TileServer):  # noqa: F811
    def progress(event):
        if event.stage == "download" and event.done == 5:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        build(request(image, server.template), tmp_path / "tiles", progress=progress)
    build(request(image, server.template), tmp_path / "tiles")
    assert_sides_are_equal(tmp_path / "tiles", COUNT**2)
    assert sum(count > 1 for count in server.asked.values()) <= 8  # 4 requests that were under way and 4 that waited


def test_a_server_as_the_image_needs_a_region_and_a_zoom(tmp_path, image, server: TileServer):  # noqa: F811
    web = server.template
    with pytest.raises(ConfigError, match="region and a zoom"):
        build(request(web, image), tmp_path / "tiles")
    bounds = mercantile.xy_bounds(TILES[0])
    build(request(web, image, bounds=tuple(bounds), coverage=0.9), tmp_path / "tiles")
    assert_sides_are_equal(tmp_path / "tiles", 1)


def test_a_server_that_sends_pages_is_one_line_and_leaves_no_set(tmp_path, image, server: TileServer):  # noqa: F811
    server.answer = lambda handler, tile, time: handler.send(200, b"<html>please log in</html>", "text/html")
    with pytest.raises(DownloadError, match="please log in") as caught:
        build(request(image, server.template, cache=tmp_path / "cache"), tmp_path / "tiles")
    assert "\n" not in str(caught.value) and SECRET not in str(caught.value)
    assert not (tmp_path / "tiles").exists() and not (tmp_path / "tiles.part").exists()
