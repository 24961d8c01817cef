"""Pyramids of web-map tiles: where the bytes of a tile come from. None of them talks to a network."""

import html
import re
from collections.abc import Iterable
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

import mercantile

from geopix2pix.errors import DownloadError, OutputError, RasterError
from geopix2pix.files import replacing
from geopix2pix.gdal import guarded
from geopix2pix.grid import Window
from geopix2pix.webtiles.addresses import Address, masked
from geopix2pix.webtiles.tilepicture import MAX_BYTES

MAX_ZOOM = 30  # a pixel is then below a millimetre, and tile numbers fit 32 bits
MAX_SERVED = 24  # the finest zoom that a server is asked for
MAX_ATTRIBUTION = 500  # characters
PICTURES = ("png", "jpg", "jpeg", "webp", "gif")
VECTORS = ("pbf", "mvt", "mlt", "application/vnd.mapbox-vector-tile")
MIN_BLOCK, MAX_BLOCKS = 32, 256  # tiles across the smallest block; blocks across the world


class Pyramid(Protocol):
    """The tiles of a web map, as bytes. For one thread of one process at a time; close it."""

    @property
    def name(self) -> str:
        """What messages call it."""

    @property
    def label(self) -> str:
        """What results call it: without its folders and secrets."""

    @property
    def attribution(self) -> str:
        """Whom its makers want to be named, as plain text; "" where it does not say."""

    @property
    def zooms(self) -> tuple[int, ...]:
        """The zoom levels that may have tiles, ascending."""

    def first(self, zoom: int) -> mercantile.Tile | None:
        """Some tile of a zoom level; None where none is known."""

    def blocks(self, zoom: int) -> list[Window]:
        """Rectangles of tile numbers outside of which there are no tiles; none where that is not known."""

    def has(self, tile: mercantile.Tile) -> bool:
        """Whether a tile may be there. False is certain."""

    def read(self, tile: mercantile.Tile) -> bytes | None:
        """The bytes of a tile; None where there is none."""

    def identity(self, zoom: int) -> dict[str, Any]:
        """What tells this state of a zoom level from others, as JSON values."""

    def close(self) -> None: ...


class TileFolder:
    """Tiles in files of their own."""

    attribution = ""

    def __init__(self, address: Address) -> None:
        """Find the zoom levels.

        Raises:
            RasterError: no file has such a name.
        """
        self._address = address
        self.name, self.label = address.name, address.label
        if not self.zooms:
            raise RasterError(f"{self.name}: no tile lies there; check the folder, the ending and the order of z, x, y")

    @cached_property
    def zooms(self) -> tuple[int, ...]:
        return tuple(zoom for zoom in range(MAX_ZOOM + 1) if any(True for _ in self._address.files(zoom)))

    def first(self, zoom: int) -> mercantile.Tile | None:
        return next(self._address.files(zoom), None)

    def blocks(self, zoom: int) -> list[Window]:
        return blocks(zoom, ((tile.x, tile.y) for tile in self._address.files(zoom)))

    def has(self, tile: mercantile.Tile) -> bool:
        return Path(self._address.of(tile)).is_file()

    def read(self, tile: mercantile.Tile) -> bytes | None:
        return _contents(Path(self._address.of(tile)))

    def identity(self, zoom: int) -> dict[str, Any]:
        """With the names, sizes and times of all files of the zoom level, as one hash."""
        digest = sha256()
        with guarded(Path(self.name), "list its files"):
            for tile in sorted(self._address.files(zoom)):
                stat = Path(self._address.of(tile)).stat()
                digest.update(f"{tile.x} {tile.y} {stat.st_size} {stat.st_mtime_ns}\n".encode())
        return {"tiles": self.label, "listing": digest.hexdigest()}

    def close(self) -> None:
        pass


