"""Copies of rasters by GDAL, whose progress is told and which can be stopped."""

from collections.abc import Callable, Mapping
from ctypes import CDLL, CFUNCTYPE, c_char_p, c_double, c_int, c_void_p
from pathlib import Path
from typing import Any

from rasterio import shutil

from geopix2pix.errors import OutputError

Told = Callable[[float], None]
"""Hears the share of the work that is done; what it raises ends the work."""

_TELL = CFUNCTYPE(c_int, c_double, c_char_p, c_void_p)
_PROTOTYPES: dict[str, Any] = {
    "GDALOpen": CFUNCTYPE(c_void_p, c_char_p, c_int),
    "GDALClose": CFUNCTYPE(c_int, c_void_p),
    "GDALGetDriverByName": CFUNCTYPE(c_void_p, c_char_p),
    "GDALCreateCopy": CFUNCTYPE(c_void_p, c_void_p, c_char_p, c_void_p, c_int, c_void_p, _TELL, c_void_p),
    "CPLErrorReset": CFUNCTYPE(None),
    "CPLGetLastErrorMsg": CFUNCTYPE(c_char_p),
}


def copied(source: Path, target: Path, driver: str, options: Mapping[str, str], told: Told) -> None:
    """Write the raster `source` to `target` in the format of a driver, as `rasterio.shutil.copy` does.

    rasterio calls the same function of GDAL, but gives it nobody to tell how far it is. So it is called here, in the
    library that rasterio has loaded and under the same `environment`. A system that does not show us that library, as
    Windows, gets rasterio's copy, of which `told` hears the end alone.

    Raises:
        OutputError: GDAL cannot write the copy.
        And whatever `told` raises, once GDAL has stopped; nothing is left then.
    """
    gdal = _functions()
    if gdal is None:
        shutil.copy(source, target, driver=driver, **options)
        told(1.0)
        return
    raised: list[BaseException] = []

    def tell(share: float, message: bytes, data: int) -> int:
        try:
            if not raised:  # some drivers ask once more
                told(share)
        except BaseException as error:  # it cannot pass through GDAL
            raised.append(error)
        return not raised

    reason = _copied(gdal, str(source).encode(), str(target).encode(), driver.encode(), options, _TELL(tell))
    if raised:
        raise raised[0]
    if reason is not None:
        found = " ".join(reason.decode(errors="replace").split()) or "no reason is given"
        raise OutputError(f"{target}: cannot be written: {found}; check disk space and permissions")


def _functions() -> dict[str, Any] | None:
    try:
        library = CDLL(shutil.__file__)  # what it needs is found through it
        return {name: prototype((name, library)) for name, prototype in _PROTOTYPES.items()}
    except (OSError, AttributeError):
        return None


def _copied(
    gdal: Mapping[str, Any], source: bytes, target: bytes, driver: bytes, options: Mapping[str, str], tell: Any
) -> bytes | None:
    """Why a raster cannot be copied; None if it was."""
    words = [f"{name}={value}".upper().encode() for name, value in options.items()]
    listed = (c_char_p * (len(words) + 1))(*words)
    gdal["CPLErrorReset"]()
    opened, made = gdal["GDALOpen"](source, 0), None
    if opened:
        made = gdal["GDALCreateCopy"](gdal["GDALGetDriverByName"](driver), target, opened, 1, listed, tell, None)
    reason: bytes = gdal["CPLGetLastErrorMsg"]()
    for dataset in (made, opened):
        if dataset:
            gdal["GDALClose"](dataset)
    return None if made else reason
