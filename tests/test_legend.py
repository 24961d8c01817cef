"""How maps are read beside targets; and the sheet of the worst and best tiles."""

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geopix2pix.dataset import View
from geopix2pix.evaluation.constant import blocks, constant_of
from geopix2pix.evaluation.gallery import SHOWN, THUMBNAIL, Gallery, Thumbnail
from geopix2pix.evaluation.judging import UNKNOWN, error_bands
from geopix2pix.evaluation.legend import Legend
from geopix2pix.grid import Window
from geopix2pix.measures.tally import Sample
from geopix2pix.pair import Bands, PairSet
from geopix2pix.pairs import open_pairs
from geopix2pix.palette import Palette
from tests.rasters import write_raster

CLASSES = [
    {"name": "land", "color": "FF0000", "display": "F2EFE9", "target": "804000"},
    {"name": "road", "color": "00FF00", "display": "FFFFFF"},
    {"name": "water", "color": "0000FF", "display": "AAD3DF"},
]
COMPLETE = {"classes": CLASSES, "unlabelled": ["000000"]}
PARTLY = COMPLETE | {"knows": ["road"], "other": ["FFFFFF"]}


def pair_set(palette: dict | None, dtype: str = "uint8") -> PairSet:
    bands = Bands(("red", "green", "blue"), dtype, 3)
    return PairSet(
        name="test", train=(), validation=(), source=bands, target=bands, weight=1.0, listing="",
        palette=None if palette is None else Palette.from_json(palette, "test"),
    )  # fmt: skip


def view(target: list[int], known: list[bool] | None = None) -> View:
    """A row of pixels, by the numbers of their sets."""
    row = np.array(target, np.uint8)[None, None]
    return View(np.zeros((3, *row.shape[1:]), np.uint8), row, np.array([known or [True] * len(target)]))


BORDER = np.zeros((1, 4), bool)


def test_classes_are_read_as_classes_and_unknown_pixels_as_anything() -> None:
    legend = Legend.of(pair_set(COMPLETE))
    sets = legend.sets  # none, land, road, water, all
    assert sets.members.sum(axis=1).tolist() == [0, 1, 1, 1, 3]
    found = legend.sample(view([1, 2, 4, 3], [True, True, True, False]), np.array([[[0, 2, 1, 2]]]), None, BORDER)
    assert found.sets.tolist() == [[1, 2, 4, 4]]
    assert found.known.tolist() == [[True, True, False, False]]
    assert found.predicted[:, 0, 1].tolist() == [0xAA, 0xD3, 0xDF]
    assert found.true[:, 0, 0].tolist() == [0xF2, 0xEF, 0xE9]
    assert error_bands(found, legend).tolist() == [
        [[0, 2, UNKNOWN, UNKNOWN]],
        [[0, 1, UNKNOWN, UNKNOWN]],
        [[0, 1, UNKNOWN, UNKNOWN]],
    ]


def test_of_a_partly_labelled_target_no_picture_is_known() -> None:
    legend = Legend.of(pair_set(PARTLY))
    assert [row.nonzero()[0].tolist() for row in legend.sets.members] == [[1], [0, 2], [0, 1, 2]]
    confidence = np.ones((1, 4), np.float32)
    found = legend.sample(view([0, 1, 1, 2]), np.array([[[1, 0, 1, 1]]]), confidence, BORDER)
    assert not found.known.any()
    assert found.confidence is None
    assert error_bands(found, legend).tolist() == [
        [[1, 0, 1, UNKNOWN]], [[1, UNKNOWN, UNKNOWN, UNKNOWN]], [[0, 0, 1, UNKNOWN]]
    ]  # fmt: skip


def test_maps_of_models_without_classes_are_read_by_the_nearest_target_colour() -> None:
    picture = np.array([[0x80, 0x40, 0x00], [0x10, 0xF0, 0x10], [0, 0, 0x90], [0xFF, 0xF0, 0xFF]], np.uint8).T[:, None]
    assert Legend.of(pair_set(COMPLETE)).classes(picture).tolist() == [[0, 1, 2, 0]]
    partly = Legend.of(pair_set(PARTLY)).classes(picture)
    assert partly[0, 1] == 1
    assert partly[0, 3] == 0, "white means none of the named classes, for which the first other one stands"


def test_levels_of_other_units_are_those_of_the_training_targets(tmp_path: Path) -> None:
    values = np.linspace(1000, 3000, 64 * 64).reshape(1, 64, 64).astype(np.uint16)
    for name in ("a", "b"):
        for kind in ("source", "target"):
            (tmp_path / kind).mkdir(exist_ok=True)
            write_raster(tmp_path / kind / f"{name}.tif", values)
    legend = Legend.of(open_pairs(tmp_path))
    levels = legend.levels(np.array([[[0, 1000, 2000, 3000, 60000]]], np.uint16))
    assert levels[0, 0] == pytest.approx([0, 0, 127.5, 255, 255], abs=0.5)
    eight = Legend.of(pair_set(None))
    every = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    assert np.array_equal(eight.levels(every), every)


