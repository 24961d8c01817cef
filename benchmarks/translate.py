"""How near a translation comes to the network alone: `python -m benchmarks.translate [--side N] [--overlap N]`.

`--window N` chooses the windows, `--picture FILE` the 8-bit RGB picture that the scene repeats, else a synthetic one.

The floor is the time of forward passes over the pixels of a scene once, without any overlap, reading or writing, by the
fastest engine, window and batch of those that are tried. The scene (4096 pixels square by default, 8 bits, three bands,
deflated in tiles) is then translated with each engine, and the wall time is told as a multiple of the floor: what
overlap adds, and all else, of which the parts are measured one by one: reading and scaling, blending and painting, all
of that and writing with reading back, and the making of the COG. All but the last run beside the network, so that they
do not add up.

With `--against` the same scene goes with the same weights through the tiled inference of other packages, in windows of
the same side that share as many pixels, each in a process of its own; times are without loading. Seams are measured
alike for all: the scene without its first SHIFT rows and columns is translated too, and the share of pixels that change
their class is told, farther than half a window from the borders. `--classic` measures the U-Net of pix2pix with random
weights instead of the model in the package, on 1024 pixels.
"""

import json
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import rasterio

from benchmarks.others import OTHERS
from benchmarks.scenes import classic_model, picture, tiled
from geopix2pix import translation
from geopix2pix.blend import Blender
from geopix2pix.engine import Engine, load_engine, package_model
from geopix2pix.grid import WindowGrid
from geopix2pix.job import Job
from geopix2pix.model import ModelFile
from geopix2pix.planning import planned
from geopix2pix.products import painted
from geopix2pix.progress import Event
from geopix2pix.sight import shown
from geopix2pix.translation import run

ROUNDS = 3
SHIFT = 352  # pixels; a multiple of the network's stride that is none of the step of any window
TRIED = dict.fromkeys(("onnxruntime", "torch"), (512, 1024, 1216, 1536))
BATCHES = (1, 4)
THREADS = 2


def seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def floor(engines: dict[str, Engine], sides: dict[str, tuple[int, ...]]) -> dict[tuple[str, int, int], float]:
    """Seconds a pixel, the least of some rounds, for each engine, window and batch."""
    random, found = np.random.default_rng(0), {}
    for name, engine in engines.items():
        for side in sides[name]:
            for batch in BATCHES if side <= 512 else BATCHES[:1]:
                shape = (batch, engine.manifest.generator.in_bands, side, side)
                patches = random.uniform(-1, 1, shape).astype(np.float32)
                work = partial(answer, engine, patches)
                work()
                repeats = max(ROUNDS, ROUNDS * 1024**2 // (batch * side**2))
                found[name, side, batch] = min(seconds(work) for _ in range(repeats)) / (batch * side**2)
    return found


def answer(engine: Engine, patches: np.ndarray) -> object:
    """What the engine says of a batch, computed as one: on a CPU `predict` takes them one by one."""
    if hasattr(engine, "network"):
        import torch

        with torch.inference_mode():
            return engine.network(torch.from_numpy(patches))
    return engine.predict(patches)


class Recited:
    """An engine that computes nothing: it says what another one said of a window."""

    def __init__(self, engine: Engine, window: int) -> None:
        self.manifest, self.device_type, self.parameters = engine.manifest, "cpu", engine.parameters
        shape = (1, self.manifest.generator.in_bands, window, window)
        self._answer = engine.predict(np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32))

    def predict(self, batch: np.ndarray) -> np.ndarray:
        rows, cols = batch.shape[2:]
        return np.broadcast_to(self._answer[:, :, :rows, :cols], (len(batch), *self._answer.shape[1:2], rows, cols))


@contextmanager
def computed_by(engine: Engine) -> Iterator[None]:
    """Translations are computed by this engine, which is loaded already."""
    known, translation.engine_of = translation.engine_of, lambda job: engine
    try:
        yield
    finally:
        translation.engine_of = known


