"""Rows of a report: models, and the picture of one colour, on the same scenes."""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geopix2pix.engine import Engine
from geopix2pix.errors import SceneWarning
from geopix2pix.evaluation.errorraster import CLASS_BANDS, LEVEL_BANDS, write_errors
from geopix2pix.evaluation.gallery import Gallery
from geopix2pix.evaluation.judging import UNKNOWN, Eyes, Judged, judged
from geopix2pix.evaluation.legend import Legend
from geopix2pix.evaluation.painting import Painting, space
from geopix2pix.evaluation.reassembly import WholeScene
from geopix2pix.evaluation.scoreboard import IOU, Row, TileEntry
from geopix2pix.gdal import MAX_PIXELS
from geopix2pix.grid import WindowGrid
from geopix2pix.manifest import Manifest
from geopix2pix.measures.figures import Figures, Interval, class_overlaps, figures, intervals
from geopix2pix.measures.perceptual import frechet_distance, kernel_distance
from geopix2pix.measures.tally import Tally, pooled
from geopix2pix.normalize import Scaling
from geopix2pix.progress import Event, Progress
from geopix2pix.raster import RasterReader
from geopix2pix.scene import SceneScaling, open_scene, scene_scaling
from geopix2pix.translation import fitted_grid

Paint = Callable[[WholeScene], Painting]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """What all rows have in common."""

    legend: Legend
    scenes: tuple[WholeScene, ...]
    tiles: tuple[TileEntry, ...]
    groups: Mapping[str, tuple[int, ...]]
    """The numbers of the tiles in each group that is told apart."""
    eyes: Eyes
    bands: Sequence[int] | None
    scaling: SceneScaling
    room: Path
    """A folder for what does not fit into memory."""


@contextmanager
def shown(
    contest: Contest, scene: WholeScene, manifest: Manifest
) -> Iterator[tuple[RasterReader, Scaling, WindowGrid]]:
    """A scene as `translate` shows it to a model: open, with its scaling and its windows.

    Raises:
        RasterError: it cannot be opened.
        SceneError: it does not fit the model.
    """
    with open_scene(scene.path, manifest, contest.bands, MAX_PIXELS) as reader:
        yield reader, scene_scaling(reader, manifest, contest.scaling), fitted_grid(scene.width, scene.height, manifest)


