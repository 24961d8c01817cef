"""Web-map tiles of a finished map: a folder of pictures, an MBTiles or a PMTiles archive."""

import io
import json
import math
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import mercantile
import numpy as np
import numpy.typing as npt

from geopix2pix.aligned import AlignedView
from geopix2pix.errors import ConfigError, OutputError
from geopix2pix.gdal import PROGRAMMING_MISTAKES
from geopix2pix.geogrid import GeoGrid
from geopix2pix.grid import Window
from geopix2pix.ground import points_in
from geopix2pix.kernel import Kernel
from geopix2pix.progress import Event, Progress
from geopix2pix.raster import RasterReader
from geopix2pix.webtiles.tilelevel import CRS_OF_TILES, Level, fitting

SIDE = 256
ZOOMS = range(25)
TEMPLATE = "{z}/{x}/{y}.png"
ENDINGS = (".mbtiles", ".pmtiles")

Pixels = npt.NDArray[np.uint8]
"""Red, green, blue and alpha, shape (4, rows, cols)."""


def tiles_target(text: str) -> Path:
    """The archive, or the folder, that web-map tiles go to: `OUT.mbtiles`, `OUT.pmtiles`, `xyz:DIR/{z}/{x}/{y}.png`.

    Raises:
        ConfigError: the text is none of these, or PMTiles cannot be written here.
    """
    plain = text.removeprefix("xyz:")
    if plain.endswith(f"/{TEMPLATE}"):
        return Path(plain.removesuffix(f"/{TEMPLATE}"))
    path = Path(plain)
    if path.suffix.lower() not in ENDINGS or "{" in plain:
        raise ConfigError(f"--tiles {text}: give OUT.mbtiles, OUT.pmtiles or xyz:FOLDER/{TEMPLATE}")
    if path.suffix.lower() == ".pmtiles":
        _pmtiles_library(path)
    return path


def write_tiles(
    file: Path, raster: Path, name: str, *, nearest: bool, smooth: bool, attribution: str, progress: Progress
) -> None:
    """Write the picture `raster`, a GeoTIFF of 8-bit bands, as web-map tiles to `file`.

    An ending of .mbtiles or .pmtiles makes an archive, any other name a folder. The finest zoom is that whose pixels
    are nearest in size to the raster's, the coarsest that in which all of it lies on one tile. On each finer level a
    pixel shows the raster's under its middle (`nearest`) or a value between them; on coarser ones the mean of four of
    the level below (`smooth`) or the first of them.

    Raises:
        SceneError: the raster does not tell where it lies.
        OutputError: the tiles cannot be written.
    """
    archive = file if file.suffix == ".mbtiles" else file.with_name(f"{file.name}.mbtiles")
    try:
        with closing(sqlite3.connect(archive)) as database:
            _begin(database)
            zooms, bounds = _fill(database, raster, nearest=nearest, smooth=smooth, progress=progress)
            described = _metadata(name, zooms, bounds, attribution)
            database.executemany("INSERT INTO metadata VALUES (?, ?)", described.items())
            database.commit()
            if file.suffix == ".pmtiles":
                _write_pmtiles(file, database, described, bounds, zooms)
            elif file != archive:
                _write_folder(file, database)
        if file != archive:
            archive.unlink()
    except PROGRAMMING_MISTAKES:
        raise
    except (OSError, sqlite3.Error) as error:
        raise OutputError(f"{file}: cannot be written ({error}); make room, or choose another place") from error


def _begin(database: sqlite3.Connection) -> None:
    database.executescript(
        "PRAGMA application_id = 0x4d504258;"  # as MBTiles 1.3 asks
        "PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY;"
        "CREATE TABLE metadata (name TEXT PRIMARY KEY, value TEXT);"
        "CREATE TABLE tiles (zoom_level INTEGER, tile_column INTEGER, tile_row INTEGER, tile_data BLOB,"
        " PRIMARY KEY (zoom_level, tile_column, tile_row)) WITHOUT ROWID;"
    )


