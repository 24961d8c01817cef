"""The folder of a report, which is there whole or not at all."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from geopix2pix.errors import GeoPix2PixError, OutputError

REPORT, TABLE = "report.json", "report.txt"
"""All figures, by which a folder is known as a report, and the table for people."""


def check_output(output: Path, inputs: Sequence[Path], *, overwrite: bool) -> None:
    """Nothing, if a report may be written to the folder `output`; only a report is ever replaced.

    Raises:
        OutputError: it may not; the message says what helps.
    """
    if not output.absolute().parent.is_dir():
        raise OutputError(f"{output}: its parent folder does not exist; create it first")
    if output.exists() and not output.is_dir():
        raise OutputError(f"{output}: is a file; name a new folder for the report")
    if output.is_dir() and any(output.iterdir()):
        if not overwrite:
            raise OutputError(f"{output}: is not empty; name a new folder, or allow overwriting")
        if not (output / REPORT).is_file():
            raise OutputError(f"{output}: holds something else than a report, which is not replaced; name a new folder")
    for path in inputs:
        if path.resolve().is_relative_to(output.resolve()):
            raise OutputError(f"{output}: holds {path}, which is needed; name another folder for the report")


@contextmanager
def report_folder(output: Path) -> Iterator[tuple[Path, Path]]:
    """A new folder to fill, and one for what is needed meanwhile; the first gets the name `output` when the body ends.

    Both lie beside `output`. If the body raises, they are gone and an older report is as it was.

    Raises:
        OutputError: whatever the system refuses inside: a full disk, a folder that is closed to us.
    """
    try:
        with TemporaryDirectory(prefix=f".{output.name}-", dir=output.absolute().parent) as beside:
            new, room = Path(beside) / "report", Path(beside) / "room"
            new.mkdir()
            room.mkdir()
            yield new, room
            _put_in_place(new, output, Path(beside) / "old")
    except GeoPix2PixError:
        raise
    except OSError as error:
        found = error.strerror or error
        raise OutputError(f"{output}: the report cannot be written ({found}); check disk space and rights") from error


def _put_in_place(new: Path, output: Path, old: Path) -> None:
    """Give the finished report its name; an older one goes to `old` first, and comes back if that fails."""
    if not output.exists():
        new.rename(output)
        return
    output.rename(old)
    try:
        new.rename(output)
    except OSError:
        old.rename(output)
        raise
