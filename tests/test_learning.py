"""The sample can be learned: a tiny network, trained for a stated number of steps, maps a scene it has never seen."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch

from geopix2pix.architecture import GeneratorSpec
from geopix2pix.configuration import TrainingConfig
from geopix2pix.pairs import open_pairs
from geopix2pix.palette import Palette
from geopix2pix.sample import write_sample
from geopix2pix.town import CLASSES
from geopix2pix.training import train

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


@pytest.fixture(scope="module")
def sample(tmp_path_factory) -> Path:
    return write_sample(tmp_path_factory.mktemp("sample") / "town", size=512)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def trained(sample: Path, output: Path, *, depth: int, steps: int, batch: int, rate: float) -> Path:
    """The model file of a U-Net that saw so many batches of crops of 96 pixels."""
    generator = GeneratorSpec(
        head="palette",
        out_channels=len(CLASSES),
        norm="channel",
        padding="replicate",
        upsampling="resize",
        depth=depth,
        width=16,
        dropout=0.0,
    )
    config = TrainingConfig(
        generator=generator,
        adversary="none",
        l1_weight=0.0,
        class_weight=1.0,
        crop=96,
        batch=batch,
        images_per_epoch=steps * batch,
        epochs=1,
        learning_rate=rate,
        betas=(0.9, 0.99),
        symmetry="dihedral",
        validation_crops=4,
        keep="last",
        threads=1,
    )
    return train(open_pairs(sample / "pairs"), output, config, device_name="cpu")


def scores(predicted: np.ndarray, sample: Path) -> tuple[float, np.ndarray]:
    """The accuracy and the intersection over union of each class, where the scene was seen."""
    with rasterio.open(sample / "scene.tif") as scene, rasterio.open(sample / "classes.tif") as classes:
        seen, truth = scene.dataset_mask() > 0, classes.read(1)
    found = [(predicted[seen] == k, truth[seen] == k) for k in range(len(CLASSES))]
    return np.mean(predicted[seen] == truth[seen]), np.array([np.sum(p & t) / np.sum(p | t) for p, t in found])


def test_150_steps_of_a_tiny_network_map_an_unseen_scene(sample, tmp_path):
    from geopix2pix.model import ModelFile
    from geopix2pix.torch_engine import TorchEngine

    model = ModelFile.load(trained(sample, tmp_path / "run", depth=3, steps=150, batch=2, rate=5e-3))
    with rasterio.open(sample / "scene.tif") as scene:
        patch = model.manifest.source.scaling.forward(scene.read())
    predicted = TorchEngine(model, "cpu", threads=1).predict(patch[None])[0].argmax(axis=0)
    accuracy, overlap = scores(predicted, sample)
    assert accuracy > 0.75  # 0.83; the most common class covers 0.51
    assert (overlap > 0.15).all()  # 0.35 for buildings, whose grey roofs look like asphalt at first


@pytest.mark.slow
def test_400_steps_beat_what_colour_alone_can_tell(sample, tmp_path):
    from geopix2pix.translation import translate

    model = trained(sample, tmp_path / "run", depth=4, steps=400, batch=4, rate=4e-3)
    palette = Palette.load(sample / "pairs" / "palette.json")
    with rasterio.open(translate(sample / "scene.tif", tmp_path / "map.tif", model=model, device="cpu")) as result:
        predicted = np.argmin(
            np.abs(result.read()[None] - palette.display[:, :, None, None].astype(int)).sum(1), axis=0
        )
    accuracy, overlap = scores(predicted, sample)
    by_colour, _ = scores(classes_by_colour(sample), sample)
    assert accuracy > 0.88  # 0.91; the best guess by colour alone reaches 0.84
    assert (overlap > 0.6).all()  # 0.73 for buildings
    assert accuracy > by_colour + 0.02


def classes_by_colour(sample: Path) -> np.ndarray:
    """The best guess from a pixel's colour in 16 levels per band, learned from the very scene that it is to tell."""
    with rasterio.open(sample / "scene.tif") as scene, rasterio.open(sample / "classes.tif") as classes:
        levels, truth = scene.read().astype(int) // 16, classes.read(1)
    colour = np.tensordot([256, 16, 1], levels, 1)
    counts = np.zeros((16**3, len(CLASSES)))
    np.add.at(counts, (colour, truth), 1)
    return counts.argmax(axis=1)[colour]
