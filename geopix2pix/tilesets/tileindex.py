"""The index of a tile set: a GeoPackage with one footprint a tile, which QGIS opens in the colours of the split."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal, get_args
from warnings import catch_warnings, filterwarnings

import numpy as np
import numpy.typing as npt
import pyogrio
import pyogrio.raw
import shapely
from rasterio.crs import CRS
from shapely import Polygon

from geopix2pix.errors import OutputError, TileSetError
from geopix2pix.files import put_in_place
from geopix2pix.grid import Window
from geopix2pix.ogr import complaint, undated
from geopix2pix.polygons import GDAL_ERRORS
from geopix2pix.registration import Offset
from geopix2pix.tilesets.indexstyle import aliases, column_names, write_style

Split = Literal["train", "validation", "test", "unused"]
"""What a tile is for. `unused` tiles stay in the set, so that another split can take them up again."""

LAYER = "tiles"
ORIGINS = "; "  # stands between the source files of a tile
WINDOW = ("col", "row", "width", "height")
OFFSET = ("offset_cols", "offset_rows", "offset_confidence")
UNDEFINED_CARTESIAN = -1  # GeoPackage's reference system of planes that lie nowhere on the earth


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One pair of a tile set, and what is known of it."""

    name: str
    """The stem of its files."""
    split: Split
    window: Window
    """Pixels of the set's grid; of the picture, for imported pictures."""
    footprint: Polygon
    """In the CRS of the set."""
    origin: str
    """The names of the source files, joined by "; "."""
    coverage: float
    """The share of its pixels that are known on both sides and lie in the region."""
    offset: Offset | None
    """Where the target lies relative to the source; None where that was not measured."""
    note: str
    """What is odd about it, "" for nothing: "duplicate of NAME", "constant target", ..."""
    shares: Mapping[str, float]
    """The share of each class among the known pixels; {} without classes."""
    means: tuple[float, ...]
    """Of each band of the source, over its known pixels."""
    deviations: tuple[float, ...]
    """As `means`: the standard deviations."""
    sha256: str
    """Of its files."""


def write_index(path: Path, tiles: Sequence[Tile], crs: CRS | None, bands: Sequence[str]) -> None:
    """Write the index of `tiles`, whose sources have these `bands`; an earlier one is replaced whole or not at all.

    Equal tiles give equal bytes. `crs` is None for pictures that lie nowhere.

    Raises:
        OutputError: it cannot be written.
        TileSetError: a text cannot be stored, such as a file name that is not Unicode.
    """
    classes = list(dict.fromkeys(name for tile in tiles for name in tile.shares))
    columns = _columns(tiles, classes, bands)
    try:
        with TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as beside, undated(), catch_warnings():
            unfinished = Path(beside) / "index.gpkg"
            filterwarnings("ignore", "'crs' was not provided")  # that is what None says
            pyogrio.raw.write(
                unfinished,
                shapely.to_wkb(np.array([tile.footprint for tile in tiles], object)),
                list(columns.values()),
                list(columns),
                layer=LAYER,
                driver="GPKG",
                geometry_type="Polygon",
                crs=None if crs is None else crs.to_wkt(),
                layer_metadata={"classes": json.dumps(classes), "bands": json.dumps(list(bands))},
                dataset_options={"VERSION": "1.2"},  # 1.4, which is GDAL's choice, makes older QGIS complain
                layer_options={"SRID": UNDEFINED_CARTESIAN} if crs is None else {},
            )
            write_style(unfinished, LAYER, aliases(classes, bands))
            put_in_place(unfinished, path)
    except UnicodeEncodeError as error:
        raise TileSetError(f"{path}: {error.object!r} is no text that can be stored; rename that file") from error
    except (OSError, *GDAL_ERRORS) as error:
        told = complaint(error)
        raise OutputError(f"{path}: cannot be written ({told}); choose another place or make room") from error


def read_index(path: Path) -> list[Tile]:
    """The tiles in an index, in the order of their rows; nothing is written beside it.

    Raises:
        TileSetError: it cannot be read, is no index, or was edited into something impossible; the message tells the
            row.
    """
    try:
        with path.open("rb") as file:
            if not (header := file.read(72)).startswith(b"SQLite format 3") or not header.endswith(b"GPKG"):
                raise TileSetError(f"{path}: is no GeoPackage; restore the index that was built")
        unsaved = path.with_name(f"{path.name}-wal").exists()  # a QGIS that is still open keeps its last edits there
        options = {} if unsaved else {"IMMUTABLE": "YES"}
        info = pyogrio.read_info(path, layer=LAYER, **options)
        meta, rows, footprints, values = pyogrio.raw.read(path, layer=LAYER, return_fids=True, **options)
        classes, bands = (json.loads(info["layer_metadata"][kind]) for kind in ("classes", "bands"))
    except (OSError, *GDAL_ERRORS) as error:
        raise TileSetError(
            f"{path}: is no readable index of tiles ({error}); restore the one that was built"
        ) from error
    except (TypeError, KeyError, ValueError) as error:
        raise TileSetError(
            f"{path}: no longer names its classes and bands; restore the index that was built"
        ) from error
    columns = {"geom": footprints, **dict(zip(meta["fields"], values, strict=True))}
    _check(path, rows, columns, _columns((), classes, bands))
    return list(_tiles(columns, classes, bands))


