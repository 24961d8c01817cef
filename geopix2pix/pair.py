"""Pairs to train with, as values: pictures that belong together, and the sets that they form."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from geopix2pix.errors import PairsError, RasterError
from geopix2pix.grid import Window
from geopix2pix.manifest import DType
from geopix2pix.palette import Palette
from geopix2pix.raster import Georeference, RasterReader


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One source picture and its target, of the same size."""

    name: str
    source: Path
    target: Path
    """The same file as `source` where one picture holds both."""
    source_window: Window
    target_window: Window
    place: Georeference = field(compare=False)
    """Of the source."""
    classes: Path | None = None
    """A raster of labels, which the palette head reads in place of `target`; None where the target itself is read."""

    @property
    def width(self) -> int:
        return self.source_window.width

    @property
    def height(self) -> int:
        return self.source_window.height


@dataclass(frozen=True, slots=True)
class Bands:
    """What every picture on one side of the pairs holds."""

    names: tuple[str, ...] = field(compare=False)
    dtype: DType
    count: int

    def __str__(self) -> str:
        return f"{self.count} x {self.dtype}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PairSet:
    """The pairs of one folder, split into those to learn from and those to judge by."""

    name: str
    train: tuple[Pair, ...]
    validation: tuple[Pair, ...]
    source: Bands
    target: Bands
    palette: Palette | None
    weight: float
    """The share of training images drawn from this set, relative to the other sets."""
    listing: str
    """SHA-256 of the names and file sizes."""
    test: tuple[Pair, ...] = ()
    """Pairs that no run sees, for the last judgement."""

    def describe(self) -> dict[str, Any]:
        """What identifies the set when a run is continued; the same wherever the folder lies."""
        return {
            "name": self.name,
            "train": len(self.train),
            "validation": len(self.validation),
            "weight": self.weight,
            "palette": self.palette.to_json() if self.palette else None,
            "listing": self.listing,
        }


def check_mixable(sets: Sequence[PairSet]) -> None:
    """Refuse sets that one model cannot learn from together.

    Raises:
        PairsError: bands, data types or class names differ; the message names both folders.
    """
    first = sets[0]
    for other in sets[1:]:
        if (other.source, other.target) != (first.source, first.target):
            raise PairsError(f"{other.name} and {first.name} cannot be mixed: their bands or data types differ")
        if (other.palette.names if other.palette else None) != (first.palette.names if first.palette else None):
            raise PairsError(f"{other.name} and {first.name} cannot be mixed: their palettes name different classes")


@contextmanager
def opened(path: Path) -> Iterator[RasterReader]:
    """The picture at `path`, open for reading.

    Raises:
        PairsError: it cannot be opened or, inside the context, read.
    """
    try:
        with RasterReader(path, expand_colors=True) as reader:
            yield reader
    except RasterError as error:
        raise PairsError(f"{path}: cannot be used for training ({error})") from error
