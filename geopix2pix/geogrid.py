"""GeoGrid: an endless grid of pixels on the ground, which scenes, maps and tile sets share."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.transform import from_gcps

from geopix2pix.errors import ConfigError, SceneError
from geopix2pix.grid import Window
from geopix2pix.raster import Georeference, RasterReader

SNAP = 1e-6
"""Pixels by which a border may miss a whole number and still be it: doubles in metres are this good below 10^9 pixels,
and no georeference is meant to be better."""
MAX_GCP_MISS = 0.5  # pixels; a point further off shows that the scene is bent, and a pixel of a pair would be wrong

Bounds = tuple[float, float, float, float]
"""Left, bottom, right and top in the units of a CRS."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GeoGrid:
    """A grid of pixels without an end; a window of it is a raster.

    Raises:
        ConfigError: the transform is not finite or makes pixels without an area.
    """

    crs: CRS
    transform: Affine
    """From (column, row) to (x, y), x being east or longitude; pixel (0, 0) has its first corner at (0, 0)."""

    def __post_init__(self) -> None:
        area = self.transform.determinant
        if not all(map(math.isfinite, self.transform[:6])) or not 0 < abs(area) < math.inf:
            raise ConfigError(f"a grid needs pixels of a finite size, found the transform {tuple(self.transform[:6])}")

    @classmethod
    def anchored(cls, crs: CRS, resolution: float, origin: tuple[float, float] = (0.0, 0.0)) -> "GeoGrid":
        """North-up pixels of `resolution` x `resolution` units of the CRS, with a corner of one at `origin`.

        Corners lie at whole multiples of the resolution from the origin, so that whatever is built separately with
        one CRS and resolution shares its pixels.

        Raises:
            ConfigError: the resolution is not above 0, or a number is not finite.
        """
        if not 0 < resolution < math.inf:
            raise ConfigError(f"a resolution above 0 is needed, found {resolution}")
        return cls(crs=crs, transform=Affine(resolution, 0.0, origin[0], 0.0, -resolution, origin[1]))

    @classmethod
    def of(cls, reader: RasterReader) -> "GeoGrid":
        """The pixels of a scene. Ground control points count if one affine transform meets them all.

        Raises:
            SceneError: the file does not tell where the scene lies, or its control points bend it.
        """
        place = reader.georeference
        if place.crs is not None and place.is_known:
            return cls(crs=place.crs, transform=place.transform)
        if place.gcps_crs is not None and place.is_known:
            return cls(crs=place.gcps_crs, transform=_through_points(reader, place))
        missing = "a georeference" if place.crs is not None else "a reference system (CRS)"
        raise SceneError(
            f"{reader.path}: {missing} is needed to show it on a grid, found none; give it one with gdal_translate "
            "(-a_srs, -a_ullr) or a QGIS export"
        )

    def transform_of(self, window: Window) -> Affine:
        """From (column, row) of a raster that holds the window to (x, y)."""
        return self.transform * Affine.translation(window.col, window.row)

    def bounds(self, window: Window) -> Bounds:
        """The smallest rectangle along the axes of the CRS around a window."""
        corners = ((col, row) for col in (window.col, window.right) for row in (window.row, window.bottom))
        xs, ys = zip(*(self.transform * corner for corner in corners), strict=True)
        return min(xs), min(ys), max(xs), max(ys)

    def window(self, bounds: Bounds) -> Window:
        """The smallest window that covers the bounds, to within `SNAP` pixels.

        `window(bounds(w))` is `w` in a grid along the axes of its CRS.

        Raises:
            ConfigError: the bounds are not finite.
        """
        left, bottom, right, top = bounds
        if not all(map(math.isfinite, bounds)):
            raise ConfigError(f"bounds on a grid must be finite, found {bounds}")
        inverse = ~self.transform
        cols, rows = zip(*(inverse * (x, y) for x in (left, right) for y in (bottom, top)), strict=True)
        col, row = math.floor(min(cols) + SNAP), math.floor(min(rows) + SNAP)
        right_col, bottom_row = math.ceil(max(cols) - SNAP), math.ceil(max(rows) - SNAP)
        return Window(col, row, max(right_col - col, 0), max(bottom_row - row, 0))

    def shifted(self, cols: float, rows: float) -> "GeoGrid":
        """The grid moved by so many pixels to the right and down."""
        return GeoGrid(crs=self.crs, transform=self.transform * Affine.translation(cols, rows))

    def to_json(self) -> dict[str, Any]:
        return {"crs": self.crs.to_wkt(), "transform": list(self.transform[:6])}

    @classmethod
    def from_json(cls, data: Any, where: str = "grid") -> "GeoGrid":
        """The grid in a parsed JSON document; `where` is what error messages call the document.

        Raises:
            ConfigError: a field is missing or wrong; the message names it.
        """
        if not isinstance(data, Mapping):
            raise ConfigError(f"{where}: a grid is an object with `crs` and `transform`, found {type(data).__name__}")
        numbers = data.get("transform")
        if not isinstance(numbers, list) or len(numbers) != 6 or not all(type(n) in (int, float) for n in numbers):
            raise ConfigError(f"{where}.transform: expected the six numbers of an affine transform, found {numbers!r}")
        try:
            return cls(crs=CRS.from_wkt(data.get("crs") or ""), transform=Affine(*numbers))
        except (CRSError, TypeError) as error:
            raise ConfigError(f"{where}.crs: expected a CRS as WKT, found {data.get('crs')!r} ({error})") from error
        except ConfigError as error:
            raise ConfigError(f"{where}.transform: {error}") from error


def _through_points(reader: RasterReader, place: Georeference) -> Affine:
    """The affine transform nearest to the ground control points (least squares), if it meets them."""
    try:
        transform: Affine = from_gcps(place.gcps)
        inverse = ~transform
    except Exception as error:
        raise SceneError(
            f"{reader.path}: its {len(place.gcps)} ground control points give no place; {error}"
        ) from error
    met = [(inverse * (point.x, point.y), point) for point in place.gcps]
    miss = max(math.hypot(col - point.col, row - point.row) for (col, row), point in met)
    if not miss <= MAX_GCP_MISS:
        raise SceneError(
            f"{reader.path}: its ground control points bend it, by {miss:.1f} pixels from the straight; "
            "straighten it first with gdalwarp -order 2 or -tps"
        )
    return transform
