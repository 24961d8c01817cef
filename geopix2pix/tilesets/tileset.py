"""A tile set: aligned pairs of tiles in a folder, an index of them that opens in a GIS, and a manifest."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from geopix2pix import records
from geopix2pix.errors import OutputError, TileSetError
from geopix2pix.files import replacing
from geopix2pix.geogrid import GeoGrid
from geopix2pix.palette import Palette
from geopix2pix.tilesets.tileindex import Tile, read_index, write_index

FORMAT = 1
MANIFEST, INDEX, PALETTE = "tileset.json", "index.gpkg", "palette.json"
MAX_MANIFEST = 2**26  # bytes; the parameters may name many files
PERCENTS = (0.1, 2.0, 50.0, 98.0, 99.9)
Side = Literal["source", "target", "classes"]
SIDES: tuple[Side, ...] = ("source", "target", "classes")
"""The folders of tiles. `classes` holds the labels of maps of classes and is absent where there is no palette."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BandStatistics:
    """What the known pixels of one band are like, in band units."""

    mean: float
    deviation: float
    """Standard deviation."""
    percentiles: tuple[float, ...]
    """At `PERCENTS`, of an evenly spread sample of tiles."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What the tiles of one side hold."""

    names: tuple[str, ...]
    """Of the bands."""
    dtype: str
    statistics: tuple[BandStatistics, ...]
    """One for each band; none for maps of classes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """The manifest of a tile set: all that is said of it as a whole. Its splits stand in the index alone."""

    format: int = FORMAT
    package: str
    """The version of geopix2pix that wrote it."""
    grid: GeoGrid | None
    """The pixel grid of all tiles; None for pictures that lie nowhere."""
    size: int
    """Side of a tile, pixels."""
    overlap: int
    """Pixels shared by neighbouring tiles."""
    source: Content
    target: Content
    palette: Palette | None
    """By which the tiles in `classes` are read."""
    ground_resolution: tuple[float, ...] | None
    """Sides of a pixel in the middle of the set in metres, across and down; None where it is not known."""
    counts: Mapping[str, int]
    """What became of the tiles that were looked at: kept, and skipped by reason."""
    parameters: Mapping[str, Any]
    """What was asked for."""
    attributions: tuple[str, ...]
    """Whom the makers of the data want to be named."""
    versions: Mapping[str, str]
    """Of the libraries that made the pixels."""
    tiles_sha256: str
    """Of the names and contents of all tiles, see `digest`."""


class TileSet(NamedTuple):
    """A tile set on disk."""

    folder: Path
    about: Description
    tiles: tuple[Tile, ...]

    @classmethod
    def open(cls, folder: Path | str) -> "TileSet":
        """The tile set in `folder`; its tiles are not opened.

        Raises:
            TileSetError: it is none, is of a newer format, or index and manifest do not belong together.
        """
        folder = Path(folder)
        about = _description(folder / MANIFEST)
        tiles = tuple(read_index(folder / INDEX))
        if digest(tiles) != about.tiles_sha256:
            raise TileSetError(
                f"{folder}: {INDEX} does not list the tiles that {MANIFEST} was written for; only `split` may be "
                "edited by hand: restore the file or build the set anew"
            )
        return cls(folder, about, tiles)

    @property
    def sides(self) -> tuple[Side, ...]:
        return SIDES if self.about.palette else SIDES[:2]

    def path(self, side: Side, tile: Tile) -> Path:
        return path_of(self.folder, side, tile.name)

    def files(self) -> set[Path]:
        """All files of the set."""
        records = {MANIFEST, INDEX, *((PALETTE,) if self.about.palette else ())}
        return {self.folder / name for name in records} | {self.path(s, t) for s in self.sides for t in self.tiles}

    def write(self) -> None:
        """Write index, palette and manifest; the tiles are there already.

        Raises:
            OutputError: they cannot be written.
        """
        about = self.about
        try:
            write_index(self.folder / INDEX, self.tiles, about.grid.crs if about.grid else None, about.source.names)
            if about.palette:
                _write_json(self.folder / PALETTE, about.palette.to_json())
            _write_json(self.folder / MANIFEST, records.to_json(about))
        except OSError as error:
            raise OutputError(
                f"{self.folder}: cannot be written ({error}); check disk space and permissions"
            ) from error


def is_tile_set(folder: Path) -> bool:
    return (folder / MANIFEST).is_file()


def path_of(folder: Path, side: Side, name: str) -> Path:
    return folder / side / f"{name}.tif"


def digest(tiles: Iterable[Tile]) -> str:
    """SHA-256 of the names and contents of tiles, whatever their order and split."""
    lines = sorted(f"{tile.name} {tile.sha256}\n" for tile in tiles)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _description(path: Path) -> Description:
    try:
        if path.stat().st_size > MAX_MANIFEST:
            raise TileSetError(f"{path}: is larger than {MAX_MANIFEST} bytes, which no manifest is; restore the file")
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TileSetError(
            f"{path.parent}: a tile set was asked for, but {path.name} cannot be read ({error.strerror}); build one "
            "with `geopix2pix tiles build`"
        ) from error
    except (ValueError, RecursionError) as error:
        raise TileSetError(f"{path}: is no valid JSON ({error}); restore the file or build the set anew") from error
    number = data.get("format") if isinstance(data, dict) else None
    if isinstance(number, int) and number > FORMAT:
        raise TileSetError(f"{path}: format {number} is newer than {FORMAT}, the newest known; upgrade geopix2pix")
    try:
        about: Description = records.from_json(
            Description, data, str(path), {Palette: Palette.from_json, GeoGrid: GeoGrid.from_json}
        )
    except records.RecordError as error:
        raise TileSetError(f"{error}; restore the file or build the set anew") from error
    return about


def _write_json(path: Path, data: Mapping[str, Any]) -> None:
    with replacing(path) as unnamed:
        unnamed.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
