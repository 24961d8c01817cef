"""All that an evaluation found out, as one value, and how programs read it: JSON and CSV."""

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import StringIO
from typing import Any

from geopix2pix.measures.figures import MEASURES, Figures, Interval, Measure

IOU = "iou_"
"""How the names of the overlaps of single classes begin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TileEntry:
    """One judged pair."""

    name: str
    split: str
    group: str
    """The region or source it belongs to; "" where nothing tells."""
    scene: str
    """What it was translated with."""
    pixels: int
    known: int = 0
    """Pixels of which the target says something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One model, or the constant picture, on all tiles."""

    name: str
    is_constant: bool
    about: Mapping[str, Any]
    """Which model or which colour, and how it was run: JSON values."""
    total: Figures
    intervals: Mapping[str, Interval]
    groups: Mapping[str, Figures]
    """By group, if there are several."""
    tiles: Sequence[Figures]
    """In the order of the tiles."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """JSON values: the confusion of classes, calibration, border, stability, seams."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scoreboard:
    """What a report says."""

    pairs: str
    split: str
    classes: tuple[str, ...]
    """Those that the targets name; none for pictures."""
    complete: bool
    """Whether the targets name every class."""
    tiles: tuple[TileEntry, ...]
    rows: tuple[Row, ...]
    """The models, then the constant picture."""

    @property
    def measures(self) -> dict[str, Measure]:
        """What is in the table, in its order: all that is known of some row, the overlaps of classes last."""
        of_classes = {f"{IOU}{name}": Measure(f"IoU of {name}", "higher") for name in self.classes}
        known = {name for row in self.rows for name, value in row.total.items() if not math.isnan(value)}
        return {name: measure for name, measure in {**MEASURES, **of_classes}.items() if name in known}


def to_json(board: Scoreboard) -> str:
    """The scoreboard as JSON; what is not a number is null."""
    measures = {
        name: {"label": m.label, "better": m.better, "headline": m.headline} for name, m in board.measures.items()
    }
    rows = {
        row.name: {
            "constant": row.is_constant,
            **row.about,
            "total": {name: _score(row, name) for name in measures if name in row.total},
            "groups": row.groups,
            **row.details,
            "tiles": {tile.name: figures for tile, figures in zip(board.tiles, row.tiles, strict=True)},
        }
        for row in board.rows
    }
    document = {
        "pairs": board.pairs,
        "split": board.split,
        "classes": list(board.classes),
        "complete": board.complete,
        "measures": measures,
        "tiles": {
            tile.name: {name: getattr(tile, name) for name in ("split", "group", "scene", "pixels", "known")}
            for tile in board.tiles
        },
        "rows": rows,
    }
    return json.dumps(_finite(document), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _score(row: Row, name: str) -> dict[str, float]:
    low, high = row.intervals.get(name, (math.nan, math.nan))
    return {"value": row.total[name], "low": low, "high": high}


def _finite(value: Any) -> Any:
    """The same with None for numbers that JSON does not know."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value


def summary_csv(board: Scoreboard) -> str:
    """A line for each row and measure, over all tiles and for each group."""
    lines: list[Sequence[str]] = [("row", "group", "measure", "value", "low", "high")]
    for row in board.rows:
        for name in board.measures:
            if name in row.total:
                score = _score(row, name)
                lines.append((row.name, "", name, *(_number(score[k]) for k in ("value", "low", "high"))))
        for group, figures in row.groups.items():
            lines += [(row.name, group, name, _number(value), "", "") for name, value in figures.items()]
    return _csv(lines)


def tiles_csv(board: Scoreboard) -> str:
    """A line for each row and tile."""
    names = [name for name in board.measures if any(name in figures for row in board.rows for figures in row.tiles)]
    lines: list[Sequence[str]] = [("row", "tile", "split", "group", "scene", "pixels", "known", *names)]
    for row in board.rows:
        for tile, figures in zip(board.tiles, row.tiles, strict=True):
            values = (_number(figures.get(name, math.nan)) for name in names)
            about = (tile.name, tile.split, tile.group, tile.scene, str(tile.pixels), str(tile.known))
            lines.append((row.name, *about, *values))
    return _csv(lines)


def _csv(lines: Sequence[Sequence[str]]) -> str:
    text = StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()


def _number(value: float) -> str:
    return f"{value:.6g}" if math.isfinite(value) else ""