def _fill(
    database: sqlite3.Connection, raster: Path, *, nearest: bool, smooth: bool, progress: Progress
) -> tuple[range, tuple[float, float, float, float]]:
    """All tiles; their zooms, and the bounds of the raster in degrees."""
    with RasterReader(raster, max_pixels=2**62) as reader:
        own, extent = GeoGrid.of(reader), reader.extent
    left, bottom, right, top = own.bounds_in(CRS_OF_TILES, extent)
    finest = fitting(own, (left + right) / 2, (bottom + top) / 2)(SIDE, ZOOMS)
    level = Level(finest, SIDE)
    window = level.inside(level.grid.window((left, bottom, right, top)))
    coarsest = finest
    while coarsest and not _on_one_tile(window, finest - coarsest):
        coarsest -= 1
    kernel: Kernel = "nearest" if nearest else "bilinear"
    with closing(AlignedView([raster], level.grid, kernel=kernel, max_pixels=2**62)) as view:
        places = list(level.tiles(window))
        for done, (tile, place) in enumerate(places):
            progress(Event("tiles", done, len(places), "tiles"))
            if view.covers(place):
                data, valid = view.read(place)
                if valid.any():
                    color = data if len(data) == 3 else np.repeat(data[:1], 3, axis=0)
                    _put(database, tile, np.concatenate([color, valid[None] * np.uint8(255)]))
    for zoom in range(finest - 1, coarsest - 1, -1):
        for column, row in _parents(database, zoom):
            tile = mercantile.Tile(column, 2**zoom - 1 - row, zoom)
            _put(database, tile, _shrunk(lambda child: _get(database, child), tile, smooth))
    progress(Event("tiles", len(places), len(places), "tiles"))
    lon, lat = points_in(_wgs84(), CRS_OF_TILES, np.array([left, right]), np.array([bottom, top]))
    return range(coarsest, finest + 1), (float(lon[0]), float(lat[0]), float(lon[1]), float(lat[1]))


def _on_one_tile(window: Window, levels: int) -> bool:
    side = SIDE << levels
    return window.col // side == (window.right - 1) // side and window.row // side == (window.bottom - 1) // side


def _parents(database: sqlite3.Connection, zoom: int) -> Iterator[tuple[int, int]]:
    rows = database.execute(
        "SELECT DISTINCT tile_column / 2, tile_row / 2 FROM tiles WHERE zoom_level = ? ORDER BY 1, 2", (zoom + 1,)
    )
    yield from rows.fetchall()


def _shrunk(child: Callable[[mercantile.Tile], Pixels | None], tile: mercantile.Tile, smooth: bool) -> Pixels:
    """The picture of a tile, from those of the four below it."""
    whole = np.zeros((4, 2 * SIDE, 2 * SIDE), np.uint8)
    for down in (0, 1):
        for across in (0, 1):
            picture = child(mercantile.Tile(2 * tile.x + across, 2 * tile.y + down, tile.z + 1))
            if picture is not None:
                whole[:, down * SIDE : (down + 1) * SIDE, across * SIDE : (across + 1) * SIDE] = picture
    four = whole.reshape(4, SIDE, 2, SIDE, 2).swapaxes(2, 3).reshape(4, SIDE, SIDE, 4)
    shown = four[3] > 0
    if not smooth:
        first = shown.argmax(axis=-1)[None, :, :, None]
        picked: Pixels = np.take_along_axis(four, first, axis=-1)[..., 0]
        return picked
    count = np.maximum(shown.sum(axis=-1), 1)
    mean = np.rint((four[:3] * shown).sum(axis=-1, dtype=np.int32) / count)
    mixed: Pixels = np.concatenate([mean, 255 * shown.any(axis=-1)[None]]).astype(np.uint8)
    return mixed


def _put(database: sqlite3.Connection, tile: mercantile.Tile, pixels: Pixels) -> None:
    place = tile.z, tile.x, 2**tile.z - 1 - tile.y
    database.execute("INSERT INTO tiles VALUES (?, ?, ?, ?)", (*place, encoded(pixels)))


