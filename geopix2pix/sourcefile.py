"""SourceFile: what the header of a raster file says of how it shows on a grid."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from affine import Affine

from geopix2pix.errors import SceneError
from geopix2pix.geogrid import Bounds, GeoGrid
from geopix2pix.grid import Window
from geopix2pix.ground import points_in
from geopix2pix.kernel import Kernel
from geopix2pix.raster import RasterReader
from geopix2pix.remote import Source
from geopix2pix.warp import stretches

MAX_FINER = 2048  # columns or rows of a file in one pixel of the grid: all of these are read at once for their mean


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """A file that shows on a grid: in its own pixels or, where these are much finer, in means of them."""

    path: Source
    grid: GeoGrid
    """Of the pixels or means that are shown."""
    extent: Window
    """All of them."""
    factors: tuple[int, int]
    """Columns and rows of the file in one of them."""
    bounds: Bounds
    """In the CRS of the grid that it shows on."""
    names: tuple[str, ...]
    """Of its bands."""
    dtype: str
    identity: dict[str, Any]

    @classmethod
    def of(cls, reader: RasterReader, onto: GeoGrid, kernel: Kernel) -> "SourceFile":
        """The file of a reader.

        Raises:
            SceneError: it does not tell where it lies, or cannot be shown on the grid.
        """
        own, extent = GeoGrid.of(reader), reader.extent
        try:
            bounds = own.bounds_in(onto.crs, extent)
            across, down = _factors(own, extent, onto) if kernel != "nearest" else (1, 1)
        except SceneError as error:
            raise SceneError(f"{reader.path}: cannot be shown on the grid: {error}") from error
        return cls(
            path=reader.path,
            grid=GeoGrid(crs=own.crs, transform=own.transform * Affine.scale(across, down)),
            extent=Window(0, 0, -(-extent.width // across), -(-extent.height // down)),
            factors=(across, down),
            bounds=bounds,
            names=reader.band_names,
            dtype=reader.dtype,
            identity=reader.identity(),
        )


def check_agreement(files: Sequence[SourceFile]) -> None:
    """Nothing, if the files can be shown together.

    Raises:
        SceneError: bands or data types differ; the message names both files.
    """
    first = files[0]
    for file in files:
        if (len(file.names), file.dtype) != (len(first.names), first.dtype):
            raise SceneError(
                f"{file.path} holds {len(file.names)} bands of {file.dtype}, {first.path} {len(first.names)} of "
                f"{first.dtype}; files that are shown together must agree: convert one, or name the bands to read"
            )
        if file.names != first.names and set(file.names) == set(first.names):
            raise SceneError(
                f"{file.path} holds its bands in the order {', '.join(file.names)}, {first.path} in the order "
                f"{', '.join(first.names)}; bring them into one order"
            )


def _factors(own: GeoGrid, extent: Window, onto: GeoGrid) -> tuple[int, int]:
    """How many columns and rows of a file are averaged: those in a pixel of the grid at the middle of the file."""
    middle = own.places(np.array([extent.width / 2]), np.array([extent.height / 2]))
    x, y = points_in(onto.crs, own.crs, *middle)[:, 0]
    if math.isnan(x):
        return 1, 1
    col, row = ~onto.transform * (x, y)
    pixel = Window(math.floor(col), math.floor(row), 1, 1)
    wide, high = (float(stretch[0, 0]) for stretch in stretches(onto, pixel, own.crs, own.transform))
    if max(wide, high) > MAX_FINER:
        raise SceneError(
            f"{wide:.0f} x {high:.0f} of its pixels lie in one of the grid, the limit is {MAX_FINER}; choose a "
            "resolution nearer to its own, or reduce it first with gdalwarp -r average"
        )
    return math.floor(wide), math.floor(high)
