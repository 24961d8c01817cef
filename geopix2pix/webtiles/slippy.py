"""SlippyView: the tiles of a web map as they show on one grid."""

import math
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import mercantile
import numpy as np

from geopix2pix.errors import ConfigError, DownloadError, SceneError
from geopix2pix.fill import FILL_RADIUS
from geopix2pix.geogrid import Bounds, GeoGrid
from geopix2pix.grid import Window
from geopix2pix.kernel import reach
from geopix2pix.progress import Progress, silent
from geopix2pix.raster import Patch
from geopix2pix.view import View
from geopix2pix.warp import Kernel, needed, warped
from geopix2pix.webtiles.addresses import masked
from geopix2pix.webtiles.download import Network
from geopix2pix.webtiles.prefetch import Fetched, fill
from geopix2pix.webtiles.pyramids import TileCache
from geopix2pix.webtiles.terms import remind
from geopix2pix.webtiles.tilelevel import CRS_OF_TILES, Level, chosen, fitting, fixed, open_pyramid, point_in
from geopix2pix.webtiles.tilepicture import NAMES
from geopix2pix.webtiles.tilepixels import MEMORY, TilePixels

SHOWN_AT_ONCE = 2**20  # pixels of the grid, ...
READ_AT_ONCE = 2**24  # ... and of the level, for which memory is needed at one time
MAX_TILES = 10**6  # that are fetched at once; a wrong region or zoom gives more
MANY = 1024  # tiles in a window beyond which nobody looks whether one is there


