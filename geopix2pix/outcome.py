"""What comes of a run: a model file that says what it is."""

import json
from collections.abc import Sequence
from pathlib import Path

from geopix2pix import __version__, networks
from geopix2pix.dataset import quantiles_of
from geopix2pix.errors import ConfigError, ModelFileError
from geopix2pix.ground import pixel_sides
from geopix2pix.independence import Independence, tile_independence
from geopix2pix.manifest import GroundResolution, Manifest, SourceBands, TargetBands
from geopix2pix.model import write_model
from geopix2pix.pair import Pair, PairSet
from geopix2pix.run import Run


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
        source=SourceBands(
            names=first.source.names, dtype=first.source.dtype, scaling=run.source, quantiles=quantiles_of(run.sets)
        ),
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
            "config": json.dumps(run.describe()["config"], separators=(",", ":")),
            **({"start": f"{config.start_from.name}"} if config.start_from else {}),
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
    place, window = pair.place, pair.source_window
    if place.crs is None or not place.is_known:
        return None
    return pixel_sides(place.crs, place.transform, window.col + window.width / 2, window.row + window.height / 2)


def _window(stride: int, field: int | None) -> tuple[int, int]:
    """Window and overlap, so that the step is a multiple of the stride; of a quarter of the window where that is it.

    Networks that look far get larger windows at the same cost per pixel: on a real scene that took the share of pixels
    whose class depends on the grid from 1.6 % to 0.4 %. The classic U-Net has no choice: its stride is as large as its
    window.
    """
    if stride > 128:
        return stride, stride // 4
    return (1024, 256) if field is not None and field > 512 else (512, 128)
