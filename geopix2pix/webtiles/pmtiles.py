"""PMTiles: web-map tiles in one file with directories of its own."""

import json
import re
import zlib
from bisect import bisect_right
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import mercantile

from geopix2pix.errors import ConfigError, RasterError
from geopix2pix.gdal import guarded
from geopix2pix.grid import Window
from geopix2pix.webtiles.pyramids import MAX_ZOOM, check_pictures, file_identity, plain
from geopix2pix.webtiles.tilepicture import MAX_BYTES

HEADER = 127  # bytes
MAX_METADATA = 2**24  # bytes, packed and unpacked
MAX_DIRECTORY = 2**21  # bytes, packed and unpacked; writers keep to some hundred thousand
MAX_DEPTH = 4  # of directories; the library goes no deeper
KEPT = 8  # directories in memory
LONG_NUMBER = re.compile(rb"[\x80-\xff]{10}")  # a number of more than 64 bits
LAST_LATITUDE = 85.05112  # degrees north and south where web maps end


class PMTiles:
    """The tiles of an archive (PMTiles 3).

    The package pmtiles parses it. Its reader is not used: it unpacks all directories above a tile anew for each tile,
    however large they say they are.
    """

    def __init__(self, path: Path) -> None:
        """Open the archive at `path`.

        Raises:
            ConfigError: the package pmtiles is not installed.
            RasterError: this is no such archive, is damaged, or holds no pictures.
        """
        try:
            from pmtiles import tile as library
        except ImportError as error:
            raise ConfigError(f"{path}: PMTiles need a package; pip install 'geopix2pix[tiles]'") from error
        self.name, self.label = str(path), path.name
        self._path, self._library = path, library
        with guarded(path, "open it"):
            self._size = path.stat().st_size
            self._file = path.open("rb")
        self._directory = lru_cache(maxsize=KEPT)(self._unpacked_directory)
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    def _begin(self) -> None:
        library = self._library
        try:
            header = library.deserialize_header(self._bytes(0, HEADER, HEADER))
        except (library.MagicNumberNotFound, library.SpecVersionUnsupported, ValueError) as error:
            raise RasterError(f"{self._path}: is no PMTiles archive of version 3 ({error!r}); convert it") from error
        self._header = header
        kind = header["tile_type"].name.lower()
        check_pictures(self._path, "png" if kind == "unknown" else kind)
        if header["internal_compression"] is not library.Compression.GZIP:
            packing = header["internal_compression"].name.lower()
            raise RasterError(f"{self._path}: its directories are packed by {packing}, not gzip; convert the archive")
        self.attribution = plain(self._metadata().get("attribution"))
        if not self.zooms:
            raise RasterError(f"{self._path}: holds no tiles; check that it was written to its end")

    @cached_property
    def zooms(self) -> tuple[int, ...]:
        span = range(self._header["min_zoom"], min(self._header["max_zoom"], MAX_ZOOM) + 1)
        return tuple(zoom for zoom in span if self.first(zoom))

    def first(self, zoom: int) -> mercantile.Tile | None:
        start, end = _number(zoom), _number(zoom + 1)
        offset, length, number = self._header["root_offset"], self._header["root_length"], end
        for _ in range(MAX_DEPTH):
            entries = self._directory(offset, length)
            after = bisect_right(entries, start, key=lambda entry: entry.tile_id)
            number = entries[after].tile_id if after < len(entries) else number
            if after == 0:
                break
            before = entries[after - 1]
            if before.run_length:
                number = start if start < before.tile_id + before.run_length else number
                break
            offset, length = self._header["leaf_directory_offset"] + before.offset, before.length
        if number >= end:
            return None
        _, x, y = self._library.tileid_to_zxy(number)
        return mercantile.Tile(x, y, zoom)

    def blocks(self, zoom: int) -> list[Window]:
        """One rectangle, that of the bounds in the header."""
        west, south, east, north = (
            self._header[f"{end}_e7"] / 1e7 for end in ("min_lon", "min_lat", "max_lon", "max_lat")
        )
        if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):
            return [Window(0, 0, 2**zoom, 2**zoom)]
        north, south = (min(max(latitude, -LAST_LATITUDE), LAST_LATITUDE) for latitude in (north, south))
        first, last = mercantile.tile(west, north, zoom), mercantile.tile(east, south, zoom)
        return [Window(first.x, first.y, last.x + 1 - first.x, last.y + 1 - first.y)]

    def has(self, tile: mercantile.Tile) -> bool:
        return self._entry(tile) is not None

    def read(self, tile: mercantile.Tile) -> bytes | None:
        entry = self._entry(tile)
        if entry is None:
            return None
        return self._bytes(self._header["tile_data_offset"] + entry.offset, entry.length, MAX_BYTES) or None

    def identity(self, zoom: int) -> dict[str, Any]:
        return file_identity(self._path)

    def close(self) -> None:
        self._file.close()

    def _entry(self, tile: mercantile.Tile) -> Any:
        """The directory's entry of a tile; None where there is none."""
        number = self._library.zxy_to_tileid(tile.z, tile.x, tile.y)
        offset, length = self._header["root_offset"], self._header["root_length"]
        for _ in range(MAX_DEPTH):
            entry = self._library.find_tile(self._directory(offset, length), number)
            if entry is None or entry.run_length:
                return entry
            offset, length = self._header["leaf_directory_offset"] + entry.offset, entry.length
        raise RasterError(f"{self._path}: its directories are nested more than {MAX_DEPTH} deep; replace the file")

    def _unpacked_directory(self, offset: int, length: int) -> list[Any]:
        packed = self._bytes(offset, length, MAX_DIRECTORY)
        if LONG_NUMBER.search(self._unpacked(packed, MAX_DIRECTORY)):
            raise RasterError(f"{self._path}: a directory holds impossible numbers; replace the file")
        try:
            entries: list[Any] = self._library.deserialize_directory(packed)
        except EOFError as error:
            raise RasterError(f"{self._path}: a directory ends too early; replace the file") from error
        return entries

    def _metadata(self) -> dict[str, Any]:
        length = self._header["metadata_length"]
        if not length:
            return {}
        packed = self._bytes(self._header["metadata_offset"], length, MAX_METADATA)
        try:
            metadata = json.loads(self._unpacked(packed, MAX_METADATA))
        except (ValueError, RecursionError) as error:
            raise RasterError(f"{self._path}: its metadata are no JSON ({error}); replace the file") from error
        return metadata if isinstance(metadata, dict) else {}

    def _unpacked(self, packed: bytes, limit: int) -> bytes:
        stream = zlib.decompressobj(wbits=31)
        try:
            plain = stream.decompress(packed, limit)
        except zlib.error as error:
            raise RasterError(f"{self._path}: is damaged ({error}); replace the file") from error
        if not stream.eof or stream.unused_data:
            raise RasterError(
                f"{self._path}: is damaged, or holds more than {limit} bytes in one place; replace the file"
            )
        return plain

    def _bytes(self, offset: int, length: int, limit: int) -> bytes:
        """A stretch of the file.

        Raises:
            RasterError: it is longer than `limit` or reaches beyond the end of the file, or cannot be read.
        """
        if length > limit or offset + length > self._size:
            where = f"{length} bytes at {offset}"
            raise RasterError(f"{self._path}: needs {where}, has {self._size} and a limit of {limit}; replace the file")
        with guarded(self._path, "read it"):
            self._file.seek(offset)
            data = self._file.read(length)
            if len(data) < length:
                raise RasterError(f"{self._path}: was cut off while it was read; replace the file")
            return data


def _number(zoom: int) -> int:
    """The number of the first tile of a zoom level; tiles are numbered along a Hilbert curve, zoom after zoom."""
    return int((4**zoom - 1) // 3)
