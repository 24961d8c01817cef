"""From a trained generator to a model file that says what it is."""

from pathlib import Path

from geopix2pix import __version__, networks
from geopix2pix.independence import tile_independence
from geopix2pix.manifest import GroundResolution, Manifest, SourceBands, TargetBands
from geopix2pix.model import write_model
from geopix2pix.run import Run


def write_trained(run: Run, generator: networks.Generator, steps: int, epoch: int) -> Path:
    """Write `generator` as the model of the run; its path, `model.safetensors` in the run folder.

    Tile independence is measured, and nothing about time, computer or folders is recorded.

    Raises:
        ModelFileError: a weight is not finite.
        OutputError: the file cannot be written.
    """
    generator = generator.cpu().eval()
    spec, first, config = generator.spec, run.sets[0], run.config
    found = tile_independence(generator)
    window, overlap = _window(spec.total_stride)
    manifest = Manifest(
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
        ground_resolution=GroundResolution(),
        temperature=None,
        provenance={
            "pairs": ", ".join(f"{s.name} ({len(s.train)} + {len(s.validation)} for validation)" for s in run.sets),
            "training": f"{steps} steps, {steps * config.batch} crops, seed {config.seed}, "
            f"weights of epoch {epoch} of {config.epochs}",
        },
    )
    path = run.output / "model.safetensors"
    write_model(path, manifest, {name: tensor.numpy() for name, tensor in networks.weights(generator).items()})
    return path


def _window(stride: int) -> tuple[int, int]:
    """Window and overlap, so that the step is a multiple of the stride; of a quarter of the window where that is it.

    The classic U-Net has no other choice: its stride is as large as its window.
    """
    return (512, 128) if stride <= 128 else (stride, stride // 4)