def duplicates(digests: Iterable[tuple[str, str]]) -> dict[str, str]:
    """For each tile whose content was there before, the first tile that had it; `digests` pairs names with hashes."""
    first: dict[str, str] = {}
    earlier = ((name, first.setdefault(digest, name)) for name, digest in digests)
    return {name: other for name, other in earlier if other != name}


def _columns(tiles: Sequence[Tile], classes: Sequence[str], bands: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
    """All columns but the footprints; what is not a number is stored as null."""

    def texts(values: Iterable[str]) -> npt.NDArray[Any]:
        return np.array(list(values), object)

    def table(rows: Iterable[Sequence[float]], names: Sequence[str], dtype: str) -> dict[str, npt.NDArray[Any]]:
        values = np.array([*rows], dtype).reshape(len(tiles), len(names))
        return dict(zip(names, np.ascontiguousarray(values.T), strict=True))

    return {
        "name": texts(tile.name for tile in tiles),
        "split": texts(tile.split for tile in tiles),
        "origin": texts(tile.origin for tile in tiles),
        **table((tile.window for tile in tiles), WINDOW, "int64"),
        **table(((tile.coverage,) for tile in tiles), ("coverage",), "float64"),
        **table((tile.offset or (np.nan,) * 3 for tile in tiles), OFFSET, "float64"),
        "note": texts(tile.note for tile in tiles),
        **table(
            ([tile.shares.get(name, np.nan) for name in classes] for tile in tiles),
            column_names("share", classes),
            "float64",
        ),
        **table((tile.means for tile in tiles), column_names("mean", bands), "float64"),
        **table((tile.deviations for tile in tiles), column_names("std", bands), "float64"),
        "sha256": texts(tile.sha256 for tile in tiles),
    }


def _check(
    path: Path, rows: npt.NDArray[Any], columns: Mapping[str, npt.NDArray[Any]], expected: Mapping[str, Any]
) -> None:
    """Nothing, if every row can be a tile."""
    lost = [
        c for c, like in expected.items() if c not in columns or (columns[c].dtype == object) != (like.dtype == object)
    ]
    if lost:
        raise TileSetError(
            f"{path}: the columns {', '.join(lost)} are gone or changed; restore the index that was built"
        )
    for column in ("geom", "name", "split", *WINDOW, "coverage", "sha256"):
        values = columns[column]
        empty = np.array([value is None for value in values]) if values.dtype == object else np.isnan(values)
        if empty.any():
            raise TileSetError(f"{path}: row {rows[empty][0]} has no {column}; fill it in or delete the row")
    for row, name, split in zip(rows, columns["name"], columns["split"], strict=True):
        if split not in get_args(Split):
            choice = ", ".join(get_args(Split))
            raise TileSetError(f"{path}: row {row}, tile {name}, has the split {split!r}; it must be one of {choice}")
    if again := duplicates(zip(rows, columns["name"], strict=True)):
        row, first = next(iter(again.items()))
        raise TileSetError(f"{path}: rows {first} and {row} are the same tile; delete one of them")


def _tiles(columns: Mapping[str, npt.NDArray[Any]], classes: Sequence[str], bands: Sequence[str]) -> Iterator[Tile]:
    """The tiles in checked columns."""

    def table(names: Iterable[str]) -> list[tuple[Any, ...]]:
        rows = zip(*(columns[name].tolist() for name in names), strict=True)
        return list(rows) or [()] * len(columns["name"])

    for name, split, origin, note, sha256, coverage, footprint, window, offset, shares, means, deviations in zip(
        *(columns[name].tolist() for name in ("name", "split", "origin", "note", "sha256", "coverage")),
        shapely.from_wkb(columns["geom"]),
        table(WINDOW),
        table(OFFSET),
        table(column_names("share", classes)),
        table(column_names("mean", bands)),
        table(column_names("std", bands)),
        strict=True,
    ):
        yield Tile(
            name=name,
            split=split,
            window=Window(*map(int, window)),
            footprint=footprint,
            origin=origin or "",
            coverage=coverage,
            offset=None if math.isnan(offset[2]) else Offset(*offset),
            note=note or "",
            shares={name: share for name, share in zip(classes, shares, strict=True) if not math.isnan(share)},
            means=means,
            deviations=deviations,
            sha256=sha256,
        )
