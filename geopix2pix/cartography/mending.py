"""Geometries of others, made fit to be drawn: in one reference system, valid, and in single parts."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import shapely
from rasterio.crs import CRS
from rasterio.warp import transform

from geopix2pix.gdal import PROGRAMMING_MISTAKES, environment

KINDS = {0: "Point", 1: "LineString", 2: "LineString", 3: "Polygon", 4: "Point", 5: "LineString", 6: "Polygon"}
"""What shapely's numbers of types are in vector tiles, where parts are not told from wholes."""
SEVERAL = 4  # from this number on, types are collections of others

Geometries = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]


class Mended(NamedTuple):
    """Single valid parts of features."""

    parts: Geometries
    """Points, lines and polygons."""
    owners: npt.NDArray[np.intp]
    """The feature that each part is of."""
    mended: Mask
    """Features of which something was invalid."""
    dropped: Mask
    """Features of which nothing is left: empty, or reaching out of what the reference system can show."""


def kinds(geometries: Geometries) -> list[str]:
    """What each geometry is in the words of `KINDS`, "" for what is none of them."""
    return [KINDS.get(number, "") for number in shapely.get_type_id(geometries).tolist()]


def mended(geometries: Geometries, source: CRS, target: CRS) -> Mended:
    """The valid single parts of geometries in the target's coordinates.

    What crosses itself is mended by `shapely.make_valid`, which keeps all its lines; what that turns into lines and
    points beside a polygon is not kept.
    """
    parts, owners = _exploded(geometries, np.arange(len(geometries)))
    parts = parts if source == target else _transformed(parts, source, target)
    whole = ~shapely.is_missing(parts) & np.isfinite(shapely.bounds(parts)).all(axis=1)
    lost = np.zeros(len(geometries), bool)
    lost[owners[~whole]] = True  # half a feature would be another one
    whole &= ~lost[owners]
    parts, owners = parts[whole], owners[whole]
    repaired = np.zeros(len(geometries), bool)
    if (wrong := ~shapely.is_valid(parts)).any():
        repaired[owners[wrong]] = True
        parts, owners = _repaired(parts, owners, wrong)
    left = np.zeros(len(geometries), bool)
    left[owners] = True
    return Mended(parts, owners, repaired, ~left)


def _repaired(parts: Geometries, owners: npt.NDArray[np.intp], wrong: Mask) -> tuple[Geometries, npt.NDArray[np.intp]]:
    """The parts with those that are wrong replaced by what mends them, in their places."""
    dimensions, parts = shapely.get_dimensions(parts), parts.copy()
    parts[wrong] = shapely.make_valid(parts[wrong])
    pieces, of = _exploded(parts, np.arange(len(parts)))
    alike = (shapely.get_dimensions(pieces) == dimensions[of]) & ~shapely.is_empty(pieces)
    return pieces[alike], owners[of[alike]]


def _exploded(geometries: Geometries, owners: npt.NDArray[np.intp]) -> tuple[Geometries, npt.NDArray[np.intp]]:
    """All single parts, at any depth, with their owners; nothing of what is missing or empty."""
    parts, of = shapely.get_parts(geometries, return_index=True)
    owners = owners[of]
    while (shapely.get_type_id(parts) >= SEVERAL).any():
        parts, of = shapely.get_parts(parts, return_index=True)
        owners = owners[of]
    there = ~shapely.is_empty(parts)
    return parts[there], owners[there]


def _transformed(geometries: Geometries, source: CRS, target: CRS) -> Geometries:
    """Geometries in the coordinates of the target; None where a point has none there."""

    def moved(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        with environment():
            return np.column_stack(transform(source, target, points[:, 0], points[:, 1]))

    try:
        result: Geometries = shapely.transform(geometries, moved)
        return result
    except PROGRAMMING_MISTAKES:
        raise
    except Exception:  # PROJ refuses all points for one; rasterio's class for that is not public
        if len(geometries) == 1:
            return np.array([None], object)
    halves = np.array_split(geometries, 2)
    return np.concatenate([_transformed(half, source, target) for half in halves])
