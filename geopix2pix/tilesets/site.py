"""Site: where a tile set is being built, which a kill does not lose and which becomes the set at once."""

import hashlib
import json
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from warnings import warn

from filelock import FileLock, Timeout

from geopix2pix.errors import GeoPix2PixError, GeoPix2PixWarning, OutputError
from geopix2pix.files import sync
from geopix2pix.journal import Line, append_line, differences, read_journal, start_journal
from geopix2pix.output import writing
from geopix2pix.tilesets.tileset import INDEX, MANIFEST, PALETTE, SIDES, is_tile_set, path_of


class Site:
    """The folder OUT.part beside a tile set OUT, with a journal; a context manager.

    A build that was stopped, killed or that failed goes on with its finished tiles when it is started again with an
    equal header; what servers sent, in the `cache`, is good for any build. Without either nothing stays.
    """

    def __init__(self, output: Path, *, overwrite: bool = False) -> None:
        """Take the place of `output`.

        Raises:
            OutputError: it exists and may not be replaced, or is no tile set, or another process is building it.
        """
        self.output, self._overwrite = output, overwrite
        self.folder = output.with_name(f"{output.name}.part")
        self.tiles = self.folder / "set"
        self.cache = self.folder / "cache"
        self._old = self.folder / "old"
        self._journal = self.folder / "journal.jsonl"
        self._lock = FileLock(self.folder / "lock")
        self._finished: dict[str, dict[str, Line]] = {}
        with writing(output):
            self._acquire()

    def begin(self, header: Line) -> None:
        """Start to build, or go on with what was finished under the same header: all that determines the result."""
        header = json.loads(json.dumps(header))  # as it will be read again: lists for tuples
        with writing(self.output):
            found = read_journal(self._journal)
            if found and found[0] != header:
                changed = "; ".join(f"{difference:.200}" for difference in differences(found[0], header)[:3])
                text = f"{self.folder}: holds tiles of another build: {changed}; starting anew"
                warn(text, GeoPix2PixWarning, stacklevel=3)
            if found[:1] == [header]:
                self._resume(found[1:])
            else:
                for path in self.folder.iterdir():
                    if path not in (self._old, self.cache, self.folder / "lock"):
                        _remove(path)
                start_journal(self._journal, [header])
            for side in SIDES:
                (self.tiles / side).mkdir(parents=True, exist_ok=True)

    def finished(self, stage: str) -> dict[str, Line]:
        """What is known of the tiles that a stage has finished, by name; their files are on the disk as they were."""
        return dict(self._finished.get(stage, {}))

    def record(self, stage: str, lines: Sequence[Line]) -> None:
        """Note that tiles are finished; that has reached the disk on return."""
        with writing(self.output):
            append_line(self._journal, {"stage": stage, "tiles": list(lines)})
        self._finished.setdefault(stage, {}).update((line["name"], line) for line in lines)

    def finish(self, wanted: set[Path]) -> None:
        """Give the set, which holds the `wanted` files below `tiles`, its name, in place of an older one."""
        with writing(self.output):
            for path in sorted(self.tiles.rglob("*"), reverse=True):
                if path.is_file():
                    sync(path) if path in wanted else path.unlink()
                elif not any(path.iterdir()):
                    path.rmdir()
            if self.output.exists():
                self.output.rename(self._old)
            self.tiles.rename(self.output)
            sync(self.output.absolute().parent)
            self._remove()

    def __enter__(self) -> "Site":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if any(self._finished.values()) or any(path.is_file() for path in self.cache.rglob("*")):
            self._lock.release()
        else:
            self._remove()

    def _acquire(self) -> None:
        output = self.output
        if not output.absolute().parent.is_dir():
            raise OutputError(f"{output}: the folder {output.absolute().parent} does not exist; create it first")
        self.folder.mkdir(exist_ok=True)
        own = ("lock", "old", "cache", "journal.new")
        strange = [path.name for path in self.folder.iterdir() if path.name not in own]
        if strange and not self._journal.exists():
            raise OutputError(f"{self.folder}: is needed for the build, but holds other files; move them away")
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise OutputError(f"{output}: another process is building it; wait for it or stop it") from None
        if self._old.exists() and not output.exists():  # killed between two renames
            self._old.rename(output)
        try:
            _check_replaceable(output, self._overwrite)
        except GeoPix2PixError:
            if not self._journal.exists():
                self._remove()
            self._lock.release()
            raise

    def _resume(self, entries: Sequence[Line]) -> None:
        """Take over the tiles of an earlier run whose files are as they were."""
        last: dict[str, Line] = {line["name"]: line for entry in entries for line in entry["tiles"]}
        whole = {name for name, line in last.items() if "skipped" in line or self._is_whole(line)}
        for entry in entries:
            for line in entry["tiles"]:
                if line["name"] in whole:
                    self._finished.setdefault(entry["stage"], {})[line["name"]] = line

    def _is_whole(self, line: Line) -> bool:
        digest = hashlib.sha256()
        for side in SIDES:
            path = path_of(self.tiles, side, line["name"])
            if path.exists():
                digest.update(path.read_bytes())
        return bool(digest.hexdigest() == line["sha256"])

    def _remove(self) -> None:
        """Remove the folder; the journal, which tells that all is ours, after the rest, the lock last."""
        with suppress(OSError):  # a file that another program has opened, on Windows
            for path in sorted(self.folder.iterdir(), key=self._journal.__eq__):
                if path.name != "lock":
                    _remove(path)
        self._lock.release()
        with suppress(OSError):
            (self.folder / "lock").unlink(missing_ok=True)
            self.folder.rmdir()


def _check_replaceable(output: Path, overwrite: bool) -> None:
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    if not output.is_dir() or not is_tile_set(output):
        raise OutputError(f"{output}: exists and is no tile set, so it is not replaced; choose another name")
    if not overwrite:
        raise OutputError(f"{output}: exists already; choose another name or allow it to be overwritten")
    ours = (MANIFEST, INDEX, f"{INDEX}-wal", f"{INDEX}-shm", PALETTE, *SIDES)  # databases are opened with companions
    if others := sorted(path.name for path in output.iterdir() if path.name not in ours):
        raise OutputError(
            f"{output}: holds files that are not the tile set's ({', '.join(others[:3])}); move them away"
        )


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
