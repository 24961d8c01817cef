"""Training: it learns, it can be interrupted without a trace, and it refuses what cannot work."""

import json
import random
import resource
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import pytest
import rasterio
import torch
import torch.nn.functional as F
from click.testing import CliRunner
from PIL import Image
from rasterio.transform import from_origin
from safetensors.torch import save_file
from torchmetrics.functional.image.lpips import _LPIPS

from cli.main import main
from cli.report import Report
from geopix2pix import __version__, alarms, checkpoint, losses
from geopix2pix.adversary import Adversary
from geopix2pix.architecture import DiscriminatorSpec, GeneratorSpec
from geopix2pix.configuration import PRESETS, TrainingConfig, configure
from geopix2pix.errors import (
    Cancelled,
    CheckpointError,
    CollapseWarning,
    ConfigError,
    DiscriminatorWarning,
    MisalignmentWarning,
    MonotonyWarning,
    OutputError,
    OverfittingWarning,
    PairsError,
    TrainingError,
    TrainingWarning,
    UnreadableWarning,
)
from geopix2pix.learner import Learner, Pace
from geopix2pix.manifest import GroundResolution
from geopix2pix.measures.perceptual import load_lpips
from geopix2pix.model import ModelFile, default_model
from geopix2pix.outcome import ground_resolution
from geopix2pix.pair import PairSet
from geopix2pix.pairs import open_pairs
from geopix2pix.progress import Event
from geopix2pix.run import Run
from geopix2pix.team import Team
from geopix2pix.training import _Course, _pace, _rate, train
from geopix2pix.validation import scores

COLORS = np.array([[0, 200, 0], [200, 0, 0], [0, 0, 200]], dtype=np.uint8)
PALETTE = {
    "classes": [
        {"name": "land", "color": "00C800", "display": "F2EFE9"},
        {"name": "road", "color": "C80000", "display": "FFFFFF"},
        {"name": "water", "color": "0000C8", "display": "AAD3DF"},
    ],
    "unlabelled": ["808080"],
}


@pytest.fixture(autouse=True)
def one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def pairs(tmp_path: Path) -> PairSet:
    return make_pairs(tmp_path / "town")


def make_pairs(folder: Path, count: int = 6) -> PairSet:
    """Blocks of three classes; the source shows each in a colour of its own, with noise."""
    rng = np.random.default_rng(0)
    seen = np.array([[90, 130, 60], [140, 140, 150], [30, 50, 80]])
    for i in range(count):
        classes = rng.integers(0, 3, (5, 5)).repeat(12, axis=0).repeat(12, axis=1)
        noise = rng.normal(0, 8, (60, 60, 3))
        for side, picture in (
            ("source", (seen[classes] + noise).clip(0, 255).astype(np.uint8)),
            ("target", COLORS[classes]),
        ):
            (folder / side).mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(folder / side / f"{i}.png")
    (folder / "palette.json").write_text(json.dumps(PALETTE))
    return open_pairs(folder, validation=0.34)


def tiny(pairs: PairSet, **changes: Any) -> TrainingConfig:
    """A network that learns in moments, with everything random switched on."""
    generator = GeneratorSpec(
        depth=2, width=8, out_channels=3, head="palette", norm="frozen", padding="replicate", upsampling="resize"
    )
    defaults: dict[str, Any] = {
        "generator": generator,
        "discriminator": DiscriminatorSpec(width=4, layers=1),
        "crop": 32,
        "load_size": 0,
        "scale": (0.7, 1.5),
        "symmetry": "dihedral",
        "jitter": 0.5,
        "batch": 2,
        "epochs": 2,
        "images_per_epoch": 8,
        "learning_rate": 3e-3,
        "threads": 1,
        "validation_crops": 4,
    }
    return configure([pairs], "pix2pix", **{**defaults, **changes})


def resnet(pairs: PairSet, **changes: Any) -> TrainingConfig:
    generator = GeneratorSpec(
        body="encoder", encoder="resnet18", depth=2, decoder_channels=(8, 8), out_channels=3, head="palette",
        norm="frozen", padding="replicate", upsampling="resize",
    )  # fmt: skip
    return tiny(pairs, generator=generator, **changes)


def raster(pairs: PairSet, **changes: Any) -> TrainingConfig:
    generator = GeneratorSpec(depth=2, width=4, norm="batch")
    return tiny(pairs, generator=generator, **changes)


def learner_of(run: Run) -> Learner:
    return Learner(run.config, run.palette, Team(run.config, torch.device("cpu")))


VARIANTS: dict[str, Callable[..., TrainingConfig]] = {
    "palette, frozen, bce, moving average": lambda pairs: tiny(pairs, ema=0.9),
    "two discriminators, matching, warm-up, clipping": lambda pairs: tiny(
        pairs, discriminator_scales=2, matching_weight=1.0, warm_up=1, clip=0.1, ema=0.9
    ),
    "palette, renorm, bf16": lambda pairs: tiny(pairs, norm="renorm", precision="bf16"),
    "raster, batch, no adversary": lambda pairs: raster(pairs, adversary="none", keep="last"),
    "raster, batch, lsgan, load size": lambda pairs: raster(pairs, adversary="lsgan", load_size=36, scale=(1.0, 1.0)),
}


def stop_after(stage: str, done: int) -> Callable[[Event], None]:
    def progress(event: Event) -> None:
        if (event.stage, event.done) == (stage, done):
            raise Cancelled("enough")

    return progress


def contents(output: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(output)): path.read_bytes()
        for path in output.rglob("*")
        if path.is_file() and path.name not in (".lock", "times.jsonl", "report.html")
    }


# --- learning


