"""Damage: the blocks of a scene that cannot be decoded, and what becomes of them."""

from collections.abc import Callable, Collection, Iterator
from typing import Literal, TypeVar

from rasterio.errors import RasterioIOError
from rasterio.io import DatasetReader

from geopix2pix.errors import RasterError
from geopix2pix.gdal import reason
from geopix2pix.grid import Window
from geopix2pix.remote import RemoteFile, Source

Damaged = Literal["stop", "mask"]
"""What is done where a scene is damaged: the work ends, or what cannot be decoded is masked."""
STREAMS = ("JPEG", "PNG", "GIF", "WEBP")
"""Formats whose pixels are one stream: what follows on a damage may be read, and be wrong."""
NOT_OF_THE_FILE = (2, 4)  # GDAL's numbers for too little memory and for a source that cannot be opened
MAX_BLOCKS = 100_000  # that are kept in mind, in 25 MB; more are no damage, but a ruin
NAMED = 3
"""Blocks that are told one by one."""

T = TypeVar("T")


class Damage:
    """The blocks of one scene that turned out not to be decodable; for any number of threads.

    Blocks are those in which the file stores its first band: tiles, strips, or the 128 pixels of a mosaic. One is
    damaged if any band or mask that is read cannot be decoded in it, and is then damaged as a whole.
    """

    def __init__(self, damaged: Damaged | None = None) -> None:
        """Without a choice the work ends, and no other way is offered."""
        self.masks = damaged == "mask"
        self.remedy = ", or mask what is damaged with --damaged mask" if damaged == "stop" else ""
        self.blocks: set[Window] = set()

    def parts(
        self, path: Source, dataset: DatasetReader, window: Window, read: Callable[[Window], T]
    ) -> Iterator[tuple[Window, T]]:
        """What `read` gives of a window: as a whole or, if that fails, of each block in it that can be decoded.

        Raises:
            RasterioIOError: it fails and damage is not masked, or not the file is to blame.
            RasterError: nothing can be masked in files of this format, or too many blocks are damaged.
        """
        known = bool(self.blocks) and not self.blocks.isdisjoint(blocks_in(dataset, window))
        if not known:
            try:
                whole = read(window)
            except RasterioIOError as error:
                self._check(path, dataset, error)
            else:
                yield window, whole
                return
        for block in blocks_in(dataset, window):
            if block not in self.blocks:
                part = block.intersection(window)
                try:
                    found = read(part)
                except RasterioIOError as error:
                    self._check(path, dataset, error)
                    if len(self.blocks) >= MAX_BLOCKS:
                        ruin = f"more than {MAX_BLOCKS} of its blocks cannot be decoded, {block} is one"
                        raise RasterError(f"{path}: {ruin}; get the file anew") from error
                    self.blocks.add(block)
                else:
                    yield part, found

    def _check(self, path: Source, dataset: DatasetReader, error: RasterioIOError) -> None:
        """Nothing, if a failure means that a block is to be masked."""
        if not self.masks or (isinstance(path, RemoteFile) and path.failure is not None):
            raise error
        cause: BaseException | None = error
        while cause is not None:
            if getattr(cause, "errno", None) in NOT_OF_THE_FILE:
                raise error
            cause = cause.__cause__
        if dataset.driver in STREAMS:
            found = f"is damaged ({reason(error)}), and of a {dataset.driver} nothing certain is known from there on"
            raise RasterError(f"{path}: {found}; get it anew, or save as GeoTIFF what can be seen of it") from error


def blocks_in(dataset: DatasetReader, window: Window) -> Iterator[Window]:
    """The blocks of a dataset that a window in it touches, as far as they lie in the dataset; in row-major order."""
    height, width = dataset.block_shapes[0]
    extent = Window(0, 0, dataset.width, dataset.height)
    for row in range(window.row // height * height, window.bottom, height):
        for col in range(window.col // width * width, window.right, width):
            yield Window(col, row, width, height).intersection(extent)


def told(blocks: Collection[Window]) -> str:
    """Damaged blocks, at least one, in words for tags and warnings."""
    first = sorted((block.row, block.col) for block in blocks)[:NAMED]
    places = ", ".join(f"column {col} row {row}" for row, col in first)
    more = f" and {len(blocks) - NAMED} more" if len(blocks) > NAMED else ""
    pixels = sum(block.width * block.height for block in blocks)
    count = f"{len(blocks)} blocks" if len(blocks) > 1 else "1 block"
    return f"{pixels} pixels of the source cannot be decoded, in {count}: {places}{more}"
