"""What may happen to a translation as a whole: signals and kills at every stage, damage, changes, other processes."""

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from geopix2pix import translate
from geopix2pix.errors import Cancelled, DeviceMemoryError, GeoPix2PixWarning, OutputError, RasterError
from geopix2pix.model import ModelFile
from geopix2pix.parts import shard_folder
from geopix2pix.planning import planned
from geopix2pix.progress import Event
from geopix2pix.translation import run
from tests.test_translation import write_scene

REPOSITORY = Path(__file__).parents[1]
STAGES = ("translate", "assemble", "polygons", "tiles")
RESULTS = ("map.tif", "classes.tif", "confidence.tif", "polygons.gpkg", "web.mbtiles", "preview.png")
COLUMNS = 6


@pytest.fixture
def noise(tmp_path: Path) -> Path:
    """A scene of six rows of six windows."""
    folder = tmp_path / "in"
    folder.mkdir()
    data = np.random.default_rng(8).integers(0, 255, (3, 240, 240), np.uint8)
    return write_scene(folder / "scene.tif", data, photometric="rgb")


def command(scene: Path, folder: Path, model: Path) -> list[str]:
    """The command line that makes all results in a folder."""
    beside = zip(("--classes", "--confidence", "--vector", "--tiles", "--preview"), RESULTS[1:], strict=True)
    options = [word for option, name in beside for word in (option, str(folder / name))]
    fixed = ("--model", str(model), "--threads", "1", "--progress", "json")
    return [sys.executable, "-m", "cli", "translate", str(scene), str(folder / RESULTS[0]), *options, *fixed]


def made(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir()) if file.is_file()}


def interrupted(arguments: list[str], number: int, stage: str, step: int) -> tuple[int, list[str]]:
    """The exit code of a command that gets a signal at a step of a stage, and the last line of each stream."""
    process = subprocess.Popen(
        arguments, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    )
    seen, lines = 0, []
    with process:
        for line in process.stdout:
            lines.append(line)
            seen += json.loads(line).get("stage") == stage
            if seen == step:
                process.send_signal(number)
                seen += 1
        errors = process.stderr.read()
    assert "Traceback" not in errors
    return process.returncode, lines


def once(arguments: list[str]) -> None:
    subprocess.run(arguments, cwd=REPOSITORY, check=True, capture_output=True, timeout=300, stdin=subprocess.DEVNULL)


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="sends signals")
def test_whatever_stops_a_run_at_whatever_stage_the_same_command_ends_in_the_same_bytes(
    noise: Path, palette_model: Path, tmp_path: Path
) -> None:
    whole, target = tmp_path / "whole", tmp_path / "target"
    whole.mkdir()
    target.mkdir()
    once(command(noise, whole, palette_model))
    expected = made(whole)
    assert sorted(expected) == sorted([*RESULTS, "classes.tif.aux.xml"])
    stops = 0
    for number, stages in ((signal.SIGTERM, STAGES), (signal.SIGINT, STAGES[1:2]), (signal.SIGKILL, STAGES)):
        for stage in stages:
            code, lines = interrupted(command(noise, target, palette_model), number, stage, 2)
            if code == 0:  # the last step was over before the signal came
                assert made(target) == expected
            else:
                stops += 1
                assert code == (-signal.SIGKILL if number == signal.SIGKILL else 130), (number, stage, lines[-1])
                assert set(made(target)) <= set(expected)
                assert not (target / RESULTS[0]).exists()
                once(command(noise, target, palette_model))
            assert made(target) == expected, (number, stage)
            assert sorted(file.name for file in target.iterdir()) == sorted(expected), "nothing else is left"
            for file in target.iterdir():
                file.unlink()
    assert stops >= 6


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_a_run_that_is_killed_at_random_again_and_again_computes_no_finished_row_twice(
    noise: Path, palette_model: Path, tmp_path: Path
) -> None:
    target = tmp_path / "map.tif"
    arguments = [sys.executable, "-m", "cli", "translate", str(noise), str(target), "--model", str(palette_model)]
    arguments += ["--threads", "1", "--progress", "json"]
    chance, reached = random.Random(4), 0
    for _ in range(4):
        code, lines = interrupted(arguments, signal.SIGKILL, "translate", chance.randint(4, 9))
        done = [event["done"] for event in map(json.loads, lines) if event.get("stage") == "translate"]
        assert done[0] >= reached - reached % COLUMNS, "rows that were told as finished"
        reached = max(done[0], done[-1] - 1)  # the last one may have been told before its row was on the disk
        if code == 0:
            break
    once(arguments)
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
        if event.done == 20:
            write_scene(noise, np.zeros((3, 240, 240), np.uint8), photometric="rgb")

    with pytest.raises(RasterError, match="was changed after it was looked at|cannot read"):
        translate(noise, tmp_path / "map.tif", model=tiny_model, threads=1, progress=replace)
    assert [file.name for file in tmp_path.iterdir()] == ["in"]


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


@pytest.mark.slow
@pytest.mark.parametrize("size", [60, 150, 300, 450])
def test_a_full_disk_is_one_line_and_no_result(noise: Path, palette_model: Path, small_disk, size: int) -> None:
    disk = small_disk(size)
    quiet = {"capture_output": True, "text": True, "stdin": subprocess.DEVNULL}
    done = subprocess.run(command(noise, disk, palette_model), cwd=REPOSITORY, check=False, **quiet)
    if done.returncode == 0:
        assert set(RESULTS) <= set(made(disk))
        return
    last = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 1, last
    assert last["event"] == "error" and "\n" not in last["message"]
    assert "Traceback" not in done.stderr
    assert not (disk / RESULTS[0]).exists()


def test_a_folder_on_a_disk_for_reading_only_is_refused(
    noise: Path, tiny_model: Path, tmp_path: Path, small_disk
) -> None:
    disk = small_disk(500)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True, capture_output=True)
    with pytest.raises(OutputError, match="not writable"):
        translate(noise, disk / "map.tif", model=tiny_model)