class TileCache:
    """Tiles of a server, in a folder that `download` fills. A file of no bytes means that the server has no such tile.

    Servers whose addresses differ in nothing but the values of keys and tokens share a folder.
    """

    attribution = ""
    zooms = tuple(range(MAX_SERVED + 1))

    def __init__(self, address: Address, folder: Path) -> None:
        self.address = address
        self.name = self.label = address.name
        key = sha256(self.name.encode()).hexdigest()[:12]
        self.folder = folder / re.sub(r"[^a-z0-9.-]+", "_", f"{address.host}-{key}")

    def first(self, zoom: int) -> mercantile.Tile | None:
        return None

    def blocks(self, zoom: int) -> list[Window]:
        return []

    def has(self, tile: mercantile.Tile) -> bool:
        path = self._path(tile)
        return not path.is_file() or path.stat().st_size > 0

    def read(self, tile: mercantile.Tile) -> bytes | None:
        """The bytes of a tile; None where the server has none.

        Raises:
            DownloadError: it was never asked for.
        """
        data = self.kept(tile)
        if data is None:
            url = masked(self.address.of(tile))
            raise DownloadError(f"{url}: is not in the cache {self.folder}; download it first, or name the right cache")
        return data or None

    def kept(self, tile: mercantile.Tile) -> bytes | None:
        """What the cache holds of a tile: no bytes if the server has none; None if it was never asked for."""
        return _contents(self._path(tile))

    def keep(self, tile: mercantile.Tile, data: bytes) -> None:
        """Put the bytes of a tile into the cache, whole or not at all.

        Raises:
            OutputError: they cannot be written.
        """
        path = self._path(tile)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as unnamed:
                unnamed.write_bytes(data)
        except OSError as error:
            found = error.strerror or error
            raise OutputError(f"{path}: cannot be cached ({found}); make room, or name another cache folder") from error

    def identity(self, zoom: int) -> dict[str, Any]:
        """Its address: what the cache holds is taken for the state of the server."""
        return {"tiles": self.label}

    def close(self) -> None:
        pass

    def _path(self, tile: mercantile.Tile) -> Path:
        return self.folder / str(tile.z) / str(tile.x) / f"{tile.y}.tile"


def block_side(zoom: int) -> int:
    """Tiles across the blocks by which it is told where a zoom level has tiles: a power of two."""
    return int(max(MIN_BLOCK, 2**zoom // MAX_BLOCKS))


def blocks(zoom: int, tiles: Iterable[tuple[int, int]]) -> list[Window]:
    """Tight rectangles of tile numbers round the tiles in each block that has some, in order."""
    side = block_side(zoom)
    found: dict[tuple[int, int], tuple[int, int, int, int]] = {}
    for x, y in tiles:
        left, top, right, bottom = found.get((y // side, x // side), (x, y, x, y))
        found[y // side, x // side] = (min(left, x), min(top, y), max(right, x), max(bottom, y))
    return [
        Window(left, top, right + 1 - left, bottom + 1 - top) for _, (left, top, right, bottom) in sorted(found.items())
    ]


def check_pictures(path: Path, kind: str) -> None:
    """Nothing, if what an archive says of the format of its tiles, in lower case, means pictures.

    Raises:
        RasterError: it means something else.
    """
    if kind.removeprefix("image/") not in PICTURES:
        what = "vectors, which a style draws from the data they came from" if kind in VECTORS else "what is not read"
        raise RasterError(f"{path}: holds tiles of the format {kind!r}: {what}; {' '.join(PICTURES)} can be used")


def file_identity(path: Path) -> dict[str, Any]:
    """What tells this state of a file from others, as JSON values."""
    with guarded(path, "look at it"):
        stat = path.stat()
        return {"tiles": path.name, "size": stat.st_size, "mtime_ns": stat.st_mtime_ns}


def plain(attribution: Any) -> str:
    """An attribution as one line of text without markup, as archives often hold links."""
    words = html.unescape(re.sub(r"<[^>]*>", " ", attribution)) if isinstance(attribution, str) else ""
    printable = "".join(letter if letter.isprintable() else " " for letter in words)
    return masked(" ".join(printable.split())[:MAX_ATTRIBUTION])


def _contents(path: Path) -> bytes | None:
    """The bytes of a tile's file; None where there is no such file.

    Raises:
        RasterError: it cannot be read, or is too large for a tile.
    """
    try:
        if not path.is_file():
            return None
        if (size := path.stat().st_size) > MAX_BYTES:
            raise RasterError(f"{path}: a tile of {size} bytes is above {MAX_BYTES}; replace the file")
        return path.read_bytes()
    except FileNotFoundError:  # removed just now
        return None
    except OSError as error:
        if isinstance(error, RasterError):
            raise
        raise RasterError(f"{path}: cannot be read ({error.strerror or error}); check your rights") from error
