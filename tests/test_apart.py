"""Scenes translated in another process are what they are in this one, and one that ends it costs itself alone."""

import errno
import json
import multiprocessing.util
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from geopix2pix import translate_many
from geopix2pix.batch import batch_of
from geopix2pix.errors import Cancelled, ConfigError, OutputError
from geopix2pix.forecast import foreseen
from geopix2pix.ledger import Summary
from geopix2pix.progress import Event
from tests.rasters import write_raster
from tests.test_many import maps, tile

REPOSITORY = Path(__file__).parents[1]
posix = pytest.mark.skipif(os.name != "posix", reason="sends signals")
proc = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for processes in /proc")


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """Three scenes, the second of which is larger and has no place."""
    tile(tmp_path / "scenes", 0, 0)
    data = np.random.default_rng(3).integers(1, 255, (3, 400, 400), np.uint8)
    write_raster(tmp_path / "scenes" / "1-0.tif", data, photometric="rgb")
    tile(tmp_path / "scenes", 2, 0)
    return tmp_path / "scenes"


@pytest.fixture(autouse=True)
def nothing_stays() -> Iterator[None]:
    yield
    assert not active_children(), "the other process has ended"


def many(scenes: Path, folder: Path, model: Path, **options: Any) -> Summary:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return translate_many([scenes], folder, model=model, threads=1, **options)


def other() -> int:
    """The process that translates."""
    (process,) = active_children()
    assert process.pid is not None
    return process.pid


def ends(number: int, scene: int, step: int) -> Callable[[Event], None]:
    """A `Progress` that sends the other process a signal at a step of a scene."""
    seen = [0, 0]

    def progress(event: Event) -> None:
        if event.stage == "scenes":
            seen[:] = [event.done, 0]
        elif seen[0] == scene:
            seen[1] += 1
            if seen[1] == step:
                os.kill(other(), number)

    return progress


def without_times(summary: Summary) -> dict[str, Any]:
    told = summary.to_json()
    return told | {"seconds": 0, "scenes": [scene | {"seconds": 0} for scene in told["scenes"]]}


def test_what_is_made_apart_is_what_is_made_here(scenes: Path, exported_model: Path, tmp_path: Path) -> None:
    """The same bytes, summary, events and warnings, also of scenes that fail and that are kept."""
    (scenes / "broken.tif").write_bytes((scenes / "0-0.tif").read_bytes()[:4000])
    made = {}
    for apart in (False, True):
        out, events = tmp_path / str(apart) / "maps", list[Event]()
        with warnings.catch_warnings(record=True) as shown:
            warnings.simplefilter("default")
            first = translate_many([scenes], out, model=exported_model, threads=1, apart=apart, progress=events.append)
        second = many(scenes, out, exported_model, apart=apart)
        summaries = json.dumps([without_times(first), without_times(second)]).replace(str(out), "maps")
        made[apart] = [maps(out), summaries, events, [(str(w.message), w.category) for w in shown]]
    for here, there in zip(made[False], made[True], strict=True):
        assert here == there
    assert first.counts == {"made": 3, "kept": 0, "empty": 0, "failed": 1}


@posix
@pytest.mark.parametrize(
    ("number", "step", "remedy"),
    [(signal.SIGSEGV, 1, "gdalinfo"), (signal.SIGABRT, 4, "gdalinfo"), (signal.SIGKILL, 2, "memory")],
)
def test_a_scene_that_ends_the_process_costs_itself_and_one_line(
    scenes: Path, exported_model: Path, tmp_path: Path, number: signal.Signals, step: int, remedy: str
) -> None:
    whole, out = tmp_path / "whole", tmp_path / "maps"
    many(scenes, whole, exported_model)
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("default")
        first = translate_many(
            [scenes], out, model=exported_model, threads=1, apart=True, progress=ends(number, 1, step)
        )
    assert [outcome.status for outcome in first.outcomes] == ["made", "failed", "made"]
    error = str(first.outcomes[1].error)
    assert str(scenes / "1-0.tif") in error and number.name in error and remedy in error and "\n" not in error
    assert len([w for w in shown if number.name in str(w.message)]) == 1
    assert json.loads((out / "summary.json").read_text())["scenes"][1]["error"] == error
    assert maps(out) == {name: data for name, data in maps(whole).items() if name != "1-0.tif"}
    again = many(scenes, out, exported_model, apart=True)
    assert again.counts == {"made": 1, "kept": 2, "empty": 0, "failed": 0}
    assert maps(out) == maps(whole)
    assert not list(out.glob("*.part"))


