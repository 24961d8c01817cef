"""The command `geopix2pix doctor`."""

import json
import os
import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import click

import geopix2pix

from . import options
from .report import Report
from .session import MENDABLE

ESSENTIAL = ("rasterio", "numpy", "shapely", "safetensors", "filelock", "click", "rich")
OPTIONAL = {
    "torch": "train, export, and translate with trained models (.safetensors)",
    "segmentation_models_pytorch": "do so with networks on an encoder, such as the default model",
    "timm": "do so with networks on an encoder, such as the default model",
    "onnxruntime": "translate with exported models (.onnx), and export",
    "onnx": "export",
    "onnxscript": "export",
    "pyogrio": "read regions, write polygons, and build tiles from vectors",
    "mercantile": "read tiles of maps",
}
"""What each package is for; without some of them an installation is lighter, not broken."""
REINSTALL = "install geopix2pix again in a virtual environment of its own"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found."""

    check: str
    verdict: Literal["ok", "absent", "doubtful", "broken"]
    found: str
    remedy: str = ""


@click.command()
@options.as_json
@options.query
def doctor(*, as_json: bool, report: Report) -> None:
    """Check the installation; the exit code is 1 if something essential is broken."""
    findings = list(_findings())
    report.result(json.dumps([asdict(f) for f in findings], indent=2) if as_json else "\n".join(map(_line, findings)))
    if any(f.verdict == "broken" for f in findings):
        raise SystemExit(MENDABLE)


def _line(finding: Finding) -> str:
    remedy = f"\n{'':10}{finding.remedy}" if finding.remedy else ""
    return f"{finding.verdict:10}{finding.check}: {finding.found}{remedy}"


def _findings() -> Iterator[Finding]:
    yield Finding("python", "ok", f"{platform.python_version()} on {platform.platform()}, {sys.executable}")
    yield Finding("geopix2pix", "ok", f"{geopix2pix.__version__} in {Path(geopix2pix.__file__).parent}")
    packages = [*map(_essential, ESSENTIAL), *(_optional(name, work) for name, work in OPTIONAL.items())]
    there = {finding.check for finding in packages if finding.verdict == "ok"}
    yield _installation(there)
    yield from packages
    yield _tried("GDAL", _gdal, REINSTALL)
    yield _tried("PROJ", _proj, f"unset PROJ_LIB and PROJ_DATA if they are set; otherwise {REINSTALL}")
    if "torch" in there:
        yield _tried("torch devices", _torch, REINSTALL)
    if {"torch", "segmentation_models_pytorch"} <= there:
        yield _tried("encoders", _encoders, REINSTALL)
    if "onnxruntime" in there:
        yield _tried("onnxruntime devices", _onnxruntime, REINSTALL)
    yield _tried("default model", lambda: _default_model(exported=False), REINSTALL)
    yield _tried("default model, exported", lambda: _default_model(exported=True), REINSTALL)
    yield from _environment()


def _installation(there: set[str]) -> Finding:
    """Which of the two sets of packages is installed, and what it is good for."""
    if not there & {"torch", "onnxruntime"}:
        found = "neither torch nor onnxruntime is installed, so that nothing can be computed"
        return Finding("installation", "broken", found, REINSTALL)
    missing = OPTIONAL.keys() - there
    if not missing:
        return Finding("installation", "ok", "full: everything works")
    if "torch" not in there:
        found = "light: translates with exported models (.onnx); training and exporting need the full one"
        return Finding("installation", "ok", found, "pip install geopix2pix makes it full")
    return Finding("installation", "ok", f"without {', '.join(sorted(missing))}", "pip install geopix2pix adds them")


def _essential(name: str) -> Finding:
    found = _version(name)
    return Finding(name, "ok", found) if found else Finding(name, "broken", "not installed", REINSTALL)


def _optional(name: str, work: str) -> Finding:
    found = _version(name)
    return Finding(name, "ok", found) if found else Finding(name, "absent", "not installed", f"only needed to {work}")


def _version(name: str) -> str | None:
    try:
        return version(name) if find_spec(name) else None
    except (PackageNotFoundError, ImportError):
        return None


def _tried(check: str, facts: Callable[[], str], remedy: str) -> Finding:
    """The facts, or how they could not be had: an installation can be broken in any way."""
    try:
        return Finding(check, "ok", facts())
    except Exception as error:
        return Finding(check, "broken", " ".join(f"{type(error).__name__}: {error}".split()), remedy)


def _gdal() -> str:
    import rasterio
    from rasterio.env import GDALDataFinder

    with rasterio.Env() as env:
        missing = sorted({"GTiff", "COG", "VRT"} - env.drivers().keys())
    if missing:
        raise RuntimeError(f"GDAL {rasterio.__gdal_version__} has no driver {', '.join(missing)}")
    return f"{rasterio.__gdal_version__}, its data in {os.environ.get('GDAL_DATA') or GDALDataFinder().search()}"


def _proj() -> str:
    import rasterio
    from rasterio.crs import CRS
    from rasterio.env import PROJDataFinder
    from rasterio.warp import transform

    (x,), (y,) = transform(CRS.from_epsg(4326), CRS.from_epsg(32633), [15.0], [52.0])
    if abs(x - 500_000) > 1 or abs(y - 5_761_038) > 1:
        raise RuntimeError(f"52 N 15 E in UTM zone 33 comes out as {x:.0f}, {y:.0f} instead of 500000, 5761038")
    # rasterio asks the environment first, and in this order.
    chosen = os.environ.get("PROJ_DATA") or os.environ.get("PROJ_LIB") or PROJDataFinder().search()
    return f"{rasterio.__proj_version__}, its data in {chosen}"


def _torch() -> str:
    from geopix2pix.device import describe

    return ", ".join(f"{name} {value}" for name, value in describe().items())


def _encoders() -> str:
    import segmentation_models_pytorch

    return f"{len(segmentation_models_pytorch.encoders.get_encoder_names())} encoders, and those of timm"


def _onnxruntime() -> str:
    import onnxruntime

    return f"onnxruntime {onnxruntime.__version__}, devices cpu"


def _default_model(*, exported: bool) -> str:
    from geopix2pix.model import ModelFile, default_model

    loaded = ModelFile.load(default_model(exported=exported))
    return f"{loaded.manifest.name} {loaded.manifest.version}, SHA-256 {loaded.digest}"


def _environment() -> Iterator[Finding]:
    """Variables by which other programs, QGIS above all, lead ours to their own files."""
    for name in ("PROJ_DATA", "PROJ_LIB", "GDAL_DATA", "GDAL_DRIVER_PATH", "PYTHONHOME", "PYTHONPATH"):
        if value := os.environ.get(name):
            yield Finding(name, "doubtful", f"is set to {value}", f"unset {name}, unless you set it for geopix2pix")
