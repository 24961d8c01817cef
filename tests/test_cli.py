"""The command line as others meet it: its options, its exit codes, its two languages, and how it is stopped."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import click
import pytest
from click.testing import CliRunner, Result

from cli import options
from cli.main import main
from geopix2pix import __version__

ROOT = Path(__file__).parents[1]
WORK = ["--progress", "--stop-on-eof", "--debug", "--help"]
SPLIT = ["--by", "--block", "--buffer", "--shares", "--seed", "--zones", "--validation", "--test"]
TRANSLATION = [
    "--model", "--engine", "--device", "--precision", "--compile", "--batch", "--window", "--overlap", "--average",
    "--resolution", "--deliver", "--bands", "--scaling", "--region", "--bounds", "--bounds-crs", "--classes",
    "--confidence", "--vector", "--min-area", "--clean", "--tiles", "--format", "--compress", "--threads",
    "--max-pixels", "--damaged", "--seam-report", "--preview", "--overwrite",
]  # fmt: skip
OPTIONS = {
    "translate": [*TRANSLATION, "--asset", "--mosaic", "--dry-run", "--shard", *WORK],
    "merge": [*TRANSLATION, *WORK],
    "train": [
        "--output", "--config", "--preset", "--layout", "--palette", "--validation", "--shares", "--epochs",
        "--images-per-epoch",
        "--batch", "--crop", "--load-size", "--scale", "--jitter", "--learning-rate", "--adversary",
        "--adversarial-weight", "--l1-weight", "--class-weight", "--matching-weight", "--perceptual-weight",
        "--perceptual-weights", "--discriminator-scales", "--warm-up", "--freeze-encoder", "--encoder-rate", "--clip",
        "--ema", "--encoder", "--norm", "--encoder-weights", "--start-from", "--seed", "--precision", "--compile",
        "--processes", "--workers", "--tensorboard", "--device", "--threads", "--overwrite", *WORK,
    ],
    "report": ["--output", "--overwrite", "--debug", "--help"],
    "evaluate": [
        "--output", "--split", "--layout", "--palette", "--validation", "--group", "--bands", "--scaling",
        "--inception", "--lpips", "--seams", "--device", "--batch", "--threads", "--overwrite", *WORK,
    ],
    "tiles build": [
        "--source", "--target", "--vectors", "--style", "--layer", "--palette", "--knows", "--tolerance", "--region",
        "--bounds", "--footprint", "--crs", "--resolution", "--origin", "--zoom", "--cache", "--parallel", "--proxy",
        "--attribution", "--bands", "--size", "--overlap", "--coverage", "--misaligned", "--max-offset", *SPLIT,
        "--workers", "--output", "--overwrite", *WORK,
    ],
    "tiles split": [*SPLIT, *WORK],
    "tiles inspect": [
        "--page", "--sheet", "--count", "--worst", "--seed", "--json", "--overwrite", "--debug", "--help"
    ],
    "tiles import": [
        "--source", "--target", "--layout", "--palette", "--tolerance", "--size", "--overlap", "--coverage", *SPLIT,
        "--output", "--overwrite", *WORK,
    ],
    "tiles export": ["--layout", "--targets", *WORK],
    "model pull": ["--sha256", "--shelf", "--proxy", "--overwrite", *WORK],
    "model list": ["--shelf", "--json", "--debug", "--help"],
    "model calibrate": [
        "--layout", "--palette", "--validation", "--report", "--device", "--threads", "--overwrite", *WORK
    ],
    "model info": ["--json", "--debug", "--help"],
    "model export": ["--window", "--mlm", "--threads", "--overwrite", *WORK],
    "sample": ["--seed", "--size", "--overwrite", *WORK],
    "doctor": ["--json", "--debug", "--help"],
}  # fmt: skip
# A command that works until it is stopped, on the machinery of the real ones, which load torch for seconds.
ENDLESS = """
import time
import click
from cli.options import work
from geopix2pix.progress import Event

