"""The outline of what rasters show: where their valid pixels lie, not the rectangle round them."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt
import shapely
from rasterio.crs import CRS
from rasterio.features import shapes
from shapely import Geometry
from shapely.affinity import affine_transform

from geopix2pix.errors import RegionError
from geopix2pix.gdal import MAX_PIXELS
from geopix2pix.geogrid import GeoGrid
from geopix2pix.grid import Window
from geopix2pix.raster import RasterReader
from geopix2pix.regions import shown

Mask = npt.NDArray[np.bool_]
CELLS = 1024  # along the side of a square scene; of the outline's steps, not of its truth
CHUNK = 512  # pixels that are read at once along each axis, unless a cell is larger
TOLERANCE = 0.75  # cells, by which an outline is simplified; below the one cell by which it was widened


def footprint(
    paths: Sequence[Path],
    crs: CRS,
    *,
    bands: Sequence[int] | None = None,
    expand_colors: bool = False,
    max_pixels: int = MAX_PIXELS,
) -> Geometry:
    """The area, in `crs`, inside the outlines of all valid pixels of some rasters; see `RasterReader` for the options.

    Every valid pixel lies in it, and at scene borders nothing else. It reaches at most two cells beyond valid pixels,
    a cell being a pixel in scenes of up to `CELLS` x `CELLS`, else that share of the scene. Holes that valid pixels
    surround belong to it.

    Raises:
        RasterError: a file cannot be read.
        SceneError: a file has no georeference.
        RegionError: none has a valid pixel, or `crs` cannot show where they are.
    """
    areas = []
    for path in paths:
        with RasterReader(path, bands=bands, expand_colors=expand_colors, max_pixels=max_pixels) as reader:
            grid = GeoGrid.of(reader)
            outline = _outline(reader)
        if not outline.is_empty:
            a, b, c, d, e, f = grid.transform[:6]
            areas.append(shown(affine_transform(outline, [a, b, d, e, c, f]), grid.crs, crs, str(path)))
    if not areas:
        names = ", ".join(map(str, paths[:3]))
        raise RegionError(f"{names}: no valid pixel was found to draw an outline of; is the nodata value right?")
    return shapely.union_all(areas)


def _outline(reader: RasterReader) -> Geometry:
    """The outline in columns and rows."""
    side, cells = _cells(reader)
    widened = np.pad(cells, 2)
    for axis in (0, 1):
        widened = widened | np.roll(widened, 1, axis) | np.roll(widened, -1, axis)
    found = shapes(widened.astype(np.uint8), mask=widened)
    filled = shapely.union_all([shapely.Polygon(shape["coordinates"][0]) for shape, _ in found])
    scene = shapely.box(0, 0, reader.width, reader.height)
    area = shapely.transform(shapely.simplify(filled, TOLERANCE), lambda points: (points - 2) * side)
    return shapely.intersection(area, scene)


def _cells(reader: RasterReader) -> tuple[int, Mask]:
    """The side of a cell in pixels, and which cells may hold a valid pixel, shape (rows, cols).

    Chunks of the scene are read from its border inwards, as far as each touches one with an invalid pixel. A cell is
    left out only if all of its pixels were seen; what was not reached is taken for valid. So a scene without a collar
    costs its border and a scene with one the collar besides, and memory holds one chunk.
    """
    side = max(1, int(np.ceil(np.sqrt(reader.width * reader.height) / CELLS)))
    chunk = side * max(1, CHUNK // side)
    cells = np.ones((-(-reader.height // side), -(-reader.width // side)), bool)
    columns, rows = -(-reader.width // chunk), -(-reader.height // chunk)
    reached = {(y, x) for y, x in product(range(rows), range(columns)) if y in (0, rows - 1) or x in (0, columns - 1)}
    waiting = reached
    while waiting:
        beside: set[tuple[int, int]] = set()
        for row, column in sorted(waiting):
            window = Window(column * chunk, row * chunk, chunk, chunk).intersection(reader.extent)
            valid = reader.read(window).valid
            starts = [np.arange(0, size, side) for size in valid.shape]
            some = np.logical_or.reduceat(np.logical_or.reduceat(valid, starts[0], axis=0), starts[1], axis=1)
            cells[window.row // side :, window.col // side :][: some.shape[0], : some.shape[1]] = some
            if not valid.all():
                beside |= set(product((row - 1, row, row + 1), (column - 1, column, column + 1)))
        waiting = {(y, x) for y, x in beside - reached if 0 <= y < rows and 0 <= x < columns}
        reached |= waiting
    return side, cells
