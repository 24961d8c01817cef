"""RasterWriter: a raster in row bands, which a kill does not lose and a failure does not leave half written."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import takewhile
from pathlib import Path
from types import TracebackType
from typing import Any
from warnings import warn

import numpy as np
import numpy.typing as npt
from filelock import FileLock

from geopix2pix.assembly import assemble
from geopix2pix.carry import StoredCarry
from geopix2pix.damage import told
from geopix2pix.errors import Cancelled, DownloadError, GeoPix2PixWarning, OutputError, UnreadableError
from geopix2pix.grid import Window
from geopix2pix.journal import Line, append_line, differences, read_journal, start_journal
from geopix2pix.output import SIDECARS, OutputSpec, Product, check_space, check_target, writing
from geopix2pix.parts import (
    Row,
    empty,
    is_whole,
    locked,
    parts_of,
    remove,
    rows_in,
    settle,
    shard_folder,
    suffix,
    unlink,
)
from geopix2pix.progress import Progress, repeated, silent
from geopix2pix.rowband import RowBand, RowBandWriter

FORMAT = 4
"""Of what lies in the folder; 4 since windows begin with the scene, so that they finish other rows than before."""
NEEDED_SHARE = 0.25
"""Room that is asked for, as a share of the raw pixels: less than pictures take, parts and result together, and more
than maps, which shrink to a tenth. A disk that fills up later is noticed then."""

NOTHING: Mapping[str, str] = {}

Derive = Callable[[Path, Sequence[Path]], Sequence[tuple[Path, Path]]]
"""Makes further results, given a folder to make them in and the finished rasters: which file is to get which name."""


class RasterWriter:
    """Rasters of one size that are being written side by side; a context manager.

    Row bands go to part files in a folder, OUT.part beside the first target, with a journal. `assemble` makes one file
    of them for each raster and gives it its name; until then no target is touched. A run that was killed, cancelled or
    interrupted, or whose disk, source or server failed, goes on after its last finished row when it is started again
    with equal arguments. Any other failure removes the folder.

    A writer for some `rows` only does a share of the work: its folder, OUT.rows-FIRST-END.part, stays when it is left,
    and another writer takes it over with `adopt`.
    """

    def __init__(
        self,
        path: Path | str,
        spec: OutputSpec,
        *,
        parameters: Mapping[str, Any],
        beside: Sequence[Product] = (),
        rows: range | None = None,
        top: int = 0,
        publish: bool = True,
        overwrite: bool = False,
    ) -> None:
        """Begin to write `path`, and the rasters `beside` it, or go on with them.

        `parameters` are JSON values: all that determines the bytes of the results beside their specifications. `rows`
        are the rows of windows to write if not all, `top` is the row of pixels that the first of them begins with. With
        `publish` false only what is derived of the rasters gets their names.

        Raises:
            OutputError: a target may not be replaced, its folder is not writable or has no room, or another process
                is writing it.
        """
        self.path, self._products, self._top = Path(path), (Product(Path(path), spec), *beside), top
        self._shard, self._publish = rows, publish
        self._folder = shard_folder(self.path, rows)
        self._journal = self._folder / "journal.jsonl"
        self._lock = FileLock(self._folder / "lock")
        self.carry = StoredCarry(self._folder)
        """For the blender, what the windows of a row leave for those of the next one."""
        self._rows: list[Row] = []
        self._open_bands: list[RowBandWriter] = []
        for target in self._targets:
            check_target(target, overwrite=overwrite)
        header: Line = {"format": FORMAT, "spec": spec.to_json(), "parameters": dict(parameters)}
        if beside:
            header["beside"] = [{"name": to.name if to else None, "spec": other.to_json()} for to, other in beside]
        self._header: Line = json.loads(json.dumps(header))  # as it will be read again: lists for tuples
        with writing(self.path):
            self._acquire()
            try:
                self._begin()
            except BaseException as error:
                self._leave(error)
                raise

    @property
    def finished_rows(self) -> int:
        """Rows of windows that are finished; those of an earlier run were read back and compared."""
        return len(self._rows)

    @property
    def remarks(self) -> dict[str, str]:
        """What was remarked of the finished rows, and which blocks of their source are damaged."""
        found = {topic: text for row in self._rows for topic, text in row.remarks.items()}
        return found | {"damaged": f"mask: {told(self.damaged)}"} if self.damaged else found

    @property
    def damaged(self) -> frozenset[Window]:
        """Blocks of the source that could not be decoded for the finished rows."""
        return frozenset(block for row in self._rows for block in row.damaged)

    @property
    def is_empty(self) -> bool:
        """Whether no finished row holds a valid pixel."""
        bands = [row.bands[0] for row in self._rows]
        return all(band.invalid == band.height * sum(band.widths) for band in bands)

    def write(
        self, window: Window, data: npt.NDArray[Any], valid: npt.NDArray[np.bool_], *beside: npt.NDArray[Any]
    ) -> None:
        """Add a rectangle of the scene: those of one row from left to right, all of one height, from top to bottom.

        `data` has shape (bands, rows, cols) and the dtype of the specification; what is not `valid` is masked and 0, or
        nodata. `beside` are the data of the other rasters, likewise.

        Raises:
            OutputError: the disk is full or broken.
            AssertionError: the rectangle is not the next one.
        """
        if window.is_empty:
            return
        with writing(self.path):
            if not self._open_bands:
                for part, product in zip(self._parts(len(self._rows)), self._products, strict=True):
                    self._open_bands.append(RowBandWriter(part, product.spec, self._bottom, window.height))
            for band, values in zip(self._open_bands, (data, *beside), strict=True):
                band.write(window, values, valid)

    def finish_row(self, remarks: Mapping[str, str] = NOTHING, damaged: Iterable[Window] = ()) -> None:
        """Commit a row of windows and what it has left in the carry; both have reached the disk on return.

        The tags of the results will tell the `remarks`, by topic, and which blocks of the source are `damaged`.

        Raises:
            OutputError: the disk is full or broken.
            AssertionError: the rectangles of the row do not reach the right border.
        """
        row = len(self._rows)
        with writing(self.path):
            bands = tuple(band.finish() for band in self._open_bands)
            if not bands:
                bands = (RowBand(top=self._bottom, height=0, widths=(), invalid=0, checksum=""),) * len(self._products)
            self._open_bands = []
            line: Line = {"band": bands[0].to_json(), "carry": self.carry.kept(self._next_row + 1)}
            if bands[1:]:
                line["beside"] = [band.to_json() for band in bands[1:]]
            if remarks:
                line["remarks"] = dict(remarks)
            if fresh := sorted(set(damaged) - self.damaged):
                line["damaged"] = [list(block) for block in fresh]
            append_line(self._journal, line)
            self.carry.forget(self._next_row)
        self._rows.append(Row.of(line, self._folder, row))

    @contextmanager
    def adopt(self, shards: Sequence[range], total: int) -> Iterator[None]:
        """A context in which the finished rows, `total` of them, are those of other writers for the same result.

        Their folders are removed when it ends without an error.

        Raises:
            OutputError: a row is missing or damaged, belongs to another result, or is being written.
        """
        adopted: dict[int, Row] = {}
        locks = []
        try:
            for shard in shards:
                folder = shard_folder(self.path, shard)
                locks.append(locked(FileLock(folder / "lock"), folder))
                adopted = dict(enumerate(rows_in(folder, self._header), shard.start)) | adopted
            if missing := sorted(set(range(total)) - adopted.keys()):
                found = f"{len(missing)} of {total} rows of its windows, the first is {missing[0]}, were not computed"
                raise OutputError(f"{self.path}: {found}; run their shards first")
            self._rows = [adopted[row] for row in range(total)]
            yield
        finally:
            self._rows = []
            for lock in locks:
                lock.release()
        for shard in shards:
            remove(shard_folder(self.path, shard))

    def assemble(self, progress: Progress = silent, derive: Derive | None = None) -> None:
        """Put the finished rasters in their places and remove the parts; a stale sidecar of a target goes too.

        What `derive` makes of them is put in place with them, before the first of them, the last one to appear.

        Raises:
            OutputError: the disk is full or broken.
            AssertionError: the finished rows do not reach the lower border.
        """
        height = self._products[0].spec.height
        assert self._bottom == height, f"{self._bottom} of {height} rows were written"
        with writing(self.path):
            finished = []
            for number, product in enumerate(self._products):
                finished.append(self._folder / f"finished{suffix(number)}.tif")
                parts = [(row.bands[number], row.parts[number]) for row in self._rows]
                heard = repeated(progress, "assemble", number, len(self._products))
                assemble(finished[-1], product.spec.remarked(self.remarks), parts, heard)
            derived = [] if derive is None else derive(self._folder, finished)
        with writing(self.path):
            for target in self._targets:
                for ending in SIDECARS:
                    target.with_name(target.name + ending).unlink(missing_ok=True)
            made = [
                (file, product.path) for file, product in zip(finished, self._products, strict=True) if product.path
            ]
            for file, target in [*derived, *(reversed(made) if self._publish else ())]:
                settle(file, target)
            self._remove()

    def __enter__(self) -> "RasterWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._leave(error)

    def _leave(self, error: BaseException | None) -> None:
        """Let go of the target. Finished rows stay if the run was stopped, or a disk, a source or its server failed."""
        for band in self._open_bands:
            with suppress(OutputError), writing(self.path):  # what is being written is thrown away
                band.close()
        if isinstance(error, OutputError | UnreadableError) and self._rows:
            with suppress(OSError):  # a file that another program has opened, on Windows
                self._tidy()  # which makes room
        elif isinstance(error, Exception) and not isinstance(error, Cancelled | DownloadError):
            self._remove()
        self._lock.release()

    @property
    def _next_row(self) -> int:
        """The row of windows, of all, that is not finished yet."""
        return (self._shard.start if self._shard else 0) + len(self._rows)

    @property
    def _targets(self) -> list[Path]:
        return [product.path for product in self._products if product.path is not None]

    @property
    def _bottom(self) -> int:
        return self._rows[-1].bands[0].top + self._rows[-1].bands[0].height if self._rows else self._top

    def _parts(self, row: int) -> tuple[Path, ...]:
        return parts_of(self._folder, row, len(self._products))

    def _acquire(self) -> None:
        self._folder.mkdir(exist_ok=True)
        own = {self._journal.name, "journal.new", "lock"}
        if not self._journal.exists() and any(file.name not in own for file in self._folder.iterdir()):
            raise OutputError(f"{self._folder}: is needed for the parts, but holds other files; move them away")
        locked(self._lock, self.path)

    def _begin(self) -> None:
        lines, header = read_journal(self._journal), self._header
        if self._shard is not None:
            header = header | {"rows": [self._shard.start, self._shard.stop]}
        if lines and lines[0] != header:
            changed = "; ".join(f"{difference:.200}" for difference in differences(lines[0], header)[:3])
            found = f"holds parts of another run: {changed}"
            warn(f"{self._folder}: {found}; starting anew", GeoPix2PixWarning, stacklevel=3)
        if lines[:1] == [header]:
            self._resume(lines[1:])
        if not self._rows:
            check_space(self.path, int(NEEDED_SHARE * sum(product.spec.raw_bytes for product in self._products)))
        start_journal(self._journal, [header, *lines[1 : 1 + len(self._rows)]])  # first: it tells that all is ours
        self._tidy()

    def _tidy(self) -> None:
        """Remove all but the finished rows and what the next one needs."""
        kept = {part for row in self._rows for part in row.parts}
        if self.carry.holds(self._next_row):
            kept.add(self.carry.file(self._next_row))
        for file in self._folder.iterdir():
            if file not in kept and file != self._journal and file.name != "lock":
                unlink(file)

    def _resume(self, lines: list[Line]) -> None:
        """Take over the finished rows of an earlier run, up to the first one that the disk does not really hold."""
        rows = [Row.of(line, self._folder, row) for row, line in enumerate(lines)]
        self._rows = list(takewhile(is_whole, rows))
        if self._rows:  # what was lost is computed again
            self.carry.recover(self._next_row, lines[len(self._rows) - 1]["carry"])
        if len(self._rows) < len(rows):
            found = f"parts of an earlier run are damaged or missing, from row {len(self._rows)} of windows on"
            warn(f"{self._folder}: {found}; these are computed again", GeoPix2PixWarning, stacklevel=4)

    def _remove(self) -> None:
        """Remove the folder of parts."""
        empty(self._folder)
        self._lock.release()
        remove(self._folder)
