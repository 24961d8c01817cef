"""The command `geopix2pix report`."""

from pathlib import Path

import click

from . import options
from .report import Report


@click.command()
@click.argument("run", type=options.FILE)
@click.option("--output", type=options.FILE, metavar="FILE.html", help="Where to; the default is RUN/report.html.")
@options.overwrite
@options.query
def report(run: Path, *, output: Path | None, overwrite: bool, report: Report) -> None:
    """Write a page on the training run in the folder RUN, finished or not: curves, samples, data and options.

    Training writes it at its end by itself. RUN/report.html is replaced, another file only with --overwrite.
    """
    from geopix2pix.output import check_target
    from geopix2pix.watching.runpage import write_report

    if output is not None:
        check_target(output, overwrite=overwrite)
    report.result(write_report(run, output))