def test_a_simple_map_is_learned_in_few_steps(pairs: PairSet, tmp_path: Path) -> None:
    config = tiny(pairs, epochs=2, images_per_epoch=80, batch=4, adversarial_weight=0.1, scale=(1.0, 1.0))
    scores: list[dict[str, float]] = []
    train(
        pairs,
        tmp_path / "run",
        config,
        progress=lambda e: scores.append(dict(e.values)) if e.stage == "validate" else None,
    )
    assert scores[-1]["accuracy"] > 0.9 and scores[-1]["mean_iou"] > 0.8


def test_a_raster_is_learned_by_l1_alone(pairs: PairSet, tmp_path: Path) -> None:
    config = raster(pairs, adversary="none", epochs=3, images_per_epoch=80, batch=4)
    losses: list[dict[str, float]] = []
    train(
        pairs,
        tmp_path / "run",
        config,
        progress=lambda e: losses.append(dict(e.values)) if e.stage == "train" else None,
    )
    assert losses[-1].keys() == {"rate", "l1", "generator"}
    assert np.mean([v["l1"] for v in losses[-5:]]) < 0.5 * np.mean([v["l1"] for v in losses[:5]])


@pytest.mark.parametrize("norm", ["frozen", "renorm", "batch"])
def test_a_run_goes_on_from_another_model(pairs: PairSet, tmp_path: Path, norm: Any) -> None:
    start = train(pairs, tmp_path / "first", tiny(pairs, keep="last"))
    options = {"learning_rate": 1e-12, "epochs": 1, "keep": "last", "norm": norm}
    model = train(pairs, tmp_path / "second", configure_from(pairs, start, **options))
    found, expected = ModelFile.load(model), ModelFile.load(start)
    assert found.manifest.provenance["start"] == "model.safetensors"
    for name, tensor in expected.weights.items():
        if norm == "frozen" or "running" not in name:  # other statistics move
            assert np.allclose(found.weights[name], tensor, rtol=1e-3, atol=1e-6), name


def configure_from(pairs: PairSet, start: Path, **changes: Any) -> TrainingConfig:
    plain = {"crop": 32, "load_size": 0, "threads": 1, "images_per_epoch": 8, "batch": 2}
    return configure([pairs], "light", start_from=start, **{**plain, **changes})


def test_the_model_to_start_from_decides_the_network(pairs: PairSet, tmp_path: Path) -> None:
    start = train(pairs, tmp_path / "first", tiny(pairs, epochs=1))
    assert configure_from(pairs, start).generator == ModelFile.load(start).manifest.generator
    with pytest.raises(ConfigError, match="leave one out"):
        configure_from(pairs, start, encoder="resnet18")
    with pytest.raises(ConfigError, match="encoder_weights"):
        configure_from(pairs, start, encoder_weights=start)
    rng = np.random.default_rng(0)
    for side, bands in (("source", 4), ("target", 3)):
        (tmp_path / "four" / side).mkdir(parents=True)
        for number in range(2):
            data = rng.integers(0, 255, (bands, 40, 40), dtype=np.uint8)
            write_tif(tmp_path / "four" / side / f"{number}.tif", data)
    with pytest.raises(ConfigError, match="reads 3 bands .*has 4"):
        configure_from(open_pairs(tmp_path / "four"), start)
    with pytest.raises(ConfigError, match="exported model"):
        configure_from(pairs, default_model(exported=True))


@pytest.mark.parametrize("kind", ["bce", "lsgan", "hinge"])
def test_where_nothing_is_known_nothing_is_learned(pairs: PairSet, tmp_path: Path, kind: str) -> None:
    config = tiny(pairs, adversary=kind, discriminator_scales=2, matching_weight=1.0)
    run = Run.of([pairs], tmp_path, config)
    learner = learner_of(run)
    before = {name: tensor.clone() for name, tensor in learner.tensors().items()}
    item = run.training[0]
    batch = {"source": item["source"][None], "allowed": torch.full_like(item["allowed"], 7)[None]}
    values = learner.step(batch, Pace(), 0)
    assert set(values.values()) == {0.0}
    after = learner.tensors()
    parameters = {name for name, _ in learner.generator.named_parameters(prefix="generator")}
    assert learner.adversary is not None
    parameters |= {name for name, _ in learner.adversary.named_parameters(prefix="discriminator")}
    assert parameters <= before.keys()
    assert all(torch.equal(before[name], after[name]) for name in parameters)
    learner.step({name: tensor[None] for name, tensor in item.items()}, Pace(), 0)
    after = learner.tensors()
    still = {name for name in parameters if torch.equal(before[name], after[name])}
    last = {f"discriminator.scales.{scale}.5.bias" for scale in range(2)}
    assert still == (last if kind == "hinge" else set())  # near zero its two gradients cancel


def batch_of(run: Run, count: int = 2) -> dict[str, torch.Tensor]:
    items = [run.training[number] for number in range(count)]
    return {name: torch.stack([item[name] for item in items]) for name in items[0]}


def lpips_file(path: Path) -> Path:
    torch.manual_seed(0)
    network = _LPIPS(pretrained=False, pnet_rand=True, net="squeeze")
    for layer in network.lins:
        layer.model[-1].weight.data.abs_()
    save_file({name: tensor.clone() for name, tensor in network.state_dict().items()}, path)
    return path


@pytest.mark.parametrize("loss", ["adversarial", "matching", "perceptual"])
def test_unknown_pixels_move_no_picture(pairs: PairSet, tmp_path: Path, loss: str) -> None:
    """Of half known pictures, the gradient of every loss on pictures is zero in the other half."""
    run = Run.of([pairs], tmp_path, tiny(pairs, crop=64, discriminator_scales=2, matching_weight=1.0))
    adversary, source = Adversary(run.config), batch_of(run)["source"]
    known = torch.zeros(2, 64, 64, dtype=torch.bool)
    known[:, :, :32] = True
    output = torch.rand(2, 3, 64, 64, requires_grad=True)
    real = torch.where(known[:, None], torch.rand(2, 3, 64, 64), output.detach())
    seen = torch.where(known[:, None], output, output.detach())
    if loss == "perceptual":
        value = losses.perceptual_loss(load_lpips(lpips_file(tmp_path / "lpips.safetensors")), seen, real)
    else:
        value = getattr(adversary.verdict(source, real, seen, known), loss)
    value.backward()
    assert output.grad is not None
    assert output.grad[..., :32].any() and not output.grad[..., 32:].any()
    assert all(parameter.grad is None for parameter in adversary.parameters())


