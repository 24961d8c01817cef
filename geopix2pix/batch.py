"""Batch: which scenes are to be translated into which folder, and how."""

import inspect
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from geopix2pix.engine import PLAIN, Engine, Means, check_engine, load_engine, package_model
from geopix2pix.errors import ConfigError, GeoPix2PixWarning, OutputError, SceneError
from geopix2pix.inventory import Entry, inventory
from geopix2pix.job import Job
from geopix2pix.model import ModelFile
from geopix2pix.output import writing
from geopix2pix.planning import planned
from geopix2pix.shard import Shard
from geopix2pix.steadying import Steadied

BESIDE = {
    "classes": ".tif",
    "confidence": ".tif",
    "vector": ".gpkg",
    "tiles": ".mbtiles",
    "seam_report": ".json",
    "preview": ".png",
}
"""Results beside the map, with the ending of each; they are named by a text in which `NAME` stands for the scene."""
NAME = "{name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Which scenes are to be translated into which folder, and how."""

    entries: tuple[Entry, ...]
    folder: Path
    model: ModelFile
    options: Mapping[str, Any]
    """The arguments of `planned`."""
    shard: Shard | None
    overwrite: bool


def batch_of(
    sources: Sequence[str | Path],
    folder: str | Path,
    *,
    asset: str | None = None,
    shard: Shard | None = None,
    overwrite: bool = False,
    **options: Any,
) -> Batch:
    """The batch of these arguments of `translate_many`: scenes are found, the model is read, and nothing is opened.

    Raises:
        As `translate_many`.
    """
    folder = Path(folder)
    inspect.signature(planned).bind("", "", **options)  # a misspelt one is a mistake of the caller, not of each scene
    named = {(folder / f"{NAME}.tif").resolve()}
    for kind in BESIDE:
        if options.get(kind) is None:
            continue
        given, wanted = f"--{kind.replace('_', '-')} {options[kind]}", f"{folder / NAME}-{kind}{BESIDE[kind]}"
        if NAME not in str(options[kind]):
            raise ConfigError(f"{given}: is one name for many scenes; put {NAME} into it, such as {wanted}")
        if (path := Path(options[kind]).resolve()) in named:
            raise ConfigError(
                f"{given}: is what another result of each scene is called; give another, such as {wanted}"
            )
        named.add(path)
    if not folder.is_dir() and (folder.exists() or folder.suffix.lower() in (".tif", ".tiff")):
        raise OutputError(
            f"{folder}: many scenes go into a folder, this is a file; name a folder, or make one scene of tiles that "
            "touch with --mosaic"
        )
    if any(Path(s).is_dir() and folder.is_dir() and folder.samefile(s) for s in sources):
        raise OutputError(f"{folder}: is a source itself; choose another folder for the results")
    name, means = options.get("engine"), _means(options)
    options["model"] = path = Path(options.get("model") or package_model(name, options.get("device", "auto"), means))
    check_engine(model := ModelFile.load(path), name, options.get("window"), means)
    entries = inventory(sources, asset=asset, without=folder)
    if shard is not None:
        entries = [entries[i] for i in shard.of(len(entries))]
    return Batch(entries=tuple(entries), folder=folder, model=model, options=options, shard=shard, overwrite=overwrite)


def engine_for(batch: Batch) -> Engine:
    """What computes all scenes of a batch.

    Raises:
        ConfigError: the engine cannot be loaded, or has no such device.
        ModelFileError: the model's tensors or graph do not fit what its manifest describes.
    """
    given = {name: batch.options[name] for name in ("device", "threads") if name in batch.options}
    engine = load_engine(batch.model, **given, means=_means(batch.options))
    average = batch.options.get("average")
    return Steadied(engine, average) if average else engine


def _means(options: Mapping[str, Any]) -> Means:
    return Means(options.get("precision", PLAIN.precision), options.get("compiled", PLAIN.compiled))


def job_of(batch: Batch, entry: Entry, *, dry: bool = False) -> Job:
    """The job of one scene, which may overwrite what is there. Its folders are made, unless it is `dry`.

    Raises:
        As `planned`.
    """
    if entry.refused is not None:
        raise SceneError(entry.refused)
    options = dict(batch.options)
    for kind in BESIDE:
        if options.get(kind) is not None:
            path = str(options[kind]).replace(NAME, entry.name)
            options[kind] = path if kind == "tiles" else _placed(Path(path), dry)
    job = planned(entry.source, _placed(batch.folder / f"{entry.name}.tif", dry), overwrite=True, **options)
    if job.digest != batch.model.digest:
        raise ConfigError(f"{job.model}: was changed after it was loaded; start again, and leave it as it is")
    return job


def _placed(path: Path, dry: bool) -> Path:
    """The path, whose folder is there now; of a dry job with a folder above it that is there already."""
    if not dry:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        return path
    while not path.parent.is_dir() and path.parent != path.parent.parent:  # under a name that nothing there has
        path = path.parent.parent / f".{path.parent.name}-{path.name}"
    return path


@contextmanager
def hearing(source: str, told: set[str]) -> Iterator[list[str]]:
    """A context in which our warnings are kept, as texts.

    They are shown as ever, but of those that many scenes have in common only the first one is.
    """
    heard: list[str] = []
    show = warnings.showwarning

    def keep(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if issubclass(category, GeoPix2PixWarning):
            heard.append(str(message))
            common = str(message).replace(source, "")
            if common in told:
                return
            told.add(common)
        show(message, category, filename, lineno, file, line)

    with warnings.catch_warnings():
        warnings.showwarning = keep
        yield heard
