"""GeoGrid: an endless grid of pixels on the ground, which scenes, maps and tile sets share."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import CRSError

from geopix2pix.errors import ConfigError, SceneError
from geopix2pix.grid import Window
from geopix2pix.ground import Floats, full_turn, name, points_in
from geopix2pix.raster import Georeference, RasterReader

SNAP = 1e-6
"""Pixels by which a border may miss a whole number and still be it: doubles in metres are this good below 10^9 pixels,
and no georeference is meant to be better."""
MAX_GCP_MISS = 0.5  # pixels; a point further off shows that the scene is bent, and a pixel of a pair would be wrong

LATTICE = 33  # points along each axis of a window from which its bounds in another CRS are found

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
        try:
            if place.crs is not None and place.is_known:
                return cls(crs=place.crs, transform=place.transform)
            if place.gcps_crs is not None and place.is_known:
                return cls(crs=place.gcps_crs, transform=_through_points(reader, place))
        except ConfigError as error:
            raise SceneError(f"{reader.path}: its georeference is of no use: {error}; give it another") from error
        missing = "a georeference" if place.crs is not None else "a reference system (CRS)"
        raise SceneError(
            f"{reader.path}: {missing} is needed to show it on a grid, found none; give it one with gdal_translate "
            "(-a_srs, -a_ullr) or a QGIS export"
        )

    def transform_of(self, window: Window) -> Affine:
        """From (column, row) of a raster that holds the window to (x, y)."""
        return self.transform * Affine.translation(window.col, window.row)

    def places(self, cols: Floats, rows: Floats) -> tuple[Floats, Floats]:
        """The x and y of many (column, row), which are broadcast against each other."""
        a, b, c, d, e, f = self.transform[:6]
        return a * cols + b * rows + c, d * cols + e * rows + f

    def bounds(self, window: Window) -> Bounds:
        """The smallest rectangle along the axes of the CRS around a window."""
        corners = ((col, row) for col in (window.col, window.right) for row in (window.row, window.bottom))
        xs, ys = zip(*(self.transform * corner for corner in corners), strict=True)
        return min(xs), min(ys), max(xs), max(ys)

    def bounds_in(self, crs: CRS, window: Window) -> Bounds:
        """A rectangle along the axes of another CRS that a window lies in, hardly larger than needed.

        Beyond the end of the world x goes on, from 179 to 181 degrees.

        Raises:
            SceneError: no operation leads to the CRS, or the window lies outside its domain.
        """
        if crs == self.crs:
            return self.bounds(window)
        lattice = self._lattice(crs, window)
        known = np.sort(lattice[0, np.isfinite(lattice[0])])
        if known.size == 0:
            raise SceneError(f"what lies at {self.bounds(window)} in {name(self.crs)} is outside of {name(crs)}")
        turn, middle = full_turn(crs), known[known.size // 2]
        if turn is not None:
            lattice[0] -= turn * np.floor((lattice[0] - middle) / turn + 0.5)
        # A smooth line strays from the chord between two points by an eighth of its second difference.
        bends = [np.nan_to_num(np.abs(np.diff(lattice, 2, axis)) / 8).max(axis=(1, 2)) for axis in (1, 2)]
        (left, bottom), (right, top) = (
            edge(lattice, axis=(1, 2)) + sign * np.maximum(*bends) for edge, sign in ((np.nanmin, -1), (np.nanmax, 1))
        )
        if turn is not None:
            south, north = (crs.is_geographic and self._shows(window, crs, pole * turn / 4) for pole in (-1, 1))
            bottom, top = -turn / 4 if south else bottom, turn / 4 if north else top
            if south or north or right - left >= turn:
                left, right = middle - turn / 2, middle + turn / 2
        return float(left), float(bottom), float(right), float(top)

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

    def _lattice(self, crs: CRS, window: Window) -> Floats:
        """Points spread over a window and its border, as x and y in another CRS; shape (2, points, points)."""
        steps = np.linspace(0, 1, LATTICE)
        cols, rows = np.meshgrid(window.col + steps * window.width, window.row + steps * window.height)
        xs, ys = self.places(cols, rows)
        return points_in(crs, self.crs, xs.ravel(), ys.ravel()).reshape(2, LATTICE, LATTICE)

    def _shows(self, window: Window, crs: CRS, latitude: float) -> bool:
        """Whether the pole at this latitude of a geographic CRS lies in a window."""
        x, y = points_in(self.crs, crs, np.zeros(1), np.array([latitude]))[:, 0]
        col, row = ~self.transform * (x, y)
        return bool(window.col <= col <= window.right and window.row <= row <= window.bottom)

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
            crs = CRS.from_wkt(data.get("crs"))
        except (CRSError, ValueError) as error:
            raise ConfigError(f"{where}.crs: expected a CRS as WKT, found {data.get('crs')!r} ({error})") from error
        try:
            return cls(crs=crs, transform=Affine(*numbers))
        except ConfigError as error:
            raise ConfigError(f"{where}.transform: {error}") from error


def _through_points(reader: RasterReader, place: Georeference) -> Affine:
    """The affine transform nearest to the ground control points (least squares), if it meets them."""
    pixels = np.array([(point.col, point.row, 1.0) for point in place.gcps])
    ground = np.array([(point.x, point.y) for point in place.gcps])
    middle = ground.mean(axis=0)  # large coordinates would cost digits
    solution, _, rank, _ = np.linalg.lstsq(pixels, ground - middle, rcond=None)
    if rank < 3 or np.linalg.matrix_rank(solution[:2]) < 2:
        raise SceneError(
            f"{reader.path}: a georeference is needed, found {len(place.gcps)} ground control points that fit no place;"
            " give it more of them, or a transform, with gdal_translate (-gcp, -a_ullr)"
        )
    (a, d), (b, e), (c, f) = solution.tolist()
    misses = (ground - middle - pixels @ solution) @ np.linalg.inv(solution[:2])
    if (miss := float(np.hypot(*misses.T).max())) > MAX_GCP_MISS:
        raise SceneError(
            f"{reader.path}: its ground control points bend it, by {miss:.1f} pixels from the straight; "
            "straighten it first with gdalwarp -order 2 or -tps"
        )
    return Affine(a, b, c + middle[0], d, e, f + middle[1])
