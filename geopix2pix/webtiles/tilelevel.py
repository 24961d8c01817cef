"""Levels of pyramids of web-map tiles: their pixels on the ground, and which of them fits a grid."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import mercantile
import numpy as np
from rasterio.crs import CRS

from geopix2pix.errors import ConfigError, DownloadError
from geopix2pix.geogrid import Bounds, GeoGrid
from geopix2pix.grid import Window
from geopix2pix.ground import WEB_MERCATOR, full_turn, name, points_in
from geopix2pix.raster import Patch
from geopix2pix.webtiles import terms
from geopix2pix.webtiles.addresses import Address, masked
from geopix2pix.webtiles.download import Network
from geopix2pix.webtiles.mbtiles import MBTiles
from geopix2pix.webtiles.pmtiles import PMTiles
from geopix2pix.webtiles.prefetch import fill
from geopix2pix.webtiles.pyramids import Pyramid, TileCache, TileFolder
from geopix2pix.webtiles.tilepicture import decoded

CRS_OF_TILES = CRS.from_epsg(WEB_MERCATOR)
USUAL_SIDE = 256  # pixels of a tile, until one has been seen

Choice = Callable[[int, Sequence[int]], int]
"""Chooses a zoom among some, ascending, given the pixels across a tile."""
Fetch = Callable[[mercantile.Tile], object]
"""Has a tile in the cache, if that is allowed."""


class Level(NamedTuple):
    """The pixels of a zoom level. Column and row 0 are in the north-west corner of the world; columns go round it."""

    zoom: int
    side: int
    """Pixels of a tile."""

    @property
    def across(self) -> int:
        """Pixels round the world, and from its northern to its southern end."""
        return self.side * int(2**self.zoom)

    @property
    def grid(self) -> GeoGrid:
        left, _, right, top = mercantile.xy_bounds(0, 0, 0)
        return GeoGrid.anchored(CRS_OF_TILES, (right - left) / self.across, (left, top))

    def inside(self, window: Window) -> Window:
        """What lies between the northern and the southern end of the world."""
        top = min(max(window.row, 0), self.across)
        return window._replace(row=top, height=max(min(window.bottom, self.across) - top, 0))

    def tiles(self, window: Window) -> Iterator[tuple[mercantile.Tile, Window]]:
        """The tiles that a window shows, each with where it lies; the same tile again a whole turn further."""
        window, side = self.inside(window), self.side
        if not window.is_empty:
            for row in range(window.row // side, (window.bottom - 1) // side + 1):
                for column in range(window.col // side, (window.right - 1) // side + 1):
                    tile = mercantile.Tile(column % 2**self.zoom, row, self.zoom)
                    yield tile, Window(column * side, row * side, side, side)


def open_pyramid(template: str | Path, cache: Path | None) -> Pyramid:
    """The pyramid that a user means by a template, or by the path of an archive.

    Raises:
        ConfigError: the template is none, its provider prohibits downloads, or a `cache` is needed for it.
        RasterError: the archive cannot be read, or the folder has no tiles.
    """
    text = str(template).removeprefix("xyz:")
    ending = Path(text).suffix.lower() if "{" not in text else ""
    if ending in (".mbtiles", ".pmtiles"):
        if "://" in text:
            raise ConfigError(f"{masked(text)}: archives are read from local files; download it first")
        return MBTiles(Path(text)) if ending == ".mbtiles" else PMTiles(Path(text))
    address = Address.parse(text)
    if not address.is_remote:
        return TileFolder(address)
    terms.check(address.host, address.name)
    if cache is None:
        raise ConfigError(f"{address.name}: tiles of a server are kept in a cache; name a folder for it")
    return TileCache(address, cache)


def fixed(pyramid: Pyramid, zoom: int) -> Choice:
    """The choice of `zoom`.

    Raises:
        ConfigError: the pyramid does not have it.
    """
    if zoom not in pyramid.zooms:
        raise ConfigError(f"{pyramid.name}: has no zoom {zoom}; it has {', '.join(map(str, pyramid.zooms))}")
    return lambda side, zooms: zoom


def fitting(grid: GeoGrid, x: float, y: float) -> Choice:
    """The choice of the zoom whose pixels are nearest in size to those of the grid at a place, by their ratio.

    Raises:
        ConfigError: the grid has no such place, which is given in EPSG:3857.
    """
    col, row = ~grid.transform * point_in(grid.crs, CRS_OF_TILES, x, y)
    corners = grid.places(col + np.array([0.0, 1.0, 0.0]), row + np.array([0.0, 0.0, 1.0]))
    xs, ys = points_in(CRS_OF_TILES, grid.crs, *corners)
    turn = full_turn(CRS_OF_TILES) or math.inf
    right, down = xs[1:] - xs[0], ys[1:] - ys[0]
    right = right - turn * np.rint(right / turn)
    area = abs(float(right[0] * down[1] - right[1] * down[0]))
    if not 0 < area < math.inf:
        where = f"({x:.0f}, {y:.0f}) of EPSG:3857 and {name(grid.crs)}"
        raise ConfigError(f"no zoom fits at {where}, which do not meet there; check the region, or give a zoom")

    def nearest(side: int, zooms: Sequence[int]) -> int:
        return min(zooms, key=lambda zoom: (abs(math.log(turn / Level(zoom, side).across / math.sqrt(area))), -zoom))

    return nearest


def chosen(pyramid: Pyramid, choice: Choice, place: tuple[float, float] | None, fetch: Fetch) -> Level:
    """The level that a choice falls on. Of a server, `place` in EPSG:3857 is where it is asked for tiles.

    What a server has is not known before it is asked: it is asked at the chosen zoom, taking tiles to be of
    `USUAL_SIDE` pixels, then at ever coarser ones until it has a tile there; no finer one is chosen.

    Raises:
        ConfigError: a server is to be asked for no place, or one near a pole.
        DownloadError: a server has no tile there, whatever the zoom.
        RasterError: a tile cannot be read.
    """
    if not isinstance(pyramid, TileCache):
        finest = pyramid.zooms[-1]
        zoom = choice(_side(pyramid, pyramid.first(finest)) or USUAL_SIDE, pyramid.zooms)
        return Level(zoom, _side(pyramid, pyramid.first(zoom)) or USUAL_SIDE)
    if place is None:
        raise ConfigError(f"{pyramid.name}: a server covers the world; name a region or bounds to take of it")
    if not abs(place[1]) <= mercantile.xy_bounds(0, 0, 0).top:
        raise ConfigError(f"{pyramid.name}: the middle of the bounds lies where web maps do not reach; give others")
    longitude, latitude = mercantile.lnglat(*place)
    start = choice(USUAL_SIDE, pyramid.zooms)
    for zoom in range(start, -1, -1):
        tile = mercantile.tile(longitude, latitude, zoom)
        fetch(tile)
        if side := _side(pyramid, tile):
            return Level(choice(side, range(zoom + 1)), side)
    where = f"at {longitude:.6f}, {latitude:.6f} (longitude, latitude)"
    raise DownloadError(f"{pyramid.name}: has no tile {where} from zoom {start} down; check the URL and the region")


def picture(pyramid: Pyramid, tile: mercantile.Tile) -> Patch | None:
    """The picture of a tile; None where there is none.

    Raises:
        RasterError: it cannot be read, or is no picture of a tile.
        DownloadError: it was not downloaded.
    """
    data = pyramid.read(tile)
    return None if data is None else decoded(data, f"{pyramid.name}, tile {tile.z}/{tile.x}/{tile.y}")


def own_pixels(
    template: str | Path,
    zoom: int | None,
    *,
    bounds: Bounds | None = None,
    cache: Path | None = None,
    network: Network | None = None,
) -> tuple[GeoGrid, Window]:
    """The pixels of the level at `zoom`, the finest by default, and the window of them that has all tiles.

    For a server that window are the `bounds`, in EPSG:3857. It needs both; `cache` and `network` are those of
    `SlippyView`.

    Raises:
        ConfigError: the template or the zoom is impossible, or something is missing for a server.
        RasterError, DownloadError: as for `SlippyView`.
    """
    with closing(open_pyramid(template, cache)) as pyramid:
        choice = fixed(pyramid, pyramid.zooms[-1] if zoom is None else zoom)
        if not isinstance(pyramid, TileCache):
            level = chosen(pyramid, choice, None, lambda tile: None)
            blocks = pyramid.blocks(level.zoom)
            left, top = min(block.col for block in blocks), min(block.row for block in blocks)
            right, bottom = max(block.right for block in blocks), max(block.bottom for block in blocks)
            return level.grid, Window(*(level.side * n for n in (left, top, right - left, bottom - top)))
        if zoom is None or bounds is None:
            remedy = "name a zoom, and a region or bounds to take of it"
            raise ConfigError(f"{pyramid.name}: a server covers the world at many zooms; {remedy}")
        middle = (bounds[0] + bounds[2]) / 2, (bounds[1] + bounds[3]) / 2
        level = chosen(pyramid, choice, middle, lambda tile: network and fill(pyramid, [tile], network))
        return level.grid, level.grid.window(bounds)


def point_in(target: CRS, source: CRS, x: float, y: float) -> tuple[float, float]:
    """A point in another CRS; NaN where there is none."""
    x, y = points_in(target, source, np.array([x]), np.array([y]))[:, 0].tolist()
    return x, y


def _side(pyramid: Pyramid, tile: mercantile.Tile | None) -> int:
    """Pixels across a tile; 0 where there is none."""
    shown = picture(pyramid, tile) if tile else None
    return len(shown.valid) if shown else 0
