"""The commands `geopix2pix tiles import` and `geopix2pix tiles export`."""

import glob
from pathlib import Path
from typing import Any

import click

from . import options
from .report import Report
from .tiles_split import request as split_request
from .tiles_split import split_options


@click.command("import")
@click.argument("folder", type=options.FILE, required=False)
@click.option("--source", metavar="PATTERN", help="Instead of FOLDER: pictures, such as 'Tile */images/*.jpg' …")
@click.option("--target", metavar="PATTERN", help="… and their maps of equal names, such as 'Tile */masks/*.png'.")
@click.option("--layout", type=click.Choice(options.LAYOUTS), default="auto", show_default=True, help="Of FOLDER.")
@click.option("--palette", type=options.FILE, help="The classes of the maps; the default is FOLDER/palette.json.")
@click.option("--tolerance", type=click.FloatRange(0, 442), help="Colours further from all of the palette are unknown.")
@click.option("--size", type=int, default=256, show_default=True, help="Side of a tile in pixels.")
@click.option("--overlap", type=int, default=0, show_default=True, help="Pixels shared by neighbouring tiles.")
@click.option(
    "--coverage", type=float, default=0.5, show_default=True, help="Least share of a tile that must be known."
)
@split_options
@click.option("--output", type=options.FILE, required=True, metavar="DIR", help="The folder of the new tile set.")
@options.overwrite
@options.work
def import_(
    folder: Path | None,
    *,
    source: str | None,
    target: str | None,
    layout: Any,
    palette: Path | None,
    split: dict[str, Any],
    output: Path,
    report: Report,
    **values: Any,
) -> None:
    """Cut pictures of equal names, or such that show source and map side by side, into a tile set.

    FOLDER holds `train/`, `validation/` or `val/`, and `test/`, or pictures that are divided here.
    """
    from geopix2pix.errors import ConfigError
    from geopix2pix.importing import import_pairs, published
    from geopix2pix.pairs import open_matched

    if (folder is None) == (source is None) or (source is None) != (target is None):
        raise ConfigError("give either a FOLDER, or --source and --target patterns")
    if folder is not None:
        parts = published(folder, layout=layout, palette=palette)
    else:
        lists = [[Path(name) for name in sorted(glob.glob(str(p), recursive=True))] for p in (source, target)]  # noqa: PTH207
        parts = {"train": open_matched(*lists, palette=palette)}
    report.result(import_pairs(parts, output, split=split_request(split), progress=report, **values))


@click.command()
@click.argument("folder", type=options.FILE)
@click.argument("out", type=options.FILE)
@click.option(
    "--layout",
    type=click.Choice(options.EXPORT_LAYOUTS),
    default="folders",
    show_default=True,
    help="folders: source/ and target/; side-by-side: both in one picture, as pix2pix code expects.",
)
@click.option(
    "--targets",
    type=click.Choice(options.EXPORT_TARGETS),
    default="maps",
    show_default=True,
    help="The drawn maps, or their classes in training colours.",
)
@options.work
def export(folder: Path, out: Path, *, layout: Any, targets: Any, report: Report) -> None:
    """Write the tile set FOLDER as PNG pictures to the new folder OUT."""
    from geopix2pix.exporting import export_pairs
    from geopix2pix.tilesets.tileset import TileSet

    report.result(export_pairs(TileSet.open(folder), out, layout=layout, targets=targets, progress=report))
