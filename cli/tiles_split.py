"""The command `geopix2pix tiles split`, and the options by which tiles are divided."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import options
from .report import Report

if TYPE_CHECKING:
    from geopix2pix.tilesets.partition import SplitRequest

NAMES = ("by", "block", "buffer", "shares", "seed", "zones", "validation", "test")


def split_options(body: Callable[..., None]) -> Callable[..., None]:
    """The options of a split; `body` is called with `split`, the values of those that were given."""

    @click.option(
        "--by",
        type=click.Choice(options.SPLITS_BY),
        help="blocks: squares of ground; polygons: --zones; files: --validation and --test. The default is blocks.",
    )
    @click.option("--block", type=click.FloatRange(min=0, min_open=True), metavar="METRES", help="Side of a block.")
    @click.option(
        "--buffer",
        type=click.FloatRange(min=0),
        metavar="METRES",
        help="Distance to the tiles to judge by within which none is learned from.",
    )
    @click.option(
        "--shares", callback=options.numbers(float, "0.8,0.1,0.1", count=3), help="Of training, validation and test."
    )
    @click.option("--seed", type=click.IntRange(min=0), help="Another seed, other blocks.")
    @click.option("--zones", type=options.FILE, help="Polygons whose column `split` says train, validation or test.")
    @click.option("--validation", multiple=True, metavar="PATTERN", help="Source files to judge by, such as 'north*'.")
    @click.option("--test", multiple=True, metavar="PATTERN", help="Source files for the final test.")
    @functools.wraps(body)
    def run(**values: Any) -> None:
        given = {name: values.pop(name) for name in NAMES}
        body(split={name: value for name, value in given.items() if value not in (None, ())}, **values)

    return run


def request(split: dict[str, Any]) -> "SplitRequest | None":
    """What the options ask for; None where none was given."""
    from geopix2pix.tilesets.partition import SplitRequest

    return SplitRequest(**split) if split else None


@click.command()
@click.argument("folder", type=options.FILE)
@split_options
@options.work
def split(folder: Path, *, split: dict[str, Any], report: Report) -> None:
    """Divide the tile set FOLDER anew into training, validation and test. Only its index is written."""
    from geopix2pix.tilesets.partition import SplitRequest, divide

    divide(folder, request(split) or SplitRequest())
    report.result(folder)
