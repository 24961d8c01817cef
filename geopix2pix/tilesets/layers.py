"""What lies on either side of a pair, as a user names it: rasters, web-map tiles, or vectors that a style draws."""

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from geopix2pix.aligned import AlignedView
from geopix2pix.cartography.drawing import DrawnView
from geopix2pix.cartography.style import Style
from geopix2pix.errors import ConfigError
from geopix2pix.geogrid import Bounds, GeoGrid
from geopix2pix.grid import Window
from geopix2pix.raster import RasterReader
from geopix2pix.view import View
from geopix2pix.warp import Kernel
from geopix2pix.webtiles.addresses import Address
from geopix2pix.webtiles.download import Network
from geopix2pix.webtiles.slippy import SlippyView
from geopix2pix.webtiles.tilelevel import own_pixels

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
    bounds: Bounds | None
    """What is looked at of it, in the CRS of the grid; a server does not say how far it reaches."""
    cache: Path
    attribution: str
    kernel: Kernel

    @property
    def is_remote(self) -> bool:
        return not self.template.lower().endswith(WEB_SUFFIXES) and Address.parse(self.template).is_remote

    def open(self, grid: GeoGrid, network: Network | None = None) -> SlippyView:
        """Its view; with a network, tiles that the cache lacks are fetched from their server."""
        return SlippyView(
            self.template,
            self.zoom,
            grid,
            kernel=self.kernel,
            bounds=self.bounds,
            attribution=self.attribution,
            cache=self.cache,
            network=network,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnLayer:
    """Vectors, prepared in one file, that a style draws."""

    prepared: Path
    style: Path

    def open(self, grid: GeoGrid) -> View:
        return DrawnView(self.prepared, Style.load(self.style), grid)


Layer = RasterLayer | WebLayer | DrawnLayer


class Place(NamedTuple):
    """Where the pixels of a layer lie: a grid of its own, and the window of it that they fill."""

    grid: GeoGrid
    window: Window

    @property
    def middle(self) -> tuple[float, float]:
        """Column and row."""
        return self.window.col + self.window.width / 2, self.window.row + self.window.height / 2


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


def place_of(layer: Layer, network: Network | None) -> Place:
    """Where the first file of a layer lies, or a pyramid.

    Raises:
        RasterError, SceneError: it cannot be opened, or has no georeference.
        ConfigError, DownloadError: web-map tiles cannot be looked at.
    """
    match layer:
        case RasterLayer():
            with RasterReader(layer.paths[0], bands=layer.bands) as reader:
                return Place(GeoGrid.of(reader), reader.extent)
        case WebLayer():
            remote = network if layer.is_remote else None
            found = own_pixels(layer.template, layer.zoom, bounds=layer.bounds, cache=layer.cache, network=remote)
            return Place(*found)
        case DrawnLayer():
            raise AssertionError("a source is never drawn")


def describe(layer: Layer) -> dict[str, Any]:
    """What a layer is, for the manifest: names of files, never their folders."""
    match layer:
        case RasterLayer():
            return {"files": [path.name for path in layer.paths], "kernel": layer.kernel}
        case WebLayer():
            is_archive = layer.template.lower().endswith(WEB_SUFFIXES)
            name = Path(layer.template).name if is_archive else Address.parse(layer.template).label
            return {"web tiles": name, "zoom": layer.zoom, "kernel": layer.kernel}
        case DrawnLayer():
            return {"style": layer.style.name}
