"""A scene that ends the process, as damaged files make libraries in C do, is told in one line by another process."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rasterio.transform import from_origin

from geopix2pix import translate
from tests.test_translation import write_scene

REPOSITORY = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(os.name != "posix", reason="processes end by signals")

# What witnesses nothing but its own end.
ALONE = """
import sys
from cli.witness import witnessed

with witnessed("scene.tif", sys.argv[1]):
    exec(sys.argv[2])
"""
# The command line, in which reading the scene for the last of some times ends the process; threads do it.
READING = """
import ctypes, itertools, os, signal, sys
from cli.main import main
from geopix2pix.raster import RasterReader

way, last, read, calls = sys.argv[1], int(sys.argv[2]), RasterReader.read, itertools.count(1)

def ends(*arguments, **options):
    if next(calls) == last:
        if way == "address 0":
            ctypes.string_at(0)
        if way == "abort":
            ctypes.CDLL(None).abort()
        os.kill(os.getpid(), signal.Signals[way])
    return read(*arguments, **options)

RasterReader.read = ends
main(sys.argv[3:])
"""
NEVER = ("never", 0)


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """Of six rows of six windows."""
    data = np.random.default_rng(8).integers(0, 255, (3, 240, 240), np.uint8)
    return write_scene(tmp_path / "scene.tif", data, photometric="rgb", transform=from_origin(5e5, 5e6, 0.5, 0.5))


def request(scene: Path, target: Path, model: Path, *more: str) -> tuple[str | Path, ...]:
    return "translate", scene, target, "--model", model, "--threads", "1", *more


def ended(*arguments: str | int | Path, streams: str = "", **env: str) -> "subprocess.CompletedProcess[str]":
    """What becomes of Python with arguments; `streams` are closed, such as `>&-`."""
    line = ["sh", "-c", f'exec "$@" {streams}', "sh", sys.executable, "-c", *map(str, arguments)]
    quiet = {"cwd": REPOSITORY, "env": os.environ | env, "capture_output": True, "text": True}
    return subprocess.run(line, check=False, timeout=300, **quiet)


@pytest.mark.parametrize("mode", ["bar", "json"])
@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL"])
def test_a_signal_is_told_by_its_name_and_left_as_it_is(name: str, mode: str) -> None:
    done = ended(ALONE, mode, f"import os, signal; os.kill(os.getpid(), signal.{name})")
    number = signal.Signals[name]
    assert done.returncode == -number
    if mode == "json":
        told = json.loads(done.stdout)
        assert (told["event"], told["code"], done.stderr) == ("error", 128 + number, "")
        text = told["message"]
    else:
        assert (done.stdout, done.stderr.count("\n")) == ("", 1)
        text = done.stderr.removeprefix("error: ")
    assert text.startswith(f"scene.tif: ended this process ({name})") and "gdalinfo" in text


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("pass", 0),
        ("raise SystemExit(3)", 3),
        ("import os; os._exit(4)", 4),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
    ],
)
def test_any_other_end_is_not_told_and_the_witness_goes_too(end: str, code: int) -> None:
    """Else the pipes that it shares with the process would stay open, and this test would wait for ever."""
    done = ended(ALONE, "bar", end)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "")


@pytest.mark.parametrize(("way", "name"), [("address 0", "SIGSEGV"), ("abort", "SIGABRT")])
def test_a_library_that_fails_in_a_thread_costs_one_line_and_the_same_command_goes_on(
    scene: Path, exported_model: Path, tmp_path: Path, way: str, name: str
) -> None:
    target = tmp_path / "map.tif"
    line = request(scene, target, exported_model, "--progress", "json")
    done = ended(READING, way, 23, *line)
    last = json.loads(done.stdout.splitlines()[-1])
    assert (done.returncode, done.stderr, last["event"]) == (-signal.Signals[name], "", "error")
    assert last["message"].startswith(f"{scene}: ended this process ({name})")
    assert not target.exists()
    again = [json.loads(text) for text in ended(READING, *NEVER, *line).stdout.splitlines()]
    assert next(event["done"] for event in again if event.get("stage") == "translate") >= 6, "finished rows are kept"
    expected = translate(scene, tmp_path / "whole.tif", model=exported_model, threads=1)
    assert target.read_bytes() == expected.read_bytes()


@pytest.mark.slow
def test_a_dry_run_a_mosaic_a_share_and_merging_have_a_witness_too(
    scene: Path, exported_model: Path, tmp_path: Path
) -> None:
    line = request(scene, tmp_path / "map.tif", exported_model, "--resolution", "0.7")
    assert ended(READING, *NEVER, *line, "--shard", "1/1").returncode == 0
    other = request(scene, tmp_path / "other.tif", exported_model)
    for command in (("merge", *line[1:]), (*other, "--dry-run"), (*other, "--shard", "1/2"), (*other, "--mosaic")):
        done = ended(READING, "SIGSEGV", 1, *command)
        assert done.returncode == -signal.SIGSEGV, command
        assert "(SIGSEGV)" in done.stderr and done.stderr.count("\n") == 1


def test_where_python_s_own_words_are_asked_for_they_are_all() -> None:
    done = ended(ALONE, "bar", "import ctypes; ctypes.string_at(0)", PYTHONFAULTHANDLER="1")
    assert done.stderr.startswith("Fatal Python error: Segmentation fault")
    assert "scene.tif" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("streams", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed_are_no_matter(scene: Path, exported_model: Path, tmp_path: Path, streams: str) -> None:
    line = request(scene, tmp_path / "map.tif", exported_model)
    for way, code in ((("SIGSEGV", 9), -signal.SIGSEGV), (NEVER, 0)):
        done = ended(READING, *way, *line, streams=streams)
        assert done.returncode == code
        assert "Traceback" not in done.stderr
    assert (tmp_path / "map.tif").exists()
