"""Small files whose headers promise too much: each is translated or refused in one line, in little memory."""

import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import rasterio

REPOSITORY = Path(__file__).parents[1]
SIDE = 16
MEMORY = 700 * 2**10  # KiB at most, of which the libraries and a block of the file take their part
ASCII, SHORT, LONG = 2, 3, 4
# The command line, which tells the peak of the process that translates.
MEASURED = """
import resource, sys
from cli.main import main

try:
    main(sys.argv[1:])
finally:
    print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
"""
WIDTH, HEIGHT, BITS, COMPRESSION, COLORS, DESCRIPTION, OFFSETS, SAMPLES, ROWS, SIZES = (
    256, 257, 258, 259, 262, 270, 273, 277, 278, 279
)  # fmt: skip
TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_SIZES, EXTRA, GEOKEYS, METADATA = 322, 323, 324, 325, 338, 34735, 42112
MOST, FAR = 2**32 - 1, 2**31 - 1  # counts, and sides that GDAL can name
DATA = 400  # where the pixels lie

Tags = dict[int, tuple[int, int, int]]
"""Type, count, and value or its place."""
PLAIN: Tags = {
    WIDTH: (LONG, 1, SIDE),
    HEIGHT: (LONG, 1, SIDE),
    BITS: (SHORT, 1, 8),
    COMPRESSION: (SHORT, 1, 1),
    COLORS: (SHORT, 1, 1),
    OFFSETS: (LONG, 1, DATA),
    SAMPLES: (SHORT, 1, 1),
    ROWS: (LONG, 1, SIDE),
    SIZES: (LONG, 1, SIDE * SIDE),
}
TILED = {tag: value for tag, value in PLAIN.items() if tag not in (OFFSETS, ROWS, SIZES)}
PIXELS = bytes(range(SIDE * SIDE))
LONG_DEFLATED = zlib.compress(PIXELS * 2**19, 9)
XML = PIXELS + b"<GDALMetadata>" + b"<Item name='a'>" * 20_000

FILES: dict[str, tuple[Tags, bytes]] = {
    "plain": (PLAIN, PIXELS),
    "sides": (PLAIN | {WIDTH: (LONG, 1, FAR), HEIGHT: (LONG, 1, FAR)}, b""),
    "one-row": (PLAIN | {WIDTH: (LONG, 1, FAR), HEIGHT: (LONG, 1, 1)}, b""),
    "one-strip": (PLAIN | {WIDTH: (LONG, 1, 60_000), HEIGHT: (LONG, 1, 60_000), ROWS: (LONG, 1, 60_000)}, b""),
    "one-tile": (
        TILED | {WIDTH: (LONG, 1, 60_000), HEIGHT: (LONG, 1, 60_000), TILE_WIDTH: (LONG, 1, 2**16),
                 TILE_HEIGHT: (LONG, 1, 2**16), TILE_OFFSETS: (LONG, 1, DATA), TILE_SIZES: (LONG, 1, 256)},
        PIXELS,
    ),
    "strips": (PLAIN | {OFFSETS: (LONG, MOST, DATA), SIZES: (LONG, MOST, DATA)}, PIXELS),
    "many-strips": (
        PLAIN | {HEIGHT: (LONG, 1, 2**28 + 1), ROWS: (LONG, 1, 1), OFFSETS: (LONG, 2**28, DATA),
                 SIZES: (LONG, 2**28, DATA)},
        PIXELS,
    ),
    "a-long-strip": (PLAIN | {SIZES: (LONG, 1, MOST)}, PIXELS),
    "bands": (PLAIN | {SAMPLES: (SHORT, 1, 65_535)}, PIXELS),
    "extra-bands": (PLAIN | {EXTRA: (SHORT, MOST, DATA)}, PIXELS),
    "bits": (PLAIN | {BITS: (SHORT, 2**31, DATA), SAMPLES: (SHORT, 1, 65_535)}, PIXELS),
    "description": (PLAIN | {DESCRIPTION: (ASCII, MOST, DATA)}, PIXELS),
    "keys": (PLAIN | {GEOKEYS: (SHORT, 2**31, DATA)}, PIXELS),
    "metadata": (PLAIN | {METADATA: (ASCII, len(XML) - len(PIXELS), DATA + len(PIXELS))}, XML),
    "deflated": (PLAIN | {COMPRESSION: (SHORT, 1, 8), SIZES: (LONG, 1, len(LONG_DEFLATED))}, LONG_DEFLATED),
}  # fmt: skip


