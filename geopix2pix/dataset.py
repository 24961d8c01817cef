"""Crops of training pairs as tensors, each a pure function of the seed and the crop's number."""

import math
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset

from geopix2pix.augmentation import random_window, relit, turned
from geopix2pix.bands import sample_windows
from geopix2pix.configuration import TrainingConfig
from geopix2pix.errors import PairsError, SceneWarning
from geopix2pix.grid import Window
from geopix2pix.manifest import QUANTILES
from geopix2pix.normalize import Scaling
from geopix2pix.pair import Pair, PairSet, opened
from geopix2pix.palette import Palette
from geopix2pix.raster import Patch, RasterReader

Item = dict[str, Tensor]
Side = Literal["source", "target"]
_CROPS, _ORDER = 0, 1  # keep the random numbers for crops and those for the order of the pairs apart
SAMPLED_PICTURES, SAMPLED_WINDOWS = 64, 16  # for the percentiles of a side: pictures, windows in each
SAMPLED_VALUES = 2**24  # of all bands together, 4 million pixels of four bands


class PairedTiles(Dataset[Item]):
    """Training crops, numbered without end: `tiles[n]` is the n-th of a run.

    An item holds `source` (bands, crop, crop) in [-1, 1] and, for the palette head, `allowed` (crop, crop), int64 sets
    of classes; for the raster head `target` in [-1, 1] and `known` (crop, crop), bool.
    """

    def __init__(
        self, sets: Sequence[PairSet], config: TrainingConfig, source: Scaling, target: Scaling | None
    ) -> None:
        self._sets, self._config, self._source, self._target = sets, config, source, target
        self._pictures = Pictures(config.cache_bytes, _pixel_bytes(sets[0]))

    def __getitem__(self, number: int) -> Item:
        config = self._config
        rng = np.random.default_rng((config.seed, _CROPS, number))
        index, drawn = _turn([s.weight for s in self._sets], number)
        chosen = self._sets[index]
        pair = _nth(chosen.train, (config.seed, _ORDER, index), drawn)
        palette = chosen.palette if config.generator.head == "palette" else None
        if config.load_size:
            whole = self._pictures.view(pair, Window(0, 0, pair.width, pair.height), palette)
            item = _tensors(whole, palette, self._source, self._target, config.load_size)
            window = random_window(rng, config.load_size, config.load_size, config.crop, (1, 1))
            rows, cols = window.slices
            item = {name: tensor[..., rows, cols] for name, tensor in item.items()}
        else:
            window = random_window(rng, pair.width, pair.height, config.crop, config.scale)
            item = _tensors(
                self._pictures.view(pair, window, palette), palette, self._source, self._target, config.crop
            )
        element = int(rng.integers(8))
        item = {name: turned(t, config.symmetry, element).contiguous() for name, t in item.items()}
        if config.jitter:
            item["source"] = relit(rng, item["source"], config.jitter)
        return item


class StillTiles(Dataset[Item]):
    """Crops of the held-out pairs, or of others, at their own scale and unchanged: `validation_crops` at most, spread
    evenly.
    """

    def __init__(
        self,
        sets: Sequence[PairSet],
        config: TrainingConfig,
        source: Scaling,
        target: Scaling | None,
        part: Literal["train", "validation"] = "validation",
    ) -> None:
        self._config, self._source, self._target = config, source, target
        places = [(s, pair, window) for s in sets for pair in getattr(s, part) for window in _cut(pair, config.crop)]
        spread = np.linspace(0, len(places), min(config.validation_crops, len(places)), endpoint=False)
        self._places = [places[int(i)] for i in spread]
        self._pictures = Pictures(config.cache_bytes, _pixel_bytes(sets[0]))

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, number: int) -> Item:
        chosen, pair, window = self._places[number]
        palette = chosen.palette if self._config.generator.head == "palette" else None
        view = self._pictures.view(pair, window, palette)
        return _tensors(view, palette, self._source, self._target, self._config.crop)


class View(NamedTuple):
    """Part of a decoded pair."""

    source: npt.NDArray[Any]
    """(bands, rows, cols)"""
    target: npt.NDArray[Any]
    """(bands, rows, cols); for the palette head (1, rows, cols) positions in `sets_of` the palette."""
    known: npt.NDArray[np.bool_]
    """(rows, cols): source and target are both valid."""

    @property
    def size(self) -> int:
        return int(self.source.nbytes + self.target.nbytes + self.known.nbytes)


