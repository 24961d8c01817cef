"""WorkArea: the part of a scene that is worked on, as if it were the whole."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import shapely
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.errors import CRSError
from shapely import Geometry

from geopix2pix.errors import ConfigError
from geopix2pix.gdal import environment
from geopix2pix.geogrid import GeoGrid
from geopix2pix.grid import Window, WindowGrid
from geopix2pix.ground import full_turn
from geopix2pix.raster import IDENTITY, Georeference, Patch
from geopix2pix.regions import bounds_region, check_overlap, inside, load_region


class WorkArea:
    """A `PatchSource` that shows a window of a scene, and in it what lies in a region and in nothing else.

    Pixels outside of the region are not valid, but show the scene. A window is not read if none of the pixels that have
    weight in the mosaic needs it.
    """

    def __init__(
        self,
        read: Callable[[Window], Patch],
        bands: int,
        dtype: str,
        extent: Window,
        region: Geometry | None = None,
        transform: Affine = IDENTITY,
        grid: WindowGrid | None = None,
    ) -> None:
        """`read` shows a window of the scene, whose data have so many bands and a dtype.

        `extent` is the window to show, `region` lies in the scene's CRS, `transform` is that of the scene, `grid` says
        which pixels of its windows have weight; without it all have.
        """
        self._read, self._extent, self._grid = read, extent, grid
        self._bands, self._dtype = bands, dtype
        self._region, self._transform = region, transform

    def read(self, window: Window) -> Patch:
        """What a window shows; columns and rows are those of the extent."""
        seen = window.shifted(self._extent.col, self._extent.row)
        weighted = window if self._grid is None else self._grid.weighted(window)
        wanted = self._wanted(seen, weighted.shifted(self._extent.col, self._extent.row).intersection(self._extent))
        if not wanted.any():
            return Patch(np.zeros((self._bands, *wanted.shape), self._dtype), wanted)
        data, valid = self._read(seen)
        return Patch(data, valid & wanted)

    def _wanted(self, window: Window, support: Window) -> npt.NDArray[np.bool_]:
        """Which pixels of a window of the scene can become pixels of the result, shape (rows, cols)."""
        wanted = np.zeros((window.height, window.width), bool)
        if not support.is_empty:
            rows, cols = support.shifted(-window.col, -window.row).slices
            if self._region is None:
                wanted[rows, cols] = True
            else:
                transform = self._transform * Affine.translation(support.col, support.row)
                wanted[rows, cols] = inside(self._region, transform, support.height, support.width)
        return wanted


def area_of_interest(
    grid: GeoGrid,
    scene: Window,
    region: Path | None,
    bounds: Sequence[float] | None,
    bounds_crs: str | None,
) -> Geometry:
    """The polygons of the vector file `region`, or the rectangle `bounds` in `bounds_crs`, in the CRS of a scene.

    They are moved by whole turns round the earth to where the scene is.

    Raises:
        ConfigError: both are given, or the CRS is not known.
        VectorError, RegionError: the region cannot be used, or lies elsewhere than the scene.
    """
    if region is not None and bounds is not None:
        raise ConfigError("--region and --bounds were both given; give one of them")
    if region is not None:
        area = load_region(region, grid.crs)
    else:
        assert bounds is not None, "a region or bounds are needed"
        area = bounds_region(bounds, grid.crs if bounds_crs is None else _crs(bounds_crs), grid.crs)
    data = outline(grid, scene)
    if (turn := full_turn(grid.crs)) is not None:
        copies = [shapely.transform(area, lambda p, by=by: p + np.array([by, 0.0])) for by in (0.0, -turn, turn)]
        area = shapely.union_all([copy for copy in copies if shapely.intersects(copy, data)] or copies[:1])
    check_overlap(area, data, grid.crs)
    found: Geometry = shapely.intersection(area, data)
    return found


def outline(grid: GeoGrid, window: Window) -> Geometry:
    """The quadrilateral of a window, in the CRS of a grid."""
    corners = ((window.col, window.row), (window.right, window.row), (window.right, window.bottom))
    return shapely.Polygon([grid.transform * corner for corner in (*corners, (window.col, window.bottom))])


def window_around(grid: GeoGrid, area: Geometry, scene: Window) -> Window:
    """The smallest window of a scene in which all of an area lies."""
    inverse = ~grid.transform
    pixels = shapely.transform(area, lambda p: np.column_stack(inverse * (p[:, 0], p[:, 1])))
    left, top, right, bottom = shapely.bounds(pixels).tolist()
    here = GeoGrid(crs=grid.crs, transform=IDENTITY)
    return here.window((left, top, right, bottom)).intersection(scene)


def moved(place: Georeference, col: int, row: int) -> Georeference:
    """The georeference of the part of a scene that begins at a column and row."""
    if (col, row) == (0, 0):
        return place
    points = tuple(_moved(point, col, row) for point in place.gcps)
    transform = place.transform if place.transform == IDENTITY else place.transform * Affine.translation(col, row)
    return replace(place, transform=transform, gcps=points)


def _moved(point: GroundControlPoint, col: int, row: int) -> GroundControlPoint:
    return GroundControlPoint(
        row=point.row - row, col=point.col - col, x=point.x, y=point.y, z=point.z, id=point.id, info=point.info
    )


def _crs(text: str) -> CRS:
    try:
        with environment():
            return CRS.from_user_input(text)
    except CRSError as error:
        raise ConfigError(f"--bounds-crs {text}: is not understood ({error}); give a code such as EPSG:4326") from error
