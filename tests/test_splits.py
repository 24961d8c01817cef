"""Splits: no pixel to judge by lies within the buffer of a pixel to learn from, and blocks keep together."""

import math
import re
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image
from rasterio.warp import transform
from shapely.affinity import affine_transform

from geopix2pix.errors import ConfigError, TileSetError
from geopix2pix.grid import Window
from geopix2pix.tilesets.apart import kept_apart
from geopix2pix.tilesets.splits import SPLITS, by_blocks, by_files, by_polygons, shares_by_split, shifted
from geopix2pix.tilesets.tileindex import Tile
from tests.rasters import DATA

laws = settings(deadline=None, max_examples=60)
PLACES = (Affine.scale(1, -1), Affine(0.4, 0.3, 300_000, 0.3, -0.4, 5_000_000), Affine.scale(1 / 0.3048))


def made(window: Window, *, place: Affine = PLACES[0], **changes) -> Tile:
    """A tile of that window of a grid."""
    corners = [
        (window.col, window.row),
        (window.right, window.row),
        (window.right, window.bottom),
        (window.col, window.bottom),
    ]
    tile = Tile(
        name=f"c{window.col}r{window.row}",
        split="unused",
        window=window,
        footprint=affine_transform(shapely.Polygon(corners), [place.a, place.b, place.d, place.e, place.c, place.f]),
        origin="a.tif",
        coverage=1.0,
        offset=None,
        note="",
        shares={},
        means=(),
        deviations=(),
        sha256="",
    )
    return replace(tile, **changes)


def grid(columns: int, rows: int, side: int = 8, **changes) -> list[Tile]:
    return [
        made(Window(col * side, row * side, side, side), **changes) for row in range(rows) for col in range(columns)
    ]


def footprints(tiles: list[Tile]) -> np.ndarray:
    return np.array([tile.footprint for tile in tiles], object)


def gap(one: Tile, other: Tile) -> float:
    """Pixels between the nearest borders of the nearest pixels of two tiles, -1 if they share one; by trying all."""

    def pixels(tile: Tile) -> np.ndarray:
        return np.stack(
            np.meshgrid(
                *(range(start, start + size) for start, size in zip(tile.window[:2], tile.window[2:], strict=True))
            ),
            -1,
        ).reshape(-1, 2)

    apart = np.abs(pixels(one)[:, None] - pixels(other)[None])
    if (apart == 0).all(axis=-1).any():
        return -1
    return float(np.hypot(*np.moveaxis(np.maximum(apart - 1, 0), -1, 0)).min())


positions = st.integers(-20, 20)
tile_sets = st.lists(
    st.builds(Window, positions, positions, st.integers(1, 5), st.integers(1, 5)), min_size=1, max_size=14, unique=True
)
metres = st.sampled_from([0.0, 0.5, 1.0, 1.01, 2.0, 2.01, math.sqrt(2), 3.0, 3.01, 5.0, 5.01, 8.3])


@laws
@given(tile_sets, st.sampled_from(PLACES), metres, st.data())
def test_tiles_become_unused_just_where_pixels_are_too_near(windows, place, reach, data):
    tiles = [made(window, place=place) for window in windows]
    before = [data.draw(st.sampled_from(SPLITS)) for _ in tiles]
    unit = math.sqrt(abs(place.determinant))
    after = kept_apart(footprints(tiles), np.array(before, object), reach * unit)

    def too_near(tile: Tile, judges: list[Tile]) -> bool:
        return any(gap(tile, judge) < reach * (1 - 1e-9) for judge in judges)

    test = [tile for tile, split in zip(tiles, before, strict=True) if split == "test"]
    held_out = [
        tile for tile, split in zip(tiles, before, strict=True) if split == "validation" and not too_near(tile, test)
    ]
    expected = []
    for tile, split in zip(tiles, before, strict=True):
        judges = {"train": [*test, *held_out], "validation": test}.get(split, [])
        expected.append("unused" if too_near(tile, judges) else split)
    assert list(after) == expected


