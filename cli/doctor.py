"""The command `geopix2pix doctor`."""

import json
import os
import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import click

import geopix2pix

from . import options
from .report import Report
from .session import MENDABLE

PACKAGES = ("torch", "rasterio", "numpy", "safetensors", "segmentation_models_pytorch", "timm", "shapely", "pyogrio")
REINSTALL = "install geopix2pix again in a virtual environment of its own"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found."""

    check: str
    verdict: Literal["ok", "doubtful", "broken"]
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
    yield from map(_package, PACKAGES)
    yield _tried("GDAL", _gdal, REINSTALL)
    yield _tried("PROJ", _proj, f"unset PROJ_LIB and PROJ_DATA if they are set; otherwise {REINSTALL}")
    yield _tried("torch", _torch, REINSTALL)
    yield _tried("encoders", _encoders, REINSTALL)
    yield _tried("default model", _default_model, REINSTALL)
    yield from _environment()


def _package(name: str) -> Finding:
    try:
        return Finding(name, "ok", version(name))
    except PackageNotFoundError:
        return Finding(name, "broken", "not installed", REINSTALL)


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


def _default_model() -> str:
    from geopix2pix.model import ModelFile, default_model

    loaded = ModelFile.load(default_model())
    return f"{loaded.manifest.name} {loaded.manifest.version}, SHA-256 {loaded.digest}"


def _environment() -> Iterator[Finding]:
    """Variables by which other programs, QGIS above all, lead ours to their own files."""
    for name in ("PROJ_DATA", "PROJ_LIB", "GDAL_DATA", "GDAL_DRIVER_PATH", "PYTHONHOME", "PYTHONPATH"):
        if value := os.environ.get(name):
            yield Finding(name, "doubtful", f"is set to {value}", f"unset {name}, unless you set it for geopix2pix")
