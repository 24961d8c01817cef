"""A scene painted by a model, or in one colour: what is to be judged, in memory or, if it is large, on disk."""

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from geopix2pix.blend import Blender
from geopix2pix.engine import Engine
from geopix2pix.grid import Window, WindowGrid
from geopix2pix.mosaic import pieces
from geopix2pix.normalize import Scaling
from geopix2pix.raster import RasterReader
from geopix2pix.translation import finished

IN_MEMORY = 2**26  # bytes of an array; larger ones are kept in a file
CHUNK = 2**24


class Painting(NamedTuple):
    """The map of a scene."""

    values: npt.NDArray[Any]
    """(1, rows, cols) classes, or (bands, rows, cols) in the units of the targets."""
    confidence: npt.NDArray[np.float32] | None
    """(rows, cols), the probability of the class, where the model has any."""

    def read(self, window: Window) -> tuple[npt.NDArray[Any], npt.NDArray[np.float32] | None]:
        rows, cols = window.slices
        return self.values[:, rows, cols], None if self.confidence is None else self.confidence[rows, cols]


def painted(
    reader: RasterReader,
    engine: Engine,
    scaling: Scaling,
    grid: WindowGrid,
    room: Path,
    batch: int,
    progress: Callable[[], None],
) -> Painting:
    """What `translate` paints, by the same windows and blending; what holds no data in the scene is not painted.

    `room` is a folder for what does not fit into memory; `progress` is called after each window.

    Raises:
        RasterError: the scene cannot be read.
        OSError: `room` is full.
    """
    manifest, size = engine.manifest, (grid.height, grid.width)
    with_classes = manifest.target.palette is not None
    bands = 1 if with_classes else len(manifest.target.names)
    values = space(room, (bands, *size), "uint8" if with_classes else manifest.target.dtype)
    confidence = space(room, size, "float32") if with_classes else None
    blender = Blender(grid, manifest.generator.out_channels)
    for piece in pieces(reader, engine.predict, scaling, blender, batch):
        rows, cols = piece.window.slices
        if confidence is None:
            values[:, rows, cols] = finished(piece.values, manifest)
        elif not piece.window.is_empty:
            values[0, rows, cols] = piece.values.argmax(axis=0)
            confidence[rows, cols] = piece.values.max(axis=0)
        progress()
    return Painting(values, confidence)


def constant(pixel: Sequence[Any], dtype: str, height: int, width: int) -> Painting:
    """A scene in one colour, which takes no memory: a class, or a value for each band."""
    column = np.array(pixel, dtype)[:, None, None]
    return Painting(np.broadcast_to(column, (len(pixel), height, width)), None)


def space(room: Path, shape: tuple[int, ...], dtype: str) -> npt.NDArray[Any]:
    """Zeros to write to. A file is written in full first: one that finds a full disk later would end the process."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if size <= IN_MEMORY:
        return np.zeros(shape, dtype)
    with TemporaryFile(dir=room) as file:  # which is gone with the array
        for start in range(0, size, CHUNK):
            file.write(bytes(min(CHUNK, size - start)))
        file.flush()
        return np.memmap(file, dtype, "r+", shape=shape)
