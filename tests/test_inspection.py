"""What is said and shown of a tile set: numbers that add up, pictures that show the pixels, a page that is one file."""

import base64
import hashlib
import io
import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import shapely
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from rasterio.crs import CRS

from cli.main import main
from geopix2pix import labels
from geopix2pix.geogrid import GeoGrid
from geopix2pix.grid import Window
from geopix2pix.inspection.contactsheet import HEAD, MARGIN, SIDE, chosen, contact_sheet, doubtful
from geopix2pix.inspection.findings import caption, doubts, findings
from geopix2pix.inspection.footprintmap import NONE, SHARES, footprint_map, map_figure, marks
from geopix2pix.inspection.page import html_page
from geopix2pix.inspection.summary import OFFSET_EDGES, inspect, kinds
from geopix2pix.inspection.thumbnail import CHECK_LEVELS, label_colors, shown_bands, thumbnails
from geopix2pix.pages.markup import Markup, element
from geopix2pix.pages.phrases import percent
from geopix2pix.palette import Palette
from geopix2pix.registration import Offset
from geopix2pix.tilesets.tileindex import Tile
from geopix2pix.tilesets.tileset import PERCENTS, BandStatistics, Content, Description, TileSet, digest
from tests.rasters import coordinates, write_raster

GRID = GeoGrid.anchored(CRS.from_epsg(32633), 0.5, (500_000.0, 5_000_000.0))
PALETTE = {
    "classes": [
        {"name": "land", "color": "808000", "display": "F2EFE9"},
        {"name": "road", "color": "FF0000", "display": "FFFFFF"},
        {"name": "water", "color": "0000FF", "display": "AAD3DF"},
    ]
}
SPLITS = ("train", "train", "train", "train", "validation", "validation", "test", "unused")
HOSTILE = '"><script>alert(1)</script><img src=http://example.invalid/x onerror=alert(2)>&amp;\x1b[31m'


