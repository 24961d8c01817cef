"""The light installation: an exported model is translated without torch, and what needs torch says so."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# The command line in an interpreter that finds none of the packages of the full set.
WITHOUT = """
import sys
from cli.session import FULL

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in FULL:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
from cli.main import main

try:
    main(sys.argv[1:])
finally:
    assert not set(FULL) & {name.partition(".")[0] for name in sys.modules}
"""


def without(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", WITHOUT, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_an_exported_model_translates_without_torch(exported_model: Path, scene: Path, tmp_path: Path) -> None:
    from geopix2pix import translate

    arguments = ["--model", exported_model, "--threads", "1", "--seam-report", tmp_path / "seams.json"]
    done = without("translate", scene, tmp_path / "light.tif", *arguments, "--preview", tmp_path / "both.png")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{tmp_path / 'light.tif'}\n", "")
    full = translate(scene, tmp_path / "full.tif", model=exported_model, threads=1)
    assert (tmp_path / "light.tif").read_bytes() == full.read_bytes()


@pytest.mark.slow
def test_without_torch_the_exported_default_translates(scene: Path, tmp_path: Path) -> None:
    import rasterio

    arguments = ["--window", "64", "--overlap", "32"]
    done = without("translate", scene, tmp_path / "light.tif", *arguments)
    assert done.returncode == 0, done.stderr
    told = done.stderr.splitlines()  # the model in the package does not know the size of its pixels
    assert "worked on in its own pixels" in told[0] and all(line.startswith("warning: ") for line in told)
    with rasterio.open(tmp_path / "light.tif") as made:
        assert made.tags()["GEOPIX2PIX_ENGINE"].startswith("onnxruntime ")


@pytest.mark.slow
def test_what_needs_more_ends_with_one_line_that_says_so(tiny_model: Path, scene: Path, tmp_path: Path) -> None:
    commands = {
        ("train", tmp_path, "--output", tmp_path / "run"): "this needs torch",
        ("model", "export", tiny_model, tmp_path / "out.onnx"): "this needs torch",
        ("translate", scene, tmp_path / "out.tif", "--model", tiny_model): "needs torch",
        ("translate", scene, tmp_path / "out.tif", "--engine", "torch"): "needs torch",
        ("sample", tmp_path / "town"): "this needs pyogrio",
    }
    for arguments, message in commands.items():
        done = without(*arguments)
        assert (done.returncode, done.stdout) == (1, "")
        assert message in done.stderr
        assert "install" in done.stderr
        assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_doctor_does_not_call_a_light_installation_broken() -> None:
    done = without("doctor", "--json")
    findings = {finding["check"]: finding for finding in json.loads(done.stdout)}
    assert done.returncode == 0, done.stdout
    assert findings["installation"]["verdict"] == "ok"
    assert findings["installation"]["found"].startswith("light")
    assert findings["torch"]["verdict"] == findings["pyogrio"]["verdict"] == "absent"
    assert "train" in findings["torch"]["remedy"]
    assert "broken" not in {finding["verdict"] for finding in findings.values()}