def test_the_colour_that_is_right_most_often(tmp_path: Path) -> None:
    """Not the commonest colour of the pictures: unknown pixels do not count, and of other splits nothing does."""
    target = np.zeros((3, 8, 8), np.uint8)
    target[:, :3] = np.array([0x00, 0xFF, 0x00])[:, None, None]
    target[:, 3] = np.array([0x00, 0x00, 0xFF])[:, None]
    for split in ("train", "validation"):
        for kind in ("source", "target"):
            (tmp_path / split / kind).mkdir(parents=True)
            shown = target if split == "train" else np.flip(target, 0)
            write_raster(tmp_path / split / kind / "a.tif", shown, photometric="rgb")
    for palette, name in (
        (COMPLETE, "road"),
        (PARTLY, "road"),
        (PARTLY | {"knows": ["water"], "other": ["00FF00"]}, "land"),
    ):
        opened = open_pairs(tmp_path)
        opened = replace(opened, palette=Palette.from_json(palette, "test"))
        assert constant_of(opened, Legend.of(opened)).name == name
    opened = open_pairs(tmp_path)
    assert constant_of(opened, Legend.of(opened)).pixel == (0, 0, 0)


def test_blocks_cover_a_picture_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from geopix2pix.evaluation import constant

    monkeypatch.setattr(constant, "BLOCK", 7)
    count = np.zeros((20, 33), int)
    for window in blocks(33, 20):
        count[window.slices] += 1
    assert (count == 1).all()


# --- the sheet ---


def thumbnail(width: int, height: int, block: int, level: int = 0) -> Thumbnail:
    """A tile whose source tells where its pixels are, filled block by block."""
    row, col = np.mgrid[:height, :width]
    source = np.stack([row % 256, col % 256, row // 256 + 16 * (col // 256)]).astype(np.uint8)
    picture = np.full((3, height, width), level, np.float32)
    sample = Sample(picture, picture + 1, np.ones((height, width), bool), np.zeros((height, width), bool))
    small = Thumbnail.of(width, height)
    for top in range(0, height, block):
        for left in range(0, width, block):
            core = Window(left, top, block, block).intersection(Window(0, 0, width, height))
            part = Sample(*(None if a is None else a[(..., *core.slices)] for a in sample))
            small.add(core, source[(slice(None), *core.slices)], part, np.zeros((core.height, core.width), np.uint8))
    return small


@pytest.mark.parametrize(("width", "height"), [(100, 60), (256, 256), (257, 40), (900, 1300)])
def test_a_thumbnail_is_every_nth_pixel_whatever_the_blocks(width: int, height: int) -> None:
    whole, parts = thumbnail(width, height, 10_000), thumbnail(width, height, 97)
    assert all(np.array_equal(a, b) for a, b in zip(whole.pictures, parts.pictures, strict=True))
    shown = whole.pictures[0]
    assert max(shown.shape[:2]) <= THUMBNAIL
    row, col, beyond = shown[-1, -1].tolist()
    last = [(n - 1) // whole.step * whole.step for n in (height, width)]
    assert [row + 256 * (beyond % 16), col + 256 * (beyond // 16)] == last


def test_the_gallery_keeps_both_ends_and_shows_no_tile_twice() -> None:
    gallery = Gallery()
    for number in (5, 3, 9, 1, 7, 0, 8, 2, 6, 4):
        gallery.offer(number / 10, f"tile {number}", thumbnail(20, 20, 20, level=number * 20))
    gallery.offer(float("nan"), "without a score", thumbnail(20, 20, 20, level=255))
    with Image.open(BytesIO(gallery.png())) as sheet:
        pixels = np.asarray(sheet)
    column = pixels[:, 8 + 2 * 28 + 4, 0]  # through the middle of the predictions
    levels = [int(v) for v, before in zip(column[1:], column, strict=False) if v != before and v % 20 == 0 and v < 200]
    assert [level // 20 for level in levels] == [0, 1, 2, 3, 9, 8, 7, 6]
    few = Gallery()
    for number in range(2):
        few.offer(number, f"tile {number}", thumbnail(20, 20, 20))
    with Image.open(BytesIO(few.png())) as sheet:
        assert sheet.height < pixels.shape[0] * 2 / (2 * SHOWN) + 60
    assert Gallery().png() is None
