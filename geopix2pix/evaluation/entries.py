"""What is asked of an evaluation: which models, which pairs, which regions; and what is refused before the work."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

from geopix2pix.dataset import Pictures
from geopix2pix.errors import ConfigError, PairsError
from geopix2pix.evaluation.constant import blocks
from geopix2pix.model import ModelFile
from geopix2pix.pair import Pair, PairSet
from geopix2pix.palette import Palette
from geopix2pix.progress import Event, Progress
from geopix2pix.tilesets.tileset import TileSet, is_tile_set

Split = Literal["train", "validation", "test", "all"]
NAMED = 3  # unreadable pictures that a message names


def named(models: Sequence[ModelFile]) -> dict[str, ModelFile]:
    """The models by the names of their rows.

    Raises:
        ConfigError: there is none, or one twice.
    """
    if not models:
        raise ConfigError("an evaluation needs a model; give the path of at least one")
    names = [f"{model.manifest.name} {model.manifest.version}" for model in models]
    named = {
        name if names.count(name) == 1 else f"{name} ({model.digest[:8]})": model
        for name, model in zip(names, models, strict=True)
    }
    if len(named) < len(models):
        raise ConfigError("a model was given twice; give each of them once")
    return named


def chosen(pairs: PairSet, split: Split) -> list[tuple[str, Pair]]:
    """The pairs to judge on, each after its split, in the order of their names; of all splits the names tell which.

    Raises:
        PairsError: the split is empty.
        ConfigError: there is no such split.
    """
    parts: Mapping[str, Sequence[Pair]] = {"train": pairs.train, "validation": pairs.validation, "test": pairs.test}
    if split not in get_args(Split):
        raise ConfigError(f"split {split!r} is unknown; choose one of {', '.join(get_args(Split))}")
    if split == "all":
        every = [(name, replace(pair, name=f"{name}/{pair.name}")) for name, part in parts.items() for pair in part]
        return sorted(every, key=lambda chosen: chosen[1].name)
    if not parts[split]:
        there = ", ".join(f"{len(part)} {name}" for name, part in parts.items())
        raise PairsError(f"{pairs.name}: has no {split} pairs to judge on ({there}); choose another --split")
    return [(split, pair) for pair in sorted(parts[split], key=lambda pair: pair.name)]


def check_readable(chosen: Sequence[tuple[str, Pair]], palette: Palette | None, progress: Progress) -> None:
    """Nothing, if all pictures can be read and one tells something; they are decoded once for that.

    Raises:
        PairsError: some cannot, the first of which are named, or none does.
    """
    pictures, failures, known = Pictures(0, 1), [], False
    for done, (_, pair) in enumerate(chosen, 1):
        try:
            for window in blocks(pair.width, pair.height):
                known |= bool(pictures.view(pair, window, palette).known.any())
        except PairsError as error:
            failures.append(str(error))
        progress(Event("read", done, len(chosen), "pairs"))
    if failures:
        more = f"; and {len(failures) - NAMED} more" if failures[NAMED:] else ""
        raise PairsError(f"{len(failures)} of {len(chosen)} pairs cannot be read: {'; '.join(failures[:NAMED])}{more}")
    if not known:
        raise PairsError("no pixel is known in both the sources and the targets; check their nodata values and masks")


def regions_of(pairs: Sequence[Pair], folder: Path, group: str | None) -> list[str]:
    """Where each pair comes from: by its name, or by the index of a tile set; "" where nothing tells.

    Raises:
        ConfigError: `group` is no expression that finds a region in some name.
    """
    if group is None:
        origins = {tile.name: tile.origin for tile in TileSet.open(folder).tiles} if is_tile_set(folder) else {}
        return [origins.get(pair.name.rpartition("/")[2], "") for pair in pairs]
    try:
        pattern = re.compile(group)
    except re.error as error:
        raise ConfigError(f"group {group!r} is no regular expression ({error})") from error
    if not pattern.groups:
        raise ConfigError(f"group {group!r} has no part in round brackets, which would name the region")
    found = [pattern.search(pair.name) for pair in pairs]
    if not any(found):
        raise ConfigError(f"group {group!r} matches no name of a pair, such as {pairs[0].name!r}")
    return [(match.group(1) or "") if match else "" for match in found]
