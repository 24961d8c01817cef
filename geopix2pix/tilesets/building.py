"""Building a tile set: the candidates of a plan are cut in a folder beside the set, which an interruption keeps."""

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from warnings import warn

from geopix2pix import __version__
from geopix2pix.cartography.style import Style
from geopix2pix.cartography.vectors import prepare
from geopix2pix.errors import TileSetError, TileSetWarning
from geopix2pix.grid import Window
from geopix2pix.journal import Line
from geopix2pix.progress import Event, Progress, silent
from geopix2pix.tilesets import completion
from geopix2pix.tilesets.alignment import common_offsets, file_of, told, too_far
from geopix2pix.tilesets.crew import Job, lines
from geopix2pix.tilesets.layers import DrawnLayer, Layer, RasterLayer, WebLayer, describe
from geopix2pix.tilesets.partition import SplitRequest, divided, divided_somehow
from geopix2pix.tilesets.plan import Plan, planned, reach
from geopix2pix.tilesets.request import Request
from geopix2pix.tilesets.site import Site
from geopix2pix.tilesets.splits import files_by_pattern
from geopix2pix.tilesets.tileset import TileSet
from geopix2pix.view import View
from geopix2pix.webtiles.slippy import SlippyView

REACH = 16  # pixels, as far as offsets are sought


