"""Sight: what a job sees of its scene, in the state in which it was planned."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial

import shapely
from shapely import Geometry

from geopix2pix.aligned import AlignedView
from geopix2pix.area import WorkArea
from geopix2pix.damage import Damage
from geopix2pix.errors import RasterError, UnreadableError
from geopix2pix.grid import WindowGrid
from geopix2pix.job import Job
from geopix2pix.planning import MARGIN
from geopix2pix.raster import IDENTITY, RasterReader


def opened(job: Job, damage: Damage | None = None) -> RasterReader:
    """The source of a job.

    Raises:
        RasterError: it cannot be opened, or was changed since the job was planned.
    """
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


@contextmanager
def unchanged(job: Job) -> Iterator[None]:
    """A context in which the source of a job is read.

    Raises:
        RasterError: it was changed meanwhile: what was made of it may be half of this and half of that.
    """
    try:
        yield
    except UnreadableError:
        opened(job).close()
        raise
    opened(job).close()


@contextmanager
def shown(job: Job, damage: Damage | None = None) -> Iterator[Callable[[WindowGrid | None], WorkArea]]:
    """What makes the area of a job that is worked on, given the windows that look at it; None for any.

    `damage` hears of the blocks that cannot be decoded.
    """
    bands, damage = len(job.manifest.source.names), Damage(job.damaged) if damage is None else damage
    with opened(job, damage) as reader:
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


@contextmanager
def source_shown(job: Job) -> Iterator[WorkArea]:
    """The area of a job on the pixels of its source, whatever it is worked on; its place has to be known."""
    assert job.ground is not None, "a working grid is made of the scene's own"
    with opened(job) as reader:
        read, bands = partial(reader.read, fill_empty=False), len(job.manifest.source.names)
        yield WorkArea(read, bands, reader.dtype, job.source_extent, job.region, job.ground.transform)


def _widened(job: Job) -> Geometry | None:
    """The region with the pixels round it that are worked on."""
    if job.region is None or job.working is None:
        return None
    a, b, _, d, e, _ = job.working.transform[:6]
    found: Geometry = shapely.buffer(job.region, MARGIN * max(abs(a) + abs(b), abs(d) + abs(e)))
    return found
