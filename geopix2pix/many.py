"""Many scenes into one folder, each by itself, so that what is wrong with one is no matter to the others."""

import json
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from time import perf_counter
from typing import Any

from geopix2pix.apart import Apart, Worker
from geopix2pix.batch import Batch, batch_of
from geopix2pix.catalog import Described, write_catalog
from geopix2pix.errors import RasterError, SceneWarning
from geopix2pix.inventory import Entry
from geopix2pix.ledger import MOSAICS, STAC, SUMMARY, Outcome, Summary, named
from geopix2pix.output import write_bytes, writing
from geopix2pix.progress import Event, Progress, silent
from geopix2pix.shard import Shard
from geopix2pix.translator import Translator
from geopix2pix.vrt import write_mosaics


def translate_many(
    sources: Sequence[str | Path],
    folder: str | Path,
    *,
    asset: str | None = None,
    shard: Shard | None = None,
    overwrite: bool = False,
    apart: bool = False,
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

    A file may be so damaged that the library that reads it ends the process. With `apart` the scenes are read and
    translated in another process, which is started anew then, so that this is a failure like others. As for all that
    starts processes, the lines of a script that begin the work have to stand below `if __name__ == "__main__":`.

    Raises:
        RasterError: a folder, pattern, list or STAC document means nothing.
        ModelFileError: the model file cannot be used.
        ConfigError: an option is impossible with the model, or does not hold `{name}`.
        OutputError: the folder cannot be written to.
        Cancelled: `progress` asked to stop; what is finished is kept by the next call.
    """
    batch = batch_of(sources, folder, asset=asset, shard=shard, overwrite=overwrite, **options)
    return translate_all(batch, progress, apart=apart)


def translate_all(batch: Batch, progress: Progress = silent, *, apart: bool = False) -> Summary:
    """Do a batch; see `translate_many`."""
    begin, total = perf_counter(), len(batch.entries)
    outcomes: list[Outcome] = []
    with Apart(Translator, batch) if apart else nullcontext(Translator(batch)) as translator:
        for entry in batch.entries:
            progress(Event("scenes", len(outcomes), total, "scenes"))
            outcomes.append(_outcome(entry, translator, progress))
            if outcomes[-1].status == "failed":
                warnings.warn(f"{outcomes[-1].error}; the other scenes go on", SceneWarning, stacklevel=2)
    progress(Event("scenes", total, total, "scenes"))
    return _completed(batch, outcomes, begin)


def _outcome(entry: Entry, translator: Worker[Outcome], progress: Progress) -> Outcome:
    begin = perf_counter()
    try:
        return translator(entry, progress)
    except RasterError as error:  # it has ended the other process; what fails otherwise is told by the translator
        seconds = perf_counter() - begin
        return Outcome(name=entry.name, source=entry.source, status="failed", seconds=seconds, error=str(error))


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
