"""Tiles per second against a plain loop of rasterio, and memory on a large scene: `python -m benchmarks.tiles`.

Both read the same scene and map, on one grid, and write the same tiles. The plain loop does nothing else; a build also
measures offsets, finds duplicates, reads back what it wrote, keeps a journal, and writes index and manifest. With
`--large` a build of a scene of 20 000 x 20 000 pixels is watched instead: peak memory of each process.
"""

import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import psutil
import rasterio
from rasterio.windows import Window
from rasterio.windows import transform as window_transform

from geopix2pix.sample import write_sample
from geopix2pix.tilesets.building import build
from geopix2pix.tilesets.request import Request

SIDE, SIZE, ROUNDS = 4096, 256, 3
LARGE = 20_000


def scene_of(folder: Path, side: int) -> tuple[Path, Path]:
    """A scene and its map, the synthetic region repeated to `side` pixels, deflated and tiled."""
    sample = write_sample(folder / "sample", size=1024)
    made = []
    for name in ("scene", "map"):
        with rasterio.open(sample / f"{name}.tif") as dataset:
            data, profile = dataset.read(), dataset.profile
        data = np.where(data.max(axis=0) > 0, data, data[:, ::-1, ::-1])  # the corner that was not seen
        profile |= {"width": side, "height": side, "blockxsize": 512, "blockysize": 512, "BIGTIFF": "IF_SAFER"}
        path = folder / f"{name}-{side}.tif"
        with rasterio.open(path, "w", **profile) as out:
            for row, col in np.ndindex(-(-side // 1024), -(-side // 1024)):
                width, height = min(1024, side - 1024 * col), min(1024, side - 1024 * row)
                # A different hue each time, or the repeats would be found to be copies.
                shade = np.uint8((7 * row + 13 * col) % 32 if name == "scene" else 0)
                part = np.minimum(data[:, :height, :width], 255 - shade) + shade
                out.write(part, window=Window(1024 * col, 1024 * row, width, height))
        made.append(path)
    return made[0], made[1]


def plain(source: Path, target: Path, output: Path) -> int:
    """The loop that people write; the number of tiles."""
    count = 0
    with rasterio.open(source) as image, rasterio.open(target) as drawn:
        for row in range(0, image.height, SIZE):
            for col in range(0, image.width, SIZE):
                window = Window(col, row, SIZE, SIZE)
                for name, dataset in (("source", image), ("target", drawn)):
                    data = dataset.read(window=window, boundless=True)
                    (output / name).mkdir(parents=True, exist_ok=True)
                    with rasterio.open(
                        output / name / f"{row}-{col}.tif",
                        "w",
                        driver="GTiff",
                        width=SIZE,
                        height=SIZE,
                        count=3,
                        dtype="uint8",
                        crs=dataset.crs,
                        transform=window_transform(window, dataset.transform),
                        compress="deflate",
                        predictor=2,
                    ) as tile:
                        tile.write(data)
                count += 1
    return count


def request(source: Path, target: Path) -> Request:
    return Request(sources=(str(source),), targets=(str(target),), size=SIZE, coverage=0.01)


def compare(folder: Path) -> None:
    source, target = scene_of(folder, SIDE)
    best: dict[str, float] = {}
    for round_ in range(ROUNDS):
        for name in ("plain loop", "build, 1 process", "build, 2 processes"):
            begin = time.perf_counter()
            if name == "plain loop":
                tiles = plain(source, target, folder / f"plain-{round_}")
            else:
                build(request(source, target), folder / f"{name}-{round_}", workers=int(name.split()[1]))
            best[name] = min(best.get(name, np.inf), time.perf_counter() - begin)
    print(f"{tiles} pairs of {SIZE} x {SIZE}, best of {ROUNDS}")
    for name, seconds in best.items():
        print(f"{name:20} {tiles / seconds:6.1f} pairs/s, {best['plain loop'] / seconds:5.2f} of the plain loop")


def watch(folder: Path) -> None:
    source, target = scene_of(folder, LARGE)
    peaks: dict[int, int] = {}
    done = threading.Event()

    def look() -> None:
        own = psutil.Process()
        while not done.wait(0.2):
            for process in (own, *own.children(recursive=True)):
                try:
                    peaks[process.pid] = max(peaks.get(process.pid, 0), process.memory_info().rss)
                except psutil.NoSuchProcess:
                    continue

    watcher = threading.Thread(target=look)
    before = psutil.Process().memory_info().rss
    watcher.start()
    begin = time.perf_counter()
    build(request(source, target), folder / "tiles", workers=2)
    seconds = time.perf_counter() - begin
    done.set()
    watcher.join()
    tiles = len(list((folder / "tiles" / "source").iterdir()))
    print(f"{LARGE} x {LARGE} pixels, {tiles} pairs in {seconds:.0f} s; {before / 2**20:.0f} MiB before the build")
    for pid, peak in peaks.items():
        print(f"{'this process' if pid == psutil.Process().pid else 'a process of the crew'}: {peak / 2**20:.0f} MiB")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as scratch:
        (watch if "--large" in sys.argv else compare)(Path(scratch))
