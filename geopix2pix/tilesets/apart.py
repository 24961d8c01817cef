"""Distance between the tiles that are learned from and those that judge what was learned."""

from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from shapely import STRtree

Shapes = npt.NDArray[Any]
"""An array of geometries."""
Labels = npt.NDArray[Any]
"""An array of splits, as text."""
HAIR = 1e-6  # of a footprint's size: what overlaps by less does but touch


def kept_apart(footprints: Shapes, labels: Labels, reach: float) -> Labels:
    """The splits after all tiles became unused that are nearer than `reach` to a tile of a split that judges them.

    That are training tiles near validation or test, and validation tiles near test. `reach` is in units of the CRS.
    Tiles that overlap are too near for a reach of 0, those that touch are not.
    """
    cores = shrunk(footprints)
    kept: Labels = labels.copy()
    for split, judges in (("validation", ("test",)), ("train", ("validation", "test"))):
        held_out = cores[np.isin(kept, judges)]
        places = np.flatnonzero(kept == split)
        if held_out.size and places.size:
            size = np.sqrt(shapely.area(footprints[places]).min())
            # one nearest tile each, since all pairs within a wide buffer would not fit into memory
            near, _ = STRtree(held_out).query_nearest(
                cores[places], max_distance=max(reach, HAIR * size / 4), all_matches=False
            )
            kept[places[near]] = "unused"
    return kept


def shrunk(footprints: Shapes) -> Shapes:
    """The footprints, smaller by a hair, so that those that touch have nothing in common."""
    points, owner = shapely.get_coordinates(footprints, return_index=True)
    centres = shapely.get_coordinates(shapely.centroid(footprints))[owner]
    smaller: Shapes = shapely.set_coordinates(footprints.copy(), points + HAIR * (centres - points))
    return smaller
