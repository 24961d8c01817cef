"""The polygons of a vector file, as they are after mending."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from warnings import warn

import numpy as np
import numpy.typing as npt
import pyogrio
import pyogrio.raw
import shapely
from rasterio.crs import CRS
from rasterio.errors import CRSError
from shapely import GeometryType

from geopix2pix.errors import RegionError, TileSetWarning, VectorError
from geopix2pix.gdal import SETTINGS, environment

Shapes = npt.NDArray[Any]
"""An array of geometries."""
GDAL_ERRORS = (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError)
OFFLINE = ("CPL_VSIL_CURL_ALLOWED_FILENAME", "GDAL_HTTP_PROXY")  # pyogrio may bring a GDAL of its own


class Polygons(NamedTuple):
    """The valid polygons of one layer."""

    shapes: Shapes
    features: npt.NDArray[np.int64]
    """The number of each one's feature in the file, from 1 on; parts of a feature have the same."""
    values: npt.NDArray[Any] | None
    """What the column that was asked for says of each polygon; None where there is no such column."""
    crs: CRS


def read_polygons(path: Path, column: str | None = None) -> Polygons:
    """All polygons of a vector file, with one of its columns.

    `path` may end in `:LAYER`, and must where several layers have geometry. Polygons that are invalid, such as those
    that cross themselves, are mended by GEOS's `structure` method, and a TileSetWarning counts them.

    Raises:
        VectorError: the file or the layer cannot be read.
        RegionError: it holds no polygons, or they lie nowhere: no CRS, coordinates that are no numbers.
    """
    geometries, values, crs_text = _read(path, column)
    parts, features = _parts(geometries, np.arange(len(geometries)))
    if not len(parts):
        raise RegionError(f"{path}: polygons are needed, found none among {len(geometries)} features")
    crs = _crs(path, crs_text)
    if not np.isfinite(shapely.get_coordinates(parts)).all():
        raise RegionError(f"{path}: holds coordinates that are no numbers; correct its polygons in a GIS")
    if crs.is_geographic:
        _check_longitudes(path, parts, features)
    parts, features = _mended(path, parts, features)
    return Polygons(parts, features + 1, None if values is None else values[features], crs)


def _read(path: Path, column: str | None) -> tuple[Shapes, npt.NDArray[Any] | None, str | None]:
    """The geometries of a layer, the values of a column, and the CRS as GDAL words it."""
    file, layer = path, ""
    if not path.exists() and ":" in path.name:
        name, _, layer = path.name.rpartition(":")
        file = path.with_name(name)
    if not file.exists():
        raise VectorError(f"{path}: a vector file is needed, found none of this name")
    try:
        with _offline():
            layers = [name for name, kind in pyogrio.list_layers(file) if kind is not None]
            if (layer and layer not in layers) or (not layer and len(layers) != 1):
                asked = f"the layer {layer!r}" if layer else "the only layer"
                raise VectorError(f"{file}: {asked} was asked for, found {layers}; name one as {file.name}:LAYER")
            meta, _, wkb, values = pyogrio.raw.read(
                file, layer=layer or layers[0], columns=[column] if column else [], force_2d=True
            )
        return shapely.from_wkb(wkb), values[0] if values else None, meta["crs"]
    except (*GDAL_ERRORS, shapely.errors.ShapelyError, ValueError) as error:
        said, *_ = str(error).split(";")  # what follows are hints for programmers
        raise VectorError(f"{file}: cannot be read as vectors ({said}); check that it is complete") from error


def _crs(path: Path, text: str | None) -> CRS:
    try:
        with environment():
            crs = CRS.from_user_input(text) if text else CRS()
    except CRSError as error:
        raise RegionError(f"{path}: its CRS is not understood ({error}); set another in a GIS") from error
    if not (crs.is_geographic or crs.is_projected):
        raise RegionError(f"{path}: has no CRS; set it in a GIS (a Shapefile needs its .prj file beside it)")
    return crs


@contextmanager
def _offline() -> Iterator[None]:
    """A context in which no vector file makes GDAL talk to the network, as `gdal.SETTINGS` does for rasters."""
    before = {name: pyogrio.get_gdal_config_option(name) for name in OFFLINE}
    pyogrio.set_gdal_config_options({name: SETTINGS[name] for name in OFFLINE})
    try:
        yield
    finally:
        pyogrio.set_gdal_config_options(before)


def _parts(geometries: Shapes, features: npt.NDArray[np.int64]) -> tuple[Shapes, npt.NDArray[np.int64]]:
    """The single polygons in geometries of any kind, and the feature of each."""
    for _ in range(2):  # the members of collections may have parts themselves
        geometries, index = shapely.get_parts(geometries, return_index=True)
        features = features[index]
    wanted = (shapely.get_type_id(geometries) == GeometryType.POLYGON) & ~shapely.is_empty(geometries)
    return geometries[wanted], features[wanted]


def _check_longitudes(path: Path, polygons: Shapes, features: npt.NDArray[np.int64]) -> None:
    """Nothing, if no edge may be meant to cross the antimeridian by a jump from 180 to -180."""
    rings, owners = shapely.get_rings(polygons, return_index=True)
    points, index = shapely.get_coordinates(rings, return_index=True)
    far = (np.abs(np.diff(points[:, 0])) > 180) & (np.diff(index) == 0)
    if far.any():
        place = int(np.argmax(far))
        start, end = points[place : place + 2, 0]
        raise RegionError(
            f"{path}: an edge of feature {features[owners[index[place]]] + 1} leads from longitude {start:g} to "
            f"{end:g}; if it crosses the antimeridian, let longitudes go on beyond 180 or cut the polygon there, else "
            "give the edge more points"
        )


def _mended(path: Path, polygons: Shapes, features: npt.NDArray[np.int64]) -> tuple[Shapes, npt.NDArray[np.int64]]:
    """Valid polygons that cover what the given ones do."""
    invalid = ~shapely.is_valid(polygons)
    if not invalid.any():
        return polygons, features
    told = shapely.is_valid_reason(polygons[invalid][0])
    warn(
        f"{path}: {invalid.sum()} of {len(polygons)} polygons were invalid and have been mended (the first is feature "
        f"{features[invalid][0] + 1}: {told})",
        TileSetWarning,
        stacklevel=4,
    )
    polygons = polygons.copy()
    polygons[invalid] = shapely.make_valid(polygons[invalid], method="structure", keep_collapsed=False)
    polygons, features = _parts(polygons, features)
    if not len(polygons):
        raise RegionError(f"{path}: its polygons have no area; draw them anew")
    return polygons, features
