"""What the page shows as charts: classes by split, offsets, coverage."""

from collections.abc import Sequence

from geopix2pix.inspection.findings import direction
from geopix2pix.inspection.footprintmap import split_swatch
from geopix2pix.inspection.summary import OFFSET_EDGES, Summary, length
from geopix2pix.pages.charts import histogram, plane, stacked_bar, swatch
from geopix2pix.pages.markup import Markup, element, joined, table
from geopix2pix.pages.phrases import area, many, percent
from geopix2pix.palette import Palette
from geopix2pix.tilesets.tileindex import Split, Tile


def splits_section(summary: Summary, palette: Palette | None) -> Markup:
    """How many tiles each split has, and which classes."""
    parts = summary.parts
    rows = [
        (_split(split), f"{part.tiles:,}", percent(part.tiles / summary.whole.tiles), percent(part.known))
        + ((area(part.area),) if part.area is not None else ())
        for split, part in parts.items()
    ]
    head = ("split", "tiles", "share", "known") + (("ground",) if summary.whole.area is not None else ())
    counts = table("Tiles of each split", head, rows, range(1, 5))
    if palette is None:
        return counts
    colors = {c.name: c.display for c in palette.classes}
    bars = (
        joined([element("dt", _split(split)), element("dd", stacked_bar(part.shares, colors, f"Classes of {split}"))])
        for split, part in parts.items()
    )
    named = (element("li", swatch(color), name) for name, color in colors.items() if name in summary.whole.shares)
    classes = [
        (
            element("span", swatch(colors[name]), name, class_="split"),
            *(percent(part.shares.get(name, 0)) for part in parts.values()),
        )
        for name in summary.whole.shares
    ]
    return joined(
        [
            counts,
            element("h3", "Classes"),
            element("dl", *bars, class_="bars"),
            element("ul", *named, class_="legend always"),
            table("Share of the known pixels of each split", ("class", *parts), classes, range(1, 5)),
        ]
    )


def offsets_section(summary: Summary, tiles: Sequence[Tile]) -> Markup:
    """Where targets lie beside their sources."""
    offsets = summary.offsets
    if not offsets.confident:
        return element("p", f"Measured in {many(offsets.measured, 'tile')}, in none of them with confidence.")
    vectors = [(t.offset.cols, t.offset.rows) for t in tiles if t.offset is not None and length(t.offset) is not None]
    common = offsets.common
    together = f" What all have in common: {direction(common)}." if common else ""
    text = (
        f"Measured with confidence in {offsets.confident:,} of {many(offsets.measured, 'tile')}: half of them below "
        f"{offsets.median:.2f} pixels, nine tenths below {offsets.ninetieth:.2f}; {many(offsets.beyond, 'tile')} above "
        f"the limit of {offsets.limit:g}.{together}"
    )
    edges = [f"{edge:g}" for edge in OFFSET_EDGES[:-1]] + ["more"]
    beyond = next(i for i, edge in enumerate(OFFSET_EDGES) if edge >= offsets.limit)
    charts = (
        element(
            "figure",
            element("h3", "Length in pixels"),
            histogram(offsets.histogram, edges, "Histogram of the lengths of offsets", beyond),
        ),
        element(
            "figure",
            element("h3", "Right of the source (+) and below it (+), in pixels"),
            plane(vectors, offsets.limit, [common[:2]] if common else [], "Offsets in the plane"),
            element("figcaption", "A dot for each tile; dashed: the limit; ring: what all have in common."),
        ),
    )
    return joined([element("p", text), element("div", *charts, class_="two")])


def coverage_section(summary: Summary) -> Markup:
    """How much of the tiles is known."""
    edges = [f"{10 * i}" for i in range(10)] + ["100"]
    chart = histogram(summary.coverage, edges, "Histogram of the coverage of tiles")
    return joined([element("p", "Tiles by the share of their pixels, in percent, that is known on both sides."), chart])


def _split(split: Split) -> Markup:
    return element("span", split_swatch(split), split, class_="split")
