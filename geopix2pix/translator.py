"""Translator: what translates the scenes of a batch, one after the other and each by itself."""

from dataclasses import replace
from pathlib import Path
from time import perf_counter

from geopix2pix.batch import Batch, engine_for, hearing, job_of
from geopix2pix.errors import Cancelled, GeoPix2PixError, NothingToDoError, OutputError
from geopix2pix.inventory import Entry
from geopix2pix.ledger import Ledger, Outcome, Status
from geopix2pix.progress import Progress
from geopix2pix.translation import run


class Translator:
    """The engine of a batch, and the ledger of its folder."""

    def __init__(self, batch: Batch) -> None:
        """Load the engine, which takes seconds.

        Raises:
            ConfigError: the engine cannot be loaded, or has no such device.
            ModelFileError: the model's tensors or graph do not fit what its manifest describes.
            OutputError: the folder cannot be read, or holds files where ours are to be.
        """
        self._batch = batch
        self._ledger = Ledger(batch.folder, batch.shard, overwrite=batch.overwrite)
        self._engine = engine_for(batch)
        self._told = set[str]()

    def __call__(self, entry: Entry, progress: Progress) -> Outcome:
        """What becomes of a scene.

        Raises:
            Cancelled: `progress` asked to stop.
        """
        with hearing(entry.source, self._told) as heard:
            return self._translated(entry, heard, progress)

    def _translated(self, entry: Entry, heard: list[str], progress: Progress) -> Outcome:
        """What becomes of a scene. `heard` are the warnings that come up meanwhile."""
        begin, batch, ledger, engine = perf_counter(), self._batch, self._ledger, self._engine
        status: Status = "failed"
        error, results = None, dict[str, Path]()
        try:
            job = job_of(batch, entry)
            there = [path for path in job.results.paths.values() if path.exists()]
            difference = ledger.difference(job, engine.parameters) if there else "nothing is there"
            if difference is None:
                status, heard[:] = "kept", ledger.warnings(entry.name)
            elif there and not batch.overwrite:
                raise OutputError(f"{there[0]}: exists already, and {difference}; allow to overwrite it")
            else:
                job = replace(job, results=replace(job.results, overwrite=batch.overwrite))
                run(job, engine=engine, progress=progress)
                ledger.record(job, engine.parameters, heard)
                status = "made"
            results = job.results.paths
        except Cancelled:
            raise
        except NothingToDoError as found:
            status, error = "empty", str(found)
        except (GeoPix2PixError, MemoryError) as found:
            error = str(found) or "the memory is not enough; give a smaller --batch or --window"
        except Exception as found:  # a bug that one scene brings to light must not cost the night's work on the others
            error = (
                f"a bug, {type(found).__name__}: {found}; please report it with what --debug tells of this scene alone"
            )
        return Outcome(
            name=entry.name,
            source=entry.source,
            status=status,
            seconds=perf_counter() - begin,
            warnings=tuple(heard),
            error=error,
            results=results,
        )