def tile_set(
    folder: Path,
    *,
    columns: int = 4,
    rows: int = 3,
    size: int = 32,
    dtype: str = "uint8",
    bands: Sequence[str] = ("red", "green", "blue"),
    palette: dict[str, Any] | None = PALETTE,
    grid: GeoGrid | None = GRID,
) -> TileSet:
    """A set on disk whose sources are cut from one raster of coordinates; the left of each third map is unknown."""
    rng = np.random.default_rng(5)
    read = Palette.from_json(palette, "here") if palette else None
    whole = coordinates(len(bands), rows * size, columns * size, dtype)
    if dtype != "uint8":
        whole = whole * 100
    for side in ("source", "target", "classes"):
        (folder / side).mkdir(parents=True)
    tiles = []
    for number, (row, column) in enumerate(np.ndindex(rows, columns)):
        window, name = Window(column * size, row * size, size, size), f"c{column:03}r{row:03}"
        source, known = whole[(slice(None), *window.slices)], np.ones((size, size), bool)
        known[:, : number % 3 * size // 4] = False
        label = np.where(known, rng.choice(3, (size, size), p=(0.6, 0.3, 0.1)), labels.UNKNOWN).astype(np.uint8)
        target = label_colors(read)[label].transpose(2, 0, 1) if read else source[:1]
        write_raster(folder / "source" / f"{name}.tif", source)
        write_raster(folder / "target" / f"{name}.tif", target, mask=known)
        write_raster(folder / "classes" / f"{name}.tif", label[None])
        tiles.append(
            Tile(
                name=name,
                split=SPLITS[number % len(SPLITS)],
                window=window,
                footprint=shapely.box(*(grid or GRID).bounds(window)),
                origin="a.tif" if row else "b.tif",
                coverage=float(known.mean()),
                offset=Offset(0.25 * number, 0.0, 0.9),
                note="",
                shares=labels.shares(label, read, known) if read else {},
                means=tuple(source.mean((1, 2)).tolist()),
                deviations=tuple(source.std((1, 2)).tolist()),
                sha256=hashlib.sha256(source.tobytes()).hexdigest(),
            )
        )
    about = Description(
        package="0.0.1",
        grid=grid,
        size=size,
        overlap=0,
        source=Content(names=tuple(bands), dtype=dtype, statistics=tuple(map(statistics, whole))),
        target=Content(names=("red", "green", "blue") if read else ("band 1",), dtype="uint8", statistics=()),
        palette=read,
        ground_resolution=(0.5, 0.5) if grid else None,
        counts={"kept": len(tiles), "coverage too small": 7},
        parameters={"max_offset": 2.0, "source": {"files": ["a.tif", "b.tif"]}},
        attributions=("Nobody, CC0",),
        versions={"rasterio": "1"},
        tiles_sha256=digest(tiles),
    )
    found = TileSet(folder, about, tuple(tiles))
    found.write()
    return found


def statistics(band: np.ndarray) -> BandStatistics:
    at = tuple(np.percentile(band, PERCENTS).tolist())
    return BandStatistics(mean=float(band.mean()), deviation=float(band.std()), percentiles=at)


@pytest.fixture(scope="module")
def streets(tmp_path_factory: pytest.TempPathFactory) -> TileSet:
    return tile_set(tmp_path_factory.mktemp("inspection") / "streets")


def hostile(found: TileSet) -> TileSet:
    """A set in which whatever is free text attacks who shows it."""
    assert found.about.palette is not None
    classes = [replace(c, name=f"{c.name}{HOSTILE}") for c in found.about.palette.classes]
    tiles = [
        replace(
            tile,
            origin=f"{HOSTILE}.tif",
            note=HOSTILE,
            shares={f"{name}{HOSTILE}": share for name, share in tile.shares.items()},
        )
        for tile in found.tiles
    ]
    about = replace(
        found.about,
        palette=replace(found.about.palette, classes=tuple(classes), knows=tuple(c.name for c in classes)),
        source=replace(found.about.source, names=(HOSTILE, "b", "c")),
        parameters={HOSTILE: HOSTILE},
        counts={HOSTILE: 1},
        versions={HOSTILE: HOSTILE},
        attributions=(HOSTILE,),
    )
    return TileSet(found.folder, about, tuple(tiles))


class Elements(HTMLParser):
    """The elements of a page: their names and attributes, and the text in it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


# What is said.


@given(st.floats(0, 1))
def test_a_share_is_not_shown_as_nothing_or_all_unless_it_is(share: float) -> None:
    shown = percent(share)
    assert (shown == "0 %") == (share == 0)
    assert (shown == "100 %") == (share == 1)


def test_splits_add_up_to_the_whole(streets: TileSet) -> None:
    summary = inspect(streets)
    parts = list(summary.parts.values())
    assert summary.whole.tiles == sum(part.tiles for part in parts) == len(streets.tiles)
    assert summary.whole.pixels == sum(part.pixels for part in parts) == len(streets.tiles) * 32 * 32
    assert summary.whole.area == pytest.approx(sum(part.area or 0 for part in parts))
    assert sum(summary.coverage) == len(streets.tiles)
    assert sum(summary.offsets.histogram) == summary.offsets.confident == len(streets.tiles)
    assert summary.origins["a.tif"].tiles + summary.origins["b.tif"].tiles == len(streets.tiles)


def test_class_shares_are_those_of_all_known_pixels(streets: TileSet) -> None:
    summary = inspect(streets)
    rasters = {tile.name: np.asarray(Image.open(streets.path("classes", tile))) for tile in streets.tiles}
    for part, tiles in [
        (summary.whole, streets.tiles),
        *((part, [t for t in streets.tiles if t.split == split]) for split, part in summary.parts.items()),
    ]:
        pixels = np.concatenate([rasters[tile.name].ravel() for tile in tiles])
        known = pixels[pixels != labels.UNKNOWN]
        assert part.known == pytest.approx(known.size / pixels.size)
        assert part.area == pytest.approx(known.size * 0.25)
        for index, name in enumerate(("land", "road", "water")):
            assert part.shares[name] == pytest.approx((known == index).mean())


def test_the_order_of_the_tiles_does_not_matter(streets: TileSet) -> None:
    turned = streets._replace(tiles=streets.tiles[::-1])
    assert inspect(turned).to_json() == inspect(streets).to_json()
    assert [tile.name for tile in chosen(turned.tiles, 5, seed=3)] == [t.name for t in chosen(streets.tiles, 5, seed=3)]


def test_offsets_of_little_confidence_are_not_counted(streets: TileSet) -> None:
    before = inspect(streets).offsets
    unsure = replace(streets.tiles[0], name="unsure", offset=Offset(15.0, -15.0, 0.1))
    unmeasured = replace(streets.tiles[0], name="unmeasured", offset=None)
    after = inspect(streets._replace(tiles=(*streets.tiles, unsure, unmeasured))).offsets
    assert after.measured == before.measured + 1
    assert replace(after, measured=before.measured, common=before.common) == before


def test_offsets_beyond_the_limit_are_named_the_longest_first(streets: TileSet) -> None:
    offsets = inspect(streets).offsets
    assert offsets.limit == 2.0
    assert offsets.worst == ("c003r002", "c002r002", "c001r002")  # 2.75, 2.5 and 2.25 pixels; 2.0 is not above 2
    assert offsets.beyond == 3
    assert offsets.median == pytest.approx(np.median(np.arange(12) / 4))
    assert offsets.ninetieth == pytest.approx(np.percentile(np.arange(12) / 4, 90))
    assert sum(offsets.histogram[OFFSET_EDGES.index(3.0) :]) == 0


def test_a_common_offset_of_a_source_is_told(streets: TileSet) -> None:
    tiles = [replace(t, offset=Offset(-3.0, 0.5, 0.9)) if t.origin == "b.tif" else t for t in streets.tiles]
    summary = inspect(streets._replace(tiles=tuple(tiles)))
    assert summary.origins["b.tif"].common is not None
    assert "the targets of b.tif lie beside it: 3.0 pixels left, 0.5 below" in findings(summary)


def test_what_is_odd_is_found(streets: TileSet) -> None:
    fine = [replace(tile, coverage=1.0, offset=Offset(0.1, 0.0, 0.9), shares={}) for tile in streets.tiles]
    assert findings(inspect(streets._replace(tiles=tuple(fine)))) == []
    odd = [replace(fine[0], note=f"duplicate of {fine[1].name}; constant target"), replace(fine[1], coverage=0.3)]
    odd = [replace(tile, split="train") for tile in (*odd, *fine[2:])]
    summary = inspect(streets._replace(tiles=tuple(odd)))
    assert summary.notes == {"duplicate": 1, "constant target": 1}
    told = "\n".join(findings(summary))
    for part in ("no tile is for validation", "1 tile noted: duplicate", "1 tile less than 50 % known"):
        assert part in told
    assert doubts(odd[0], 2.0) == [odd[0].note]
    assert doubts(odd[1], 2.0) == ["30 % known"]
    assert doubts(replace(fine[2], offset=Offset(0, 2.5, 0.9)), 2.0) == ["offset of 2.5 pixels"]
    assert doubts(fine[2], 2.0) == []


def test_kinds_of_notes_are_without_names_and_numbers() -> None:
    assert kinds("") == []
    note = "duplicate of a of b; constant target; target moved by 1.00, 2.00 pixels"
    assert kinds(note) == ["duplicate", "constant target", "target moved"]


def test_a_set_that_lies_nowhere_has_no_ground(tmp_path: Path) -> None:
    found = tile_set(tmp_path / "set", grid=None, palette=None)
    summary = inspect(found)
    assert (summary.crs, summary.resolution, summary.whole.area, summary.whole.shares) == (None, None, None, {})
    assert b"Pictures that lie nowhere" in html_page(found, [], found.tiles[:2])


# What is shown of a tile.


def test_a_thumbnail_shows_the_pixels_where_they_are_known(streets: TileSet) -> None:
    for tile in streets.tiles[:3]:
        source, target, classes = (np.asarray(shown.image) for shown in thumbnails(streets, tile, 32))
        stored = coordinates(3, 96, 128, "uint8")[(slice(None), *tile.window.slices)]
        assert np.array_equal(source, stored.transpose(1, 2, 0))
        label = np.asarray(Image.open(streets.path("classes", tile)))
        known = label != labels.UNKNOWN
        assert streets.about.palette is not None
        colors = streets.about.palette.display
        for picture in (target, classes):
            assert np.array_equal(picture[known], colors[label[known]])
            assert set(map(tuple, picture[~known].tolist())) <= {(level,) * 3 for level in CHECK_LEVELS}
        assert known.mean() == tile.coverage


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_values_of_more_than_eight_bits_are_shown_alike_in_all_tiles(tmp_path: Path, dtype: str) -> None:
    """Dark values are dark and bright ones bright, however bright the tile around them is."""
    found = tile_set(tmp_path / "set", dtype=dtype, palette=None)
    seen: dict[float, int] = {}
    for tile in found.tiles:
        shown = np.asarray(thumbnails(found, tile, 32)[0].image)[..., 0]
        stored = np.asarray(coordinates(3, 96, 128, dtype)[0][tile.window.slices] * 100)
        for value, level in zip(stored.ravel().tolist(), shown.ravel().tolist(), strict=True):
            assert seen.setdefault(value, level) == level
    levels = [seen[value] for value in sorted(seen)]
    assert levels == sorted(levels)
    low, high = (np.percentile(coordinates(3, 96, 128, dtype)[0] * 100, p) for p in (2, 98))
    assert {level for value, level in seen.items() if value <= low} == {0}
    assert {level for value, level in seen.items() if value >= high} == {255}


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (("red", "green", "blue"), [1, 2, 3]),
        (("Blue", "Green", "Red", "nir"), [3, 2, 1]),
        (("b2", "b3", "b4", "b8"), [1, 2, 3]),
        (("pan",), [1, 1, 1]),
        (("vv", "vh"), [1, 1, 1]),
    ],
)
def test_bands_are_shown_by_their_names(names: tuple[str, ...], shown: list[int]) -> None:
    assert shown_bands(names) == shown


def test_thumbnails_are_bounded_and_keep_their_shape(tmp_path: Path) -> None:
    found = tile_set(tmp_path / "set", columns=1, rows=1, size=100, bands=("a",))
    assert {shown.image.size for shown in thumbnails(found, found.tiles[0], 40)} == {(40, 40)}
    assert {shown.image.mode for shown in thumbnails(found, found.tiles[0], 40)} == {"RGB"}


# Which tiles are shown.


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.integers(1, 80), st.integers(0, 5))
def test_chosen_tiles_are_of_all_splits(numbers: list[int], count: int, seed: int) -> None:
    tiles = [lone_tile(i, split) for i, split in enumerate(numbers)]
    found = chosen(tiles, count, seed=seed)
    names = [tile.name for tile in found]
    assert len(set(names)) == len(names) == min(count, len(tiles))
    assert names == [tile.name for tile in chosen(tiles, count, seed=seed)]
    assert len({tile.split for tile in found}) == min(count, len(set(numbers)))


def test_chosen_tiles_are_spread_over_the_ground() -> None:
    tiles = [lone_tile(i, 0, column=i % 16, row=i // 16) for i in range(256)]
    found = chosen(tiles, 16)
    quarters = {(tile.window.col // 32 // 4, tile.window.row // 32 // 4) for tile in found}
    assert len(quarters) == 16  # one in each of 4 x 4 squares


def test_doubtful_tiles_are_those_of_long_offsets_and_little_coverage(streets: TileSet) -> None:
    assert [tile.name for tile in doubtful(streets.tiles, 2)] == ["c003r002", "c002r002", "c000r002", "c001r001"]
    assert doubtful(streets.tiles, 0) == []


def lone_tile(number: int, split: int, column: int = 0, row: int = 0) -> Tile:
    window = Window(column * 32, row * 32, 32, 32)
    return Tile(
        name=f"{number:03}",
        split=("train", "validation", "test", "unused")[split],
        window=window,
        footprint=shapely.box(*GRID.bounds(window)),
        origin="",
        coverage=1.0,
        offset=None,
        note="",
        shares={},
        means=(),
        deviations=(),
        sha256="",
    )


# The contact sheet.


def test_the_sheet_shows_the_pixels_of_each_pair(tmp_path: Path) -> None:
    found = tile_set(tmp_path / "set", columns=2, rows=1, size=SIDE)
    sheet = Image.open(io.BytesIO(contact_sheet(found, found.tiles[:1])))
    assert (sheet.format, sheet.mode) == ("PNG", "RGB")
    stored = coordinates(3, SIDE, 2 * SIDE, "uint8")[:, :, :SIDE].transpose(1, 2, 0)
    top = MARGIN + HEAD
    assert np.array_equal(np.asarray(sheet)[top : top + SIDE, MARGIN : MARGIN + SIDE], stored)
    assert sheet.height > top + SIDE


def test_the_sheet_is_the_same_each_time_and_grows_with_its_tiles(streets: TileSet) -> None:
    few, many = contact_sheet(streets, streets.tiles[:2]), contact_sheet(streets, streets.tiles)
    assert few == contact_sheet(streets, streets.tiles[:2])
    small, large = Image.open(io.BytesIO(few)), Image.open(io.BytesIO(many))
    assert large.width * large.height > small.width * small.height


def test_the_sheet_bears_names_that_its_font_does_not_have(streets: TileSet) -> None:
    odd = hostile(streets)
    tiles = [replace(odd.tiles[0], note="Straße 道路 \u202e" * 50)]
    assert Image.open(io.BytesIO(contact_sheet(odd, tiles))).format == "PNG"


@pytest.mark.parametrize("count", [0, 401])
def test_a_sheet_of_nothing_or_of_too_many_is_refused(streets: TileSet, count: int) -> None:
    with pytest.raises(ValueError, match=f"{count} tiles"):
        contact_sheet(streets, (streets.tiles * 40)[:count])


# The map.


def test_footprints_cover_the_map_without_gaps_and_overlaps(streets: TileSet) -> None:
    found = footprint_map(streets.tiles, ("land", "road", "water"))
    assert found is not None
    paths = [drawn(attributes["d"] or "") for attributes in Elements(found.svg).named("path") if "data-m" in attributes]
    assert len(paths) == len(streets.tiles)
    together = shapely.union_all(paths)
    assert together.geom_type == "Polygon"
    assert together.area == together.envelope.area == sum(path.area for path in paths)


def test_footprints_lie_as_they_do_on_the_ground(streets: TileSet) -> None:
    """East is to the right and north is up."""
    found = footprint_map(streets.tiles, ())
    assert found is not None
    paths = [drawn(attributes["d"] or "") for attributes in Elements(found.svg).named("path") if "data-m" in attributes]
    for tile, path in zip(streets.tiles, paths, strict=True):
        for other, other_path in zip(streets.tiles, paths, strict=True):
            assert (tile.footprint.centroid.x < other.footprint.centroid.x) == (path.centroid.x < other_path.centroid.x)
            assert (tile.footprint.centroid.y < other.footprint.centroid.y) == (path.centroid.y > other_path.centroid.y)


def test_turned_footprints_keep_their_area(streets: TileSet) -> None:
    turned = [
        replace(t, footprint=shapely.affinity.rotate(t.footprint, 30, origin=(500_000, 5_000_000)))
        for t in streets.tiles
    ]
    found = footprint_map(turned, ())
    assert found is not None
    paths = [drawn(attributes["d"] or "") for attributes in Elements(found.svg).named("path") if "data-m" in attributes]
    areas = np.array([path.area for path in paths])
    assert np.abs(areas / areas.mean() - 1).max() < 0.15  # rounded to a twentieth of a side


def drawn(path: str) -> shapely.Polygon:
    """The polygon of a path of the commands M, h, v, l and z."""
    at = np.zeros(2)
    corners = []
    for command, numbers in re.findall(r"([Mhvl])([-\d ]+)", path):
        values = [float(n) for n in numbers.split()]
        steps = {"M": values, "h": [*values, 0.0], "v": [0.0, *values], "l": values}
        at = at + np.array(steps[command])
        corners.append(tuple(at))
    return shapely.Polygon(corners)


def test_the_scale_bar_is_as_long_as_it_says(streets: TileSet) -> None:
    figure, rules = map_figure(streets)
    found = footprint_map(streets.tiles, ())
    assert found is not None
    share = float(re.findall(r"\.scale\{width:([\d.]+)%\}", rules)[0]) / 100
    said, unit = re.findall(r'class="scale"></span>([\d.]+) (k?m)<', figure)[0]
    assert share * found.width == pytest.approx(float(said) * (1000 if unit == "km" else 1), rel=1e-3)
    assert 0.05 < share <= 0.25


def test_marks_of_a_tile_are_as_the_page_reads_them() -> None:
    tile = replace(lone_tile(0, 2), coverage=0.999, shares={"road": 0.25, "land": 0.75}, offset=Offset(0, 1.2, 0.9))
    found = marks(tile, ("land", "road", "water"))
    assert found == "s" + "9" + str(OFFSET_EDGES.index(1.0)) + "0" + "85" + NONE
    assert found[SHARES:] == "85" + NONE  # tenths of the square roots of 0.75 and 0.25
    assert marks(replace(tile, offset=Offset(0, 1.2, 0.1), shares={}, coverage=1.0), ("land",)) == "s9" + NONE * 3
    assert marks(replace(tile, offset=Offset(0, 99, 0.9)), ())[2] == "9"


# The page.


@given(st.text())
def test_text_in_an_element_is_text_and_nothing_else(text: str) -> None:
    page = element("p", text, title=text)
    parsed = Elements(page)
    normal = text.replace("\r\n", "\n").replace("\r", "\n")
    assert [tag for tag, _ in parsed.found] == ["p"]
    assert "".join(parsed.text).replace("\r\n", "\n").replace("\r", "\n") == normal
    assert not re.search(r"<(?!/?p\b)", page)
    assert element("b", Markup("<i>x</i>")) == "<b><i>x</i></b>"


def test_a_page_shows_every_tile_and_the_chosen_pairs(streets: TileSet) -> None:
    page = Elements(html_page(streets, streets.tiles[:1], streets.tiles[1:4]).decode())
    assert len([a for a in page.named("path") if "data-m" in a]) == len(streets.tiles)
    pictures = page.named("img")
    assert [a["alt"] for a in pictures][:3] == [f"{side} of c000r000" for side in ("source", "target", "classes")]
    assert len(pictures) == 4 * 3
    for tile, attributes in zip(np.repeat(np.arange(4), 3), pictures, strict=True):
        head, _, coded = (attributes["src"] or "").partition(",")
        image = Image.open(io.BytesIO(base64.b64decode(coded))).convert("RGB")
        side = (attributes["alt"] or "").partition(" ")[0]
        shown = next(t.image for t in thumbnails(streets, streets.tiles[tile], 256) if t.side == side)
        assert head in ("data:image/png;base64", "data:image/jpeg;base64")
        assert np.abs(np.asarray(image).astype(int) - np.asarray(shown)).mean() < 8  # JPEG is nearly exact, PNG is
    text = "".join(page.text)
    for said in ("streets", "12", caption(streets.tiles[0]), "Nobody, CC0", "coverage too small", "max_offset"):
        assert said in text


@pytest.mark.parametrize("make", [lambda found: found, hostile], ids=["plain", "hostile"])
def test_a_page_fetches_nothing_and_runs_nothing_but_its_own_script(streets: TileSet, make: Any) -> None:
    text = html_page(make(streets), streets.tiles[:1], make(streets).tiles[1:2]).decode()
    page = Elements(text)
    for tag, attributes in page.found:
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href", "xlink:href", "action", "srcset", "style", "data", "poster"):
                assert name == "src" and (value or "").startswith("data:image/"), (tag, name, value)
    assert not {tag for tag, _ in page.found} & {"link", "iframe", "object", "embed", "base", "audio", "video"}
    assert len(page.named("script")) == len(page.named("style")) == 1
    assert "@import" not in text and not re.search(r"url\((?!#)", text)
    policy = next(a["content"] or "" for a in page.named("meta") if "http-equiv" in a)
    assert policy.startswith("default-src 'none'; img-src data:;")
    for kind in ("script", "style"):
        content = re.findall(rf"<{kind}>(.*?)</{kind}>", text, re.DOTALL)[0]
        digest_ = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest_}'" in policy


def test_a_folder_whose_name_is_no_text_has_a_page(streets: TileSet) -> None:
    odd = streets._replace(folder=Path("tiles\udcff"))
    assert b"<h1>tiles?</h1>" in html_page(odd, [], [])


def test_a_page_of_twenty_thousand_tiles_is_light(streets: TileSet) -> None:
    tiles = [
        replace(
            t, footprint=shapely.box(x := i % 150 * 16.0, y := i // 150 * 16.0, x + 16, y + 16), name=f"c{i:06}r{i:06}"
        )
        for i, t in enumerate(streets.tiles * 1667)
    ]
    assert len(tiles) > 20_000
    assert len(html_page(streets._replace(tiles=tuple(tiles)), [], streets.tiles)) < 5_000_000


CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium to open the page in")
def test_a_browser_shows_the_page_and_asks_no_server(streets: TileSet, tmp_path: Path) -> None:
    asked: list[str] = []

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        attack = f"\"><img src={address}/a><script>fetch('{address}/b')</script><link rel=stylesheet href={address}/c>"
        tiles = [replace(tile, note=attack, origin=attack) for tile in streets.tiles]
        page = html_page(streets._replace(tiles=tuple(tiles)), [], tiles[:2]).decode()
        shown = dom(page, tmp_path)
        # Should a name slip through, the policy still stops it; without the policy this browser would ask.
        dom(page.replace("<h1>", f"<img src={address}/d><script>fetch('{address}/e')</script><h1>"), tmp_path)
        assert asked == []
        bare = re.sub(r"<meta http-equiv[^>]*>", "", page)
        dom(bare.replace("<h1>", f"<img src={address}/f><h1>"), tmp_path)
        assert asked == ["/f"]
        server.shutdown()
    parsed = Elements(shown)
    assert [a["class"] for a in parsed.named("path") if "data-m" in a] == [f"s{marks(t, ())[0]}" for t in tiles]
    assert "hidden" not in parsed.named("form")[0]  # the script ran
    assert len(parsed.named("img")) == 2 * 3
    chosen_ = page.replace(' checked=""', "").replace('data-at="2"', 'data-at="2" checked', 1)
    colored = [a["class"] for a in Elements(dom(chosen_, tmp_path)).named("path") if "data-m" in a]
    assert colored == [f"o{marks(tile, ())[2]}" for tile in tiles]


def dom(page: str, folder: Path) -> str:
    """The document as a browser has it once its script ran."""
    path = folder / "page.html"
    path.write_text(page, encoding="utf-8")
    quiet = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    done = subprocess.run(
        [CHROMIUM or "", *quiet, "--virtual-time-budget=3000", "--dump-dom", path.as_uri()],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    return done.stdout


# The command.


def test_the_command_says_what_the_library_finds(streets: TileSet) -> None:
    done = CliRunner().invoke(main, ["tiles", "inspect", str(streets.folder), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.output) == json.loads(json.dumps(inspect(streets).to_json()))
    done = CliRunner().invoke(main, ["tiles", "inspect", str(streets.folder)])
    assert done.exit_code == 0, done.output
    for said in (
        "12 of 32 x 32 pixels",
        "WGS 84 / UTM zone 33N (EPSG:32633)",
        "0.5 m per pixel",
        "2 files: a.tif, b.tif",
        "Nobody, CC0",
    ):
        assert said in done.output
    rows = [line.split() for line in done.output.splitlines()]
    assert ["train", "8"] in [row[:2] for row in rows]
    assert ["all", "12"] in [row[:2] for row in rows]


def test_the_command_writes_page_and_sheet_whole_or_not_at_all(streets: TileSet, tmp_path: Path) -> None:
    page, sheet = tmp_path / "page.html", tmp_path / "sheet.png"
    call = ["tiles", "inspect", str(streets.folder), "--page", str(page), "--sheet", str(sheet), "--count", "2"]
    done = CliRunner().invoke(main, call)
    assert (done.exit_code, done.output.split()) == (0, [str(page), str(sheet)])
    assert len(Elements(page.read_text(encoding="utf-8")).named("img")) == (2 + 6) * 3  # two, and twice the worst three
    before = page.read_bytes(), sheet.read_bytes()
    done = CliRunner().invoke(main, call)
    assert done.exit_code == 1 and "exists already" in done.output
    assert (page.read_bytes(), sheet.read_bytes()) == before
    assert CliRunner().invoke(main, [*call, "--worst", "0", "--overwrite"]).exit_code == 0
    assert len(Elements(page.read_text(encoding="utf-8")).named("img")) == 2 * 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.html", "sheet.png"]


def test_the_command_does_not_write_over_tiles(streets: TileSet) -> None:
    tile = streets.path("source", streets.tiles[0])
    done = CliRunner().invoke(main, ["tiles", "inspect", str(streets.folder), "--sheet", str(tile), "--overwrite"])
    assert done.exit_code == 2 and "does not end in .png" in done.output


def test_a_folder_that_is_no_tile_set_and_a_lost_tile_are_told_in_one_line(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["tiles", "inspect", str(tmp_path)])
    assert done.exit_code == 1 and done.output.count("\n") == 1 and "tile set" in done.output
    found = tile_set(tmp_path / "set", columns=2, rows=1)
    found.path("target", found.tiles[0]).unlink()
    page = tmp_path / "page.html"
    done = CliRunner().invoke(main, ["tiles", "inspect", str(found.folder), "--page", str(page)])
    assert done.exit_code == 1 and done.output.count("\n") == 1 and "c000r000.tif" in done.output
    assert not page.exists()


def test_names_cannot_speak_to_the_terminal(streets: TileSet, tmp_path: Path) -> None:
    tiles = [replace(tile, note="\x1b]0;owned\x07of\x1b[2J", origin="a\x1b[31m.tif") for tile in streets.tiles]
    streets._replace(folder=tmp_path, tiles=tuple(tiles)).write()
    done = CliRunner().invoke(main, ["tiles", "inspect", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "\\x1b]0;owned" in done.output
    assert all(c.isprintable() or c == "\n" for c in done.output)
