"""Vector files of others: which may be opened, the layers they hold, and their features piece by piece."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from warnings import catch_warnings, simplefilter

import numpy as np
import numpy.typing as npt
import pyogrio
import pyogrio.raw
import shapely
from rasterio.crs import CRS

from geopix2pix.errors import GeoPix2PixError, VectorError
from geopix2pix.gdal import PROGRAMMING_MISTAKES, environment, reason
from geopix2pix.geogrid import Bounds

FORMATS: dict[str, tuple[str, bytes]] = {
    ".gpkg": ("GPKG", b"SQLite format 3\0"),
    ".geojson": ("GeoJSON", b"{"),
    ".json": ("GeoJSON", b"{"),
    ".shp": ("ESRI Shapefile", b"\0\0\x27\x0a"),
    ".fgb": ("FlatGeobuf", b"fgb"),
}
"""The endings of files that are opened, the GDAL driver that must open each, and how their content begins."""
SETTINGS = {
    # GDAL would follow names in hostile files to the network: no remote name is allowed, all traffic goes nowhere.
    "CPL_VSIL_CURL_ALLOWED_FILENAME": "no remote file",
    "GDAL_HTTP_PROXY": "http://0.0.0.0:1",
    "OGR_CURRENT_DATE": "2000-01-01T00:00:00.000Z",  # in files that we write, or equal ones would differ in bytes
}
PROGRAM = b"gdal_streamed_alg"  # JSON that is a recipe of GDAL commands, which opening would run
HEAD = 2**16  # bytes that are looked at before a file is opened
PIECE = 20_000  # features in memory at a time
PARSED_PIECE = 100_000  # of GeoJSON, which GDAL parses from the beginning for each piece


class Piece(NamedTuple):
    """Some features of a layer, in the order of the file."""

    geometries: npt.NDArray[Any]
    """Of shapely, in two dimensions; None where there is none that can be read."""
    properties: list[dict[str, Any]]
    """The attributes of each feature, without those that are null."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorLayer:
    """A layer of a vector file."""

    path: Path
    name: str
    """By which it is asked for: its name in a GeoPackage, elsewhere that of the file without its ending."""
    stored: str | None
    """Its name in the file; None for the only layer of GeoJSON."""
    crs_text: str | None
    fields: tuple[str, ...]
    driver: str
    random: bool
    """Whether single features can be read without those before them."""

    @property
    def crs(self) -> CRS:
        """Its reference system.

        Raises:
            VectorError: it has none, or one that is not on the earth.
        """
        with guarded(self.path, f"understand the reference system of layer {self.name!r}"):
            crs = CRS.from_user_input(self.crs_text) if self.crs_text else None
        if crs is None or not (crs.is_geographic or crs.is_projected):
            raise VectorError(
                f"{self.path}: layer {self.name!r} needs a reference system (CRS) on the earth, found none; give it "
                "one with ogr2ogr -a_srs"
            )
        return crs

    def pieces(self, bounds: Bounds | None, fields: Sequence[str]) -> Iterator[Piece]:
        """The features whose geometry touches the bounds (in the CRS of the layer), all without bounds.

        Attributes are read if they are in `fields`.

        Raises:
            VectorError: the file is truncated or damaged.
        """
        columns = [name for name in self.fields if name in fields]
        with guarded(self.path, f"list the features of layer {self.name!r}"):
            found = pyogrio.raw.read(
                self.path, self.stored, columns=[], read_geometry=False, bbox=bounds, return_fids=True
            )[1]
        if self.driver != "GeoJSON":  # whose numbers may be any; those of others tell the order in the file
            found = np.sort(found)
        size = PARSED_PIECE if self.driver == "GeoJSON" else PIECE
        for start in range(0, len(found), size):
            ids = found[start : start + size]
            at = {"fids": ids} if self.random else {"bbox": bounds, "skip_features": start, "max_features": len(ids)}
            with guarded(self.path, f"read layer {self.name!r}"):
                meta, _, geometries, values = pyogrio.raw.read(
                    self.path, self.stored, columns=columns, force_2d=True, datetime_as_string=True, **at
                )
                piece = Piece(shapely.from_wkb(geometries, on_invalid="ignore"), _properties(meta, values, len(ids)))
            yield piece


