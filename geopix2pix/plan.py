"""From what a user asks for to what is to be cut: the grid, the layers on it, the region, and the windows."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

import shapely
from rasterio.crs import CRS
from rasterio.errors import CRSError

from geopix2pix.cutting import Legend
from geopix2pix.errors import ConfigError, RasterError, TileSetError
from geopix2pix.gdal import environment
from geopix2pix.geogrid import GeoGrid
from geopix2pix.grid import Window
from geopix2pix.ground import metric_crs, pixel_sides
from geopix2pix.layers import DrawnLayer, Layer, Place, RasterLayer, WebLayer, is_web, place_of, raster_paths
from geopix2pix.palette import Palette
from geopix2pix.regions import bounds_region, load_region
from geopix2pix.style import Style
from geopix2pix.view import View
from geopix2pix.warp import Kernel

Misaligned = Literal["keep", "reject", "shift"]
Bounds = tuple[float, float, float, float]
GOOD: Kernel = "cubic"  # for pictures; classes are never mixed, which leaves `nearest`
ROUNDED = 2  # digits of a resolution that had to be computed, so that neighbouring scenes get the same
MAX_CANDIDATES = 10**7  # windows that are looked at; a wrong resolution gives more


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a tile set shall be made of, as a user says it."""

    sources: tuple[str, ...]
    """Raster files and patterns, or one pyramid of web-map tiles."""
    targets: tuple[str, ...] = ()
    """Likewise; or, instead, `vectors` and `style`."""
    vectors: tuple[Path, ...] = ()
    style: Path | None = None
    layers: Mapping[str, str] | None = None
    """Names of source layers in the style, and those of the layers in the files that are meant."""
    palette: Path | None = None
    """Makes a raster target a map of classes; a style brings its own."""
    knows: tuple[str, ...] = ()
    """The classes that the target can name; all by default, or those that the palette says."""
    tolerance: float | None = None
    region: Path | None = None
    bounds: Bounds | None = None
    """Left, bottom, right and top in the CRS of the grid."""
    crs: str | None = None
    """Of the grid; that of the source by default, unless it is in degrees."""
    resolution: float | None = None
    """Sides of a pixel of the grid in units of its CRS; that of the source by default."""
    origin: Literal["crs", "source"] = "crs"
    """Where pixel corners lie: at whole multiples of the resolution, or where those of the source do."""
    zoom: int | None = None
    """Of web-map tiles."""
    cache: Path | None = None
    attributions: tuple[str, ...] = ()
    bands: tuple[int, ...] | None = None
    """Of the source, 1-based."""
    size: int = 256
    overlap: int = 0
    coverage: float = 0.5
    """Least share of a tile's pixels that must be known on both sides and lie inside the region."""
    misaligned: Misaligned = "keep"
    max_offset: float = 2.0
    """Pixels beyond which a pair counts as misaligned."""

    def __post_init__(self) -> None:
        for name, right, expected in _laws(self):
            if not right:
                raise ConfigError(f"{name} is {getattr(self, name)!r}, but must be {expected}")


def _laws(r: Request) -> list[tuple[str, bool, str]]:
    either = bool(r.targets) != bool(r.vectors)
    return [
        ("sources", bool(r.sources), "at least one raster or one pyramid of web-map tiles"),
        ("targets", either, "given if and only if no vectors are; a set has one kind of target"),
        ("style", bool(r.style) == bool(r.vectors), "given if and only if vectors are"),
        ("palette", not (r.palette and r.vectors), "absent where a style draws the map, which brings its own"),
        ("size", 16 <= r.size <= 4096, "16 to 4096 pixels"),
        ("overlap", 0 <= r.overlap < r.size, "0 to below the size"),
        ("coverage", 0 < r.coverage <= 1, "a share above 0, at most 1"),
        ("resolution", r.resolution is None or 0 < r.resolution < math.inf, "above 0"),
        ("tolerance", r.tolerance is None or 0 <= r.tolerance <= 442, "0 to 442 levels of RGB"),
        ("region", not (r.region and r.bounds), "absent where bounds are given"),
        ("max_offset", 0 < r.max_offset < 16, "above 0 and below 16 pixels, which is how far offsets are sought"),
    ]


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
            TileSetError: source, target and region have no place in common, or it has too many tiles.
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
        sides = [shapely.union_all([shapely.box(*b) for b in view.extents()]) for view in (source, target)]
        common = shapely.intersection(*sides)
        if common.is_empty:
            raise TileSetError(
                f"source and target do not overlap: the source lies in {_told(sides[0])}, the target in "
                f"{_told(sides[1])} ({_named(self.grid.crs)}); check their CRS, or give the right files"
            )
        if self.region is not None:
            inside = shapely.intersection(common, self.region)
            if inside.is_empty:
                raise TileSetError(
                    f"the region lies in {_told(self.region)}, outside the data in {_told(common)} "
                    f"({_named(self.grid.crs)}); check its CRS and the order of its coordinates"
                )
            common = inside
        return self.grid.window(common.bounds)

    def _in_region(self, window: Window) -> bool:
        return self.region is None or bool(shapely.intersects(self.region, shapely.box(*self.grid.bounds(window))))


