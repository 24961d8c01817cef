"""TilePixels: the tiles of one level of a pyramid as one endless picture."""

from collections import OrderedDict

import mercantile
import numpy as np

from geopix2pix.errors import RasterError
from geopix2pix.fill import FILL_RADIUS, fill_holes
from geopix2pix.grid import Window
from geopix2pix.raster import Patch
from geopix2pix.webtiles.pyramids import Pyramid
from geopix2pix.webtiles.tilelevel import Level, picture
from geopix2pix.webtiles.tilepicture import NAMES

MEMORY = 64 * 2**20  # bytes of decoded tiles that are kept, of 4 bytes a pixel: 256 tiles of 256 pixels


class TilePixels:
    """Red, green and blue of all pixels of a level; those of a tile are decoded once, while there is room for them.

    Columns go round the world. Where there is no tile, or it is transparent, pixels are not valid and show the nearest
    valid one within `FILL_RADIUS`, else black.
    """

    def __init__(self, pyramid: Pyramid, level: Level, *, memory: int = MEMORY) -> None:
        self._pyramid, self._level, self._memory = pyramid, level, memory
        self._pictures: OrderedDict[mercantile.Tile, Patch | None] = OrderedDict()

    def read(self, window: Window) -> Patch:
        """A window between the northern and the southern end of the world, without holes.

        Raises:
            RasterError: a tile is no picture, or differs in size from the others.
            DownloadError: a tile was not downloaded.
        """
        data, valid = self._stored(window)
        if valid.all():
            return Patch(data, valid)
        around = self._level.inside(window.padded(FILL_RADIUS))
        near, known = self._stored(around)
        if known.any():
            near, _ = fill_holes(near, known)
        rows, cols = window.shifted(-around.col, -around.row).slices
        return Patch(near[:, rows, cols], valid)

    def _stored(self, window: Window) -> Patch:
        """What the tiles hold, black where there is none."""
        data = np.zeros((len(NAMES), window.height, window.width), np.uint8)
        valid = np.zeros((window.height, window.width), bool)
        for tile, place in self._level.tiles(window):
            if (shown := self._picture(tile)) is not None:
                common = place.intersection(window)
                rows, cols = common.shifted(-window.col, -window.row).slices
                tile_rows, tile_cols = common.shifted(-place.col, -place.row).slices
                seen = shown.valid[tile_rows, tile_cols]
                data[:, rows, cols] = shown.data[:, tile_rows, tile_cols] * seen
                valid[rows, cols] = seen
        return Patch(data, valid)

    def _picture(self, tile: mercantile.Tile) -> Patch | None:
        if tile not in self._pictures:
            shown = picture(self._pyramid, tile)
            if shown is not None and len(shown.valid) != self._level.side:
                raise RasterError(
                    f"{self._pyramid.name}, tile {tile.z}/{tile.x}/{tile.y}: is {len(shown.valid)} pixels wide, others "
                    f"are {self._level.side}; all tiles of a level must agree"
                )
            self._pictures[tile] = shown
            while len(self._pictures) > 1 and self._bytes() > self._memory:
                self._pictures.popitem(last=False)
        self._pictures.move_to_end(tile)
        return self._pictures[tile]

    def _bytes(self) -> int:
        """At most so many the tiles that are kept take: those that are absent count too."""
        return len(self._pictures) * self._level.side**2 * (len(NAMES) + 1)
