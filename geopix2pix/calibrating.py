"""A model's temperature, found on pairs of scenes and known maps, and what its confidence is worth with it."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from geopix2pix.blend import Blender
from geopix2pix.calibration import (
    beats_trivial_rankings,
    boundary_distance,
    fitted_temperature,
    log_likelihood_loss,
    tempered,
    worth,
)
from geopix2pix.engine import Engine, check_engine, load_engine
from geopix2pix.errors import ConfigError, ModelFileError, OutputError, PairsError
from geopix2pix.grid import Window, WindowGrid
from geopix2pix.manifest import Manifest
from geopix2pix.model import ModelFile, write_model
from geopix2pix.mosaic import pieces
from geopix2pix.output import check_target, write_bytes
from geopix2pix.pair import Pair, PairSet, opened
from geopix2pix.pairs import Layout, open_pairs
from geopix2pix.palette import Palette
from geopix2pix.planning import fitted_grid
from geopix2pix.progress import Event, Progress, silent
from geopix2pix.raster import Patch, RasterReader

PIXELS = 2**20  # at most so many are looked at, evenly spread over all pairs


class _Sample(NamedTuple):
    probabilities: npt.NDArray[np.float32]
    allowed: npt.NDArray[np.int64]
    distance: npt.NDArray[np.int32]


class _Half:
    """The part of a picture that belongs to one side of a pair."""

    def __init__(self, reader: RasterReader, part: Window) -> None:
        self._reader, self._part = reader, part

    def read(self, window: Window) -> Patch:
        data, valid = self._reader.read(window.shifted(self._part.col, self._part.row))
        return Patch(data, valid & _within(window, self._part.width, self._part.height))


def calibrate(
    model: str | Path,
    pairs: str | Path,
    output: str | Path,
    *,
    layout: Layout = "auto",
    palette: str | Path | None = None,
    validation: float = 0.1,
    report: str | Path | None = None,
    device: str = "auto",
    threads: int | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Path:
    """Write `model` to `output` with the temperature that fits the known maps in the folder `pairs` best; its path.

    The maps are painted as `translate` would, and the held-out pairs (all, if none are held out) are looked at: they
    must not be those that the model learned from. `layout`, `palette` and `validation` are those of training. `report`
    is a JSON file for the calibration error before and after, and for what the confidence is worth.

    Raises:
        ModelFileError: the model cannot be used, or is an exported one.
        ConfigError: the model has no classes.
        PairsError: the pairs cannot be used, or name other classes than the model.
        OutputError: a file exists and `overwrite` is false, or cannot be written.
        Cancelled: `progress` asked to stop.
    """
    model, pairs, output = Path(model), Path(pairs), Path(output)
    for target in (output, *([Path(report)] if report is not None else [])):
        check_target(target, model, overwrite=overwrite)
    if report is not None and Path(report).absolute() == output.absolute():
        raise OutputError(f"{report}: is asked for twice; give the model and the report names of their own")
    loaded = ModelFile.load(model)
    _check_model(model, loaded)
    check_engine(loaded, None, None)
    known = open_pairs(pairs, layout=layout, palette=None if palette is None else Path(palette), validation=validation)
    _check_pairs(known, loaded.manifest)
    engine = load_engine(
        loaded._replace(manifest=replace(loaded.manifest, temperature=None)), device=device, threads=threads
    )
    sample = _sample(known, engine, progress)
    temperature = fitted_temperature(sample.probabilities, sample.allowed)
    manifest = replace(loaded.manifest, temperature=temperature)
    write_model(output, manifest, loaded.weights)
    if report is not None:
        write_bytes(Path(report), json.dumps(_report(known, manifest, sample), indent=2).encode())
    return output


def _report(known: PairSet, manifest: Manifest, sample: _Sample) -> dict[str, Any]:
    temperature = manifest.temperature or 1.0
    found = {}
    for name, factor in (("uncalibrated", 1.0), ("calibrated", temperature)):
        probabilities = tempered(sample.probabilities, factor)
        values = worth(probabilities, sample.allowed, sample.distance)
        palette = manifest.target.palette
        names = ("pooled", *(palette.names if palette else ()))
        found[name] = {
            "loss": log_likelihood_loss(probabilities, sample.allowed),
            "beats_trivial_rankings": beats_trivial_rankings(values) if values else None,
            "worth": {names[int(key) + 1] if key != "pooled" else key: w.to_json() for key, w in values.items()},
        }
    return {"pairs": known.name, "pixels": len(sample.allowed), "temperature": temperature, **found}


def _check_model(path: Path, loaded: ModelFile) -> None:
    if loaded.manifest.target.palette is None:
        raise ConfigError(f"{path}: paints bands, not classes, so it has no probabilities to calibrate")
    if loaded.graph is not None:
        raise ModelFileError(
            f"{path}: is exported, with its temperature inside; calibrate the trained model, then export"
        )


def _check_pairs(known: PairSet, manifest: Manifest) -> None:
    palette = manifest.target.palette
    names = palette.names if palette else ()
    if known.palette is None or known.palette.names != names:
        found = ", ".join(known.palette.names) if known.palette else "no palette"
        raise PairsError(
            f"{known.name}: the classes of the model, {', '.join(names)}, are needed in this order, found {found}; "
            "give the palette that it was trained with"
        )
    if (known.source.count, known.source.dtype) != (len(manifest.source.names), manifest.source.dtype):
        raise PairsError(
            f"{known.name}: its sources hold {known.source}, the model reads {len(manifest.source.names)} x "
            f"{manifest.source.dtype}; give pairs like those that it was trained with"
        )


def _sample(known: PairSet, engine: Engine, progress: Progress) -> _Sample:
    looked_at = known.validation or known.train
    assert known.palette is not None, "checked before"
    quota = max(PIXELS // len(looked_at), 1)
    found = []
    for done, pair in enumerate(looked_at):
        progress(Event("calibrate", done, len(looked_at), "pairs"))
        found.append(_of_pair(pair, known.palette, engine, quota))
    progress(Event("calibrate", len(looked_at), len(looked_at), "pairs"))
    return _Sample(*(np.concatenate(values) for values in zip(*found, strict=True)))


def _of_pair(pair: Pair, palette: Palette, engine: Engine, quota: int) -> _Sample:
    manifest = engine.manifest
    grid = fitted_grid(Window(0, 0, pair.width, pair.height), manifest, None, None)
    values = np.zeros((manifest.generator.out_channels, pair.height, pair.width), np.float32)
    with opened(pair.source) as reader:
        for window, data, valid in _painted(_Half(reader, pair.source_window), engine, grid):
            rows, cols = window.slices
            values[:, rows, cols] = data
            values[:, rows, cols][:, ~valid] = 0
    with opened(pair.classes or pair.target) as reader:
        target, valid = reader.read(pair.target_window)
    allowed = np.where(valid & (values.sum(axis=0) > 0), palette.allowed(target), palette.everything)
    telling = np.flatnonzero(allowed.ravel() != palette.everything)
    chosen = telling[:: max(-(-len(telling) // quota), 1)]
    distance = boundary_distance(values.argmax(axis=0))
    flat = values.reshape(len(values), -1)
    return _Sample(flat[:, chosen].T, allowed.ravel()[chosen], distance.ravel()[chosen])


def _painted(
    source: _Half, engine: Engine, grid: WindowGrid
) -> Iterator[tuple[Window, npt.NDArray[np.floating[Any]], npt.NDArray[np.bool_]]]:
    blender = Blender(grid, engine.manifest.generator.out_channels)
    for piece in pieces(source, engine.predict, engine.manifest.source.scaling, blender, 1):
        yield piece.window, piece.values, piece.valid


def _within(window: Window, width: int, height: int) -> npt.NDArray[np.bool_]:
    cols, rows = np.arange(window.col, window.right), np.arange(window.row, window.bottom)[:, None]
    return (cols >= 0) & (cols < width) & (rows >= 0) & (rows < height)