def stages(job: Job, engine: Engine) -> dict[str, float]:
    """The seconds of each stage of a translation, and of all."""
    marks: list[tuple[str, float]] = []

    def progress(event: Event) -> None:
        if not marks or marks[-1][0] != event.stage:
            marks.append((event.stage, time.perf_counter()))

    begin = time.perf_counter()
    with computed_by(engine):
        run(job, progress=progress)
    end = time.perf_counter()
    times = [*(at for _, at in marks), end]
    return {name: times[n + 1] - times[n] for n, (name, _) in enumerate(marks)} | {"all": end - begin}


def sizes(grid: WindowGrid) -> list[tuple[int, int]]:
    """Rows and columns of all that is computed."""
    seen = [grid.seen_at(column, row) for row in range(grid.rows) for column in range(grid.columns)]
    return [(window.height, window.width) for window in seen]


def passes(engine: Engine, grid: WindowGrid) -> float:
    """The seconds of the network alone for all windows."""
    bands = engine.manifest.generator.in_bands
    patches = {size: np.zeros((1, bands, *size), np.float32) for size in set(sizes(grid))}
    return sum(seconds(partial(engine.predict, patches[size])) for size in sizes(grid))


def reading(job: Job) -> float:
    """The seconds of reading and scaling all windows."""
    grid = job.grid
    with shown(job) as scene:
        area = scene(grid)
        places = [(column, row) for row in range(grid.rows) for column in range(grid.columns)]
        return seconds(lambda: [job.scaling.forward(area.read(grid.seen_at(*place)).data) for place in places])


def blending(job: Job, engine: Engine) -> float:
    """The seconds of blending and painting all windows."""
    grid, window = job.grid, job.grid.window
    values = np.random.default_rng(0).random((engine.manifest.generator.out_channels, window, window), np.float32)
    blender = Blender(grid, len(values))

    def work() -> None:
        for row in range(grid.rows):
            for column in range(grid.columns):
                painted("map", blender.add(column, row, values)[1], engine.manifest)

    return seconds(work)


def report(job: Job, engine: Engine, fastest: float) -> float:
    """Print the table of one translation; the seconds of all. The output of the job is its map afterwards."""
    pixels = job.grid.width * job.grid.height
    least = fastest * pixels
    mute = stages(job, Recited(engine, job.grid.window))
    runs = [stages(job, engine) for _ in range(ROUNDS)]
    best = min(runs, key=lambda found: found["all"])
    network, read, blend = passes(engine, job.grid), reading(job), blending(job, engine)
    overlap = sum(rows * cols for rows, cols in sizes(job.grid)) / pixels
    wall = best["all"]
    rounds = ", ".join(f"{found['all']:.2f}" for found in runs)
    print(
        f"{engine.parameters['engine']}, {THREADS} threads, windows of {job.grid.window} that share {job.grid.overlap}"
    )
    print(f"floor {least:.2f} s; wall {wall:.2f} s (best of {rounds})")
    print(f"wall : floor         {wall / least:5.2f}   = overlap x all else")
    print(f"  overlap            {overlap:5.2f}   pixels computed for each pixel of the scene")
    print(f"  all else           {wall / least / overlap:5.2f}   the engine, its windows, what is not hidden")
    for name, value in (
        ("network", network),
        ("read, scale", read),
        ("blend, paint", blend),
        ("all but network", mute["translate"]),
        ("COG", best["assemble"]),
    ):
        print(f"  {name:18} {value / least:5.2f}   of the floor, measured alone")
    hidden = network + mute["translate"] + best["assemble"] - wall
    print(f"  at the same time   {hidden / least:5.2f}   of the floor")
    return wall


