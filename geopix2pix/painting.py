"""Painting: rows of windows are computed, blended, painted and written, each for good when it is finished."""

from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from geopix2pix.batches import Batches
from geopix2pix.blend import Blender
from geopix2pix.damage import Damage
from geopix2pix.engine import Engine
from geopix2pix.grid import WindowGrid
from geopix2pix.job import Job
from geopix2pix.mosaic import PatchSource, Piece, pieces
from geopix2pix.normalize import Scaling
from geopix2pix.pipeline import Behind
from geopix2pix.products import painted
from geopix2pix.progress import Event, Progress
from geopix2pix.writer import RasterWriter

Paint = Callable[[npt.NDArray[np.float32]], Sequence[npt.NDArray[Any]]]
"""Blended values (channels, rows, cols) to the pixels of each product."""


def painter(job: Job) -> Paint:
    """What paints all products of a job."""
    kinds = [kind for kind, _ in job.results.rasters]
    return lambda values: [painted(kind, values, job.manifest) for kind in kinds]


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
    with closing(pieces(source, batches.predict, scaling, blender, batch, begin)) as found, Behind[int](1) as behind:
        for piece in found:
            if piece.row >= first:
                for done in behind.call(partial(write, piece)):
                    told(done)
            if (piece.column, piece.row) == (grid.columns - 1, rows.stop - 1):
                break
        for done in behind.rest():
            told(done)
