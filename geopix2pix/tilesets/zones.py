"""Zones: polygons that say what the tiles in them are for."""

from pathlib import Path
from typing import get_args

import shapely
from rasterio.crs import CRS
from shapely import Geometry

from geopix2pix.errors import RegionError
from geopix2pix.polygons import read_polygons
from geopix2pix.regions import shown
from geopix2pix.tilesets.tileindex import Split


def load_zones(path: Path, crs: CRS) -> dict[Split, Geometry]:
    """For each split, the union in `crs` of the polygons in a vector file whose column `split` names it.

    Raises:
        VectorError, RegionError: as `load_region`; or there is no column `split`, or it names something else.
    """
    found = read_polygons(path, "split")
    splits = get_args(Split)
    if found.values is None:
        raise RegionError(f"{path}: has no column `split`; add one that says {', '.join(splits)} for each polygon")
    for feature, value in zip(found.features, found.values, strict=True):
        if value not in splits:
            raise RegionError(
                f"{path}: feature {feature} has the split {value!r}; it must be one of {', '.join(splits)}"
            )
    return {
        split: shown(shapely.union_all(found.shapes[found.values == split]), found.crs, crs, str(path))
        for split in splits
        if split in found.values
    }