class SlippyView(View):
    """The tiles of one zoom level, as red, green and blue bytes.

    Where there is no tile, or a tile is transparent, pixels are not valid: `TilePixels` says what they show. For one
    thread of one process at a time.
    """

    names = NAMES
    dtype = "uint8"

    def __init__(
        self,
        template: str | Path,
        zoom: int | None,
        grid: GeoGrid,
        *,
        kernel: Kernel,
        bounds: Bounds | None = None,
        attribution: str = "",
        cache: Path | None = None,
        network: Network | None = None,
        memory: int = MEMORY,
    ) -> None:
        """Open a folder template such as `maps/{z}/{x}/{y}.png`, an .mbtiles or .pmtiles archive, or a URL template.

        `zoom` None takes the level whose pixels are nearest in size to those of the grid in the middle of `bounds`,
        what is looked at in the CRS of the grid; without them, in the middle of some tiles. For a URL they are needed.
        Its tiles are those in the `cache`; only with a `network` they are fetched from its server, which is asked
        for a tile in the middle at once. `attribution` replaces what an archive says.

        Raises:
            ConfigError: the template, the zoom or the bounds are impossible; the provider prohibits downloads; a
                package is missing.
            RasterError: a file cannot be read or holds no picture.
            DownloadError: a server does not send what it should, or the cache lacks what is needed.
        """
        self._grid, self._kernel, self._bounds, self._network = grid, kernel, bounds, network
        self._seen_to: set[mercantile.Tile] = set()
        self._pyramid = open_pyramid(template, cache)
        try:
            self.attribution = masked(attribution) or self._pyramid.attribution
            if isinstance(self._pyramid, TileCache) and network is not None:
                remind(self._pyramid.address, self.attribution)
            self.level = self._chosen(zoom)
        except BaseException:
            self.close()
            raise
        self._pixels = TilePixels(self._pyramid, self.level, memory=memory)

    def read(self, window: Window) -> Patch:
        """What a window shows; with a network, its tiles are fetched first.

        Raises:
            RasterError: a tile is no picture, or differs in size from the others.
            SceneError: a pixel of the grid shows far too many pixels of the level.
            DownloadError: a tile is not in the cache.
        """
        self._fetch(self._tiles([window]))
        return self._shown(window)

    def covers(self, window: Window) -> bool:
        tiles = [tile for tile, _ in islice(self.level.tiles(self._around(window, 1)), MANY)]
        return len(tiles) == MANY or any(map(self._pyramid.has, tiles))

    def origins(self, window: Window) -> tuple[str, ...]:
        """The name of the pyramid, where it covers the window."""
        return (self._pyramid.label,) if self.covers(window) else ()

    def identity(self) -> dict[str, Any]:
        """What tells this state of the tiles and this way to show them from others; JSON values.

        A server is known by its address alone: what the cache holds is taken for its state.
        """
        tiles = self._pyramid.identity(self.level.zoom)
        return tiles | {**self.level._asdict(), "grid": self._grid.to_json(), "kernel": self._kernel}

    def extents(self) -> list[Bounds]:
        """The bounds of each group of tiles, as far as the `bounds` of the view reach; these alone for a server."""
        level, blocks = self.level, self._pyramid.blocks(self.level.zoom)
        if self._bounds is not None and not blocks:
            return [self._bounds]
        groups = [Window(*(level.side * number for number in block)) for block in blocks]
        if self._bounds is not None:
            area = level.grid.window(self._grid.bounds_in(CRS_OF_TILES, self._grid.window(self._bounds)))
            turned = [group.shifted(turn * level.across, 0) for group in groups for turn in (-1, 0, 1)]
            groups = [common for group in turned if not (common := group.intersection(area)).is_empty]
        return [level.grid.bounds_in(self._grid.crs, group) for group in groups]

    def prefetch(self, windows: Iterable[Window], progress: Progress = silent) -> Fetched:
        """Have all tiles in the cache that `read` needs for the windows: views without a network can then show them.

        There is nothing to do for files, nor without a network.

        Raises:
            DownloadError: the server does not send some of them, or has none at all.
            ConfigError: they are more than `MAX_TILES`.
            OutputError: the cache cannot be written.
        """
        tiles = self._tiles(windows)
        fetched = self._fetch(tiles, progress)
        if tiles and not any(map(self._pyramid.has, tiles)):
            what = f"has none of the {len(tiles)} tiles at zoom {self.level.zoom}"
            raise DownloadError(f"{self._pyramid.name}: {what}; check the region, or choose a coarser zoom")
        return fetched

    def close(self) -> None:
        self._pyramid.close()

    def _chosen(self, zoom: int | None) -> Level:
        place = self._place()
        if zoom is not None:
            choice = fixed(self._pyramid, zoom)
        elif place is not None:
            choice = fitting(self._grid, *place)
        else:
            raise ConfigError(f"{self._pyramid.name}: a server covers the world; name a region or bounds to take of it")
        return chosen(self._pyramid, choice, place, self._fetch_one)

    def _place(self) -> tuple[float, float] | None:
        """The middle of what is looked at, in EPSG:3857; None where nothing says where that is."""
        if self._bounds is not None:
            left, bottom, right, top = self._bounds
            return point_in(CRS_OF_TILES, self._grid.crs, (left + right) / 2, (bottom + top) / 2)
        finest = self._pyramid.zooms[-1]
        block = next(iter(self._pyramid.blocks(finest)), None)
        if block is None:
            return None
        x, y = Level(finest, 1).grid.transform * (block.col + block.width / 2, block.row + block.height / 2)
        return x, y

    def _tiles(self, windows: Iterable[Window]) -> set[mercantile.Tile]:
        """All tiles that may show in the windows or fill their holes; none of files."""
        if not isinstance(self._pyramid, TileCache) or self._network is None:
            return set()
        tiles: set[mercantile.Tile] = set()
        for window in windows:
            for tile, _ in self.level.tiles(self._around(window, FILL_RADIUS)):
                tiles.add(tile)
                if len(tiles) > MAX_TILES:
                    what = f"more than {MAX_TILES} tiles of zoom {self.level.zoom} would be fetched"
                    raise ConfigError(f"{self._pyramid.name}: {what}; choose a smaller region or a coarser zoom")
        return tiles

    def _fetch(self, tiles: set[mercantile.Tile], progress: Progress = silent) -> Fetched:
        """Have tiles in the cache, if that is allowed; those that this view has seen to before are left alone."""
        if not isinstance(self._pyramid, TileCache) or self._network is None:
            return Fetched(0, 0, 0)
        fetched = fill(self._pyramid, tiles - self._seen_to, self._network, progress)
        self._seen_to |= tiles
        return fetched

    def _fetch_one(self, tile: mercantile.Tile) -> None:
        self._fetch({tile})

    def _around(self, window: Window, margin: int) -> Window:
        """Pixels of the level that surely hold all that `needed` gives for a window, with a margin; found quickly."""
        try:
            there = self.level.grid.window(self._grid.bounds_in(CRS_OF_TILES, window))
        except SceneError:  # where web maps do not reach
            return Window(0, 0, 0, 0)
        stretch = max(there.width, there.height) / max(min(window.width, window.height), 1)
        return there.padded(margin + math.ceil(reach(self._kernel, max(stretch, 1.0))))

    def _shown(self, window: Window) -> Patch:
        """What a window shows, in as many pieces as memory asks for: pixels are the same in all of them."""
        pixels = window.width * window.height
        there = self._needed(window) if pixels <= SHOWN_AT_ONCE else None
        if there is None or (pixels > 1 and there.width * there.height > READ_AT_ONCE):
            return self._in_halves(window)
        if there.width * there.height > READ_AT_ONCE:
            found = f"{there.width} x {there.height} pixels of zoom {self.level.zoom} for one of the grid"
            raise SceneError(f"{self._pyramid.name}: shows {found}; choose a coarser zoom or a finer resolution")
        place = CRS_OF_TILES, self.level.grid.transform
        piece = self._pixels.read(there)
        return warped(piece, *place, self._grid, window, self._kernel, at=(there.col, there.row))

    def _needed(self, window: Window) -> Window:
        around = self._around(window, 0)
        if around.is_empty:
            return around
        middle = Window(around.col + around.width // 2, around.row + around.height // 2, 1, 1)
        place = CRS_OF_TILES, self.level.grid.transform
        return self.level.inside(needed(self._grid, window, *place, self._kernel, extent=middle))

    def _in_halves(self, window: Window) -> Patch:
        if window.width >= window.height:
            first, axis = window._replace(width=window.width // 2), -1
            second = window._replace(col=first.right, width=window.right - first.right)
        else:
            first, axis = window._replace(height=window.height // 2), -2
            second = window._replace(row=first.bottom, height=window.bottom - first.bottom)
        halves = self._shown(first), self._shown(second)
        return Patch(*(np.concatenate(parts, axis=axis) for parts in zip(*halves, strict=True)))
