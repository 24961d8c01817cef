"""Fixtures that more than one test module uses: tiny models, a tiny scene, a synthetic region, a small disk."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: the networks of the tests are tiny

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from geopix2pix.architecture import GeneratorSpec
from geopix2pix.manifest import GroundResolution, Manifest, SourceBands, TargetBands
from geopix2pix.model import write_model
from geopix2pix.normalize import Scaling
from geopix2pix.palette import Palette

RGB = ("red", "green", "blue")


def describe(generator: GeneratorSpec, palette: Palette | None = None) -> Manifest:
    """A manifest for a tiny tile-independent generator of 8-bit RGB pictures."""
    scaling = Scaling.uniform(0, 255, 3)
    return Manifest(
        name="tiny",
        version="1",
        package="0.1.0",
        generator=generator,
        source=SourceBands(names=RGB, dtype="uint8", scaling=scaling),
        target=TargetBands(names=RGB, dtype="uint8", scaling=None if palette else scaling, palette=palette),
        window=64,
        overlap=16,
        total_stride=generator.total_stride,
        receptive_field=30,
        tile_independent=True,
        ground_resolution=GroundResolution(low=0.4, high=0.6, basis="georeference"),
        temperature=None,
        provenance={"weights": "random numbers", "data": "none"},
    )


TINY = {"norm": "none", "padding": "replicate", "upsampling": "resize", "depth": 2, "width": 4, "dropout": 0.0}


@pytest.fixture(scope="session")
def manifest() -> Manifest:
    return describe(GeneratorSpec(**TINY))


@pytest.fixture(scope="session")
def palette_manifest() -> Manifest:
    classes = [
        {"name": "land", "color": "F2EFE9"},
        {"name": "road", "color": "3030FF"},
        {"name": "water", "color": "AAD3DF"},
    ]
    palette = Palette.from_json(
        {"classes": classes, "knows": ["road"], "other": ["FFFFFF"], "unlabelled": ["000000"]}, "palette"
    )
    return describe(GeneratorSpec(head="palette", out_channels=3, **TINY), palette)


@pytest.fixture(scope="session")
def tiny_model(manifest: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file whose network is real, tiny and untrained."""
    from geopix2pix.networks import generator, initialize, weights

    network = generator(manifest.generator)
    initialize(network, seed=1)
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    write_model(path, manifest, {name: tensor.numpy() for name, tensor in weights(network).items()})
    return path


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A georeferenced 8-bit RGB scene of 150 x 110 pixels, whose values say where they are."""
    rows, cols = np.mgrid[0:110, 0:150]
    data = np.stack([rows, cols, (rows + cols) % 256]).astype(np.uint8)
    path = tmp_path_factory.mktemp("scene") / "scene.tif"
    profile = {"driver": "GTiff", "width": 150, "height": 110, "count": 3, "dtype": "uint8", "photometric": "rgb"}
    with rasterio.open(path, "w", crs="EPSG:32633", transform=from_origin(500000, 5800000, 0.5, 0.5), **profile) as d:
        d.write(data)
    return path


@pytest.fixture(scope="session")
def region(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic region of 512 x 512 pixels with its map, vectors and region of interest."""
    from geopix2pix.sample import write_sample

    return write_sample(tmp_path_factory.mktemp("region") / "sample", size=512)


@pytest.fixture(scope="session")
def palette_model(palette_manifest: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file with a palette head, whose network is real, tiny and untrained."""
    from geopix2pix.networks import generator, initialize

    network = generator(palette_manifest.generator)
    initialize(network, seed=2, std=0.3)
    path = tmp_path_factory.mktemp("palette-model") / "tiny.safetensors"
    write_model(path, palette_manifest, {name: tensor.numpy() for name, tensor in network.state_dict().items()})
    return path


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """A function that mounts an empty disk of so many KiB, and when called again gives it another size."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(size: int) -> Path:
        again = "remount," if folder.is_mount() else ""
        command = ["mount", "-t", "tmpfs", "-o", f"{again}size={size}k", "tmpfs", str(folder)]
        if shutil.which("mount") is None or subprocess.run(command, check=False, capture_output=True).returncode:
            pytest.skip("mounting a small disk needs root")
        return folder

    yield mount
    subprocess.run(["umount", str(folder)], check=False, capture_output=True)


@pytest.fixture(scope="session")
def exported_model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`tiny_model` as an ONNX file."""
    from geopix2pix.export import export_model

    return export_model(tiny_model, tmp_path_factory.mktemp("exported") / "tiny.onnx", threads=1)


@pytest.fixture(scope="session")
def exported_palette_model(palette_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`palette_model` as an ONNX file."""
    from geopix2pix.export import export_model

    return export_model(palette_model, tmp_path_factory.mktemp("exported-palette") / "tiny.onnx", threads=1)
