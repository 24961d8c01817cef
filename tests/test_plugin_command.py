"""The process in which the plugin works: the real command line, and children that misbehave. No QGIS is needed."""

import os
import signal
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest

from qgis_plugin import command
from qgis_plugin.command import CommandCancelled, CommandError, ask, cleaned, run

ROOT = Path(__file__).parents[1]


def never() -> bool:
    return False


def child(folder: Path, body: str) -> Path:
    """An interpreter that ignores what it is asked to run, and runs `body`."""
    path = folder / "python"
    lines = ("import json, os, sys, time", "def tell(**record): print(json.dumps(record), flush=True)")
    path.write_text(f"#!{sys.executable}\n" + "\n".join(lines) + "\n" + textwrap.dedent(body))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """An interpreter that finds this repository's command line under its installed name, isolated or not."""
    package = tmp_path / "site" / "geopix2pix_cli"
    package.parent.mkdir()
    package.symlink_to(ROOT / "cli", target_is_directory=True)
    (tmp_path / "bin").mkdir()
    path = tmp_path / "bin" / "python"
    lines = (
        f"#!{sys.executable} -I",
        "import runpy, sys",
        f"sys.path[:0] = [{str(package.parent)!r}, {str(ROOT)!r}]",
        "sys.argv = sys.argv[3:]",
        "runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)",
    )
    path.write_text("\n".join(lines) + "\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


# The contract with the real command line


def test_the_real_command_line_is_understood(installed: Path, tmp_path: Path) -> None:
    records: list[command.Record] = []
    folder = tmp_path / "ein Städtchen"
    result = run(installed, ["sample", str(folder), "--size", "256"], os.environ, told=records.append, cancelled=never)
    assert result["path"] == str(folder) and (folder / "scene.tif").exists()
    assert records[0]["event"] == "start"
    assert {"done", "total", "unit", "stage"} <= next(r for r in records if r["event"] == "progress").keys()


def test_an_error_of_the_command_line_is_the_message(installed: Path, tmp_path: Path) -> None:
    arguments = ["translate", str(tmp_path / "absent.tif"), str(tmp_path / "out.tif")]
    with pytest.raises(CommandError, match=r"absent\.tif"):
        run(installed, arguments, os.environ, told=lambda record: None, cancelled=never)


def test_questions_are_answered_in_json(installed: Path) -> None:
    assert ask(installed, ["model", "info"], os.environ)["manifest"]["name"] == "streets"
    assert {"check", "verdict", "found", "remedy"} == ask(installed, ["doctor"], os.environ)[0].keys()


def test_poisoned_variables_do_not_reach_the_command_line(installed: Path, tmp_path: Path) -> None:
    nowhere = str(tmp_path / "nowhere")
    poison = dict.fromkeys(
        ("PYTHONPATH", "PYTHONHOME", "GDAL_DATA", "PROJ_LIB", "PROJ_DATA", "QT_PLUGIN_PATH"), nowhere
    )
    assert cleaned({"PATH": "x", **poison}) == {"PATH": "x"}
    folder = tmp_path / "town"
    run(installed, ["sample", str(folder), "--size", "256"], {**os.environ, **poison}, told=print, cancelled=never)
    arguments = ["tiles", "build", "--source", str(folder / "scene.tif"), "--target", str(folder / "map.tif")]
    arguments += ["--crs", "EPSG:3857", "--output", str(tmp_path / "tiles")]  # asks PROJ's database
    assert run(installed, arguments, {**os.environ, **poison}, told=print, cancelled=never)["path"]


# Children that misbehave


def test_what_is_printed_past_the_protocol_is_passed_over(tmp_path: Path) -> None:
    body = """
        print("loading...")
        print('["a", "list"]')
        sys.stderr.write("x" * 1_000_000)
        sys.stdout.buffer.write(b"\\xff\\xfe\\n")
        tell(event="progress", stage="translate", done=1, total=2, unit="windows")
        tell(event="result", path="out.tif")
    """
    records: list[command.Record] = []
    assert run(child(tmp_path, body), [], os.environ, told=records.append, cancelled=never)["path"] == "out.tif"
    assert [record["event"] for record in records] == ["progress", "result"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("sys.stderr.write('line\\nSegmentation fault\\n'); os._exit(139)", "code 139: Segmentation fault"),
        ("os.kill(os.getpid(), 9)", "code -9: it said nothing"),
        ("tell(event='error', message='the disk is full', code=1); sys.exit(1)", "^the disk is full$"),
        ("sys.exit(0)", "code 0"),
        ('sys.exit("/x/python: No module named geopix2pix_cli")', "has no geopix2pix; set up the environment"),
    ],
)
def test_a_child_that_dies_is_told(tmp_path: Path, body: str, message: str) -> None:
    with pytest.raises(CommandError, match=message):
        run(child(tmp_path, body), [], os.environ, told=lambda record: None, cancelled=never)


def test_a_missing_environment_is_told(tmp_path: Path) -> None:
    for call in (lambda p: ask(p, [], {}), lambda p: run(p, [], {}, told=print, cancelled=never)):
        with pytest.raises(CommandError, match="cannot be started.*set up the environment"):
            call(tmp_path / "absent" / "python")


@pytest.mark.parametrize("deaf", [False, True], ids=["stops when its input closes", "must be killed"])
def test_a_silent_child_is_cancelled(tmp_path: Path, deaf: bool) -> None:
    wait = "time.sleep(600)" if deaf else "sys.stdin.read(); open(sys.argv[0] + '.stopped', 'w').close()"
    path = child(tmp_path, f"tell(event='start', pid=os.getpid())\n{wait}")
    records: list[command.Record] = []
    with pytest.raises(CommandCancelled):
        run(path, [], os.environ, told=records.append, cancelled=lambda: bool(records))
    assert not psutil.pid_exists(records[0]["pid"])
    assert path.with_name("python.stopped").exists() != deaf


PARENT = """
import os, sys
sys.path.insert(0, sys.argv[1])
from qgis_plugin.command import run
run(sys.argv[2], sys.argv[3:], os.environ, told=lambda r: print(r, flush=True), cancelled=lambda: False)
"""


def test_no_child_outlives_a_parent_that_crashes(installed: Path, tmp_path: Path) -> None:
    run(installed, ["sample", str(tmp_path / "town"), "--size", "1024"], os.environ, told=print, cancelled=never)
    arguments = ["translate", str(tmp_path / "town" / "scene.tif"), str(tmp_path / "map.tif"), "--window", "64"]
    line = [sys.executable, "-c", PARENT, str(ROOT), str(installed), *arguments, "--overlap", "32"]
    with subprocess.Popen(line, stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        assert any(b"'progress'" in told for told in parent.stdout)
        (started,) = psutil.Process(parent.pid).children()
        parent.send_signal(signal.SIGKILL)
    psutil.wait_procs([started], timeout=60)
    assert not started.is_running() or started.status() == psutil.STATUS_ZOMBIE


def test_two_commands_run_at_once(installed: Path, tmp_path: Path) -> None:
    records: list[command.Record] = []

    def tell_and_start_another(record: command.Record) -> None:
        if not records:
            records.append(record)
            run(installed, ["sample", str(tmp_path / "b"), "--size", "256"], os.environ, told=print, cancelled=never)

    run(
        installed,
        ["sample", str(tmp_path / "a"), "--size", "256"],
        os.environ,
        told=tell_and_start_another,
        cancelled=never,
    )
    one, other = ((tmp_path / name / "scene.tif").read_bytes() for name in "ab")
    assert one == other