def _told(area: shapely.Geometry) -> str:
    return "({:.8g}, {:.8g}, {:.8g}, {:.8g})".format(*area.bounds)


def _named(crs: CRS) -> str:
    return crs.to_string() if len(crs.to_string()) < 40 else crs.to_dict().get("proj", "a CRS without a code")


def planned(request: Request, prepared: Path) -> Plan:
    """The plan for a request; vectors will be `prepared` in that file.

    Raises:
        ConfigError: parts of the request contradict each other.
        RasterError, StyleError, RegionError: a file cannot be used.
    """
    source = _layer(request.sources, request, GOOD, request.bands)
    grid = _grid(source, request)
    target: Layer
    if request.style is not None:
        palette, target = Style.load(request.style).palette, DrawnLayer(prepared=prepared, style=request.style)
    else:
        palette = Palette.load(request.palette) if request.palette else None
        target = _layer(request.targets, request, "nearest" if palette else GOOD, None)
    region = None
    if request.region is not None:
        region = load_region(request.region, grid.crs)
    elif request.bounds is not None:
        region = bounds_region(request.bounds, grid.crs, grid.crs)
    legend = Legend(palette=_knowing(palette, request.knows), tolerance=request.tolerance) if palette else None
    if request.knows and palette is None:
        raise ConfigError("--knows names classes, but the target is no map of classes; give its --palette")
    return Plan(source=source, target=target, grid=grid, legend=legend, region=region, request=request)


def _layer(texts: tuple[str, ...], request: Request, kernel: Kernel, bands: tuple[int, ...] | None) -> Layer:
    if any(map(is_web, texts)):
        if len(texts) > 1:
            raise ConfigError(f"{texts[0]}: web-map tiles stand alone, but {len(texts)} were given; give one pyramid")
        template = texts[0].removeprefix("xyz:")
        return WebLayer(template=template, zoom=request.zoom, cache=request.cache, kernel=kernel)
    return RasterLayer(paths=raster_paths(texts), bands=bands, kernel=kernel)


def _knowing(palette: Palette, knows: tuple[str, ...]) -> Palette:
    """The palette of a source that names only some classes."""
    if not knows:
        return palette
    if unknown := [name for name in knows if name not in palette.names]:
        raise ConfigError(f"--knows {','.join(unknown)}: the classes are {', '.join(palette.names)}")
    return replace(palette, knows=tuple(name for name in palette.names if name in knows))


def _grid(source: Layer, request: Request) -> GeoGrid:
    """The grid of all tiles: in the CRS of the source, if that is in metres, at its resolution."""
    place = _place(source)
    middle = place.transform * (place.width / 2, place.height / 2)
    if request.crs is None:
        crs = metric_crs(place.crs, *middle)
    else:
        crs = _crs(request.crs)
        if crs.is_geographic:
            raise ConfigError(f"--crs {request.crs}: is in degrees, whose pixels are not square; give one in metres")
    resolution, computed = request.resolution, _resolution(place, crs, middle)
    if resolution is None:
        resolution = computed
    origin = (0.0, 0.0)
    if request.origin == "source":
        if crs != place.crs:
            raise ConfigError(
                f"the origin of the source was asked for, but its CRS is {_named(place.crs)}, the grid's {_named(crs)}"
            )
        origin = (place.transform.c, place.transform.f)
    return GeoGrid.anchored(crs, resolution, origin)


def _crs(text: str) -> CRS:
    try:
        with environment():
            return CRS.from_user_input(text)
    except CRSError as error:
        raise ConfigError(f"--crs {text}: is no CRS that PROJ knows ({error}); give one such as EPSG:32633") from error


def _place(source: Layer) -> Place:
    match source:
        case RasterLayer():
            return place_of(source.paths[0], source.bands)
        case WebLayer():
            raise NotImplementedError
        case _:
            raise AssertionError("a source is never drawn")


def _resolution(place: Place, crs: CRS, middle: tuple[float, float]) -> float:
    """The side of the source's pixels in units of the grid's CRS; rounded, unless it is the source's own."""
    a, b, _, d, e, _ = place.transform[:6]
    if crs == place.crs and b == d == 0 and abs(a) == abs(e):
        return abs(a)
    sides = pixel_sides(place.crs, place.transform, place.width / 2, place.height / 2)
    if sides is None:
        raise RasterError(f"the ground resolution of the source is not known in {_named(place.crs)}; give --resolution")
    return float(f"{math.sqrt(sides[0] * sides[1]) / crs.linear_units_factor[1]:.{ROUNDED}g}")