def _get(database: sqlite3.Connection, tile: mercantile.Tile) -> Pixels | None:
    place = tile.z, tile.x, 2**tile.z - 1 - tile.y
    query = "SELECT tile_data FROM tiles WHERE zoom_level = ? AND tile_column = ? AND tile_row = ?"
    found = database.execute(query, place).fetchone()
    if found is None:
        return None
    from PIL import Image  # no part of a light installation

    with Image.open(io.BytesIO(found[0])) as picture:
        pixels: Pixels = np.moveaxis(np.asarray(picture.convert("RGBA")), -1, 0)
        return pixels


def encoded(pixels: Pixels) -> bytes:
    """A PNG, with a colour table where there are few colours, as on maps of classes."""
    from PIL import Image  # no part of a light installation

    color = np.ascontiguousarray(np.moveaxis(pixels, 0, -1))
    color[color[..., 3] == 0] = 0
    values, indices = np.unique(color.view(np.uint32)[..., 0], return_inverse=True)
    file = io.BytesIO()
    if len(values) > 256:
        Image.fromarray(color).save(file, "PNG")
    else:
        table = values.view(np.uint8).reshape(-1, 4)
        picture = Image.fromarray(indices.reshape(color.shape[:2]).astype(np.uint8), "P")
        picture.putpalette(table[:, :3].tobytes())
        picture.save(file, "PNG", transparency=table[:, 3].tobytes(), bits=8)
    return file.getvalue()


def _metadata(name: str, zooms: range, bounds: tuple[float, float, float, float], attribution: str) -> dict[str, str]:
    """The entries that MBTiles 1.3 names."""
    left, bottom, right, top = bounds
    center = f"{(left + right) / 2:.7f},{(bottom + top) / 2:.7f},{zooms[-1]}"
    entries = {
        "name": name,
        "format": "png",
        "bounds": ",".join(f"{number:.7f}" for number in bounds),
        "center": center,
        "minzoom": str(zooms[0]),
        "maxzoom": str(zooms[-1]),
        "type": "overlay",
        "version": "1",
    }
    return entries | ({"attribution": attribution} if attribution else {})


def _write_folder(folder: Path, database: sqlite3.Connection) -> None:
    for zoom, column, row, data in database.execute("SELECT * FROM tiles"):
        path = folder / str(zoom) / str(column) / f"{2**zoom - 1 - row}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _write_pmtiles(
    file: Path,
    database: sqlite3.Connection,
    described: Mapping[str, str],
    bounds: tuple[float, float, float, float],
    zooms: range,
) -> None:
    tile, writer = _pmtiles_library(file)
    places = database.execute("SELECT zoom_level, tile_column, tile_row FROM tiles").fetchall()
    numbered = sorted((tile.zxy_to_tileid(z, x, 2**z - 1 - y), z, x, y) for z, x, y in places)
    query = "SELECT tile_data FROM tiles WHERE zoom_level = ? AND tile_column = ? AND tile_row = ?"
    left, bottom, right, top = (math.floor(number * 10**7) for number in bounds)
    header = {
        "tile_type": tile.TileType.PNG,
        "tile_compression": tile.Compression.NONE,
        "min_lon_e7": left,
        "min_lat_e7": bottom,
        "max_lon_e7": right,
        "max_lat_e7": top,
        "center_zoom": zooms[-1],
        "center_lon_e7": (left + right) // 2,
        "center_lat_e7": (bottom + top) // 2,
    }
    with writer.write(str(file)) as out:
        for number, *place in numbered:
            out.write_tile(number, database.execute(query, place).fetchone()[0])
        out.finalize(header, json.loads(json.dumps(described)))


def _pmtiles_library(path: Path) -> tuple[Any, Any]:
    try:
        from pmtiles import tile, writer
    except ImportError as error:
        raise ConfigError(f"{path}: PMTiles need a package; pip install 'geopix2pix[tiles]'") from error
    return tile, writer


def _wgs84() -> Any:
    from rasterio.crs import CRS

    return CRS.from_epsg(4326)
