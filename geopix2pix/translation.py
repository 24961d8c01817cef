"""A georeferenced scene in, a georeferenced map on the same grid out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rasterio.io import DatasetReader

from geopix2pix.damage import Damage, Damaged
from geopix2pix.engine import Engine, EngineName, Precision, load_engine
from geopix2pix.errors import ConfigError, OutputError
from geopix2pix.finishing import finish, warn_of_damage
from geopix2pix.gdal import MAX_PIXELS
from geopix2pix.job import Averaging, Deliver, Job
from geopix2pix.model import ModelFile
from geopix2pix.output import Compression
from geopix2pix.painting import painter, write_rows
from geopix2pix.parts import found_shards, shard_folder, shard_parameters
from geopix2pix.planning import planned
from geopix2pix.progress import Progress, silent
from geopix2pix.remote import Source
from geopix2pix.scene import SceneScaling
from geopix2pix.seams import measured_seams
from geopix2pix.sight import shown, unchanged
from geopix2pix.steadying import Steadied
from geopix2pix.writer import RasterWriter

GPU_BATCH = 8  # keeps a GPU busy with windows of 512 pixels; on a CPU batches cost memory and save no time


def translate(
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
    progress: Progress = silent,
) -> Path:
    """Translate the raster `source` with a model into `output`, a cloud-optimised GeoTIFF; its path.

    `source` may also be the http or https address of a GeoTIFF, or an open dataset of a file; for other datasets and
    for arrays there is `translate_array`.

    The result has the source's pixels, CRS and transform; what is not valid in the source is masked in it. A run that
    was killed or cancelled goes on where it stopped when it is called again with the same arguments. All results appear
    together, when all is done.

    What computes: `model` defaults to the one in the package, `engine` to the one that computes files of its kind,
    `window` and `overlap` (pixels) to the model's own, `threads` to the engine's choice, `bands` (1-based) to the
    scene's bands of the names that the model reads. `precision` (fp32, bf16 or fp16) and `compiled` are for torch, and
    change results a little. `average` over the `flips` or `shifts` of each window takes 4 times as long, both 16 times.

    On which pixels: the scene's own, if the model knows their size or does not tell which it knows; else on pixels of
    the nearest size that it knows, or of `resolution` metres. The results lie on the pixels of the scene then, too, or
    with `deliver="working"` on those that were worked on.

    Where: only inside the polygons of the vector file `region`, or the rectangle `bounds` (left, bottom, right, top, in
    `bounds_crs`, by default the scene's). The result then covers their bounding window; its pixels are those that the
    translation of the whole scene has there, and all others are masked.

    What comes out: `form` is `cog` or `gtiff`. `classes` is a GeoTIFF for the indices of the palette's classes,
    `confidence` one for the probability of the painted class in percent. `vector` is a file for polygons of the classes
    (.gpkg, .geojson or .fgb) of at least `min_area` square metres. Regions of fewer than `clean` pixels, as they are
    worked on, join their largest neighbour, in all results; `tiles` are web-map tiles (OUT.mbtiles, OUT.pmtiles
    or `xyz:DIR/{z}/{x}/{y}.png`). `seam_report` is a JSON file for the seam measures of this scene and model, `preview`
    a PNG that shows scene and result side by side.

    What cannot be decoded in a damaged scene ends the work or, with `damaged="mask"`, is masked: whole blocks of the
    file, of which a SceneWarning and a tag of the results tell.

    Raises:
        RasterError: the source cannot be opened or was changed meanwhile, or cannot be read any further; then finished
            rows are kept as if it was cancelled.
        DownloadError: its server does not send what was asked for; finished rows are kept likewise.
        SceneError: the source does not fit the model; the message says which argument helps.
        RegionError, VectorError: the region cannot be used.
        ModelFileError: the model file cannot be used.
        ConfigError: an argument is impossible, alone or with the others.
        OutputError: an output exists and `overwrite` is false, or cannot be written; finished rows are kept likewise.
        Cancelled: `progress` asked to stop.
    """
    job = planned(
        source,
        output,
        model=model,
        engine=engine,
        device=device,
        threads=threads,
        precision=precision,
        compiled=compiled,
        batch=batch,
        window=window,
        overlap=overlap,
        average=average,
        bands=bands,
        scaling=scaling,
        resolution=resolution,
        deliver=deliver,
        region=region,
        bounds=bounds,
        bounds_crs=bounds_crs,
        classes=classes,
        confidence=confidence,
        vector=vector,
        min_area=min_area,
        clean=clean,
        tiles=tiles,
        form=form,
        compress=compress,
        max_pixels=max_pixels,
        damaged=damaged,
        seam_report=seam_report,
        preview=preview,
        overwrite=overwrite,
    )
    return run(job, progress=progress)


def run(job: Job, *, rows: range | None = None, engine: Engine | None = None, progress: Progress = silent) -> Path:
    """Do a job; the path of the map.

    `engine` is what `engine_of` made of a job with the same model, device, threads and average; without it that is done
    here, which takes a moment for each job.

    With `rows`, a share of its rows of windows, only these are computed, and the path is that of the folder beside the
    output that holds them. `assemble` makes the same results of all of these folders as a run without `rows`.

    Raises:
        RasterError: the source cannot be read, or was changed since the job was planned.
        NothingToDoError: the source holds no valid pixel.
        ModelFileError: the model file cannot be used, or was changed since.
        ConfigError: the device is not there or has too little memory, or there are no such rows.
        OutputError: an output cannot be written.
        Cancelled: `progress` asked to stop.
    """
    _check_rows(job, rows)
    damage = Damage(job.damaged)
    with shown(job, damage) as scene:
        engine = engine_of(job) if engine is None else engine
        batch = job.batch or (1 if engine.device_type == "cpu" else GPU_BATCH)
        report = None
        if job.results.seam_report is not None:  # before the map is written: what is refused is refused before the work
            report = measured_seams(scene(None), engine, job.scaling, job.grid, batch=batch, progress=progress)
            damage.blocks.clear()  # it may look at more than results show
        # Elsewhere than on a CPU the bits may depend on the batch.
        parameters = engine.parameters | ({} if engine.device_type == "cpu" else {"batch": batch})
        with _writer(job, parameters, rows) as writer:
            area, paint = scene(job.grid), painter(job)
            with unchanged(job):
                write_rows(area, engine, job.scaling, job.grid, writer, paint, batch, progress, rows, damage)
            warn_of_damage(job, writer)
            if rows is not None:
                return shard_folder(job.output, rows)
            finish(job, writer, parameters, progress, report)
    return job.output


def assemble(job: Job, *, progress: Progress = silent) -> Path:
    """Make the results of a job whose rows of windows were all computed by `run`, in shares; the path of the map.

    Nothing is computed and no engine is needed; the source is, for a preview and where the work was done on other
    pixels. The folders of the shares are removed.

    Raises:
        OutputError: a row is missing, or damaged, or was computed otherwise than the others; or as for `run`.
        NothingToDoError: the source holds no valid pixel.
    """
    shards = found_shards(job.output)
    if not shards:
        raise OutputError(f"{job.output}: no shares of it lie beside it; compute them first, or put them there")
    settings = shard_parameters(job.output, shards[0])
    engine = {name: value for name, value in settings.items() if name not in job.parameters}
    with _writer(job, engine, None) as writer, writer.adopt(shards, job.grid.rows):
        warn_of_damage(job, writer)
        finish(job, writer, engine, progress, None)
    return job.output


def _check_rows(job: Job, rows: range | None) -> None:
    if rows is None:
        return
    if not (0 <= rows.start < rows.stop <= job.grid.rows and rows.step == 1):
        raise ConfigError(f"rows {rows.start} to {rows.stop} were asked for, the scene has rows 0 to {job.grid.rows}")
    if job.results.seam_report is not None:
        raise ConfigError("--seam-report measures a whole scene; ask for it in a run of its own, not in a shard")


def engine_of(job: Job) -> Engine:
    """What computes a job. Engines take seconds to load: not before the request is known to be good.

    Raises:
        ModelFileError: the model file cannot be used.
        ConfigError: it was changed since the job was planned, or the device is not there.
    """
    loaded = ModelFile.load(job.model)
    if loaded.digest != job.digest:
        raise ConfigError(f"{job.model}: was changed after it was looked at; start again, and leave it as it is")
    engine = load_engine(loaded, device=job.device, threads=job.threads, means=job.means)
    return Steadied(engine, job.average) if job.average else engine


def _writer(job: Job, engine: Mapping[str, Any], rows: range | None) -> RasterWriter:
    (_, spec), *beside = job.products(engine)
    return RasterWriter(
        job.output,
        spec,
        parameters={**job.parameters, **engine},
        beside=beside,
        rows=rows,
        top=0 if rows is None else job.grid.finished(0, rows.start).row,
        publish=not job.is_resampled and not job.results.clean,
        overwrite=job.results.overwrite,
    )
