"""What may happen to a translation as a whole: signals and kills at every stage, damage, changes, other processes."""

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

from cli.main import main
from geopix2pix import translate
from geopix2pix.errors import Cancelled, DeviceMemoryError, GeoPix2PixWarning, OutputError, RasterError
from geopix2pix.model import ModelFile
from geopix2pix.parts import shard_folder, unlink
from geopix2pix.planning import planned
from geopix2pix.progress import Event
from geopix2pix.raster import RasterReader
from geopix2pix.translation import run
from geopix2pix.writer import RasterWriter
from tests.test_translation import write_scene

REPOSITORY = Path(__file__).parents[1]
STAGES = ("load", "translate", "assemble", "clean", "deliver", "polygons", "tiles")
"""Where a run may be stopped: while the engine is loaded, and at the first event of each kind."""
RESULTS = ("map.tif", "classes.tif", "confidence.tif", "polygons.gpkg", "web.mbtiles", "preview.png")
COLUMNS = 5
# The command line, which sends itself a signal, or has its standard input closed, at a stage.
STOPPED = """
import os, signal, sys, time

way, stage = sys.argv[1:3]
ours, theirs = os.pipe()
os.dup2(ours, 0)

from cli.main import main
from cli.report import Report

def stop(stopped):
    global stage
    stage = None
    if way == "end of input":
        os.close(theirs)
        while not stopped():
            time.sleep(0.001)
    else:
        os.kill(os.getpid(), signal.Signals[way])

class Loading:
    def find_spec(self, name, path=None, target=None):
        if stage == "load" and name == "geopix2pix.onnx_engine":
            stop(lambda: True)

sys.meta_path.insert(0, Loading())
tell = Report.__call__

def told(self, event):
    tell(self, event)
    if event.stage == stage:
        stop(self._stop.is_set)

Report.__call__ = told
main(sys.argv[3:])
"""


@pytest.fixture
def noise(tmp_path: Path) -> Path:
    """A scene of five rows of five windows."""
    folder = tmp_path / "in"
    folder.mkdir()
    data = np.random.default_rng(8).integers(0, 255, (3, 240, 240), np.uint8)
    return write_scene(folder / "scene.tif", data, photometric="rgb")


def request(scene: Path, folder: Path, model: Path) -> list[str]:
    """What makes all results in a folder, by all stages."""
    beside = zip(("--classes", "--confidence", "--vector", "--tiles", "--preview"), RESULTS[1:], strict=True)
    options = [word for option, name in beside for word in (option, str(folder / name))]
    fixed = ("--model", str(model), "--threads", "1", "--progress", "json", "--stop-on-eof")
    ways = ("--resolution", "0.7", "--clean", "9")
    return ["translate", str(scene), str(folder / RESULTS[0]), *options, *fixed, *ways]


def stopped(way: str, stage: str, arguments: list[str]) -> "subprocess.CompletedProcess[str]":
    """What becomes of a command that is stopped at a stage, if there is one of this name."""
    line = [sys.executable, "-c", STOPPED, way, stage, *arguments]
    return subprocess.run(line, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=300)


def made(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir()) if file.is_file()}


