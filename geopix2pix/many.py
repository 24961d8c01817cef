"""Many scenes into one folder, each by itself, so that what is wrong with one is no matter to the others."""

import json
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

from geopix2pix.batch import Batch, batch_of, engine_for, hearing, job_of
from geopix2pix.catalog import Described, write_catalog
from geopix2pix.engine import Engine
from geopix2pix.errors import Cancelled, GeoPix2PixError, NothingToDoError, OutputError, SceneWarning
from geopix2pix.inventory import Entry
from geopix2pix.ledger import MOSAICS, STAC, SUMMARY, Ledger, Outcome, Status, Summary, named
from geopix2pix.output import write_bytes, writing
from geopix2pix.progress import Event, Progress, silent
from geopix2pix.shard import Shard
from geopix2pix.translation import run
from geopix2pix.vrt import write_mosaics


def translate_many(
    sources: Sequence[str | Path],
    folder: str | Path,
    *,
    asset: str | None = None,
    shard: Shard | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
    **options: Any,
) -> Summary:
    """Translate many scenes into a folder, one after the other, with one engine; what became of each of them.

    `sources` are rasters, folders, patterns, STAC documents and lists, as `inventory` reads them; `asset` is the key or
    role of the STAC assets to take. The map of a scene is `NAME.tif`, NAME being that of its file, of its place in a
    folder, or of its item. All other `options` are those of `translate`, in which `{name}` stands for it in the names
    of further results.

    A scene that fails is told in the summary and does not stop the others. What was made before, of the same source
    and with the same options, is kept; `overwrite` replaces only what is not. With a `shard` only that share of the
    scenes is worked on; when all shares are done, a call without one keeps their results and completes the folder: with
    a mosaic (`mosaic.vrt`), a STAC collection (`stac/`) and the summary as JSON (`summary.json`).

    Raises:
        RasterError: a folder, pattern, list or STAC document means nothing.
        ModelFileError: the model file cannot be used.
        ConfigError: an option is impossible with the model, or does not hold `{name}`.
        OutputError: the folder cannot be written to.
        Cancelled: `progress` asked to stop; what is finished is kept by the next call.
    """
    batch = batch_of(sources, folder, asset=asset, shard=shard, overwrite=overwrite, **options)
    return translate_all(batch, progress)


def translate_all(batch: Batch, progress: Progress = silent) -> Summary:
    """Do a batch; see `translate_many`."""
    begin, told, total = perf_counter(), set[str](), len(batch.entries)
    ledger = Ledger(batch.folder, batch.shard, overwrite=batch.overwrite)
    engine = engine_for(batch)
    outcomes: list[Outcome] = []
    for entry in batch.entries:
        progress(Event("scenes", len(outcomes), total, "scenes"))
        with hearing(entry.source, told) as heard:
            outcomes.append(_translated(batch, entry, engine, ledger, heard, progress))
        if outcomes[-1].status == "failed":
            warnings.warn(f"{outcomes[-1].error}; the other scenes go on", SceneWarning, stacklevel=2)
    progress(Event("scenes", total, total, "scenes"))
    return _completed(batch, outcomes, begin)


def _translated(
    batch: Batch, entry: Entry, engine: Engine, ledger: Ledger, heard: list[str], progress: Progress
) -> Outcome:
    """What becomes of a scene. `heard` are the warnings that come up meanwhile."""
    begin = perf_counter()
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
        error = f"a bug, {type(found).__name__}: {found}; please report it with what --debug tells of this scene alone"
    return Outcome(
        name=entry.name,
        source=entry.source,
        status=status,
        seconds=perf_counter() - begin,
        warnings=tuple(heard),
        error=error,
        results=results,
    )


def _completed(batch: Batch, outcomes: Sequence[Outcome], begin: float) -> Summary:
    """The summary, once it and what shows all results together have been written."""
    folder, manifest, shard = batch.folder, batch.model.manifest, batch.shard
    paths, unshown, catalog = list[Path](), list[str](), None
    there = [outcome for outcome in outcomes if outcome.results]
    if there and shard is None:
        for kind, name in MOSAICS.items():
            if files := [outcome.results[kind] for outcome in there if kind in outcome.results]:
                made = write_mosaics(folder / name, files)
                paths, unshown = [*paths, *made.paths], [*unshown, *made.missing]
        items = {entry.name: entry.item for entry in batch.entries}
        described = [Described(name=o.name, source=o.source, results=o.results, item=items[o.name]) for o in there]
        catalog = write_catalog(folder / STAC, folder.resolve().name, described, manifest, batch.model.digest)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    summary = Summary(
        path=folder / named(SUMMARY, shard),
        model=f"{manifest.name} {manifest.version}",
        outcomes=tuple(outcomes),
        seconds=perf_counter() - begin,
        mosaics=tuple(paths),
        unshown=tuple(unshown),
        catalog=catalog,
    )
    write_bytes(summary.path, json.dumps(summary.to_json(), indent=1).encode())
    return summary
