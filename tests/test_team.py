"""Processes that train together: what each does of it, and that all of it is what one process would have done."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from PIL import Image
from torch import Tensor

from geopix2pix import checkpoint, losses
from geopix2pix.architecture import DiscriminatorSpec, GeneratorSpec
from geopix2pix.configuration import TrainingConfig, configure
from geopix2pix.errors import Cancelled, ConfigError, PairsError
from geopix2pix.pair import PairSet
from geopix2pix.pairs import open_pairs
from geopix2pix.progress import Event
from geopix2pix.run import Run
from geopix2pix.training import train

COLORS = np.array([[0, 200, 0], [200, 0, 0], [0, 0, 200], [128, 128, 128]], dtype=np.uint8)
PALETTE = {
    "classes": [{"name": n, "color": c} for n, c in (("land", "00C800"), ("road", "C80000"), ("water", "0000C8"))],
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
    """Blocks of three classes, of which each picture has another share that is not labelled."""
    rng = np.random.default_rng(0)
    seen = np.array([[90, 130, 60], [140, 140, 150], [30, 50, 80], [99, 99, 99]])
    for i in range(count):
        classes = rng.integers(0, 3, (5, 5))
        classes[rng.random((5, 5)) < i / 10] = 3
        classes = classes.repeat(12, axis=0).repeat(12, axis=1)
        noise = rng.normal(0, 8, (60, 60, 3))
        for side, picture in (
            ("source", (seen[classes] + noise).clip(0, 255).astype(np.uint8)),
            ("target", COLORS[classes]),
        ):
            (folder / side).mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(folder / side / f"{i}.png")
    (folder / "palette.json").write_text(json.dumps(PALETTE))
    return open_pairs(folder, validation=0.34)


def tiny(pairs: PairSet, norm: Any = "channel", **changes: Any) -> TrainingConfig:
    generator = GeneratorSpec(
        depth=2, width=8, out_channels=3, head="palette", padding="replicate", upsampling="resize", dropout=0.0
    )
    defaults: dict[str, Any] = {
        "generator": generator,
        "norm": norm,
        "discriminator": DiscriminatorSpec(width=4, layers=1, norm="channel"),
        "load_size": 0,
        "crop": 32,
        "batch": 4,
        "epochs": 2,
        "images_per_epoch": 16,
        "jitter": 0.5,
        "threads": 1,
        "validation_crops": 4,
        "keep": "last",
    }
    return configure([pairs], "pix2pix", **{**defaults, **changes})


@pytest.mark.parametrize("loss", ["l1", "sets", "bce", "lsgan", "hinge"])
def test_the_losses_of_parts_have_that_of_the_whole_for_their_mean(loss: str) -> None:
    torch.manual_seed(0)
    picture, target = torch.randn(2, 4, 3, 6, 6)
    known = torch.rand(4, 6, 6) > torch.tensor([0.1, 0.9, 0.5, 0.2])[:, None, None]

    def value(rows: slice, shared: losses.Shared) -> Tensor:
        if loss == "l1":
            return losses.l1_loss(picture[rows], target[rows], known[rows], shared)
        if loss == "sets":
            return losses.set_loss(picture[rows], torch.where(known[rows], 1, 7), shared)
        weight = known[rows, None].float()
        return losses.discriminator_loss(picture[rows, :1], target[rows, :1], loss, weight, shared)  # type: ignore[arg-type]

    counts: list[Tensor] = []

    def count(found: Tensor) -> Tensor:
        counts.append(found)
        return found

    halves = [slice(0, 2), slice(2, 4)]
    for half in halves:
        value(half, count)
    middle = len(counts) // 2
    means = [(a + b) / 2 for a, b in zip(counts[:middle], counts[middle:], strict=True)]
    found = []
    for half in halves:
        given = iter(means)
        found.append(value(half, lambda _, given=given: next(given)))  # type: ignore[misc]
    assert torch.allclose(torch.stack(found).mean(), value(slice(0, 4), losses.alone), rtol=1e-6)


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_the_parts_of_a_batch_are_the_batch(pairs: PairSet, tmp_path: Path, parts: int) -> None:
    run = Run.of([pairs], tmp_path, tiny(pairs))
    whole = list(run.batches(1, 4))
    shared = [list(run.batches(1, 4, part, parts)) for part in range(parts)]
    assert [len(batches) for batches in shared] == [3] * parts
    for number, batch in enumerate(whole):
        for name, tensor in batch.items():
            assert torch.equal(tensor, torch.cat([batches[number][name] for batches in shared]))


def weights(model: Path) -> dict[str, Tensor]:
    """Those of the run's last checkpoint, since model files are in half precision."""
    found = checkpoint.load_latest(model.parent / "checkpoints")
    assert found is not None
    return {name: tensor for name, tensor in found.tensors.items() if name.startswith(("generator.", "model."))}


