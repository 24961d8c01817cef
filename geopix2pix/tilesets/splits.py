"""Which tiles to learn from and which to judge by, so that none of the latter lies beside one of the former."""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import get_args

import numpy as np
import numpy.typing as npt
import shapely
from shapely import Geometry

from geopix2pix.errors import ConfigError, TileSetError
from geopix2pix.tilesets.apart import Labels, Shapes, kept_apart, shrunk
from geopix2pix.tilesets.tileindex import ORIGINS, Split, Tile

SPLITS: tuple[Split, ...] = get_args(Split)
ORDERS = 64  # of the blocks, that are tried
ALMOST_WHOLE = 0.02  # tiles; far more than scales differ in one UTM zone, so that neighbouring sets round alike
SHIFT_RATIO, SHIFT = 2.0, 0.03
"""A class is shifted where its shares differ by more than this factor and by more than this difference; see
docs/splits.md for the reason."""


def by_blocks(
    tiles: Sequence[Tile],
    *,
    block: float,
    buffer: float,
    metres_per_unit: float,
    shares: tuple[float, float, float] = (0.8, 0.1, 0.1),
    seed: int = 0,
) -> list[Split]:
    """The split of each tile by square blocks of ground; a tile belongs to the block that holds its centre.

    `block`, the side of a block, and `buffer` are in metres; `metres_per_unit` is the least length on the ground of a
    unit of the CRS, so that no buffer is too narrow. `shares` are those of training, validation and test.

    Blocks are counted from the origin of the CRS and are a whole number of tiles wide, rounded up, so that neighbouring
    sets have the same. They are ordered by a hash of `seed` and their numbers; validation takes them from the beginning
    and test from the end until each has its share of the tiles as nearly as can be, but at least one. So blocks that
    come or go move others only where the borders are. Of `ORDERS` such orders the one counts whose splits resemble each
    other most in their classes; without classes it is the first. At last tiles in the buffer become unused, see
    `kept_apart`; an order in which that takes all of a split is passed over.

    Raises:
        ConfigError: a number is impossible.
        TileSetError: there are too few blocks, or the buffer takes all of a split in every order.
    """
    _check_numbers(block, buffer, metres_per_unit, shares)
    footprints = _footprints(tiles)
    blocks, owner = _blocks(footprints, block / metres_per_unit)
    wanted = {split for split, share in zip(SPLITS, shares, strict=False) if share}
    if len(blocks) < len(wanted):
        raise TileSetError(
            f"{len(tiles)} tiles lie in {len(blocks)} blocks of {block:g} m, too few for {len(wanted)} splits; choose "
            "smaller blocks"
        )
    counts = np.bincount(owner)
    pixels = np.stack([np.bincount(owner, row).astype(float) for row in _pixels(tiles)])
    dealt = [_dealt(counts[order], shares)[np.argsort(order)] for order in _orders(seed, blocks)]
    for labels in sorted(dealt, key=lambda labels: _imbalance(pixels, labels)):
        kept = kept_apart(footprints, labels[owner], buffer / metres_per_unit)
        if wanted <= set(kept):
            return list(kept)
    raise TileSetError(
        f"a buffer of {buffer:g} m takes all tiles of a split, however {len(blocks)} blocks of {block:g} m are dealt; "
        "choose a narrower buffer, or larger blocks if there are enough of them"
    )


