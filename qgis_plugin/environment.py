"""The plugin's own Python environment: made, checked and removed. Standard library only, and never QGIS's Python."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from .command import NO_WINDOW, CommandCancelled, CommandError, cleaned, lines_of

LIGHT = (
    "click>=8.1",
    "filelock>=3.12",
    "mercantile>=1.2",
    "numpy>=1.24",
    "onnxruntime>=1.17",
    "rasterio>=1.4.4",
    "rich>=13",
    "safetensors>=0.4",
    "shapely>=2.0",
)
"""What translating with exported models needs, as in light.txt of the repository."""
POLYGONS = "pyogrio>=0.7"
"""What reads the polygons to translate in and writes those of the classes; light.txt leaves it out."""
MARK = "geopix2pix-environment"  # a file in the folder: only what the plugin made is removed by it
OLDEST = (3, 10)
WHEEL = re.compile(r"geopix2pix-(?P<version>[0-9][0-9A-Za-z.+!]*)-py3-none-any\.whl")
ADDRESS = re.compile(r"https://[^#\s]+#sha256=[0-9a-f]{64}")

Told = Callable[[str], None]
Cancelled = Callable[[], bool]


class Request(NamedTuple):
    """An environment that is wanted."""

    folder: Path
    wheel: str
    """geopix2pix itself: the path of a wheel, or `https://...whl#sha256=...`."""
    full: bool = False
    """Whether it trains, too: gigabytes more."""
    base: str = ""
    """The Python that it is made with; "" = one that is found."""
    wheels: str = ""
    """A folder with wheels of all packages, for computers without a network."""
    proxy: str = ""


def create(request: Request, version: str, variables: Mapping[str, str], told: Told, cancelled: Cancelled) -> None:
    """Make or upgrade an environment with the geopix2pix of `version`; `told` gets the lines of what is done.

    Raises:
        CommandError: the wheel is of another version or not pinned, no Python is fit, or a step failed.
        CommandCancelled: `cancelled` said so. A new environment is removed again.
    """
    wheel = _checked_wheel(request.wheel, version)
    if request.folder.exists() and not (request.folder / MARK).exists():
        raise CommandError(f"{request.folder}: is there already and is not the plugin's; move it away")
    fresh = not request.folder.exists()
    base = request.base or found_python()
    python = interpreter_in(request.folder)
    pip = [str(python), "-I", "-m", "pip", "install", "--upgrade", "--disable-pip-version-check", "--no-input"]
    if request.wheels:
        pip += ["--no-index", "--find-links", request.wheels]
    if request.proxy:
        pip += ["--proxy", request.proxy]
    try:
        if fresh:
            _step([base, "-I", "-m", "venv", str(request.folder)], variables, told, cancelled)
            (request.folder / MARK).write_text(version, encoding="utf-8")
        if request.full:
            _step([*pip, wheel], variables, told, cancelled)
        else:
            _step([*pip, *LIGHT, POLYGONS], variables, told, cancelled)
            _step([*pip, "--no-deps", wheel], variables, told, cancelled)
    except (CommandError, CommandCancelled):
        if fresh:
            shutil.rmtree(request.folder, ignore_errors=True)
        raise


def remove(folder: Path) -> bool:
    """Remove an environment that the plugin made; whether there was one.

    Raises:
        CommandError: the folder is not the plugin's, or something in it is in use.
    """
    if not folder.exists():
        return False
    if not (folder / MARK).exists():
        raise CommandError(f"{folder}: was not made by the plugin, so it is left alone")
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise CommandError(f"{folder}: cannot be removed ({error}); stop what runs in it and try again") from error
    return True


def interpreter_in(environment: Path) -> Path:
    """The interpreter of a virtual environment."""
    return environment / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def found_python() -> str:
    """A Python that can make an environment: the one beside QGIS, or the first on the path.

    Raises:
        CommandError: there is none that is new enough.
    """
    beside = Path(sys.exec_prefix) / ("python.exe" if sys.platform == "win32" else "bin/python3")
    candidates = (str(beside), shutil.which("python3") or "", shutil.which("python") or "")
    question = [*("-I", "-c"), f"import sys, venv, ensurepip; sys.exit(sys.version_info < {OLDEST})"]
    for candidate in candidates:
        if candidate and Path(candidate).exists():
            asked = subprocess.run([candidate, *question], capture_output=True, check=False)  # noqa: S603 - found, no shell
            if asked.returncode == 0:
                return candidate
    wanted = ".".join(map(str, OLDEST))
    raise CommandError(f"no Python of at least {wanted} with venv was found; install one, or name it under Python")


def _checked_wheel(wheel: str, version: str) -> str:
    """What pip is given: a path, or an address with a hash that pip checks; never a bare name."""
    name = WHEEL.fullmatch(wheel.partition("#")[0].replace("\\", "/").rpartition("/")[2])
    if name is None:
        raise CommandError(f"{wheel!r}: no wheel of geopix2pix; give a path or address that ends in -py3-none-any.whl")
    if name["version"] != version:
        raise CommandError(
            f"{wheel}: is of version {name['version']}, the plugin of {version}; get the one that matches"
        )
    if "://" in wheel:
        if not ADDRESS.fullmatch(wheel):
            raise CommandError(f"{wheel}: an address must be https and end in #sha256= and 64 digits, to be checked")
        return wheel
    if not Path(wheel).is_file():
        raise CommandError(f"{wheel}: is not there; download the wheel first")
    return str(Path(wheel).resolve())


def _step(line: Sequence[str], variables: Mapping[str, str], told: Told, cancelled: Cancelled) -> None:
    """Run one step to its end; its last line is the message if it fails."""
    told(" ".join(line))
    try:
        child = subprocess.Popen(  # noqa: S603 - a list, no shell
            line, env=cleaned(variables), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            creationflags=NO_WINDOW,
        )  # fmt: skip
    except OSError as error:
        raise CommandError(f"{line[0]}: cannot be started ({error.strerror or error}); name another Python") from error
    last = "it said nothing"
    with child:
        try:
            for said in lines_of(child, cancelled):
                told(text := said.decode(errors="replace").rstrip())
                last = text if text.strip() else last
        except CommandCancelled:
            child.kill()
            raise
    if child.returncode:
        raise CommandError(f"{Path(line[0]).name} failed: {last}")
