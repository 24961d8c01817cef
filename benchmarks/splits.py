"""How often the class shares of a split by blocks are reported as shifted, with and without a choice among orders.

    python benchmarks/splits.py

Tiles of 64 pixels of synthetic towns of several sizes are split by blocks in 30 ways each. The figures are in
docs/splits.md.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import shapely

from geopix2pix.grid import Window
from geopix2pix.tilesets.splits import by_blocks, shares_by_split, shifted
from geopix2pix.tilesets.tileindex import Tile
from geopix2pix.town import CLASSES, RESOLUTION, class_raster, lay_out

TILE, TOWNS, SEEDS = 64, 3, 30
CASES = ((2048, 128), (2048, 256), (4096, 256), (4096, 512))  # the side of a town in pixels, that of a block in metres


def tiles_of(classes: npt.NDArray[np.uint8], with_shares: bool) -> list[Tile]:
    """The tiles of a class raster."""
    side = TILE * RESOLUTION
    tiles = []
    for row, col in np.ndindex(len(classes) // TILE, len(classes) // TILE):
        window = Window(col * TILE, row * TILE, TILE, TILE)
        counts = np.bincount(classes[window.slices].ravel(), minlength=len(CLASSES))
        tiles.append(
            Tile(
                name=f"c{col}r{row}",
                split="unused",
                window=window,
                footprint=shapely.box(col * side, -(row + 1) * side, (col + 1) * side, -row * side),
                origin="town.tif",
                coverage=1.0,
                offset=None,
                note="",
                shares=dict(zip(CLASSES, (counts / TILE**2).tolist(), strict=True)) if with_shares else {},
                means=(),
                deviations=(),
                sha256="",
            )
        )
    return tiles


def main() -> None:
    print("town, pixels | blocks | of, m | order  | reported | largest difference, points (median, 95 %)")
    for size, block in CASES:
        towns = [class_raster(lay_out(seed, size)) for seed in range(TOWNS)]
        for order, with_shares in (("first", False), ("chosen", True)):
            reported, differences = [], []
            for town in towns:
                known, asked = tiles_of(town, True), tiles_of(town, with_shares)
                for seed in range(SEEDS):
                    splits = by_blocks(asked, block=block, buffer=0, metres_per_unit=1, seed=seed)
                    found = [replace(tile, split=split) for tile, split in zip(known, splits, strict=True)]
                    shares = shares_by_split(found)
                    reported.append(bool(shifted(shares)))
                    for split in ("validation", "test"):
                        differences += [max(abs(shares[split][c] - shares["train"][c]) for c in CLASSES)]
            half, most = 100 * np.percentile(differences, [50, 95])
            blocks = (size * RESOLUTION / block) ** 2
            print(
                f"{size:12} | {blocks:6.0f} | {block:5} | {order:6} | {np.mean(reported):8.0%} | {half:.1f}, {most:.1f}"
            )


if __name__ == "__main__":
    main()
