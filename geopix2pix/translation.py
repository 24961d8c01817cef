"""A georeferenced scene in, a georeferenced map on the same grid out."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geopix2pix.area import WorkArea
from geopix2pix.blend import Blender
from geopix2pix.engine import Engine, EngineName, load_engine
from geopix2pix.errors import ConfigError, OutputError, SceneError
from geopix2pix.gdal import MAX_PIXELS
from geopix2pix.grid import WindowGrid
from geopix2pix.job import Job, opened, planned
from geopix2pix.model import ModelFile
from geopix2pix.mosaic import PatchSource, pieces
from geopix2pix.normalize import Scaling
from geopix2pix.output import Compression
from geopix2pix.parts import found_shards, shard_folder, shard_parameters
from geopix2pix.preview import side_by_side
from geopix2pix.products import painted
from geopix2pix.progress import Event, Progress, silent
from geopix2pix.raster import RasterReader
from geopix2pix.scene import SceneScaling
from geopix2pix.seams import measured_seams
from geopix2pix.writer import RasterWriter

GPU_BATCH = 8  # keeps a GPU busy with windows of 512 pixels; on a CPU batches cost memory and save no time

Paint = Callable[[npt.NDArray[np.float32]], Sequence[npt.NDArray[Any]]]
"""Blended values (channels, rows, cols) to the pixels of each product."""


def translate(
    source: str | Path,
    output: str | Path,
    *,
    model: str | Path | None = None,
    engine: EngineName | None = None,
    device: str = "auto",
    threads: int | None = None,
    batch: int | None = None,
    window: int | None = None,
    overlap: int | None = None,
    bands: Sequence[int] | None = None,
    scaling: SceneScaling = "model",
    region: str | Path | None = None,
    bounds: Sequence[float] | None = None,
    bounds_crs: str | None = None,
    classes: str | Path | None = None,
    confidence: str | Path | None = None,
    form: str = "cog",
    compress: Compression = "deflate",
    max_pixels: int = MAX_PIXELS,
    seam_report: str | Path | None = None,
    preview: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Path:
    """Translate the raster `source` with a model into `output`, a cloud-optimised GeoTIFF; its path.

    The result has the source's pixels, CRS and transform; what is not valid in the source is masked in it. A run that
    was killed or cancelled goes on where it stopped when it is called again with the same arguments. All results appear
    together, when all is done.

    What computes: `model` defaults to the one in the package, `engine` to the one that computes files of its kind,
    `window` and `overlap` (pixels) to the model's own, `threads` to the engine's choice, `bands` (1-based) to the
    scene's bands of the names that the model reads.

    Where: only inside the polygons of the vector file `region`, or the rectangle `bounds` (left, bottom, right, top, in
    `bounds_crs`, by default the scene's). The result then covers their bounding window; its pixels are those that the
    translation of the whole scene has there, and all others are masked.

    What comes out: `form` is `cog` or `gtiff`. `classes` is a GeoTIFF for the indices of the palette's classes,
    `confidence` one for the probability of the painted class in percent. `seam_report` is a JSON file for the seam
    measures of this scene and model, `preview` a PNG that shows scene and result side by side.

    Raises:
        RasterError: the source cannot be opened or read.
        SceneError: the source does not fit the model; the message says which argument helps.
        RegionError, VectorError: the region cannot be used.
        ModelFileError: the model file cannot be used.
        ConfigError: an argument is impossible, alone or with the others.
        OutputError: an output exists and `overwrite` is false, or cannot be written.
        Cancelled: `progress` asked to stop.
    """
    job = planned(
        source,
        output,
        model=model,
        engine=engine,
        device=device,
        threads=threads,
        batch=batch,
        window=window,
        overlap=overlap,
        bands=bands,
        scaling=scaling,
        region=region,
        bounds=bounds,
        bounds_crs=bounds_crs,
        classes=classes,
        confidence=confidence,
        form=form,
        compress=compress,
        max_pixels=max_pixels,
        seam_report=seam_report,
        preview=preview,
        overwrite=overwrite,
    )
    return run(job, progress=progress)


def run(job: Job, *, rows: range | None = None, progress: Progress = silent) -> Path:
    """Do a job; the path of the map.

    With `rows`, a share of its rows of windows, only these are computed, and the path is that of the folder beside the
    output that holds them. `assemble` makes the same results of all of these folders as a run without `rows`.

    Raises:
        RasterError: the source cannot be read, or was changed since the job was planned.
        SceneError: the source holds no valid pixel.
        ModelFileError: the model file cannot be used, or was changed since.
        ConfigError: the device is not there or has too little memory, or there are no such rows.
        OutputError: an output cannot be written.
        Cancelled: `progress` asked to stop.
    """
    _check_rows(job, rows)
    with opened(job) as reader:
        engine = _loaded(job)
        batch = job.batch or (1 if engine.device_type == "cpu" else GPU_BATCH)
        report = None
        if job.seam_report is not None:  # before the map is written: what cannot be measured is refused before the work
            area = _area(job, reader, crop=0)
            report = measured_seams(area, engine, job.scaling, job.grid, batch=batch, progress=progress)
        writer = _writer(job, engine.parameters, rows)
        with writer:
            paint = partial(_painted, job)
            area = _area(job, reader, crop=job.grid.crop)
            write_rows(area, engine, job.scaling, job.grid, writer, paint, batch, progress, rows)
            if rows is not None:
                return shard_folder(job.output, rows)
            _finish(job, writer, progress, report)
    return job.output


def assemble(job: Job, *, progress: Progress = silent) -> Path:
    """Make the results of a job whose rows of windows were all computed by `run`, in shares; the path of the map.

    Nothing is computed: neither the engine nor the source is needed. The folders of the shares are removed.

    Raises:
        OutputError: a row is missing, or damaged, or was computed otherwise than the others; or as for `run`.
        SceneError: the source holds no valid pixel.
    """
    shards = found_shards(job.output)
    if not shards:
        raise OutputError(f"{job.output}: no shares of it lie beside it; compute them first, or put them there")
    settings = shard_parameters(job.output, shards[0])
    engine = {name: value for name, value in settings.items() if name not in job.parameters}
    with _writer(job, engine, None) as writer, writer.adopt(shards, job.grid.rows):
        _finish(job, writer, progress, None)
    return job.output


def write_rows(
    source: PatchSource,
    engine: Engine,
    scaling: Scaling,
    grid: WindowGrid,
    writer: RasterWriter,
    paint: Paint,
    batch: int,
    progress: Progress,
    rows: range | None = None,
) -> None:
    """Translate those rows of windows, of all or of some, that `writer` does not hold yet."""
    blender = Blender(grid, engine.manifest.generator.out_channels)
    rows = range(grid.rows) if rows is None else rows
    first = begin = rows.start + writer.finished_rows
    if writer.carry is not None:
        blender.resume(first, writer.carry)
    elif first > 0:  # what a row carries depends on its own windows alone, so the row above is computed for it
        begin = first - 1
        blender.resume(begin, np.zeros_like(blender.carry))
    total = grid.columns * len(rows)
    progress(Event("translate", (first - rows.start) * grid.columns, total, "windows"))
    if first == rows.stop:
        return
    for piece in pieces(source, engine.predict, scaling, blender, batch, begin):
        if piece.row >= first:
            data, *beside = paint(piece.values)
            writer.write(piece.window, data, piece.valid, *beside)
            if piece.column == grid.columns - 1:
                writer.finish_row(blender.carry)
            done = (piece.row - rows.start) * grid.columns + piece.column + 1
            progress(Event("translate", done, total, "windows"))
        if (piece.row, piece.column) == (rows.stop - 1, grid.columns - 1):
            return


def _check_rows(job: Job, rows: range | None) -> None:
    if rows is None:
        return
    if not (0 <= rows.start < rows.stop <= job.grid.rows and rows.step == 1):
        raise ConfigError(f"rows {rows.start} to {rows.stop} were asked for, the scene has rows 0 to {job.grid.rows}")
    if job.seam_report is not None:
        raise ConfigError("--seam-report measures a whole scene; ask for it in a run of its own, not in a shard")


def _loaded(job: Job) -> Engine:
    # Engines take seconds to load: not before the request is known to be good.
    loaded = ModelFile.load(job.model)
    if loaded.digest != job.digest:
        raise ConfigError(f"{job.model}: was changed after it was looked at; start again, and leave it as it is")
    return load_engine(loaded, device=job.device, threads=job.threads)


def _area(job: Job, reader: RasterReader, crop: int) -> WorkArea:
    read = partial(reader.read, fill_empty=False)
    bands = len(job.manifest.source.names)
    return WorkArea(read, bands, reader.dtype, job.extent, job.region, job.ground, crop)


def _writer(job: Job, engine: dict[str, Any], rows: range | None) -> RasterWriter:
    (path, spec), *beside = job.products(engine)
    top = 0 if rows is None else job.grid.finished(0, rows.start).row
    return RasterWriter(
        path,
        spec,
        parameters={**job.parameters, **engine},
        beside=beside,
        rows=rows,
        top=top,
        overwrite=job.overwrite,
    )


def _painted(job: Job, values: npt.NDArray[np.float32]) -> list[npt.NDArray[Any]]:
    return [painted(kind, values, job.manifest) for kind, _ in job.outputs]


def _finish(job: Job, writer: RasterWriter, progress: Progress, report: dict[str, Any] | None) -> None:
    if writer.is_empty:
        where = "the region " if job.region is not None else ""
        raise SceneError(
            f"{job.source}: {where}holds no valid pixel, so there is nothing to translate; is its nodata right?"
        )
    writer.assemble(progress, partial(_derived, job, report))


def _derived(
    job: Job, report: dict[str, Any] | None, folder: Path, finished: Sequence[Path]
) -> list[tuple[Path, Path]]:
    """What is made of the finished rasters, each with the name that it is to get."""
    derived = []
    if report is not None and job.seam_report is not None:
        report = {"scene": job.source.name, "model": job.settings["model"], **report}
        derived.append((_stored(folder / "seams.json", json.dumps(report, indent=2).encode()), job.seam_report))
    if job.preview is not None:
        picture = side_by_side(job.source, finished[0], job.bands, job.extent, job.max_pixels)
        derived.append((_stored(folder / "preview.png", picture), job.preview))
    return derived


def _stored(file: Path, data: bytes) -> Path:
    file.write_bytes(data)
    return file