@click.command()
@click.option("--deaf", is_flag=True)
@click.option("--pause", type=float, default=0.001)
@work
def endless(deaf, pause, report):
    step = 0
    while step == 0 or not deaf:
        step += 1
        report(Event("turn", step, 0, "turns"))
        time.sleep(pause)
    while not report._stop.is_set():
        time.sleep(0.001)
    report.warning("heard")
    time.sleep(3600)

endless()
"""


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def events(text: str) -> list[dict[str, Any]]:
    """The JSON lines of a command: nothing else is there, a start comes first, and one result or error last."""
    found = [json.loads(line) for line in text.splitlines()]
    assert found[0] == {"event": "start", "command": found[0]["command"], "version": __version__}
    assert [event["event"] for event in found[1:] if event["event"] in ("start", "result", "error")] == [
        found[-1]["event"]
    ]
    return found


def python(*arguments: str, env: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    """Another interpreter in the repository, from its start to its end."""
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)


@contextmanager
def child(*arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """A process of ours in another interpreter; it is gone afterwards, whatever happens."""
    command = [sys.executable, *arguments]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, cwd=ROOT, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


# --- what is offered ---


def test_options_are_those_of_the_table() -> None:
    """A change of the command line is a change of this table."""
    found = {}
    for name, command in main.commands.items():
        inner = {f"{name} {n}": c for n, c in command.commands.items()} if isinstance(command, click.Group) else {}
        for full, leaf in (inner or {name: command}).items():
            parameters = leaf.get_params(click.Context(leaf))
            found[full] = [p.opts[-1] for p in parameters if isinstance(p, click.Option)]
    assert found == OPTIONS


def test_choices_are_those_of_the_library() -> None:
    from geopix2pix.configuration import PRESETS
    from geopix2pix.configuration import Precision as TrainingPrecision
    from geopix2pix.damage import Damaged
    from geopix2pix.device import DeviceName
    from geopix2pix.engine import EngineName, Precision
    from geopix2pix.evaluation.entries import Split
    from geopix2pix.exporting import ExportLayout, Targets
    from geopix2pix.job import Deliver
    from geopix2pix.output import Compression
    from geopix2pix.pairs import Layout
    from geopix2pix.planning import DRIVERS
    from geopix2pix.tilesets.partition import By
    from geopix2pix.tilesets.request import Misaligned, Origin

    assert set(options.PRESETS) == set(PRESETS)
    assert set(options.LAYOUTS) == set(get_args(Layout))
    assert set(options.DEVICES) == set(get_args(DeviceName))
    assert set(options.SPLITS) == set(get_args(Split))
    assert set(options.SPLITS_BY) == set(get_args(By))
    assert set(options.ORIGINS) == set(get_args(Origin))
    assert set(options.MISALIGNED) == set(get_args(Misaligned))
    assert set(options.EXPORT_LAYOUTS) == set(get_args(ExportLayout))
    assert set(options.FORMS) == set(DRIVERS)
    assert set(options.COMPRESSIONS) == set(get_args(Compression))
    assert set(options.DELIVER) == set(get_args(Deliver))
    assert set(options.DAMAGED) == set(get_args(Damaged))
    assert set(options.EXPORT_TARGETS) == set(get_args(Targets))
    assert set(options.ENGINES) == set(get_args(EngineName))
    assert set(options.PRECISIONS) == set(get_args(Precision)) == set(get_args(TrainingPrecision))


def test_train_options_are_fields_of_the_configuration() -> None:
    from dataclasses import fields

    from geopix2pix.configuration import TrainingConfig

    of_pairs = {"pairs", "layout", "palette", "validation", "shares"}
    of_runs = {"output", "file", "preset", "device", "overwrite", "tensorboard"}
    of_sessions, of_generators = {"progress", "stop_on_eof", "debug"}, {"encoder", "norm"}
    assert {p.name for p in main.commands["train"].params} - of_pairs - of_runs - of_sessions - of_generators <= {
        f.name for f in fields(TrainingConfig)
    }


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["train", "--help"], ["tiles", "build", "--help"]])
def test_help_loads_neither_torch_nor_rasterio(arguments: Sequence[str]) -> None:
    code = (
        "import sys\n"
        "from cli.main import main\n"
        "try: main(sys.argv[1:])\n"
        "finally: print(sorted({'torch', 'rasterio', 'numpy', 'rich'} & sys.modules.keys()), file=sys.stderr)\n"
    )
    done = python("-c", code, *arguments)
    assert done.returncode == 0
    assert done.stderr.strip() == "[]"
    assert "geopix2pix" in done.stdout or "Usage" in done.stdout


def test_version() -> None:
    done = python("-m", "cli", "--version")
    assert (done.returncode, done.stdout) == (0, f"geopix2pix, version {__version__}\n")


# --- exit codes and messages ---


@pytest.mark.parametrize(
    "arguments",
    [
        ["fly"],
        ["translate", "a.tif"],
        ["translate", "a.tif", "b.tif", "--bands", "1,x"],
        ["translate", "a.tif", "b.tif", "--scaling", "0"],
        ["translate", "a.tif", "b.tif", "--scaling", "auto"],
        ["translate", "a.tif", "b.tif", "--batch", "0"],
        ["train", "--output", "run"],
        ["train", "pairs", "--output", "run", "--scale", "1,2,3"],
        ["train", "pairs", "--output", "run", "--preset", "heavy"],
        ["evaluate", "pairs", "--output", "report"],
        ["evaluate", "model", "pairs"],
        ["evaluate", "model", "pairs", "--output", "report", "--split", "held-out"],
    ],
)
def test_wrong_usage(arguments: Sequence[str]) -> None:
    """It is said on standard error alone, in JSON mode too: no command was started."""
    result = run(*arguments, "--progress", "json")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Error: " in result.stderr


def mendable(folder: Path) -> list[list[str | Path]]:
    absent = folder / "absent"
    return [
        ["translate", absent, folder / "out.tif", "--model", absent],
        ["train", absent, "--output", folder / "run"],
        ["train", absent, absent, "--output", folder / "run", "--shares", "1"],
        ["evaluate", absent, absent, "--output", folder / "report"],
        ["sample", absent / "town"],
        ["model", "export", absent, folder / "out.onnx"],
        ["model", "info", absent],
    ]


def test_failures_of_users_are_one_line(tmp_path: Path) -> None:
    for arguments in mendable(tmp_path):
        result = run(*arguments)
        assert result.exit_code == 1, result.output
        assert result.stdout == ""
        assert result.stderr.startswith("error: ")
        assert result.stderr.count("\n") == 1
        assert "a bug" not in result.stderr
    assert not list(tmp_path.iterdir()), "nothing is left behind"


def test_failures_of_users_are_one_event(tmp_path: Path) -> None:
    for arguments in mendable(tmp_path)[:-1]:
        result = run(*arguments, "--progress", "json")
        *_, last = events(result.stdout)
        assert (result.exit_code, last["event"], last["code"]) == (1, "error", 1)
        assert result.stderr == ""


def failing(error: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """A command whose library function fails with any error."""
    code = f"""
