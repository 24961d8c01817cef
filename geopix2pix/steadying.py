"""Averages of what a network says of a window, its mirror images and its shifts: steadier, and as many times slower."""

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
import numpy.typing as npt

from geopix2pix.engine import Engine
from geopix2pix.job import Averaging
from geopix2pix.manifest import Manifest

Batch = npt.NDArray[np.float32]
Turn = tuple[bool, bool, int, int]
"""Whether rows and columns are mirrored, and by how many rows and columns the picture is moved."""


class Steadied:
    """An engine whose answers are means over mirror images (4) and shifts by half the total stride (4) of a patch.

    Pixels that a shift moves in repeat the border. Those that it moves out count less: their mean is over the others.
    """

    def __init__(self, engine: Engine, average: Sequence[Averaging]) -> None:
        self._engine, self._average = engine, tuple(average)

    @property
    def manifest(self) -> Manifest:
        return self._engine.manifest

    @property
    def device_type(self) -> str:
        return self._engine.device_type

    @property
    def parameters(self) -> dict[str, str | int]:
        """Those of the engine."""
        return self._engine.parameters

    def predict(self, batch: Batch) -> Batch:
        """The mean answer, as that of the engine."""
        count, _, rows, cols = batch.shape
        total = np.zeros((count, self.manifest.generator.out_channels, rows, cols))
        answers = np.zeros((rows, cols))
        for turn in self._turns():
            found = _turned_back(self._engine.predict(_turned(batch, turn)), turn)
            down, right = found.shape[2:]
            total[:, :, :down, :right] += found
            answers[:down, :right] += 1
        mean: Batch = (total / answers).astype(np.float32)
        return mean

    def _turns(self) -> Iterator[Turn]:
        mirrors = (False, True) if "flips" in self._average else (False,)
        half = self.manifest.total_stride // 2
        shifts = sorted({0, half}) if "shifts" in self._average else [0]
        yield from product(mirrors, mirrors, shifts, shifts)


def _turned(batch: Batch, turn: Turn) -> Batch:
    upside_down, left_right, down, right = turn
    rows, cols = batch.shape[2:]
    moved = np.pad(batch, ((0, 0), (0, 0), (down, 0), (right, 0)), mode="edge")[:, :, :rows, :cols]
    return np.ascontiguousarray(moved[:, :, :: -1 if upside_down else 1, :: -1 if left_right else 1])


def _turned_back(batch: Batch, turn: Turn) -> Batch:
    upside_down, left_right, down, right = turn
    return batch[:, :, :: -1 if upside_down else 1, :: -1 if left_right else 1][:, :, down:, right:]