def by_polygons(
    tiles: Sequence[Tile], zones: Mapping[Split, Geometry], *, buffer: float, metres_per_unit: float
) -> list[Split]:
    """The split of each tile by the zone that it lies in; zones are in the CRS of the tiles.

    What lies outside all zones counts as one more zone, of training if no other is, else unused. Tiles that lie in
    zones of two splits become unused, and then those in the buffer, as in `by_blocks`.

    Raises:
        ConfigError: a number is impossible.
        TileSetError: no tile is left for training, or for a split that has a zone.
    """
    _check_numbers(1, buffer, metres_per_unit, (1, 0, 0))
    footprints = _footprints(tiles)
    cores = shrunk(footprints)
    named = shapely.union_all([*zones.values()])
    for zone in (named, *zones.values()):
        shapely.prepare(zone)
    there = {split: shapely.intersects(zone, cores) for split, zone in zones.items()}
    outside: Split = "unused" if "train" in zones else "train"
    there[outside] = there.get(outside, False) | ~shapely.covers(named, cores)
    labels = np.full(len(tiles), "unused", object)
    for split, inside in there.items():
        labels[inside & (np.sum([*there.values()], axis=0) == 1)] = split
    kept = kept_apart(footprints, labels, buffer / metres_per_unit)
    if lost := {"train", *zones} - {"unused", *kept}:
        raise TileSetError(
            f"no tile is left for {', '.join(sorted(lost))}: tiles across two zones or within {buffer:g} m of others "
            "are unused; enlarge the zones or choose a narrower buffer"
        )
    return list(kept)


def by_files(tiles: Sequence[Tile], *, validation: Sequence[str], test: Sequence[str] = ()) -> list[Split]:
    """The split of each tile by patterns for the names of its source files, such as `Tile 1/*`; the rest is training.

    It is the way for pictures whose places are not known, but whose names tell which of them may touch. Tiles from
    files of two splits become unused.

    Raises:
        TileSetError: a pattern matches no file, a file is matched for two splits, or no tile is left for one.
    """
    origins = [tile.origin.split(ORIGINS) for tile in tiles]
    files = {file for names in origins for file in names}
    split_of = files_by_pattern(files, validation=validation, test=test)
    found = [{split_of[file] for file in names} for names in origins]
    labels: list[Split] = [names.pop() if len(names) == 1 else "unused" for names in found]
    if lost := {"train", *split_of.values()} - set(labels):
        raise TileSetError(
            f"no tile is left for {', '.join(sorted(lost))}; the source files are {_some(sorted(files))}"
        )
    return labels


def files_by_pattern(files: Iterable[str], *, validation: Sequence[str], test: Sequence[str] = ()) -> dict[str, Split]:
    """The split of each source file by patterns for its name; can be asked before any tile is cut.

    Raises:
        TileSetError: a pattern matches no file, or a file is matched for two splits.
    """
    names = sorted(files)
    split_of: dict[str, Split] = {}
    wanted: dict[Split, Sequence[str]] = {"validation": validation, "test": test}
    for split, pattern in ((split, pattern) for split, patterns in wanted.items() for pattern in patterns):
        matched = [file for file in names if fnmatchcase(file, pattern)]
        if not matched:
            raise TileSetError(f"the pattern {pattern!r} for {split} matches no source file; they are {_some(names)}")
        for file in matched:
            if split_of.setdefault(file, split) != split:
                raise TileSetError(f"{file} is matched for both validation and test; narrow the pattern {pattern!r}")
    return {file: split_of.get(file, "train") for file in names}


def shares_by_split(tiles: Sequence[Tile]) -> dict[Split, dict[str, float]]:
    """The share of each class among the known pixels of each split that has tiles; {} for each without classes."""
    splits = np.array([tile.split for tile in tiles], object)
    pixels = _pixels(tiles)
    return {
        split: dict(zip(_classes(tiles), _shares(pixels[:, splits == split]).tolist(), strict=True))
        for split in SPLITS
        if split in splits
    }


def shifted(shares: Mapping[Split, Mapping[str, float]]) -> list[str]:
    """What is wrong with a split, a phrase for each class whose share in validation or test is not that of training.

    The rule is that of `SHIFT_RATIO` and `SHIFT`.
    """
    learnt = shares.get("train", {})
    return [
        f"{name} covers {100 * share:.1f} % of {split}, but {100 * learnt[name]:.1f} % of train"
        for split in ("validation", "test")
        for name, share in shares.get(split, {}).items()
        if name in learnt
        and max(share, learnt[name]) > SHIFT_RATIO * min(share, learnt[name])
        and abs(share - learnt[name]) > SHIFT
    ]


