"""Canvas: where areas are painted over each other, on samples of which 4 x 4 make a pixel.

A sample shows what lies in its middle. All colours of a pixel are averages of samples, so that where areas touch
nothing of what lies below them shines through, and nothing depends on the window that is painted.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from rasterio.features import rasterize
from shapely import Polygon

from geopix2pix.gdal import environment
from geopix2pix.grid import Window
from geopix2pix.palette import RGB

SAMPLES = 4  # along each side of a pixel
LATTICE = 4096  # points along the side of a pixel: areas are moved to them, which makes shifts by whole pixels exact
LEVEL = 256  # parts of a grey level in which colours are kept until samples are averaged

MANY = 1000  # points of an area from which on it pays to leave out those that are far away

Geometries = npt.NDArray[Any]


class Canvas:
    """The pixels of a window, on which areas in pixels of the grid are painted."""

    def __init__(self, window: Window, ground: RGB) -> None:
        self.window = window
        self._colors: list[tuple[int, ...]] = [tuple(level * LEVEL for level in ground)]
        self._samples = np.zeros((window.height * SAMPLES, window.width * SAMPLES), np.int32)

    def paint(self, areas: Geometries, colors: Sequence[RGB], opacities: Sequence[float]) -> None:
        """Paint areas, each in its colour; where they overlap the last shows, and not what it covers.

        Their opacity is towards what was painted before. Colours mix in sRGB, as in browsers.
        """
        paints = [(*color, round(opacity * LEVEL)) for color, opacity in zip(colors, opacities, strict=True)]
        number = {paint: index for index, paint in enumerate(dict.fromkeys(paints))}
        if all(opacity == LEVEL for *_, opacity in number):
            start = len(self._colors)
            self._colors += [tuple(level * LEVEL for level in color) for *color, _ in number]
            burn(areas, [start + number[paint] for paint in paints], self.window, self._samples)
            return
        over = np.full_like(self._samples, -1)
        burn(areas, [number[paint] for paint in paints], self.window, over)
        painted = over >= 0
        pairs, which = np.unique(
            self._samples[painted].astype(np.int64) * len(number) + over[painted], return_inverse=True
        )
        self._samples[painted] = len(self._colors) + which
        inks = list(number)
        self._colors += [_mixed(self._colors[pair // len(inks)], *inks[pair % len(inks)]) for pair in pairs.tolist()]

    def picture(self) -> npt.NDArray[np.uint8]:
        """The averages of the samples, shape (3, rows, cols)."""
        rows, cols = self.window.height, self.window.width
        whole = SAMPLES**2 * LEVEL
        bands = []
        for levels in zip(*self._colors, strict=True):
            samples = np.array(levels, np.int32)[self._samples]
            columns = samples.reshape(rows, SAMPLES, cols * SAMPLES).sum(axis=1)
            bands.append((columns.reshape(rows, cols, SAMPLES).sum(axis=2) + whole // 2) // whole)
        return np.stack(bands).astype(np.uint8)


def burn(areas: Geometries, values: Sequence[int], window: Window, raster: npt.NDArray[Any]) -> None:
    """Write each value to the pixels, or samples, of a raster of the window whose middle lies in its area.

    A point on an edge is in the area on one side of it.
    """
    scale = raster.shape[0] / window.height
    origin = np.array([window.col, window.row]) * LATTICE
    areas = shapely.transform(areas, lambda points: (np.rint(points * LATTICE) - origin) * (scale / LATTICE))
    left, top, right, bottom = shapely.bounds(areas).reshape(-1, 4).T  # not numbers where an area is empty
    rows, cols = raster.shape
    near = (right >= 0) & (left <= cols) & (bottom >= 0) & (top <= rows)
    shapes = [
        (_seen(area, rows, cols), value) for area, value, is_near in zip(areas, values, near, strict=True) if is_near
    ]
    if shapes:
        with environment():
            rasterize(shapes, out=raster)


def _seen(area: Any, rows: int, cols: int) -> Any:
    """An area that is the same within a raster, with fewer points outside of it if it has many.

    A point that lies on the same side of the raster as the points before and after it is left out: what that adds to
    the area or takes from it lies on that side too, and no edge that is seen becomes another one.
    """
    if shapely.get_num_coordinates(area) <= MANY:
        return area
    polygons = []
    for polygon in shapely.get_parts(area):
        rings = [_seen_ring(ring, rows, cols) for ring in shapely.get_rings(polygon)]
        polygons.append(Polygon(rings[0], rings[1:]))
    return shapely.multipolygons(polygons)


def _seen_ring(ring: Any, rows: int, cols: int) -> Any:
    points = shapely.get_coordinates(ring)
    x, y = points.T
    side = np.select([x < 0, x > cols, y < 0, y > rows], [1, 2, 3, 4], 0)
    kept = np.ones(len(points), bool)  # the ends stay, which are one point
    kept[1:-1] = (side[1:-1] == 0) | (side[1:-1] != side[:-2]) | (side[1:-1] != side[2:])
    kept[1:3] = True  # a ring has four points at least
    return shapely.linearrings(points[kept])


def _mixed(below: tuple[int, ...], red: int, green: int, blue: int, opacity: int) -> tuple[int, ...]:
    """A colour in parts of levels, with another one in levels over it."""
    levels = zip(below, (red, green, blue), strict=True)
    return tuple((b * (LEVEL - opacity) + a * LEVEL * opacity + LEVEL // 2) // LEVEL for b, a in levels)
