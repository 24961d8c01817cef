"""The command `geopix2pix translate`, and the options that decide what a translation makes."""

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from . import options
from .report import Report
from .translate_many import duration, many, size
from .witness import witnessed

if TYPE_CHECKING:
    from geopix2pix.estimate import Estimate
    from geopix2pix.job import Job
    from geopix2pix.shard import Shard


def _averages(context: click.Context, parameter: click.Parameter, value: str) -> tuple[str, ...]:
    return tuple(part for part in value.split(",") if part)


def translation_options(body: Callable[..., None]) -> Callable[..., None]:
    """The options of a translation; `body` is called with them as arguments of the library's `planned`."""

    @click.option(
        "--model",
        type=options.MODEL,
        metavar="FILE|ADDRESS",
        help="A model file, or one that was pulled; the default is the one in the package.",
    )
    @click.option(
        "--engine",
        type=click.Choice(options.ENGINES),
        help="What computes: torch trained models (.safetensors), onnxruntime exported ones (.onnx); the default is "
        "by the file.",
    )
    @options.device
    @click.option(
        "--precision",
        type=click.Choice(options.PRECISIONS),
        default="fp32",
        show_default=True,
        help="In what torch computes; fp16 needs a GPU.",
    )
    @click.option(
        "--compile", "compiled", is_flag=True, help="Have torch compile the network first; needs a C++ compiler."
    )
    @click.option(
        "--batch",
        type=click.IntRange(min=1),
        help="Windows that are computed at once; on a CPU no result depends on it.",
    )
    @click.option(
        "--window", type=click.IntRange(min=1), help="Side of a window in pixels; the default is the model's."
    )
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
        "--bounds",
        callback=options.numbers(float, "LEFT,BOTTOM,RIGHT,TOP", count=4),
        help="Only inside this rectangle.",
    )
    @click.option("--bounds-crs", help="What --bounds is given in, such as EPSG:4326; the default is the scene's CRS.")
    @click.option("--classes", type=options.FILE, help="Write the indices of the classes as a GeoTIFF, too.")
    @click.option(
        "--confidence", type=options.FILE, help="Write the probability of each pixel's class in percent, too."
    )
    @click.option("--vector", type=options.FILE, help="Write polygons of the classes (.gpkg, .geojson or .fgb), too.")
    @click.option("--min-area", type=click.FloatRange(min=0), help="Leave out smaller polygons; square metres.")
    @click.option(
        "--clean",
        type=click.IntRange(min=2),
        metavar="PIXELS",
        help="Give regions of fewer pixels to their largest neighbours, in all results.",
    )
    @click.option("--tiles", help="Write web-map tiles, too: OUT.mbtiles, OUT.pmtiles or xyz:DIR/{z}/{x}/{y}.png.")
    @click.option(
        "--format", "form", type=click.Choice(options.FORMS), default="cog", show_default=True, help="Of all GeoTIFFs."
    )
    @click.option(
        "--compress", type=click.Choice(options.COMPRESSIONS), default="deflate", show_default=True, help="Likewise."
    )
    @options.threads
    @click.option("--max-pixels", type=click.IntRange(min=1), help="Refuse larger scenes.")
    @click.option(
        "--damaged",
        type=click.Choice(options.DAMAGED),
        default="stop",
        show_default=True,
        help="What becomes of a scene of which a part cannot be decoded: mask leaves out its damaged blocks.",
    )
    @click.option("--seam-report", type=options.FILE, help="Measure the seams of this scene and write them as JSON.")
    @click.option("--preview", type=options.FILE, help="Write a PNG that shows scene and result side by side.")
    @options.overwrite
    @functools.wraps(body)
    def run(*, max_pixels: int | None, **values: Any) -> None:
        body(**values if max_pixels is None else values | {"max_pixels": max_pixels})

    return run


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="SCENE...")
@click.argument("out")
@translation_options
@click.option("--asset", metavar="KEY|ROLE", help="Which asset of STAC items is the scene; by default visual or data.")
@click.option("--mosaic", is_flag=True, help="Take all scenes for one: files side by side on one grid; OUT is its map.")
@click.option("--dry-run", is_flag=True, help="Tell what would be done, and what it would need; write nothing.")
@click.option("--shard", metavar="I/N", help="Do share I of N of the work; `geopix2pix merge` puts them together.")
@options.work
def translate(
    sources: tuple[str, ...],
    out: str,
    *,
    report: Report,
    asset: str | None,
    mosaic: bool,
    dry_run: bool,
    shard: str | None,
    **values: Any,
) -> None:
    """Translate the raster SCENE and write OUT, a cloud-optimised GeoTIFF on the same grid.

    What is not valid in the scene is masked in the result, and so is what lies outside of the region. When it was
    stopped or killed, the same command goes on where it was. All results appear together when all is done.

    SCENE may be the https address of a GeoTIFF. It may also be a folder, a quoted pattern, a STAC document (.json) or
    @LIST, a text file of such words. Then, or if there are several, OUT is a folder, and {name} in the names of further
    results stands for each scene. One that fails does not stop the others; the exit code is 1 then. Shares of many
    scenes are scenes, and a run without --shard completes the folder. With --mosaic they are one scene, of which a VRT
    is written beside the map OUT.
    """
    from geopix2pix.inventory import is_many
    from geopix2pix.shard import Shard

    share = None if shard is None else Shard.parse(shard)
    if mosaic:
        with _joined(sources, Path(out), report, asset, dry_run=dry_run, overwrite=values["overwrite"]) as source:
            _one(source, Path(out), report, dry_run=dry_run, shard=share, **values)
    elif len(sources) > 1 or is_many(sources[0]) or Path(out).is_dir() or out.endswith(("/", os.sep)):
        many(sources, Path(out), report, dry_run=dry_run, shard=share, asset=asset, **values)
    else:
        _one(sources[0], Path(out), report, dry_run=dry_run, shard=share, **values)


