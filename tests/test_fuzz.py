"""Ten thousand small valid TIFFs with some bytes changed: each is read or refused, in bounded time, by one line."""

import subprocess
import sys
import threading
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from geopix2pix.errors import GeoPix2PixError
from geopix2pix.raster import RasterReader
from tests.rasters import coordinates, write_raster

REPOSITORY = Path(__file__).parents[1]
COUNT = 10_000
SECONDS, START = 10.0, 60.0  # for one file; for a process to begin
MAX_PIXELS = 2**22
TAGS = 600  # bytes at either end of a file, where its headers are


def seeds(folder: Path) -> list[Path]:
    """Small valid files of the kinds that differ in how they are decoded."""
    tiled = {"tiled": True, "blockxsize": 16, "blockysize": 16}
    data, mask = coordinates(3, 48, 40, "uint8"), np.eye(48, 40, dtype=bool)
    kinds = [
        {},
        {"compress": "deflate", **tiled},
        {"compress": "lzw", "predictor": 2},
        {"compress": "zstd", **tiled},
        {"compress": "jpeg", "photometric": "ycbcr", **tiled},
        {"compress": "packbits"},
        {"BIGTIFF": "YES", **tiled},
        {"ENDIANNESS": "BIG", "interleave": "band"},
        {"compress": "deflate", "nodata": 7},
    ]
    files = [write_raster(folder / f"{number}.tif", data, **kind) for number, kind in enumerate(kinds)]
    files.append(write_raster(folder / "mask.tif", data, mask=mask, compress="deflate"))
    files.append(write_raster(folder / "float.tif", data.astype("float32"), compress="deflate", predictor=3))
    files.append(write_raster(folder / "one.tif", data[:1].astype("uint16"), compress="lzw"))
    return files


def mutated(content: bytes, number: int) -> bytes:
    """The same with a few bytes changed, a piece repeated, or the end cut off, as the number says."""
    random, changed = np.random.default_rng(number), bytearray(content)
    for _ in range(int(random.integers(1, 9))):
        near_end = len(changed) - TAGS if random.random() < 0.5 else 0
        at = int(random.integers(max(near_end, 0), min(len(changed), max(near_end, 0) + TAGS)))
        match int(random.integers(0, 5)):
            case 0 | 1:
                changed[at] = int(random.integers(0, 256))
            case 2:
                changed[at : at + 4] = (b"\xff\xff\xff\xff", b"\x00\x00\x00\x80", bytes(4))[int(random.integers(0, 3))]
            case 3:
                changed[at : at + 2] = bytes(changed[at + 12 : at + 14])
            case _:
                changed[int(random.integers(0, len(changed)))] ^= 1 << int(random.integers(0, 8))
    return bytes(changed[: int(random.integers(1, len(changed)))] if random.random() < 0.1 else changed)


def read(path: Path) -> str:
    """How the reading of a file ends."""
    try:
        with RasterReader(path, max_pixels=MAX_PIXELS) as reader:
            reader.read(reader.extent)
            reader.identity()
    except GeoPix2PixError as error:
        assert "\n" not in str(error) and path.name in str(error), error
        return f"refused {type(error).__name__}"
    return "read"


def work(folder: Path, first: int) -> None:
    """Say for each number from the `first` one on what became of its file; for a process of its own."""
    warnings.simplefilter("ignore")
    contents = [file.read_bytes() for file in seeds(folder)]
    for number in range(first, COUNT):
        path = folder / "mutated.tif"
        path.write_bytes(mutated(contents[number % len(contents)], number))
        try:
            ending = read(path)
        except Exception as error:
            ending = f"raised {type(error).__name__}: {error}"
        print(number, " ".join(ending.split()), flush=True)


def watch(child: subprocess.Popen, last: list[float], done: threading.Event) -> None:
    """Kill the process once no file has ended for too long since the `last` one did."""
    while not done.wait(0.5):
        if time.monotonic() - last[0] > SECONDS:
            child.kill()


@pytest.mark.slow
def test_every_mutated_file_is_read_or_refused_and_none_takes_others_with_it(tmp_path: Path) -> None:
    endings: dict[int, str] = {}
    code = "import sys, pathlib, tests.test_fuzz as t; t.work(pathlib.Path(sys.argv[1]), int(sys.argv[2]))"
    while len(endings) < COUNT:
        last = [time.monotonic() + START]
        with subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path), str(len(endings))],
            cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        ) as child:  # fmt: skip
            done = threading.Event()

            watcher = threading.Thread(target=watch, args=(child, last, done), daemon=True)
            watcher.start()
            for line in child.stdout:
                number, _, ending = line.strip().partition(" ")
                endings[int(number)] = ending
                last[0] = time.monotonic()
            done.set()
            watcher.join()
        if len(endings) < COUNT:
            endings[len(endings)] = f"ended the process with {child.returncode}"
            assert sum(e.startswith("ended") for e in endings.values()) < 20, endings[len(endings) - 1]
    kinds = Counter(ending.split(":")[0] for ending in endings.values())
    print(f"\n{COUNT} files: {dict(kinds)}")
    wrong = {number: ending for number, ending in endings.items() if not ending.startswith(("read", "refused"))}
    assert not wrong
    assert kinds["read"] > COUNT / 10
    assert sum(count for kind, count in kinds.items() if kind.startswith("refused")) > COUNT / 10


def test_mutations_are_the_same_each_time() -> None:
    assert [mutated(bytes(900), n) for n in range(50)] == [mutated(bytes(900), n) for n in range(50)]
    assert len({mutated(bytes(900), n) for n in range(50)}) > 40
