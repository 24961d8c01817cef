"""The command `geopix2pix tiles inspect`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from . import options
from .report import Report

if TYPE_CHECKING:
    from geopix2pix.inspection.summary import Summary


def _named(*endings: str) -> Callable[..., Path | None]:
    """A click callback that takes paths with one of these endings only, so that no tile is written over by mistake."""

    def read(context: click.Context, parameter: click.Parameter, value: Path | None) -> Path | None:
        if value is not None and value.suffix.lower() not in endings:
            raise click.BadParameter(f"{str(value)!r} does not end in {' or '.join(endings)}", context, parameter)
        return value

    return read


@click.command()
@click.argument("folder", type=options.FILE)
@click.option("--page", type=options.FILE, callback=_named(".html", ".htm"), help="Write a page for any browser.")
@click.option("--sheet", type=options.FILE, callback=_named(".png"), help="Write a picture of some pairs.")
@click.option("--count", type=click.IntRange(1, 200), default=12, show_default=True, help="Pairs to show.")
@click.option(
    "--worst",
    type=click.IntRange(0, 100),
    default=3,
    show_default=True,
    help="Pairs to show beside them: so many of the longest offsets, and so many of the least known.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Another seed, other pairs.")
@options.as_json
@options.overwrite
@options.query
def inspect(
    folder: Path,
    *,
    page: Path | None,
    sheet: Path | None,
    count: int,
    worst: int,
    seed: int,
    as_json: bool,
    overwrite: bool,
    report: Report,
) -> None:
    """Show what the tile set FOLDER holds: tiles, splits, classes, offsets, and what is odd about it."""
    from geopix2pix.inspection.contactsheet import chosen, contact_sheet, doubtful
    from geopix2pix.inspection.page import html_page
    from geopix2pix.inspection.summary import inspect as summary_of
    from geopix2pix.output import check_target, write_bytes
    from geopix2pix.tilesets.tileset import TileSet

    tileset = TileSet.open(folder)
    for target in filter(None, (page, sheet)):
        check_target(target, overwrite=overwrite)
    odd = doubtful(tileset.tiles, worst)
    shown = {tile.name for tile in odd}
    others = chosen([tile for tile in tileset.tiles if tile.name not in shown], count, seed=seed)
    if page is not None:
        write_bytes(page, html_page(tileset, odd, others))
        report.result(page)
    if sheet is not None:
        write_bytes(sheet, contact_sheet(tileset, [*odd, *others]))
        report.result(sheet)
    if as_json:
        report.result(json.dumps(summary_of(tileset).to_json(), indent=2))
    elif page is None and sheet is None:
        report.result("\n".join(_lines(summary_of(tileset))))


def _lines(summary: "Summary") -> list[str]:
    from geopix2pix.inspection.findings import findings

    facts = [f"{name:18} {value}" for name, value in _facts(summary).items()]
    found = [f"{'worth knowing':18} {text}" for text in findings(summary)]
    return [_printable(line) for line in [*facts, *found, "", *_table(_splits(summary))]]


def _facts(summary: "Summary") -> dict[str, str]:
    from geopix2pix.inspection.findings import direction
    from geopix2pix.pages.phrases import area, many, percent

    whole, offsets, common = summary.whole, summary.offsets, summary.offsets.common
    sides = " x ".join(dict.fromkeys(f"{side:.3g}" for side in summary.resolution or ()))
    ground = "" if whole.area is None else f", {area(whole.area)}"
    files = list(dict.fromkeys(name for origin in summary.origins for name in origin.split("; ")))
    partial, shared = sum(summary.coverage[:-1]), f", {summary.overlap} of them shared with the next"
    facts = {
        "tile set": f"{summary.name}, written by geopix2pix {summary.package}",
        "tiles": f"{whole.tiles:,} of {summary.size} x {summary.size} pixels" + shared * (summary.overlap > 0),
        "place": summary.crs or "none: pictures that lie nowhere",
        "ground resolution": f"{sides} m per pixel" if sides else "unknown",
        "known": f"{percent(whole.known)} of {whole.pixels:,} pixels{ground}; {many(partial, 'tile')} below 90 %",
        "offsets": "not measured with confidence",
        "looked at": ", ".join(f"{reason} {count:,}" for reason, count in summary.counts.items()),
        "source bands": ", ".join(f"{name} {b.mean:.4g} +- {b.deviation:.4g}" for name, b in summary.bands.items()),
        "sources": many(len(files), "file") + f": {', '.join(files[:4])}" + ", ..." * (len(files) > 4),
        **{f"credit {i}": text for i, text in enumerate(summary.attributions, 1)},
    }
    if offsets.median is not None and offsets.ninetieth is not None:
        facts["offsets"] = (
            f"median {offsets.median:.2f} pixels, 90 % below {offsets.ninetieth:.2f}, {offsets.beyond:,} above "
            f"{offsets.limit:g}; confident in {offsets.confident:,} of {offsets.measured:,} tiles"
            + (f"; in common {direction(common)}" if common else "")
        )
    return facts


def _splits(summary: "Summary") -> list[list[str]]:
    from geopix2pix.pages.phrases import area, percent

    classes = list(summary.whole.shares)
    rows = [["split", "tiles", "known", "ground", *classes]]
    for name, part in [*summary.parts.items(), ("all", summary.whole)]:
        shares = (percent(part.shares.get(c, 0)) for c in classes)
        ground = "-" if part.area is None else area(part.area)
        rows.append([name, f"{part.tiles:,}", percent(part.known), ground, *shares])
    return rows


def _table(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def _printable(text: str) -> str:
    """A line without the terminal codes that names may hold."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
