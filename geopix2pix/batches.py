"""Batches: how many windows an engine computes at once, and what happens when its memory runs out."""

import warnings

import numpy as np
import numpy.typing as npt

from geopix2pix.engine import Engine
from geopix2pix.errors import DeviceMemoryError, GeoPix2PixWarning
from geopix2pix.patches import joined

Batch = npt.NDArray[np.float32]


class Batches:
    """An engine that is given the same number of windows each time, and half of it once its memory has run out.

    On a GPU the bits of an answer may depend on that number, so a batch that is not full is filled up there, and a run
    that had to halve it cannot be repeated bit for bit.
    """

    def __init__(self, engine: Engine, size: int) -> None:
        self._engine, self._size = engine, size
        self._fills = engine.device_type != "cpu"
        self.remarks: dict[str, str] = {}
        """What users of the results are to be told, by topic: empty as long as nothing happened."""

    def predict(self, batch: Batch) -> Batch:
        """The answers to a batch of at most the size, as those of the engine.

        Raises:
            DeviceMemoryError: the memory is not enough for a single window.
        """
        answers: list[Batch] = []
        done = 0
        while done < len(batch):
            part = batch[done : done + self._size]
            try:
                answers.append(self._engine.predict(self._filled(part))[: len(part)])
            except DeviceMemoryError:
                if self._size == 1:
                    raise
                self._halve()
            else:
                done += len(part)
        return joined(answers)

    def _filled(self, part: Batch) -> Batch:
        if not self._fills or len(part) == self._size:
            return part
        return np.concatenate([part, np.repeat(part[-1:], self._size - len(part), axis=0)])

    def _halve(self) -> None:
        known = self.remarks.get("reproducible", f"no: memory ran out, so that the batch of {self._size} was halved")
        self._size //= 2
        if self._fills:
            self.remarks["reproducible"] = known
        warnings.warn(
            f"the memory of the {self._engine.device_type} is not enough for so many windows at once; going on with "
            f"--batch {self._size}" + (", so that another run may differ in some bits" if self._fills else ""),
            GeoPix2PixWarning,
            stacklevel=3,
        )
