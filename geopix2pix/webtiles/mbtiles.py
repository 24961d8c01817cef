"""MBTiles: web-map tiles in an SQLite database."""

import sqlite3
from functools import cached_property
from pathlib import Path
from typing import Any

import mercantile

from geopix2pix.errors import RasterError
from geopix2pix.gdal import guarded
from geopix2pix.grid import Window
from geopix2pix.webtiles.pyramids import MAX_ZOOM, block_side, check_pictures, file_identity, plain
from geopix2pix.webtiles.tilepicture import MAX_BYTES

STEP, MAX_STEPS = 10**6, 4000  # SQLite runs some 10^8 instructions a second: a query may take about a minute
MAX_METADATA = 2**20  # bytes of one entry


class MBTiles:
    """The tiles of an archive (MBTiles 1.3).

    The format is one table and one query, for which Python's sqlite3 is all that is needed. The file is opened as one
    that nobody changes: nothing is written beside it and no lock is taken. Rows are counted from the south, whatever
    an entry `scheme` in its metadata says. A table may be a view that came with the file, so a query may not run for
    ever.
    """

    def __init__(self, path: Path, *, max_steps: int = MAX_STEPS) -> None:
        """Open the archive at `path`; a query may take `max_steps` million instructions of SQLite.

        Raises:
            RasterError: it is none, is being written, holds no pictures, or is hostile.
        """
        self.name, self.label = str(path), path.name
        self._path, self._max_steps, self._steps = path, max_steps, 0
        with guarded(path, "open it"):
            path.open("rb").close()  # says more than SQLite why it cannot be opened
            for ending in ("-wal", "-journal"):
                beside = path.with_name(path.name + ending)
                if beside.is_file() and beside.stat().st_size:
                    raise RasterError(f"{path}: is being written, or was not closed: see {beside.name}; close it first")
            self._database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    def _begin(self) -> None:
        self._database.text_factory = lambda text: text.decode("utf-8", "replace")
        self._database.set_progress_handler(self._is_too_long, STEP)
        for pragma in ("trusted_schema = OFF", "cell_size_check = ON", "query_only = ON"):
            self._rows(f"PRAGMA {pragma}")
        described = self._rows("SELECT 1 FROM sqlite_master WHERE name = 'metadata'")
        entries = "SELECT name, value FROM metadata WHERE length(value) <= ? LIMIT 1000"
        metadata = dict(self._rows(entries, MAX_METADATA)) if described else {}
        check_pictures(self._path, str(metadata.get("format", "png")).lower())
        self.attribution = plain(metadata.get("attribution"))
        if not self.zooms:
            raise RasterError(f"{self._path}: holds no tiles; check that it was written to its end")

    @cached_property
    def zooms(self) -> tuple[int, ...]:
        return tuple(zoom for zoom in range(MAX_ZOOM + 1) if self.first(zoom))

    def first(self, zoom: int) -> mercantile.Tile | None:
        found = self._rows("SELECT tile_column, tile_row FROM tiles WHERE zoom_level = ? LIMIT 1", zoom)
        return self._tile(zoom, *found[0]) if found else None

    def blocks(self, zoom: int) -> list[Window]:
        rows = self._rows(
            "SELECT min(tile_column), max(tile_row), max(tile_column), min(tile_row) FROM tiles WHERE zoom_level = ?1 "
            "GROUP BY tile_column / ?2, tile_row / ?2 LIMIT 100000",
            zoom,
            block_side(zoom),
        )
        ends = [(self._tile(zoom, left, top), self._tile(zoom, right, bottom)) for left, top, right, bottom in rows]
        found = (Window(a.x, a.y, b.x + 1 - a.x, b.y + 1 - a.y) for a, b in ends)
        return sorted(found, key=lambda window: (window.row, window.col))

    def has(self, tile: mercantile.Tile) -> bool:
        query = "SELECT 1 FROM tiles WHERE zoom_level = ? AND tile_column = ? AND tile_row = ? LIMIT 1"
        return bool(self._rows(query, tile.z, tile.x, 2**tile.z - 1 - tile.y))

    def read(self, tile: mercantile.Tile) -> bytes | None:
        found = self._rows(
            "SELECT length(tile_data), CASE WHEN length(tile_data) <= ?1 THEN tile_data END FROM tiles "
            "WHERE zoom_level = ?2 AND tile_column = ?3 AND tile_row = ?4 LIMIT 1",
            MAX_BYTES,
            tile.z,
            tile.x,
            2**tile.z - 1 - tile.y,
        )
        size, data = found[0] if found else (None, None)
        if size and not isinstance(data, bytes):
            what = (
                f"{size} letters"
                if isinstance(data, str)
                else f"{size} bytes or a number, above {MAX_BYTES} or no BLOB"
            )
            raise RasterError(f"{self._path}: {tile} holds {what}; replace the file")
        return data or None

    def identity(self, zoom: int) -> dict[str, Any]:
        return file_identity(self._path)

    def close(self) -> None:
        self._database.close()

    def _rows(self, query: str, *values: int) -> list[tuple[Any, ...]]:
        """The answer to a query.

        Raises:
            RasterError: it takes too long, or the database is damaged.
        """
        self._steps = 0
        try:
            return self._database.execute(query, values).fetchall()
        except (sqlite3.Error, UnicodeError) as error:  # the latter tells of damage too
            if self._steps > self._max_steps:
                what = f"a query took more than {self._max_steps} million instructions; index its tiles by place"
            else:
                what = f"is no whole MBTiles archive ({error}); replace the file"
            raise RasterError(f"{self._path}: {what}") from error

    def _is_too_long(self) -> bool:
        self._steps += 1
        return self._steps > self._max_steps

    def _tile(self, zoom: int, column: Any, row: Any) -> mercantile.Tile:
        """The tile at a column and row counted from the south."""
        if not all(type(number) is int and 0 <= number < 2**zoom for number in (column, row)):
            found = f"column {column!r}, row {row!r}"
            raise RasterError(f"{self._path}: lists a tile at {found} of zoom {zoom}, which there is not; replace it")
        return mercantile.Tile(column, 2**zoom - 1 - row, zoom)
