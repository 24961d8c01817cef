"""A map of the footprints of a tile set, coloured by what is chosen, in light SVG: 20 000 tiles are three megabytes."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import shapely

from geopix2pix.inspection.findings import caption
from geopix2pix.inspection.summary import OFFSET_EDGES, length
from geopix2pix.pages.charts import hexadecimal, swatch
from geopix2pix.pages.markup import Markup, element, joined
from geopix2pix.palette import Palette
from geopix2pix.tilesets.tileindex import Split, Tile
from geopix2pix.tilesets.tileset import TileSet

TILE = 20  # units of the drawing along the side of a tile: enough for rotated ones, and short to write
MAX_EXTENT = 20_000  # units: more than a screen has pixels
SMALL = 0.012  # of the extent: tiles below this side get no gaps between them, which would leave nothing to see
CELLS = 75  # of the stripes and dots, along the extent
LETTERS: dict[Split, str] = {"train": "t", "validation": "v", "test": "s", "unused": "u"}
DIGITS = "0123456789abcdefghijklmnopqrstuv"  # as many as a palette can have classes
NONE = "-"
SPLIT, COVERAGE, OFFSET, MAIN, SHARES = range(5)
"""Where in the marks of a tile a letter stands for each; from `SHARES` on there is one for each class."""
STEPS = ("#00204d", "#0e3371", "#36476b", "#575d6d", "#6f7073", "#898678", "#a69d75", "#c3b369", "#e4cf5b", "#ffea46")
"""Cividis, which colour-blind eyes see alike (Nuñez, Anderton and Renslow, PLOS ONE 13(7), 2018), in ten steps."""


class FootprintMap(NamedTuple):
    """Footprints in the plane of their CRS, north up."""

    svg: Markup
    """Each tile with a tooltip and with its `marks`."""
    width: float
    """Of the drawing, in units of the CRS."""
    height: float


def map_figure(tileset: TileSet) -> tuple[Markup, str]:
    """The map with its choice of colours and its legends, and the rules of style that belong to it."""
    tiles, palette = tileset.tiles, tileset.about.palette
    classes = palette.names if palette else ()
    found = footprint_map(tiles, classes)
    if found is None:
        return element("p", "No tile has a footprint."), ""
    foot, rule = _foot(tileset, found)
    figure = element(
        "figure",
        _choices(palette, any(tile.offset for tile in tiles)),
        element("div", element("div", found.svg, foot, class_="frame"), class_="plot"),
        element("p", "Point at a tile, or tap it, to read what is known of it.", class_="said note"),
        *_legends(tiles, palette),
        class_="map",
        data_scale="s",
    )
    steps = [f".c{DIGITS[i]},.o{DIGITS[i]},.q{DIGITS[i]}{{fill:{color}}}" for i, color in enumerate(STEPS)]
    named = [
        f".k{DIGITS[i]}{{fill:{hexadecimal(c.display)}}}" for i, c in enumerate(palette.classes if palette else ())
    ]
    aspect = found.width / found.height
    frame = f".frame{{width:min(100%,{80 * aspect:.1f}vh)}}"  # never higher than what a screen shows at once
    return figure, "\n".join([*steps, *named, frame, rule])


def footprint_map(tiles: Sequence[Tile], classes: Sequence[str]) -> FootprintMap | None:
    """The footprints of tiles; None where no tile has one."""
    footprints = np.array([tile.footprint for tile in tiles], object)
    bounds = shapely.bounds(footprints).reshape(-1, 4)
    if not np.isfinite(bounds).any():
        return None
    left, bottom, right, top = (float(edge) for edge in shapely.total_bounds(footprints))
    extent, side = max(right - left, top - bottom), float(np.nanmedian(bounds[:, 2] - bounds[:, 0]))
    unit = max(side / TILE, extent / MAX_EXTENT)
    paths = (
        element(
            "path",
            element("title", f"{tile.name} · {caption(tile)}"),
            class_=f"s{LETTERS[tile.split]}",
            d=_path((shapely.get_coordinates(tile.footprint.exterior) - (left, top)) / (unit, -unit)),
            data_m=marks(tile, classes),
        )
        for tile in tiles
        if not tile.footprint.is_empty
    )
    width, height = (right - left) / unit, (top - bottom) / unit
    svg = element(
        "svg",
        patterns("map", extent / unit / CELLS),
        *paths,
        viewBox=f"-2 -2 {width + 4:.0f} {height + 4:.0f}",
        class_="tiles small" if side < SMALL * extent else "tiles",
        role="img",
        aria_label=f"Map of the footprints of {len(tiles):,} tiles, north up",
    )
    return FootprintMap(svg, right - left + 4 * unit, top - bottom + 4 * unit)


def marks(tile: Tile, classes: Sequence[str]) -> str:
    """A letter each for its split, its tenth of coverage, the step of its offset, its largest class, and the tenth of
    the square root of each share; `NONE` where it has none.
    """
    offset, main = length(tile.offset), max(tile.shares, key=lambda name: tile.shares[name], default="")
    return "".join(
        [
            LETTERS[tile.split],
            _tenth(tile.coverage),
            NONE if offset is None else DIGITS[int(np.searchsorted(OFFSET_EDGES, offset, "right")) - 1],
            DIGITS[classes.index(main)] if main in classes else NONE,
            *(_tenth(math.sqrt(tile.shares[name])) if name in tile.shares else NONE for name in classes),
        ]
    )


def patterns(name: str, cell: float) -> Markup:
    """Stripes for validation and dots for test, in cells of that size: who does not tell their colours tells these."""
    figures = {
        "v": element("path", d=f"M0 {cell:.2f}L{cell:.2f} 0", class_="stripe", stroke_width=cell / 6),
        "s": element("circle", cx=cell / 2, cy=cell / 2, r=cell / 5, class_="dot"),
    }
    size = {"width": cell, "height": cell}
    return element(
        "defs",
        *(
            element(
                "pattern",
                element("rect", class_=f"base-{letter}", **size),
                figure,
                id=f"{name}-{letter}",
                patternUnits="userSpaceOnUse",
                **size,
            )
            for letter, figure in figures.items()
        ),
    )


def _choices(palette: Palette | None, measured: bool) -> Markup:
    """What the map can be coloured by; each choice names a scale of colours and the place of its mark."""
    choices = [_choice("Split", "s", SPLIT), _choice("Coverage", "c", COVERAGE)]
    if measured:
        choices.append(_choice("Offset", "o", OFFSET))
    if palette is not None:
        choices += [_choice("Main class", "k", MAIN)] * (len(palette.knows) > 1)
        choices.append(element("span", "Share of", class_="of"))
        named = ((c, SHARES + i) for i, c in enumerate(palette.classes) if c.name in palette.knows)
        choices += [_choice(joined([swatch(c.display), c.name]), "q", at) for c, at in named]
    return element("form", *choices, hidden="", autocomplete="off", role="radiogroup", aria_label="Colour the map by")


def _choice(text: str, scale: str, at: int) -> Markup:
    checked = "" if at == SPLIT else None
    return element(
        "label", element("input", type="radio", name="by", data_scale=scale, data_at=at, checked=checked), text
    )


def _legends(tiles: Sequence[Tile], palette: Palette | None) -> Iterable[Markup]:
    """What the colours of each scale mean; the page shows the one that is in use."""
    counts = {split: sum(tile.split == split for tile in tiles) for split in LETTERS}
    splits = [element("li", split_swatch(split), f"{split} ({n:,})") for split, n in counts.items() if n]
    hollow = element(
        "li",
        element("svg", element("rect", width=12, height=12, class_="c-"), viewBox="0 0 12 12", class_="swatch"),
        "not known",
    )
    yield element("ul", *splits, class_="legend legend-s")
    yield element("ul", _ramp("c", "0 %", "100 %"), hollow, class_="legend legend-c")
    yield element("ul", _ramp("o", "0", f"{OFFSET_EDGES[-2]:g} pixels or more"), hollow, class_="legend legend-o")
    if palette is not None:
        yield element("ul", _ramp("q", "0 %", "100 %, 25 % in the middle"), hollow, class_="legend legend-q")
        named = [element("li", swatch(c.display), c.name) for c in palette.classes if c.name in palette.knows]
        yield element("ul", *named, hollow, class_="legend legend-k")


def split_swatch(split: Split) -> Markup:
    square = element("rect", width=12, height=12, class_=f"s{LETTERS[split]}")
    return element("svg", square, viewBox="0 0 12 12", class_="swatch", aria_hidden="true")


def _ramp(scale: str, low: str, high: str) -> Markup:
    steps = (element("rect", x=12 * i, width=12, height=12, class_=f"{scale}{DIGITS[i]}") for i in range(len(STEPS)))
    bar = element("svg", *steps, viewBox=f"0 0 {12 * len(STEPS)} 12", class_="ramp", aria_hidden="true")
    return element("li", low, bar, high)


def _foot(tileset: TileSet, found: FootprintMap) -> tuple[Markup, str]:
    """A bar of a round length on the ground with what the map shows, and the rule that gives it its length."""
    grid, sides = tileset.about.grid, tileset.about.ground_resolution
    if grid is None:
        return element("div", "Pictures that lie nowhere, side by side", class_="foot"), ""
    if sides is None:
        return element("div", "North is up", class_="foot"), ""
    metres = found.width * sides[0] / math.hypot(grid.transform.a, grid.transform.d)
    power = 10 ** math.floor(math.log10(metres / 4))
    bar = max(step * power for step in (1, 2, 5) if step * power <= metres / 4)
    text = f"{bar / 1000:g} km" if bar >= 1000 else f"{bar:g} m"
    foot = element("div", element("span", class_="scale"), text, element("span", "North is up"), class_="foot")
    return foot, f".scale{{width:{100 * bar / metres:.3f}%}}"


def _tenth(share: float) -> str:
    return DIGITS[min(max(int(share * 10), 0), 9)]


def _path(corners: npt.NDArray[np.float64]) -> str:
    """A closed ring in whole units, from corner to corner: neighbours share their borders exactly."""
    ring = np.rint(corners).astype(np.int64)
    steps = (
        f"h{dx}" if dy == 0 else f"v{dy}" if dx == 0 else f"l{dx} {dy}"
        for dx, dy in np.diff(ring, axis=0)[:-1].tolist()
    )
    return f"M{ring[0, 0]} {ring[0, 1]}{''.join(steps)}z"
