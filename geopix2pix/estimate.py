"""Estimate: what a job will need, found by computing a few of its windows."""

import shutil
import sys
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any

from geopix2pix.engine import Engine
from geopix2pix.job import Job
from geopix2pix.progress import Event, Progress, silent
from geopix2pix.sight import shown

PROBED = 3
"""Windows that are timed, after a first one that is slower than all others."""
LOOKED_AT = 64
"""Windows in which valid pixels are looked for, evenly spread over the scene."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What is expected of a machine; None where it could not be found out."""

    windows: int
    """All of the grid; those without a valid pixel take no time."""
    window_seconds: float | None
    """To read and compute one of full size."""
    seconds: float | None
    """For all windows, by the pixels that are computed, which may be fewer at the border of a scene.

    Blending and writing, which happen meanwhile, and the finished files come on top.
    """
    memory_bytes: int | None
    """The most that the process holds."""
    disk_bytes: int
    """The rasters before they are compressed."""
    free_bytes: int
    """On the disk of the results."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def estimated(job: Job, window_seconds: float | None = None) -> Estimate:
    """What a job needs, if a window of full size takes so long.

    How long is what `probed` tells, for all jobs of a model and a machine. The memory is what this process has taken so
    far, which holds the engine if it has been tried, and what reading, blending and writing hold on top.
    """
    taken = _taken_bytes()
    return Estimate(
        windows=job.grid.columns * job.grid.rows,
        window_seconds=window_seconds,
        seconds=None if window_seconds is None else window_seconds * job.grid.computed_pixels / job.grid.window**2,
        memory_bytes=None if taken is None else taken + job.held_bytes,
        disk_bytes=job.raw_bytes,
        free_bytes=shutil.disk_usage(job.output.absolute().parent).free,
    )


def probed(job: Job, engine: Engine, progress: Progress = silent) -> float | None:
    """The seconds in which a window of full size is read and computed here and now; None if none is valid.

    Raises:
        RasterError: the source cannot be read.
        ConfigError: the memory is not enough.
    """
    grid, times = job.grid, list[float]()
    total = grid.columns * grid.rows
    step = max(1, total // LOOKED_AT)
    with shown(job) as scene:
        area = scene(grid)
        for number in range(step // 2, total, step):
            begin = perf_counter()
            row, column = divmod(number, grid.columns)
            seen = grid.seen_at(column, row)
            patch = area.read(seen)
            if not patch.valid.any():
                continue
            engine.predict(job.scaling.forward(patch.data)[None])
            times.append((perf_counter() - begin) * grid.window**2 / (seen.width * seen.height))
            progress(Event("probe", len(times), PROBED + 1, "windows"))
            if len(times) > PROBED:
                break
    timed = times[1:] or times
    return sum(timed) / len(timed) if timed else None


def _taken_bytes() -> int | None:
    """The most memory that this process has held so far; None where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
