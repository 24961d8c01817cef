"""What a tile set holds, in numbers: tiles, ground, classes, offsets, and the tiles that should be looked at."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rasterio.crs import CRS

from geopix2pix import records
from geopix2pix.gdal import environment
from geopix2pix.registration import CONFIDENT, Offset, pooled
from geopix2pix.tilesets.splits import shares_by_split
from geopix2pix.tilesets.tileindex import Split, Tile
from geopix2pix.tilesets.tileset import BandStatistics, TileSet

MAX_OFFSET = 2.0  # pixels; where the set does not say which offsets are too long
WORST = 10  # tiles that are named
OFFSET_EDGES = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0, math.inf)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The tiles of one split, or all of them."""

    tiles: int
    pixels: int
    known: float
    """Share of the pixels that are known on both sides."""
    area: float | None
    """Square metres of ground that the known pixels cover; what several tiles show counts in each of them."""
    shares: Mapping[str, float]
    """Of each class in the known pixels; they add up to less than 1 where some pixels are of no named class."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offsets:
    """How far the targets lie beside their sources, in pixels, where that was measured with confidence."""

    measured: int
    confident: int
    median: float | None
    ninetieth: float | None
    """The 90th percentile."""
    limit: float
    """Pixels above which an offset is too long."""
    beyond: int
    """Confident offsets above the limit."""
    common: Offset | None
    """What all targets have in common; None where that is not known with confidence."""
    histogram: tuple[int, ...]
    """Confident offsets between each two `OFFSET_EDGES`."""
    worst: tuple[str, ...]
    """Names of the tiles with the longest offsets above the limit, the longest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """One source file, or several that show in the same tiles."""

    tiles: int
    common: Offset | None
    """The offset that the targets of its tiles have in common; None where that is not known with confidence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a tile set holds."""

    name: str
    package: str
    """The version of geopix2pix that wrote it."""
    size: int
    """Side of a tile, pixels."""
    overlap: int
    """Pixels shared by neighbouring tiles."""
    crs: str | None
    """Its name; None for pictures that lie nowhere."""
    resolution: tuple[float, ...] | None
    """Sides of a pixel in the middle of the set in metres, across and down."""
    whole: Part
    parts: Mapping[Split, Part]
    """By split; those without tiles are left out."""
    coverage: tuple[int, ...]
    """Tiles by tenths of their coverage."""
    offsets: Offsets
    notes: Mapping[str, int]
    """Tiles by the kind of their note: "duplicate", "constant target", ..."""
    counts: Mapping[str, int]
    """What became of the tiles that the build looked at."""
    bands: Mapping[str, BandStatistics]
    """Of the source, in band units, by name."""
    origins: Mapping[str, Origin]
    """By the names of the source files."""
    attributions: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """All fields, in the types of JSON."""
        return records.to_json(self)


def inspect(tileset: TileSet) -> Summary:
    """What a tile set holds, from its index and its manifest: no picture is opened."""
    about, tiles = tileset.about, tileset.tiles
    pixel = math.prod(about.ground_resolution) if about.ground_resolution else None
    order = about.palette.names if about.palette else ()
    parts = {
        split: _part(
            [tile for tile in tiles if tile.split == split], {n: shares[n] for n in order if n in shares}, pixel
        )
        for split, shares in shares_by_split(tiles).items()
    }
    return Summary(
        name=tileset.folder.resolve().name,
        package=about.package,
        size=about.size,
        overlap=about.overlap,
        crs=crs_name(about.grid.crs) if about.grid else None,
        resolution=about.ground_resolution,
        whole=_part(tiles, _mixed(parts.values()), pixel),
        parts=parts,
        coverage=_histogram([tile.coverage for tile in tiles], [i / 10 for i in range(11)]),
        offsets=_offsets(tiles, max_offset(tileset)),
        notes=dict(Counter(kind for tile in tiles for kind in kinds(tile.note))),
        counts=about.counts,
        bands=dict(zip(about.source.names, about.source.statistics, strict=False)),
        origins=_origins(tiles),
        attributions=about.attributions,
    )


def max_offset(tileset: TileSet) -> float:
    """Pixels above which an offset is too long, as the set was asked for."""
    asked = tileset.about.parameters.get("max_offset")
    return float(asked) if isinstance(asked, int | float) else MAX_OFFSET


def length(offset: Offset | None) -> float | None:
    """The length of an offset in pixels; None where it was not measured with confidence."""
    return math.hypot(offset.cols, offset.rows) if offset is not None and offset.confidence >= CONFIDENT else None


def kinds(note: str) -> list[str]:
    """What a note is about, without tiles and numbers: "duplicate of a; constant target" is two kinds."""
    return [re.split(" of | by ", part)[0] for part in note.split("; ") if part]


def crs_name(crs: CRS) -> str:
    """The name and code of a CRS."""
    with environment():
        wkt = crs.to_wkt()
        code = crs.to_authority()
    name = wkt.partition('"')[2].partition('"')[0] or "unnamed CRS"
    return f"{name} ({':'.join(code)})" if code else name


def _part(tiles: Sequence[Tile], shares: Mapping[str, float], pixel: float | None) -> Part:
    """`pixel` is the area of one in square metres."""
    pixels = [tile.window.width * tile.window.height for tile in tiles]
    known = math.fsum(count * tile.coverage for count, tile in zip(pixels, tiles, strict=True))
    area = None if pixel is None else known * pixel
    return Part(tiles=len(tiles), pixels=sum(pixels), known=known / max(sum(pixels), 1), area=area, shares=shares)


def _mixed(parts: Iterable[Part]) -> dict[str, float]:
    """The shares of the classes in all parts together."""
    weights = [(part.shares, part.pixels * part.known) for part in parts]
    total = sum(weight for _, weight in weights)
    names = dict.fromkeys(name for shares, _ in weights for name in shares)
    return {name: sum(weight * shares.get(name, 0) for shares, weight in weights) / max(total, 1) for name in names}


def _offsets(tiles: Sequence[Tile], limit: float) -> Offsets:
    lengths = {tile.name: found for tile in tiles if (found := length(tile.offset)) is not None}
    values = list(lengths.values())
    far = sorted((name for name in lengths if lengths[name] > limit), key=lambda name: (-lengths[name], name))
    return Offsets(
        measured=sum(tile.offset is not None for tile in tiles),
        confident=len(values),
        median=float(np.median(values)) if values else None,
        ninetieth=float(np.percentile(values, 90)) if values else None,
        limit=limit,
        beyond=len(far),
        common=_common(tiles),
        histogram=_histogram(values, OFFSET_EDGES),
        worst=tuple(far[:WORST]),
    )


def _origins(tiles: Sequence[Tile]) -> dict[str, Origin]:
    by_name: dict[str, list[Tile]] = {}
    for tile in tiles:
        by_name.setdefault(tile.origin, []).append(tile)
    return {name: Origin(tiles=len(inside), common=_common(inside)) for name, inside in sorted(by_name.items())}


def _common(tiles: Iterable[Tile]) -> Offset | None:
    found = pooled([tile.offset for tile in tiles if tile.offset is not None])
    return found if found.confidence >= CONFIDENT else None


def _histogram(values: Sequence[float], edges: Sequence[float]) -> tuple[int, ...]:
    return tuple(int(n) for n in np.histogram(values, edges)[0])
