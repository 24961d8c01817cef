"""One page of HTML on a tile set, to be opened in any browser without a network, and to be sent as it is."""

import json
from collections.abc import Sequence
from importlib.resources import files

from geopix2pix.inspection.findings import caption, direction, doubts, findings
from geopix2pix.inspection.footprintmap import map_figure, patterns, split_swatch
from geopix2pix.inspection.pagecharts import coverage_section, offsets_section, splits_section
from geopix2pix.inspection.summary import Summary, inspect, max_offset
from geopix2pix.inspection.thumbnail import legend, thumbnails
from geopix2pix.pages.charts import swatch
from geopix2pix.pages.document import document, masthead, picture, sections
from geopix2pix.pages.markup import Markup, element, joined, table
from geopix2pix.pages.phrases import area, many, percent
from geopix2pix.tilesets.tileindex import Tile
from geopix2pix.tilesets.tileset import PERCENTS, TileSet

PIXELS = 256  # of a picture's side: twice what a telephone shows it in
MAX_ROWS = 200  # of a table; the index has all tiles
TIMES = " \N{MULTIPLICATION SIGN} "
SWATCH_CELL = 4.0  # of twelve units of a swatch


def html_page(tileset: TileSet, odd: Sequence[Tile], others: Sequence[Tile]) -> bytes:
    """The page on a tile set; it shows the pairs of the `odd` tiles apart from those of the `others`.

    Raises:
        RasterError: a file of a tile that is shown cannot be read.
    """
    summary = inspect(tileset)
    figure, rules = map_figure(tileset)
    parts = {
        "Worth knowing": _findings(summary),
        "Map": figure,
        "Splits and classes": splits_section(summary, tileset.about.palette),
        "Offsets": offsets_section(summary, tileset.tiles),
        "Coverage": coverage_section(summary),
        "Pairs": _pairs(tileset, odd, others),
        "Tiles to look at": _doubtful(tileset),
        "Source": _source(summary),
        "How it was made": _made(tileset),
    }
    hidden = element("svg", patterns("fill", SWATCH_CELL), width=0, height=0, class_="hidden", aria_hidden="true")
    body = [hidden, _header(summary), sections(parts), _footer(summary)]
    return document(f"{summary.name} · tile set", body, style=_template("css") + rules, script=_template("js"))


def _template(kind: str) -> str:
    templates = files("geopix2pix.inspection").joinpath("templates")
    return templates.joinpath(f"inspection.{kind}").read_text(encoding="utf-8")


def _header(summary: Summary) -> Markup:
    whole, offsets = summary.whole, summary.offsets
    metres = TIMES.join(dict.fromkeys(f"{side:.3g}" for side in summary.resolution or ()))
    figures = [
        ("Tiles", f"{whole.tiles:,}", f"{summary.size}{TIMES}{summary.size} pixels" + f" of {metres} m" * bool(metres))
    ]
    if whole.area is not None:
        figures.append(("Ground", area(whole.area), "under known pixels"))
    figures.append(("Known", percent(whole.known), f"of {whole.pixels / 1e6:,.3g} million pixels"))
    if whole.shares:
        figures.append(
            ("Classes", str(len(whole.shares)), ", ".join(list(whole.shares)[:3]) + ", ..." * (len(whole.shares) > 3))
        )
    if offsets.median is not None:
        known = f"known in {offsets.confident:,} of {many(offsets.measured, 'tile')}"
        figures.append(("Median offset", f"{offsets.median:.1f} px", known))
    return masthead("Tile set", summary.name, summary.crs or "Pictures that lie nowhere", figures)


def _findings(summary: Summary) -> Markup:
    found = findings(summary)
    items = (element("li", text[0].upper() + text[1:] + ".") for text in found or ["nothing stands out"])
    return element("ul", *items, class_="findings" if found else "findings fine")


def _pairs(tileset: TileSet, odd: Sequence[Tile], others: Sequence[Tile]) -> Markup:
    sides = ", ".join(tileset.sides[:-1]) + " and " + tileset.sides[-1]
    named = (element("li", swatch(color), name) for name, color in legend(tileset.about.palette))
    groups = {"The longest offsets and the least known": odd, "A choice over all splits and places": others}
    return joined(
        [
            element(
                "p", f"From left to right: {sides}. A checkerboard means that nothing is known there.", class_="note"
            ),
            element("ul", *named, class_="legend always"),
            *(
                joined(
                    [element("h3", title), element("div", *(_pair(tileset, tile) for tile in tiles), class_="pairs")]
                )
                for title, tiles in groups.items()
                if tiles
            ),
        ]
    )


def _pair(tileset: TileSet, tile: Tile) -> Markup:
    pictures = (
        picture(thumbnail.image, f"{thumbnail.side} of {tile.name}") for thumbnail in thumbnails(tileset, tile, PIXELS)
    )
    text = element("figcaption", element("b", tile.name), caption(tile))
    return element("figure", element("div", *pictures, class_="pictures"), text)


def _doubtful(tileset: TileSet) -> Markup:
    limit = max_offset(tileset)
    rows = [(tile, found) for tile in tileset.tiles if (found := doubts(tile, limit))]
    if not rows:
        return element("p", "None: no tile has a note, a long offset or little that is known.")
    left = f" Here are the first {MAX_ROWS}; the index has all." if len(rows) > MAX_ROWS else ""
    return table(
        many(len(rows), "tile") + " with a note, a long offset or little that is known." + left,
        ("tile", "split", "why", "source"),
        [
            (
                tile.name,
                element("span", split_swatch(tile.split), tile.split, class_="split"),
                "; ".join(found),
                tile.origin,
            )
            for tile, found in rows[:MAX_ROWS]
        ],
    )


def _source(summary: Summary) -> Markup:
    bands = [
        (name, f"{band.mean:.4g}", f"{band.deviation:.4g}", *(f"{value:.4g}" for value in band.percentiles))
        for name, band in summary.bands.items()
    ]
    percents = [f"{percent:g} %" for percent in PERCENTS]
    origins = [
        (
            name or "unnamed",
            f"{origin.tiles:,}",
            direction(origin.common) if origin.common else "unsure",
        )
        for name, origin in summary.origins.items()
    ]
    named = [element("p", f"Credit: {text}") for text in summary.attributions]
    return joined(
        [
            table(
                "Known pixels of each band, in its own units",
                ("band", "mean", "deviation", *percents),
                bands,
                range(1, 8),
            ),
            table(
                "Source files" + f" (the first {MAX_ROWS} of {len(origins):,})" * (len(origins) > MAX_ROWS),
                ("file", "tiles", "its targets lie beside it"),
                origins[:MAX_ROWS],
                {1},
            ),
            *named,
        ]
    )


def _made(tileset: TileSet) -> Markup:
    about = tileset.about
    counts = [(reason, f"{count:,}") for reason, count in sorted(about.counts.items(), key=lambda item: -item[1])]
    asked = json.dumps(about.parameters, indent=2, ensure_ascii=False)
    versions = ", ".join(f"{name} {version}" for name, version in about.versions.items())
    return joined(
        [
            table("Places that were looked at", ("what became of them", "tiles"), counts, {1}),
            element("details", element("summary", "What was asked for"), element("pre", asked)),
            element("p", f"Written by geopix2pix {about.package} with {versions}.", class_="note"),
            element("p", f"SHA-256 of all tiles: {about.tiles_sha256}", class_="note"),
        ]
    )


def _footer(summary: Summary) -> Markup:
    return element("footer", "Made by geopix2pix tiles inspect. This page is one file and asks nothing of any network.")
