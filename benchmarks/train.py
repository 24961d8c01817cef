"""Images per second of training: `train.py PAIRS [STEPS [ROUNDS [WORKERS]]]`, after `geopix2pix sample`.

In turns, with the preset `light` and one thread: training as it is, with its crops, augmentation and loader; the same
steps on one batch that lies in memory; and the plain loop that research code starts from: one picture a step, opened by
Pillow, cropped and learned from, one after the other. Prints the ratios of images per second, as medians over rounds;
without workers and GPU in processor time, which other processes disturb less than the clock.
Where there is a GPU, also steps in memory in bf16, channels last and compiled against fp32, eager; that part was
written without a GPU and has not been run.
"""

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image

from geopix2pix import device
from geopix2pix.configuration import TrainingConfig, configure
from geopix2pix.dataset import Item
from geopix2pix.learner import Learner, Pace
from geopix2pix.pairs import open_pairs
from geopix2pix.run import Run


def learner_of(run: Run) -> Learner:
    return Learner(run.config, run.palette, device.select("auto"))


def rate(learner: Learner, batches: Iterator[Item], steps: int, workers: int) -> float:
    """Images per second over so many steps."""
    alone = learner.device.type == "cpu" and workers == 0
    clock = time.process_time if alone else time.perf_counter
    start, images = clock(), 0
    for number, batch in enumerate(islice(batches, steps)):
        learner.step(batch, Pace(), number)
        images += len(batch["source"])
    if learner.device.type == "cuda":
        torch.cuda.synchronize()
    return images / (clock() - start)


def forever(batch: Item) -> Iterator[Item]:
    while True:
        yield batch


def plain(run: Run) -> Iterator[Item]:
    """Crops as a first script makes them: open, cut, name the classes, one after the other."""
    rng, crop = np.random.default_rng(0), run.config.crop
    assert run.palette is not None
    while True:
        for pair in run.sets[0].train:
            source, target = (np.asarray(Image.open(path).convert("RGB")) for path in (pair.source, pair.target))
            row, col = (int(rng.integers(0, size - crop + 1)) for size in source.shape[:2])
            source, target = (side[row : row + crop, col : col + crop] for side in (source, target))
            picture = torch.from_numpy(source.transpose(2, 0, 1).astype(np.float32) / 127.5 - 1)
            allowed = run.palette.allowed(np.ascontiguousarray(target.transpose(2, 0, 1)))
            yield {"source": picture[None], "allowed": torch.from_numpy(allowed.astype(np.int64))[None]}


def on_a_gpu(config: TrainingConfig, run: Run, steps: int) -> None:
    """Steps on a batch in memory in two ways; PyTorch's own switches, since only the ratio is asked for."""
    batch = next(run.batches(0, 1))
    eager = learner_of(run)
    fast = learner_of(run)
    fast.generator = torch.compile(fast.generator.to(memory_format=torch.channels_last))  # type: ignore[assignment]

    def autocast() -> float:
        with torch.autocast("cuda", torch.bfloat16):
            return rate(fast, forever(batch), steps, 0)

    ways: dict[str, Callable[[], float]] = {"fp32": lambda: rate(eager, forever(batch), steps, 0), "bf16": autocast}
    found = {}
    for name, way in ways.items():
        way()  # compiles, and fills caches
        found[name] = way()
    print(
        f"bf16, channels last, compiled : fp32, eager = {found['bf16'] / found['fp32']:.2f}, batches of {config.batch}"
    )


def main(pairs: Path, steps: int, rounds: int, workers: int) -> None:
    """Measure and print."""
    torch.set_num_threads(1)
    sets = [open_pairs(pairs)]
    config = configure(sets, threads=1, workers=workers)
    run = Run.of(sets, Path("never-written"), config)
    learner = learner_of(run)
    single = Run.of(sets, Path("never-written"), replace(config, batch=1))
    one = learner_of(single)
    batches, loose = run.batches(0, (steps + 1) * (rounds + 1)), plain(single)
    memory = next(batches)
    ways: dict[str, Callable[[], float]] = {
        "training": lambda: rate(learner, batches, steps, workers),
        "memory": lambda: rate(learner, forever(memory), steps, workers),
        "plain loop": lambda: rate(one, loose, steps, workers),
    }
    for way in ways.values():
        way()  # the first steps fill caches
    found = [{name: way() for name, way in ways.items()} for _ in range(rounds)]
    medians = {name: median(rates[name] for rates in found) for name in ways}
    print(
        f"{config.batch} crops of {config.crop} a step, {steps} steps, {rounds} rounds, {workers} workers, one thread"
    )
    print("images a second: " + ", ".join(f"{name} {value:.3g}" for name, value in medians.items()))
    for name in ("memory", "plain loop"):
        ratios = [rates["training"] / rates[name] for rates in found]
        print(f"training : {name} = {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f} in single rounds)")
    if learner.device.type == "cuda":
        on_a_gpu(config, run, 10 * steps)
    else:
        print("no GPU: bf16 against fp32 was not measured")


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[2:5]]
    main(Path(sys.argv[1]), *numbers, *(4, 5, 0)[len(numbers) :])