import click
from cli.options import work
from geopix2pix import errors

@click.command()
@work
def fail(report):
    raise {error}

fail()
"""
    return python("-c", code, *arguments)


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        ("errors.SceneError('a b')", 1, "error: a b\n"),
        ("errors.OutputError('disk')", 1, "error: disk\n"),
        ("errors.Cancelled('stopped')", 130, "error: stopped\n"),
        ("KeyboardInterrupt", 130, "error: cancelled\n"),
        ("MemoryError", 1, "error: the memory is not enough; give a smaller --batch, --window or --crop\n"),
    ],
)
def test_exit_code_of_each_kind_of_failure(error: str, code: int, message: str) -> None:
    done = failing(error)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", message)
    *_, last = events(failing(error, "--progress", "json").stdout)
    assert last == {"event": "error", "message": message.removeprefix("error: ").strip(), "code": code}


def test_bugs_are_called_bugs() -> None:
    done = failing("KeyError('palette')")
    assert done.returncode == 70
    assert done.stderr.startswith(
        f"error: a bug in geopix2pix {__version__}, KeyError at <string>:9: 'palette'; please"
    )
    assert done.stderr.count("\n") == 1
    assert "Traceback (most recent call last)" in failing("KeyError('palette')", "--debug").stderr


def test_warnings_of_others_are_shown_only_when_debugging() -> None:
    code = """
