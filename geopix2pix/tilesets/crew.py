"""The processes that cut tiles, each with the layers open for itself."""

import signal
import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np

from geopix2pix.child import bind, unasked
from geopix2pix.errors import TileSetError
from geopix2pix.grid import Window
from geopix2pix.journal import Line
from geopix2pix.regions import inside as inside_region
from geopix2pix.tilesets.appraisal import facts, skipped
from geopix2pix.tilesets.cutting import cut, write_pair
from geopix2pix.tilesets.plan import Plan
from geopix2pix.tilesets.tileindex import ORIGINS
from geopix2pix.tilesets.tileset import Side
from geopix2pix.view import View

CHUNK = 8  # tiles that a process cuts in one go: neighbours share decoded blocks
AHEAD = 2  # chunks for each process that wait while it cuts

Shift = tuple[float, float]
"""Columns and rows by which the target lies to the right of and below where it should be."""


class Job(NamedTuple):
    """A tile to cut."""

    name: str
    window: Window
    shift: Shift = (0.0, 0.0)


class Cutter:
    """The open layers of one process."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self._plan, self._folder = plan, folder
        self._source = plan.source.open(plan.grid)
        self._targets: dict[Shift, View] = {}

    def cut(self, job: Job) -> Line:
        """Write the tiles of a job, if they are worth it; what is known of them, or why they were skipped."""
        plan, target = self._plan, self._target(job.shift)
        width, height = job.window.width, job.window.height
        inside = np.ones((height, width), bool)
        if plan.region is not None:
            inside = inside_region(plan.region, plan.grid.transform_of(job.window), height, width)
        pair = cut(self._source, target, plan.legend, job.window, inside)
        line: Line = {"name": job.name, "window": list(job.window)}
        if reason := skipped(pair, inside, plan.request.coverage):
            return line | {"skipped": reason}
        bands: dict[Side, tuple[str, ...]] = {
            "source": self._source.names,
            "target": target.names,
            "classes": ("class",),
        }
        files = write_pair(self._folder, job.name, pair, (plan.grid, job.window), bands, plan.legend)
        return (
            line
            | facts(pair, plan.legend)
            | {
                "origin": ORIGINS.join(self._source.origins(job.window)),
                "shift": list(job.shift),
                "sha256": files.sha256,
                "pixels": files.pixels,
            }
        )

    def close(self) -> None:
        for view in (self._source, *self._targets.values()):
            view.close()

    def _target(self, shift: Shift) -> View:
        if shift not in self._targets:
            self._targets[shift] = self._plan.target.open(self._plan.grid.shifted(*shift))
        return self._targets[shift]


def lines(plan: Plan, folder: Path, jobs: Iterable[Job], workers: int) -> Iterator[list[Line]]:
    """What `Cutter.cut` says of each job, in their order, some at a time; `workers` processes cut, 1 = this one.

    Raises:
        TileSetError: a process was killed.
    """
    rest = iter(jobs)
    chunks = iter(lambda: list(islice(rest, CHUNK)), [])
    if workers == 1:
        cutter = Cutter(plan, folder)
        try:
            for chunk in chunks:
                yield [cutter.cut(job) for job in chunk]
        finally:
            cutter.close()
        return
    # A fresh interpreter for each process: neither GDAL nor torch survive a fork in every state.
    with ProcessPoolExecutor(workers, get_context("spawn"), _begin, (plan, folder)) as pool:
        pending: deque[Future[list[Line]]] = deque()
        try:
            for chunk in chunks:
                with unasked():  # it starts processes
                    pending.append(pool.submit(_cut, chunk))
                if len(pending) >= AHEAD * workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        except BrokenProcessPool as error:
            raise TileSetError(
                f"{folder}: a process that cuts tiles was ended from outside or by a damaged file; give the same "
                "command again to go on, with --workers 1 to see at which tile it happens"
            ) from error
        finally:
            for future in pending:
                future.cancel()


_cutters: list[Cutter] = []  # of this process; functions of a pool have no other place for what they share


def _begin(plan: Plan, folder: Path) -> None:
    """Make ready a process of the crew."""
    bind(signal.SIGINT)  # whoever started the crew ends it, by SIGTERM
    warnings.simplefilter("ignore")  # what is doubtful was told when the plan was made
    _cutters.append(Cutter(plan, folder))


def _cut(jobs: Sequence[Job]) -> list[Line]:
    return [_cutters[0].cut(job) for job in jobs]