@posix
def test_every_scene_may_end_the_process(scenes: Path, exported_model: Path, tmp_path: Path) -> None:
    def kill(event: Event) -> None:
        if event.stage == "translate":
            os.kill(other(), signal.SIGBUS)

    summary = many(scenes, tmp_path / "maps", exported_model, apart=True, progress=kill)
    assert summary.counts["failed"] == 3


@posix
def test_a_process_that_ends_before_the_first_scene_is_told(scenes: Path, exported_model: Path, tmp_path: Path) -> None:
    def kill() -> None:
        while not active_children():
            time.sleep(0.001)
        os.kill(other(), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(ConfigError, match=r"SIGKILL.* before it could begin; .*memory"):
        many(scenes, tmp_path / "maps", exported_model, apart=True)
    killer.join()
    assert not (tmp_path / "maps").exists()


@posix
def test_a_dry_run_foresees_which_scene_ends_the_process(scenes: Path, exported_model: Path, tmp_path: Path) -> None:
    batch = batch_of([scenes], tmp_path / "maps", model=exported_model, threads=1)

    def kill(event: Event) -> None:
        if event.stage == "probe" and event.done == 1:
            os.kill(other(), signal.SIGSEGV)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected, found = foreseen(batch), foreseen(batch, apart=True)
        killed = foreseen(batch, kill, apart=True)
    facts = [[(scene.name, scene.size, scene.error) for scene in run] for run in (expected, found)]
    assert facts[0] == facts[1] and len(facts[0]) == 3
    assert all(scene.needs for scene in found)
    assert [scene.size is None for scene in killed] == [True, True, True], "each is tried until one can be"
    assert all(scene.source in str(scene.error) and "SIGSEGV" in str(scene.error) for scene in killed)
    assert not list(tmp_path.glob("maps*"))


@posix
def test_a_process_that_cannot_be_started_is_told(
    scenes: Path, exported_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> int:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(multiprocessing.util, "spawnv_passfds", full)
    with pytest.raises(ConfigError, match=r"cannot be started \(Resource temporarily unavailable\)"):
        many(scenes, tmp_path / "maps", exported_model, apart=True)


@pytest.mark.slow
def test_a_script_that_would_begin_itself_again_is_told_how_it_has_to_begin(
    scenes: Path, exported_model: Path, tmp_path: Path
) -> None:
    call = f"translate_many([{str(scenes)!r}], 'maps', model={str(exported_model)!r}, threads=1, apart=True)"
    guard = "if __name__ == '__main__':"
    script = tmp_path / "script.py"
    for begin in ("if True:", guard):
        script.write_text(f"from geopix2pix import translate_many\n{begin}\n    {call}\n")
        quiet = {"cwd": tmp_path, "env": os.environ | {"PYTHONPATH": str(REPOSITORY)}, "capture_output": True}
        done = subprocess.run([sys.executable, script], text=True, check=False, timeout=300, **quiet)
        assert done.returncode == (0 if begin == guard else 1)
        assert (guard in done.stderr.splitlines()[-1]) == (begin != guard)
    assert len(maps(tmp_path / "maps")) == 3


def test_what_is_wrong_with_the_request_is_told_as_it_is_here(
    scenes: Path, tiny_model: Path, exported_model: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="device"):
        many(scenes, tmp_path / "maps", exported_model, device="cuda", apart=True)
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange" / "summary.json").touch()
    with pytest.raises(OutputError, match="was not made of scenes in this folder"):
        many(scenes, tmp_path / "strange", exported_model, apart=True)


@pytest.mark.parametrize("error", [Cancelled("enough"), KeyboardInterrupt(), ZeroDivisionError("of the caller")])
def test_whatever_progress_raises_stops_the_other_process_first(
    scenes: Path, exported_model: Path, tmp_path: Path, error: BaseException
) -> None:
    """What was finished is kept: the next run goes on in the middle of a scene, to the same bytes."""
    out, told = tmp_path / "maps", list[Event]()

    def stop(event: Event) -> None:
        told.append(event)
        if len(told) == 12:
            raise error

    with pytest.raises(type(error), match=str(error)):
        many(scenes, out, exported_model, apart=True, progress=stop)
    assert len(told) == 12, "nothing is told after that"
    many(scenes, out, exported_model, apart=True)
    many(scenes, tmp_path / "whole", exported_model)
    assert maps(out) == maps(tmp_path / "whole")


def command(scenes: Path, out: Path, model: Path) -> list[str]:
    options = ["--model", str(model), "--threads", "1", "--progress", "json"]
    return [sys.executable, "-m", "cli", "translate", str(scenes), str(out), *options]


def begun(line: list[str]) -> "subprocess.Popen[str]":
    """A command with standard input to close, and a group of processes for itself."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([*line, "--stop-on-eof"], cwd=REPOSITORY, text=True, start_new_session=True, **pipes)


@contextmanager
def at_work(line: list[str], scene: int) -> Iterator["subprocess.Popen[str]"]:
    """A command that is translating a scene."""
    with begun(line) as process:
        done = None
        for text in process.stdout:
            event = json.loads(text)
            done = event["done"] if event.get("stage") == "scenes" else done
            if done == scene and event.get("stage") == "translate":
                break
        yield process


def apart_of(process: "subprocess.Popen[str]") -> int | None:
    """The process in which a command translates, once it is there."""
    for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
        if "spawn_main" in Path(f"/proc/{child}/cmdline").read_text():
            return int(child)
    return None


def is_there(number: int) -> bool:
    """Whether a process lives; one that has ended and was not asked for does not count."""
    status = Path(f"/proc/{number}/stat")
    try:
        return status.read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@proc
@pytest.mark.slow
@pytest.mark.parametrize("way", ["group", "terminal", "eof", "killed"])
def test_a_command_that_is_stopped_leaves_no_process_and_goes_on(
    scenes: Path, exported_model: Path, tmp_path: Path, way: str
) -> None:
    """By a signal to all of its processes, as batch systems and terminals send; by its standard input; by a kill."""
    line = command(scenes, tmp_path / "maps", exported_model)
    with at_work(line, 1) as process:
        child = apart_of(process)
        match way:
            case "group":
                os.killpg(process.pid, signal.SIGTERM)
            case "terminal":
                os.killpg(process.pid, signal.SIGINT)
            case "eof":
                process.stdin.close()
            case "killed":
                process.kill()
        last = process.stdout.read().splitlines()[-1:]
        errors = process.stderr.read()
    assert errors == ""
    assert process.returncode == (-signal.SIGKILL if way == "killed" else 130)
    if way != "killed":
        assert json.loads(last[0])["message"].startswith("cancelled")
    assert not is_there(child)
    subprocess.run(line, cwd=REPOSITORY, check=True, capture_output=True, stdin=subprocess.DEVNULL)
    many(scenes, tmp_path / "whole", exported_model)
    assert maps(tmp_path / "maps") == maps(tmp_path / "whole")


@proc
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_all_processes_while_the_other_one_begins_cancels(
    scenes: Path, exported_model: Path, tmp_path: Path, number: signal.Signals
) -> None:
    with begun(command(scenes, tmp_path / "maps", exported_model)) as process:
        while apart_of(process) is None:
            time.sleep(0.001)
        os.killpg(process.pid, number)
        records = [json.loads(text) for text in process.stdout]
        errors = process.stderr.read()
    assert (process.returncode, errors) == (130, "")
    assert records[-1]["message"].startswith("cancelled")


@proc
def test_the_command_tells_which_scene_has_ended_the_process(
    scenes: Path, exported_model: Path, tmp_path: Path
) -> None:
    with at_work(command(scenes, tmp_path / "maps", exported_model), 1) as process:
        os.kill(apart_of(process), signal.SIGSEGV)
        records = [json.loads(text) for text in process.stdout]
        errors = process.stderr.read()
    assert (process.returncode, errors) == (1, "")
    assert records[-1]["counts"] == {"made": 2, "kept": 0, "empty": 0, "failed": 1}
    (warning,) = [r["message"] for r in records if r["event"] == "warning" and "SIGSEGV" in r["message"]]
    assert "1-0.tif: ended the process" in warning and "the other scenes go on" in warning


@proc
def test_nothing_that_a_library_prints_apart_comes_between_the_lines(
    scenes: Path, exported_model: Path, tmp_path: Path
) -> None:
    """Standard output of the other process is standard error."""
    found = set()

    def look(event: Event) -> None:
        if event.stage == "translate":
            found.add(tuple(Path(f"/proc/{other()}/fd/{number}").readlink() for number in (1, 2)))

    many(scenes, tmp_path / "maps", exported_model, apart=True, progress=look)
    ((output, errors),) = found
    assert output == errors
