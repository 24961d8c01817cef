"""Finishing: the results of a job, made of all its finished rows, which appear together."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from warnings import warn

from geopix2pix.cleaning import cleaned
from geopix2pix.damage import told
from geopix2pix.delivery import delivered, derived
from geopix2pix.errors import NothingToDoError, RasterError, SceneWarning
from geopix2pix.job import Job
from geopix2pix.progress import Progress, repeated
from geopix2pix.sight import source_shown
from geopix2pix.writer import RasterWriter


def warn_of_damage(job: Job, writer: RasterWriter) -> None:
    """Warn of the blocks that could not be decoded and are masked, if there are any."""
    if writer.damaged:
        found, remedy = told(writer.damaged), "these are masked; get the file anew if they matter"
        warn(f"{job.source}: {found}; {remedy}", SceneWarning, stacklevel=3)


def finish(
    job: Job, writer: RasterWriter, engine: Mapping[str, Any], progress: Progress, report: dict[str, Any] | None
) -> None:
    """Make all results of the rows that `writer` holds: clean them, deliver them on other pixels, derive the rest.

    `engine` are the parameters of what computed them, `report` is the measure of the seams if it was asked for.

    Raises:
        NothingToDoError: no pixel is valid.
        RasterError: none is left, or the source cannot be read or was changed.
        OutputError: a result cannot be written.
        Cancelled: `progress` asked to stop.
    """
    _check_is_something(job, writer)
    passes = 1 + bool(job.results.clean) + job.is_resampled
    first, second, last = (repeated(progress, "assemble", number, passes) for number in (0, 1, passes - 1))

    def derive(folder: Path, computed: Sequence[Path]) -> list[tuple[Path, Path]]:
        settings, rasters = {**engine, **writer.remarks}, computed
        products = job.products(settings)
        if job.results.clean:
            rasters = cleaned(job, products, folder, rasters, second)
        if job.is_resampled:
            products = job.products(settings, computed=False)
            with source_shown(job) as area:
                rasters = delivered(job, products, area, folder, rasters, last)
        if rasters is computed:
            return derived(job, report, folder, rasters, progress)
        placed = [(file, product.path) for file, product in zip(rasters, products, strict=True) if product.path]
        return [*derived(job, report, folder, rasters, progress), *reversed(placed)]

    writer.assemble(first, derive)


def _check_is_something(job: Job, writer: RasterWriter) -> None:
    if writer.is_empty and writer.damaged:
        raise RasterError(f"{job.source}: no valid pixel is left: {told(writer.damaged)}; get the file anew")
    if writer.is_empty:
        where = "" if job.region is None else "the region "
        found = "holds no valid pixel, so there is nothing to translate"
        raise NothingToDoError(f"{job.source}: {where}{found}; is its nodata right?")
