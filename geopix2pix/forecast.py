"""Forecast: what a batch would do, and what it would need; nothing is written for it."""

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from geopix2pix.apart import Apart
from geopix2pix.batch import Batch, engine_for, hearing, job_of
from geopix2pix.errors import Cancelled, GeoPix2PixError
from geopix2pix.estimate import Estimate, estimated, probed
from geopix2pix.inventory import Entry
from geopix2pix.ledger import Ledger
from geopix2pix.progress import Event, Progress, silent


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreseen:
    """What would become of a scene."""

    name: str
    source: str
    size: tuple[int, int] | None = None
    """Columns and rows that would be translated; None if it cannot be."""
    needs: Estimate | None = None
    """None, too, if nothing is to be done for it."""
    error: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "source": self.source,
            "status": "failed" if self.size is None else "kept" if self.needs is None else "new",
            "error": self.error,
            "estimate": None if self.needs is None else self.needs.to_json(),
        }


class Forecaster:
    """The engine of a batch, and the ledger of its folder."""

    def __init__(self, batch: Batch) -> None:
        """Load the engine, which takes seconds.

        Raises:
            ConfigError, ModelFileError: the engine cannot be loaded.
            OutputError: the folder cannot be read.
        """
        self._batch, self._engine = batch, engine_for(batch)
        self._ledger = Ledger(batch.folder, batch.shard, overwrite=batch.overwrite)
        self._seconds: float | None = None
        self._told = set[str]()

    def __call__(self, entry: Entry, progress: Progress) -> Foreseen:
        """What would become of a scene. The first one in which a window is valid is tried for the time it takes.

        Raises:
            GeoPix2PixError: it cannot be translated.
        """
        with hearing(entry.source, self._told):
            job, needs = job_of(self._batch, entry, dry=True), None
        if self._ledger.difference(job, self._engine.parameters) is not None:
            if self._seconds is None:
                self._seconds = probed(job, self._engine, progress)
            needs = estimated(job, self._seconds)
        size = job.source_extent.width, job.source_extent.height
        return Foreseen(name=entry.name, source=entry.source, size=size, needs=needs)


def foreseen(batch: Batch, progress: Progress = silent, *, apart: bool = False) -> list[Foreseen]:
    """What a batch would do, scene by scene; with `apart` scenes are opened in another process.

    Raises:
        As `Forecaster`.
        Cancelled: `progress` asked to stop.
    """
    found = []
    with Apart(Forecaster, batch) if apart else nullcontext(Forecaster(batch)) as forecaster:
        for number, entry in enumerate(batch.entries):
            progress(Event("scenes", number, len(batch.entries), "scenes"))
            try:
                found.append(forecaster(entry, progress))
            except Cancelled:
                raise
            except GeoPix2PixError as error:
                found.append(Foreseen(name=entry.name, source=entry.source, error=str(error)))
    return found
