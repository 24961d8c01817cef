"""Scenes and a tiny model for benchmarks: large ones are small on disk, and valid everywhere."""

from pathlib import Path
from xml.etree.ElementTree import Element, ElementTree, SubElement

import numpy as np
import rasterio
from rasterio.transform import from_origin
from rasterio.windows import Window

from geopix2pix.sample import write_sample

PICTURE = 1000  # pixels; the sides of repeated scenes are multiples of it
PLACE = {"crs": "EPSG:32626", "transform": from_origin(600_000, 5_000_000, 0.5, 0.5)}
COLORS = ("Red", "Green", "Blue")


def picture(folder: Path) -> Path:
    """The synthetic region without its corner that was not seen, deflated in tiles, `PICTURE` pixels square."""
    sample = write_sample(folder / "sample", size=1024)
    with rasterio.open(sample / "scene.tif") as dataset:
        data, seen = dataset.read(), dataset.dataset_mask() != 0
    data = np.where(seen, data, data[:, ::-1, ::-1])[:, :PICTURE, :PICTURE]
    return written(folder / "picture.tif", data)


def written(path: Path, data: np.ndarray) -> Path:
    """An 8-bit RGB scene, deflated in tiles of 256 pixels."""
    return tiled(path, data, data.shape[2], data.shape[1])


def tiled(path: Path, data: np.ndarray, width: int, height: int) -> Path:
    """A deflate-tiled scene that repeats `data`, each time in another brightness."""
    form = {"driver": "GTiff", "tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate"}
    size = {"width": width, "height": height, "count": len(data), "dtype": "uint8", "photometric": "rgb"}
    high, wide = data.shape[1:]
    with rasterio.open(path, "w", **form, **size, **PLACE) as out:
        for row, col in np.ndindex(-(-height // high), -(-width // wide)):
            window = Window(col * wide, row * high, min(wide, width - col * wide), min(high, height - row * high))
            shade = np.uint8((7 * row + 13 * col) % 32)
            part = data[:, : int(window.height), : int(window.width)]
            out.write(np.minimum(part, 255 - shade) + shade, window=window)
    return path


def repeated(folder: Path, source: Path, side: int) -> Path:
    """A mosaic that shows `source` side by side: rows are mosaics themselves, so that none has very many sources."""
    count = side // PICTURE
    row = _mosaic(folder / f"row-{side}.vrt", source, (side, PICTURE), [(n * PICTURE, 0) for n in range(count)])
    return _mosaic(folder / f"scene-{side}.vrt", row, (side, side), [(0, n * PICTURE) for n in range(count)])


def _mosaic(path: Path, source: Path, size: tuple[int, int], places: list[tuple[int, int]]) -> Path:
    root = Element("VRTDataset", rasterXSize=str(size[0]), rasterYSize=str(size[1]))
    SubElement(root, "SRS").text = str(PLACE["crs"])
    SubElement(root, "GeoTransform").text = ", ".join(map(str, PLACE["transform"].to_gdal()))
    width = size[0] if source.suffix == ".vrt" else PICTURE
    for index, color in enumerate(COLORS, 1):
        band = SubElement(root, "VRTRasterBand", dataType="Byte", band=str(index))
        SubElement(band, "ColorInterp").text = color
        for col, row in places:
            part = SubElement(band, "SimpleSource")
            SubElement(part, "SourceFilename", relativeToVRT="1").text = source.name
            SubElement(part, "SourceBand").text = str(index)
            SubElement(part, "SrcRect", xOff="0", yOff="0", xSize=str(width), ySize=str(PICTURE))
            SubElement(part, "DstRect", xOff=str(col), yOff=str(row), xSize=str(width), ySize=str(PICTURE))
    ElementTree(root).write(path)
    return path


def tiny_model(path: Path) -> Path:
    """An exported model of five classes whose network computes next to nothing; windows are those of the default."""
    import torch

    from geopix2pix import networks
    from geopix2pix.architecture import GeneratorSpec
    from geopix2pix.export import export_model
    from geopix2pix.manifest import GroundResolution, Manifest, SourceBands, TargetBands
    from geopix2pix.model import ModelFile, default_model, write_model
    from geopix2pix.normalize import Scaling

    torch.set_num_threads(1)
    default = ModelFile.load(default_model()).manifest
    spec = GeneratorSpec(
        head="palette", out_channels=default.generator.out_channels, norm="none", padding="replicate",
        upsampling="resize", depth=1, width=2, dropout=0.0,
    )  # fmt: skip
    network = networks.generator(spec)
    networks.initialize(network, seed=1, std=0.5)
    manifest = Manifest(
        name="tiny", version="0", package="0", generator=spec,
        source=SourceBands(names=("red", "green", "blue"), dtype="uint8", scaling=Scaling.uniform(0, 255, 3)),
        target=TargetBands(names=("red", "green", "blue"), dtype="uint8", scaling=None, palette=default.target.palette),
        window=default.window, overlap=default.overlap, total_stride=spec.total_stride, receptive_field=None,
        tile_independent=True, ground_resolution=GroundResolution(), temperature=None, provenance={},
    )  # fmt: skip
    trained = path.with_suffix(".safetensors")
    write_model(trained, manifest, {name: tensor.numpy() for name, tensor in networks.weights(network).items()})
    return export_model(trained, path, threads=1)