@contextmanager
def _joined(
    sources: tuple[str, ...], out: Path, report: Report, asset: str | None, *, dry_run: bool, overwrite: bool
) -> Iterator[str]:
    """The VRT of scenes that are one: beside the result, or for a dry run where nobody sees it or is told of it."""
    from geopix2pix.inventory import side_by_side
    from geopix2pix.output import check_target
    from geopix2pix.vrt import write_mosaic

    check_target(out, overwrite=overwrite)
    files = side_by_side(sources, out, asset=asset)
    name = f"{out.stem}-sources.vrt"
    with TemporaryDirectory() as nowhere:
        target = Path(nowhere) / name if dry_run else out.with_name(name)
        if dry_run:
            report.call(target, f"{' '.join(dict.fromkeys((sources[0], sources[-1])))} ({len(files)} files)")
        yield str(write_mosaic(target, files, overwrite=overwrite))


def _one(source: str, out: Path, report: Report, *, dry_run: bool, shard: "Shard | None", **values: Any) -> None:
    from geopix2pix.planning import planned
    from geopix2pix.translation import run

    with witnessed(report.named(source), report.mode):
        job = planned(source, out, **values)
        rows = None if shard is None else shard.rows(job)
        if dry_run:
            _tell_plan(job, report)
        else:
            report.result(run(job, rows=rows, progress=report))


def _tell_plan(job: "Job", report: Report) -> None:
    from geopix2pix.estimate import estimated, probed
    from geopix2pix.translation import engine_of

    needs = estimated(job, probed(job, engine_of(job), report))
    lines = [f"{name:10} {value}" for name, value in _plan(job, needs).items()]
    report.plan("\n".join(lines), job.to_json() | {"estimate": needs.to_json()})


def _plan(job: "Job", needs: "Estimate") -> dict[str, str]:
    """What would be done, by topic, in words for people."""
    facts, grid = job.to_json(), job.grid
    across = f"{facts['width']} x {facts['height']} pixels, {facts['crs'] or 'no CRS'}"
    time = "unknown: no valid pixel was found"
    if needs.seconds is not None and needs.window_seconds is not None:
        each = f"{needs.window_seconds:.3g} s for a window, as tried here and now"
        time = f"about {duration(needs.seconds)} to compute, {each}; finishing the files comes on top"
    memory = (
        "unknown" if needs.memory_bytes is None else f"about {size(needs.memory_bytes)}, whatever the scene's height"
    )
    return {
        "scene": str(job.source),
        "results": ", ".join(facts["results"].values()),
        "grid": across if job.working is None else f"{across}, worked on in {grid.width} x {grid.height} others",
        "model": facts["model"],
        "windows": f"{grid.columns} x {grid.rows} of {grid.window} pixels with {grid.overlap} shared",
        "time": time,
        "memory": memory,
        "disk": f"{size(needs.disk_bytes)} before compression, {size(needs.free_bytes)} free",
    }