def killed(arguments: list[str], step: int) -> tuple[int, list[str]]:
    """The exit code of a command that is killed at a step of the translation, and what it told."""
    process = subprocess.Popen(
        arguments, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    )
    seen, lines = 0, []
    with process:
        for line in process.stdout:
            lines.append(line)
            seen += json.loads(line).get("stage") == "translate"
            if seen == step:
                process.kill()
                seen += 1
        errors = process.stderr.read()
    assert "Traceback" not in errors
    return process.returncode, lines


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="sends signals")
@pytest.mark.parametrize("way", ["SIGINT", "SIGTERM", "end of input", "SIGKILL"])
def test_whatever_stops_a_run_at_one_stage_after_the_other_it_ends_in_the_same_bytes(
    noise: Path, exported_palette_model: Path, tmp_path: Path, way: str
) -> None:
    whole, target = tmp_path / "whole", tmp_path / "target"
    whole.mkdir()
    target.mkdir()
    assert stopped(way, "never", request(noise, whole, exported_palette_model)).returncode == 0
    expected = made(whole)
    assert sorted(expected) == sorted([*RESULTS, "classes.tif.aux.xml"])
    arguments = request(noise, target, exported_palette_model)
    for stage in STAGES:
        done = stopped(way, stage, arguments)
        last = json.loads(done.stdout.splitlines()[-1])
        assert done.stderr == ""
        if way == "SIGKILL":
            assert done.returncode == -signal.SIGKILL, stage
        else:
            assert (done.returncode, last["event"], last["code"]) == (130, "error", 130), stage
            assert last["message"].startswith("cancelled")
        assert not made(target), "no result is there before all are"
    assert stopped(way, "never", arguments).returncode == 0
    assert made(target) == expected
    assert sorted(file.name for file in target.iterdir()) == sorted(expected), "nothing else is left"


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_a_run_that_is_killed_at_random_again_and_again_computes_no_finished_row_twice(
    noise: Path, palette_model: Path, tmp_path: Path
) -> None:
    target = tmp_path / "map.tif"
    arguments = [sys.executable, "-m", "cli", "translate", str(noise), str(target), "--model", str(palette_model)]
    arguments += ["--threads", "1", "--progress", "json"]
    quiet = {"cwd": REPOSITORY, "capture_output": True, "stdin": subprocess.DEVNULL}
    chance, reached = random.Random(4), 0
    for _ in range(4):
        code, lines = killed(arguments, chance.randint(4, 9))
        done = [event["done"] for event in map(json.loads, lines) if event.get("stage") == "translate"]
        assert done[0] >= reached - reached % COLUMNS, "rows that were told as finished"
        reached = max(done[0], done[-1] - 1)  # the last one may have been told before its row was on the disk
        if code == 0:
            break
    subprocess.run(arguments, check=True, timeout=300, **quiet)
    expected = translate(noise, tmp_path / "whole.tif", model=palette_model, threads=1)
    assert target.read_bytes() == expected.read_bytes()


@pytest.mark.parametrize("row", [0, 1, 3])
def test_a_damaged_row_costs_the_rows_from_it_on_and_no_others(
    noise: Path, tiny_model: Path, tmp_path: Path, row: int
) -> None:
    def stop(event: Event) -> None:
        if event.done == 4 * COLUMNS + 2:
            raise Cancelled("enough")

    output = tmp_path / "map.tif"
    with pytest.raises(Cancelled):
        translate(noise, output, model=tiny_model, threads=1, progress=stop)
    part = shard_folder(output, None) / f"row-{row:05}.tif"
    part.write_bytes(part.read_bytes()[:-9])
    told: list[int] = []
    with pytest.warns(GeoPix2PixWarning, match="damaged or missing"):
        translate(noise, output, model=tiny_model, threads=1, progress=lambda event: told.append(event.done))
    assert told[0] == COLUMNS * row
    assert output.read_bytes() == translate(noise, tmp_path / "whole.tif", model=tiny_model, threads=1).read_bytes()


