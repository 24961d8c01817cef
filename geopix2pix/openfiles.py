"""OpenFiles: the readers of many raster files, of which only a few are open."""

import warnings
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from geopix2pix.errors import RasterError, SceneWarning
from geopix2pix.raster import RasterReader
from geopix2pix.remote import Source

MAX_OPEN = 32  # systems allow a process 256 files and more, and a mosaic is several


class OpenFiles:
    """Readers by path, opened when they are asked for; the one longest unused is closed when there are too many.

    A file must stay as it is. For one thread at a time.
    """

    def __init__(self, **options: Any) -> None:
        """`options` are those of `RasterReader`."""
        self._options = options
        self._readers: OrderedDict[Source, RasterReader] = OrderedDict()
        self._identities: dict[Source, dict[str, Any]] = {}

    def reader(self, path: Source) -> RasterReader:
        """The reader of a file. What is doubtful about it is told when it is opened for the first time.

        Raises:
            RasterError: it cannot be opened, or was changed since the first time.
            SceneError: it does not have the bands that are asked for.
        """
        if path not in self._readers:
            while len(self._readers) >= MAX_OPEN:
                self._readers.popitem(last=False)[1].close()
            self._readers[path] = self._opened(path)
        self._readers.move_to_end(path)
        return self._readers[path]

    def close(self) -> None:
        while self._readers:
            self._readers.popitem()[1].close()

    def _opened(self, path: Source) -> RasterReader:
        with warnings.catch_warnings():
            if path in self._identities:
                warnings.simplefilter("ignore", SceneWarning)
            reader = RasterReader(path, **self._options)
        found = reader.identity()
        if found != self._identities.setdefault(path, found):
            reader.close()
            raise RasterError(f"{path}: was changed while it was being used; start again, and leave it as it is")
        return reader


@contextmanager
def doubts_told_once() -> Iterator[None]:
    """A context in which what is doubtful about files is told of the first one, for all."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", SceneWarning)
        yield
    doubts = [str(w.message) for w in caught if issubclass(w.category, SceneWarning)]
    if doubts:
        others = f" (and {len(doubts) - 1} more like this)" if doubts[1:] else ""
        warnings.warn(f"{doubts[0]}{others}", SceneWarning, stacklevel=4)
