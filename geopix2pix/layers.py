"""What lies on either side of a pair, as a user names it: rasters, web-map tiles, or vectors that a style draws."""

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from affine import Affine
from rasterio.crs import CRS

from geopix2pix.aligned import AlignedView
from geopix2pix.drawing import DrawnView
from geopix2pix.errors import ConfigError
from geopix2pix.geogrid import GeoGrid
from geopix2pix.raster import RasterReader
from geopix2pix.slippy import SlippyView
from geopix2pix.style import Style
from geopix2pix.view import View
from geopix2pix.warp import Kernel

WEB_SUFFIXES = (".mbtiles", ".pmtiles")
WEB_PREFIXES = ("xyz:", "http://", "https://")


@dataclass(frozen=True, slots=True, kw_only=True)
class RasterLayer:
    """One raster file, or several of which the first that is valid at a pixel shows."""

    paths: tuple[Path, ...]
    bands: tuple[int, ...] | None
    kernel: Kernel

    def open(self, grid: GeoGrid) -> View:
        return AlignedView(self.paths, grid, kernel=self.kernel, bands=self.bands, expand_colors=self.bands is None)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebLayer:
    """A pyramid of web-map tiles."""

    template: str
    zoom: int | None
    cache: Path | None
    kernel: Kernel

    def open(self, grid: GeoGrid) -> View:
        return SlippyView(self.template, self.zoom, grid, kernel=self.kernel, cache=self.cache)


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnLayer:
    """Vectors, prepared in one file, that a style draws."""

    prepared: Path
    style: Path

    def open(self, grid: GeoGrid) -> View:
        return DrawnView(self.prepared, Style.load(self.style), grid)


Layer = RasterLayer | WebLayer | DrawnLayer


class Place(NamedTuple):
    """Where the pixels of a layer lie, and how many there are."""

    crs: CRS
    transform: Affine
    width: int
    height: int


def is_web(text: str) -> bool:
    """Whether a user's word for a layer means web-map tiles."""
    return text.startswith(WEB_PREFIXES) or text.lower().endswith(WEB_SUFFIXES)


def raster_paths(texts: Sequence[str]) -> tuple[Path, ...]:
    """The files that names and patterns mean, in the order given, those of one pattern sorted.

    Raises:
        ConfigError: a pattern matches nothing.
    """
    paths: dict[Path, None] = {}
    for text in texts:
        found = [text] if Path(text).exists() else sorted(glob.glob(text, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute ones
        if not found and glob.has_magic(text):
            raise ConfigError(f"{text}: matches no file; check the pattern, and quote it so that the shell leaves it")
        paths |= dict.fromkeys(map(Path, found or [text]))
    return tuple(paths)


def place_of(path: Path, bands: Sequence[int] | None) -> Place:
    """Where a raster lies, for choosing a grid.

    Raises:
        RasterError: it cannot be opened, or has no georeference.
    """
    with RasterReader(path, bands=bands) as reader:
        grid = GeoGrid.of(reader)
        return Place(grid.crs, grid.transform, reader.width, reader.height)


def describe(layer: Layer) -> dict[str, Any]:
    """What a layer is, for the manifest: names of files, never their folders."""
    match layer:
        case RasterLayer():
            return {"files": [path.name for path in layer.paths], "kernel": layer.kernel}
        case WebLayer():
            return {"web tiles": layer.template, "zoom": layer.zoom, "kernel": layer.kernel}
        case DrawnLayer():
            return {"style": layer.style.name}