def test_features_match_where_pictures_do(pairs: PairSet, tmp_path: Path) -> None:
    run = Run.of([pairs], tmp_path, tiny(pairs, matching_weight=1.0, discriminator_scales=3))
    adversary, known = Adversary(run.config), torch.ones(2, 32, 32, dtype=torch.bool)
    source, one, other = batch_of(run)["source"], torch.rand(2, 3, 32, 32), torch.rand(2, 3, 32, 32)
    same, near, far = (
        adversary.verdict(source, one, picture, known).matching for picture in (one, one.lerp(other, 0.1), other)
    )
    assert 0 == same < near < far


def test_each_discriminator_sees_twice_as_far(pairs: PairSet, tmp_path: Path) -> None:
    run = Run.of([pairs], tmp_path, tiny(pairs, discriminator_scales=2))
    adversary, known = Adversary(run.config), torch.ones(1, 32, 32, dtype=torch.bool)
    source, picture = torch.rand(2, 1, 3, 32, 32)
    pair = torch.cat((source, picture), dim=1)
    halved = F.avg_pool2d(pair, 3, 2, 1, count_include_pad=False)
    fine, coarse = adversary.scales
    expected = [losses.adversarial_loss(network(x), True, "bce") for network, x in ((fine, pair), (coarse, halved))]
    found = adversary.verdict(source, picture, picture, known).adversarial
    assert torch.allclose(found, torch.stack(expected).mean())


def moved(learner: Learner, batch: dict[str, torch.Tensor], pace: Pace) -> set[str]:
    """The parameters that a step changes."""
    before = {name: tensor.clone() for name, tensor in learner.tensors().items()}
    learner.step(batch, pace, 0)
    owners = (("generator", learner.generator), ("discriminator", learner.adversary))
    names = {name for owner, network in owners if network for name, _ in network.named_parameters(prefix=owner)}
    return {name for name in names if not torch.equal(learner.tensors()[name], before[name])}


def test_encoder_and_adversary_wait_for_their_epochs(pairs: PairSet, tmp_path: Path) -> None:
    run = Run.of([pairs], tmp_path, resnet(pairs, freeze_encoder=1, warm_up=2, epochs=4))
    learner, batch = learner_of(run), batch_of(run)
    for epoch, (encoder, adversary) in enumerate([(False, False), (True, False), (True, True)]):
        found = moved(learner, batch, _pace(run, _Course(step=epoch * run.steps_per_epoch, epoch=epoch)))
        assert any(".encoder." in name for name in found) == encoder
        assert any(name.startswith("discriminator.") for name in found) == adversary
        assert any(".decoder." in name for name in found)


def test_no_gradient_is_longer_than_allowed(pairs: PairSet, tmp_path: Path) -> None:
    run = Run.of([pairs], tmp_path, tiny(pairs))
    for clip in (0.0, 1e-3):
        learner = learner_of(replace(run, config=replace(run.config, clip=clip)))
        learner.step(batch_of(run), Pace(), 0)
        assert learner.adversary is not None
        for network in (learner.generator, learner.adversary):
            length = torch.stack([p.grad.norm() for p in network.parameters() if p.grad is not None]).norm()
            assert (length <= 1.001e-3) == bool(clip)


def test_a_perceptual_loss_needs_its_network(pairs: PairSet, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="perceptual_weights"):
        tiny(pairs, perceptual_weight=1.0)
    weights = lpips_file(tmp_path / "lpips.safetensors")
    run = Run.of([pairs], tmp_path, tiny(pairs, crop=64, perceptual_weight=1.0, perceptual_weights=weights))
    learner = learner_of(run)
    assert learner.step(batch_of(run), Pace(), 0)["perceptual"] > 0
    assert not any("lpips" in name or "perceptual" in name for name in learner.tensors())


def test_the_rate_is_constant_and_then_falls_to_zero() -> None:
    assert [_rate(done, 0.5) for done in (0, 0.25, 0.5, 0.75, 1)] == [1, 1, 1, 0.5, 0]
    assert [_rate(done, 0) for done in (0, 0.5, 1)] == [1, 1, 1]


def test_the_encoder_may_learn_at_a_rate_of_its_own(pairs: PairSet, tmp_path: Path) -> None:
    run = Run.of([pairs], tmp_path, resnet(pairs, encoder_rate=0.0, adversary="none"))
    learner = learner_of(run)
    before = {name: tensor.clone() for name, tensor in learner.generator.named_parameters()}
    learner.step({name: tensor[None] for name, tensor in run.training[0].items()}, Pace(), 0)
    moved = {name for name, tensor in learner.generator.named_parameters() if not torch.equal(tensor, before[name])}
    assert moved and not any(".encoder." in name for name in moved)


# --- alarms


def shifted_pairs(folder: Path, pixels: int) -> PairSet:
    """Fields with straight borders, and a map of them that lies some columns to the right."""
    rng = np.random.default_rng(1)
    for number in range(6):
        classes = np.zeros((160, 160), dtype=int)
        for _ in range(40):
            row, col, height, width = rng.integers([0, 0, 8, 8], [150, 150, 40, 40])
            classes[row : row + height, col : col + width] = rng.integers(0, 3)
        seen = np.array([[90, 130, 60], [150, 140, 150], [30, 50, 80]])[classes] + rng.normal(0, 5, (160, 160, 3))
        target = COLORS[np.roll(classes, pixels, axis=1)]
        for side, picture in (("source", seen.clip(0, 255).astype(np.uint8)), ("target", target)):
            (folder / side).mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(folder / side / f"{number}.png")
    (folder / "palette.json").write_text(json.dumps(PALETTE))
    return open_pairs(folder, validation=0.34)


