"""The command `geopix2pix sample`."""

from pathlib import Path

import click

from . import options
from .report import Report


@click.command()
@click.argument("folder", type=options.FILE, metavar="DIR")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Another seed, another town.")
@click.option(
    "--size", type=click.IntRange(256, 4096), default=1024, show_default=True, help="Side of the scene in pixels."
)
@options.overwrite
@options.work
def sample(folder: Path, *, seed: int, size: int, overwrite: bool, report: Report) -> None:
    """Write an invented town to DIR: a scene, its true map, and pairs to train with."""
    from geopix2pix.sample import write_sample

    report.result(write_sample(folder, seed=seed, size=size, overwrite=overwrite, progress=report))
