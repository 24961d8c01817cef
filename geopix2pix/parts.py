"""The folders in which results are written row by row: their names, what they hold, and who holds them."""

import re
from contextlib import suppress
from pathlib import Path
from shutil import rmtree
from typing import NamedTuple

from filelock import FileLock, Timeout

from geopix2pix.errors import OutputError
from geopix2pix.files import put_in_place
from geopix2pix.grid import Window
from geopix2pix.journal import Line, differences, read_journal
from geopix2pix.rowband import RowBand

JOURNAL, LOCK = "journal.jsonl", "lock"
SHARD = re.compile(r"\.rows-([0-9]+)-([0-9]+)\.part")


class Row(NamedTuple):
    """A row of windows that is finished."""

    bands: tuple[RowBand, ...]
    """What it adds to each of the rasters."""
    parts: tuple[Path, ...]
    """Where that is."""
    remarks: dict[str, str]
    """What the tags of the results tell of it, by topic."""
    damaged: tuple[Window, ...] = ()
    """Blocks of the source of which it became known, as its windows were read, that they cannot be decoded."""

    @classmethod
    def of(cls, line: Line, folder: Path, number: int) -> "Row":
        """The row that a line of the journal tells of."""
        bands = bands_of(line)
        damaged = tuple(Window(*block) for block in line.get("damaged", ()))
        return cls(bands, parts_of(folder, number, len(bands)), line.get("remarks", {}), damaged)


def shard_folder(path: Path, rows: range | None) -> Path:
    """Where the parts of a result are while it is being written, or those of some rows of windows."""
    return path.with_name(f"{path.name}.part" if rows is None else f"{path.name}.rows-{rows.start}-{rows.stop}.part")


def found_shards(path: Path) -> list[range]:
    """The rows of windows of which there are folders beside a result, those that begin first in front."""
    endings = [
        SHARD.fullmatch(folder.name[len(path.name) :])
        for folder in path.absolute().parent.iterdir()
        if folder.name.startswith(path.name)
    ]
    return sorted((range(int(end[1]), int(end[2])) for end in endings if end), key=lambda rows: (rows.start, rows.stop))


def shard_parameters(path: Path, rows: range) -> Line:
    """What determines the bytes of the rows in a folder beside a result, as their writer was told; empty if unknown."""
    header = (read_journal(shard_folder(path, rows) / JOURNAL) or [{}])[0]
    parameters = header.get("parameters", {})
    return parameters if isinstance(parameters, dict) else {}


def rows_in(folder: Path, header: Line) -> list[Row]:
    """The finished rows of a result in the folder of a shard; `header` is the first line of the result's journal.

    Raises:
        OutputError: they belong to another result, or are damaged.
    """
    found, *lines = read_journal(folder / JOURNAL) or [{}]
    if changed := differences(found | {"rows": None}, header | {"rows": None}):
        remedy = "remove it, or give it to what it belongs to"
        if changed[0].startswith("parameters.source.files"):
            remedy = "take the same source, and copy it with its times (cp -p, rsync -t), by which it is known"
        raise OutputError(f"{folder}: holds parts of another result ({changed[0]:.200}); {remedy}")
    rows = []
    for number, line in enumerate(lines):
        rows.append(Row.of(line, folder, number))
        if not is_whole(rows[-1]):
            raise OutputError(f"{folder}: its row {number} is damaged or missing; remove it and run the shard again")
    return rows


def parts_of(folder: Path, row: int, products: int) -> tuple[Path, ...]:
    """The files for what a row of windows adds to each of the rasters."""
    return tuple(folder / f"row-{row:05}{suffix(number)}.tif" for number in range(products))


def suffix(number: int) -> str:
    """What tells the files of one raster from those of another."""
    return f"-{number}" if number else ""


def bands_of(line: Line) -> tuple[RowBand, ...]:
    """What a line of the journal says that a row adds to each of the rasters."""
    return tuple(RowBand.from_json(band) for band in (line["band"], *line.get("beside", ())))


def is_whole(row: Row) -> bool:
    """Whether the disk really holds a row."""
    return all(band.is_in(part, 0) for band, part in zip(row.bands, row.parts, strict=True))


def locked(lock: FileLock, named: Path) -> FileLock:
    """The lock, which is ours now.

    Raises:
        OutputError: another process has it.
    """
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise OutputError(f"{named}: another process is writing it; wait for it or stop it") from None
    return lock


def settle(finished: Path, target: Path) -> None:
    """Give a finished file or folder its name, over what has it."""
    if finished.is_dir() and target.exists():
        old = finished.with_name(f"{finished.name}-old")
        target.replace(old)
    put_in_place(finished, target)


def unlink(file: Path) -> None:
    """Remove a file, or a folder with all that it holds."""
    if file.is_dir() and not file.is_symlink():
        rmtree(file)
    else:
        file.unlink()


def empty(folder: Path) -> None:
    """Remove all but the lock; the journal, which tells that the files are ours, after them."""
    with suppress(OSError):  # a file that another program has opened, on Windows
        for file in sorted(folder.iterdir(), key=(folder / JOURNAL).__eq__):
            if file.name != LOCK:
                unlink(file)


def remove(folder: Path) -> None:
    """Remove a folder of parts, whose lock is free."""
    empty(folder)
    with suppress(OSError):
        (folder / LOCK).unlink(missing_ok=True)
        folder.rmdir()
