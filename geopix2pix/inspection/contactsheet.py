"""A contact sheet: some pairs of a tile set in one picture, each with its name and what is known of it."""

import io
import math
import unicodedata
from collections.abc import Sequence
from functools import cache
from random import Random

import numpy as np
import shapely
from PIL import Image, ImageDraw, ImageFont, ImageOps

from geopix2pix.inspection.findings import caption
from geopix2pix.inspection.summary import length
from geopix2pix.inspection.thumbnail import CHECK_LEVELS, legend, thumbnails
from geopix2pix.tilesets.splits import SPLITS
from geopix2pix.tilesets.tileindex import Tile
from geopix2pix.tilesets.tileset import TileSet

SIDE = 192  # pixels of a picture: two pairs with their classes beside each other fit a screen
GAP, GUTTER, MARGIN = 4, 28, 32  # between the pictures of a pair, between pairs, round the sheet
HEAD, LABEL, LINE = 64, 60, 18  # heights of the title and of what is written below a pair; from line to line
SWATCH = 12
SHAPE = 1.5  # of a sheet, width by height, as near as the pairs allow
MAX_COUNT = 400  # pairs: nobody looks at more in one picture
PAPER, INK, MUTED, EDGE = (251, 250, 248), (28, 30, 33), (92, 97, 102), (140, 140, 140)
PRINTED = frozenset(map(chr, range(32, 127))) | {"·"}  # letters of the font that comes with Pillow


def chosen(tiles: Sequence[Tile], count: int, *, seed: int = 0) -> list[Tile]:
    """At most `count` tiles, the same for the same seed: all splits in proportion, each spread over the ground.

    A split that has tiles gets one at least, if `count` allows.
    """
    parts = [part for split in SPLITS if (part := [tile for tile in tiles if tile.split == split])]
    phase = Random(seed).random()  # noqa: S311 - a choice of pictures
    shares = zip(map(_along_curve, parts), _allotted([len(part) for part in parts], count), strict=True)
    return [part[int((i + phase) * len(part) / n)] for part, n in shares for i in range(n)]


def doubtful(tiles: Sequence[Tile], count: int) -> list[Tile]:
    """The `count` tiles with the longest confident offsets, and the `count` least covered ones among the others."""
    measured = [(found, tile) for tile in tiles if (found := length(tile.offset)) is not None]
    longest = [tile for _, tile in sorted(measured, key=lambda pair: (-pair[0], pair[1].name))[:count]]
    named = {tile.name for tile in longest}
    partial = [tile for tile in tiles if tile.coverage < 1 and tile.name not in named]
    return longest + sorted(partial, key=lambda tile: (tile.coverage, tile.name))[:count]


