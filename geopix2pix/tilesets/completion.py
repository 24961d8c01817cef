"""From what is known of each tile to a tile set: duplicates, misaligned pairs, splits, statistics, the manifest."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyogrio
import rasterio
import shapely

from geopix2pix import __version__, labels
from geopix2pix.errors import TileSetError
from geopix2pix.gdal import guarded, unreferenced_allowed
from geopix2pix.geogrid import GeoGrid
from geopix2pix.grid import Window
from geopix2pix.ground import pixel_sides
from geopix2pix.journal import Line
from geopix2pix.palette import Palette
from geopix2pix.registration import Offset
from geopix2pix.tilesets.tileindex import Tile, duplicates
from geopix2pix.tilesets.tileset import PERCENTS, BandStatistics, Content, Description, Side, digest, path_of

SAMPLED_TILES, SAMPLED_PIXELS = 256, 4096  # for the percentiles of a side: tiles, pixels of each


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How the tiles of a set lie, and what they hold."""

    grid: GeoGrid | None
    size: int
    overlap: int
    palette: Palette | None
    """As the target is read."""
    source: tuple[tuple[str, ...], str]
    """Names of the bands, and their dtype."""
    target: tuple[tuple[str, ...], str]


def tiles_of(lines: Sequence[Line], grid: GeoGrid | None) -> list[Tile]:
    """The tiles of the lines that were kept, in the order of their names; later ones with the pixels of an earlier one
    are set aside.
    """
    kept = sorted((line for line in lines if "skipped" not in line), key=lambda line: line["name"])
    copies = duplicates((line["name"], line["pixels"]) for line in kept)
    return [_tile(line, grid, copies.get(line["name"])) for line in kept]


def _tile(line: Line, grid: GeoGrid | None, original: str | None) -> Tile:
    window = Window(*line["window"])
    notes = [f"duplicate of {original}"] if original else []
    notes += ["constant target"] if line["constant_target"] else []
    notes += [f"target moved by {line['shift'][0]:.2f}, {line['shift'][1]:.2f} pixels"] if any(line["shift"]) else []
    left, bottom, right, top = grid.bounds(window) if grid else line["place"]
    return Tile(
        name=line["name"],
        split="unused" if original else "train",
        window=window,
        footprint=shapely.box(left, bottom, right, top),
        origin=line["origin"],
        coverage=line["coverage"],
        offset=Offset(*line["offset"]) if line["offset"] else None,
        note="; ".join(notes),
        shares=line["shares"],
        means=tuple(line["means"]),
        deviations=tuple(line["deviations"]),
        sha256=line["sha256"],
    )


def described(
    folder: Path,
    layout: Layout,
    tiles: Sequence[Tile],
    *,
    counts: Mapping[str, int],
    parameters: Mapping[str, Any],
    attributions: Sequence[str],
) -> Description:
    """The manifest of tiles that lie in `folder`.

    Raises:
        TileSetError: there is no tile.
    """
    if not tiles:
        skipped = ", ".join(f"{number} {reason}" for reason, number in sorted(counts.items())) or "none was found"
        raise TileSetError(
            f"no tile is worth keeping ({skipped}); look at the layers over each other, or lower the coverage asked for"
        )
    palette = labels.stored(layout.palette) if layout.palette else None
    target = () if palette else _statistics(folder, "target", tiles, len(layout.target[0]))
    return Description(
        package=__version__,
        grid=layout.grid,
        size=layout.size,
        overlap=layout.overlap,
        source=Content(
            names=layout.source[0],
            dtype=layout.source[1],
            statistics=_statistics(folder, "source", tiles, len(layout.source[0])),
        ),
        target=Content(names=layout.target[0], dtype=layout.target[1], statistics=target),
        palette=palette,
        ground_resolution=_ground_resolution(layout.grid, tiles),
        counts=dict(counts),
        parameters=dict(parameters),
        attributions=tuple(attributions),
        versions={
            "gdal": rasterio.__gdal_version__,
            "geos": shapely.geos_version_string,
            "numpy": np.__version__,
            "pyogrio": pyogrio.__version__,
            "rasterio": rasterio.__version__,
            "shapely": shapely.__version__,
        },
        tiles_sha256=digest(tiles),
    )


def _ground_resolution(grid: GeoGrid | None, tiles: Sequence[Tile]) -> tuple[float, float] | None:
    if grid is None:
        return None
    left, bottom, right, top = shapely.total_bounds([tile.footprint for tile in tiles])
    middle = grid.window((left, bottom, right, top))
    return pixel_sides(grid.crs, grid.transform, middle.col + middle.width / 2, middle.row + middle.height / 2)


def _statistics(folder: Path, side: Side, tiles: Sequence[Tile], bands: int) -> tuple[BandStatistics, ...]:
    """Of one side; means and deviations of all pixels of a sample of tiles, spread evenly."""
    spread = np.linspace(0, len(tiles), min(SAMPLED_TILES, len(tiles)), endpoint=False)
    seen = np.concatenate([_sample(path_of(folder, side, tiles[int(i)].name)) for i in spread], axis=1)
    if not seen.shape[1]:
        return ()
    at = np.percentile(seen, PERCENTS, axis=1).T
    return tuple(
        BandStatistics(
            mean=float(seen[band].mean()),
            deviation=float(seen[band].std()),
            percentiles=tuple(map(float, at[band])),
        )
        for band in range(bands)
    )


def _sample(path: Path) -> npt.NDArray[np.float64]:
    """Valid pixels of a tile, spread evenly, shape (bands, pixels)."""
    with guarded(path, "read it"), unreferenced_allowed(), rasterio.open(path, sharing=False) as dataset:
        values = dataset.read()[:, dataset.dataset_mask() != 0]
    sample: npt.NDArray[np.float64] = values[:, :: max(1, values.shape[1] // SAMPLED_PIXELS)].astype(np.float64)
    return sample