def tiff(tags: Tags, data: bytes, following: int = 0) -> bytes:
    """A little-endian classic TIFF of one directory, with `data` at a fixed place."""
    entries = b"".join(struct.pack("<HHII", tag, *value) for tag, value in sorted(tags.items()))
    directory = struct.pack("<H", len(tags)) + entries + struct.pack("<I", following)
    return (b"II*\0\x08\0\0\0" + directory).ljust(DATA, b"\0") + data


def png(side: int) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", LONG_DEFLATED) + chunk(b"IEND", b"")


def write_bombs(folder: Path) -> None:
    for name, (tags, data) in FILES.items():
        (folder / f"{name}.tif").write_bytes(tiff(tags, data))
    (folder / "a-ring.tif").write_bytes(tiff(PLAIN, PIXELS, following=8))
    (folder / "png-sides.png").write_bytes(png(FAR))
    (folder / "png-large.png").write_bytes(png(30_000))
    many = struct.pack("<HHII", DESCRIPTION, ASCII, MOST, DATA) * 65_535
    (folder / "entries.tif").write_bytes(b"II*\0\x08\0\0\0" + struct.pack("<H", 65_535) + many)
    big = struct.pack("<HHQQ", OFFSETS, 16, 2**60, 64) + struct.pack("<HHQQ", SIZES, 16, 2**60, 64)
    sides = struct.pack("<HHQQ", WIDTH, 16, 1, FAR) + struct.pack("<HHQQ", HEIGHT, 16, 1, FAR)
    (folder / "big.tif").write_bytes(b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 4) + sides + big + bytes(64))
    (folder / "no-end.tif").write_bytes(b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 2**63))


@pytest.mark.skipif(sys.platform != "linux", reason="measures memory as Linux tells it")
def test_headers_that_promise_too_much_are_refused_one_by_one(exported_model: Path, tmp_path: Path) -> None:
    """None takes the memory that it promises. What can be read in spite of its header shows the pixels it has."""
    scenes = tmp_path / "scenes"
    scenes.mkdir()
    write_bombs(scenes)
    options = ["--model", str(exported_model), "--threads", "1", "--max-pixels", str(2**32)]
    shown = ["--bands", "1,1,1", "--scaling", "scene"]
    command = [sys.executable, "-c", MEASURED, "translate", str(scenes), str(tmp_path / "maps"), *options, *shown]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 1, done.stderr
    told = json.loads((tmp_path / "maps" / "summary.json").read_text())["scenes"]
    assert {outcome["name"] for outcome in told} == {path.stem for path in scenes.iterdir()}
    errors = {outcome["name"]: outcome["error"] for outcome in told if outcome["status"] == "failed"}
    for name, error in errors.items():
        assert name in error and "\n" not in error and len(error) < 500
        assert not [w for w in ("a bug", "ended the process", "the memory is not enough") if w in error], error
    maps = {path.stem: pixels(path) for path in (tmp_path / "maps").glob("*.tif")}
    assert maps.keys() | errors.keys() == {outcome["name"] for outcome in told}
    assert {"plain", "deflated", "metadata", "description"} <= maps.keys()
    for found in maps.values():
        assert np.array_equal(found, maps["plain"])
    assert "Traceback" not in done.stderr
    taken = int(done.stderr.splitlines()[-1])
    assert taken < MEMORY, taken


def pixels(path: Path) -> np.ndarray:
    with rasterio.open(path) as dataset:
        return dataset.read()
