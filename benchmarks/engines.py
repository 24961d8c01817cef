"""Torch and ONNX Runtime on the same windows, one thread each, in turns: `engines.py [WINDOW [ROUNDS]]`.

Prints the ratio of their times (of medians, and its range over rounds) and the peak memory of a process of each, with
the default model. Only ratios of one run mean anything: a busy machine slows both.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from statistics import median

import numpy as np

from geopix2pix.engine import load_engine, package_model
from geopix2pix.model import ModelFile

NAMES = ("torch", "onnxruntime")
MEMORY = """
import resource, sys
import numpy as np
from geopix2pix.engine import load_engine, package_model
from geopix2pix.model import ModelFile
name, side = sys.argv[1], int(sys.argv[2])
engine = load_engine(ModelFile.load(package_model(name)), device="cpu", threads=1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for _ in range(3):
    engine.predict(np.zeros((1, 3, side, side), np.float32))
print(before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def seconds(work: Callable[[], object]) -> float:
    """How long `work` takes in processor time, which other processes disturb less than the clock."""
    start = time.process_time()
    work()
    return time.process_time() - start


def memory(name: str, window: int) -> tuple[int, int]:
    """MiB of a process before its first window, and at its peak."""
    command = [sys.executable, "-c", MEMORY, name, str(window)]
    before, peak = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return int(before) >> 10, int(peak) >> 10


def main(window: int, rounds: int) -> None:
    """Measure the default model in both forms."""
    print(f"windows of {window}, {rounds} rounds, one thread, processor time")
    for name in NAMES:  # first: on Linux a child's peak begins at the size of its parent
        before, peak = memory(name, window)
        print(f"{name}: {peak} MiB at the peak of a process, {before} of them before the first window")
    engines = {name: load_engine(ModelFile.load(package_model(name)), device="cpu", threads=1) for name in NAMES}
    patch = np.random.default_rng(0).uniform(-1, 1, (1, 3, window, window)).astype(np.float32)
    for engine in engines.values():
        print(engine.parameters["engine"])
        engine.predict(patch)
    times = [{name: seconds(partial(engines[name].predict, patch)) for name in NAMES} for _ in range(rounds)]
    ratios = [found["torch"] / found["onnxruntime"] for found in times]
    of_medians = median(found["torch"] for found in times) / median(found["onnxruntime"] for found in times)
    print(f"torch : onnxruntime = {of_medians:.2f} (medians), {min(ratios):.2f} to {max(ratios):.2f} in single rounds")


if __name__ == "__main__":
    arguments = [int(argument) for argument in sys.argv[1:3]]
    main(*arguments, *(512, 9)[len(arguments) :])
