"""The command `geopix2pix evaluate`."""

from pathlib import Path
from typing import Any

import click

from . import options
from .report import Report


@click.command()
@click.argument("models", type=options.MODEL, nargs=-1, required=True, metavar="MODEL...")
@click.argument("pairs", type=options.FILE)
@click.option("--output", type=options.FILE, required=True, metavar="DIR", help="The folder of the report.")
@click.option(
    "--split",
    type=click.Choice(options.SPLITS),
    default="validation",
    show_default=True,
    help="Which pairs to judge on.",
)
@options.layout
@options.palette
@options.validation
@click.option("--group", metavar="REGEX", help="What finds the region in the name of a pair: '^(tile[0-9]+)'.")
@options.bands
@options.scaling
@click.option("--inception", type=options.FILE, help="Local weights of Inception (.safetensors), for KID and FID.")
@click.option("--lpips", type=options.FILE, help="Local weights (.safetensors), for LPIPS.")
@click.option("--seams/--no-seams", "measure_seams", default=True, show_default=True, help="Measure seams, too.")
@options.device
@click.option(
    "--batch", type=click.IntRange(min=1), help="Windows that are computed at once; on a CPU no result depends on it."
)
@options.threads
@options.overwrite
@options.work
def evaluate(models: tuple[Path, ...], *, pairs: Path, output: Path, report: Report, **values: Any) -> None:
    """Judge each MODEL on the folder or tile set PAIRS and write a report to DIR.

    A MODEL is a file, or `default` for the one in the package. Scenes are painted as `translate` paints them; beside
    the models stands the picture of one colour that is right most often, which no map should lose against.
    """
    from geopix2pix import evaluate
    from geopix2pix.model import default_model

    paths = [default_model() if model == Path("default") else model for model in models]
    folder = evaluate(paths, pairs, output, progress=report, **values)
    report.text((folder / "report.txt").read_text(encoding="utf-8"))
    report.result(folder)
