"""What comes of a run: a model file that says what it is."""

import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from geopix2pix import __version__, networks
from geopix2pix.errors import ConfigError, ModelFileError
from geopix2pix.independence import Independence, tile_independence
from geopix2pix.manifest import GroundResolution, Manifest, SourceBands, TargetBands
from geopix2pix.model import write_model
from geopix2pix.pair import Pair, PairSet
from geopix2pix.run import Run

EARTH_RADIUS = 6378137.0  # metres, of the sphere that web maps are drawn on
WEB_MERCATOR, WEB_MAP_END = 3857, math.pi * EARTH_RADIUS  # its EPSG code, its northern edge


def write_trained(run: Run, generator: networks.Generator, steps: int, epoch: int) -> Path:
    """Write `generator` as the model of the run; its path, `model.safetensors` in the run folder.

    Tile independence is measured, and nothing about time, computer or folders is recorded.

    Raises:
        ModelFileError: a weight is not finite.
        OutputError: the file cannot be written.
    """
    generator = generator.cpu().eval()
    manifest = described(run, tile_independence(generator), steps, epoch)
    path = run.output / "model.safetensors"
    write_model(path, manifest, {name: tensor.numpy() for name, tensor in networks.weights(generator).items()})
    return path


def check_describable(run: Run) -> None:
    """Nothing, if the model of the run will have a manifest that can be read again; asked before the first step.

    Raises:
        ConfigError: a name or a data type of the pairs or the run folder does not allow it.
    """
    for name in (run.output.resolve().name, *(s.name for s in run.sets)):
        if not name.isprintable():
            raise ConfigError(
                f"the folder {name!r} has characters in its name that cannot be printed, and the model file is to "
                "hold that name; rename the folder"
            )
    unmeasured = Independence(receptive_field=None, flat=False, independent=False)
    try:
        Manifest.from_json(described(run, unmeasured, run.steps, run.config.epochs).to_json(), "model")
    except ModelFileError as error:
        raise ConfigError(f"no model file could be made of these pairs: {error}; convert them or rename it") from error


def described(run: Run, found: Independence, steps: int, epoch: int) -> Manifest:
    """The manifest of a generator after so many steps, with the weights of an epoch."""
    spec, first, config = run.config.generator, run.sets[0], run.config
    window, overlap = _window(spec.total_stride, found.receptive_field)
    return Manifest(
        name=run.output.resolve().name,
        version="1",
        package=__version__,
        generator=spec,
        source=SourceBands(names=first.source.names, dtype=first.source.dtype, scaling=run.source),
        target=TargetBands(names=first.target.names, dtype=first.target.dtype, scaling=run.target, palette=run.palette),
        window=window,
        overlap=overlap,
        total_stride=spec.total_stride,
        receptive_field=found.receptive_field,
        tile_independent=found.independent,
        ground_resolution=ground_resolution(run.sets),
        temperature=None,
        provenance={
            "pairs": ", ".join(f"{s.name} ({len(s.train)} + {len(s.validation)} for validation)" for s in run.sets),
            "training": f"{steps} steps, {steps * config.batch} crops, seed {config.seed}, "
            f"weights of epoch {epoch} of {config.epochs}",
        },
    )


def ground_resolution(sets: Sequence[PairSet]) -> GroundResolution:
    """The range of the sides of the source pixels to learn from; unknown if one of them is."""
    sides = [_sides(pair) for s in sets for pair in s.train]
    known = [side for pair in sides if pair for side in pair]
    if not all(sides):
        return GroundResolution()
    return GroundResolution(low=min(known), high=max(known), basis="georeference")


def _sides(pair: Pair) -> tuple[float, float] | None:
    """The sides of the pixel in the middle of a source in metres; None where its place does not tell."""
    crs, transform = pair.place.crs, pair.place.transform
    if crs is None or not pair.place.is_known:
        return None
    y = transform.d * pair.width / 2 + transform.e * pair.height / 2 + transform.f
    if crs.is_geographic and abs(y) <= 90:
        north = math.radians(EARTH_RADIUS)
        east = north * math.cos(math.radians(y))
    elif _is_web_map(crs) and abs(y) <= WEB_MAP_END:  # larger than the ground by the secant of the latitude
        east = north = 1 / math.cosh(y / EARTH_RADIUS)
    elif crs.is_projected:
        east = north = crs.linear_units_factor[1]
    else:
        return None
    sides = math.hypot(transform.a * east, transform.d * north), math.hypot(transform.b * east, transform.e * north)
    return sides if all(0 < side < math.inf for side in sides) else None


@cache
def _is_web_map(crs: Any) -> bool:
    return bool(crs.to_epsg() == WEB_MERCATOR)


def _window(stride: int, field: int | None) -> tuple[int, int]:
    """Window and overlap, so that the step is a multiple of the stride; of a quarter of the window where that is it.

    Networks that look far get larger windows at the same cost per pixel: on a real scene that took the share of pixels
    whose class depends on the grid from 1.6 % to 0.4 %. The classic U-Net has no choice: its stride is as large as its
    window.
    """
    if stride > 128:
        return stride, stride // 4
    return (1024, 256) if field is not None and field > 512 else (512, 128)
