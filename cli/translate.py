"""The command `geopix2pix translate`."""

from pathlib import Path
from typing import Any

import click

from . import options
from .report import Report


def _averages(context: click.Context, parameter: click.Parameter, value: str) -> tuple[str, ...]:
    return tuple(part for part in value.split(",") if part)


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
@click.option(
    "--average",
    callback=_averages,
    default="",
    metavar="flips,shifts",
    help="Average over mirror images of each window, or shifts of it: 4 times slower, with both 16 times.",
)
@click.option(
    "--resolution",
    type=float,
    help="Work on pixels of so many metres; the default is what the model knows, or the scene's.",
)
@click.option(
    "--deliver",
    type=click.Choice(options.DELIVER),
    default="source",
    show_default=True,
    help="On which pixels the results lie if others were worked on.",
)
@options.bands
@options.scaling
@click.option("--region", type=options.FILE, help="Translate only inside the polygons of this vector file.")
@click.option(
    "--bounds", callback=options.numbers(float, "LEFT,BOTTOM,RIGHT,TOP", count=4), help="Only inside this rectangle."
)
@click.option("--bounds-crs", help="What --bounds is given in, such as EPSG:4326; the default is the scene's CRS.")
@click.option("--classes", type=options.FILE, help="Write the indices of the classes as a GeoTIFF, too.")
@click.option("--confidence", type=options.FILE, help="Write the probability of each pixel's class in percent, too.")
@click.option("--vector", type=options.FILE, help="Write polygons of the classes (.gpkg, .geojson or .fgb), too.")
@click.option("--min-area", type=click.FloatRange(min=0), help="Leave out smaller polygons; square metres.")
@click.option("--tiles", help="Write web-map tiles, too: OUT.mbtiles, OUT.pmtiles or xyz:DIR/{z}/{x}/{y}.png.")
@click.option(
    "--format", "form", type=click.Choice(options.FORMS), default="cog", show_default=True, help="Of all GeoTIFFs."
)
@click.option(
    "--compress", type=click.Choice(options.COMPRESSIONS), default="deflate", show_default=True, help="Likewise."
)
@options.threads
@click.option("--max-pixels", type=click.IntRange(min=1), help="Refuse larger scenes.")
@click.option("--seam-report", type=options.FILE, help="Measure the seams of this scene and write them as JSON.")
@click.option("--preview", type=options.FILE, help="Write a PNG that shows scene and result side by side.")
@options.overwrite
@options.work
def translate(scene: Path, out: Path, *, report: Report, max_pixels: int | None, **values: Any) -> None:
    """Translate the raster SCENE and write OUT, a cloud-optimised GeoTIFF on the same grid.

    What is not valid in the scene is masked in the result, and so is what lies outside of the region. When it was
    stopped or killed, the same command goes on where it was. All results appear together when all is done.
    """
    from geopix2pix import translate

    if max_pixels is not None:
        values["max_pixels"] = max_pixels
    report.result(translate(scene, out, progress=report, **values))
