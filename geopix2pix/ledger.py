"""Ledger: what became of each of many scenes, in a file that a kill does not lose and in a summary for readers."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from os.path import relpath
from pathlib import Path
from typing import Any, Literal

from geopix2pix import __version__
from geopix2pix.errors import OutputError, RasterError
from geopix2pix.gdal import open_dataset
from geopix2pix.job import Job
from geopix2pix.journal import Line, append_line, differences, read_journal, start_journal
from geopix2pix.output import writing
from geopix2pix.shard import Shard

SUMMARY, STAC, JOURNAL = "summary.json", "stac", "translations.jsonl"
MOSAICS = {"map": "mosaic.vrt", "classes": "mosaic-classes.vrt", "confidence": "mosaic-confidence.vrt"}
"""What lies beside the results in their folder; a mosaic for each kind of raster."""
Status = Literal["made", "kept", "empty", "failed"]
"""`kept`: made before, of the same and in the same way; `empty`: no pixel is valid, or none lies in the region."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a scene."""

    name: str
    """Of its results, without an ending."""
    source: str
    status: Status
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()
    error: str | None = None
    results: Mapping[str, Path] = field(default_factory=dict)
    """Empty if there are none."""

    def to_json(self, folder: Path) -> dict[str, Any]:
        """JSON values; the paths of results are relative to a folder."""
        return {
            "name": self.name,
            "source": self.source,
            "status": self.status,
            "seconds": round(self.seconds, 3),
            "warnings": list(self.warnings),
            "error": self.error,
            "results": {kind: _relative(path, folder) for kind, path in self.results.items()},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What became of many scenes, and what shows them together."""

    path: Path
    """The file in which it is told, in the folder of the results."""
    model: str
    outcomes: tuple[Outcome, ...]
    seconds: float
    mosaics: tuple[Path, ...] = ()
    unshown: tuple[str, ...] = ()
    """Why results are in no mosaic."""
    catalog: Path | None = None

    @property
    def counts(self) -> dict[str, int]:
        """How many scenes have each status."""
        found = Counter(outcome.status for outcome in self.outcomes)
        statuses: tuple[Status, ...] = ("made", "kept", "empty", "failed")
        return {status: found[status] for status in statuses}

    @property
    def is_good(self) -> bool:
        """Whether nothing failed and something is there."""
        counts = self.counts
        return not counts["failed"] and counts["made"] + counts["kept"] > 0

    def to_json(self) -> dict[str, Any]:
        """JSON values; paths are relative to the folder of the results."""
        folder = self.path.parent
        return {
            "geopix2pix": __version__,
            "model": self.model,
            "seconds": round(self.seconds, 3),
            "counts": self.counts,
            "scenes": [outcome.to_json(folder) for outcome in self.outcomes],
            "mosaics": [_relative(path, folder) for path in self.mosaics],
            "not_in_a_mosaic": list(self.unshown),
            "stac": None if self.catalog is None else _relative(self.catalog, folder),
        }


def named(name: str, shard: Shard | None) -> str:
    """What the file is called for a shard."""
    path = Path(name)
    return name if shard is None else f"{path.stem}-{shard.number}-of-{shard.total}{path.suffix}"


def _relative(path: Path, folder: Path) -> str:
    return Path(relpath(path, folder)).as_posix()


class Ledger:
    """What was made in a folder, by this process and by others before it or for other shares.

    Each process appends to a file of its own for its share; all of these files are read.
    """

    def __init__(self, folder: Path, shard: Shard | None = None, *, overwrite: bool = False) -> None:
        """Look at a folder, which need not be there.

        Raises:
            OutputError: it cannot be read, or holds files where ours are to be and `overwrite` is false.
        """
        self._folder = folder
        self._path, self._is_ours = folder / named(JOURNAL, shard), False
        self._lines: dict[str, Line] = {}
        with writing(folder):
            journals = sorted(folder.glob(f"{Path(JOURNAL).stem}*.jsonl")) if folder.is_dir() else []
            for journal in journals:
                self._lines |= {str(line.get("name")): line for line in read_journal(journal)}
            if not journals and not overwrite:
                for name in (SUMMARY, STAC, *MOSAICS.values()):
                    if (folder / name).exists():
                        found = f"{folder / name}: exists already, and was not made of scenes in this folder"
                        raise OutputError(f"{found}; choose another folder or allow to overwrite it")

    def difference(self, job: Job, engine: Mapping[str, Any]) -> str | None:
        """What tells results that are there from those of a job, as "and ..."; None if they are the same."""
        line = self._lines.get(job.output.stem)
        if line is None:
            return "it was not made here"
        if changed := differences(line.get("request", {}), self._request(job, engine)):
            return f"{changed[0]:.200} now"
        if changed := differences(line.get("files", {}), self._sizes(job)):
            return f"the size of its {changed[0]:.200}"
        try:
            open_dataset(job.output).close()
        except RasterError as error:
            return f"it is damaged ({error})"
        return None

    def warnings(self, name: str) -> tuple[str, ...]:
        """What was told when a scene was translated."""
        found = self._lines.get(name, {}).get("warnings", [])
        return tuple(str(text) for text in found) if isinstance(found, list) else ()

    def record(self, job: Job, engine: Mapping[str, Any], warnings: list[str]) -> None:
        """Note that a job is done; that has reached the disk on return.

        Raises:
            OutputError: it cannot be written.
        """
        line = {"name": job.output.stem, "request": self._request(job, engine), "files": self._sizes(job)}
        with writing(self._path):
            if not self._is_ours:  # a kill may have left half a line, after which nothing would be found
                start_journal(self._path, read_journal(self._path))
                self._is_ours = True
            append_line(self._path, line | {"warnings": warnings})

    def _request(self, job: Job, engine: Mapping[str, Any]) -> Line:
        """All that decides the results of a job, as it will be read again."""
        results = job.results
        request = {
            **job.parameters,
            **engine,
            "form": [results.driver, results.compress, results.min_area],
            "results": sorted(results.paths),
        }
        if engine.get("device") != "cpu":  # there the bits may depend on it
            request["batch"] = job.batch
        found: Line = json.loads(json.dumps(request))
        return found

    def _sizes(self, job: Job) -> Line:
        """The size of each result; of folders only that they are there."""
        return {
            kind: (path.stat().st_size if path.is_file() else path.is_dir()) for kind, path in job.results.paths.items()
        }