def vector_layers(path: Path) -> tuple[VectorLayer, ...]:
    """The layers with geometry in a local vector file.

    Raises:
        VectorError: it is of no format in `FORMATS`, or cannot be opened.
    """
    driver = _driver(path)
    with guarded(path, "open it as vectors"):
        layers = [(None, "")] if driver == "GeoJSON" else pyogrio.list_layers(path)  # opening GeoJSON takes its time
        stored = [name for name, kind in layers if kind is not None]
        infos = [pyogrio.read_info(path, layer=name) for name in stored]
    if not any(info["geometry_type"] for info in infos):
        raise VectorError(f"{path}: layers with geometry are needed, found none; check what the file is")
    if wrong := {info["driver"] for info in infos} - {driver}:
        raise VectorError(f"{path}: {driver} was expected, found {', '.join(sorted(wrong))}; convert it with ogr2ogr")
    return tuple(_layer(path, name, info) for name, info in zip(stored, infos, strict=True))


@contextmanager
def guarded(path: Path, task: str) -> Iterator[None]:
    """A context for reading vectors in which GDAL may not use the network.

    Raises:
        VectorError: whatever fails inside; the message names `path`, the `task` and GDAL's reason.
    """
    try:
        with settings(), catch_warnings():
            simplefilter("ignore", RuntimeWarning)  # GDAL's remarks on odd files that it can read
            yield
    except (GeoPix2PixError, *PROGRAMMING_MISTAKES):
        raise
    except Exception as error:  # of pyogrio, numpy or the system
        raise VectorError(f"{path}: cannot {task}: {reason(error)}; check that the file is complete") from error


@contextmanager
def settings() -> Iterator[None]:
    """A context in which the GDAL of pyogrio, which is another one than that of rasterio, runs under `SETTINGS`."""
    with environment():
        before = {name: pyogrio.get_gdal_config_option(name) for name in SETTINGS}
        pyogrio.set_gdal_config_options(SETTINGS)
        try:
            yield
        finally:
            pyogrio.set_gdal_config_options(before)


def _driver(path: Path) -> str:
    """The driver that must open a file, by its ending and its first bytes."""
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise VectorError(f"{path}: vector files end in {', '.join(FORMATS)}; convert it with ogr2ogr")
    if "!" in str(path) or ";" in str(path) or str(path.absolute()).startswith("/vsi"):
        raise VectorError(f"{path}: a name with `!` or `;`, or below /vsi, means something else to GDAL; rename it")
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError as error:
        raise VectorError(f"{path}: cannot be opened ({error.strerror}); check its name and permissions") from error
    driver, begin = FORMATS[suffix]
    if driver == "GeoJSON":
        head = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    is_package = driver != "GPKG" or head[68:70] == b"GP"  # the application id of a GeoPackage in its database
    if not head.startswith(begin) or PROGRAM in head or not is_package:
        raise VectorError(f"{path}: ends in {suffix} and does not begin as {driver}; check what the file is")
    return driver


def _layer(path: Path, stored: str | None, info: dict[str, Any]) -> VectorLayer:
    return VectorLayer(
        path=path,
        name=stored if stored is not None and info["driver"] == "GPKG" else path.stem,
        stored=stored,
        crs_text=info["crs"],
        fields=tuple(info["fields"]),
        driver=info["driver"],
        random=info["capabilities"]["random_read"],
    )


def _properties(meta: dict[str, Any], values: Sequence[npt.NDArray[Any]], count: int) -> list[dict[str, Any]]:
    columns = [_plain(column, kind) for column, kind in zip(values, meta["ogr_subtypes"], strict=True)]
    names = list(meta["fields"])
    rows: Iterator[tuple[Any, ...]] = zip(*columns, strict=True) if columns else iter([()] * count)
    return [{name: value for name, value in zip(names, row, strict=True) if value is not None} for row in rows]


def _plain(column: npt.NDArray[Any], kind: str) -> list[Any]:
    """The values of a column as Python's own, None for null."""
    values = column.tolist()
    if column.dtype.kind == "f":  # whole numbers and truths with a null among them come as floats
        convert = bool if kind == "OFSTBoolean" else float
        return [None if value != value else convert(value) for value in values]
    return [tuple(value.tolist()) if isinstance(value, np.ndarray) else value for value in values]