@laws
@given(tile_sets, st.sampled_from(PLACES), metres, st.integers(1, 20), st.integers(0, 9), st.floats(0.5, 2))
def test_no_pixel_to_judge_by_lies_within_the_buffer_of_a_training_tile(windows, place, pixels, block, seed, scale):
    tiles = [made(window, place=place) for window in windows]
    unit = math.sqrt(abs(place.determinant))
    buffer = pixels * unit * scale
    try:
        splits = by_blocks(
            tiles, block=block * unit * scale, buffer=buffer, metres_per_unit=scale, seed=seed, shares=(0.6, 0.2, 0.2)
        )
    except TileSetError:
        assume(False)
    by_split = {name: [tile for tile, split in zip(tiles, splits, strict=True) if split == name] for name in SPLITS}
    assert by_split["train"] and by_split["validation"] and by_split["test"]
    for judged in ("validation", "test"):
        for tile in by_split[judged]:
            for learnt in (*by_split["train"], *(by_split["validation"] if judged == "test" else ())):
                assert gap(tile, learnt) * unit * scale >= buffer * (1 - 1e-6)


def test_the_buffer_is_in_metres_on_the_ground_where_the_map_stretches_them():
    """Web Mercator at 60 degrees north, where two of its units are a metre."""
    top = 8_399_737.0
    tiles = grid(40, 20, side=100, place=Affine(1, 0, 1_670_000, 0, -1, top))
    scale = 0.4985  # metres in a unit at the northern border, the least of all
    splits = by_blocks(tiles, block=300, buffer=120, metres_per_unit=scale)
    corners = shapely.get_coordinates(footprints(tiles))
    east, north = transform("EPSG:3857", "EPSG:32633", *corners.T)
    real = shapely.set_coordinates(footprints(tiles), np.column_stack([east, north]))
    parts = {split: shapely.union_all(real[np.array(splits) == split]) for split in SPLITS}
    judged = shapely.union([parts["validation"]], parts["test"])[0]
    distance = shapely.distance(parts["train"], judged) / 0.9996
    assert 120 <= distance < 160  # tiles are 50 m wide


@laws
@given(
    st.integers(2, 9),
    st.integers(1, 9),
    st.integers(1, 40),
    st.integers(0, 5),
    st.sampled_from([(0.8, 0.1, 0.1), (0.5, 0.5, 0), (0.7, 0, 0.3), (1, 0, 0)]),
)
def test_blocks_keep_together_meet_their_shares_and_do_not_depend_on_the_order(columns, rows, block, seed, shares):
    tiles = grid(columns, rows)
    wanted = [split for split, share in zip(SPLITS, shares, strict=False) if share]
    side = max(1, math.ceil(block / 8 - 0.02)) * 8
    blocks = [(math.floor((t.window.col + 4) / side), math.floor((-t.window.row - 4) / side)) for t in tiles]
    if len(set(blocks)) < len(wanted):
        with pytest.raises(
            TileSetError, match=rf"{len(tiles)} tiles lie in {len(set(blocks))} blocks .* smaller blocks"
        ):
            by_blocks(tiles, block=block, buffer=0, metres_per_unit=1, shares=shares, seed=seed)
        return
    splits = by_blocks(tiles, block=block, buffer=0, metres_per_unit=1, shares=shares, seed=seed)
    assert set(splits) == set(wanted)
    assert all(len({s for s, b in zip(splits, blocks, strict=True) if b == name}) == 1 for name in blocks)
    largest = max(Counter(blocks).values())
    for split, share in zip(SPLITS[1:], shares[1:], strict=False):
        assert abs(splits.count(split) - share * len(tiles)) <= largest
    backwards = by_blocks(tiles[::-1], block=block, buffer=0, metres_per_unit=1, shares=shares, seed=seed)
    assert backwards[::-1] == splits


@laws
@given(st.integers(4, 12), st.integers(1, 12), st.integers(0, 9), st.data())
def test_a_block_more_moves_no_block_but_those_at_the_borders(columns, rows, seed, data):
    tiles = grid(columns, rows)
    away = data.draw(st.integers(0, len(tiles) - 1))
    whole = by_blocks(tiles, block=8, buffer=0, metres_per_unit=1, seed=seed)
    less = by_blocks(tiles[:away] + tiles[away + 1 :], block=8, buffer=0, metres_per_unit=1, seed=seed)
    moved = [now for before, now in zip(whole[:away] + whole[away + 1 :], less, strict=True) if before != now]
    assert len(moved) <= 2


