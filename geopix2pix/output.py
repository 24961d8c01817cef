"""What is to be written and where: the form of a result, what it may replace, and how it gets its name."""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from geopix2pix.errors import GeoPix2PixError, GeoPix2PixWarning, OutputError
from geopix2pix.files import replacing
from geopix2pix.gdal import PROGRAMMING_MISTAKES, environment, reason
from geopix2pix.palette import RGB
from geopix2pix.raster import Georeference

TAG = "GEOPIX2PIX_"
"""How the names of our tags begin."""
SIDECARS = (".aux.xml", ".msk", ".ovr")
"""What GDAL appends to the name of a raster for files that add to it or contradict it."""
Driver = Literal["COG", "GTiff"]
Colors = Literal["rgb", "gray"]
Resampling = Literal["nearest", "average"]
Compression = Literal["deflate", "zstd", "lzw"]
"""All lossless: the writer compares the finished file with what was given to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputSpec:
    """The form of a finished raster."""

    width: int
    height: int
    bands: int
    dtype: str
    georeference: Georeference = field(default_factory=Georeference)
    band_names: tuple[str, ...] = ()
    """One for each band, or none."""
    colorinterp: Colors = "gray"
    """What the first bands are: red, green and blue, or gray."""
    tags: Mapping[str, str] = field(default_factory=dict)
    resampling: Resampling = "nearest"
    """How overviews are made: `nearest` for classes, `average` for quantities."""
    driver: Driver = "COG"
    compress: Compression = "deflate"
    nodata: int | None = None
    """What pixels without data hold, and no other; without it they are 0, and a mask tells them from others."""
    classes: tuple[str, ...] = ()
    """What the values 0, 1, ... of the only band mean."""
    colors: tuple[RGB, ...] = ()
    """Their colours."""

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON values, to tell one specification from another."""
        return {name: getattr(self, name) for name in self.__slots__ if name != "georeference"} | {
            "band_names": list(self.band_names),
            "tags": dict(self.tags),
            "georeference": _json(self.georeference),
        }

    def sized(self, width: int, height: int, georeference: Georeference) -> "OutputSpec":
        """The same form for another place."""
        return replace(self, width=width, height=height, georeference=georeference)

    def remarked(self, remarks: Mapping[str, str]) -> "OutputSpec":
        """The same form with further tags, by topic."""
        return replace(self, tags={**self.tags, **{f"{TAG}{topic.upper()}": text for topic, text in remarks.items()}})

    @property
    def raw_bytes(self) -> int:
        """The size of its pixels before they are compressed."""
        return self.width * self.height * self.bands * np.dtype(self.dtype).itemsize


class Product(NamedTuple):
    """A raster that is to be written, and where."""

    path: Path | None
    """None for one of which only other results are made."""
    spec: OutputSpec


def _json(georeference: Georeference) -> dict[str, Any]:
    crs, gcps_crs = georeference.crs, georeference.gcps_crs
    return {
        "crs": None if crs is None else crs.to_wkt(),
        "transform": list(georeference.transform),
        "gcps": [gcp.asdict() for gcp in georeference.gcps],
        "gcps_crs": None if gcps_crs is None else gcps_crs.to_wkt(),
    }


def check_target(target: Path, source: Path | None = None, *, overwrite: bool = False) -> None:
    """Nothing, if a result may be written to `target`; asked before any work is done.

    Raises:
        OutputError: it is the source or a folder, or exists (or a sidecar of it) and `overwrite` is false, or its
            folder is missing or not writable, or one of the names cannot be looked up.
    """
    try:
        _check_target(target, source, overwrite)
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"{error.filename}: {error.strerror}; choose another name or check permissions") from error


def _check_target(target: Path, source: Path | None, overwrite: bool) -> None:
    if source is not None and target.exists() and source.exists() and target.samefile(source):
        raise OutputError(f"{target}: is the input itself; choose another name for the output")
    if target.is_dir():
        raise OutputError(f"{target}: is a folder; give the name of a file in it")
    if target.exists() and not target.is_file():
        raise OutputError(f"{target}: is neither a file nor a free name; choose another one")
    for name in (target, *(target.with_name(target.name + suffix) for suffix in SIDECARS)):
        if name.exists() and not overwrite:
            raise OutputError(f"{name}: exists already; choose another name or allow it to be overwritten")
    if not target.absolute().parent.is_dir():
        raise OutputError(f"{target}: the folder {target.absolute().parent} does not exist; create it first")
    if not os.access(target.absolute().parent, os.W_OK | os.X_OK):
        raise OutputError(f"{target}: the folder {target.absolute().parent} is not writable; choose another one")


def check_space(target: Path, needed: int) -> None:
    """Nothing, if the disk of `target` has `needed` bytes left.

    Raises:
        OutputError: it has not.
    """
    free = shutil.disk_usage(target.absolute().parent).free
    if free < needed:
        raise OutputError(f"{target}: needs about {needed >> 20} MiB, the disk has {free >> 20} left; make room on it")


def write_bytes(target: Path, data: bytes) -> None:
    """Put a file at `target`, whole or not at all, over an older one if there is one.

    Raises:
        OutputError: it cannot be written.
    """
    with writing(target), replacing(target) as unnamed:
        unnamed.write_bytes(data)


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """A GDAL `environment` in which `target` is written.

    Raises:
        OutputError: whatever fails inside; the message names `target` and the reason.
    """
    with saving(target), environment(GDAL_TIFF_INTERNAL_MASK="YES"):
        yield


@contextmanager
def saving(target: Path) -> Iterator[None]:
    """A context in which `target` is written, or a file for it, without GDAL: no other thread has to wait.

    Raises:
        OutputError: as in `writing`.
    """
    try:
        yield
    except (GeoPix2PixError, GeoPix2PixWarning, *PROGRAMMING_MISTAKES):
        raise
    except Exception as error:  # as in gdal.guarded
        found = reason(error)
        raise OutputError(f"{target}: cannot be written: {found}; check disk space and permissions") from error
