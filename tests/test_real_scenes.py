"""The model of the package on real scenes: degrees, alpha, near-infrared tagged as alpha, a mosaic of many files."""

import json
import warnings
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio

from geopix2pix import translate
from geopix2pix.model import default_model
from geopix2pix.raster import RasterReader
from tests.rasters import DATA

SCENES = {
    "vegas": DATA / "scenes" / "vegas" / "scene.tif",
    "naip": DATA / "scenes" / "naip" / "m_4112001_sw_10_060_20220716.tif",
    "naip with near-infrared as alpha": DATA / "scenes" / "naip" / "m_3211605_ne_11_060_20200415.tif",
    "drone": DATA / "scenes" / "drone" / "drone.tif",
}
TILES = DATA / "train" / "banepa-buildings" / "unlabelled"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.data,
    pytest.mark.skipif(not DATA.is_dir(), reason="the real data are not beside this checkout"),
    pytest.mark.skipif(not default_model().is_file(), reason="the package holds no model"),
]


def translated(source: Path, folder: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        output = translate(source, folder / "map.tif", threads=1)
    with rasterio.open(source) as before, rasterio.open(output) as after:
        assert (after.width, after.height) == (before.width, before.height)
        assert after.crs == before.crs
        # GeoTIFF keeps the pixel size and one corner, so that transforms differ in their last bits.
        assert after.transform.almost_equals(before.transform, precision=1e-12 * abs(before.transform.a))
    return output


@pytest.mark.parametrize("name", SCENES)
def test_a_real_scene_becomes_a_map_on_its_own_grid(name: str, tmp_path: Path) -> None:
    output = translated(SCENES[name], tmp_path)
    with (
        RasterReader(SCENES[name], bands=(1, 2, 3)) as reader,
        rasterio.open(output) as dataset,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        assert np.array_equal(dataset.dataset_mask() != 0, reader.read(reader.extent).valid)
        assert json.loads(dataset.tags()["GEOPIX2PIX_BANDS"]) == [1, 2, 3]
        picture = dataset.read()
    assert len(np.unique(picture.reshape(3, -1), axis=1).T) >= 3, "a map of fewer than three classes shows nothing"


def mosaic(folder: Path) -> Path:
    """A VRT of the unlabelled tiles, as gdalbuildvrt makes it."""
    tiles = sorted(TILES.glob("*.tif"))
    datasets = [rasterio.open(tile) for tile in tiles]
    left, top = min(d.bounds.left for d in datasets), max(d.bounds.top for d in datasets)
    step_x, step_y = datasets[0].res
    places = [(round((d.bounds.left - left) / step_x), round((top - d.bounds.top) / step_y)) for d in datasets]
    width, height = max(x for x, _ in places) + 512, max(y for _, y in places) + 512
    root = ElementTree.Element("VRTDataset", rasterXSize=str(width), rasterYSize=str(height))
    ElementTree.SubElement(root, "SRS").text = "EPSG:4326"
    ElementTree.SubElement(root, "GeoTransform").text = f"{left}, {step_x}, 0, {top}, 0, {-step_y}"
    for index, color in enumerate(("Red", "Green", "Blue"), 1):
        band = ElementTree.SubElement(root, "VRTRasterBand", dataType="Byte", band=str(index))
        ElementTree.SubElement(band, "ColorInterp").text = color
        for tile, (x, y) in zip(tiles, places, strict=True):
            source = ElementTree.SubElement(band, "SimpleSource")
            ElementTree.SubElement(source, "SourceFilename", relativeToVRT="0").text = str(tile)
            ElementTree.SubElement(source, "SourceBand").text = str(index)
            ElementTree.SubElement(source, "SrcRect", xOff="0", yOff="0", xSize="512", ySize="512")
            ElementTree.SubElement(source, "DstRect", xOff=str(x), yOff=str(y), xSize="512", ySize="512")
    for dataset in datasets:
        dataset.close()
    path = folder / "banepa.vrt"
    ElementTree.ElementTree(root).write(path)
    return path


def test_a_mosaic_of_sixteen_tiles_becomes_one_map(tmp_path: Path) -> None:
    output = translated(mosaic(tmp_path), tmp_path)
    with rasterio.open(output) as dataset:
        assert (dataset.dataset_mask() == 255).all()
        assert min(dataset.width, dataset.height) >= 2048
