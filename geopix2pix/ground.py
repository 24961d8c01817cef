"""Lengths on the earth: what the pixels of a reference system measure there, and which systems measure in metres."""

import math
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.warp import transform as transformed

from geopix2pix.errors import SceneError
from geopix2pix.gdal import environment

# The ellipsoid of WGS 84 (EPSG:7030): its semi-major axis in metres, the square of its eccentricity.
AXIS, FLATTENING = 6378137.0, 1 / 298.257223563
ECCENTRICITY_2 = FLATTENING * (2 - FLATTENING)
RADIUS = 6371008.8  # metres, the mean radius: only turns a chord into its arc

LONGITUDE_LATITUDE = CRS.from_epsg(4326)  # rasterio's axes are x and y, longitude first, whatever the authority says
WEB_MERCATOR = 3857  # the EPSG code of web maps
UTM_LIMITS = (-80, 84)  # degrees of latitude; beyond them the polar stereographic systems are used
UTM_NORTH, UTM_SOUTH, POLAR_NORTH, POLAR_SOUTH = 32600, 32700, 5041, 5042  # EPSG codes, the zone is added


def pixel_sides(crs: CRS, transform: Affine, col: float, row: float) -> tuple[float, float] | None:
    """The sides of a pixel on the ground in metres, across (along a row) and down; None where the CRS does not tell.

    (col, row) is the pixel's middle. Its sides are the lengths, on the WGS 84 ellipsoid, of the lines through it
    between the mid-points of its edges: right to a millionth for sides of up to 100 km. No length is known in a local
    or engineering CRS, nor outside the domain of a projection.
    """
    edges = [(col - 0.5, row), (col + 0.5, row), (col, row - 0.5), (col, row + 0.5)]
    xs, ys = zip(*(transform * edge for edge in edges), strict=True)
    found = _longitude_latitude(crs, xs, ys)
    if found is None:
        return None
    left, right, top, bottom = _geocentric(*found)
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
    found = _longitude_latitude(crs, (x,), (y,))
    if found is None:
        raise SceneError(
            f"({x}, {y}) in the CRS {name(crs)} is no place on the earth, so that no metric grid can be chosen for it; "
            "name a CRS, or correct that of the scene"
        )
    longitude, latitude = found[0][0], found[1][0]
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


def _longitude_latitude(
    crs: CRS, xs: tuple[float, ...], ys: tuple[float, ...]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None:
    """Degrees on WGS 84; None if one of the points has no place there."""
    try:
        with environment():
            longitudes, latitudes = map(np.array, transformed(crs, LONGITUDE_LATITUDE, xs, ys))
    except Exception:  # rasterio raises GDAL's own errors, which have no public class
        return None
    on_earth = np.isfinite(longitudes) & (np.abs(latitudes) <= 90)
    return (longitudes, latitudes) if on_earth.all() else None


def _geocentric(longitudes: npt.NDArray[np.float64], latitudes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Points of the ellipsoid in metres from its centre, shape (points, 3).

    IOGP Guidance Note 7-2, "Geographic/geocentric conversions" (EPSG method 9602), for height 0. Neither poles nor the
    antimeridian are special there.
    """
    east, north = np.radians(longitudes), np.radians(latitudes)
    normal = AXIS / np.sqrt(1 - ECCENTRICITY_2 * np.sin(north) ** 2)  # the radius in the prime vertical
    x, y = normal * np.cos(north) * np.cos(east), normal * np.cos(north) * np.sin(east)
    return np.stack([x, y, (1 - ECCENTRICITY_2) * normal * np.sin(north)], axis=1)


def _arc(start: npt.NDArray[np.float64], end: npt.NDArray[np.float64]) -> float:
    """The length in metres along the ground of a straight line between two points of the ellipsoid."""
    chord = float(np.linalg.norm(end - start))
    return 2 * RADIUS * math.asin(min(chord / (2 * RADIUS), 1.0))
