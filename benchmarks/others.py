"""The tiled inference of other packages with the weights of the model in the package, for `benchmarks.translate`.

Each is called as its documentation shows, with windows of the same side and overlap, and writes indices of classes.
None of them is needed by geopix2pix: `pip install geodeep geoai-py terratorch torchgeo` into another environment.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from geopix2pix.engine import load_engine, package_model
from geopix2pix.model import ModelFile


def network(threads: int) -> Any:
    """The network of torch, ready to answer with probabilities."""
    import torch

    torch.set_num_threads(threads)
    engine = load_engine(ModelFile.load(package_model("torch")), device="cpu", threads=threads)
    return engine.network


def scaled(data: np.ndarray) -> np.ndarray:
    """8 bits to [-1, 1]."""
    return (data.astype(np.float32) / 127.5 - 1).astype(np.float32)


def written(output: Path, source: Path, classes: np.ndarray) -> None:
    with rasterio.open(source) as dataset:
        profile = dataset.profile | {"count": 1, "photometric": "minisblack", "dtype": "uint8"}
    with rasterio.open(output, "w", **profile) as out:
        out.write(classes.astype(np.uint8), 1)


def geodeep(source: Path, output: Path, window: int, overlap: int, threads: int) -> Callable[[], None]:
    """GeoDeep takes an ONNX file for values in [0, 1] and windows of one side; its smoothing is switched off."""
    import onnx
    from geodeep import geodeep as module
    from geodeep import segment
    from geodeep.segmentation import save_mask_to_raster
    from onnx import helper, numpy_helper

    from geopix2pix.export import export_model

    folder = Path(tempfile.mkdtemp())
    model = onnx.load(export_model(package_model("torch"), folder / "fixed.onnx", window=window, threads=threads))
    name = model.graph.input[0].name
    for node in model.graph.node:
        node.input[:] = ["centred" if used == name else used for used in node.input]
    constants = {"two": np.float32(2), "one": np.float32(1)}
    model.graph.initializer.extend(numpy_helper.from_array(np.array(v), k) for k, v in constants.items())
    model.graph.node.insert(0, helper.make_node("Sub", ["doubled", "one"], ["centred"]))
    model.graph.node.insert(0, helper.make_node("Mul", [name, "two"], ["doubled"]))
    told = {"model_type": '"Segmentor"', "resolution": "1", "tiles_overlap": str(100 * overlap / window)}
    told |= {"seg_thresh": "0", "seg_small_segment": "0"}
    for entry in [entry for entry in model.metadata_props if entry.key in told]:
        model.metadata_props.remove(entry)
    for key, value in told.items():
        model.metadata_props.add(key=key, value=value)
    onnx.save(model, folder / "geodeep.onnx")
    module.median_filter = lambda mask, size: mask

    def work() -> None:
        save_mask_to_raster(
            str(source), segment(str(source), str(folder / "geodeep.onnx"), max_threads=threads), str(output)
        )

    return work


def geoai(source: Path, output: Path, window: int, overlap: int, threads: int) -> Callable[[], None]:
    from geoai.inference import predict_geotiff

    model = network(threads)
    classes = model.generator.spec.out_channels

    def work() -> None:
        predict_geotiff(
            model, str(source), str(output), tile_size=window, overlap=overlap, batch_size=1, num_classes=classes,
            output_dtype="uint8", output_nodata=255, preprocess_fn=scaled, device="cpu", verbose=False,
            postprocess_fn=lambda values: values.argmax(axis=0)[None],
        )  # fmt: skip

    return work


def terratorch(source: Path, output: Path, window: int, overlap: int, threads: int) -> Callable[[], None]:
    import torch
    from terratorch.tasks.tiled_inference import tiled_inference

    model = network(threads)

    def work() -> None:
        with rasterio.open(source) as dataset:
            picture = torch.from_numpy(scaled(dataset.read()))[None]
        with torch.inference_mode():
            answer = tiled_inference(
                model, picture, out_channels=model.generator.spec.out_channels, crop=window, stride=window - overlap,
                delta=overlap // 4, batch_size=1,
            )  # fmt: skip
        written(output, source, answer[0].argmax(dim=0).numpy())

    return work


def torchgeo(source: Path, output: Path, window: int, overlap: int, threads: int) -> Callable[[], None]:
    """The loop of torchgeo's tutorials: a grid sampler, a loader, and windows that are put side by side, cropped."""
    import torch
    from torch.utils.data import DataLoader
    from torchgeo.datasets import RasterDataset, stack_samples
    from torchgeo.samplers import GridGeoSampler

    model = network(threads)

    def work() -> None:
        data = RasterDataset(str(source))
        sampler = GridGeoSampler(data, size=window, stride=window - overlap)
        loader = DataLoader(data, batch_size=1, sampler=sampler, collate_fn=stack_samples)
        with rasterio.open(source) as dataset:
            height, width, transform = dataset.height, dataset.width, dataset.transform
        classes, cut = np.zeros((height, width), np.uint8), overlap // 2
        with torch.inference_mode():
            for sample in loader:
                answer = model(sample["image"] / 127.5 - 1)[0].argmax(dim=0).numpy()
                x, y = corner(sample)
                col, row = (round(v) for v in ~transform @ (x, y))  # may lie outside: the grid begins below on the left
                top, left = (-row if row <= 0 else cut), (-col if col <= 0 else cut)
                bottom = height - row if row + window >= height else window - cut
                right = width - col if col + window >= width else window - cut
                classes[row + top : row + bottom, col + left : col + right] = answer[top:bottom, left:right]
        written(output, source, classes)

    return work


def corner(sample: dict[str, Any]) -> tuple[float, float]:
    """The upper left corner of a sample."""
    bounds = sample["bounds"][0]
    try:
        return float(bounds.minx), float(bounds.maxy)
    except AttributeError:
        x, y = bounds[0], bounds[1]
        return float(x.start), float(y.stop)


OTHERS = {
    "GeoDeep": ("geodeep", geodeep),
    "geoai": ("geoai-py", geoai),
    "terratorch": ("terratorch", terratorch),
    "torchgeo": ("torchgeo", torchgeo),
}


def main(name: str, source: str, output: str, *numbers: str) -> None:
    """Translate a scene and print the seconds, those of loading package and model left out."""
    work = OTHERS[name][1](Path(source), Path(output), *(int(number) for number in numbers))
    begin = time.perf_counter()
    work()
    print(json.dumps({"seconds": time.perf_counter() - begin}))


if __name__ == "__main__":
    main(*sys.argv[1:])
