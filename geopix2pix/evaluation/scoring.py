"""How good maps are and where they are wrong: models judged on pairs, through the windows of `translate`."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from geopix2pix.engine import check_engine, load_engine
from geopix2pix.evaluation.constant import constant_of
from geopix2pix.evaluation.contest import Contest, doubts_were_told, engine_facts, largest, play, row, shown
from geopix2pix.evaluation.entries import Split, check_readable, chosen, named, regions_of
from geopix2pix.evaluation.footprints import write_footprints
from geopix2pix.evaluation.gallery import Gallery
from geopix2pix.evaluation.judging import Eyes
from geopix2pix.evaluation.legend import Legend
from geopix2pix.evaluation.painting import Painting, constant, painted
from geopix2pix.evaluation.reassembly import WholeScene, reassembled
from geopix2pix.evaluation.reportfolder import REPORT, TABLE, check_output, report_folder
from geopix2pix.evaluation.scoreboard import Row, Scoreboard, TileEntry, summary_csv, tiles_csv, to_json
from geopix2pix.evaluation.scoretable import table
from geopix2pix.evaluation.stability import flatness, middle, seams, train_eval
from geopix2pix.measures.inception import load_inception
from geopix2pix.measures.perceptual import load_lpips
from geopix2pix.model import ModelFile
from geopix2pix.pair import Pair, PairSet
from geopix2pix.pairs import Layout, open_pairs
from geopix2pix.progress import Event, Progress, silent
from geopix2pix.scene import SceneScaling
from geopix2pix.translation import GPU_BATCH, fitted_grid


def evaluate(
    models: Sequence[str | Path],
    pairs: str | Path,
    output: str | Path,
    *,
    split: Split = "validation",
    layout: Layout = "auto",
    palette: str | Path | None = None,
    validation: float = 0.1,
    group: str | None = None,
    bands: Sequence[int] | None = None,
    scaling: SceneScaling = "model",
    inception: str | Path | None = None,
    lpips: str | Path | None = None,
    measure_seams: bool = True,
    device: str = "auto",
    threads: int | None = None,
    batch: int | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Path:
    """Judge `models` on a split of the folder or tile set `pairs`, and write a report to the folder `output`; its path.

    Scenes are painted as `translate` paints them, in the windows of the model; tiles of one scene that touch are put
    together first. The report holds `report.json` and `report.txt`, figures as CSV, the worst and the best tiles of
    each model as pictures and, for pairs with a georeference, footprints with scores and rasters of errors.

    `group` is a regular expression; what its first group finds in the name of a pair is the region that the pair
    belongs to. `inception` and `lpips` are local weights (safetensors) for KID and FID, and for LPIPS.

    Raises:
        PairsError: the pairs cannot be used, or are not what a model paints.
        ModelFileError: a model or the weights of a network cannot be used.
        SceneError: the sources do not fit a model.
        ConfigError: an argument is impossible.
        OutputError: the folder exists and `overwrite` is false, or cannot be written.
        Cancelled: `progress` asked to stop; nothing is left behind.
    """
    folder, output = Path(pairs), Path(output)
    paths = [Path(model) for model in models]
    check_output(output, [folder, *paths], overwrite=overwrite)
    entrants = named([ModelFile.load(path) for path in paths])
    eyes = Eyes(
        lpips=None if lpips is None else load_lpips(Path(lpips)),
        inception=None if inception is None else load_inception(Path(inception)),
    )
    opened = open_pairs(
        folder, layout=layout, palette=None if palette is None else Path(palette), validation=validation
    )
    judged_on = chosen(opened, split)
    legend = Legend.of(opened)
    for model in entrants.values():
        legend.check(model, opened)
    check_readable(judged_on, legend.palette, progress)
    with report_folder(output) as (new, room):
        contest = _contest(judged_on, legend, eyes, folder, group, bands, scaling, room)
        for model in entrants.values():  # what does not fit is told before the work, and doubts once
            with shown(contest, largest(contest), model.manifest):
                pass
        means = _Means(device, threads, batch, measure_seams, progress)
        rows = [_model_row(contest, name, model, new, means) for name, model in entrants.items()]
        bottom, known = _constant_row(contest, opened, progress)
        board = Scoreboard(
            pairs=opened.name,
            split=split,
            classes=legend.palette.knows if legend.palette else (),
            complete=legend.is_complete,
            tiles=tuple(replace(tile, known=count) for tile, count in zip(contest.tiles, known, strict=True)),
            rows=(*rows, bottom),
        )
        _write(new, board, [pair for _, pair in judged_on])
        progress(Event("report", 1, 1, "reports"))
    return output


def _contest(
    judged_on: Sequence[tuple[str, Pair]],
    legend: Legend,
    eyes: Eyes,
    folder: Path,
    group: str | None,
    bands: Sequence[int] | None,
    scaling: SceneScaling,
    room: Path,
) -> Contest:
    """The scenes and tiles that every row is judged on."""
    scenes = [
        scene
        for part in dict.fromkeys(split for split, _ in judged_on)
        for scene in reassembled([pair for split, pair in judged_on if split == part], room)
    ]
    scene_of = {pair.name: scene.name for scene in scenes for pair, _ in scene.places}
    regions = regions_of([pair for _, pair in judged_on], folder, group)
    tiles = tuple(
        TileEntry(name=pair.name, split=split, group=region, scene=scene_of[pair.name], pixels=pair.width * pair.height)
        for (split, pair), region in zip(judged_on, regions, strict=True)
    )
    members: dict[str, list[int]] = {}
    for number, tile in enumerate(tiles):
        for label in (f"split {tile.split}", tile.group):
            members.setdefault(label, []).append(number)
    groups = {label: tuple(n) for label, n in sorted(members.items()) if label and len(n) < len(tiles)}
    return Contest(
        legend=legend,
        scenes=tuple(scenes),
        tiles=tiles,
        groups=groups,
        eyes=eyes,
        bands=bands,
        scaling=scaling,
        room=room,
    )


class _Means(NamedTuple):
    """By what models are run, and whom to tell."""

    device: str
    threads: int | None
    batch: int | None
    measure_seams: bool
    progress: Progress


def _model_row(contest: Contest, name: str, model: ModelFile, folder: Path, means: _Means) -> Row:
    """The row of a model; its pictures and its rasters of errors go to `folder`."""
    manifest, progress = model.manifest, means.progress
    check_engine(model, None, None)
    engine, gallery = load_engine(model, device=means.device, threads=means.threads), Gallery()
    batch = means.batch or (1 if engine.device_type == "cpu" else GPU_BATCH)
    grids = [fitted_grid(scene.width, scene.height, manifest) for scene in contest.scenes]
    windows = iter(range(1, 1 + (total := sum(grid.columns * grid.rows for grid in grids))))

    def paint(scene: WholeScene) -> Painting:
        with doubts_were_told(), shown(contest, scene, manifest) as (reader, scaling, grid):
            return painted(
                reader, engine, scaling, grid, contest.room, batch,
                lambda: progress(Event("evaluate", next(windows), total, "windows")),
            )  # fmt: skip

    slug = _slug(name)
    results = play(contest, paint, folder / "errors" / slug, gallery, progress)
    if (sheet := gallery.png()) is not None:
        (folder / f"tiles-{slug}.png").write_bytes(sheet)
    with doubts_were_told(), shown(contest, largest(contest), manifest) as (reader, scaling, grid):
        details: dict[str, Any] = {
            "flatness": flatness(engine, grid),
            # An exported model has no training mode.
            "train_eval": None if model.graph else train_eval(model, middle(reader, manifest, scaling)),
        }
        if means.measure_seams:
            details["seams"] = seams(reader, engine, scaling, grid, batch, progress)
        about = {
            "model": {"name": manifest.name, "version": manifest.version, "sha256": model.digest},
            "settings": engine_facts(engine, grid, scaling, reader.bands),
        }
    found = row(contest, name, results, is_constant=False, about=about, details=details)
    progress(Event("score", 1, 1, "rows", found.total))
    return found


def _constant_row(contest: Contest, pairs: PairSet, progress: Progress) -> tuple[Row, list[int]]:
    """The row of the picture of one colour, and how many pixels of each tile the target tells something of."""
    color = constant_of(pairs, contest.legend, progress)

    def paint(scene: WholeScene) -> Painting:
        return constant(color.pixel, color.dtype, scene.height, scene.width)

    results = play(contest, paint, None, Gallery(), progress)
    about = {"color": color.name}
    found = row(contest, f"constant: {color.name}", results, is_constant=True, about=about, details={})
    return found, [result.known for result in results]


def _write(folder: Path, board: Scoreboard, pairs: Sequence[Pair]) -> None:
    """The files of a report that hold figures."""
    texts = {
        REPORT: to_json(board),
        TABLE: table(board) + "\n",
        "summary.csv": summary_csv(board),
        "tiles.csv": tiles_csv(board),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8", newline="")
    write_footprints(folder / "tiles.gpkg", board, pairs)


def _slug(name: str) -> str:
    """A name that any file system takes."""
    return re.sub(r"[^A-Za-z0-9._()-]+", "-", name)
