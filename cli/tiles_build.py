"""The command `geopix2pix tiles build`."""

import os
from pathlib import Path
from typing import Any

import click

from . import options
from .report import Report
from .tiles_split import request as split_request
from .tiles_split import split_options


def _layers(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    named = {}
    for value in values:
        name, equal, layer = value.partition("=")
        if not (name and equal and layer):
            raise click.BadParameter(f"{value!r} is not of the form roads=gis_osm_roads", context, parameter)
        named[name] = layer
    return named


def _names(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in value.split(",")) if value else ()


@click.command()
@click.option(
    "--source",
    "sources",
    multiple=True,
    required=True,
    metavar="FILE|PATTERN|TILES",
    help="The imagery: rasters, a quoted pattern, or web-map tiles (xyz:…/{z}/{x}/{y}.png, .mbtiles, .pmtiles).",
)
@click.option("--target", "targets", multiple=True, metavar="FILE|PATTERN|TILES", help="The map, likewise.")
@click.option("--vectors", multiple=True, type=options.FILE, help="Or vector files that --style draws as a map.")
@click.option("--style", type=str, help="A MapLibre style file, or the name of one in the package: streets, landcover.")
@click.option(
    "--layer", "layers", multiple=True, callback=_layers, help="The layer that the style means: roads=osm_roads."
)
@click.option(
    "--palette", type=options.FILE, help="The colours of the target's classes; without it the map is a picture."
)
@click.option("--knows", callback=_names, metavar="CLASSES", help="The classes that the map can name: road,building.")
@click.option(
    "--tolerance",
    type=click.FloatRange(0, 442),
    metavar="LEVELS",
    help="Colours further from all of the palette are unknown, as on the lettering of rendered maps.",
)
@click.option("--region", type=options.FILE, help="Polygons of any vector file; tiles lie inside.")
@click.option(
    "--bounds",
    callback=options.numbers(float, "LEFT,BOTTOM,RIGHT,TOP", count=4),
    metavar="LEFT,BOTTOM,RIGHT,TOP",
    help="Likewise, in the CRS of the tiles.",
)
@click.option("--footprint", is_flag=True, help="Likewise: the outline of the source's valid pixels.")
@click.option("--crs", help="Of the tiles, such as EPSG:32633; the default is the source's, or UTM for degrees.")
@click.option("--resolution", type=float, help="Side of a pixel in units of the CRS; the default is the source's.")
@click.option(
    "--origin",
    type=click.Choice(options.ORIGINS),
    default="crs",
    show_default=True,
    help="Where pixels begin: crs shares them with neighbouring sets, source keeps the source's own.",
)
@click.option("--zoom", type=click.IntRange(0, 30), help="Of web-map tiles; the default fits the resolution.")
@click.option("--cache", type=options.FILE, help="A folder that keeps downloaded tiles.")
@click.option(
    "--parallel", type=click.IntRange(1, 16), default=4, show_default=True, help="Requests to a tile server at once."
)
@click.option("--proxy", default="", help="URL of a proxy for a tile server; those of the system are not used.")
@click.option("--attribution", "attributions", multiple=True, help="Whom the makers of the data want to be named.")
@click.option("--bands", callback=options.numbers(int, "1,2,3"), help="Bands of the source, such as 4,3,2.")
@click.option("--size", type=int, default=256, show_default=True, help="Side of a tile in pixels.")
@click.option("--overlap", type=int, default=0, show_default=True, help="Pixels shared by neighbouring tiles.")
@click.option(
    "--coverage",
    type=float,
    default=0.5,
    show_default=True,
    help="Least share of a tile that must be known on both sides and inside the region.",
)
@click.option(
    "--misaligned",
    type=click.Choice(options.MISALIGNED),
    default="keep",
    show_default=True,
    help="What to do with a map that lies beside its image: tell it, leave it out, or move it back.",
)
@click.option("--max-offset", type=float, default=2.0, show_default=True, help="Pixels that count as misaligned.")
@split_options
@click.option("--workers", type=click.IntRange(min=1), help="Processes that cut tiles; no result depends on it.")
@click.option("--output", type=options.FILE, required=True, metavar="DIR", help="The folder of the new tile set.")
@options.overwrite
@options.work
def build(
    *,
    output: Path,
    split: dict[str, Any],
    workers: int | None,
    overwrite: bool,
    report: Report,
    style: str | None,
    **values: Any,
) -> None:
    """Cut aligned training tiles from imagery and a map, whatever the map is.

    When it was stopped or killed, the same command goes on where it was.
    """
    from geopix2pix.cartography.style import shipped
    from geopix2pix.tilesets.building import build
    from geopix2pix.tilesets.request import Request

    request = Request(style=shipped().get(style, Path(style)) if style else None, **values)
    workers = workers or os.cpu_count() or 1
    report.result(
        build(request, output, split=split_request(split), workers=workers, overwrite=overwrite, progress=report)
    )