class Pictures:
    """Decoded pairs, the most recently used ones kept up to `capacity` bytes.

    A pair that alone needs more than a quarter of that is never decoded as a whole; its windows are read one by one.
    """

    def __init__(self, capacity: int, pixel_bytes: int) -> None:
        self._capacity, self._pixel_bytes, self._used = capacity, pixel_bytes, 0
        self._kept: OrderedDict[tuple[Pair, Palette | None], View] = OrderedDict()

    def view(self, pair: Pair, window: Window, palette: Palette | None) -> View:
        """The pixels of `pair` in `window`; what lies outside the picture is reflected there and not known."""
        whole = Window(0, 0, pair.width, pair.height)
        inside = window.intersection(whole)
        if (pair, palette) in self._kept:
            self._kept.move_to_end((pair, palette))
            view = _cropped(self._kept[pair, palette], inside)
        elif pair.width * pair.height * self._pixel_bytes > self._capacity // 4:
            view = _decoded(pair, inside, palette)
        else:
            decoded = self._kept[pair, palette] = _decoded(pair, whole, palette)
            self._make_room(decoded.size)
            view = _cropped(decoded, inside)
        return _reflected(view, inside, window)

    def _make_room(self, size: int) -> None:
        self._used += size
        while self._used > self._capacity and len(self._kept) > 1:
            self._used -= self._kept.popitem(last=False)[1].size


def sets_of(palette: Palette) -> npt.NDArray[np.int64]:
    """The distinct sets of classes that a target with this palette can name, sorted; the last says nothing."""
    named = [1 << i for i, c in enumerate(palette.classes) if c.name in palette.knows]
    return np.unique([*named, palette.everything & ~sum(named), palette.everything])


def _pixel_bytes(pairs: PairSet) -> int:
    return 1 + sum(np.dtype(bands.dtype).itemsize * bands.count for bands in (pairs.source, pairs.target))


def _sampled(pair: Pair, side: Side, bands: int, values: int) -> npt.NDArray[Any]:
    """Valid pixels of one picture, shape (bands, pixels): all of a small one, else about `values` values."""
    path, half = (pair.source, pair.source_window) if side == "source" else (pair.target, pair.target_window)
    windows = sample_windows(pair.width, pair.height, SAMPLED_WINDOWS)
    every = math.ceil(bands * sum(w.width * w.height for w in windows) / values)
    with _opened(path) as reader:
        patches = (reader.read(window.shifted(half.col, half.row)) for window in windows)
        return np.concatenate([data[:, valid][:, ::every] for data, valid in patches], axis=1)


def _decoded(pair: Pair, window: Window, palette: Palette | None) -> View:
    source, source_valid = _read(pair.source, window, pair.source_window)
    read_from = pair.target if palette is None else pair.classes or pair.target
    target, target_valid = _read(read_from, window, pair.target_window)
    if palette is not None:
        target = np.searchsorted(sets_of(palette), palette.allowed(target)).astype(np.uint8)[None]
    return View(source, target, source_valid & target_valid)


def _read(path: Path, window: Window, half: Window) -> Patch:
    """A window of the part `half` of a picture."""
    with _opened(path) as reader:
        return reader.read(window.shifted(half.col, half.row))


@contextmanager
def _opened(path: Path) -> Iterator[RasterReader]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SceneWarning)  # what is doubtful was told when the pairs were opened
        with opened(path) as reader:
            yield reader


def _cropped(view: View, window: Window) -> View:
    rows, cols = window.slices
    return View(view.source[:, rows, cols], view.target[:, rows, cols], view.known[rows, cols])


def _reflected(view: View, inside: Window, window: Window) -> View:
    if inside == window:
        return view
    margins = (
        (inside.row - window.row, window.bottom - inside.bottom),
        (inside.col - window.col, window.right - inside.right),
    )
    source, target = (np.pad(a, ((0, 0), *margins), mode="symmetric") for a in (view.source, view.target))
    return View(source, target, np.pad(view.known, margins))