@pytest.mark.parametrize("pixels", [0, 4])
def test_pairs_that_lie_beside_each_other_are_told(tmp_path: Path, pixels: int) -> None:
    pairs = shifted_pairs(tmp_path / "fields", pixels)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        train(pairs, tmp_path / "run", tiny(pairs, crop=128, epochs=1))
    found = [str(w.message) for w in told if issubclass(w.category, MisalignmentWarning)]
    assert len(found) == (pixels != 0)
    assert not pixels or 3.8 < float(found[0].split("lie ")[1].split()[0]) < 4.2


def test_a_discriminator_that_has_won_is_told_once(pairs: PairSet, tmp_path: Path) -> None:
    """A generator that learns nothing paints what is easily told from a map."""
    options = {"epochs": 3, "images_per_epoch": 160, "adversarial_weight": 0.0, "l1_weight": 0.0, "class_weight": 0.0}
    config = tiny(pairs, discriminator=DiscriminatorSpec(width=16, layers=2), **options)
    with pytest.warns(DiscriminatorWarning, match="--adversary") as told:
        train(pairs, tmp_path / "run", config)
    assert sum(w.category is DiscriminatorWarning for w in told) == 1
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["alarm"] for line in lines if "alarm" in line].count("DiscriminatorWarning") == 1


def test_a_generator_that_paints_all_alike_is_told(pairs: PairSet, tmp_path: Path) -> None:
    """As it does before it has learned anything."""
    with pytest.warns(CollapseWarning, match="learning rate"):
        train(pairs, tmp_path / "run", raster(pairs, adversary="none", learning_rate=1e-9, epochs=1))


@pytest.mark.parametrize("make", [tiny, raster], ids=["palette", "raster"])
def test_the_variety_of_one_value_is_none(pairs: PairSet, tmp_path: Path, make: Callable[..., TrainingConfig]) -> None:
    run = Run.of([pairs], tmp_path, make(pairs))
    learner = learner_of(run)
    *_, last = learner.generator.parameters()
    for parameter in learner.generator.parameters():
        parameter.data.mul_(0)
    last.data.add_(torch.rand(last.shape))
    figures = scores(run, learner)
    assert figures["variety"] == pytest.approx(0, abs=1e-6)
    (alarm,) = alarms.raised([{"epoch": 1, "validation": figures}], "bce")
    assert type(alarm) is CollapseWarning


def test_a_model_that_learns_raises_no_alarm(pairs: PairSet, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", TrainingWarning)
        train(pairs, tmp_path / "run", tiny(pairs, epochs=2, images_per_epoch=160, adversarial_weight=0.1))


def epochs_of(history: Iterable[float]) -> list[dict[str, Any]]:
    return [{"epoch": i, "validation": {"score": s, "variety": 1.0}} for i, s in enumerate(history, start=1)]


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ([0.5] * 12, False),
        ([0.3, 0.4, 0.5, 0.52, 0.51, 0.53, 0.52, 0.53, 0.52], False),
        ([0.5, 0.5, 0.5, 0.4, 0.5, 0.45, 0.5, 0.5, 0.5], False),
        ([0.2, 0.6, 0.59, 0.58, 0.56, 0.57, 0.55, 0.54, 0.55, 0.5], True),
        ([-0.2, -0.21, -0.22, -0.23, -0.24, -0.25, -0.26, -0.27, -0.28], True),
        ([0.6, 0.5, 0.4, 0.3], False),
    ],
)
def test_a_score_that_falls_for_long_is_told(history: list[float], expected: bool) -> None:
    found = list(alarms.raised(epochs_of(history), "bce"))
    assert [type(alarm) for alarm in found] == [OverfittingWarning] * expected
    assert not expected or f"epoch {history.index(max(history)) + 1}," in str(found[0])


# --- the run folder


def test_the_model_says_what_it_is(pairs: PairSet, tmp_path: Path) -> None:
    path = train(pairs, tmp_path / "streets", tiny(pairs))
    model = ModelFile.load(path)
    manifest = model.manifest
    assert path == tmp_path / "streets" / "model.safetensors"
    assert manifest.name == "streets" and manifest.generator == tiny(pairs).generator
    assert manifest.target.palette == pairs.palette and manifest.target.scaling is None
    assert manifest.tile_independent and manifest.receptive_field is not None
    assert (manifest.window, manifest.overlap, manifest.total_stride) == (512, 128, 4)
    assert "8 steps, 16 crops, seed 0" in manifest.provenance["training"]
    assert "town (4 + 2 for validation)" in manifest.provenance["pairs"]
    assert str(tmp_path) not in json.dumps(manifest.to_json())


def test_a_run_leaves_its_record(pairs: PairSet, tmp_path: Path) -> None:
    events: list[Event] = []
    train(pairs, tmp_path / "run", tiny(pairs), progress=events.append)
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "generator" in line] == list(range(1, 9))
    assert [line["epoch"] for line in lines if "validation" in line] == [1, 2]
    assert [(e.done, e.total) for e in events if e.stage == "train"] == [(n, 8) for n in range(1, 9)]
    described = json.loads((tmp_path / "run" / "config.json").read_text())
    assert described["config"]["crop"] == 32 and described["pairs"][0]["train"] == 4
    with Image.open(tmp_path / "run" / "samples" / "epoch-0002.png") as picture:
        assert picture.size == (3 * 32, 2 * 32) and picture.mode == "RGB"


