"""Builds that are killed, that run out of disk, and whose map lies beside its image."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import rasterio
from rasterio.transform import Affine

from geopix2pix.cartography.style import shipped
from geopix2pix.errors import TileSetWarning
from geopix2pix.tilesets.building import build
from geopix2pix.tilesets.request import Request
from geopix2pix.tilesets.tileset import TileSet
from tests.rasters import write_raster
from tests.test_building import listing, noise, place

REPOSITORY = Path(__file__).parents[1]
SHIFT = (5.0, -3.0)  # pixels to the right and down


def command(folder: Path, output: Path, workers: int) -> list[str]:
    """The command line that builds a set of 81 tiles."""
    sides = ("--source", str(folder / "source.tif"), "--target", str(folder / "target.tif"))
    return [
        *(sys.executable, "-m", "cli", "tiles", "build", *sides, "--size", "32", "--output", str(output)),
        *("--workers", str(workers), "--progress", "json"),
    ]


@pytest.fixture
def sides(tmp_path: Path) -> Path:
    for seed, side in enumerate(("source", "target")):
        write_raster(tmp_path / f"{side}.tif", noise(288, 288, seed=seed), **place())
    return tmp_path


def run(arguments: list[str]) -> subprocess.CompletedProcess:
    return subprocess.run(arguments, cwd=REPOSITORY, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.slow
def test_several_processes_write_the_bytes_of_one(sides):
    for workers in (1, 3):
        done = run(command(sides, sides / f"tiles-{workers}", workers))
        assert done.returncode == 0, done.stderr
    assert listing(sides / "tiles-1") == listing(sides / "tiles-3")
    assert len(TileSet.open(sides / "tiles-1").tiles) == 81


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_build_that_is_killed_again_and_again_ends_in_the_same_bytes_and_leaves_no_process(sides, workers):
    assert run(command(sides, sides / "undisturbed", 1)).returncode == 0
    kills, rng = 0, random.Random(workers)
    children: set[psutil.Process] = set()
    for attempt in range(40):
        with subprocess.Popen(
            command(sides, sides / "tiles", workers), cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            lines = iter(process.stdout.readline, b"")
            cut = 0
            stop = rng.randint(1, 4) if attempt < 20 else 10**6
            for line in lines:
                cut += json.loads(line).get("stage") == "cut"
                if cut == stop:
                    children |= set(psutil.Process(process.pid).children(recursive=True))
                    process.send_signal(signal.SIGKILL)
                    kills += 1
                    break
        if process.returncode == 0:
            break
    assert kills > 2
    assert listing(sides / "tiles") == listing(sides / "undisturbed")
    assert not (sides / "tiles.part").exists()
    deadline = time.monotonic() + 30
    while any(child.is_running() for child in children) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [child for child in children if child.is_running()]


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="sends SIGTERM")
@pytest.mark.parametrize(
    ("send", "number", "step"),
    [(os.kill, signal.SIGTERM, 1), (os.killpg, signal.SIGTERM, 2), (os.killpg, signal.SIGINT, 1)],
)
def test_a_build_that_is_asked_to_stop_says_how_to_go_on(sides, send, number, step):
    """It alone, or with all of its processes, as by batch systems and terminals."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(
        command(sides, sides / "tiles", 2), cwd=REPOSITORY, start_new_session=True, **pipes
    ) as process:
        seen = 0
        for line in iter(process.stdout.readline, b""):
            seen += json.loads(line).get("stage") == "cut"
            if seen == step:
                time.sleep(0.2)  # at the first step into the start of the others, which takes a second
                send(process.pid, number)
                break
        last = json.loads(process.stdout.read().splitlines()[-1])
        errors = process.stderr.read()
    assert (process.returncode, errors) == (130, b"")
    assert last["event"] == "error" and "same command" in last["message"]
    assert run(command(sides, sides / "tiles", 2)).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("size", [40, 150, 400, 700])
