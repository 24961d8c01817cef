"""Places and lengths on the earth: points in other reference systems, and what a pixel measures on the ground."""

import math
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from affine import Affine
from rasterio._err import CPLE_BaseError, CPLE_NotSupportedError
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.warp import transform as carried

from geopix2pix.errors import SceneError
from geopix2pix.gdal import environment

Floats = npt.NDArray[np.floating[Any]]

# The ellipsoid of WGS 84 (EPSG:7030): its semi-major axis in metres, the square of its eccentricity.
AXIS, FLATTENING = 6378137.0, 1 / 298.257223563
ECCENTRICITY_2 = FLATTENING * (2 - FLATTENING)
RADIUS = 6371008.8  # metres, the mean radius: only turns a chord into its arc

WGS_84, WEB_MERCATOR = 4326, 3857  # EPSG codes; rasterio puts x, the longitude, first in any CRS
UTM_LIMITS = (-80, 84)  # degrees of latitude; beyond them the polar stereographic systems are used
UTM_NORTH, UTM_SOUTH, POLAR_NORTH, POLAR_SOUTH = 32600, 32700, 5041, 5042  # EPSG codes, the zone is added


def points_in(target: CRS, source: CRS, xs: Floats, ys: Floats) -> Floats:
    """Points with coordinates in `source`, shape (points,) each, in `target`: x and y, shape (2, points).

    x is east or longitude in any CRS. NaN stands for points that have no place there. Points are exact: each goes
    through PROJ by itself.

    Raises:
        SceneError: no operation leads from one CRS to the other.
    """
    points = np.array([xs, ys], np.float64)
    if source == target:
        return points
    possible = np.isfinite(points).all(axis=0)
    if source.is_geographic and (turn := full_turn(source)) is not None:
        possible &= np.abs(points[1]) <= turn / 4  # no latitude beyond the poles
        points[0, possible] -= turn * np.floor(points[0, possible] / turn + 0.5)  # else PROJ may shift datums otherwise
    _check_operation(source, target)
    with environment():
        points[:, possible] = _carried(source, target, *points[:, possible].tolist())
    points[:, ~(possible & np.isfinite(points).all(axis=0))] = np.nan
    return points


def pixel_sides(crs: CRS, transform: Affine, col: float, row: float) -> tuple[float, float] | None:
    """The sides of a pixel on the ground in metres, across (along a row) and down; None where the CRS does not tell.

    (col, row) is the pixel's middle. Its sides are the lengths, on the WGS 84 ellipsoid, of the lines through it
    between the mid-points of its edges: right to a millionth for sides of up to 100 km. No length is known in a local
    or engineering CRS, nor outside the domain of a projection.
    """
    edges = [(col - 0.5, row), (col + 0.5, row), (col, row - 0.5), (col, row + 0.5)]
    xs, ys = np.array([transform * edge for edge in edges]).T
    try:
        left, right, top, bottom = _geocentric(*_longitudes_latitudes(crs, xs, ys))
    except SceneError:
        return None
    across, down = _arc(left, right), _arc(top, bottom)
    return (across, down) if 0 < across < math.inf and 0 < down < math.inf else None


def metric_crs(crs: CRS, x: float, y: float) -> CRS:
    """A CRS in metres for the place (x, y) in `crs`: itself if it is projected in metres, else UTM on WGS 84.

    Beyond the limits of UTM it is the universal polar stereographic one. Web maps are projected in metres too, which
    are shorter on the ground by the cosine of the latitude: `pixel_sides` tells.

    Raises:
        SceneError: the CRS does not tell where on the earth the place is.
    """
    if crs.is_projected and crs.linear_units_factor[1] == 1:
        return crs
    longitude, latitude = _longitudes_latitudes(crs, np.array([x]), np.array([y]))[:, 0]
    if math.isnan(latitude):
        raise SceneError(
            f"({x}, {y}) in the CRS {name(crs)} is no place on the earth, so that no metric grid can be chosen for it; "
            "name a CRS, or correct that of the scene"
        )
    low, high = UTM_LIMITS
    if not low <= latitude <= high:
        return CRS.from_epsg(POLAR_NORTH if latitude > 0 else POLAR_SOUTH)
    zone = int((longitude + 180) // 6) % 60 + 1
    return CRS.from_epsg((UTM_NORTH if latitude >= 0 else UTM_SOUTH) + zone)


@lru_cache
def full_turn(crs: CRS) -> float | None:
    """How far x has to go round the earth to come back to the same place; None where it does not go round."""
    if crs.is_geographic:
        _, radians = crs.units_factor
        return float(round(2 * math.pi / radians, 9))
    return 2 * math.pi * AXIS if crs.to_epsg() == WEB_MERCATOR else None


def name(crs: CRS) -> str:
    """The CRS in a few words: its code if it has one."""
    try:
        authority = crs.to_authority()
    except CRSError:
        authority = None
    if authority:
        return ":".join(authority)
    return crs.to_wkt().partition('"')[2].partition('"')[0] or "without a name"


def _longitudes_latitudes(crs: CRS, xs: Floats, ys: Floats) -> Floats:
    """Degrees on WGS 84, shape (2, points); NaN where there is no such place."""
    found = points_in(CRS.from_epsg(WGS_84), crs, xs, ys)
    found[:, np.abs(found[1]) > 90] = np.nan
    return found


def _carried(source: CRS, target: CRS, xs: list[float], ys: list[float]) -> Floats:
    """The points in another CRS, shape (2, points), NaN outside its domain. GDAL refuses all because of one."""
    if not xs:
        return np.empty((2, 0))
    try:
        return np.array(carried(source, target, xs, ys))
    except CPLE_BaseError:
        if len(xs) == 1:
            return np.full((2, 1), np.nan)
    half = len(xs) // 2
    parts = [_carried(source, target, xs[part], ys[part]) for part in (slice(half), slice(half, None))]
    return np.concatenate(parts, axis=1)


@lru_cache
def _check_operation(source: CRS, target: CRS) -> None:
    try:
        with environment():
            carried(source, target, [0.0], [0.0])
    except CPLE_NotSupportedError as error:
        raise SceneError(
            f"what is in the CRS {name(source)} cannot be shown in {name(target)}: no operation leads from one to the "
            "other; correct the CRS of the scene or name another for the grid"
        ) from error
    except CPLE_BaseError:
        pass  # (0, 0) is no place there, but others are


def _geocentric(longitudes: Floats, latitudes: Floats) -> Floats:
    """Points of the ellipsoid in metres from its centre, shape (points, 3).

    IOGP Guidance Note 7-2, "Geographic/geocentric conversions" (EPSG method 9602), for height 0. Neither poles nor the
    antimeridian are special there.
    """
    east, north = np.radians(longitudes), np.radians(latitudes)
    normal = AXIS / np.sqrt(1 - ECCENTRICITY_2 * np.sin(north) ** 2)  # the radius in the prime vertical
    x, y = normal * np.cos(north) * np.cos(east), normal * np.cos(north) * np.sin(east)
    return np.stack([x, y, (1 - ECCENTRICITY_2) * normal * np.sin(north)], axis=1)


def _arc(start: Floats, end: Floats) -> float:
    """The length in metres along the ground of a straight line between two points of the ellipsoid."""
    chord = float(np.linalg.norm(end - start))
    return 2 * RADIUS * math.asin(min(chord / (2 * RADIUS), 1.0))
