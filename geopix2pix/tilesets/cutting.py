"""One pair of tiles: cut from two views of a grid, judged, and written as GeoTIFFs."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import rasterio
from affine import Affine
from rasterio.crs import CRS

from geopix2pix import labels
from geopix2pix.errors import OutputError
from geopix2pix.gdal import unreferenced_allowed
from geopix2pix.geogrid import GeoGrid
from geopix2pix.grid import Window
from geopix2pix.labels import Labels
from geopix2pix.output import writing
from geopix2pix.palette import RGB, Palette
from geopix2pix.raster import IDENTITY, Patch
from geopix2pix.tilesets.tileset import Side, path_of

Mask = npt.NDArray[np.bool_]
FORMAT = {"driver": "GTiff", "compress": "deflate", "zlevel": 6, "num_threads": 1, "BIGTIFF": "IF_SAFER"}


class Shown(Protocol):
    """What shows pixels through windows: a `View`, or the half of a picture."""

    @property
    def names(self) -> tuple[str, ...]: ...
    @property
    def dtype(self) -> str: ...
    def read(self, window: Window) -> Patch: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Legend:
    """How a map is read as classes."""

    palette: Palette
    tolerance: float | None = None
    """Levels beyond which a colour that the palette does not list says nothing; None = the nearest one counts."""


class Pair(NamedTuple):
    """The pixels of one pair of tiles."""

    source: Patch
    target: Patch
    """Valid where the map says something: inside the region and not nodata."""
    labels: Labels | None
    """(rows, cols), of maps of classes; `labels.UNKNOWN` where the target is not valid."""

    @property
    def known(self) -> Mask:
        """(rows, cols): both sides say something there."""
        known: Mask = self.source.valid & self.target.valid
        return known if self.labels is None else known & (self.labels != labels.UNKNOWN)


class Files(NamedTuple):
    """What tells the written files of a pair."""

    sha256: str
    """Of all of them."""
    pixels: str
    """SHA-256 of the source's pixels alone, to find duplicates by."""


def cut(source: Shown, target: Shown, legend: Legend | None, window: Window, inside: Mask) -> Pair:
    """The pair in a window of both; the map counts only where `inside` (rows, cols) is true."""
    picture = target.read(window)
    valid = picture.valid & inside
    named = None
    if legend is not None:
        if hasattr(target, "classes"):
            named = labels.from_classes(target.classes(window), legend.palette)
        else:
            named = labels.from_picture(picture.data, legend.palette, legend.tolerance)
        named = np.where(valid, named, np.uint8(labels.UNKNOWN))
    return Pair(source.read(window), Patch(picture.data, valid), named)


def write_pair(
    folder: Path,
    name: str,
    pair: Pair,
    place: tuple[GeoGrid, Window] | None,
    bands: Mapping[Side, tuple[str, ...]],
    legend: Legend | None,
) -> Files:
    """Write the tiles of a pair below `folder`, whose subfolders are there; what tells their files.

    `place` is the grid and the window in it, None for pictures that lie nowhere.

    Raises:
        OutputError: a file cannot be written, or does not hold what was written to it: the disk is full or broken.
    """
    crs, transform = (None, IDENTITY) if place is None else (place[0].crs, place[0].transform_of(place[1]))
    sides: dict[Side, Patch] = {"source": pair.source, "target": pair.target}
    if pair.labels is not None:
        sides["classes"] = Patch(pair.labels[None], np.ones(pair.labels.shape, bool))
    digest = sha256()
    for side, patch in sides.items():
        path = path_of(folder, side, name)
        # Whole at once: a process that outlives a killed build for a moment must not damage what the next one wrote.
        unnamed = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        colors = labels.colors(legend.palette) if legend and side == "classes" else None
        with writing(path):
            _write(unnamed, patch, crs, transform, bands[side], colors)
            _check(unnamed, patch)
            digest.update(unnamed.read_bytes())
            unnamed.replace(path)
    return Files(digest.hexdigest(), sha256(pair.source.data.tobytes() + pair.source.valid.tobytes()).hexdigest())


def _write(
    path: Path, patch: Patch, crs: CRS | None, transform: Affine, names: tuple[str, ...], colors: dict[int, RGB] | None
) -> None:
    count, height, width = patch.data.shape
    profile: dict[str, Any] = {
        "count": count,
        "height": height,
        "width": width,
        "dtype": patch.data.dtype,
        "predictor": 1 if colors else 3 if patch.data.dtype.kind == "f" else 2,
        "photometric": "palette" if colors else "rgb" if names == ("red", "green", "blue") else "minisblack",
    }
    if patch.data.dtype.itemsize == 8 and patch.data.dtype.kind != "f":
        profile["predictor"] = 1  # no predictor is defined for them
    with unreferenced_allowed(), rasterio.open(path, "w", crs=crs, transform=transform, **FORMAT, **profile) as dataset:
        dataset.write(np.where(patch.valid, patch.data, patch.data.dtype.type(0)))
        dataset.descriptions = names
        if colors:
            dataset.write_colormap(1, colors)
        if not patch.valid.all():
            dataset.write_mask(patch.valid)


def _check(path: Path, patch: Patch) -> None:
    """Nothing, if the file holds the patch: GDAL does not report every failure to write."""
    with unreferenced_allowed(), rasterio.open(path, sharing=False) as dataset:
        written = np.where(patch.valid, patch.data, patch.data.dtype.type(0))
        if not np.array_equal(dataset.read(), written) or not np.array_equal(dataset.dataset_mask() != 0, patch.valid):
            raise OutputError(f"{path}: does not hold what was written to it; make room on the disk")
