"""The environment that the plugin sets up for itself, from a wheel of this repository and without a network."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from qgis_plugin import environment
from qgis_plugin.command import CommandCancelled, CommandError
from qgis_plugin.environment import LIGHT, MARK, POLYGONS, Request, create, found_python, interpreter_in, remove

ROOT = Path(__file__).parents[1]
HASH = "a" * 64


def test_the_light_set_is_that_of_the_repository() -> None:
    lines = (ROOT / "light.txt").read_text(encoding="utf-8").splitlines()
    assert list(LIGHT) == [line for line in lines if not line.startswith("#")]
    assert POLYGONS in (ROOT / "setup.cfg").read_text(encoding="utf-8")
    assert POLYGONS in (ROOT / "Makefile").read_text(encoding="utf-8")  # `make wheels`


@pytest.mark.parametrize(
    ("wheel", "message"),
    [
        ("geopix2pix", "no wheel"),
        ("geopix2pix==1.0", "no wheel"),
        ("", "no wheel"),
        ("https://example.org/other-1.0-py3-none-any.whl", "no wheel"),
        ("/x/geopix2pix-0.9-py3-none-any.whl", "is of version 0.9, the plugin of 1.0"),
        ("/x/geopix2pix-1.0-py3-none-any.whl", "is not there"),
        ("https://example.org/geopix2pix-1.0-py3-none-any.whl", "sha256"),
        (f"http://example.org/geopix2pix-1.0-py3-none-any.whl#sha256={HASH}", "must be https"),
        ("https://example.org/geopix2pix-1.0-py3-none-any.whl#sha256=abc", "64 digits"),
    ],
)
def test_only_a_pinned_wheel_of_this_version_is_installed(tmp_path: Path, wheel: str, message: str) -> None:
    with pytest.raises(CommandError, match=message):
        create(Request(tmp_path / "environment", wheel), "1.0", os.environ, print, lambda: False)
    assert not (tmp_path / "environment").exists()


def minimal_wheel(folder: Path) -> Path:
    """A wheel that needs nothing, of a package of ours."""
    source = folder / "source"
    (source / "geopix2pix").mkdir(parents=True)
    (source / "geopix2pix" / "__init__.py").write_text("WHO = 'the wheel'\n")
    (source / "setup.cfg").write_text(
        "[metadata]\nname = geopix2pix\nversion = 1.0\n[options]\npackages = geopix2pix\n"
    )
    (source / "setup.py").write_text("import setuptools\nsetuptools.setup()\n")
    line = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(folder),
        str(source),
    ]
    subprocess.run(line, check=True, capture_output=True)
    return folder / "geopix2pix-1.0-py3-none-any.whl"


@pytest.mark.slow
def test_an_environment_is_made_used_and_removed(tmp_path: Path) -> None:
    pytest.importorskip(
        "setuptools", minversion="70.1", reason="building a wheel without network needs setuptools here"
    )
    said: list[str] = []
    request = Request(
        tmp_path / "mein Profil" / "environment", str(minimal_wheel(tmp_path)), full=True, wheels=str(tmp_path)
    )
    create(request, "1.0", {**os.environ, "PYTHONHOME": "/nonexistent"}, said.append, lambda: False)
    line = [str(interpreter_in(request.folder)), "-I", "-c", "import geopix2pix; print(geopix2pix.WHO)"]
    assert subprocess.run(line, check=True, capture_output=True, text=True).stdout == "the wheel\n"
    assert any("geopix2pix-1.0" in line for line in said)
    create(request, "1.0", os.environ, said.append, lambda: False)  # an upgrade
    assert remove(request.folder) and not remove(request.folder)


@pytest.mark.slow
def test_a_step_that_fails_or_is_cancelled_leaves_nothing(tmp_path: Path) -> None:
    wheel = tmp_path / "geopix2pix-1.0-py3-none-any.whl"
    wheel.write_bytes(b"no archive")
    request = Request(tmp_path / "environment", str(wheel), full=True, wheels=str(tmp_path))
    with pytest.raises(CommandError, match="python failed"):
        create(request, "1.0", os.environ, print, lambda: False)
    assert not request.folder.exists()
    with pytest.raises(CommandCancelled):
        create(request, "1.0", os.environ, print, lambda: True)
    assert not request.folder.exists()


def test_what_the_plugin_did_not_make_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    wheel = tmp_path / "geopix2pix-1.0-py3-none-any.whl"
    wheel.touch()
    with pytest.raises(CommandError, match="left alone"):
        remove(tmp_path / "mine")
    with pytest.raises(CommandError, match="not the plugin's"):
        create(Request(tmp_path / "mine", str(wheel)), "1.0", os.environ, print, lambda: False)
    (tmp_path / "mine" / MARK).touch()
    assert remove(tmp_path / "mine")


def test_a_python_is_found_or_missed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert Path(found_python()).exists()
    monkeypatch.setattr(environment, "OLDEST", (99, 0))
    with pytest.raises(CommandError, match=r"at least 99\.0"):
        found_python()
