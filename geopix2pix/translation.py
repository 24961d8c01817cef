"""A georeferenced scene in, a georeferenced map on the same grid out."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from warnings import warn

import numpy as np
import numpy.typing as npt
import shapely
from rasterio.io import DatasetReader
from shapely import Geometry

from geopix2pix.aligned import AlignedView
from geopix2pix.area import WorkArea
from geopix2pix.batches import Batches
from geopix2pix.blend import Blender
from geopix2pix.cleaning import cleaned
from geopix2pix.damage import Damage, Damaged, told
from geopix2pix.delivery import delivered, derived
from geopix2pix.engine import Engine, EngineName, Precision, load_engine
from geopix2pix.errors import ConfigError, NothingToDoError, OutputError, RasterError, SceneWarning
from geopix2pix.gdal import MAX_PIXELS
from geopix2pix.grid import WindowGrid
from geopix2pix.job import Averaging, Deliver, Job
from geopix2pix.model import ModelFile
from geopix2pix.mosaic import PatchSource, Piece, pieces
from geopix2pix.normalize import Scaling
from geopix2pix.output import Compression
from geopix2pix.parts import found_shards, shard_folder, shard_parameters
from geopix2pix.pipeline import Behind
from geopix2pix.planning import MARGIN, planned
from geopix2pix.products import painted
from geopix2pix.progress import Event, Progress, repeated, silent
from geopix2pix.raster import IDENTITY, RasterReader
from geopix2pix.remote import Source
from geopix2pix.scene import SceneScaling
from geopix2pix.seams import measured_seams
from geopix2pix.steadying import Steadied
from geopix2pix.writer import RasterWriter

GPU_BATCH = 8  # keeps a GPU busy with windows of 512 pixels; on a CPU batches cost memory and save no time

Paint = Callable[[npt.NDArray[np.float32]], Sequence[npt.NDArray[Any]]]
"""Blended values (channels, rows, cols) to the pixels of each product."""


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
        RasterError: the source cannot be opened or read, or was changed meanwhile.
        DownloadError: its server does not send what was asked for; finished rows are kept as if it was cancelled.
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
            report = measured_seams(scene(0), engine, job.scaling, job.grid, batch=batch, progress=progress)
            damage.blocks.clear()  # it may look at more than results show
        # Elsewhere than on a CPU the bits may depend on the batch.
        parameters = engine.parameters | ({} if engine.device_type == "cpu" else {"batch": batch})
        with _writer(job, parameters, rows) as writer:
            area, paint = scene(job.grid.crop), partial(_painted, job)
            write_rows(area, engine, job.scaling, job.grid, writer, paint, batch, progress, rows, damage)
            _opened(job).close()  # a source that was changed meanwhile may be half of this and half of that
            _warn_of_damage(job, writer)
            if rows is not None:
                return shard_folder(job.output, rows)
            _finish(job, writer, parameters, progress, report)
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
        _warn_of_damage(job, writer)
        _finish(job, writer, engine, progress, None)
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
    damage: Damage | None = None,
) -> None:
    """Translate those rows of windows, of all or of some, that `writer` does not hold yet.

    `damage` hears of damaged blocks as `source` is read; they are handed on to `writer`.
    """
    damage = Damage() if damage is None else damage
    damage.blocks |= writer.damaged
    blender = Blender(grid, engine.manifest.generator.out_channels, carry=writer.carry)
    rows = range(grid.rows) if rows is None else rows
    first = begin = rows.start + writer.finished_rows
    if first > 0 and not writer.carry.holds(first):
        begin -= 1  # what a row leaves depends on its own windows alone, so the row above is computed for it
    blender.resume(begin)

    def told(done: int) -> None:
        progress(Event("translate", done, grid.columns * len(rows), "windows"))

    def write(piece: Piece) -> int:
        data, *beside = paint(piece.values)
        writer.write(piece.window, data, piece.valid, *beside)
        if piece.column == grid.columns - 1:
            writer.finish_row(batches.remarks, tuple(damage.blocks))
        return (piece.row - rows.start) * grid.columns + piece.column + 1

    told((first - rows.start) * grid.columns)
    if first == rows.stop:
        return
    batches = Batches(engine, batch)
    with closing(pieces(source, batches.predict, scaling, blender, batch, begin)) as found, Behind[int](2) as behind:
        for piece in found:
            if piece.row >= first:
                for done in behind.call(partial(write, piece)):
                    told(done)
            if (piece.column, piece.row) == (grid.columns - 1, rows.stop - 1):
                break
        for done in behind.rest():
            told(done)


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


@contextmanager
def shown(job: Job, damage: Damage | None = None) -> Iterator[Callable[[int], WorkArea]]:
    """What makes the area of a job that is worked on, given how many outer pixels of windows have no weight.

    `damage` hears of the blocks that cannot be decoded.
    """
    bands, damage = len(job.manifest.source.names), Damage(job.damaged) if damage is None else damage
    with _opened(job, damage) as reader:
        if job.working is None or job.ground is None:
            read = partial(reader.read, fill_empty=False)
            transform = IDENTITY if job.ground is None else job.ground.transform
            yield partial(WorkArea, read, bands, reader.dtype, job.extent, job.region, transform)
            return
        finer = job.working.transform.determinant > job.ground.transform.determinant
        view = AlignedView(
            [job.source],
            job.working,
            kernel="average" if finer else "cubic",
            bands=job.bands,
            expand_colors=job.expand_colors,
            max_pixels=job.max_pixels,
            damage=damage,
        )
        with closing(view):
            region = _widened(job) if job.is_resampled else job.region
            yield partial(WorkArea, view.read, bands, view.dtype, job.extent, region, job.working.transform)


def _widened(job: Job) -> Geometry | None:
    """The region with the pixels round it that are worked on."""
    if job.region is None or job.working is None:
        return None
    a, b, _, d, e, _ = job.working.transform[:6]
    found: Geometry = shapely.buffer(job.region, MARGIN * max(abs(a) + abs(b), abs(d) + abs(e)))
    return found


def _opened(job: Job, damage: Damage | None = None) -> RasterReader:
    """The source of a job, in the state in which it was planned."""
    reader = RasterReader(
        job.source,
        bands=job.bands,
        expand_colors=job.expand_colors,
        max_pixels=job.max_pixels,
        damage=Damage(job.damaged) if damage is None else damage,
    )
    if reader.identity() != job.identity:
        reader.close()
        raise RasterError(f"{job.source}: was changed after it was looked at; start again, and leave it as it is")
    return reader


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


def _painted(job: Job, values: npt.NDArray[np.float32]) -> list[npt.NDArray[Any]]:
    return [painted(kind, values, job.manifest) for kind, _ in job.results.rasters]


def _warn_of_damage(job: Job, writer: RasterWriter) -> None:
    if writer.damaged:
        found, remedy = told(writer.damaged), "these are masked; get the file anew if they matter"
        warn(f"{job.source}: {found}; {remedy}", SceneWarning, stacklevel=3)


def _finish(
    job: Job, writer: RasterWriter, engine: Mapping[str, Any], progress: Progress, report: dict[str, Any] | None
) -> None:
    if writer.is_empty and writer.damaged:
        raise RasterError(f"{job.source}: no valid pixel is left: {told(writer.damaged)}; get the file anew")
    if writer.is_empty:
        where = "" if job.region is None else "the region "
        found = "holds no valid pixel, so there is nothing to translate"
        raise NothingToDoError(f"{job.source}: {where}{found}; is its nodata right?")

    passes = 1 + bool(job.results.clean) + job.is_resampled
    first, second, last = (repeated(progress, "assemble", number, passes) for number in (0, 1, passes - 1))

    def derive(folder: Path, computed: Sequence[Path]) -> list[tuple[Path, Path]]:
        settings, rasters = {**engine, **writer.remarks}, computed
        products = job.products(settings)
        if job.results.clean:
            rasters = cleaned(job, products, folder, rasters, second)
        if job.is_resampled:
            assert job.ground is not None, "a working grid is made of the scene's own"
            products = job.products(settings, computed=False)
            with _opened(job) as reader:
                read = partial(reader.read, fill_empty=False)
                bands, extent = len(job.manifest.source.names), job.source_extent
                area = WorkArea(read, bands, reader.dtype, extent, job.region, job.ground.transform)
                rasters = delivered(job, products, area, folder, rasters, last)
        if rasters is computed:
            return derived(job, report, folder, rasters, progress)
        placed = [(file, product.path) for file, product in zip(rasters, products, strict=True) if product.path]
        return [*derived(job, report, folder, rasters, progress), *reversed(placed)]

    writer.assemble(first, derive)