def _check_numbers(block: float, buffer: float, metres_per_unit: float, shares: tuple[float, float, float]) -> None:
    if not 0 < block < np.inf or not 0 <= buffer < np.inf:
        raise ConfigError(
            f"blocks of {block:g} m and a buffer of {buffer:g} m: the first must be above 0, the second 0 or more"
        )
    if not 0 < metres_per_unit < np.inf:
        raise ConfigError(f"a unit of the CRS was said to be {metres_per_unit} m long; it must be above 0")
    if min(shares) < 0 or shares[0] == 0 or abs(sum(shares) - 1) > 1e-6:
        raise ConfigError(
            f"shares {shares} of train, validation and test must add up to 1, and that of train be above 0"
        )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if names[3:] else ""
    return ", ".join(names[:3]) + more


def _blocks(footprints: Shapes, side: float) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.intp]]:
    """The numbers of all blocks that hold a tile, shape (blocks, 2), and which of them holds each tile."""
    tile = float(np.sqrt(np.median(shapely.area(footprints))))
    side = tile * max(1, math.ceil(side / tile - ALMOST_WHOLE))
    numbers = np.floor(shapely.get_coordinates(shapely.centroid(footprints)) / side).astype(np.int64)
    blocks, owner = np.unique(numbers, axis=0, return_inverse=True)
    return blocks, owner.reshape(-1)  # some versions of numpy give it a second axis


def _orders(seed: int, blocks: npt.NDArray[np.int64]) -> npt.NDArray[np.intp]:
    """Orders of the blocks, whose numbers have shape (blocks, 2), by hashes; shape (ORDERS, blocks)."""
    digests = [hashlib.shake_128(f"{seed} {col} {row}".encode()).digest(4 * ORDERS) for col, row in blocks]
    return np.argsort(np.frombuffer(b"".join(digests), "<u4").reshape(-1, ORDERS).T, axis=1, kind="stable")


def _dealt(counts: npt.NDArray[np.int64], shares: tuple[float, float, float]) -> Labels:
    """The split of each block of a row, which hold so many tiles each."""

    def taken(row: npt.NDArray[np.int64], share: float, most: int) -> int:
        """How many of the first blocks hold that share of all tiles as nearly as can be."""
        return 1 + int(np.abs(np.cumsum(row[:most]) - share * counts.sum()).argmin()) if share else 0

    _, validation, test = shares
    first = taken(counts, validation, len(counts) - 1 - (test > 0))
    last = taken(counts[::-1], test, len(counts) - 1 - first)
    return np.repeat(np.array(SPLITS[:3], object)[[1, 0, 2]], [first, len(counts) - first - last, last])


def _imbalance(pixels: npt.NDArray[np.float64], labels: Labels) -> float:
    """How far the classes of the split that differs most are from those of all; `pixels` as `_pixels`, for each label.

    It is the chi-squared distance, in which the lack of a rare class counts as well as some more of a common one.
    """
    overall = _shares(pixels)
    found = overall > 0
    squares = [(_shares(pixels[:, labels == split]) - overall)[found] ** 2 / overall[found] for split in set(labels)]
    return round(max(float(distances.sum()) for distances in squares), 4)  # what decides must not be rounding


def _classes(tiles: Sequence[Tile]) -> list[str]:
    return list(dict.fromkeys(name for tile in tiles for name in tile.shares))


def _pixels(tiles: Sequence[Tile]) -> npt.NDArray[np.float64]:
    """How many pixels of each tile have a class, then how many have each class, shape (1 + classes, tiles)."""
    known = [tile.coverage * tile.window.width * tile.window.height if tile.shares else 0.0 for tile in tiles]
    shares = [[tile.shares.get(name, 0.0) for tile in tiles] for name in _classes(tiles)]
    pixels: npt.NDArray[np.float64] = np.array([np.ones(len(tiles)), *shares]) * known
    return pixels


def _shares(pixels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The share of each class, from all pixels of some tiles or blocks."""
    known, *of_classes = pixels.sum(axis=1)
    found: npt.NDArray[np.float64] = np.array(of_classes) / max(float(known), 1.0)
    return found


def _footprints(tiles: Sequence[Tile]) -> Shapes:
    if not tiles:
        raise TileSetError("there is no tile to split")
    return np.array([tile.footprint for tile in tiles], object)