@contextmanager
def doubts_were_told() -> Iterator[None]:
    """A context in which nothing is said of what is doubtful about scenes, one of which was checked before."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SceneWarning)
        yield


def largest(contest: Contest) -> WholeScene:
    """The scene with the most pixels, the first of several."""
    return max(contest.scenes, key=lambda scene: scene.width * scene.height)


def play(contest: Contest, paint: Paint, errors: Path | None, gallery: Gallery, progress: Progress) -> list[Judged]:
    """Every tile beside its map, in the order of the contest; rasters of errors go to the folder `errors`.

    Raises:
        PairsError, RasterError: a picture cannot be read.
        OutputError: the folder cannot be written to.
    """
    found: dict[str, Judged] = {}
    for number, scene in enumerate(contest.scenes):
        painting = paint(scene)
        mistakes = _mistakes(contest, scene) if errors is not None else None
        for pair, place in scene.places:
            result, thumbnail = judged(scene, pair, place, painting, contest.legend, contest.eyes, mistakes)
            found[pair.name] = result
            own = measured(result.tally, contest.legend)
            gallery.offer(_rank(own), _title(pair.name, own), thumbnail)
            progress(Event("judge", len(found), len(contest.tiles), "tiles"))
        if errors is not None and mistakes is not None:
            errors.mkdir(parents=True, exist_ok=True)
            palette = contest.legend.palette
            name = scene.places[0][0].name.replace("/", "-")
            target = errors / f"{name if len(scene.places) == 1 else f'scene-{number + 1}-{name}'}.tif"
            write_errors(target, mistakes, scene.place, palette.names if palette else ())
    return [found[tile.name] for tile in contest.tiles]


def _mistakes(contest: Contest, scene: WholeScene) -> npt.NDArray[np.uint8] | None:
    """Room for the errors of a scene that lies somewhere."""
    if not (scene.place.is_known and scene.place.crs):
        return None
    bands = len(CLASS_BANDS if contest.legend.palette else LEVEL_BANDS)
    errors = space(contest.room, (bands, scene.height, scene.width), "uint8")
    errors[:] = UNKNOWN
    return errors


def _rank(found: Figures) -> float:
    """By what the worst and the best tiles are found: the share of right pixels, or the difference."""
    return found["palette_accuracy"] if "palette_accuracy" in found else -found["l1"]


def _title(name: str, found: Figures) -> str:
    if "palette_accuracy" in found:
        return f"{name}: {found['palette_accuracy']:.1%} right, mean IoU {found['mean_iou']:.2f}"
    return f"{name}: L1 {found['l1']:.1f} levels, edge F1 {found['edge_f1']:.2f}"


def measured(tally: Tally, legend: Legend) -> Figures:
    """All measures that follow from sums, the overlap of each class included."""
    found = figures(tally, legend.sets)
    if legend.sets is not None and legend.palette is not None:
        overlaps = class_overlaps(tally, legend.sets).tolist()
        names = zip(legend.palette.classes, overlaps, strict=True)
        found |= {f"{IOU}{c.name}": value for c, value in names if c.name in legend.palette.knows}
    return found


def row(
    contest: Contest,
    name: str,
    results: Sequence[Judged],
    *,
    is_constant: bool,
    about: Mapping[str, Any],
    details: Mapping[str, Any],
) -> Row:
    """The row of a report."""
    legend, tallies = contest.legend, [result.tally for result in results]
    whole = pooled(tallies)
    spread: dict[str, Interval] = intervals(tallies, lambda tally: measured(tally, legend))
    total = measured(whole, legend)
    if contest.eyes.inception is not None:
        predicted, true = ([pair[side] for result in results for pair in result.seen] for side in (0, 1))
        total["kid"], spread["kid"] = kernel_distance(predicted, true)
        total["fid"] = frechet_distance(predicted, true)
    return Row(
        name=name,
        is_constant=is_constant,
        about=about,
        total=total,
        intervals=spread,
        groups={
            group: measured(pooled([tallies[index] for index in members]), legend)
            for group, members in contest.groups.items()
        },
        tiles=[measured(tally, legend) for tally in tallies],
        details={**_class_details(whole, legend), **_border(whole), **details},
    )


def _class_details(tally: Tally, legend: Legend) -> dict[str, Any]:
    """How classes are mixed up, and how probabilities compare with what they promise."""
    palette, sets = legend.palette, legend.sets
    if palette is None or sets is None:
        return {}
    labels = [" or ".join(name for name, there in zip(palette.names, s, strict=True) if there) for s in sets.members]
    confusion = {
        label: dict(zip(palette.names, counts, strict=True))
        for label, counts, told in zip(labels, tally.matrix.astype(int).tolist(), sets.informative, strict=True)
        if told
    }
    bins = [
        {"pixels": pixels, "confidence": confidence / pixels, "right": right / pixels}
        for pixels, confidence, right in tally.bins.T.tolist()
        if pixels
    ]
    return {"confusion": confusion, "calibration": bins}


def _border(tally: Tally) -> dict[str, Any]:
    """Errors near the border of scenes and inside: shares of wrong pixels, or grey levels."""
    (near, near_pixels), (inside, inside_pixels) = tally.border.tolist()
    return {
        "border": {
            "near": near / near_pixels if near_pixels else None,
            "inside": inside / inside_pixels if inside_pixels else None,
        }
    }


def engine_facts(engine: Engine, grid: WindowGrid, scaling: Scaling, bands: Sequence[int]) -> dict[str, Any]:
    """How a model was run, as JSON values."""
    return {
        "window": grid.window,
        "overlap": grid.overlap,
        "scaling": scaling.to_json(),
        "bands": list(bands),
        **engine.parameters,
    }
