"""From what a user asks for to what is to be cut: the grid, the layers on it, the region, and the windows."""

import math
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import shapely
from rasterio.crs import CRS
from rasterio.errors import CRSError

from geopix2pix.cartography.style import Style
from geopix2pix.errors import ConfigError, RasterError, TileSetError
from geopix2pix.gdal import environment
from geopix2pix.geogrid import GeoGrid
from geopix2pix.grid import Window
from geopix2pix.ground import metric_crs, name, pixel_sides
from geopix2pix.outline import footprint
from geopix2pix.palette import Palette
from geopix2pix.regions import bounds_region, check_overlap, load_region
from geopix2pix.tilesets.cutting import Legend
from geopix2pix.tilesets.layers import DrawnLayer, Layer, Place, RasterLayer, WebLayer, is_web, place_of, raster_paths
from geopix2pix.tilesets.request import Request
from geopix2pix.view import View
from geopix2pix.warp import Kernel

GOOD: Kernel = "cubic"  # for pictures; classes are never mixed, which leaves `nearest`
ROUNDED = 2  # digits of a resolution that had to be computed, so that neighbouring scenes get the same
WEB_MERCATOR = 3857  # EPSG code of the CRS of web-map tiles
MAX_CANDIDATES = 10**7  # windows that are looked at; a wrong resolution gives more


