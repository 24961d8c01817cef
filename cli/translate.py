"""The command `geopix2pix translate`."""

from pathlib import Path
from typing import Any

import click

from . import options
from .report import Report


@click.command()
@click.argument("scene", type=options.FILE)
@click.argument("out", type=options.FILE)
@click.option("--model", type=options.FILE, help="A model file; the default is the one in the package.")
@click.option(
    "--engine",
    type=click.Choice(options.ENGINES),
    help="What computes: torch trained models (.safetensors), onnxruntime exported ones (.onnx); the default is by the "
    "file.",
)
@options.device
@click.option(
    "--batch", type=click.IntRange(min=1), help="Windows that are computed at once; on a CPU no result depends on it."
)
@click.option("--window", type=click.IntRange(min=1), help="Side of a window in pixels; the default is the model's.")
@click.option("--overlap", type=click.IntRange(min=0), help="Pixels shared by neighbouring windows, likewise.")
@options.bands
@options.scaling
@options.threads
@click.option("--max-pixels", type=click.IntRange(min=1), help="Refuse larger scenes.")
@click.option("--seam-report", type=options.FILE, help="Measure the seams of this scene and write them as JSON.")
@click.option("--preview", type=options.FILE, help="Write a PNG that shows scene and result side by side.")
@options.overwrite
@options.work
def translate(scene: Path, out: Path, *, report: Report, max_pixels: int | None, **values: Any) -> None:
    """Translate the raster SCENE and write OUT, a cloud-optimised GeoTIFF on the same grid.

    What is not valid in the scene is masked in the result. When it was stopped or killed, the same command goes on
    where it was.
    """
    from geopix2pix import translate

    if max_pixels is not None:
        values["max_pixels"] = max_pixels
    report.result(translate(scene, out, progress=report, **values))
