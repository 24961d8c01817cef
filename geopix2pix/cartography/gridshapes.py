"""Geometries in the pixels of a grid, and how large these are in the units that widths are given in."""

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from affine import Affine

from geopix2pix.cartography.style import StyleLayer
from geopix2pix.errors import StyleError
from geopix2pix.geogrid import Bounds, GeoGrid
from geopix2pix.ground import name, pixel_sides

CELL = 4096  # pixels of a square in which a metre is taken for equally long everywhere

Geometries = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]


def in_pixels(grid: GeoGrid, geometries: Geometries) -> Geometries:
    """Geometries in the grid's CRS as columns and rows of the grid."""
    return _mapped(~grid.transform, geometries)


def around(grid: GeoGrid, left: float, top: float, right: float, bottom: float) -> Bounds:
    """The smallest rectangle along the axes of the grid's CRS around a rectangle of its pixels."""
    found = shapely.bounds(_mapped(grid.transform, np.array([shapely.box(left, top, right, bottom)])))
    west, south, east, north = found[0].tolist()
    return west, south, east, north


def pixel_sizes(grid: GeoGrid, layer: StyleLayer, shapes: Geometries) -> Floats:
    """Width and height of a pixel at each shape (in pixels of the grid), in units of the layer; shape (shapes, 2).

    Metres are those on the ground, whatever the reference system of the grid calls a metre.

    Raises:
        StyleError: the layer is in metres, and the grid's reference system does not tell what a metre is.
    """
    if layer.units == "pixels":
        return np.ones((len(shapes), 2))
    bounds = shapely.bounds(shapes).reshape(-1, 4)
    cells, of = np.unique(np.floor((bounds[:, :2] + bounds[:, 2:]) / 2 / CELL), axis=0, return_inverse=True)
    sizes = [_ground(grid, int(col), int(row)) for col, row in cells.tolist()]
    if None in sizes:
        raise StyleError(
            f"style layer {layer.id!r}: widths in metres need a grid whose reference system tells lengths, found "
            f"{name(grid.crs)}; give them in pixels"
        )
    found: Floats = np.array(sizes, float).reshape(-1, 2)[of.ravel()]
    return found


def scaled(geometries: Geometries, factors: Floats) -> Geometries:
    """Each geometry with its x and y multiplied by its row of factors, shape (geometries, 2)."""
    geometries = geometries.copy()
    points, of = shapely.get_coordinates(geometries, return_index=True)
    found: Geometries = shapely.set_coordinates(geometries, points * factors[of])
    return found


def _mapped(transform: Affine, geometries: Geometries) -> Geometries:
    a, b, c, d, e, f = transform[:6]
    found: Geometries = shapely.transform(
        geometries, lambda p: np.column_stack([a * p[:, 0] + b * p[:, 1] + c, d * p[:, 0] + e * p[:, 1] + f])
    )
    return found


@lru_cache(maxsize=4096)
def _ground(grid: GeoGrid, col: int, row: int) -> tuple[float, float] | None:
    """The sides of a pixel in the middle of a cell."""
    return pixel_sides(grid.crs, grid.transform, (col + 0.5) * CELL, (row + 0.5) * CELL)