class Candidate(NamedTuple):
    """A tile that may be cut."""

    name: str
    window: Window
    """In the pixels of the grid."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be cut; the same for all processes that cut."""

    source: Layer
    target: Layer
    grid: GeoGrid
    legend: Legend | None
    region: shapely.Geometry | None
    """In the CRS of the grid; None = wherever both sides have data."""
    request: Request

    @cached_property
    def step(self) -> int:
        return self.request.size - self.request.overlap

    def candidates(self, source: View, target: View) -> Iterator[Candidate]:
        """The tiles on which both sides and the region may have something, row by row from the north-west.

        Tiles are numbered from the origin of the grid, so that neighbouring builds share them.

        Raises:
            TileSetError: source and target have no place in common, or it has too many tiles.
            RegionError: the region lies elsewhere.
        """
        area = self._area(source, target)
        columns = self._numbers(area.col, area.right)
        rows = self._numbers(area.row, area.bottom)
        if len(columns) * len(rows) > MAX_CANDIDATES:
            raise TileSetError(
                f"{len(columns)} x {len(rows)} tiles of {self.request.size} pixels of {self.grid.transform.a:g} are "
                f"more than {MAX_CANDIDATES}; give a --region, or check --resolution"
            )
        for row in rows:
            for column in columns:
                window = Window(column * self.step, row * self.step, self.request.size, self.request.size)
                if source.covers(window) and target.covers(window) and self._in_region(window):
                    yield Candidate(f"c{column:+07d}r{row:+07d}", window)

    def _numbers(self, start: int, stop: int) -> range:
        """The tiles along one axis that have pixels from `start` to before `stop`."""
        return range((start - self.request.size) // self.step + 1, (stop - 1) // self.step + 1)

    def _area(self, source: View, target: View) -> Window:
        """The smallest window with all that both sides and the region have in common."""
        sides = [reach(view, None, self.grid.crs) for view in (source, target)]
        common = shapely.intersection(*sides)
        if common.is_empty:
            raise TileSetError(
                f"source and target do not overlap: the source lies in {_told(sides[0])}, the target in "
                f"{_told(sides[1])} ({name(self.grid.crs)}); check their CRS, or give the right files"
            )
        if self.region is not None:
            check_overlap(self.region, common, self.grid.crs)
            common = shapely.intersection(common, self.region)
        return self.grid.window(common.bounds)

    def _in_region(self, window: Window) -> bool:
        return self.region is None or bool(shapely.intersects(self.region, shapely.box(*self.grid.bounds(window))))


def _told(area: shapely.Geometry) -> str:
    return "({:.8g}, {:.8g}, {:.8g}, {:.8g})".format(*area.bounds)


def planned(request: Request, folder: Path) -> Plan:
    """The plan for a request; vectors and downloaded tiles are kept in `folder`.

    Raises:
        ConfigError: parts of the request contradict each other.
        RasterError, SceneError, StyleError, RegionError, DownloadError: an input cannot be used.
    """
    source = _source(request, folder)
    grid = _grid(place_of(source, request.network), request)
    region = _region(request, grid.crs)
    if isinstance(source, WebLayer) and region is not None:
        source = replace(source, bounds=region.bounds)
    palette, target = _target(request, folder, grid, source, region)
    if request.knows and palette is None:
        raise ConfigError("the classes that the target knows were named, but it is no map of classes; give its palette")
    legend = Legend(palette=_knowing(palette, request.knows), tolerance=request.tolerance) if palette else None
    return Plan(source=source, target=target, grid=grid, legend=legend, region=region, request=request)


def _source(request: Request, folder: Path) -> RasterLayer | WebLayer:
    layer = _layer(request.sources, request, folder, GOOD, request.bands)
    if isinstance(layer, WebLayer) and layer.is_remote:
        region = _region(request, CRS.from_epsg(WEB_MERCATOR))
        if region is None or request.zoom is None:
            raise ConfigError(f"{request.sources[0]}: a server does not say what it has; give a region and a zoom")
        return replace(layer, bounds=region.bounds)
    return layer


def _target(
    request: Request, folder: Path, grid: GeoGrid, source: Layer, region: shapely.Geometry | None
) -> tuple[Palette | None, Layer]:
    if request.style is not None:
        return Style.load(request.style).palette, DrawnLayer(prepared=folder / "vectors.gpkg", style=request.style)
    palette = Palette.load(request.palette) if request.palette else None
    layer = _layer(request.targets, request, folder, "nearest" if palette else GOOD, None)
    if isinstance(layer, WebLayer):
        with closing(source.open(grid)) as view:
            layer = replace(layer, bounds=reach(view, region, grid.crs).bounds)
    return palette, layer


def reach(view: View, region: shapely.Geometry | None, crs: CRS) -> shapely.Geometry:
    """Where a view and a region, both in `crs`, overlap, as far as the view tells without looking at pixels.

    Raises:
        RegionError: nowhere.
    """
    area = shapely.union_all([shapely.box(*bounds) for bounds in view.extents()])
    if region is None:
        return area
    check_overlap(region, area, crs)
    return shapely.intersection(area, region)


def _region(request: Request, crs: CRS) -> shapely.Geometry | None:
    if request.region is not None:
        return load_region(request.region, crs)
    if request.footprint:
        paths = raster_paths(request.sources)
        return footprint(paths, crs, bands=request.bands, expand_colors=request.bands is None)
    if request.bounds is not None:
        return bounds_region(request.bounds, _crs(request.crs) if request.crs else crs, crs)
    return None


def _layer(
    texts: tuple[str, ...], request: Request, folder: Path, kernel: Kernel, bands: tuple[int, ...] | None
) -> RasterLayer | WebLayer:
    if not any(map(is_web, texts)):
        return RasterLayer(paths=raster_paths(texts), bands=bands, kernel=kernel)
    if len(texts) > 1:
        raise ConfigError(f"{texts[0]}: web-map tiles stand alone, but {len(texts)} were given; give one pyramid")
    return WebLayer(
        template=texts[0].removeprefix("xyz:"),
        zoom=request.zoom,
        bounds=None,
        cache=request.cache or folder / "cache",
        attribution="; ".join(request.attributions),
        kernel=kernel,
    )


def _knowing(palette: Palette, knows: tuple[str, ...]) -> Palette:
    """The palette of a source that names only some classes."""
    if not knows:
        return palette
    if unknown := [known for known in knows if known not in palette.names]:
        raise ConfigError(f"--knows {','.join(unknown)}: the classes are {', '.join(palette.names)}")
    return replace(palette, knows=tuple(known for known in palette.names if known in knows))


def _grid(place: Place, request: Request) -> GeoGrid:
    """The grid of all tiles: in the CRS of the source, if that is in metres, at its resolution."""
    own, x_y = place.grid, place.grid.transform * place.middle
    crs = metric_crs(own.crs, *x_y) if request.crs is None else _crs(request.crs)
    if crs.is_geographic:
        raise ConfigError(f"the CRS {request.crs} is in degrees, whose pixels are not square; give one in metres")
    if request.origin == "source" and crs != own.crs:
        raise ConfigError(
            f"the origin of the source was asked for, but its CRS is {name(own.crs)} and the grid's is {name(crs)}"
        )
    origin = (own.transform.c, own.transform.f) if request.origin == "source" else (0.0, 0.0)
    return GeoGrid.anchored(crs, request.resolution or _resolution(place, crs), origin)


def _crs(text: str) -> CRS:
    try:
        with environment():
            return CRS.from_user_input(text)
    except CRSError as error:
        raise ConfigError(f"--crs {text}: is no CRS that PROJ knows ({error}); give one such as EPSG:32633") from error


def _resolution(place: Place, crs: CRS) -> float:
    """The side of the source's pixels in units of the grid's CRS; rounded, unless it is the source's own."""
    own = place.grid
    a, b, _, d, e, _ = own.transform[:6]
    if crs == own.crs and b == d == 0 and abs(a) == abs(e):
        return float(abs(a))
    sides = pixel_sides(own.crs, own.transform, *place.middle)
    if sides is None:
        raise RasterError(f"the size of the source's pixels is not known in {name(own.crs)}; give a resolution")
    return float(f"{math.sqrt(sides[0] * sides[1]) / crs.linear_units_factor[1]:.{ROUNDED}g}")
