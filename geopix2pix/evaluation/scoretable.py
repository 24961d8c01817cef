"""An evaluation as a table of text for people, which says itself what it means."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from geopix2pix.evaluation.scoreboard import IOU, Row, Scoreboard
from geopix2pix.measures.figures import Measure

LABEL, COLUMN = 30, 28  # letters


def table(board: Scoreboard) -> str:
    """The figures for people: a line for each measure, a column for each row, and what they mean."""
    return "\n".join(_lines(board))


def _lines(board: Scoreboard) -> Iterator[str]:
    known = sum(tile.known for tile in board.tiles) / sum(tile.pixels for tile in board.tiles)
    yield f"{len(board.tiles)} tiles of {board.pairs}, split {board.split}; {known:.1%} of their pixels are known"
    yield ""
    columns = [_cut(row.name, COLUMN - 2) for row in board.rows]
    yield f"{'':{LABEL}}better  " + "".join(f"{name:{COLUMN}}" for name in columns).rstrip()
    for name, measure in board.measures.items():
        star = "* " if measure.headline else "  "
        cells = "".join(f"{_cell(row, name, measure):{COLUMN}}" for row in board.rows)
        yield f"{star}{_cut(measure.label, LABEL - 3):{LABEL - 2}}{measure.better:8}{cells}".rstrip()
    yield ""
    yield "In brackets: 95 % intervals by a bootstrap over the tiles, which says nothing of other regions."
    yield "* No picture of one colour can win these. All others can mislead where one colour is common:"
    yield _won(board)
    if not any(math.isfinite(row.total.get("kid", math.nan)) for row in board.rows):
        yield "KID, a headline measure too, was not taken: it needs the weights of a network and four tiles or more."
    if not board.complete:
        yield "The targets name only some classes: the IoU is that of each of them against everything else."
    yield from _groups(board)
    yield from _stability(board)


def _cell(row: Row, name: str, measure: Measure) -> str:
    value = row.total.get(name, math.nan)
    if math.isnan(value):
        return "-"
    low, high = row.intervals.get(name, (math.nan, math.nan))
    digits = measure.digits
    around = f" ({low:.{digits}f} to {high:.{digits}f})" if not math.isnan(low) else ""
    return f"{value:.{digits}f}{around}"


def _won(board: Scoreboard) -> str:
    """By which measures the constant picture is the best of all."""
    constants = [row for row in board.rows if row.is_constant]
    models = [row for row in board.rows if not row.is_constant]
    won = []
    for name, measure in board.measures.items():
        sign = {"higher": 1, "lower": -1}.get(measure.better)
        if sign is None or not constants or name.startswith(IOU):
            continue
        best = [max(sign * row.total.get(name, math.nan) for row in rows) for rows in (constants, models)]
        if best[0] > best[1]:
            won.append(measure.label)
    return f"  here the constant picture is the best by {'; '.join(won)}." if won else "  here it wins none of them."


def _groups(board: Scoreboard) -> Iterator[str]:
    if not any(row.groups for row in board.rows):
        return
    headlines = {name: m for name, m in board.measures.items() if m.headline} | {
        name: m for name, m in board.measures.items() if name in ("palette_accuracy", "l1")
    }
    for row in board.rows:
        if row.is_constant:
            continue
        yield ""
        yield f"{_cut('by group: ' + row.name, LABEL - 2):{LABEL}}" + "  ".join(m.label for m in headlines.values())
        for group, figures in row.groups.items():
            cells = (
                f"{figures[name]:{len(m.label)}.{m.digits}f}" if name in figures else f"{'-':>{len(m.label)}}"
                for name, m in headlines.items()
            )
            yield f"  {_cut(group, LABEL - 4):{LABEL - 2}}" + "  ".join(cells)


def _stability(board: Scoreboard) -> Iterator[str]:
    """One line for each model on what it does beside being right or wrong."""
    for row in board.rows:
        flat, modes = row.details.get("flatness"), row.details.get("train_eval")
        if not flat:
            continue
        yield ""
        yield f"{row.name}:"
        one = "one colour, as it should" if flat["passed"] else f"{flat['colors']} colours instead of one"
        yield f"  scenes of one colour become {one} (spread {flat['spread']:.2f} levels)"
        if modes:
            changed = "" if modes["changed"] is None else f", {modes['changed']:.1%} of the pixels of another class"
            yield f"  in training mode the map is another by {modes['difference']:.2f} levels{changed}"
        if seams := row.details.get("seams"):
            yield f"  {_seam_line(seams)}"


def _seam_line(seams: Mapping[str, Any]) -> str:
    if "not_measured" in seams:
        return f"seams were not measured: {seams['not_measured']}"
    found = seams["blended_by_stride"]
    excess = round(found["gradient_excess"], 3) + 0.0  # not -0.000
    changed = "" if found["changed"] is None else f", {found['changed']:.2%} of the pixels change their class"
    return (
        f"moving the windows: gradient at seams {excess:.3f} levels, 99.9 % of the pixels change by "
        f"at most {found['difference']:.1f} levels{changed}"
    )


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"
