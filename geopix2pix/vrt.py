"""Mosaics of rasters in GDAL's VRT format: one file of names and places, through which many show as one."""

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from os.path import relpath
from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import Element, SubElement, tostring

from affine import Affine
from rasterio.crs import CRS
from rasterio.dtypes import dtype_rev, typename_fwd
from rasterio.enums import MaskFlags

from geopix2pix.errors import OutputError, SceneError
from geopix2pix.gdal import MAX_VRT_BYTES, guarded, open_dataset
from geopix2pix.ground import name
from geopix2pix.output import check_target, write_bytes

MAX_SIDE = 2**31 - 1  # pixels that GDAL counts along an axis
MAX_CODE = 40  # letters of the name of a reference system, which a file may make up
SNAP = 0.01
"""Pixels by which a raster may miss the grid of the mosaic and still lie on it: degrees in GeoTIFFs are rounded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sheet:
    """What a mosaic has to know of a raster."""

    path: Path
    width: int
    height: int
    crs: CRS
    transform: Affine
    dtype: str
    bands: tuple[tuple[str, str], ...]
    """Name and colour interpretation of each."""
    nodata: float | None
    by_mask: bool
    """Whether a mask tells what is valid, and not nodata alone."""
    colors: tuple[tuple[int, ...], ...]

    @property
    def kind(self) -> tuple[object, ...]:
        """What the rasters of one mosaic have in common."""
        return self.crs.to_wkt(), self.dtype, self.bands, str(self.nodata), self.by_mask, self.colors


class Mosaics(NamedTuple):
    """What was made of some rasters."""

    paths: tuple[Path, ...]
    missing: tuple[str, ...]
    """Why rasters show in none of these."""


def write_mosaics(target: Path, files: Sequence[Path]) -> Mosaics:
    """Write a VRT of all `files` to `target`; one for each reference system if they have several.

    Where rasters overlap the last one is seen, as far as it is valid. What no raster covers is masked. The pixels are
    those of the finest raster. Files that do not tell where they lie, are rotated, or hold other bands are left out.

    Raises:
        RasterError: a file cannot be read.
        OutputError: a VRT cannot be written.
    """
    groups: dict[tuple[object, ...], list[_Sheet]] = {}
    missing = []
    for file in files:
        sheet = _sheet(file)
        if isinstance(sheet, str):
            missing.append(f"{file}: {sheet}")
        else:
            groups.setdefault(sheet.kind, []).append(sheet)
    paths: list[Path] = []
    for sheets in groups.values():
        plain = re.sub("[^a-z0-9]+", "-", name(sheets[0].crs).lower()).strip("-")[:MAX_CODE]
        code = "" if len(groups) == 1 else f"-{plain}"
        path = target.with_stem(target.stem + code)
        if path in paths:  # other bands in the same reference system
            path = target.with_stem(f"{target.stem}{code}-{len(paths) + 1}")
        try:
            data = _text(path.parent, sheets)
        except OutputError as error:
            missing.append(f"{path}: {error}")
            continue
        write_bytes(path, data)
        paths.append(path)
    return Mosaics(tuple(paths), tuple(missing))


def write_mosaic(target: Path, files: Sequence[Path], *, overwrite: bool = False) -> Path:
    """Write a VRT of `files` that lie side by side on one grid to `target`; its path.

    Where they overlap the last one is seen, as far as it is valid. A VRT that is there and holds just that stays as it
    is, with its date.

    Raises:
        RasterError: a file cannot be read.
        SceneError: a file does not tell where it lies, or differs from the first one; the message says in what.
        OutputError: `target` is something else and `overwrite` is false, or cannot be written.
    """
    sheets: list[_Sheet] = []
    for file in files:
        sheet = _sheet(file)
        found = sheet if isinstance(sheet, str) else _difference(sheets[0], sheet) if sheets else None
        if isinstance(sheet, str) or found is not None:
            raise SceneError(f"{file}: {found}; make it fit with gdalwarp or gdal_translate, or leave it out")
        sheets.append(sheet)
    try:
        data = _text(target.parent, sheets)
    except OutputError as error:
        raise OutputError(f"{target}: {error}; take fewer files, or a mosaic of mosaics") from error
    if not (target.is_file() and target.stat().st_size == len(data) and target.read_bytes() == data):
        check_target(target, overwrite=overwrite)
        write_bytes(target, data)
    return target


def _difference(first: _Sheet, other: _Sheet) -> str | None:
    """What keeps a raster from lying beside the first one of a mosaic; None if nothing does."""
    across, down = (other.transform.a / first.transform.a, other.transform.e / first.transform.e)
    off = max(abs(x - round(x)) for x in ~first.transform * (other.transform.c, other.transform.f))
    if first.crs != other.crs:
        found = f"lies in {name(other.crs)}, {first.path} in {name(first.crs)}"
    elif max(abs(across - 1) * other.width, abs(down - 1) * other.height) > SNAP:
        sizes = (f"{s.transform.a:.9g} x {-s.transform.e:.9g}" for s in (other, first))
        found = f"has pixels of {next(sizes)} units, {first.path} of {next(sizes)}"
    elif off > SNAP:
        found = f"lies {off:.2f} pixels beside the grid of {first.path}"
    elif (len(first.bands), first.dtype) != (len(other.bands), other.dtype):
        found = f"holds {len(other.bands)} bands of {other.dtype}, {first.path} {len(first.bands)} of {first.dtype}"
    elif first.bands != other.bands or first.colors != other.colors:
        found = f"has other names or colours of bands than {first.path}"
    elif (str(first.nodata), first.by_mask) != (str(other.nodata), other.by_mask):
        kinds = (f"{s.nodata}{' and a mask' if s.by_mask and s.nodata is not None else ''}" for s in (other, first))
        found = f"has the nodata value {next(kinds)}, {first.path} has {next(kinds)}"
    else:
        return None
    return found


def _text(folder: Path, sheets: Sequence[_Sheet]) -> bytes:
    """The VRT of rasters, to lie in a folder.

    Raises:
        OutputError: there are too many, or too far apart.
    """
    data: bytes = tostring(_mosaic(folder, sheets), encoding="utf-8")
    if len(data) > MAX_VRT_BYTES:
        raise OutputError(f"a VRT of {len(sheets)} rasters is above {MAX_VRT_BYTES} bytes")
    return data


def _sheet(path: Path) -> _Sheet | str:
    """What is to be known of a raster, or why it can be in no mosaic."""
    with open_dataset(path, max_pixels=2**62) as dataset, guarded(path, "open it for a mosaic"):
        t = dataset.transform
        if dataset.crs is None or t == Affine.identity():
            return "does not tell where it lies"
        if t.b or t.d or t.a <= 0 or t.e >= 0:
            return "is rotated or mirrored"
        if len(set(dataset.dtypes)) > 1 or len(set(map(str, dataset.nodatavals))) > 1:
            return "has bands of several data types or nodata values"
        colors: tuple[tuple[int, ...], ...] = ()
        with suppress(ValueError):  # as it is for a band without a table
            colors = tuple(dataset.colormap(1).values())
        named = zip(dataset.descriptions, dataset.colorinterp, strict=True)
        return _Sheet(
            path=path,
            width=dataset.width,
            height=dataset.height,
            crs=dataset.crs,
            transform=t,
            dtype=dataset.dtypes[0],
            bands=tuple((label or "", color.name) for label, color in named),
            nodata=dataset.nodata,
            by_mask=dataset.nodata is None or MaskFlags.per_dataset in dataset.mask_flag_enums[0],
            colors=colors,
        )


def _mosaic(folder: Path, sheets: Sequence[_Sheet]) -> Element:
    first = sheets[0]
    across, down = min(s.transform.a for s in sheets), min(-s.transform.e for s in sheets)
    left, top = min(s.transform.c for s in sheets), max(s.transform.f for s in sheets)
    grid = Affine(across, 0, left, 0, -down, top)
    places = [_place(sheet, grid) for sheet in sheets]
    width, height = (max(round(p[axis] + p[axis + 2]) for p in places) for axis in (0, 1))
    if max(width, height) > MAX_SIDE:
        raise OutputError(f"a mosaic of {width} x {height} pixels is above {MAX_SIDE} along an axis")
    root = Element("VRTDataset", rasterXSize=str(width), rasterYSize=str(height))
    SubElement(root, "SRS").text = first.crs.to_wkt()
    SubElement(root, "GeoTransform").text = ", ".join(map(repr, grid.to_gdal()))
    data_type = typename_fwd[dtype_rev[first.dtype]]
    for number, (label, color) in enumerate(first.bands, 1):
        band = SubElement(root, "VRTRasterBand", dataType=data_type, band=str(number))
        if label:
            SubElement(band, "Description").text = label
        if first.nodata is not None:
            SubElement(band, "NoDataValue").text = f"{first.nodata:.17g}"
        SubElement(band, "ColorInterp").text = color.capitalize()
        if first.colors:
            table = SubElement(band, "ColorTable")
            for entry in first.colors:
                SubElement(table, "Entry", {f"c{i}": str(value) for i, value in enumerate(entry, 1)})
        _add_sources(band, str(number), folder, sheets, places)
    if first.by_mask:
        mask = SubElement(SubElement(root, "MaskBand"), "VRTRasterBand", dataType="Byte")
        _add_sources(mask, "mask,1", folder, sheets, places)
    return root


def _place(sheet: _Sheet, grid: Affine) -> tuple[float, float, float, float]:
    """Column, row, width and height of a raster in pixels of the mosaic."""
    col, row = ~grid * (sheet.transform.c, sheet.transform.f)
    wide, high = sheet.width * sheet.transform.a / grid.a, sheet.height * sheet.transform.e / grid.e
    near = (float(round(x)) if abs(x - round(x)) < SNAP else x for x in (col, row, wide, high))
    return next(near), next(near), next(near), next(near)


def _add_sources(
    band: Element, source_band: str, folder: Path, sheets: Sequence[_Sheet], places: Sequence[tuple[float, ...]]
) -> None:
    for sheet, (col, row, wide, high) in zip(sheets, places, strict=True):
        source = SubElement(band, "ComplexSource")
        SubElement(source, "SourceFilename", relativeToVRT="1").text = relpath(sheet.path, folder)
        SubElement(source, "SourceBand").text = source_band
        SubElement(source, "SrcRect", xOff="0", yOff="0", xSize=str(sheet.width), ySize=str(sheet.height))
        SubElement(source, "DstRect", xOff=repr(col), yOff=repr(row), xSize=repr(wide), ySize=repr(high))
        if sheet.by_mask:
            SubElement(source, "UseMaskBand").text = "true"
        if sheet.nodata is not None:
            SubElement(source, "NODATA").text = f"{sheet.nodata:.17g}"