def contact_sheet(tileset: TileSet, tiles: Sequence[Tile]) -> bytes:
    """A PNG of these tiles: source, target and, in maps of classes, the classes of each, with a legend.

    Raises:
        RasterError: a file of a tile cannot be read.
        ValueError: there are no tiles, or more than `MAX_COUNT`.
    """
    if not 1 <= len(tiles) <= MAX_COUNT:
        raise ValueError(f"a contact sheet of {len(tiles)} tiles; 1 to {MAX_COUNT} are possible")
    across, down = len(tileset.sides) * (SIDE + GAP) - GAP + GUTTER, SIDE + LABEL
    columns = min(len(tiles), max(1, round(math.sqrt(SHAPE * len(tiles) * down / across))))
    rows, inner = -(-len(tiles) // columns), columns * across - GUTTER
    foot, sides = _foot(tileset, inner), " · ".join(tileset.sides)
    sheet = Image.new("RGB", (inner + 2 * MARGIN, HEAD + rows * down + foot.height + 2 * MARGIN), PAPER)
    _write(sheet, (MARGIN, MARGIN - 6), 24, INK, tileset.folder.resolve().name, inner)
    _write(sheet, (MARGIN, MARGIN + 28), 13, MUTED, f"{len(tiles)} of {len(tileset.tiles):,} tiles: {sides}", inner)
    for i, tile in enumerate(tiles):
        x, y = MARGIN + i % columns * across, MARGIN + HEAD + i // columns * down
        for j, thumbnail in enumerate(thumbnails(tileset, tile, SIDE)):
            image = ImageOps.contain(thumbnail.image, (SIDE, SIDE), Image.Resampling.NEAREST)
            sheet.paste(image, (x + j * (SIDE + GAP), y))
        _write(sheet, (x, y + SIDE + 4), 14, INK, tile.name, across - GUTTER)
        _write(sheet, (x, y + SIDE + 4 + LINE), 13, MUTED, caption(tile), across - GUTTER)
    sheet.paste(foot, (MARGIN, MARGIN + HEAD + rows * down))
    with io.BytesIO() as file:
        sheet.save(file, "PNG")
        return file.getvalue()


def _allotted(sizes: Sequence[int], count: int) -> list[int]:
    """How many of `count` each part gets: by D'Hondt's method, but one each before any gets two."""
    given = [0] * len(sizes)
    for _ in range(min(count, sum(sizes))):
        left = [i for i, size in enumerate(sizes) if given[i] < size]
        given[max(left, key=lambda i: (given[i] == 0, sizes[i] / (given[i] + 1)))] += 1
    return given


def _along_curve(tiles: Sequence[Tile]) -> list[Tile]:
    """The tiles along a Z-order curve, on which most neighbours are neighbours on the ground too."""
    left, bottom, right, top = shapely.bounds(np.array([tile.footprint for tile in tiles], object)).T
    codes = np.zeros(len(tiles), np.int64)
    for axis, centres in enumerate((left + right, bottom + top)):
        steps = np.nan_to_num((centres - np.nanmin(centres)) / max(np.nanmax(centres) - np.nanmin(centres), 1e-9))
        for bit in range(10):
            codes |= ((steps * 1023).astype(np.int64) >> bit & 1) << (2 * bit + axis)
    order = sorted(range(len(tiles)), key=lambda i: (codes[i], tiles[i].name))
    return [tiles[i] for i in order]


def _foot(tileset: TileSet, width: int) -> Image.Image:
    """What the colours of the classes mean, in as many lines as needed."""
    unknown = (CHECK_LEVELS[0], CHECK_LEVELS[0], CHECK_LEVELS[0])
    entries = [*legend(tileset.about.palette), ("checkerboard: not known", unknown)]
    places, x, y = [], 0, 8
    for name, color in entries:
        text = _fitted(name, 13, width - SWATCH - 8)
        needed = SWATCH + 6 + int(_font(13).getlength(text))
        if x and x + needed > width:
            x, y = 0, y + LINE + 4
        places.append((x, y, text, color))
        x += needed + 20
    image = Image.new("RGB", (width, y + LINE), PAPER)
    for x, y, text, color in places:
        ImageDraw.Draw(image).rectangle((x, y, x + SWATCH, y + SWATCH), color, EDGE)
        _write(image, (x + SWATCH + 6, y - 2), 13, INK, text, width)
    return image


def _write(
    image: Image.Image, place: tuple[int, int], size: int, color: tuple[int, int, int], text: str, width: int
) -> None:
    ImageDraw.Draw(image).text(place, _fitted(text, size, width), color, _font(size))


def _fitted(text: str, size: int, width: int) -> str:
    """The text in letters that the font has, cut where it would be wider than `width` pixels."""
    decomposed = unicodedata.normalize("NFKD", text)
    plain = "".join(c if c in PRINTED else "?" for c in decomposed if not unicodedata.combining(c))
    if _font(size).getlength(plain) <= width:
        return plain
    fitting = next(
        (n for n in range(min(len(plain), width), 0, -1) if _font(size).getlength(plain[:n]) < width - size), 0
    )
    return plain[:fitting] + "..."


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
