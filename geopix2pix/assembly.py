"""From row bands to one file: GDAL copies a mosaic of the parts, and what it wrote is read back and compared."""

import os
from collections.abc import Sequence
from pathlib import Path
from xml.etree.ElementTree import Element, ElementTree, SubElement

import rasterio
from rasterio.dtypes import dtype_rev, typename_fwd

from geopix2pix.errors import OutputError
from geopix2pix.gdal import unreferenced_allowed
from geopix2pix.gdalcopy import copied
from geopix2pix.output import OutputSpec
from geopix2pix.progress import Event, Progress
from geopix2pix.raster import IDENTITY, Georeference
from geopix2pix.rowband import RowBand

BLOCK = 512
COLORS = {"rgb": ("Red", "Green", "Blue"), "gray": ("Gray",)}
PREDICTORS = {"nearest": "NO", "average": "YES"}  # differences of neighbours compress quantities well, classes badly

STEPS = 1000
"""Of copying, and as many of reading what was written."""


def assemble(path: Path, spec: OutputSpec, parts: Sequence[tuple[RowBand, Path]], progress: Progress) -> None:
    """Write the raster that the parts make up to `path`, and compare the two.

    Overviews are made by the COG driver only. There is a mask only if some pixel holds no data.

    Raises:
        OutputError: the file does not hold what the parts hold: the disk is full or broken.
        Cancelled: `progress` asked to stop, which it may also do while GDAL copies.
    """
    step = -1

    def reach(done: float) -> None:
        """Tell how many steps are done, if they are more than before."""
        nonlocal step
        if int(done) > step:
            step = int(done)
            progress(Event("assemble", step, 2 * STEPS, "steps"))

    reach(0)
    mosaic = path.with_suffix(".vrt")
    ElementTree(_mosaic(mosaic.parent, spec, parts)).write(mosaic, encoding="utf-8")
    options = {"COMPRESS": spec.compress, "BIGTIFF": "IF_SAFER", "PREDICTOR": PREDICTORS[spec.resampling]}
    options["NUM_THREADS"] = "ALL_CPUS"  # hides a full disk until the file is read back; its bytes are the same
    if spec.driver == "COG":
        options |= {"BLOCKSIZE": str(BLOCK), "OVERVIEW_RESAMPLING": spec.resampling}
    else:
        predictor = {"NO": "1", "YES": "3" if spec.dtype.startswith("float") else "2"}[options["PREDICTOR"]]
        options |= {"TILED": "YES", "BLOCKXSIZE": str(BLOCK), "BLOCKYSIZE": str(BLOCK), "PREDICTOR": predictor}
    with unreferenced_allowed():
        copied(mosaic, path, spec.driver, options, lambda share: reach(share * STEPS))
    mosaic.unlink()
    for band, _ in parts:
        with unreferenced_allowed():
            whole = band.is_in(path, band.top)
        if not whole:
            raise OutputError(f"{path}: does not hold what was written to it; make room on the disk")
        reach(STEPS + (STEPS - 1) * (band.top + band.height) / spec.height)
    _read_overviews(path)
    reach(2 * STEPS)


def _mosaic(folder: Path, spec: OutputSpec, parts: Sequence[tuple[RowBand, Path]]) -> Element:
    """A VRT in `folder` of the parts, with all that the finished file shall say of itself."""
    root = Element("VRTDataset", rasterXSize=str(spec.width), rasterYSize=str(spec.height))
    _add_georeference(root, spec.georeference)
    metadata = SubElement(root, "Metadata")
    for key, value in sorted(spec.tags.items()):
        SubElement(metadata, "MDI", key=key).text = value
    data_type = typename_fwd[dtype_rev[spec.dtype]]
    colors = ("Palette",) if spec.colors else COLORS[spec.colorinterp]
    for index in range(spec.bands):
        band = SubElement(root, "VRTRasterBand", dataType=data_type, band=str(index + 1))
        if spec.band_names:
            SubElement(band, "Description").text = spec.band_names[index]
        if spec.nodata is not None:
            SubElement(band, "NoDataValue").text = str(spec.nodata)
        SubElement(band, "ColorInterp").text = colors[index] if index < len(colors) else "Undefined"
        if spec.colors:
            table = SubElement(band, "ColorTable")
            for red, green, blue in spec.colors:
                SubElement(table, "Entry", c1=str(red), c2=str(green), c3=str(blue), c4="255")
        _add_sources(band, str(index + 1), folder, spec, parts)
    if spec.nodata is None and any(band.invalid for band, _ in parts):
        mask = SubElement(SubElement(root, "MaskBand"), "VRTRasterBand", dataType="Byte")
        _add_sources(mask, "mask,1", folder, spec, parts)
    return root


def _add_georeference(root: Element, georeference: Georeference) -> None:
    if georeference.crs is not None:
        SubElement(root, "SRS").text = georeference.crs.to_wkt()
    if georeference.transform != IDENTITY:
        SubElement(root, "GeoTransform").text = ", ".join(map(repr, georeference.transform.to_gdal()))
    if georeference.gcps:
        wkt = georeference.gcps_crs.to_wkt() if georeference.gcps_crs is not None else ""
        points = SubElement(root, "GCPList", Projection=wkt)
        for gcp in georeference.gcps:
            place = {"Pixel": gcp.col, "Line": gcp.row, "X": gcp.x, "Y": gcp.y, "Z": gcp.z or 0.0}
            SubElement(points, "GCP", {"Id": gcp.id or ""} | {axis: repr(float(v)) for axis, v in place.items()})


def _add_sources(
    band: Element, source_band: str, folder: Path, spec: OutputSpec, parts: Sequence[tuple[RowBand, Path]]
) -> None:
    for part, path in parts:
        if part.height == 0:
            continue
        source = SubElement(band, "SimpleSource")
        SubElement(source, "SourceFilename", relativeToVRT="1").text = os.path.relpath(path, folder)
        SubElement(source, "SourceBand").text = source_band
        size = {"xSize": str(spec.width), "ySize": str(part.height)}
        SubElement(source, "SrcRect", {"xOff": "0", "yOff": "0"} | size)
        SubElement(source, "DstRect", {"xOff": "0", "yOff": str(part.top)} | size)


def _read_overviews(path: Path) -> None:
    """Decode all overviews; what a full disk has damaged raises."""
    with unreferenced_allowed(), rasterio.open(path, sharing=False) as dataset:
        levels = len(dataset.overviews(1))
    for level in range(levels):
        with unreferenced_allowed(), rasterio.open(path, sharing=False, overview_level=level) as dataset:
            for _, window in dataset.block_windows(1):
                dataset.read(window=window)
                dataset.read_masks(1, window=window)
