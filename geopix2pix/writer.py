"""RasterWriter: a raster in row bands, which a kill does not lose and a failure does not leave half written."""

import json
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any
from warnings import warn

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout

from geopix2pix.assembly import assemble
from geopix2pix.errors import Cancelled, GeoPix2PixWarning, OutputError
from geopix2pix.files import put_in_place, sync
from geopix2pix.grid import Window
from geopix2pix.journal import Line, append_line, differences, read_journal, start_journal
from geopix2pix.output import SIDECARS, OutputSpec, check_space, check_target, writing
from geopix2pix.progress import Progress, silent
from geopix2pix.rowband import RowBand, RowBandWriter

FORMAT = 1
NEEDED_SHARE = 0.25
"""Room that is asked for, as a share of the raw pixels: less than pictures take, parts and result together, and more
than maps, which shrink to a tenth. A disk that fills up later is noticed then."""


class RasterWriter:
    """A raster that is being written; a context manager.

    Row bands go to part files in the folder OUT.part beside the target, with a journal. `assemble` makes one file of
    them and gives it the target's name; until then the target is not touched. A run that was killed, cancelled or
    interrupted goes on after its last finished row when it is started again with equal arguments. Any other failure
    removes the folder.
    """

    carry: npt.NDArray[Any] | None
    """What the blender carries from the last finished row to the next one; None before the first."""

    def __init__(
        self, path: Path | str, spec: OutputSpec, *, parameters: Mapping[str, Any], overwrite: bool = False
    ) -> None:
        """Begin to write `path`, or go on with it.

        `parameters` are JSON values: all that determines the bytes of the result beside `spec`.

        Raises:
            OutputError: the target may not be replaced, its folder is not writable or has no room, or another process
                is writing it.
        """
        self.path, self._spec = Path(path), spec
        self._folder = self.path.with_name(f"{self.path.name}.part")
        self._journal = self._folder / "journal.jsonl"
        self._lock = FileLock(self._folder / "lock")
        self._bands: list[RowBand] = []
        self._open_band: RowBandWriter | None = None
        self.carry = None
        check_target(self.path, overwrite=overwrite)
        with writing(self.path):
            self._acquire()
            try:
                self._begin({"format": FORMAT, "spec": spec.to_json(), "parameters": dict(parameters)})
            except BaseException as error:
                self._leave(error)
                raise

    @property
    def finished_rows(self) -> int:
        """Rows of windows that are finished; those of an earlier run were read back and compared."""
        return len(self._bands)

    @property
    def is_empty(self) -> bool:
        """Whether no finished row holds a valid pixel."""
        return all(band.invalid == band.height * sum(band.widths) for band in self._bands)

    def write(self, window: Window, data: npt.NDArray[Any], valid: npt.NDArray[np.bool_]) -> None:
        """Add a rectangle of the scene: those of one row from left to right, all of one height, from top to bottom.

        `data` has shape (bands, rows, cols) and the dtype of the specification; what is not `valid` is masked and 0.

        Raises:
            OutputError: the disk is full or broken.
            AssertionError: the rectangle is not the next one.
        """
        if window.is_empty:
            return
        with writing(self.path):
            if self._open_band is None:
                self._open_band = RowBandWriter(self._part(len(self._bands)), self._spec, self._bottom, window.height)
            self._open_band.write(window, data, valid)

    def finish_row(self, carry: npt.NDArray[Any]) -> None:
        """Commit a row of windows and what the blender carries to the next; both have reached the disk on return.

        Raises:
            OutputError: the disk is full or broken.
            AssertionError: the rectangles of the row do not reach the right border.
        """
        with writing(self.path):
            if self._open_band is None:
                band = RowBand(top=self._bottom, height=0, widths=(), invalid=0, checksum="")
            else:
                band = self._open_band.finish()
            self._open_band = None
            row = len(self._bands)
            np.save(self._carry_file(row), carry, allow_pickle=False)
            sync(self._carry_file(row))
            append_line(self._journal, {"band": band.to_json(), "carry": _checksum(self._carry_file(row))})
            self._carry_file(row - 1).unlink(missing_ok=True)
        self._bands.append(band)
        self.carry = carry

    def assemble(self, progress: Progress = silent) -> None:
        """Put the finished raster in the target's place and remove the parts; a stale sidecar of the target goes too.

        Raises:
            OutputError: the disk is full or broken.
            AssertionError: the finished rows do not reach the lower border.
        """
        assert self._bottom == self._spec.height, f"{self._bottom} of {self._spec.height} rows were written"
        with writing(self.path):
            finished = self._folder / "finished.tif"
            parts = [(band, self._part(row)) for row, band in enumerate(self._bands)]
            assemble(finished, self._spec, parts, progress)
            put_in_place(finished, self.path)
            for suffix in SIDECARS:
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
            self._remove()

    def __enter__(self) -> "RasterWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._leave(error)

    def _leave(self, error: BaseException | None) -> None:
        """Let go of the target: nothing stays of a failure, everything of a run that was stopped."""
        if self._open_band is not None:
            with suppress(OutputError), writing(self.path):  # what is being written is thrown away
                self._open_band.close()
        if isinstance(error, Exception) and not isinstance(error, Cancelled):
            self._remove()
        else:
            self._lock.release()

    @property
    def _bottom(self) -> int:
        return self._bands[-1].top + self._bands[-1].height if self._bands else 0

    def _part(self, row: int) -> Path:
        return self._folder / f"row-{row:05}.tif"

    def _carry_file(self, row: int) -> Path:
        return self._folder / f"carry-{row:05}.npy"

    def _acquire(self) -> None:
        self._folder.mkdir(exist_ok=True)
        own = {self._journal.name, "journal.new", "lock"}
        if not self._journal.exists() and any(file.name not in own for file in self._folder.iterdir()):
            raise OutputError(f"{self._folder}: is needed for the parts, but holds other files; move them away")
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise OutputError(f"{self.path}: another process is writing it; wait for it or stop it") from None

    def _begin(self, header: Line) -> None:
        header = json.loads(json.dumps(header))  # as it will be read again: lists for tuples
        lines = read_journal(self._journal)
        if lines and lines[0] != header:
            changed = "; ".join(f"{difference:.200}" for difference in differences(lines[0], header)[:3])
            found = f"holds parts of another run: {changed}"
            warn(f"{self._folder}: {found}; starting anew", GeoPix2PixWarning, stacklevel=3)
        if lines[:1] == [header]:
            self._resume(lines[1:])
        if not self._bands:
            size = self._spec.width * self._spec.height * self._spec.bands * np.dtype(self._spec.dtype).itemsize
            check_space(self.path, int(NEEDED_SHARE * size))
        start_journal(self._journal, [header, *lines[1 : 1 + len(self._bands)]])  # first: it tells that all is ours
        kept = {self._part(row) for row in range(len(self._bands))} | {self._carry_file(len(self._bands) - 1)}
        for file in self._folder.iterdir():
            if file not in kept and file != self._journal and file.name != "lock":
                file.unlink()

    def _resume(self, lines: list[Line]) -> None:
        """Take over the finished rows of an earlier run, if the disk really holds all of them."""
        bands = [RowBand.from_json(line["band"]) for line in lines]
        whole = all(band.is_in(self._part(row), 0) for row, band in enumerate(bands))
        carry = self._carry_file(len(bands) - 1)
        if bands and whole and carry.exists() and _checksum(carry) == lines[-1]["carry"]:
            self._bands, self.carry = bands, np.load(carry, allow_pickle=False)
        elif bands:
            found = "parts of an earlier run are damaged or missing"
            warn(f"{self._folder}: {found}; starting anew", GeoPix2PixWarning, stacklevel=4)

    def _remove(self) -> None:
        """Remove the folder of parts; the journal, which tells that they are ours, after them, the lock last."""
        with suppress(OSError):  # a file that another program has opened, on Windows
            for file in sorted(self._folder.iterdir(), key=self._journal.__eq__):
                if file.name != "lock":
                    file.unlink()
        self._lock.release()
        with suppress(OSError):
            (self._folder / "lock").unlink(missing_ok=True)
            self._folder.rmdir()


def _checksum(file: Path) -> str:
    return sha256(file.read_bytes()).hexdigest()