def test_a_full_disk_is_one_line_and_what_was_there_stays(sides, small_disk, size):
    disk = small_disk(size)
    done = run(command(sides, disk / "tiles", 1))
    if done.returncode:
        last = json.loads(done.stdout.splitlines()[-1])
        assert done.returncode == 1, last
        assert last["event"] == "error" and "\n" not in last["message"]
        assert "Traceback" not in done.stderr
        assert not (disk / "tiles").exists()
    else:
        assert len(TileSet.open(disk / "tiles").tiles) == 81


@pytest.fixture(scope="module")
def moved(region: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The map of the synthetic region, written where it does not belong."""
    with rasterio.open(region / "map.tif") as dataset:
        data, transform = dataset.read(), dataset.transform
        wrong = {"crs": dataset.crs, "transform": transform * Affine.translation(*SHIFT)}
    return write_raster(tmp_path_factory.mktemp("moved") / "map.tif", data, **wrong)


def pair_of(region: Path, target: Path, **fields) -> Request:
    palette = region / "pairs" / "palette.json"
    return Request(sources=(str(region / "scene.tif"),), targets=(str(target),), palette=palette, size=128, **fields)


@pytest.mark.filterwarnings(f"ignore::{TileSetWarning.__module__}.TileSetWarning")
def test_a_map_beside_its_image_is_told_left_out_or_moved_back(region, moved, tmp_path):
    right = TileSet.open(build(pair_of(region, region / "map.tif"), tmp_path / "right"))
    with pytest.warns(TileSetWarning, match="to the right and below"):
        kept = TileSet.open(build(pair_of(region, moved), tmp_path / "kept"))
    assert len(kept.tiles) > 8
    found = np.median([(tile.offset.cols, tile.offset.rows) for tile in kept.tiles if tile.offset], axis=0)
    assert found == pytest.approx(SHIFT, abs=0.5)
    mended = TileSet.open(build(pair_of(region, moved, misaligned="shift"), tmp_path / "mended"))
    wrong, total = 0, 0
    names = {tile.name: tile for tile in right.tiles}
    for tile in mended.tiles:
        both = []
        for tiles, one in ((mended, tile), (right, names[tile.name])):
            with rasterio.open(tiles.path("classes", one)) as dataset:
                both.append(dataset.read(1))
        same_place = both[0] != 255
        wrong += int((both[0] != both[1])[same_place & (both[1] != 255)].sum())
        total += int(same_place.sum())
    assert wrong / total < 0.02  # edges, moved by less than half a pixel
    assert all("target moved by" in tile.note for tile in mended.tiles)
    assert mended.about.counts["kept"] == len(mended.tiles)


@pytest.mark.filterwarnings(f"ignore::{TileSetWarning.__module__}.TileSetWarning")
def test_vectors_are_drawn_as_pictures_and_classes(region, tmp_path):
    request = Request(
        sources=(str(region / "scene.tif"),),
        vectors=(region / "vectors.gpkg",),
        style=shipped()["streets"],
        knows=("road", "building"),
        size=128,
    )
    tiles = TileSet.open(build(request, tmp_path / "tiles"))
    assert tiles.about.palette.knows == ("building", "road")
    with rasterio.open(region / "classes.tif") as dataset:
        true, transform = dataset.read(1), dataset.transform
    agreeing = total = 0
    for tile in tiles.tiles:
        with rasterio.open(tiles.path("classes", tile)) as dataset:
            found = dataset.read(1)
            col, row = (round(v) for v in ~transform * (dataset.transform.c, dataset.transform.f))
        rows, cols = slice(max(row, 0), row + 128), slice(max(col, 0), col + 128)
        expected = np.isin(true[rows, cols], (1, 2))
        part = found[: expected.shape[0], : expected.shape[1]]
        known = part != 255
        agreeing += int(((part < 254) == expected)[known].sum())
        total += int(known.sum())
    assert agreeing / total > 0.97  # the sample has vegetation over roads, and its roads are drawn in another order
