"""The picture in the bytes of a web-map tile."""

import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.enums import ColorInterp
from rasterio.io import DatasetReader, MemoryFile

from geopix2pix.bands import color_table
from geopix2pix.errors import GeoPix2PixError, RasterError
from geopix2pix.gdal import PROGRAMMING_MISTAKES, environment, reason, unreferenced_allowed
from geopix2pix.raster import Patch

NAMES = ("red", "green", "blue")
MAX_SIDE = 4096  # pixels; the largest that servers offer are 1024
MAX_BYTES = 64 * 2**20  # of the file: more than MAX_SIDE x MAX_SIDE random pixels take
GZIP = b"\x1f\x8b"

_SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"GIF8": "GIF",
    b"II*\0": "GTiff",
    b"MM\0*": "GTiff",
}


class DamagedError(RasterError):
    """A picture is not whole: another copy of it may be."""


def driver_of(data: bytes) -> str | None:
    """GDAL's name for the format of a picture's bytes; None for what is no picture of a web-map tile."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    return next((driver for signature, driver in _SIGNATURES.items() if data.startswith(signature)), None)


def unpacked(data: bytes, where: str) -> bytes:
    """The bytes of a tile without the gzip that some archives and servers put around them.

    Raises:
        RasterError: they are too many.
        DamagedError: they are not whole.
    """
    if not data.startswith(GZIP):
        return data
    stream = zlib.decompressobj(wbits=31)
    try:
        plain = stream.decompress(data, MAX_BYTES)
    except zlib.error as error:
        raise DamagedError(f"{where}: the gzip around it is damaged ({error}); replace the file") from error
    if len(plain) == MAX_BYTES:
        raise RasterError(f"{where}: unpacks to {MAX_BYTES} bytes or more, which no tile has; replace the file")
    if not stream.eof:
        raise DamagedError(f"{where}: the gzip around it ends too early; replace the file")
    return plain


def decoded(data: bytes, where: str) -> Patch:
    """The picture of a tile as red, green and blue bytes, shape (3, side, side), and where it is not transparent.

    Grey is repeated, palettes are expanded. A pixel is invalid where its alpha is 0 or its value means transparency.
    `where` names the tile in messages.

    Raises:
        RasterError: this is no picture, or none of 8 bits, square, with a power of two as its side.
        DamagedError: the picture is not whole.
    """
    data = unpacked(data, where)
    driver = driver_of(data)
    if driver is None:
        raise RasterError(f"{where}: a picture (PNG, JPEG, WebP, GIF, TIFF) is needed, found {excerpt(data)}")
    try:
        with environment(), unreferenced_allowed(), MemoryFile(data) as file, file.open(driver=[driver]) as dataset:
            _check(dataset, where)
            return _shown(dataset)
    except (GeoPix2PixError, *PROGRAMMING_MISTAKES):
        raise
    except Exception as error:  # rasterio lets MemoryError, ValueError, ... through
        raise DamagedError(f"{where}: holds a damaged {driver} picture ({reason(error)}); replace the file") from error


def excerpt(data: bytes) -> str:
    """What bytes that are no picture look like, in a few words."""
    if not data:
        return "nothing"
    words = " ".join(data[:400].decode("utf-8", "replace").split())[:80]
    if not words or sum(letter.isprintable() and letter != "\ufffd" for letter in words) < 0.9 * len(words):
        return f"{len(data)} bytes that begin with {data[:8].hex(' ')}"
    return f"the text {words!r}"


def _check(dataset: DatasetReader, where: str) -> None:
    """Nothing, if a picture can be read in bounded memory and is what a tile may be."""
    width, height = dataset.width, dataset.height
    if width != height or width & (width - 1) or width > MAX_SIDE:
        needed = f"a square with a power of two up to {MAX_SIDE} as its side"
        raise RasterError(f"{where}: is {width} x {height} pixels, a tile is {needed}; choose another source")
    moving = dataset.count > 1 and ColorInterp.palette in dataset.colorinterp
    if moving or dataset.count > 4 or set(dataset.dtypes) != {"uint8"}:
        found = "several frames" if moving else f"{dataset.count} x {dataset.dtypes[0]}"
        raise RasterError(f"{where}: holds {found}, pictures of 8 bits are needed; use the rasters it was made from")
    if any(rows * cols > MAX_SIDE**2 for rows, cols in dataset.block_shapes):
        raise RasterError(
            f"{where}: has blocks of {dataset.block_shapes[0]} pixels, above its own size; replace the file"
        )
    if "OVERVIEW_FILE" in dataset.tags(ns="OVERVIEWS"):  # GDAL would open it
        raise RasterError(f"{where}: its metadata names a file elsewhere; replace the file")


def _shown(dataset: DatasetReader) -> Patch:
    colors = color_table(dataset) if dataset.count == 1 else None
    bands: npt.NDArray[Any] = dataset.read()
    valid: npt.NDArray[np.bool_] = dataset.dataset_mask() != 0
    if colors is not None:
        colored = colors[:, bands[0]]
        return Patch(colored[:3], valid & (colored[3] != 0))
    depth = int(dataset.tags(1, ns="IMAGE_STRUCTURE").get("NBITS", 8))
    if depth < 8:  # GDAL leaves grey of fewer bits as it is
        bands = bands * np.uint8(255 // (2**depth - 1))
    shown = [band for band, color in enumerate(dataset.colorinterp) if color != ColorInterp.alpha]
    return Patch(np.ascontiguousarray(bands[shown[:3] if len(shown) >= 3 else shown[:1] * 3]), valid)