def logged(folder: Path) -> list[dict[str, float]]:
    lines = (folder / "log.jsonl").read_text().splitlines()
    return [entry for entry in map(json.loads, lines) if "generator" in entry]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("norm", "changes"),
    [("channel", {}), ("frozen", {}), ("none", {"discriminator_scales": 2, "matching_weight": 1.0, "clip": 0.5})],
)
def test_two_processes_are_one(pairs: PairSet, tmp_path: Path, norm: str, changes: dict[str, Any]) -> None:
    """With norms that look at no batch: the same losses and the same weights, to the rounding of a sum."""
    one, two = (
        train(pairs, tmp_path / str(n) / "run", tiny(pairs, norm, processes=n, ema=0.9, **changes), device_name="cpu")
        for n in (1, 2)
    )
    for a, b in zip(logged(one.parent), logged(two.parent), strict=True):
        assert a == pytest.approx(b, rel=1e-5, abs=1e-5)
    first, second = weights(one), weights(two)
    start = weights(train(pairs, tmp_path / "start" / "run", tiny(pairs, norm, learning_rate=1e-12), device_name="cpu"))
    for name, tensor in first.items():
        assert (tensor - second[name]).abs().max() < 1e-5, name
    assert max((first[name] - start[name]).abs().max() for name in start) > 1e-3  # they have learned something


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["channel", "batch", "renorm"])
def test_an_interrupted_team_ends_as_if_undisturbed(pairs: PairSet, tmp_path: Path, norm: str) -> None:
    def stop(event: Event) -> None:
        if (event.stage, event.done) == ("train", 5):
            raise Cancelled("enough")

    config = tiny(pairs, norm, processes=2)
    whole = train(pairs, tmp_path / "a" / "run", config, device_name="cpu")
    with pytest.raises(Cancelled):
        train(pairs, tmp_path / "b" / "run", config, device_name="cpu", progress=stop)
    assert train(pairs, tmp_path / "b" / "run", config, device_name="cpu").read_bytes() == whole.read_bytes()


@pytest.mark.slow
def test_what_ails_another_process_is_told_here(pairs: PairSet, tmp_path: Path) -> None:
    """The picture is damaged when the first process has read all that it needs, and the other one has not."""

    def damage(event: Event) -> None:
        for pair in pairs.train:
            pair.source.write_bytes(b"no picture")

    with pytest.raises(PairsError) as caught:
        train(pairs, tmp_path / "run", tiny(pairs, processes=2, epochs=8), device_name="cpu", progress=damage)
    assert "town/source" in str(caught.value) and "\n" not in str(caught.value)


CHILD = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from test_team import make_pairs, tiny, train
if __name__ == "__main__":
    pairs = make_pairs(Path(sys.argv[1]) / "town")
    train(pairs, Path(sys.argv[1]) / "run", tiny(pairs, processes=2, epochs=4000), device_name="cpu")
"""


COMMAND = """
import sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from cli.session import session
from test_team import make_pairs, tiny, train
if __name__ == "__main__":
    pairs = make_pairs(Path(sys.argv[1]) / "town")
    with session("train", "json") as report:
        config = tiny(pairs, processes=2, workers=1, epochs=4000)
        train(pairs, Path(sys.argv[1]) / "run", config, device_name="cpu", progress=report)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="sends signals")
def test_a_signal_to_all_processes_cancels_and_is_no_failure(tmp_path: Path) -> None:
    """Batch systems send it to those that help and to those that read pictures, too."""
    folders = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    line = [sys.executable, "-c", COMMAND, str(tmp_path), *folders]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True, start_new_session=True) as child:
        told = (json.loads(text) for text in child.stdout)
        assert next(event for event in told if event.get("stage") == "train" and event["done"] == 5)
        os.killpg(child.pid, signal.SIGTERM)
        last = list(told)[-1]
    assert (child.returncode, last["event"], last["code"]) == (130, "error", 130), last


@pytest.mark.slow
def test_no_process_outlives_the_first(tmp_path: Path) -> None:
    folders = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    with subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path), *folders]) as child:
        log = tmp_path / "run" / "log.jsonl"
        while not log.exists() or len(log.read_text().splitlines()) < 8:
            assert child.poll() is None, "the run ended before it could be killed"
            time.sleep(0.05)
        others = psutil.Process(child.pid).children(recursive=True)
        child.send_signal(signal.SIGKILL)
    assert others
    _, alive = psutil.wait_procs(others, timeout=60)
    assert not alive


def test_a_run_leaves_its_precision_to_no_other(pairs: PairSet, tmp_path: Path) -> None:
    first = weights(train(pairs, tmp_path / "a" / "run", tiny(pairs, epochs=1), device_name="cpu"))
    lower = weights(train(pairs, tmp_path / "b" / "run", tiny(pairs, epochs=1, precision="bf16"), device_name="cpu"))
    again = weights(train(pairs, tmp_path / "c" / "run", tiny(pairs, epochs=1), device_name="cpu"))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], lower[name]) for name in first)
    assert all(tensor.dtype == torch.float32 for tensor in lower.values())
    assert all(torch.allclose(first[name], lower[name], atol=0.02) for name in first)


@pytest.mark.slow
def test_a_compiled_generator_learns_the_same(pairs: PairSet, tmp_path: Path) -> None:
    plain, compiled = (
        train(pairs, tmp_path / str(c) / "run", tiny(pairs, epochs=1, compiled=c), device_name="cpu")
        for c in (False, True)
    )
    for a, b in zip(logged(plain.parent), logged(compiled.parent), strict=True):
        assert a == pytest.approx(b, rel=1e-3, abs=1e-4)


def test_what_cannot_be_computed_is_refused(pairs: PairSet, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="fp16: CPUs do not train in it"):
        train(pairs, tmp_path / "run", tiny(pairs, precision="fp16"), device_name="cpu")
    with pytest.raises(ConfigError, match="option batch is 4, but must be a multiple of processes, 3"):
        tiny(pairs, processes=3)
    with pytest.raises(ConfigError, match="option precision is 'fp8'"):
        tiny(pairs, precision="fp8")
