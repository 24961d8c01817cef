"""The one way into GDAL: which drivers may open a file, what they must not do, and how their failures are told."""

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import copy_context
from pathlib import Path
from threading import RLock
from typing import Any
from warnings import catch_warnings, simplefilter

import numpy as np
import rasterio
from rasterio.enums import Interleaving
from rasterio.errors import NotGeoreferencedWarning
from rasterio.io import DatasetReader

from geopix2pix.errors import DownloadError, GeoPix2PixError, GeoPix2PixWarning, RasterError, UnreadableError
from geopix2pix.remote import OPENED_AS, RemoteFile, Source

DRIVERS = ("GTiff", "JPEG", "PNG", "WEBP", "JP2OpenJPEG", "GIF", "BMP", "HFA", "ENVI", "EHdr")
"""File formats that are opened, beside mosaics in GDAL's VRT format. None of them is a service or a database."""

CACHE_BYTES, MAX_CACHE_BYTES = 16 * 2**20, 64 * 2**20
SETTINGS: dict[str, Any] = {
    "GDAL_CACHEMAX": CACHE_BYTES,  # bytes for rasterio; GDAL's own default is 5 % of the memory; see _make_room
    "GDAL_VRT_ENABLE_PYTHON": "NO",
    # No file that we open may make GDAL talk to the network. Names are checked before they are opened; should one slip
    # through, no remote name is allowed and all traffic goes to a proxy that does not exist.
    "CPL_VSIL_CURL_ALLOWED_FILENAME": "no remote file",
    "GDAL_HTTP_PROXY": "http://0.0.0.0:1",
    "GDAL_PNG_WHOLE_IMAGE_OPTIM": "NO",  # that path shows a truncated PNG as black, without an error
    "GDAL_DISABLE_READDIR_ON_OPEN": "FALSE",  # georeferences and masks may lie in files beside the raster
}

SEEN = 1024  # side of the windows in which rasters are read, by default
MAX_PIXELS = 10**11
MAX_BLOCK_BYTES = 512 * 2**20
MAX_VRT_BYTES = 2**26
MAX_VRT_DEPTH = 4  # mosaics of mosaics; a mosaic that contains itself has no end
VRT_SOURCES = ("sourcefilename", "sourcedataset")  # in lower case: GDAL ignores the case of names in a VRT

PROGRAMMING_MISTAKES = (AssertionError, NameError)
"""What neither a damaged file nor a full disk causes: it is not told as if it did."""

_ONE_AT_A_TIME = RLock()
"""GDAL's block cache is shared: a read in one thread may flush what another is just writing, which crashes."""
_OPENED = {
    var: value for var, value in copy_context().items() if var.name in ("opener_registery", "open_file_exit_stacks")
}
"""Where rasterio (1.4) keeps what it has opened of servers, and would lose it with the thread that did."""


@contextmanager
def environment(**settings: Any) -> Iterator[None]:
    """A context in which GDAL runs under our settings and these, in one thread at a time."""
    with _ONE_AT_A_TIME, rasterio.Env(**SETTINGS, **settings):
        for variable, value in _OPENED.items():
            variable.set(value)
        yield


@contextmanager
def guarded(path: Source, task: str, more: str = "") -> Iterator[None]:
    """An `environment` for reading; `more` is another remedy for damaged files.

    Raises:
        UnreadableError: whatever fails inside; the message names `path`, the `task` and GDAL's reason.
        DownloadError: the same for what a server sends.
    """
    try:
        with environment():
            yield
            if isinstance(path, RemoteFile):
                _check_sent(path)  # GDAL does without some parts of a file that it cannot read
    except (GeoPix2PixError, GeoPix2PixWarning, *PROGRAMMING_MISTAKES):
        raise
    except Exception as error:  # rasterio lets UnicodeDecodeError, MemoryError, ... through
        if isinstance(path, RemoteFile):
            _check_sent(path)
            remedy = f"check that the file is complete, or copy it here{more}"
            raise DownloadError(f"{path}: cannot {task}: {reason(error)}; {remedy}") from error
        by_system = isinstance(error, OSError) and error.errno is not None  # GDAL's failures have no number
        remedy = "check its name and permissions" if by_system else f"check that the file is complete{more}"
        raise UnreadableError(f"{path}: cannot {task}: {reason(error)}; {remedy}") from error