def test_units_seeds_and_hair_fine_scales():
    tiles = grid(12, 12)
    splits = by_blocks(tiles, block=16, buffer=7, metres_per_unit=1)
    for scale in (0.9996, 1.0009):  # as in one UTM zone
        assert by_blocks(tiles, block=16, buffer=7, metres_per_unit=scale) == splits
    feet = grid(12, 12, place=Affine.scale(1 / 0.3048, -1 / 0.3048))
    assert by_blocks(feet, block=16, buffer=7, metres_per_unit=0.3048) == splits
    assert len({tuple(by_blocks(tiles, block=16, buffer=8, metres_per_unit=1, seed=seed)) for seed in range(5)}) == 5


def test_of_many_orders_the_one_counts_whose_classes_are_most_alike():
    rng = np.random.default_rng(0)
    forest = rng.random((6, 6)) < 0.3
    tiles = [
        replace(tile, shares={"forest": float(forest[tile.window.row // 32, tile.window.col // 32]), "sea": 0.0})
        for tile in grid(24, 24)
    ]

    def difference(splits) -> float:
        shares = shares_by_split([replace(tile, split=split) for tile, split in zip(tiles, splits, strict=True)])
        return max(abs(shares[split]["forest"] - forest.mean()) for split in shares)

    blind = [replace(tile, shares={}) for tile in tiles]
    for seed in range(20):
        chosen, first = (by_blocks(t, block=32, buffer=0, metres_per_unit=1, seed=seed) for t in (tiles, blind))
        assert difference(chosen) <= min(difference(first), 0.1)


def test_an_order_in_which_the_buffer_takes_a_split_is_passed_over():
    tiles = grid(5, 1)
    for seed in range(20):
        splits = by_blocks(tiles, block=8, buffer=7, metres_per_unit=1, shares=(0.5, 0.25, 0.25), seed=seed)
        assert set(splits) == {"train", "validation", "test", "unused"}
    with pytest.raises(TileSetError, match="a buffer of 20 m takes all tiles of a split, however 5 blocks of 8 m"):
        by_blocks(tiles, block=8, buffer=20, metres_per_unit=1, shares=(0.5, 0.25, 0.25))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"block": 0}, "blocks of 0 m"),
        ({"block": math.inf}, "blocks of inf m"),
        ({"buffer": -1}, "buffer of -1 m"),
        ({"buffer": math.nan}, "buffer of nan m"),
        ({"metres_per_unit": 0}, "unit of the CRS"),
        ({"shares": (0.8, 0.1, 0.2)}, r"shares \(0.8, 0.1, 0.2\) .* add up to 1"),
        ({"shares": (0, 0.5, 0.5)}, "train be above 0"),
        ({"shares": (1.1, -0.1, 0)}, "shares"),
    ],
)
def test_impossible_numbers_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        by_blocks(grid(9, 9), **{"block": 8, "buffer": 0, "metres_per_unit": 1} | changes)


def test_nothing_cannot_be_split():
    with pytest.raises(TileSetError, match="no tile to split"):
        by_blocks([], block=8, buffer=0, metres_per_unit=1)


boxes = st.builds(
    lambda x, y, w, h: shapely.box(x, -y - h, x + w, -y), positions, positions, st.integers(5, 30), st.integers(5, 30)
)


@laws
@given(st.dictionaries(st.sampled_from(SPLITS), boxes, min_size=1))
def test_zones_take_the_tiles_that_lie_in_no_other(zones):
    tiles = grid(10, 10, side=4)
    outside = "unused" if "train" in zones else "train"
    rest = shapely.difference(shapely.box(-100, -100, 100, 100), shapely.union_all(list(zones.values())))
    expected = []
    for tile in tiles:
        parts = [
            (split, zone) for split, zone in [*zones.items(), (outside, rest)] if tile.footprint.intersection(zone).area
        ]
        found = {split for split, _ in parts}
        expected.append(found.pop() if len(found) == 1 else "unused")
    kept = kept_apart(footprints(tiles), np.array(expected, object), 0)
    if not {"train", *zones} - {"unused"} <= set(kept):
        with pytest.raises(TileSetError, match="no tile is left for .*; enlarge the zones"):
            by_polygons(tiles, zones, buffer=0, metres_per_unit=1)
    else:
        assert by_polygons(tiles, zones, buffer=0, metres_per_unit=1) == list(kept)


