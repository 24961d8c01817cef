"""What `geopix2pix translate` does with many scenes: the work, its plan, and tables of both."""

import io
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .report import Report
from .session import MENDABLE

if TYPE_CHECKING:
    from geopix2pix.forecast import Foreseen
    from geopix2pix.ledger import Outcome

ROWS = 40
"""So many scenes fit on a screen; of more only those that want attention are listed."""


def many(sources: Sequence[str], folder: Path, report: Report, *, dry_run: bool, **values: Any) -> None:
    """Translate scenes into a folder, or tell what that would be. The exit code is 1 if one fails."""
    from geopix2pix.batch import batch_of
    from geopix2pix.forecast import foreseen
    from geopix2pix.many import translate_all

    batch = batch_of(sources, folder, **values)
    if dry_run:
        scenes = foreseen(batch, report, apart=True)
        report.plan(_foretold(scenes), {"scenes": [scene.to_json() for scene in scenes]})
        is_good = all(scene.size is not None for scene in scenes)
    else:
        summary = translate_all(batch, report, apart=True)
        report.text(_told(summary.outcomes))
        if unshown := summary.unshown:
            more = f"; {len(unshown) - 1} more are named in {summary.path}" if len(unshown) > 1 else ""
            report.warning(f"{unshown[0]}, so that it is in no mosaic{more}")
        report.result(summary.path, counts=summary.counts)
        is_good = summary.is_good
    if not is_good:
        raise SystemExit(MENDABLE)


def _told(outcomes: Sequence["Outcome"]) -> str:
    rows = [
        (o.name, o.status, duration(o.seconds), str(len(o.warnings) or ""), _without(o.error, o.source))
        for o in outcomes
        if len(outcomes) <= ROWS or o.error
    ]
    counted = {status: sum(o.status == status for o in outcomes) for status in ("made", "kept", "empty", "failed")}
    sum_line = ", ".join(f"{number} {status}" for status, number in counted.items() if number)
    return _table(("scene", "", "time", "warnings", "why"), rows) + f"{len(outcomes)} scenes: {sum_line}"


def _foretold(scenes: Sequence["Foreseen"]) -> str:
    rows = []
    for scene in scenes[:ROWS]:
        needs = scene.needs
        if scene.size is None or needs is None:
            state = "would fail" if scene.size is None else "is there"
            rows.append((scene.name, state, "", "", "", _without(scene.error, scene.source)))
        else:
            across = "{} x {}".format(*scene.size)
            time = "" if needs.seconds is None else duration(needs.seconds)
            rows.append((scene.name, across, str(needs.windows), time, size(needs.disk_bytes), ""))
    more = f"and {len(scenes) - ROWS} more\n" if len(scenes) > ROWS else ""
    table = _table(("scene", "pixels", "windows", "time", "disk", "why"), rows)
    return table + more + "\n".join(f"{topic:10} {text}" for topic, text in _needed(scenes).items())


def _needed(scenes: Sequence["Foreseen"]) -> dict[str, str]:
    """What all scenes need together, by topic."""
    needs = [scene.needs for scene in scenes if scene.needs is not None]
    times = [need.seconds for need in needs if need.seconds is not None]
    each = next((f"{need.window_seconds:.3g} s" for need in needs if need.window_seconds is not None), "unknown")
    memory = max((need.memory_bytes for need in needs if need.memory_bytes is not None), default=None)
    there = sum(scene.size is not None and scene.needs is None for scene in scenes)
    failed = sum(scene.size is None for scene in scenes)
    return {
        "scenes": f"{len(needs)} to translate, {there} there already, {failed} that would fail",
        "time": f"about {duration(sum(times))} to compute, {each} for a window, as tried here and now; opening scenes "
        "and finishing files comes on top",
        "memory": "unknown" if memory is None else f"about {size(memory)}, whatever the number of scenes",
        "disk": f"{size(sum(need.disk_bytes for need in needs))} before compression"
        + (f", {size(needs[0].free_bytes)} free" if needs else ""),
    }


def _without(error: str | None, source: str) -> str:
    """An error without the path that the row of the table is about."""
    return "" if error is None else error.removeprefix(f"{source}: ")


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rows = [[_printable(cell) for cell in row] for row in rows]
    if not rows:
        return ""
    table = Table(box=SIMPLE, show_edge=False, pad_edge=False)
    for number, head in enumerate(heads):
        if head in ("time", "windows", "warnings", "disk"):
            table.add_column(head, justify="right", no_wrap=True)
        elif any(row[number] for row in rows):
            table.add_column(head, overflow="fold")
        else:
            table.add_column("", width=0)
    for row in rows:
        table.add_row(*map(Text, row))
    width = max(80, shutil.get_terminal_size((120, 24)).columns)
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines()) + "\n"


def _printable(text: str) -> str:
    """Names of files may hold line breaks and terminal codes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def duration(seconds: float) -> str:
    """A span of time to two digits."""
    for length, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * length:
            return f"{seconds / length:.2g} {unit}"
    return f"{seconds:.2g} s"


def size(number: int) -> str:
    """A number of bytes to three digits."""
    for power, unit in ((30, "GiB"), (20, "MiB")):
        if number >= 2**power:
            return f"{number / 2**power:.3g} {unit}"
    return f"{number / 2**10:.3g} KiB"
