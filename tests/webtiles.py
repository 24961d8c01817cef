"""Small pyramids of web-map tiles for tests. A pixel's colour tells where it is, so that a shift by one is seen."""

import io
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path

import mercantile
import numpy as np
from PIL import Image
from pmtiles.tile import Compression, TileType, zxy_to_tileid
from pmtiles.writer import Writer

from geopix2pix.grid import Window

SIDE = 32


def colors(window: Window) -> np.ndarray:
    """Red, green and blue of pixels of a level by their column and row, shape (3, rows, cols); never black."""
    col, row = np.arange(window.col, window.right)[None], np.arange(window.row, window.bottom)[:, None]
    red, green = col % 255 + 1 + 0 * row, row % 255 + 1 + 0 * col
    return np.stack([red, green, (col * 3 + row * 5) // 7 % 255 + 1]).astype(np.uint8)


def tile_colors(tile: mercantile.Tile, side: int = SIDE) -> np.ndarray:
    return colors(Window(tile.x * side, tile.y * side, side, side))


def encoded(data: np.ndarray, kind: str = "PNG", **options: object) -> bytes:
    """A picture file of data (bands, rows, cols): grey, grey and alpha, RGB or RGBA."""
    bands = data.astype(np.uint8)
    image = Image.fromarray(bands[0] if len(bands) == 1 else np.moveaxis(bands, 0, 2))
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def pyramid(tiles: Iterable[mercantile.Tile], side: int = SIDE) -> dict[mercantile.Tile, bytes]:
    return {tile: encoded(tile_colors(tile, side)) for tile in tiles}


def square(zoom: int, x: int, y: int, count: int = 3) -> list[mercantile.Tile]:
    """Tiles from (x, y) on, as many in a row as in a column."""
    return [mercantile.Tile(x + i, y + j, zoom) for j in range(count) for i in range(count)]


def write_folder(folder: Path, tiles: Mapping[mercantile.Tile, bytes], template: str = "{z}/{x}/{y}.png") -> str:
    """A folder of tiles, as its template."""
    for tile, data in tiles.items():
        flipped = 2**tile.z - 1 - tile.y
        name = template.replace("{z}", str(tile.z)).replace("{x}", str(tile.x)).replace("{y}", str(tile.y))
        name = name.replace("{-y}", str(flipped)).replace("{ty}", str(flipped))
        path = folder / name.replace("{quadkey}", mercantile.quadkey(tile)).replace("{q}", mercantile.quadkey(tile))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return f"{folder.as_posix()}/{template}"


def write_mbtiles(path: Path, tiles: Mapping[mercantile.Tile, bytes], **metadata: str) -> Path:
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE metadata (name TEXT, value TEXT)")
    database.execute("CREATE TABLE tiles (zoom_level INT, tile_column INT, tile_row INT, tile_data BLOB)")
    database.execute("CREATE UNIQUE INDEX places ON tiles (zoom_level, tile_column, tile_row)")
    rows = ((tile.z, tile.x, 2**tile.z - 1 - tile.y, data) for tile, data in tiles.items())
    database.executemany("INSERT INTO tiles VALUES (?, ?, ?, ?)", rows)
    database.executemany("INSERT INTO metadata VALUES (?, ?)", ({"name": "test", "format": "png"} | metadata).items())
    database.commit()
    database.close()
    return path


def write_pmtiles(
    path: Path, tiles: Mapping[mercantile.Tile, bytes], *, kind: TileType = TileType.PNG, **metadata: str
) -> Path:
    with path.open("wb") as file:
        writer = Writer(file)
        for tile in sorted(tiles, key=lambda tile: zxy_to_tileid(tile.z, tile.x, tile.y)):
            writer.write_tile(zxy_to_tileid(tile.z, tile.x, tile.y), tiles[tile])
        bounds = [mercantile.bounds(tile) for tile in tiles]
        header = {
            "tile_type": kind,
            "tile_compression": Compression.NONE,
            "min_lon_e7": int(min(b.west for b in bounds) * 1e7) + 1,
            "min_lat_e7": int(min(b.south for b in bounds) * 1e7) + 1,
            "max_lon_e7": int(max(b.east for b in bounds) * 1e7) - 1,
            "max_lat_e7": int(max(b.north for b in bounds) * 1e7) - 1,
        }
        writer.finalize(header, metadata)
    return path