def build(
    request: Request,
    output: str | Path,
    *,
    split: SplitRequest | None = None,
    workers: int = 1,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Path:
    """Build the tile set of a request in the folder `output`; its path.

    `workers` processes cut tiles; neither their number nor an interruption changes a byte of the result. What was
    stopped, killed or failed goes on when it is called again with the same arguments; what is finished stays in
    `output.part/` until then.

    Raises:
        ConfigError: the request contradicts itself.
        RasterError, VectorError, StyleError, RegionError, DownloadError: an input cannot be used.
        TileSetError: nothing is left to cut, or too few blocks to split.
        OutputError: the folder exists and `overwrite` is false, or cannot be written.
        Cancelled: `progress` asked to stop.
    """
    with Site(Path(output), overwrite=overwrite) as site, ExitStack() as opened:
        plan = planned(request, site.folder)
        if split and split.by == "files" and isinstance(plan.source, RasterLayer):  # refused now rather than at the end
            names = [path.name for path in plan.source.paths]
            files_by_pattern(names, validation=split.validation, test=split.test)
        source = opened.enter_context(closing(_opened(plan.source, plan)))
        site.begin(_header(plan, source))
        _draw_ready(plan, source, progress)
        target = opened.enter_context(closing(_opened(plan.target, plan)))
        jobs = [Job(*candidate) for candidate in plan.candidates(source, target)]
        for view in (source, target):
            if isinstance(view, SlippyView):
                view.prefetch((job.window.padded(REACH) for job in jobs), progress)  # a map may be moved
        found = _aligned(plan, site, _cut(plan, site, jobs, "cut", workers, progress), workers, progress)
        tiles = completion.tiles_of(found, plan.grid)
        tiles = divided(tiles, plan.grid, split) if split else divided_somehow(tiles, plan.grid)
        about = completion.described(
            site.tiles,
            _layout(plan, source, target),
            tiles,
            counts=Counter(line.get("skipped", "kept") for line in found),
            parameters=_parameters(plan),
            attributions=_attributions(plan, source, target),
        )
        result = TileSet(site.tiles, about, tuple(tiles))
        result.write()
        site.finish(result.files())
    return Path(output)


def _layout(plan: Plan, source: View, target: View) -> completion.Layout:
    return completion.Layout(
        grid=plan.grid,
        size=plan.request.size,
        overlap=plan.request.overlap,
        palette=plan.legend.palette if plan.legend else None,
        source=(source.names, source.dtype),
        target=(target.names, target.dtype),
    )


def _draw_ready(plan: Plan, source: View, progress: Progress) -> None:
    """Prepare the vectors that are to be drawn, unless an earlier run has done it."""
    layer, request = plan.target, plan.request
    if isinstance(layer, DrawnLayer) and not layer.prepared.exists():
        prepare(
            request.vectors,
            Style.load(layer.style),
            plan.grid,
            reach(source, plan.region, plan.grid.crs).bounds,
            layer.prepared,
            layers=request.layers or {},
            progress=progress,
        )


def _opened(layer: Layer, plan: Plan) -> View:
    """A layer in this process, which alone talks to servers: those that cut read what it has put into the cache."""
    return layer.open(plan.grid, plan.request.network) if isinstance(layer, WebLayer) else layer.open(plan.grid)


def _cut(plan: Plan, site: Site, jobs: Sequence[Job], stage: str, workers: int, progress: Progress) -> list[Line]:
    """A line for each job: those of an earlier run, and those that are cut now."""
    known = site.finished(stage)
    rest = [job for job in jobs if job.name not in known]
    done = len(jobs) - len(rest)
    progress(Event(stage, done, len(jobs), "tiles"))
    try:
        for some in lines(plan, site.tiles, rest, workers):
            site.record(stage, some)
            known |= {line["name"]: line for line in some}
            done += len(some)
            progress(Event(stage, done, len(jobs), "tiles"))
    except TileSetError:
        progress(Event(stage, done, len(jobs), "tiles"))  # what asks all processes to stop may end the others first
        raise
    return [known[job.name] for job in jobs]


def _aligned(plan: Plan, site: Site, found: list[Line], workers: int, progress: Progress) -> list[Line]:
    """The lines, with what was asked for done to the pairs that do not lie on top of each other."""
    request = plan.request
    shifts = too_far(common_offsets(found), request.max_offset)
    if not shifts:
        return found
    done = {"keep": "give --misaligned shift or reject", "shift": "it is moved", "reject": "these tiles are left out"}
    warn(f"{told(shifts)}; {done[request.misaligned]}", TileSetWarning, stacklevel=3)
    off = {line["name"]: shifts[file_of(line)] for line in found if "skipped" not in line and file_of(line) in shifts}
    match request.misaligned:
        case "keep":
            return found
        case "reject":
            skipped = {"skipped": "misaligned"}
            return [_only(line, "name", "window") | skipped if line["name"] in off else line for line in found]
        case "shift":
            moved = [line for line in found if line["name"] in off]
            jobs = [Job(line["name"], Window(*line["window"]), off[line["name"]]) for line in moved]
            again = {line["name"]: line for line in _cut(plan, site, jobs, "shift", workers, progress)}
            return [again.get(line["name"], line) for line in found]


def _only(line: Line, *fields: str) -> Line:
    return {field: line[field] for field in fields}


def _attributions(plan: Plan, *views: View) -> list[str]:
    """Whom the user says, and the archives of web-map tiles."""
    told = [view.attribution for view in views if isinstance(view, SlippyView) and view.attribution]
    return list(dict.fromkeys([*plan.request.attributions, *told]))


def _header(plan: Plan, source: View) -> Line:
    """All that determines the result."""
    request = plan.request
    files = [path for path in (*request.vectors, request.style, request.region, request.palette) if path]
    return {
        "geopix2pix": __version__,
        "parameters": _parameters(plan),
        "source": source.identity(),
        "files": [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in files],
    }


def _parameters(plan: Plan) -> dict[str, Any]:
    """What was asked for, as JSON values, without the folders of files."""
    request = plan.request
    return {
        "source": describe(plan.source),
        "target": describe(plan.target)
        | ({"vectors": [path.name for path in request.vectors]} if request.vectors else {}),
        "layers": dict(request.layers or {}),
        "knows": list(plan.legend.palette.knows) if plan.legend else [],
        "tolerance": request.tolerance,
        "region": plan.region.wkt if plan.region is not None else None,
        "coverage": request.coverage,
        "misaligned": request.misaligned,
        "max_offset": request.max_offset,
    }