def changed(whole: Path, part: Path, margin: int) -> float:
    """The share of pixels whose class is another in the map of a scene without its first rows and columns."""
    found = []
    for path, shift in ((whole, SHIFT), (part, 0)):
        with rasterio.open(path) as dataset:
            found.append(dataset.read()[:, shift:, shift:][:, margin:-margin, margin:-margin])
    return float((found[0] != found[1]).any(axis=0).mean())


def without_first(scene: Path, path: Path) -> Path:
    """A scene without its first `SHIFT` rows and columns."""
    with rasterio.open(scene) as dataset:
        data = dataset.read()[:, SHIFT:, SHIFT:]
    return tiled(path, data, data.shape[2], data.shape[1])


def against(scene: Path, walls: dict[str, float], job: Job, folder: Path) -> None:
    """Print the times and seams of other packages beside ours with each engine, of which the last has made the map."""
    part, margin = without_first(scene, folder / "part.tif"), job.grid.window // 2
    own = folder / "own-part.tif"
    told = {"threads": THREADS, "window": job.grid.window, "overlap": job.grid.overlap}
    run(planned(part, own, model=job.model, **told, overwrite=True))
    for name, wall in walls.items():
        print(f"geopix2pix, {name:12} {wall:6.2f} s")
    print(f"geopix2pix {100 * changed(job.output, own, margin):5.2f} % of the pixels change")
    for name, (package, _) in OTHERS.items():
        outputs = [folder / f"{package}-{number}.tif" for number in range(2)]
        command = [sys.executable, "-W", "ignore", "-m", "benchmarks.others", name]
        given = [str(job.grid.window), str(job.grid.overlap), str(THREADS)]
        took = []
        for source, output in zip((scene, part), outputs, strict=True):
            call = [*command, str(source), str(output), *given]
            done = subprocess.run(call, check=False, capture_output=True, text=True)
            if done.returncode:
                reason = done.stderr.strip().splitlines()[-1:]
                print(f"{name:18} not measured ({' '.join(reason):.120}); pip install {package} into this environment")
                break
            took.append(json.loads(done.stdout.splitlines()[-1])["seconds"])
        else:
            share = 100 * changed(*outputs, margin)
            times = ", ".join(f"{took[0] / wall:.2f} times {engine}" for engine, wall in walls.items())
            print(f"{name:18}  {took[0]:6.2f} s    {share:5.2f} %    {times}")


def main(arguments: list[str]) -> None:
    """Measure what was asked for."""
    classic = "--classic" in arguments
    number = {name: int(value) for name, value in pairwise(arguments) if value.isdigit()}
    side, overlap, window = (
        number.get("--side", 1024 if classic else 4096),
        number.get("--overlap"),
        number.get("--window"),
    )
    given = next((value for name, value in pairwise(arguments) if name == "--picture"), None)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with rasterio.open(given or picture(folder)) as dataset:
            data = dataset.read((1, 2, 3))
        scene = tiled(folder / "scene.tif", data, side, side)
        if classic:
            trained, exported = classic_model(folder)
            models = {"torch": trained, "onnxruntime": exported}
            tried: dict[str, tuple[int, ...]] = dict.fromkeys(models, (256,))
        else:
            models = {name: package_model(name) for name in ("torch", "onnxruntime")}
            tried = TRIED
        engines = {
            name: load_engine(ModelFile.load(path), device="cpu", threads=THREADS) for name, path in models.items()
        }
        times = floor(engines, tried)
        for (name, wide, batch), value in sorted(times.items(), key=lambda item: item[1]):
            print(f"{name:12} window {wide:5}, batch {batch}: {1e6 * value:6.3f} s for a million pixels")
        told = {"threads": THREADS, "window": window, "overlap": overlap}
        walls = {}
        for name in ("torch", "onnxruntime"):  # the last one is what a CPU gets without being asked
            job = planned(scene, folder / "map.tif", model=models[name], **told, overwrite=True)
            walls[name] = report(job, engines[name], min(times.values()))
        if "--against" in arguments:
            against(scene, walls, job, folder)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(sys.argv[1:])
