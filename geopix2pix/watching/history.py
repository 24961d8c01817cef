"""What a run folder tells of its run, finished or not, as a value."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from geopix2pix import runlog
from geopix2pix.errors import ConfigError
from geopix2pix.watching.diary import NAME

Entry = Mapping[str, Any]
NO_LOSSES = ("step", "epoch", "rate")


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The record of a run up to the moment in which it was read."""

    name: str
    about: Entry
    """`config.json`: the configuration, the pairs and their scaling."""
    log: tuple[Entry, ...]
    """Lines with `step` and `epoch`: losses of steps, figures of epochs, alarms, and shares of classes."""
    times: tuple[Entry, ...]
    """The lines of the diary."""
    samples: Mapping[int, Path]
    """The sheets of samples by epoch, in order."""
    finished: bool

    @classmethod
    def read(cls, folder: Path) -> "History":
        """The history in a run folder, also of a run that is at work there; lines that are not ours are left out.

        Raises:
            ConfigError: the folder holds no run.
        """
        try:
            about = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            sets, batch = about["pairs"], about["config"]["batch"]
            planned = about["config"]["epochs"], about["config"]["images_per_epoch"]
            sizes = [number for s in sets for number in (s["train"], s["validation"])]
            if not all(type(number) is int and number >= 0 for number in (batch - 1, *planned, *sizes)):
                raise ValueError("config.json has other values than a run's")
            log = tuple(_lines(folder / runlog.NAME, "step", "epoch"))
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise ConfigError(
                f"{folder}: holds no run that can be read ({error}); name a folder that geopix2pix train wrote to"
            ) from error
        sheets = ((path.stem.removeprefix("epoch-"), path) for path in folder.glob("samples/epoch-*.png"))
        return cls(
            name=folder.resolve().name,
            about=about,
            log=log,
            times=tuple(_lines(folder / NAME, "step")) if (folder / NAME).exists() else (),
            samples=dict(sorted((int(epoch), path) for epoch, path in sheets if epoch.isdecimal())),
            finished=(folder / "model.safetensors").exists(),
        )

    @property
    def steps(self) -> int:
        """Steps that were taken."""
        return max((entry["step"] for entry in self.log), default=0)

    @property
    def planned(self) -> int:
        config = self.about["config"]
        images = config["images_per_epoch"] or sum(s["train"] for s in self.about["pairs"])
        return int(config["epochs"] * max(1, images // config["batch"]))

    @property
    def alarms(self) -> list[str]:
        return [str(entry["message"]) for entry in self.log if "alarm" in entry and "message" in entry]

    @property
    def best(self) -> int | None:
        """The epoch with the highest score; the first one of equals."""
        scores = self.figures().get("score", [])
        return max(scores, key=lambda point: point[1])[0] if scores else None

    def losses(self) -> dict[str, list[tuple[int, float]]]:
        """Each loss as (step, value); some join later."""
        taken = [entry for entry in self.log if "generator" in entry]
        return _series(taken, "step", {name: None for entry in taken for name in entry if name not in NO_LOSSES})

    def rates(self) -> list[tuple[int, float]]:
        """The learning rate as (step, value)."""
        return _series(self.log, "step", {"rate": None})["rate"]

    def figures(self) -> dict[str, list[tuple[int, float]]]:
        """Each validation measure as (epoch, value)."""
        judged = [{**entry["validation"], "at": entry["epoch"]} for entry in self._of("validation")]
        return _series(judged, "at", {name: None for entry in judged for name in entry if name != "at"})

    def shares(self) -> Mapping[str, Mapping[str, float]]:
        """The shares of the classes in each set; empty where they were not counted."""
        return next((entry["shares"] for entry in self._of("shares")), {})

    def seconds(self) -> float:
        """How long the run was at work; what was lost when it was killed counts up to the last epoch before."""
        moments = [(datetime.fromisoformat(entry["at"]), "begun" in entry) for entry in self.times]
        return sum((b - a).total_seconds() for (a, _), (b, begun) in pairwise(moments) if not begun)

    def _of(self, name: str) -> list[Entry]:
        return [entry for entry in self.log if isinstance(entry.get(name), Mapping)]


def _lines(path: Path, *numbers: str) -> Iterator[Entry]:
    """The JSON objects in a file, a line each, that have these whole numbers."""
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):  # the last one may be half written
            continue
        if isinstance(entry, dict) and all(type(entry.get(name)) is int for name in numbers):
            yield entry


def _series(entries: Sequence[Entry], at: str, names: Mapping[str, None]) -> dict[str, list[tuple[int, float]]]:
    return {
        name: [
            (entry[at], float(entry[name]))
            for entry in entries
            if type(entry.get(name)) in (int, float) and math.isfinite(entry[name])
        ]
        for name in names
    }
