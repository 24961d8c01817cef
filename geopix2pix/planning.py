"""From what is asked for to a job: everything is looked up, checked and settled, nothing is computed."""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import get_args

from rasterio.io import DatasetReader

from geopix2pix.area import area_of_interest, window_around
from geopix2pix.damage import Damage, Damaged
from geopix2pix.engine import EngineName, Means, Precision, check_engine, package_model
from geopix2pix.errors import ConfigError, GeoPix2PixWarning, OutputError, RasterError
from geopix2pix.fit import warn_of_misfits
from geopix2pix.gdal import MAX_PIXELS, open_dataset
from geopix2pix.geogrid import GeoGrid
from geopix2pix.grid import Window, WindowGrid, alignment
from geopix2pix.job import Averaging, Deliver, Job, Results
from geopix2pix.manifest import Manifest
from geopix2pix.model import ModelFile
from geopix2pix.output import Compression, Driver, check_target
from geopix2pix.products import check_kind
from geopix2pix.remote import RemoteFile, Source, located
from geopix2pix.resolution import extent_on, working_grid
from geopix2pix.scene import SceneScaling, open_scene, scene_scaling, warn_of_doubts
from geopix2pix.webexport import tiles_target

DRIVERS: dict[str, Driver] = {"cog": "COG", "gtiff": "GTiff"}
MARGIN = 2
"""Pixels round a region that are worked on if results are delivered on others: its border is nothing special then."""
WITH_PLACE = ("vector", "tiles")
"""Results that say where on the ground they lie."""


def planned(
    source: str | Source | DatasetReader,
    output: str | Path,
    *,
    model: str | Path | None = None,
    engine: EngineName | None = None,
    device: str = "auto",
    threads: int | None = None,
    precision: Precision = "fp32",
    compiled: bool = False,
    batch: int | None = None,
    window: int | None = None,
    overlap: int | None = None,
    average: Sequence[Averaging] = (),
    bands: Sequence[int] | None = None,
    scaling: SceneScaling = "model",
    resolution: float | None = None,
    deliver: Deliver = "source",
    region: str | Path | None = None,
    bounds: Sequence[float] | None = None,
    bounds_crs: str | None = None,
    classes: str | Path | None = None,
    confidence: str | Path | None = None,
    vector: str | Path | None = None,
    min_area: float | None = None,
    clean: int | None = None,
    tiles: str | Path | None = None,
    form: str = "cog",
    compress: Compression = "deflate",
    max_pixels: int = MAX_PIXELS,
    damaged: Damaged = "stop",
    seam_report: str | Path | None = None,
    preview: str | Path | None = None,
    overwrite: bool = False,
) -> Job:
    """The job that `translate` would do with the same arguments, which are described there.

    Raises:
        RasterError, DownloadError: the source cannot be opened or read, or its server does not send it.
        SceneError: the source does not fit the model; the message says which argument helps.
        RegionError, VectorError: the region cannot be used.
        ModelFileError: the model file cannot be used.
        ConfigError: an argument is impossible, alone or with the others.
        OutputError: an output exists and `overwrite` is false, or cannot be written.
    """
    source = located(source) if isinstance(source, str | PathLike | RemoteFile) else _file_of(source)
    means = Means(precision, compiled)
    model = package_model(engine, device, means) if model is None else Path(model)
    results = Results(
        map=Path(output),
        classes=_path(classes),
        confidence=_path(confidence),
        vector=_path(vector),
        min_area=min_area or 0.0,
        clean=clean or 0,
        tiles=None if tiles is None else tiles_target(str(tiles)),
        seam_report=_path(seam_report),
        preview=_path(preview),
        driver=DRIVERS[form],
        compress=compress,
        overwrite=overwrite,
    )
    _check_names(source, model, results)
    if min_area is not None and (vector is None or min_area < 0):
        raise ConfigError(f"--min-area {min_area}: is for the polygons of --vector, in square metres of 0 or more")
    if not set(average) <= {"flips", "shifts"}:
        raise ConfigError(f"--average {','.join(average)}: is flips, shifts or both")
    if damaged not in get_args(Damaged):
        raise ConfigError(f"--damaged {damaged}: is {' or '.join(get_args(Damaged))}")
    loaded = ModelFile.load(model)
    check_engine(loaded, engine, window, means)
    manifest = loaded.manifest
    if clean is not None and (clean < 2 or manifest.target.palette is None):
        raise ConfigError(
            f"--clean {clean}: is 2 pixels or more, for models that paint classes; {manifest.name!r} paints "
            f"{', '.join(manifest.target.names)}"
        )
    for kind, _ in results.rasters:
        check_kind(kind, manifest)
    _check_picture(results, manifest)
    with open_scene(source, manifest, bands, max_pixels, Damage(damaged)) as reader:
        working = working_grid(reader, manifest, resolution)
        where = [name for name in WITH_PLACE if name in results.paths]
        need = where or working or region is not None or bounds is not None
        ground, area, source_extent = GeoGrid.of(reader) if need else None, None, reader.extent
        if ground is not None and (region is not None or bounds is not None):
            area = area_of_interest(ground, reader.extent, _path(region), bounds, bounds_crs)
            source_extent = window_around(ground, area, reader.extent)
        extent, whole = source_extent, reader.extent
        if working is not None and ground is not None:
            margin = MARGIN if deliver == "source" else 0
            whole = extent_on(working, ground, reader.extent)
            extent = extent_on(working, ground, source_extent, margin).intersection(whole)
        grid = fitted_grid(extent, manifest, window, overlap, whole)
        if loaded.window is not None:
            grid = replace(grid, trim=0)
        if confidence is not None and manifest.temperature is None:
            warnings.warn(
                f"model {manifest.name!r} is uncalibrated: its confidence ranks pixels, but is no probability; "
                "calibrate it on pairs with `geopix2pix model calibrate`",
                GeoPix2PixWarning,
                stacklevel=2,
            )
        chosen_scaling = scene_scaling(reader, manifest, scaling)
        warn_of_doubts(reader, manifest)
        warn_of_misfits(reader, manifest, chosen_scaling)
        return Job(
            source=source,
            model=model,
            digest=loaded.digest,
            manifest=manifest,
            device=device,
            threads=threads,
            means=means,
            batch=batch,
            average=tuple(sorted(set(average))),
            bands=reader.bands,
            expand_colors=len(reader.band_names) != len(reader.bands),
            max_pixels=max_pixels,
            damaged=damaged,
            scaling=chosen_scaling,
            identity=reader.identity(),
            georeference=reader.georeference,
            size=(reader.width, reader.height),
            ground=ground,
            working=working,
            deliver=deliver,
            extent=extent,
            source_extent=source_extent,
            region=area,
            grid=grid,
            results=results,
        )


