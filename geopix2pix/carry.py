"""StoredCarry: what windows leave for those below them, in files, so that memory holds that of one window at a time."""

from contextlib import suppress
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geopix2pix.files import sync
from geopix2pix.output import saving


class StoredCarry:
    """A carry of a blender in a folder, with a file for each row of windows that holds what was left for it.

    The bands lie in it from left to right. A row may be kept and forgotten in another thread than the one that takes
    and leaves, once its last window has left its band.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._place = 0  # where in its file the next band begins that is taken
        self._digests: dict[int, Any] = {}  # SHA-256 of what the file for a row is to hold

    def file(self, row: int) -> Path:
        """Where lies what is left for a row."""
        return self._folder / f"carry-{row:05}.npy"

    def holds(self, row: int) -> bool:
        """Whether something was left for a row."""
        return row in self._digests

    def take(self, column: int, row: int) -> npt.NDArray[Any] | None:
        """What the window above this one has left, shape (bands, feather, cols); None if nothing.

        Raises:
            OutputError: it cannot be read.
        """
        if not self.holds(row):
            return None
        with saving(self.file(row)), self.file(row).open("rb") as file:
            file.seek(self._place if column else 0)
            band: npt.NDArray[Any] = np.load(file, allow_pickle=False)
            self._place = file.tell()
        return band

    def leave(self, column: int, row: int, band: npt.NDArray[Any]) -> None:
        """Keep what this window leaves for the one below it.

        Raises:
            OutputError: the disk is full or broken.
        """
        saved = BytesIO()  # given the file itself, numpy would not notice a disk that is full
        np.save(saved, band, allow_pickle=False)
        if column == 0:
            self._digests[row + 1] = sha256()
        self._digests[row + 1].update(saved.getbuffer())
        with saving(self.file(row + 1)), self.file(row + 1).open("ab" if column else "wb") as file:
            file.write(saved.getbuffer())

    def kept(self, row: int) -> str | None:
        """The SHA-256 of all that was left for a row, once it has reached the disk; None if nothing was."""
        if not self.holds(row):
            return None
        sync(self.file(row))
        checksum: str = self._digests[row].hexdigest()
        return checksum

    def recover(self, row: int, checksum: str | None) -> None:
        """Take over what an earlier run has left for a row, if all of it is there."""
        digest = sha256()
        with suppress(FileNotFoundError), self.file(row).open("rb") as file:
            while some := file.read(2**20):
                digest.update(some)
        if digest.hexdigest() == checksum:
            self._digests[row] = digest

    def forget(self, row: int) -> None:
        """Remove what was left for a row."""
        self._digests.pop(row, None)
        self.file(row).unlink(missing_ok=True)
