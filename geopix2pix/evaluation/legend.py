"""How a prediction is read beside its target: as classes where there is a palette, in grey levels of 8-bit pictures."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from geopix2pix.dataset import View, scaling_of, sets_of
from geopix2pix.errors import PairsError
from geopix2pix.measures.tally import ClassSets, Indices, Levels, Mask, Sample
from geopix2pix.model import ModelFile
from geopix2pix.normalize import Scaling
from geopix2pix.pair import PairSet
from geopix2pix.palette import Palette

Values = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Legend:
    """What the pixels of predictions and targets mean.

    With a palette everything is judged as classes, and pictures are the maps of these classes in display colours on
    both sides. Without, the pictures themselves are compared.
    """

    palette: Palette | None
    scaling: Scaling
    """From the units of the targets to [-1, 1], which are the grey levels 0 and 255."""
    dtype: str
    """Of the targets."""
    colors: npt.NDArray[np.uint8]
    """(colours, 3): those by which the maps of models without classes are read as classes."""
    meanings: tuple[int, ...]
    """The class of each of them."""

    @classmethod
    def of(cls, pairs: PairSet) -> "Legend":
        """The legend of a set of pairs.

        Raises:
            PairsError: the targets do not tell their range.
        """
        palette = pairs.palette
        read = [] if palette is None else [(c, i) for i, c in enumerate(palette.classes) if c.name in palette.knows]
        drawn = any(pair.classes for pair in pairs.train)  # tile sets have their targets in display colours
        listed = [(c.display if drawn else c.target, i) for c, i in read]
        if palette is not None and len(read) < len(palette.classes):
            rest = next(i for i, c in enumerate(palette.classes) if c.name not in palette.knows)
            listed += [(color, rest) for color in palette.other]
        return cls(
            palette=palette,
            scaling=Scaling.full_range("uint8", 3) if palette else scaling_of([pairs], "target"),
            dtype=pairs.target.dtype,
            colors=np.array([color for color, _ in listed], np.uint8).reshape(-1, 3),
            meanings=tuple(meaning for _, meaning in listed),
        )

    @property
    def sets(self) -> ClassSets | None:
        """The sets of classes that a pixel of a target may be described by, in the order of `dataset.sets_of`."""
        if self.palette is None:
            return None
        bits, names = np.arange(len(self.palette.classes)), self.palette.names
        members = (sets_of(self.palette)[:, None] >> bits & 1).astype(bool)
        return ClassSets(members, np.array([name in self.palette.knows for name in names]))

    @property
    def is_complete(self) -> bool:
        """Whether the targets can name every class, if there are any."""
        return self.palette is None or len(set(self.palette.knows)) == len(self.palette.classes)

    def check(self, model: ModelFile, pairs: PairSet) -> None:
        """Nothing, if the model paints what the targets of the pairs show.

        Raises:
            PairsError: it does not; the message says what helps.
        """
        name, target = model.manifest.name, model.manifest.target
        if target.palette is not None:
            if self.palette is None:
                raise PairsError(
                    f"{pairs.name}: the model {name!r} paints classes ({', '.join(target.palette.names)}), but nothing "
                    "tells what the colours of these targets mean; give --palette"
                )
            if target.palette.names != self.palette.names:
                raise PairsError(
                    f"{pairs.name}: its classes are {', '.join(self.palette.names)}, those of the model {name!r} "
                    f"{', '.join(target.palette.names)}; give a palette of the same classes in the same order"
                )
        elif (target.dtype, len(target.names)) != (pairs.target.dtype, pairs.target.count):
            raise PairsError(
                f"{pairs.name}: its targets hold {pairs.target} bands, but the model {name!r} writes "
                f"{len(target.names)} x {target.dtype}; give pairs with such targets"
            )

    def levels(self, values: Values) -> Levels:
        """Bands in the units of the targets, (bands, rows, cols), in grey levels from 0 to 255."""
        if self.dtype == "uint8":
            return values.astype(np.float32)
        levels: Levels = (self.scaling.forward(values) + 1) * np.float32(127.5)
        return levels

    def classes(self, picture: Values) -> Indices:
        """The classes in a map (3, rows, cols) by a model without classes: those of the nearest colours."""
        pixels = picture.astype(np.int32)
        squares = [sum((pixels[b] - int(color[b])) ** 2 for b in range(3)) for color in self.colors]
        nearest: Indices = np.array(self.meanings, np.int64)[np.argmin(squares, axis=0)]
        return nearest

    def drawn(self, classes: Indices) -> Levels:
        """The map of classes in display colours, (3, rows, cols)."""
        assert self.palette is not None, "only classes are drawn"
        return np.moveaxis(self.palette.display[classes].astype(np.float32), -1, 0)

    def sample(self, view: View, values: Values, confidence: Levels | None, border: Mask) -> Sample:
        """A target beside `values`: either (1, rows, cols) classes or bands in units of the targets.

        A partly labelled target is no picture that anything could be compared with: of it only the sets are known.
        """
        sets = self.sets
        if sets is None:
            true = self.levels(view.target)
            return Sample(predicted=self.levels(values), true=true, known=view.known, border=border)
        classes = values[0].astype(np.int64) if len(values) == 1 else self.classes(values)
        positions = np.where(view.known, view.target[0], len(sets.members) - 1).astype(np.int64)
        named = sets.named[positions]
        known = named >= 0 if self.is_complete else np.zeros(named.shape, bool)
        return Sample(
            predicted=self.drawn(classes),
            true=self.drawn(np.maximum(named, 0)),
            known=known,
            border=border,
            classes=classes,
            sets=positions,
            confidence=confidence if self.is_complete else None,
        )
