"""Scenes and a tiny model for benchmarks: large ones are small on disk, and valid everywhere."""

from pathlib import Path
from typing import Any
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
    return _filled(path, data, width, height, {"tiled": True, "blockxsize": 256, "blockysize": 256})


def _filled(path: Path, data: np.ndarray, width: int, height: int, layout: dict[str, Any]) -> Path:
    form = {"driver": "GTiff", "compress": "deflate", **layout}
    size = {"width": width, "height": height, "count": len(data), "dtype": "uint8", "photometric": "rgb"}
    high, wide = data.shape[1:]
    with rasterio.open(path, "w", **form, **size, **PLACE) as out:
        for row, col in np.ndindex(-(-height // high), -(-width // wide)):
            window = Window(col * wide, row * high, min(wide, width - col * wide), min(high, height - row * high))
            shade = np.uint8((7 * row + 13 * col) % 32)
            part = data[:, : int(window.height), : int(window.width)]
            out.write(np.minimum(part, 255 - shade) + shade, window=window)
    return path


def striped(folder: Path, source: Path, width: int, height: int) -> Path:
    """A file that shows `source` side by side, deflated in strips as wide as the scene, of one row each."""
    with rasterio.open(source) as dataset:
        return _filled(folder / f"{width}x{height}.tif", dataset.read(), width, height, {"blockysize": 1})


def repeated(folder: Path, source: Path, width: int, height: int) -> Path:
    """A mosaic that shows `source` side by side: rows are mosaics themselves, so that none has very many sources."""
    across, down = (
        [(n * PICTURE, 0) for n in range(width // PICTURE)],
        [(0, n * PICTURE) for n in range(height // PICTURE)],
    )
    row = _mosaic(folder / f"row-{width}.vrt", source, (width, PICTURE), across)
    return _mosaic(folder / f"{width}x{height}.vrt", row, (width, height), down)


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
    """An exported model of five classes whose network is one convolution of single pixels; windows as by default."""
    import onnx
    from onnx import helper, numpy_helper

    from geopix2pix.architecture import GeneratorSpec
    from geopix2pix.model import ModelFile, default_model

    default = ModelFile.load(default_model()).manifest
    spec = GeneratorSpec(
        head="palette", out_channels=default.generator.out_channels, norm="none", padding="replicate",
        upsampling="resize", depth=1, width=2, dropout=0.0,
    )  # fmt: skip
    random_model(path, spec, window=default.window, overlap=default.overlap, independent=True)
    model = onnx.load(path)
    graph = model.graph
    weights = np.random.default_rng(0).normal(0, 4, (spec.out_channels, spec.in_bands, 1, 1)).astype(np.float32)
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.initializer.append(numpy_helper.from_array(weights, "weights"))
    graph.node.append(helper.make_node("Conv", [graph.input[0].name, "weights"], ["logits"]))
    graph.node.append(helper.make_node("Softmax", ["logits"], [graph.output[0].name], axis=1))
    path.write_bytes(model.SerializeToString())
    return path


def classic_model(folder: Path) -> tuple[Path, Path]:
    """The U-Net of pix2pix with random weights, trained and exported; windows of 256 pixels, as published."""
    from geopix2pix.architecture import GeneratorSpec

    return random_model(folder / "classic.onnx", GeneratorSpec(), window=256, overlap=64, independent=False)


def random_model(path: Path, spec: Any, *, window: int, overlap: int, independent: bool) -> tuple[Path, Path]:
    """A model file with random weights, and what is exported of it to `path`."""
    import torch

    from geopix2pix import networks
    from geopix2pix.export import export_model
    from geopix2pix.manifest import GroundResolution, Manifest, SourceBands, TargetBands
    from geopix2pix.model import ModelFile, default_model, write_model
    from geopix2pix.normalize import Scaling

    torch.set_num_threads(1)
    network = networks.generator(spec)
    networks.initialize(network, seed=1)
    side = 2 * spec.total_stride
    networks.calibrate(network, [torch.rand(2, 3, side, side) * 2 - 1])
    palette = ModelFile.load(default_model()).manifest.target.palette if spec.head == "palette" else None
    names, scaling = ("red", "green", "blue"), Scaling.uniform(0, 255, 3)
    manifest = Manifest(
        name=path.stem, version="0", package="0", generator=spec,
        source=SourceBands(names=names, dtype="uint8", scaling=scaling),
        target=TargetBands(names=names, dtype="uint8", scaling=None if palette else scaling, palette=palette),
        window=window, overlap=overlap, total_stride=spec.total_stride, receptive_field=None,
        tile_independent=independent, ground_resolution=GroundResolution(), temperature=None, provenance={},
    )  # fmt: skip
    trained = path.with_suffix(".safetensors")
    write_model(trained, manifest, {name: tensor.numpy() for name, tensor in networks.weights(network).items()})
    return trained, export_model(trained, path, threads=1)
