"""Files that are there whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`; the file that the body writes there gets the name of `path` when the body ends.

    If the body raises, `path` stays as it was and the temporary file goes.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        put_in_place(temporary, path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def put_in_place(finished: Path, path: Path) -> None:
    """Give a finished file, on the disk of `path`, its name: after a crash there is the old file or the new one."""
    sync(finished)
    finished.replace(path)
    if os.name == "posix":  # elsewhere folders cannot be opened
        sync(path.absolute().parent)


def sync(path: Path) -> None:
    """Return when a file or folder has reached the disk."""
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