def test_without_validation_the_last_epoch_is_kept(tmp_path: Path) -> None:
    make_pairs(tmp_path / "town")
    pairs = open_pairs(tmp_path / "town", validation=0)
    path = train(pairs, tmp_path / "run", tiny(pairs))
    assert "weights of epoch 2 of 2" in ModelFile.load(path).manifest.provenance["training"]
    assert (tmp_path / "run" / "samples" / "epoch-0002.png").exists()


def test_the_best_epoch_is_kept(pairs: PairSet, tmp_path: Path) -> None:
    path = train(pairs, tmp_path / "run", tiny(pairs, epochs=3))
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    scores = [line["validation"]["score"] for line in lines if "validation" in line]
    manifest = ModelFile.load(path).manifest
    assert f"weights of epoch {1 + int(np.argmax(scores))} of 3" in manifest.provenance["training"]


def write_tif(path: Path, data: np.ndarray, **profile: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    bands, rows, cols = data.shape
    size = {"count": bands, "height": rows, "width": cols, "dtype": data.dtype.name}
    with rasterio.open(path, "w", driver="GTiff", **size, **profile) as dataset:
        dataset.write(data)


def placed(folder: Path, *places: tuple[str | None, float, float, float]) -> PairSet:
    """Pairs of sources with a reference system, left, top and the side of a pixel."""
    data = np.zeros((3, 8, 8), dtype=np.uint8)
    for i, (crs, left, top, side) in enumerate(places):
        place = {"crs": crs, "transform": from_origin(left, top, side, side)} if crs else {}
        write_tif(folder / "source" / f"{i}.tif", data, **place)
        write_tif(folder / "target" / f"{i}.tif", data)
    return open_pairs(folder, validation=0)


@pytest.mark.parametrize(
    ("place", "low", "high"),
    [
        (("EPSG:32633", 500_000, 5_800_000, 0.5), 0.5 / 0.9996, 0.5 / 0.9996),  # the scale on the meridian of a zone
        (("EPSG:2263", 980_000, 200_000, 1.0), 0.304801, 0.304801),  # feet
        (("EPSG:4326", 10, 60, 1e-5), 0.55800, 1.11412),  # a degree is 55,800 m by 111,412 m there
        (("EPSG:3857", 1_000_000, 8_399_737.89, 1.0), 0.50042, 0.50126),  # at 60 degrees north
    ],
)
def test_the_ground_resolution_is_that_of_the_sources(
    tmp_path: Path, place: tuple[str, float, float, float], low: float, high: float
) -> None:
    found = ground_resolution([placed(tmp_path, place)])
    assert (found.low, found.high) == (pytest.approx(low, rel=1e-5), pytest.approx(high, rel=1e-5))
    assert found.basis == "georeference"


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_the_ground_resolution_covers_all_sources_or_is_unknown(tmp_path: Path) -> None:
    fine, coarse = ("EPSG:32633", 5e5, 58e5, 0.25), ("EPSG:32632", 5e5, 58e5, 2.0)
    sets = [placed(tmp_path / "a", fine), placed(tmp_path / "b", coarse)]
    found = ground_resolution(sets)
    assert (found.low, found.high) == (pytest.approx(0.25 / 0.9996, rel=1e-6), pytest.approx(2 / 0.9996, rel=1e-6))
    assert found.basis == "georeference"
    assert ground_resolution([*sets, placed(tmp_path / "c", fine, (None, 0, 0, 1))]) == GroundResolution()


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_what_no_model_file_can_hold_is_refused_before_the_first_step(pairs: PairSet, tmp_path: Path) -> None:
    wide = np.random.default_rng(0).integers(0, 2**40, (1, 40, 40), dtype=np.int64)
    write_tif(tmp_path / "wide" / "source" / "0.tif", np.zeros((3, 40, 40), dtype=np.uint8))
    write_tif(tmp_path / "wide" / "target" / "0.tif", wide)
    spec = GeneratorSpec(depth=2, out_channels=1)
    with pytest.raises(ConfigError, match=r"target\.dtype.*32 bits, found 'int64'"):
        train(open_pairs(tmp_path / "wide"), tmp_path / "run", tiny(pairs, generator=spec))
    with pytest.raises(ConfigError, match=r"folder 'ru\\x1bn'.*rename"):
        train(pairs, tmp_path / "ru\x1bn", tiny(pairs))
    with pytest.raises(ConfigError, match=r"folder 'to\\nwn'.*rename"):
        train(make_pairs(tmp_path / "to\nwn"), tmp_path / "run", tiny(pairs))
    assert not (tmp_path / "run").exists() and not (tmp_path / "ru\x1bn").exists()


def test_too_little_memory_is_for_users_to_mend(pairs: PairSet, tmp_path: Path) -> None:
    def progress(event: Event) -> None:
        torch.empty(2**60)

    with pytest.raises(ConfigError, match="memory is not enough; give a smaller --batch"):
        train(pairs, tmp_path / "run", tiny(pairs), progress=progress)


# --- interruption


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(
    ("stage", "done"), [("train", 1), ("train", 4), ("train", 6), ("judge", 1), ("validate", 1), ("validate", 2)]
)
def test_an_interrupted_run_ends_as_if_undisturbed(
    pairs: PairSet, tmp_path: Path, variant: str, stage: str, done: int
) -> None:
    config = VARIANTS[variant](pairs)
    train(pairs, tmp_path / "a" / "run", config)
    with pytest.raises(Cancelled):
        train(pairs, tmp_path / "b" / "run", config, progress=stop_after(stage, int(done)))
    assert not (tmp_path / "b" / "run" / "model.safetensors").exists()
    train(pairs, tmp_path / "b" / "run", config)
    whole, resumed = contents(tmp_path / "a" / "run"), contents(tmp_path / "b" / "run")
    assert whole["model.safetensors"] == resumed["model.safetensors"]
    for name in ("log.jsonl", "config.json", "checkpoints/step-000000008.safetensors", "samples/epoch-0002.png"):
        assert whole[name] == resumed[name], name


def test_a_finished_run_gives_the_same_model_again(pairs: PairSet, tmp_path: Path) -> None:
    first = train(pairs, tmp_path / "run", tiny(pairs)).read_bytes()
    steps: list[Event] = []
    again = train(pairs, tmp_path / "run", tiny(pairs), progress=steps.append)
    assert again.read_bytes() == first and not any(event.stage == "train" for event in steps)


def test_loading_processes_change_nothing(pairs: PairSet, tmp_path: Path) -> None:
    alone = train(pairs, tmp_path / "a" / "run", tiny(pairs))
    helped = train(pairs, tmp_path / "b" / "run", tiny(pairs, workers=2))
    assert alone.read_bytes() == helped.read_bytes()


def test_the_random_state_of_the_caller_is_left_alone(pairs: PairSet, tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(pairs, tmp_path / "run", tiny(pairs, epochs=1))
    assert torch.equal(torch.rand(3), expected)


def test_other_options_do_not_continue_a_run(pairs: PairSet, tmp_path: Path) -> None:
    train(pairs, tmp_path / "run", tiny(pairs, epochs=1))
    before = contents(tmp_path / "run")
    with pytest.raises(ConfigError, match=r"config\.epochs was 1, is 2; config\.l1_weight was 100\.0, is 5\.0"):
        train(pairs, tmp_path / "run", tiny(pairs, epochs=2, l1_weight=5.0))
    with pytest.raises(ConfigError, match=r"pairs\[0\]\.name was 'town', is 'village'"):
        train(make_pairs(tmp_path / "village"), tmp_path / "run", tiny(pairs, epochs=1))
    assert contents(tmp_path / "run") == before
    train(pairs, tmp_path / "run", tiny(pairs, epochs=1, workers=1, checkpoint_minutes=1.0))


def test_overwriting_starts_anew(pairs: PairSet, tmp_path: Path) -> None:
    train(pairs, tmp_path / "a" / "run", tiny(pairs, epochs=3, seed=1))
    train(pairs, tmp_path / "a" / "run", tiny(pairs), overwrite=True)
    train(pairs, tmp_path / "b" / "run", tiny(pairs))
    assert contents(tmp_path / "a" / "run") == contents(tmp_path / "b" / "run")


@pytest.mark.parametrize("name", ["config.json", "log.jsonl", "model.safetensors"])
def test_files_of_another_origin_are_replaced_on_request_alone(pairs: PairSet, tmp_path: Path, name: str) -> None:
    (tmp_path / "run").mkdir()
    foreign = tmp_path / "run" / name
    foreign.write_text('{"not": "ours"}\n')
    with pytest.raises(OutputError, match=rf"holds no checkpoints, but other files \({name}\)"):
        train(pairs, tmp_path / "run", tiny(pairs, epochs=1))
    assert foreign.read_text() == '{"not": "ours"}\n'
    train(pairs, tmp_path / "run", tiny(pairs, epochs=1), overwrite=True)
    assert "ours" not in (tmp_path / "run" / "log.jsonl").read_text()


def test_a_run_killed_before_its_first_checkpoint_goes_on(pairs: PairSet, tmp_path: Path) -> None:
    def kill(event: Event) -> None:
        if event.stage == "train":
            raise KeyboardInterrupt

    whole = train(pairs, tmp_path / "a" / "run", tiny(pairs, epochs=1)).read_bytes()
    with pytest.raises(KeyboardInterrupt):
        train(pairs, tmp_path / "b" / "run", tiny(pairs, epochs=1), progress=kill)
    assert train(pairs, tmp_path / "b" / "run", tiny(pairs, epochs=1)).read_bytes() == whole


def test_a_cancelled_command_says_how_to_go_on(pairs: PairSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hear = Report.__call__

    def cancel(report: Report, event: Event) -> None:
        report.cancel()
        hear(report, event)

    monkeypatch.setattr(Report, "__call__", cancel)
    command = ["train", str(tmp_path / "town"), "--output", str(tmp_path / "run"), "--crop", "64", "--batch", "1"]
    command += ["--adversary", "none", "--device", "cpu", "--overwrite"]
    again, on = (CliRunner().invoke(main, arguments) for arguments in (command, command[:-1]))
    assert again.exit_code == on.exit_code == 130
    assert again.stderr == "error: cancelled; the same command without --overwrite goes on\n"
    assert on.stderr == "error: cancelled; give the same command again to go on\n"


def restated(output: Path, **changes: Any) -> None:
    """Put other values into the state of the newest checkpoint of a run."""
    path = checkpoint.numbered(output / "checkpoints")[-1]
    tensors, state = checkpoint.read(path)
    checkpoint.write(path, tensors, {**state, **changes})


@pytest.mark.parametrize("course", [None, {}, {"step": 4, "epoch": 1, "best": None, "phase": 2}, {"step": "4"}])
def test_a_course_that_is_not_known_is_not_continued(pairs: PairSet, tmp_path: Path, course: Any) -> None:
    train(pairs, tmp_path / "run", tiny(pairs, epochs=1))
    restated(tmp_path / "run", course=course)
    with pytest.raises(CheckpointError, match="overwrite"):
        train(pairs, tmp_path / "run", tiny(pairs, epochs=1))


def test_a_run_that_another_version_began_says_so(pairs: PairSet, tmp_path: Path) -> None:
    train(pairs, tmp_path / "run", tiny(pairs, epochs=1))
    _, state = checkpoint.read(checkpoint.numbered(tmp_path / "run" / "checkpoints")[-1])
    restated(tmp_path / "run", engine={**state["engine"], "geopix2pix": "0.0.1"})
    with pytest.warns(TrainingWarning, match=rf"geopix2pix was '0\.0\.1', is '{__version__}'"):
        train(pairs, tmp_path / "run", tiny(pairs, epochs=1))


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_edited_pictures_do_not_continue_a_run(pairs: PairSet, tmp_path: Path) -> None:
    def describe() -> dict[str, Any]:
        pairs = open_pairs(tmp_path / "deep", validation=0)
        return Run.of([pairs], tmp_path / "run", raster(pairs, adversary="none")).describe()

    rng = np.random.default_rng(0)
    for side in ("source", "target"):
        write_tif(tmp_path / "deep" / side / "0.tif", rng.integers(0, 3000, (3, 40, 40), dtype=np.uint16))
    before = describe()
    write_tif(tmp_path / "deep" / "target" / "0.tif", rng.integers(0, 4000, (3, 40, 40), dtype=np.uint16))
    after = describe()
    assert before["pairs"] == after["pairs"], "the names and sizes of the files alone do not tell"
    assert before != after


def test_a_run_that_goes_on_elsewhere_says_so(pairs: PairSet, tmp_path: Path) -> None:
    config = tiny(pairs, threads=None)
    with pytest.raises(Cancelled):
        train(pairs, tmp_path / "run", config, progress=stop_after("train", 3))
    torch.set_num_threads(2)
    with pytest.warns(TrainingWarning, match="threads was 1, is 2"):
        train(pairs, tmp_path / "run", config)


def test_a_folder_is_trained_in_by_one_process_at_a_time(pairs: PairSet, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with filelock.FileLock(tmp_path / "run" / ".lock"), pytest.raises(ConfigError, match="another process"):
        train(pairs, tmp_path / "run", tiny(pairs))


def test_a_loss_that_is_not_finite_ends_the_run(pairs: PairSet, tmp_path: Path) -> None:
    config = tiny(pairs, learning_rate=1e30, adversary="none")
    with pytest.raises(Cancelled):
        train(pairs, tmp_path / "run", config, progress=stop_after("train", 1))
    with pytest.raises(TrainingError, match=r"step 2 gave .*loss (nan|inf).*step-000000001\.safetensors"):
        train(pairs, tmp_path / "run", config)


def test_an_error_in_a_loading_process_stays_one_line(pairs: PairSet, tmp_path: Path) -> None:
    def damage(event: Event) -> None:
        if event.stage == "compare":
            pairs.train[0].source.write_text("no longer a picture")

    with pytest.raises(PairsError) as caught:
        train(pairs, tmp_path / "run", tiny(pairs, workers=1), progress=damage)
    assert str(caught.value).startswith(str(pairs.train[0].source)) and "\n" not in str(caught.value)


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2000])


def test_a_run_goes_without_a_damaged_picture_but_not_without_many(pairs: PairSet, tmp_path: Path) -> None:
    cut_off(pairs.train[1].source)
    with pytest.warns(UnreadableWarning, match=r"1 of 6 pairs cannot be read \(.*source.1\.png") as told:
        path = train(pairs, tmp_path / "run", tiny(pairs))
    assert sum(w.category is UnreadableWarning for w in told) == 1
    assert "town (3 + 2 for validation)" in ModelFile.load(path).manifest.provenance["pairs"]
    cut_off(pairs.validation[0].target)
    with pytest.raises(PairsError, match=r"2 of 6 pairs cannot be read .*source.1\.png.*target.4\.png.*more than 1%"):
        train(pairs, tmp_path / "other", tiny(pairs))
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("make", [tiny, raster], ids=["palette", "raster"])
def test_targets_of_one_colour_are_told(tmp_path: Path, make: Callable[..., TrainingConfig]) -> None:
    make_pairs(tmp_path / "town")
    for path in (tmp_path / "town" / "target").iterdir():
        Image.new("RGB", (60, 60), (200, 0, 0)).save(path)
    pairs = open_pairs(tmp_path / "town", validation=0.34)
    with pytest.warns(MonotonyWarning, match="palette"):
        train(pairs, tmp_path / "run", make(pairs, epochs=1))


def test_one_pair_and_pictures_of_any_sizes_are_learned_from(tmp_path: Path) -> None:
    make_pairs(tmp_path / "town", count=1)
    pairs = open_pairs(tmp_path / "town")
    assert train(pairs, tmp_path / "one", tiny(pairs)).exists()
    make_pairs(tmp_path / "town", count=4)
    for number, size in enumerate([(60, 60), (20, 90), (31, 33), (7, 5)]):
        for side in ("source", "target"):
            path = tmp_path / "town" / side / f"{number}.png"
            with Image.open(path) as picture:
                picture.resize(size, Image.Resampling.NEAREST).save(path)
    pairs = open_pairs(tmp_path / "town", validation=0.5)
    assert train(pairs, tmp_path / "many", tiny(pairs)).exists()


def test_a_disk_that_is_full_leaves_a_run_that_goes_on(pairs: PairSet, tmp_path: Path) -> None:
    whole = train(pairs, tmp_path / "a" / "run", tiny(pairs)).read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(event: Event) -> None:
        if (event.stage, event.done) == ("train", 6):
            resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))

    try:
        with pytest.raises(OutputError, match="free some space"):
            train(pairs, tmp_path / "b" / "run", tiny(pairs), progress=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    left = sorted(path.name for path in (tmp_path / "b" / "run" / "checkpoints").iterdir())
    assert left == ["best.safetensors", "step-000000000.safetensors", "step-000000004.safetensors"]
    assert train(pairs, tmp_path / "b" / "run", tiny(pairs)).read_bytes() == whole


CHILD = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from test_training import make_pairs, tiny, train
pairs = make_pairs(Path(sys.argv[1]) / "town")
train(pairs, Path(sys.argv[1]) / "run", tiny(pairs, epochs=40, images_per_epoch=16))
"""


@pytest.mark.slow
@pytest.mark.parametrize("epochs", [1, 3])
def test_a_killed_run_ends_as_if_undisturbed(tmp_path: Path, epochs: int) -> None:
    """Whatever it was doing when it was killed."""
    folders = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
    command = [sys.executable, "-c", CHILD]
    subprocess.run([*command, str(whole), *folders], check=True, timeout=600)
    with subprocess.Popen([*command, str(killed), *folders]) as child:
        samples = killed / "run" / "samples"
        while len(checkpoint.numbered(killed / "run" / "checkpoints")) < min(epochs, 2) or (
            len(list(samples.glob("*.png"))) < epochs
        ):
            assert child.poll() is None, "the run ended before it could be killed"
            time.sleep(0.01)
        child.send_signal(signal.SIGKILL)
    assert not (killed / "run" / "model.safetensors").exists()
    subprocess.run([*command, str(killed), *folders], check=True, timeout=600)
    one, other = contents(whole / "run"), contents(killed / "run")
    assert one.keys() == other.keys()
    assert all(one[name] == other[name] for name in one)


RECIPE = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from test_training import make_pairs, resnet, train
pairs = make_pairs(Path(sys.argv[1]) / "town")
options = {"norm": "renorm", "ema": 0.9, "clip": 1.0, "discriminator_scales": 2, "matching_weight": 1.0}
options |= {"freeze_encoder": 1, "warm_up": 2, "precision": "bf16", "checkpoint_minutes": 0.01}
train(pairs, Path(sys.argv[1]) / "run", resnet(pairs, epochs=4, images_per_epoch=16, **options))
"""


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_ends_as_if_undisturbed(tmp_path: Path) -> None:
    """With all that the recipe has switched on, at random steps."""
    folders = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
    command = [sys.executable, "-c", RECIPE]
    subprocess.run([*command, str(whole), *folders], check=True, timeout=600)
    log = killed / "run" / "log.jsonl"
    for lines in sorted(random.Random(0).sample(range(3, 33), 3)):  # of about 37
        with subprocess.Popen([*command, str(killed), *folders]) as child:
            while not log.exists() or len(log.read_bytes().splitlines()) < lines:
                assert child.poll() is None, "the run ended before it could be killed"
                time.sleep(0.01)
            child.send_signal(signal.SIGKILL)
    newest = checkpoint.numbered(killed / "run" / "checkpoints")[-1]
    newest.write_bytes(newest.read_bytes()[:-100])  # as a kill between two machines, or a bad disk, might leave it
    subprocess.run([*command, str(killed), *folders], check=True, timeout=600)
    one, other = contents(whole / "run"), contents(killed / "run")
    for found in (one, other):  # when a checkpoint is saved within an epoch is a matter of time
        *earlier, _ = sorted(name for name in found if "checkpoints/step-" in name)
        for name in earlier:
            del found[name]
    assert one.keys() == other.keys()
    assert all(one[name] == other[name] for name in one)


# --- the configuration


def test_the_published_recipe_is_exact() -> None:
    config = PRESETS["pix2pix"]
    assert config.generator == GeneratorSpec() and config.discriminator == DiscriminatorSpec()
    assert (config.batch, config.epochs, config.decay, config.learning_rate) == (1, 200, 0.5, 2e-4)
    assert (config.betas, config.l1_weight, config.adversary, config.adversarial_weight) == (
        (0.5, 0.999),
        100,
        "bce",
        1,
    )
    assert (config.load_size, config.crop, config.symmetry, config.jitter) == (286, 256, "mirror", 0)


def test_presets_fit_the_pairs(pairs: PairSet) -> None:
    light = configure([pairs])
    assert (light.generator.head, light.generator.out_channels, light.generator.norm) == ("palette", 3, "frozen")
    assert configure([pairs], "pix2pix").generator == GeneratorSpec()
    assert configure([pairs], "light", epochs=3).epochs == 3
    with pytest.raises(ConfigError, match="light"):
        configure([pairs], "pix2pixHD")


@pytest.mark.parametrize(
    "changes",
    [
        {"crop": 250},
        {"load_size": 200},
        {"scale": (2.0, 0.5)},
        {"scale": (0.5, float("inf"))},
        {"scale": (1e-9, 1.0)},
        {"scale": (0.5, 2.0), "load_size": 286},
        {"epochs": 0},
        {"batch": 0},
        {"seed": -1},
        {"learning_rate": 0.0},
        {"betas": (1.0, 0.9)},
        {"ema": 1.0},
        {"decay": 1.5},
        {"threads": 0},
        {"encoder_weights": Path("weights.safetensors")},
    ],
)
def test_impossible_options_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"training option {next(iter(changes))}|training option load_size"):
        TrainingConfig(**changes)


def test_a_norm_needs_more_than_one_pixel_to_measure(pairs: PairSet) -> None:
    with pytest.raises(ConfigError, match="option batch is 1, but must be at least 2 where crop is no more than 32"):
        configure([pairs], crop=32, batch=1)
    configure([pairs], crop=32, batch=2)
    configure([pairs], crop=64, batch=1)
    configure([pairs], "pix2pix", crop=256, batch=1)


def test_a_generator_that_does_not_fit_the_pairs_is_refused(pairs: PairSet, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="from 3 bands to 3 bands or classes, the generator from 4 to 3"):
        train(pairs, tmp_path / "run", tiny(pairs, generator=GeneratorSpec(depth=2, in_bands=4)))
    (tmp_path / "town" / "palette.json").unlink()
    with pytest.raises(ConfigError, match="palette head"):
        train(open_pairs(tmp_path / "town"), tmp_path / "run", tiny(pairs))
    assert not (tmp_path / "run").exists()
