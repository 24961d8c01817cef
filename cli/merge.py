"""The command `geopix2pix merge`."""

from pathlib import Path
from typing import Any

import click

from . import options
from .report import Report
from .translate import translation_options
from .witness import witnessed


@click.command()
@click.argument("scene", type=options.FILE)
@click.argument("out", type=options.FILE)
@translation_options
@options.work
def merge(scene: Path, out: Path, *, report: Report, **values: Any) -> None:
    """Put the shares of `geopix2pix translate --shard` together: the bytes of one undivided run.

    It is given what the shares were given, without --shard. Their folders, OUT.rows-FIRST-END.part, have to lie beside
    OUT; they are removed when all is done. Nothing is computed.
    """
    from geopix2pix.planning import planned
    from geopix2pix.translation import assemble

    with witnessed(str(scene), report.mode):
        report.result(assemble(planned(scene, out, **values), progress=report))