def _check_sent(path: RemoteFile) -> None:
    """Nothing, if the server has sent what GDAL has asked for; else its failure is raised, once."""
    failure, path.failure = path.failure, None
    if failure is not None:
        raise failure


@contextmanager
def unreferenced_allowed() -> Iterator[None]:
    """A context in which rasterio does not warn of files without a georeference: who needs one asks for it."""
    with catch_warnings():
        simplefilter("ignore", NotGeoreferencedWarning)
        yield


def open_dataset(path: Source, *, max_pixels: int = MAX_PIXELS) -> DatasetReader:
    """The open dataset of a local raster file, or of a GeoTIFF on a server; the caller closes it.

    Raises:
        DownloadError: a server does not send it.
        RasterError: there is no such file, no driver among `DRIVERS` can open it, it names sources that are not local
            raster files, or reading it would take too much: above `max_pixels` or blocks above `MAX_BLOCK_BYTES`.
    """
    return open_with_files(path, max_pixels=max_pixels)[0]


def open_with_files(path: Source, *, max_pixels: int = MAX_PIXELS) -> tuple[DatasetReader, set[Source]]:
    """As `open_dataset`, and all files it is read from: its own, its sidecars, and those of its sources at any depth.

    Raises:
        RasterError, DownloadError: as `open_dataset`.
    """
    if isinstance(path, RemoteFile):
        return _open_remote(path, max_pixels), {path}
    checked: dict[Path, set[Path]] = {}
    dataset = _open(path, max_pixels, checked, 0)
    return dataset, set().union(*checked.values())


def _open(path: Path, max_pixels: int, checked: dict[Path, set[Path]], depth: int) -> DatasetReader:
    """As `open_dataset`; `depth` counts the mosaics around it.

    `checked` are the rasters that need not be checked again, with the files of each; `path` is added to them.
    """
    with guarded(path, "open it as a raster"):
        if not path.is_file():
            found = "a folder" if path.is_dir() else "no such file"
            raise UnreadableError(f"{path}: a raster is needed, found {found}; give the path of a local raster file")
        if str(path.absolute()).startswith("/vsi"):
            raise RasterError(f"{path}: GDAL takes a path that starts with /vsi for a virtual one; move the file")
        drivers = list(DRIVERS)
        if _is_vrt(path):
            _check_sources(path, max_pixels, checked, depth)
            drivers = ["VRT"]
        with unreferenced_allowed():
            dataset = DatasetReader(path.absolute(), driver=drivers, sharing=False)
        try:
            _check_dataset(path, dataset, max_pixels)
            checked[path.resolve()] = {Path(name).resolve() for name in dataset.files}
        except BaseException:
            dataset.close()
            raise
        return dataset


def _open_remote(path: RemoteFile, max_pixels: int) -> DatasetReader:
    """As `open_dataset`. GDAL sees one file and no network."""
    with guarded(path, "open it as a GeoTIFF"):
        with unreferenced_allowed():
            dataset = rasterio.open(OPENED_AS, driver="GTiff", sharing=False, opener=path.opener)
        try:
            _check_dataset(path, dataset, max_pixels)
        except BaseException:
            dataset.close()
            raise
        return dataset


