"""How the tiles of a set are divided for training, validation and test, as a user asks for it."""

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np
import shapely

from geopix2pix.errors import ConfigError, TileSetError, TileSetWarning
from geopix2pix.geogrid import GeoGrid
from geopix2pix.ground import pixel_sides
from geopix2pix.tilesets.splits import by_blocks, by_files, by_polygons, shares_by_split, shifted
from geopix2pix.tilesets.tileindex import Split, Tile
from geopix2pix.tilesets.tileset import TileSet
from geopix2pix.tilesets.zones import load_zones

By = Literal["blocks", "polygons", "files"]
ENOUGH_BLOCKS = 20  # so that a tenth of the tiles can be met, and blocks be exchanged for better class shares
BLOCK_TILES = (8, 4, 2)  # sides of a block in tiles that are tried; else every tile is a block


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitRequest:
    """How to divide tiles."""

    by: By = "blocks"
    block: float | None = None
    """Side of a block in metres; by default as many tiles as leave enough blocks."""
    buffer: float = 0.0
    """Metres round the tiles to judge by from which none is learned."""
    shares: tuple[float, float, float] = (0.8, 0.1, 0.1)
    """Of training, validation and test, for blocks."""
    seed: int = 0
    zones: Path | None = None
    """Polygons whose column `split` says what their tiles are for."""
    validation: tuple[str, ...] = ()
    """Patterns of source files."""
    test: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.by == "polygons") != (self.zones is not None):
            raise ConfigError("to split by polygons a file of zones is needed, and it is for nothing else")
        if (self.by == "files") != bool(self.validation or self.test):
            raise ConfigError(
                "to split by files patterns for validation or test are needed, and they are for nothing else"
            )


def divided(tiles: Sequence[Tile], grid: GeoGrid | None, request: SplitRequest) -> list[Tile]:
    """The tiles with new splits; duplicates stay unused. A TileSetWarning tells of class shares that differ.

    Raises:
        ConfigError: a number is impossible, or pictures that lie nowhere are to be split by where they lie.
        TileSetError: there is too little for the splits.
        RegionError: the zones cannot be used.
    """
    splits = iter(_splits([tile for tile in tiles if not _is_copy(tile)], grid, request))
    found = [replace(tile, split="unused" if _is_copy(tile) else next(splits)) for tile in tiles]
    warn_if_shifted(found)
    return found


def divide(folder: Path, request: SplitRequest) -> None:
    """Divide a tile set on disk anew; only its index is written, whole or not at all.

    Raises:
        TileSetError: the folder is no tile set; and as `divided`.
    """
    found = TileSet.open(folder)
    found._replace(tiles=tuple(divided(found.tiles, found.about.grid, request))).write()


def divided_somehow(tiles: Sequence[Tile], grid: GeoGrid | None) -> list[Tile]:
    """The tiles, split by blocks where that is possible; all for training, with a TileSetWarning, where it is not."""
    try:
        if grid is None:
            raise TileSetError("pictures that lie nowhere cannot be split by where they lie")
        return divided(tiles, grid, SplitRequest())
    except TileSetError as error:
        warnings.warn(f"all tiles are for training: {error}", TileSetWarning, stacklevel=3)
        return list(tiles)


def warn_if_shifted(tiles: Sequence[Tile]) -> None:
    """A TileSetWarning, if the classes of what is learned from and judged by differ much."""
    if phrases := shifted(shares_by_split(tiles)):
        warnings.warn(
            f"the splits differ in their classes: {'; '.join(phrases[:3])}; scores will say little, try another seed, "
            "smaller blocks or zones of your own",
            TileSetWarning,
            stacklevel=3,
        )


def _splits(tiles: Sequence[Tile], grid: GeoGrid | None, request: SplitRequest) -> list[Split]:
    if request.by == "files":
        return by_files(tiles, validation=request.validation, test=request.test)
    if grid is None:
        raise ConfigError(
            f"a set of pictures that lie nowhere cannot be split by {request.by}; split it by files, with patterns of "
            "their names"
        )
    metres = _metres_per_unit(tiles, grid)
    if request.zones is not None:
        zones = load_zones(request.zones, grid.crs)
        return by_polygons(tiles, zones, buffer=request.buffer, metres_per_unit=metres)
    block = request.block or _block(tiles, grid) * metres
    return by_blocks(
        tiles,
        block=block,
        buffer=request.buffer,
        metres_per_unit=metres,
        shares=request.shares,
        seed=request.seed,
    )


def _is_copy(tile: Tile) -> bool:
    return tile.note.startswith("duplicate of ")


def _block(tiles: Sequence[Tile], grid: GeoGrid) -> float:
    """The side of a block in units of the CRS."""
    side = tiles[0].window.width * grid.transform.a
    centres = shapely.get_coordinates(shapely.centroid([tile.footprint for tile in tiles]))
    for number in BLOCK_TILES:
        if len(Counter(map(tuple, np.floor(centres / (number * side)).tolist()))) >= ENOUGH_BLOCKS:
            return number * side
    return side


def _metres_per_unit(tiles: Sequence[Tile], grid: GeoGrid) -> float:
    """The least length on the ground of a unit of the CRS at the corners of a set.

    Raises:
        TileSetError: the CRS does not tell.
    """
    left, bottom, right, top = shapely.total_bounds([tile.footprint for tile in tiles])
    corners = (~grid.transform * corner for corner in product((left, right), (bottom, top)))
    sides = [pixel_sides(grid.crs, grid.transform, *corner) for corner in corners]
    lengths = [side / abs(grid.transform.a) for pair in sides if pair for side in pair]
    if not lengths:
        raise TileSetError("the CRS of the set does not tell lengths on the ground; split it by files")
    return min(lengths)
