"""Areas of interest, in the CRS of the pixels that they choose."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import shapely
from affine import Affine
from rasterio.crs import CRS
from rasterio.features import geometry_mask
from rasterio.warp import transform as warped_points
from shapely import Geometry

from geopix2pix.errors import NothingToDoError, RegionError
from geopix2pix.gdal import environment

Points = npt.NDArray[np.float64]
"""Coordinates, shape (n, 2)."""
PIECES = 1000
"""An edge that is straight in one CRS is curved in another, so that it is cut before it is transformed: into pieces of
a thousandth of the largest polygon's extent. A parallel across a UTM zone, which bends by 4 km, is then followed to
4 mm."""
STRAY = 1e-6  # of the largest coordinate, by which a point may be missed on the way there and back
REMEDY = "cut it to the neighbourhood of the data"
TORN = 0.1  # of its length, by which the middle of a piece may leave the straight line; far more than a smooth curve


def load_region(path: Path, crs: CRS) -> Geometry:
    """The union of all polygons in a vector file, in `crs`; see `polygons.read_polygons`.

    Raises:
        VectorError: the file or the layer cannot be read.
        RegionError: it holds no polygon or has no CRS, or `crs` cannot show it.
    """
    from geopix2pix.polygons import read_polygons  # pyogrio is no part of a light installation

    found = read_polygons(path)
    return shown(shapely.union_all(found.shapes), found.crs, crs, str(path))


def bounds_region(bounds: Sequence[float], bounds_crs: CRS, crs: CRS) -> Geometry:
    """The rectangle of left, bottom, right and top in `bounds_crs`, as an area in `crs`.

    In degrees, a left that is above the right means a rectangle across the antimeridian.

    Raises:
        RegionError: it has no area, or `crs` cannot show it.
    """
    left, bottom, right, top = bounds
    if left > right and bounds_crs.is_geographic:
        right += 360
    where = "bounds " + ",".join(f"{number:g}" for number in bounds)
    if not (np.isfinite(bounds).all() and left < right and bottom < top):
        raise RegionError(f"{where}: must be left,bottom,right,top with left below right and bottom below top")
    return shown(shapely.box(left, bottom, right, top), bounds_crs, crs, where)


def check_overlap(region: Geometry, data: Geometry, crs: CRS) -> None:
    """Nothing, if a region and the extent of the data, both in `crs`, have an area in common.

    Raises:
        NothingToDoError: they lie apart; the message tells where.
    """
    if not shapely.area(shapely.intersection(region, data)):
        there, here = (", ".join(f"{number:.8g}" for number in area.bounds) for area in (region, data))
        raise NothingToDoError(
            f"the region lies at {there} (left, bottom, right, top in {crs.to_string()}), the data at {here}; check "
            "the CRS of the region and the order of its coordinates"
        )


def inside(region: Geometry, transform: Affine, rows: int, cols: int) -> npt.NDArray[np.bool_]:
    """Which pixels have their centres in a region, shape (rows, cols); `transform` is that of pixel (0, 0)."""
    window = shapely.Polygon([transform * corner for corner in ((0, 0), (cols, 0), (cols, rows), (0, rows))])
    shapely.prepare(region)
    if not shapely.intersects(region, window):
        return np.zeros((rows, cols), bool)
    if shapely.covers(region, window):
        return np.ones((rows, cols), bool)
    left, bottom, right, top = window.bounds
    margin = right - left + top - bottom  # beyond the window, so that where the region is cut does not matter
    near = shapely.clip_by_rect(region, left - margin, bottom - margin, right + margin, top + margin)
    found: npt.NDArray[np.bool_] = geometry_mask([near], (rows, cols), transform, invert=True)
    return found


def shown(area: Geometry, area_crs: CRS, crs: CRS, where: str) -> Geometry:
    """An area in another CRS, valid and with its edges bent; `where` names it in messages.

    Raises:
        RegionError: `crs` cannot show all of it: its projection ends or is torn there.
    """
    if area_crs == crs:
        return area
    parts = shapely.get_parts(area)
    sides = shapely.bounds(parts).reshape(-1, 2, 2)
    bent = shapely.segmentize(parts, np.ptp(sides, axis=1).max() / PIECES)
    points, ring = shapely.get_coordinates(shapely.get_rings(bent), return_index=True)
    here = np.concatenate([points, (points[1:] + points[:-1]) / 2])
    try:
        there = _transformed(here, area_crs, crs)
        back = _transformed(there, crs, area_crs)
    except Exception as error:  # rasterio has no public class for what PROJ refuses
        raise RegionError(f"{where}: reaches to where {crs.to_string()} ends ({error}); {REMEDY}") from error
    with np.errstate(invalid="ignore"):  # points that PROJ has no place for are infinite
        if not _is_near(back, here, area_crs) or _is_torn(there, ring):
            raise RegionError(f"{where}: {crs.to_string()} cannot show all of it without a tear; {REMEDY}")
    moved = shapely.set_coordinates(bent, there[: len(points)])
    return shapely.union_all(shapely.make_valid(moved, method="structure", keep_collapsed=False))


def _transformed(points: Points, start: CRS, end: CRS) -> Points:
    with environment():
        return np.column_stack(warped_points(start, end, *points.T))


def _is_near(points: Points, others: Points, crs: CRS) -> bool:
    """Whether points that went to another CRS came back, which is not so where a projection folds."""
    strays = np.abs(points - others)
    if crs.is_geographic:  # 181 degrees are -179, and at the poles all longitudes are the same
        strays[:, 0] = np.abs((strays[:, 0] + 180) % 360 - 180) * np.cos(np.radians(others[:, 1]))
    return bool((strays <= STRAY * np.abs(others).max()).all())


def _is_torn(points: Points, ring: npt.NDArray[np.int64]) -> bool:
    """Whether a piece of a ring jumps; `points` are all vertices and then the middles between them and the next."""
    starts, ends, middles = points[: len(ring) - 1], points[1 : len(ring)], points[len(ring) :]
    bend, length = np.hypot(*(middles - (starts + ends) / 2).T), np.hypot(*(ends - starts).T)
    return bool(((bend > TORN * length) & (np.diff(ring) == 0)).any())