def _check_dataset(path: Source, dataset: DatasetReader, max_pixels: int) -> None:
    """Nothing, if the dataset can be read in bounded memory and without opening further files that we did not check."""
    if "OVERVIEW_FILE" in dataset.tags(ns="OVERVIEWS"):  # may name a URL, which GDAL would open
        raise RasterError(f"{path}: its metadata names an overview file elsewhere; remove OVERVIEW_FILE from it")
    if not dataset.count:
        raise RasterError(f"{path}: bands are needed, found none; extract one raster if it contains several")
    if dataset.width * dataset.height > max_pixels:
        size = f"{dataset.width} x {dataset.height} pixels"
        raise RasterError(f"{path}: announces {size}, more than {max_pixels}; raise max_pixels if that is right")
    interleaved = dataset.count if dataset.interleaving == Interleaving.pixel else 1
    for (rows, cols), dtype in zip(dataset.block_shapes, dataset.dtypes, strict=True):
        if dtype.startswith("complex"):
            raise RasterError(f"{path}: holds complex numbers; convert it to amplitudes first")
        if (needed := rows * cols * np.dtype(dtype).itemsize * interleaved) > MAX_BLOCK_BYTES:
            found = f"blocks of {needed} bytes, above {MAX_BLOCK_BYTES}, which are read whole"
            raise RasterError(f"{path}: has {found}; convert it to a tiled GeoTIFF")
    _make_room(dataset)


def _make_room(dataset: DatasetReader) -> None:
    """Let GDAL's cache, one for all rasters, hold the blocks that a window touches twice: wide strips, large tiles.

    With less room they would be decoded for each band and for each neighbouring window. For the widest strips no room
    would be enough, and none is made.
    """
    touched = 0
    for shape, dtype in zip(dataset.block_shapes, dataset.dtypes, strict=True):
        sides = zip(shape, dataset.shape, strict=True)
        rows, cols = (min(-(-(SEEN - 1) // side) + 1, -(-whole // side)) * side for side, whole in sides)
        touched += rows * cols * np.dtype(dtype).itemsize
    if CACHE_BYTES // 2 < touched <= MAX_CACHE_BYTES:
        SETTINGS["GDAL_CACHEMAX"] = max(SETTINGS["GDAL_CACHEMAX"], min(2 * touched, MAX_CACHE_BYTES))


def _is_vrt(path: Path) -> bool:
    with path.open("rb") as file:
        return b"<VRTDataset" in file.read(1024)


def _check_sources(path: Path, max_pixels: int, checked: dict[Path, set[Path]], depth: int) -> None:
    """Nothing, if all sources of the VRT are local rasters that we would open ourselves."""
    if depth >= MAX_VRT_DEPTH:
        raise RasterError(f"{path}: mosaics are nested more than {MAX_VRT_DEPTH} deep; build one of the files in them")
    if path.stat().st_size > MAX_VRT_BYTES:
        raise RasterError(f"{path}: a VRT above {MAX_VRT_BYTES} bytes; build a mosaic of mosaics")
    for name, is_relative in sorted(_source_names(path)):
        source = path.parent / name if is_relative else Path(name)
        if not source.is_file():
            raise RasterError(f"{path}: names the source {name!r}, which is no local file; build it of local files")
        if source.resolve() not in checked:
            _open(source, max_pixels, checked, depth + 1).close()


def _source_names(path: Path) -> set[tuple[str, bool]]:
    """The names of all datasets that a VRT draws from, and whether each is relative to the VRT."""
    names = set()
    for element in ElementTree.parse(path).iter():  # noqa: S314 - expat limits entity expansion
        attributes = [(name.lower(), value) for name, value in element.items()]
        relative = [value for name, value in attributes if name == "relativetovrt"] or ["0"]
        if relative not in (["0"], ["1"]) or any(name in VRT_SOURCES for name, _ in attributes):
            raise RasterError(f"{path}: names its sources in an unusual way; build it anew with gdalbuildvrt")
        if element.tag.rpartition("}")[2].lower() in VRT_SOURCES:  # GDAL ignores namespaces too
            names.add(((element.text or "").strip(), relative == ["1"]))
    return names


def reason(error: BaseException) -> str:
    """What GDAL or the system said first, in one line: rasterio wraps it in messages that only point to it."""
    while error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"{type(error).__name__}: {' '.join(str(error).split()) or 'no message'}"
