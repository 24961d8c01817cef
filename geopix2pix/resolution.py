"""On which pixels a scene is worked on: its own, or pixels of a size that the model knows."""

import math
import warnings

from affine import Affine

from geopix2pix.errors import ConfigError, SceneError, SceneWarning
from geopix2pix.geogrid import GeoGrid
from geopix2pix.grid import Window
from geopix2pix.ground import pixel_sides
from geopix2pix.manifest import Manifest
from geopix2pix.raster import RasterReader

TOLERANCE = 1.02  # by which a pixel may be larger or smaller than the range says; nobody trains to the centimetre
MAX_ENLARGED = 4.0
"""Times that pixels may be larger than the largest which the model knows: beyond that the details that it looks for are
not in the scene, and enlarging does not bring them back."""


def working_grid(reader: RasterReader, manifest: Manifest, resolution: float | None) -> GeoGrid | None:
    """The grid to work on, whose pixels are so many metres wide and high in the middle of the scene; None for its own.

    It is the scene's own grid with larger or smaller pixels, not turned and not in another CRS, so that both lie on
    each other in any CRS. Without a `resolution` (metres) the scene's own pixels are kept if the model knows their
    size, or does not tell which it knows.

    Raises:
        ConfigError: the resolution is not above 0.
        SceneError: the scene has no place on the ground, but a resolution was asked for; or its pixels are so large
            that the model would have to invent what it shows.
    """
    if resolution is not None and not 0 < resolution < math.inf:
        raise ConfigError(f"--resolution {resolution}: must be metres above 0")
    known = manifest.ground_resolution
    low, high = known.low, known.high
    if resolution is None and low is None and high is None:
        if reader.georeference.is_known:
            warnings.warn(
                f"model {manifest.name!r} does not tell for which ground resolution it is made, so {reader.path} is "
                "worked on in its own pixels; give the right one with --resolution",
                SceneWarning,
                stacklevel=3,
            )
        return None
    if resolution is None and not reader.georeference.is_known:
        return None  # that there is no georeference is told anyway
    grid = GeoGrid.of(reader)
    sides = pixel_sides(grid.crs, grid.transform, reader.width / 2, reader.height / 2)
    if sides is None:
        if resolution is None:
            return None
        raise SceneError(f"{reader.path}: --resolution needs a CRS that tells metres on the ground; leave it out")
    if resolution is None:
        resolution = _wanted(reader, manifest, sides)
    if resolution is None:
        return None
    factors = resolution / sides[0], resolution / sides[1]
    return GeoGrid(crs=grid.crs, transform=grid.transform * Affine.scale(*factors))


def extent_on(working: GeoGrid, own: GeoGrid, extent: Window, margin: int = 0) -> Window:
    """The smallest window of a working grid that covers a window of the scene's own, with a margin on each side."""
    inverse = ~own.transform * working.transform  # a scaling: both grids begin at one corner
    across, down = inverse.a, inverse.e
    col, row = math.floor(extent.col / across + 1e-6), math.floor(extent.row / down + 1e-6)
    right, bottom = math.ceil(extent.right / across - 1e-6), math.ceil(extent.bottom / down - 1e-6)
    return Window(col, row, right - col, bottom - row).padded(margin)


def _wanted(reader: RasterReader, manifest: Manifest, sides: tuple[float, float]) -> float | None:
    """The size of pixels nearest to the scene's that the model knows; None if it knows the scene's."""
    known = manifest.ground_resolution
    low, high = known.low or 0.0, known.high or math.inf
    least, most = min(sides), max(sides)
    if low / TOLERANCE <= least and most <= high * TOLERANCE:
        return None
    found = f"{reader.path}: has pixels of {sides[0]:.3g} x {sides[1]:.3g} m, the model {manifest.name!r} knows "
    found += f"{low:.3g} to {high:.3g} m"
    if most > MAX_ENLARGED * high:
        raise SceneError(
            f"{found}: what it looks for is not in the scene; take a finer scene or another model, or force it with "
            f"--resolution {high:.3g}"
        )
    wanted = min(max(math.sqrt(least * most), low), high)
    warnings.warn(f"{found}; it is worked on at {wanted:.3g} m", SceneWarning, stacklevel=4)
    return wanted
