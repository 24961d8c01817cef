"""How far torch and ONNX Runtime are from exact arithmetic, in levels of 255: `precision.py`.

Random networks with raster heads answer noise, blocks and ramps; double precision counts as exact. Shows why no two
programs agree on all pixels after rounding, and what the edge in `geopix2pix.parity` has to cover.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from geopix2pix import networks
from geopix2pix.architecture import GeneratorSpec
from geopix2pix.export import export_model
from geopix2pix.manifest import GroundResolution, Manifest, SourceBands, TargetBands
from geopix2pix.model import ModelFile, write_model
from geopix2pix.normalize import Scaling
from geopix2pix.onnx_engine import OnnxEngine
from geopix2pix.torch_engine import TorchEngine, answering

RGB, BYTES = ("red", "green", "blue"), Scaling.uniform(0, 255, 3)
NETWORKS = {
    "pix2pix U-Net, half as wide": GeneratorSpec(width=32),
    "U-Net on ResNet 18": GeneratorSpec(
        body="encoder", encoder="resnet18", depth=3, decoder_channels=(8, 8, 8), upsampling="resize"
    ),
    "U-Net on EfficientNet-lite0": GeneratorSpec(
        body="encoder", encoder="tu-tf_efficientnet_lite0", depth=5, decoder_channels=(64, 32, 16, 8, 8),
        padding="replicate", upsampling="resize", norm="frozen",
    ),
}  # fmt: skip


def written(folder: Path, spec: GeneratorSpec) -> tuple[Path, Path]:
    """A random network as a model file and exported."""
    torch.manual_seed(0)
    network = networks.generator(spec)
    networks.initialize(network, seed=3)
    side = 2 * spec.total_stride
    networks.calibrate(network, [torch.rand(2, 3, side, side) * 2 - 1 for _ in range(4)])
    manifest = Manifest(
        name="random", version="0", package="0", generator=spec,
        source=SourceBands(names=RGB, dtype="uint8", scaling=BYTES),
        target=TargetBands(names=RGB, dtype="uint8", scaling=BYTES, palette=None),
        window=side, overlap=0, total_stride=spec.total_stride, receptive_field=None, tile_independent=False,
        ground_resolution=GroundResolution(), temperature=None, provenance={},
    )  # fmt: skip
    write_model(folder / "m.safetensors", manifest, {n: t.numpy() for n, t in networks.weights(network).items()})
    return folder / "m.safetensors", export_model(folder / "m.safetensors", folder / "m.onnx", threads=1)


def levels(values: np.ndarray) -> np.ndarray:
    """Bands in [-1, 1] on 0 to 255, not rounded."""
    return (values.astype(np.float64) + 1) * 127.5


def main() -> None:
    """Print a line for each network and pair of computations."""
    patches = np.random.default_rng(0).uniform(-1, 1, (2, 3, 512, 512)).astype(np.float32)
    for name, spec in NETWORKS.items():
        with TemporaryDirectory() as folder:
            trained, exported = (ModelFile.load(path) for path in written(Path(folder), spec))
        engine = TorchEngine(trained, "cpu", threads=1)
        with torch.inference_mode():
            exact = answering(trained).double()(torch.from_numpy(patches).double()).numpy()
        answers = {
            "exact": levels(exact),
            "torch": levels(engine.predict(patches)),
            "onnxruntime": levels(OnnxEngine(exported, threads=1).predict(patches)),
        }
        print(name)
        for one, two in (("torch", "exact"), ("onnxruntime", "exact"), ("torch", "onnxruntime")):
            apart = np.abs(answers[one] - answers[two])
            other = (np.rint(answers[one]) != np.rint(answers[two])).any(axis=1).mean()
            print(f"  {one:11} - {two:11}: at most {apart.max():.4f} levels; {other:.1e} of the pixels round otherwise")


if __name__ == "__main__":
    main()
