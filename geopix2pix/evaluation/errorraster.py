"""Where a map is wrong, as a raster over the scene, with the style in which QGIS shows it."""

from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, tostring

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.enums import ColorInterp
from rasterio.windows import Window as RasterioWindow

from geopix2pix.evaluation.constant import blocks
from geopix2pix.evaluation.judging import UNKNOWN
from geopix2pix.output import writing
from geopix2pix.raster import Georeference

CLASS_BANDS = ("predicted class", "true class", "wrong")
LEVEL_BANDS = ("mean absolute difference in grey levels",)
BLOCK = 256
WRONG = "#d7301f"


def write_errors(path: Path, errors: npt.NDArray[np.uint8], place: Georeference, classes: tuple[str, ...]) -> None:
    """Write the errors of a scene, (bands, rows, cols) as `judging.error_bands`, as a GeoTIFF and its QGIS style.

    Raises:
        OutputError: they cannot be written.
    """
    bands, height, width = errors.shape
    with (
        writing(path),
        rasterio.open(
            path, "w", driver="GTiff", width=width, height=height, count=bands, dtype="uint8", nodata=UNKNOWN,
            crs=place.crs, transform=place.transform, photometric="minisblack", compress="deflate", predictor=1,
            tiled=True, blockxsize=BLOCK, blockysize=BLOCK, interleave="band", bigtiff="if_safer",
        ) as dataset,
    ):  # fmt: skip
        dataset.descriptions = CLASS_BANDS if classes else LEVEL_BANDS
        dataset.colorinterp = [ColorInterp.gray] + [ColorInterp.undefined] * (bands - 1)
        if classes:
            dataset.update_tags(CLASSES=", ".join(f"{index} {name}" for index, name in enumerate(classes)))
        for window in blocks(width, height):
            rows, cols = window.slices
            dataset.write(errors[:, rows, cols], window=RasterioWindow(*window))
    path.with_suffix(".qml").write_text(_style(bool(classes)), encoding="utf-8")


def _style(of_classes: bool) -> str:
    """Wrong pixels in red over whatever lies below; of pictures the difference from clear to red."""
    root = Element("qgis", version="3.22", styleCategories="Symbology")
    pipe = SubElement(root, "pipe")
    if of_classes:
        renderer = SubElement(pipe, "rasterrenderer", type="paletted", band="3", opacity="1", alphaBand="-1")
        entries = SubElement(renderer, "colorPalette")
        SubElement(entries, "paletteEntry", value="0", color="#ffffff", alpha="0", label="right")
        SubElement(entries, "paletteEntry", value="1", color=WRONG, alpha="255", label="wrong")
    else:
        renderer = SubElement(
            pipe, "rasterrenderer", type="singlebandpseudocolor", band="1", opacity="1", alphaBand="-1",
            classificationMin="0", classificationMax="64",
        )  # fmt: skip
        ramp = SubElement(SubElement(renderer, "rastershader"), "colorrampshader", colorRampType="INTERPOLATED")
        for value, alpha in ((0, 0), (16, 128), (64, 255)):
            SubElement(ramp, "item", value=str(value), color=WRONG, alpha=str(alpha), label=f"{value} levels")
    return '<!DOCTYPE qgis PUBLIC "http://mrcc.com/qgis.dtd" "SYSTEM">\n' + tostring(root, encoding="unicode")