def test_zones_have_a_buffer_too():
    tiles = grid(8, 1)
    splits = by_polygons(tiles, {"validation": shapely.box(48, -8, 64, 0)}, buffer=10, metres_per_unit=0.5)
    assert splits == ["train"] * 3 + ["unused"] * 3 + ["validation"] * 2


def test_files_are_split_by_patterns_of_their_names():
    names = [
        "Tile 1/a.jpg",
        "Tile 1/b.jpg",
        "Tile 10/a.jpg",
        "Tile 2/a.jpg",
        "Tile 3/a.jpg; Tile 1/a.jpg",
        "Tile 3/b.jpg; Tile 3/c.jpg",
    ]
    tiles = [made(Window(0, 0, 8, 8), origin=name) for name in names]
    assert by_files(tiles, validation=["Tile 1/*"], test=["Tile 2/*"]) == [
        "validation",
        "validation",
        "train",
        "test",
        "unused",
        "train",
    ]
    assert by_files(tiles, validation=["Tile 1*"])[:3] == ["validation"] * 3
    with pytest.raises(
        TileSetError, match=r"'tile 1/\*' for validation matches no source file; they are Tile 1/a.jpg, .* 4 more"
    ):
        by_files(tiles, validation=["tile 1/*"])
    with pytest.raises(TileSetError, match="Tile 2/a.jpg is matched for both .* narrow the pattern 'Tile 2"):
        by_files(tiles, validation=["*"], test=["Tile 2/*"])
    with pytest.raises(TileSetError, match="no tile is left for train"):
        by_files(tiles, validation=["*"])


@laws
@given(
    st.lists(
        st.tuples(st.sampled_from(SPLITS), st.lists(st.integers(0, 3), min_size=0, max_size=16)), min_size=1, max_size=8
    )
)
def test_class_shares_are_those_of_all_known_pixels(drawn):
    """3 means that nothing is known; every tile has 16 pixels."""
    tiles, pixels = [], {split: [] for split, _ in drawn}
    for split, values in drawn:
        known = [value for value in values if value < 3]
        shares = {name: known.count(index) / len(known) for index, name in enumerate("abc")} if known else {}
        tiles.append(made(Window(0, 0, 4, 4), split=split, coverage=len(known) / 16, shares=shares))
        pixels[split] += known
    found = shares_by_split(tiles)
    assert found.keys() == pixels.keys()
    names = "abc" if any(pixels.values()) else ""
    for split, known in pixels.items():
        expected = {name: known.count(index) / max(len(known), 1) for index, name in enumerate(names)}
        assert found[split] == pytest.approx(expected)


def test_a_class_is_shifted_where_it_is_twice_as_frequent_and_three_points_apart():
    train = {"land": 0.5, "road": 0.08, "sea": 0.02, "ice": 0.1}
    validation = {"land": 0.75, "road": 0.2, "sea": 0.045, "ice": 0.04}
    assert shifted({"train": train, "validation": validation, "unused": {"land": 1.0}}) == [
        "road covers 20.0 % of validation, but 8.0 % of train",
        "ice covers 4.0 % of validation, but 10.0 % of train",
    ]
    assert shifted({"train": train, "test": train}) == shifted({"validation": train}) == shifted({}) == []


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.skipif(not DATA.is_dir(), reason="the real data are not beside this checkout")
def test_real_scenes_with_other_shares_of_buildings_are_told():
    """In scenes 3 and 4 of Dubai buildings are more than twice as frequent as in the others."""
    building = np.array([0x3C, 0x10, 0x98])
    tiles = []
    for path in sorted((DATA / "train" / "dubai").glob("Tile */masks/*.png")):
        with Image.open(path) as picture:
            size = picture.size
            share = float((np.asarray(picture.convert("RGB"))[::4, ::4] == building).all(axis=-1).mean())
        shares = {"building": share, "other": 1 - share}
        tiles.append(made(Window(0, 0, *size), origin=f"{path.parts[-3]}/{path.name}", shares=shares))
    splits = by_files(tiles, validation=["Tile [12]/*"], test=["Tile [34]/*"])
    (told,) = shifted(shares_by_split([replace(tile, split=split) for tile, split in zip(tiles, splits, strict=True)]))
    assert re.fullmatch("building covers 2.* of test, but .* of train", told)