def _tensors(view: View, palette: Palette | None, source: Scaling, target: Scaling | None, size: int) -> Item:
    """The view as an item, resized to `size` pixels: sets of classes by the nearest pixel, bands by their mean."""
    item = {"source": _resized(torch.from_numpy(source.forward(view.source)), size)}
    if palette is not None:
        sets = np.where(view.known, sets_of(palette)[view.target[0]], palette.everything)
        rows, cols = (((np.arange(size) + 0.5) * length / size).astype(int) for length in sets.shape)
        item["allowed"] = torch.from_numpy(sets[np.ix_(rows, cols)])
    else:
        assert target is not None
        item["target"] = _resized(torch.from_numpy(target.forward(view.target)), size)
        # A resized pixel is known where all that it was made of is.
        item["known"] = _resized(torch.from_numpy(view.known[None].astype(np.float32)), size)[0] > 0.999
    return item


def _resized(picture: Tensor, size: int) -> Tensor:
    if picture.shape[-2:] == (size, size):
        return picture
    return F.interpolate(picture[None], (size, size), mode="bilinear", antialias=True, align_corners=False)[0]


def _turn(weights: Sequence[float], number: int) -> tuple[int, int]:
    """Which set the `number`-th crop comes from, and how many came from it before: as evenly as the weights allow."""
    left = sum(map(Fraction, weights))
    for index, weight in enumerate(map(Fraction, weights)):
        before, after = (math.floor(n * weight / left) for n in (number, number + 1))
        if after > before:
            return index, before
        number, left = number - before, left - weight
    raise AssertionError("the last set takes all that is left")


def _nth(pairs: Sequence[Pair], seed: tuple[int, ...], number: int) -> Pair:
    """The pair of the `number`-th draw from a set: every pair once, in a new order each time round."""
    order = np.random.default_rng((*seed, number // len(pairs))).permutation(len(pairs))
    return pairs[int(order[number % len(pairs)])]


def _cut(pair: Pair, crop: int) -> list[Window]:
    """Windows side by side over the middle of a picture; one that reaches beyond it where it is smaller."""
    cols, rows = max(pair.width // crop, 1), max(pair.height // crop, 1)
    left, top = max((pair.width - cols * crop) // 2, 0), max((pair.height - rows * crop) // 2, 0)
    return [Window(left + c * crop, top + r * crop, crop, crop) for r in range(rows) for c in range(cols)]


def quantiles_of(sets: Sequence[PairSet]) -> tuple[tuple[float, ...], ...]:
    """The quantiles of each source band over a sample of the training pictures, for the manifest."""
    found = np.percentile(_seen(sets, "source"), QUANTILES, axis=1)
    return tuple(tuple(map(float, band)) for band in found.T)


def _seen(sets: Sequence[PairSet], side: Side) -> npt.NDArray[Any]:
    """Valid pixels of a sample of the training pictures, shape (bands, pixels).

    Raises:
        PairsError: there are none, or a picture cannot be read.
    """
    bands = sets[0].source if side == "source" else sets[0].target
    pairs = [pair for s in sets for pair in s.train]
    spread = np.linspace(0, len(pairs), min(SAMPLED_PICTURES, len(pairs)), endpoint=False)
    values = SAMPLED_VALUES // len(spread)
    seen = np.concatenate([_sampled(pairs[int(i)], side, bands.count, values) for i in spread], axis=1)
    if not seen.shape[1]:
        where = f"{', '.join(s.name for s in sets)}: the {side} pictures"
        raise PairsError(f"{where} hold no valid pixel; check their nodata value, masks and alpha bands")
    return seen


def scaling_of(sets: Sequence[PairSet], side: Side) -> Scaling:
    """How one side of the pairs is brought to [-1, 1]: the full range of uint8, else the 0.1 and 99.9 percentiles.

    The percentiles are those of up to 64 training pictures, and of an evenly spread sample of large ones.

    Raises:
        PairsError: a band has the same value almost everywhere, no pixel is valid, or a picture cannot be read.
    """
    bands = sets[0].source if side == "source" else sets[0].target
    if bands.dtype == "uint8":
        return Scaling.full_range("uint8", bands.count)
    seen = _seen(sets, side)
    where = f"{', '.join(s.name for s in sets)}: the {side} pictures"
    low, high = np.percentile(seen, (0.1, 99.9), axis=1).astype(float)
    for number, name in enumerate(bands.names):
        if not low[number] < high[number]:
            raise PairsError(
                f"{where} have {low[number]:g} almost everywhere in band {number + 1} ({name}), from which nothing can "
                "be learned; write them without this band"
            )
    return Scaling(tuple(map(float, low)), tuple(map(float, high)))