def _file_of(dataset: DatasetReader) -> Path:
    """The file of an open dataset, which shows that file as it is.

    Raises:
        RasterError: it is closed, or shows something else: a warped view, one level of overviews, an array in memory.
    """
    path = Path(dataset.name)
    if dataset.closed:
        raise RasterError(f"{path}: the dataset is closed; open it, or give its path")
    if type(dataset) is DatasetReader and path.is_file():
        with open_dataset(path) as file:
            if (file.width, file.height, file.count) == (dataset.width, dataset.height, dataset.count):
                return path
    raise RasterError(
        f"{dataset.name}: is no dataset of a whole local file; give `translate_array` its read(), dataset_mask(), crs "
        "and transform"
    )


def _path(text: str | Path | None) -> Path | None:
    return None if text is None else Path(text)


def _check_names(source: Source, model: Path, results: Results) -> None:
    """Nothing, if the results may have these names.

    Raises:
        OutputError: one of them exists, or has a name that something else has, or lies elsewhere than the others.
        ConfigError: an ending stands for no format.
    """
    names = list(results.paths.items())
    for number, (kind, target) in enumerate(names):
        if kind == "tiles" and target.is_dir():
            if any(target.iterdir()) and not results.overwrite:
                raise OutputError(f"{target}: holds something already; name another folder or allow to overwrite it")
        else:
            check_target(target, source if isinstance(source, Path) else None, overwrite=results.overwrite)
        others = (model.absolute(), *(other.absolute() for _, other in names[:number]))
        if target.absolute() in others:
            raise OutputError(f"{target}: is asked for twice, or is the model; give each result a name of its own")
        if target.absolute().parent.stat().st_dev != results.map.absolute().parent.stat().st_dev:
            raise OutputError(f"{target}: lies on another disk than {results.map}, with which it appears; use one disk")
    for kind in ("map", "classes", "confidence"):
        if kind in results.paths and results.paths[kind].suffix.lower() not in (".tif", ".tiff"):
            raise OutputError(f"{results.paths[kind]}: the result is a GeoTIFF; give it a name that ends in .tif")
    if results.vector is not None:
        from geopix2pix.mapvectors import check_vector  # pyogrio is no part of a light installation

        check_vector(results.vector)


def _check_picture(results: Results, manifest: Manifest) -> None:
    target = manifest.target
    if results.vector is not None:
        check_kind("classes", manifest)
    if results.tiles is not None and (target.dtype != "uint8" or len(target.names) not in (1, 3)):
        raise ConfigError(
            f"--tiles: web-map tiles are pictures of 8 bits, but the model {manifest.name!r} writes "
            f"{len(target.names)} band(s) of {target.dtype}; leave out --tiles"
        )


def fitted_grid(
    extent: Window,
    manifest: Manifest,
    window: int | None = None,
    overlap: int | None = None,
    whole: Window | None = None,
) -> WindowGrid:
    """The windows of the whole scene, by default the extent, that have weight in its `extent`."""
    stride = manifest.total_stride
    side = manifest.window if window is None else window
    if side <= 0 or side % min(stride, manifest.window):
        raise ConfigError(
            f"--window {side}: the model {manifest.name!r} needs a positive multiple of {min(stride, manifest.window)}"
        )
    if overlap is None:
        unit = alignment(side, stride)
        overlap = side - max(-(-(side - min(manifest.overlap, side // 2)) // unit), 1) * unit
    grid = WindowGrid.fitted(extent.width, extent.height, window=side, overlap=overlap, stride=stride)
    # A network that sees where its window ends is shown windows of one size only.
    trim = stride if manifest.tile_independent and stride < side else 0
    return replace(grid, trim=trim, whole=(whole or extent).shifted(-extent.col, -extent.row))