def test_a_source_that_is_replaced_while_it_is_read_makes_no_result(
    noise: Path, tiny_model: Path, tmp_path: Path
) -> None:
    def replace(event: Event) -> None:
        if event.done == 17:
            write_scene(noise, np.zeros((3, 240, 240), np.uint8), photometric="rgb")

    with pytest.raises(RasterError, match="was changed after it was looked at|cannot read"):
        translate(noise, tmp_path / "map.tif", model=tiny_model, threads=1, progress=replace)
    assert [file.name for file in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize("gone", ["in/scene.tif", "out/map.tif.part", "out", "out/map.tif.part/row-00000.tif"])
def test_what_disappears_while_it_is_needed_is_told_and_nothing_is_half(
    noise: Path, exported_palette_model: Path, tmp_path: Path, gone: str
) -> None:
    def remove(event: Event) -> None:
        if event.done == 17:
            unlink(tmp_path / gone)

    (tmp_path / "out").mkdir()
    options = {"model": exported_palette_model, "threads": 1, "classes": tmp_path / "out" / "classes.tif"}
    with pytest.raises((OutputError, RasterError), match=r"no such file|No such file") as told:
        translate(noise, tmp_path / "out" / "map.tif", progress=remove, **options)
    assert "\n" not in str(told.value)
    assert not list(tmp_path.glob("out/*.tif"))


def test_a_second_process_is_told_that_the_target_is_being_written(
    noise: Path, tiny_model: Path, tmp_path: Path
) -> None:
    answers: list[subprocess.CompletedProcess[str]] = []
    arguments = [sys.executable, "-m", "cli", "translate", str(noise), str(tmp_path / "map.tif")]

    def meanwhile(event: Event) -> None:
        if event.done == 10 and not answers:
            more = ["--model", str(tiny_model), "--threads", "1"]
            quiet = {"capture_output": True, "text": True}
            answers.append(subprocess.run([*arguments, *more], cwd=REPOSITORY, check=False, **quiet))

    translate(noise, tmp_path / "map.tif", model=tiny_model, threads=1, progress=meanwhile)
    assert answers[0].returncode == 1
    assert "another process is writing it" in answers[0].stderr
    assert "Traceback" not in answers[0].stderr


def test_memory_that_is_never_enough_is_told_and_leaves_nothing(noise: Path, tiny_model: Path, tmp_path: Path) -> None:
    def full(batch: np.ndarray) -> np.ndarray:
        raise DeviceMemoryError("the GPU has too little memory for 1 window; give a smaller --window")

    job = planned(noise, tmp_path / "map.tif", model=tiny_model, batch=4)
    engine = SimpleNamespace(
        manifest=ModelFile.load(tiny_model).manifest, predict=full, device_type="cuda", parameters={}
    )
    with (
        pytest.warns(GeoPix2PixWarning, match="--batch 2"),
        pytest.warns(GeoPix2PixWarning, match="--batch 1"),
        pytest.raises(DeviceMemoryError, match="smaller --window"),
    ):
        run(job, engine=engine)
    assert [file.name for file in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize(("victim", "method"), [(RasterReader, "read"), (RasterWriter, "write")])
@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (MemoryError(), 1, "the memory is not enough; give a smaller --batch"),
        (SystemExit(0), 70, "a thread asked for the end of the program"),
        (RuntimeError("can't start new thread"), 70, "can't start new thread"),
    ],
)
def test_a_thread_that_fails_beside_the_network_ends_the_run_with_one_line(
    noise: Path,
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    victim: type,
    method: str,
    error: BaseException,
    code: int,
    message: str,
) -> None:
    work, calls = getattr(victim, method), itertools.count()

    def fails(*arguments: object, **options: object) -> object:
        if threading.current_thread() is not threading.main_thread() and next(calls) == 9:
            raise error
        return work(*arguments, **options)

    monkeypatch.setattr(victim, method, fails)
    before = threading.active_count()
    request = ["translate", str(noise), str(tmp_path / "map.tif"), "--model", str(tiny_model), "--threads", "1"]
    done = CliRunner().invoke(main, request)
    assert next(calls) > 9
    assert (done.exit_code, done.stdout, done.stderr.count("\n")) == (code, "", 1), done.output
    assert message in done.stderr
    assert threading.active_count() == before
    assert [file.name for file in tmp_path.iterdir()] == ["in"]


@pytest.mark.slow
def test_a_full_disk_is_one_line_at_whatever_stage_and_costs_no_finished_row(
    noise: Path, exported_palette_model: Path, tmp_path: Path, small_disk
) -> None:
    """The disk grows a little each time, until the results fit on it."""
    whole, stages, begun = tmp_path / "whole", set(), []
    whole.mkdir()
    assert stopped("never", "never", request(noise, whole, exported_palette_model)).returncode == 0
    for size in (60, 75, 90, 110, 200, 300, 450, 500, 650, 1000, 1200, 1500):
        disk = small_disk(size)
        done = stopped("never", "never", request(noise, disk, exported_palette_model))
        events = [json.loads(line) for line in done.stdout.splitlines()]
        told = [event for event in events if event["event"] == "progress"]
        begun += [event["done"] for event in told[:1]]
        if done.returncode == 0:
            break
        last = events[-1]
        assert (done.returncode, last["event"]) == (1, "error")
        assert "\n" not in last["message"] and len(last["message"]) < 300
        assert "Traceback" not in done.stderr
        assert not made(disk)
        stages |= {event["stage"] for event in told[-1:]}  # none if there was no room even to begin
    assert {"translate", "assemble", "polygons", "tiles"} <= stages
    assert begun == sorted(begun) and begun[0] == 0 < begun[-1]
    assert made(disk) == made(whole)
    assert sorted(file.name for file in disk.iterdir()) == sorted(made(whole))


def test_a_folder_on_a_disk_for_reading_only_is_refused(
    noise: Path, tiny_model: Path, tmp_path: Path, small_disk
) -> None:
    disk = small_disk(500)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True, capture_output=True)
    with pytest.raises(OutputError, match="not writable"):
        translate(noise, disk / "map.tif", model=tiny_model)