import warnings
import click
from cli.options import work
from geopix2pix.errors import SceneWarning

@click.command()
@work
def warn(report):
    for _ in range(2):
        warnings.warn("no CRS", SceneWarning)
    warnings.warn("old interface", FutureWarning)
    report.result("done")

warn()
"""

    def done(*arguments: str) -> tuple[str, str]:
        result = python("-c", code, *arguments)
        assert result.returncode == 0
        return result.stdout, result.stderr

    assert done() == ("done\n", "warning: no CRS\n")
    assert done("--debug") == ("done\n", "warning: no CRS\nwarning: <string>:12: FutureWarning: old interface\n")
    found = events(done("--progress", "json")[0])
    assert found[1:] == [{"event": "warning", "message": "no CRS"}, {"event": "result", "path": "done"}]


# --- how it is stopped ---


def interrupt(process: "subprocess.Popen[str]") -> None:
    process.send_signal(signal.SIGINT)


def terminate(process: "subprocess.Popen[str]") -> None:
    process.terminate()


def close_input(process: "subprocess.Popen[str]") -> None:
    assert process.stdin is not None
    process.stdin.close()
    process.stdin = None


@pytest.mark.parametrize("stop", [interrupt, terminate, close_input])
def test_stopped_at_the_next_event(stop: Callable[["subprocess.Popen[str]"], None]) -> None:
    with child("-c", ENDLESS, "--progress", "json", "--stop-on-eof") as process:
        assert process.stdout is not None
        first = process.stdout.readline() + process.stdout.readline()
        stop(process)
        rest, complaints = process.communicate(timeout=60)
    *_, last = events(first + rest)
    assert process.returncode == 130
    assert (last["event"], last["code"]) == ("error", 130)
    assert complaints == ""


def test_input_matters_only_on_request() -> None:
    with child("-c", ENDLESS, "--progress", "json") as process:
        close_input(process)
        assert process.stdout is not None
        for _ in range(100):
            assert json.loads(process.stdout.readline())["event"] in ("start", "progress")


@pytest.mark.skipif(os.name == "nt", reason="a second Ctrl-C cannot be sent to a child on Windows")
def test_second_interrupt_ends_a_command_that_does_not_listen() -> None:
    with child("-c", ENDLESS, "--deaf", "--progress", "json") as process:
        assert process.stdout is not None
        assert [json.loads(process.stdout.readline())["event"] for _ in range(2)] == ["start", "progress"]
        interrupt(process)
        assert json.loads(process.stdout.readline())["message"] == "heard"
        interrupt(process)
        assert process.wait(timeout=60) == -signal.SIGINT


@pytest.mark.skipif(os.name == "nt", reason="there are no groups of processes to send signals to")
def test_a_signal_that_comes_twice_at_once_is_one() -> None:
    with child("-c", ENDLESS, "--pause", "0.5", "--progress", "json") as process:
        assert process.stdout is not None
        first = process.stdout.readline() + process.stdout.readline()
        terminate(process)
        time.sleep(0.01)
        terminate(process)
        rest, complaints = process.communicate(timeout=60)
    assert (process.returncode, complaints) == (130, "")
    assert events(first + rest)[-1]["code"] == 130


def test_nobody_reads_any_more() -> None:
    with child("-c", ENDLESS, "--progress", "json") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(timeout=60) == 130
        assert process.stderr.read() == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_result_that_cannot_be_told(tiny_model: Path) -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "cli", "model", "info", str(tiny_model)]
        done = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 130
    assert done.stderr.startswith("error: the work is done, but its result cannot be told")
    assert done.stderr.count("\n") == 1


# --- the real commands ---


def test_model_info(tiny_model: Path) -> None:
    result = run("model", "info", tiny_model)
    assert result.exit_code == 0
    for shown in (
        "tiny 1",
        "U-Net of depth 2",
        "red, green, blue (uint8)",
        "64 pixels",
        "0.4 to 0.6 m",
        "random numbers",
    ):
        assert shown in result.stdout


def test_model_info_as_json(tiny_model: Path) -> None:
    from geopix2pix.model import ModelFile

    loaded = ModelFile.load(tiny_model)
    facts = json.loads(run("model", "info", tiny_model, "--json").stdout)
    assert facts["digest"] == loaded.digest
    assert facts["manifest"] == loaded.manifest.to_json()
    assert facts["values"] == sum(array.size for array in loaded.weights.values())


def test_translate(tiny_model: Path, scene: Path, tmp_path: Path) -> None:
    import rasterio

    out = tmp_path / "map.tif"
    result = run("translate", scene, out, "--model", tiny_model, "--device", "cpu", "--progress", "json")
    assert result.exit_code == 0, result.output
    found = events(result.stdout)
    assert found[-1] == {"event": "result", "path": str(out)}
    counts = [event["done"] for event in found if event.get("stage") == "translate"]
    assert counts == list(range(counts[-1] + 1))
    with rasterio.open(out) as made, rasterio.open(scene) as given:
        assert (made.shape, made.crs, made.transform) == (given.shape, given.crs, given.transform)

    again = run("translate", scene, out, "--model", tiny_model)
    assert again.exit_code == 1
    assert f"{out}: exists already" in again.stderr


def test_model_export(tiny_model: Path, scene: Path, tmp_path: Path) -> None:
    """From a trained model to an exported one, its description and a map, by commands alone."""
    out, item = tmp_path / "tiny.onnx", tmp_path / "tiny.json"
    result = run("model", "export", tiny_model, out, "--window", "32", "--mlm", item, "--progress", "json")
    assert result.exit_code == 0, result.output
    found = events(result.stdout)
    assert found[-1] == {"event": "result", "path": str(out)}
    (figures,) = [event["values"] for event in found if event["event"] == "metric"]
    assert figures["pixels"] > 1e5
    assert figures["changed"] <= 1e-4 * figures["pixels"]
    assert json.loads(item.read_text())["assets"]["model"]["href"] == "./tiny.onnx"
    info = run("model", "info", out)
    assert "exported, ONNX operators 18" in info.stdout
    assert "32 pixels and no other" in info.stdout
    result = run("translate", scene, tmp_path / "map.tif", "--model", out, "--engine", "onnxruntime")
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path / 'map.tif'}\n"), result.output
    result = run("translate", scene, tmp_path / "no.tif", "--model", out, "--engine", "torch")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "--engine torch" in result.stderr


def test_translate_passes_its_options_on(tiny_model: Path, scene: Path, tmp_path: Path) -> None:
    from geopix2pix import translate

    given = {"window": 48, "overlap": 16, "bands": (3, 2, 1), "scaling": (0.0, 300.0), "batch": 2, "threads": 1}
    translate(scene, tmp_path / "function.tif", model=tiny_model, device="cpu", **given)
    arguments = ["--window", "48", "--overlap", "16", "--bands", "3,2,1", "--scaling", "0,300", "--batch", "2"]
    arguments += ["--threads", "1", "--device", "cpu", "--model", str(tiny_model)]
    result = run("translate", scene, tmp_path / "command.tif", *arguments)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "command.tif").read_bytes() == (tmp_path / "function.tif").read_bytes()


def test_translate_refuses_a_scene_above_max_pixels(tiny_model: Path, scene: Path, tmp_path: Path) -> None:
    result = run("translate", scene, tmp_path / "out.tif", "--model", tiny_model, "--max-pixels", "100")
    assert result.exit_code == 1
    assert "150 x 110" in result.stderr


def test_interrupted_translation_goes_on(tiny_model: Path, scene: Path, tmp_path: Path) -> None:
    """Ctrl-C leaves what is finished, and the same command ends with the file of an undisturbed run."""
    arguments = ["--model", str(tiny_model), "--window", "16", "--overlap", "8", "--threads", "1"]
    command = ["translate", str(scene), str(tmp_path / "out.tif"), *arguments, "--progress", "json"]
    with child("-m", "cli", *command) as process:
        assert process.stdout is not None
        first = [process.stdout.readline() for _ in range(40)]
        interrupt(process)
        rest, complaints = process.communicate(timeout=120)
    assert process.returncode == 130, complaints
    found = events("".join(first) + rest)
    assert not (tmp_path / "out.tif").exists()

    resumed = events(run(*command).stdout)
    stopped = max(event["done"] for event in found if event.get("stage") == "translate")
    continued = [event["done"] for event in resumed if event.get("stage") == "translate"]
    assert 0 < continued[0] <= stopped, "finished rows are not computed again"
    run("translate", scene, tmp_path / "undisturbed.tif", *arguments)
    assert (tmp_path / "out.tif").read_bytes() == (tmp_path / "undisturbed.tif").read_bytes()


def test_sample(tmp_path: Path) -> None:
    result = run("sample", tmp_path / "town", "--size", "256", "--seed", "3")
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path / 'town'}\n"), result.output
    assert run("sample", tmp_path / "town", "--size", "256").exit_code == 1


@pytest.mark.slow
def test_train(tmp_path: Path) -> None:
    """From pairs to a model to a map, by commands alone."""
    town, new = tmp_path / "town", tmp_path / "run"
    assert run("sample", town, "--size", "256").exit_code == 0
    arguments = ["--epochs", "1", "--images-per-epoch", "2", "--batch", "1", "--crop", "64", "--device", "cpu"]
    result = run("train", town / "pairs", "--output", new, *arguments, "--progress", "json")
    assert result.exit_code == 0, result.output
    found = events(result.stdout)
    assert found[-1] == {"event": "result", "path": str(new / "model.safetensors")}
    assert any(event["event"] == "metric" and event["stage"] == "train" for event in found)
    result = run("translate", town / "scene.tif", tmp_path / "map.tif", "--model", new / "model.safetensors")
    assert (result.exit_code, result.stdout) == (0, f"{tmp_path / 'map.tif'}\n"), result.output


# --- doctor ---


def doctor(**variables: str) -> tuple[int, dict[str, dict[str, str]]]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PROJ_", "GDAL_", "PYTHON"))}
    done = python("-m", "cli", "doctor", "--json", env=clean | variables)
    return done.returncode, {finding["check"]: finding for finding in json.loads(done.stdout)}


def test_doctor_finds_a_healthy_installation() -> None:
    from geopix2pix.model import default_model

    code, findings = doctor()
    models = ("default model", "default model, exported")
    assert not [f for f in findings.values() if f["verdict"] != "ok" and f["check"] not in models]
    assert findings["installation"]["found"] == "full: everything works"
    assert (findings["default model"]["verdict"] == "ok") == default_model().exists()
    assert code == (0 if default_model().exists() else 1)


def test_doctor_finds_the_files_of_another_program(tmp_path: Path) -> None:
    """As QGIS exports them: PROJ then finds no proj.db, or a foreign one."""
    code, findings = doctor(PROJ_LIB=str(tmp_path), GDAL_DATA=str(tmp_path))
    assert code == 1
    assert findings["PROJ"]["verdict"] == "broken"
    assert "unset PROJ_LIB" in findings["PROJ"]["remedy"]
    assert findings["PROJ_LIB"]["verdict"] == findings["GDAL_DATA"]["verdict"] == "doubtful"
    assert str(tmp_path) in findings["PROJ_LIB"]["found"]
