"""Forecast: what a batch would do, and what it would need; nothing is written for it."""

from dataclasses import dataclass
from typing import Any

from geopix2pix.batch import Batch, engine_for, hearing, job_of
from geopix2pix.errors import Cancelled, GeoPix2PixError
from geopix2pix.estimate import Estimate, estimated, probed
from geopix2pix.inventory import Entry
from geopix2pix.job import Job
from geopix2pix.ledger import Ledger
from geopix2pix.progress import Event, Progress, silent


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreseen:
    """What would become of a scene."""

    entry: Entry
    job: Job | None
    """None if it cannot be translated."""
    needs: Estimate | None
    """None, too, if nothing is to be done for it."""
    error: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.entry.name,
            "source": self.entry.source,
            "status": "failed" if self.job is None else "kept" if self.needs is None else "new",
            "error": self.error,
            "estimate": None if self.needs is None else self.needs.to_json(),
        }


def foreseen(batch: Batch, progress: Progress = silent) -> list[Foreseen]:
    """What a batch would do, scene by scene. The first one in which a window is valid is tried for the time it takes.

    Raises:
        ConfigError, ModelFileError: the engine cannot be loaded.
        OutputError: the folder cannot be read.
    """
    engine, seconds, told = engine_for(batch), None, set[str]()
    ledger = Ledger(batch.folder, batch.shard, overwrite=batch.overwrite)
    found = []
    for number, entry in enumerate(batch.entries):
        progress(Event("scenes", number, len(batch.entries), "scenes"))
        try:
            with hearing(entry.source, told):
                job, needs = job_of(batch, entry, dry=True), None
            if ledger.difference(job, engine.parameters) is not None:
                seconds = probed(job, engine, progress) if seconds is None else seconds
                needs = estimated(job, seconds)
            found.append(Foreseen(entry=entry, job=job, needs=needs))
        except Cancelled:
            raise
        except GeoPix2PixError as error:
            found.append(Foreseen(entry=entry, job=None, needs=None, error=str(error)))
    return found
