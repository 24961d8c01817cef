"""Translations of scenes that are in memory."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import CRSError

from geopix2pix.engine import EngineName, package_model
from geopix2pix.errors import ConfigError, SceneError
from geopix2pix.gdal import environment, guarded, unreferenced_allowed
from geopix2pix.job import Averaging, Job
from geopix2pix.model import ModelFile
from geopix2pix.output import writing
from geopix2pix.planning import planned
from geopix2pix.progress import Progress, silent
from geopix2pix.raster import IDENTITY
from geopix2pix.scene import SceneScaling
from geopix2pix.translation import run

SCENE = {"driver": "GTiff", "photometric": "minisblack", "tiled": True, "BIGTIFF": "IF_SAFER"}


class Translation(NamedTuple):
    """A map in memory, on the pixels of its scene."""

    map: npt.NDArray[Any]
    """The bands of the model's target, (bands, rows, cols); 0 where not `valid`."""
    valid: npt.NDArray[np.bool_]
    """(rows, cols), True where the scene holds data."""
    classes: npt.NDArray[np.uint8] | None
    """Indices of the palette's classes, (rows, cols), 255 where not `valid`; None for a model without classes."""
    confidence: npt.NDArray[np.uint8] | None
    """The probability of these classes in percent, likewise; None if it was not asked for."""
    names: tuple[str, ...]
    """Of the bands of the map."""
    class_names: tuple[str, ...]
    """Of the classes; none for a model without."""


def translate_array(
    data: npt.NDArray[Any],
    *,
    valid: npt.NDArray[Any] | None = None,
    crs: CRS | str | None = None,
    transform: Affine | None = None,
    confidence: bool = False,
    model: str | Path | None = None,
    engine: EngineName | None = None,
    device: str = "auto",
    threads: int | None = None,
    batch: int | None = None,
    window: int | None = None,
    overlap: int | None = None,
    average: Sequence[Averaging] = (),
    scaling: SceneScaling = "model",
    resolution: float | None = None,
    folder: str | Path | None = None,
    progress: Progress = silent,
) -> Translation:
    """Translate an array of shape (bands, rows, cols), or (rows, cols) for one band; the same as of a file of it.

    The bands are those that the model reads, in its order. A pixel counts if it is finite in all of them and not 0 in
    `valid`, of shape (rows, cols), such as the `dataset_mask()` of a dataset. `crs` and `transform` say where the scene
    lies; without them it is worked on in its own pixels. All other arguments are those of `translate`. What is being
    worked on lies in `folder`, by default that for temporary files, until it is done.

    Raises:
        SceneError: the array does not fit the model; the message says which argument helps.
        ModelFileError: the model file cannot be used.
        ConfigError: an argument is impossible, alone or with the others.
        OutputError: there is no room in the folder.
        Cancelled: `progress` asked to stop.
    """
    bands = data[None] if data.ndim == 2 else data
    _check(bands, valid)
    with TemporaryDirectory(prefix="geopix2pix-", dir=folder) as place:
        scene = Path(place) / "array.tif"
        _store(scene, bands, valid, _crs(crs), transform)
        options: dict[str, Any] = {
            "model": package_model(engine, device) if model is None else model,
            "engine": engine,
            "device": device,
            "threads": threads,
            "batch": batch,
            "window": window,
            "overlap": overlap,
            "average": average,
            "scaling": scaling,
            "resolution": resolution,
            "bands": range(1, len(bands) + 1),
            "form": "gtiff",
        }
        has_classes = ModelFile.load(options["model"]).manifest.target.palette is not None
        for name, wanted in (("classes", has_classes), ("confidence", confidence)):
            options[name] = scene.with_name(f"{name}.tif") if wanted else None
        job = planned(scene, scene.with_name("map.tif"), **options)
        run(job, progress=progress)
        return _loaded(job)


def _check(bands: npt.NDArray[Any], valid: npt.NDArray[Any] | None) -> None:
    if bands.ndim != 3 or 0 in bands.shape:
        raise SceneError(f"an array (bands, rows, cols) is needed, found the shape {bands.shape}; none may be 0")
    if bands.dtype.kind not in "uif" or bands.dtype == np.float16:
        raise SceneError(f"an array of integers or of float32 or float64 is needed, found {bands.dtype}; convert it")
    if valid is not None and valid.shape != bands.shape[1:]:
        raise SceneError(f"`valid` must have the shape of a band, {bands.shape[1:]}, found {valid.shape}")


def _crs(crs: CRS | str | None) -> CRS | None:
    try:
        with environment():
            return CRS.from_user_input(crs) if crs is not None else None
    except CRSError as error:
        raise ConfigError(f"crs {crs!r}: is not understood ({error}); give a code such as EPSG:32633") from error


def _store(
    path: Path, bands: npt.NDArray[Any], valid: npt.NDArray[Any] | None, crs: CRS | None, transform: Affine | None
) -> None:
    count, height, width = bands.shape
    size = {"count": count, "height": height, "width": width, "dtype": bands.dtype}
    with writing(path), unreferenced_allowed():
        place = {"crs": crs, "transform": IDENTITY if transform is None else transform}
        with rasterio.open(path, "w", sharing=False, **SCENE, **size, **place) as dataset:
            dataset.write(bands)
            if valid is not None:
                dataset.write_mask(valid != 0)


def _loaded(job: Job) -> Translation:
    paths, target = job.results.paths, job.manifest.target
    with guarded(paths["map"], "read it"), unreferenced_allowed():
        with rasterio.open(paths["map"], sharing=False) as dataset:
            found, valid = dataset.read(), dataset.dataset_mask() != 0
        others = {}
        for name in ("classes", "confidence"):
            if name in paths:
                with rasterio.open(paths[name], sharing=False) as dataset:
                    others[name] = dataset.read(1)
    return Translation(
        map=found,
        valid=valid,
        classes=others.get("classes"),
        confidence=others.get("confidence"),
        names=target.names,
        class_names=() if target.palette is None else target.palette.names,
    )
