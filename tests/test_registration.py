"""Offsets between images and maps: laws of moving, mirroring and recolouring; known shifts of the sample are found."""

import json
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from rasterio.features import rasterize
from shapely.geometry import shape

from geopix2pix.registration import CONFIDENT, UNKNOWN, Offset, offset, pooled
from geopix2pix.sample import write_sample
from tests.rasters import DATA, rotated_collar

SIDE = 256
SHIFTS = ((0.0, 0.0), (0.5, 0.0), (0.0, -0.25), (1.0, 1.0), (-2.3, 4.6), (7.0, -7.0), (-10.0, 3.5), (10.0, 10.0))
EVERYWHERE = np.ones((SIDE, SIDE), bool)


class Region(NamedTuple):
    """The sample: the scene darkened and under noise of 10 grey levels, its map and its classes."""

    scene: np.ndarray
    map: np.ndarray
    classes: np.ndarray
    valid: np.ndarray

    def places(self, step: int = SIDE) -> Iterator[tuple[int, int]]:
        """The upper left corners of tiles that may be moved by 12 pixels."""
        for row in range(12, 1024 - SIDE - 12, step):
            yield from ((row, col) for col in range(12, 1024 - SIDE - 12, step))


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Region:
    folder = write_sample(tmp_path_factory.mktemp("region") / "sample")
    data, valid = [], []
    for name in ("scene", "map", "classes"):
        with rasterio.open(folder / f"{name}.tif") as dataset:
            data.append(dataset.read())
            valid.append(dataset.dataset_mask() > 0)
    noise = 10 * np.random.default_rng(0).standard_normal(data[0].shape)
    return Region(np.clip(0.8 * data[0] + 15 + noise, 0, 255).astype(np.uint8), data[1], data[2], valid[0])


def cut(data: np.ndarray, row: int, col: int) -> np.ndarray:
    return data[..., row : row + SIDE, col : col + SIDE]


def moved(data: np.ndarray, row: int, col: int, cols: float, rows: float) -> np.ndarray:
    """The tile whose content lies `cols` to the right and `rows` below where it should, by linear interpolation."""
    top, left = int(np.floor(row - rows)), int(np.floor(col - cols))
    down, right = row - rows - top, col - cols - left
    return (
        (1 - down) * ((1 - right) * cut(data, top, left) + right * cut(data, top, left + 1))
        + down * ((1 - right) * cut(data, top + 1, left) + right * cut(data, top + 1, left + 1))
    ).astype(np.float32)


def distance(found: Offset, expected: tuple[float, float]) -> float:
    return float(np.hypot(found.cols - expected[0], found.rows - expected[1]))


@pytest.mark.parametrize("shift", SHIFTS)
def test_known_shifts_of_the_sample_are_found_to_half_a_pixel(region: Region, shift: tuple[float, float]) -> None:
    found = [
        offset(cut(region.scene, *place), moved(region.map, *place, *shift), cut(region.valid, *place))
        for place in region.places()
    ]
    errors = [distance(o, shift) for o in found if o.confidence >= CONFIDENT]
    assert len(errors) >= 0.9 * len(found)
    assert max(errors) < 0.5
    assert distance(pooled(found), shift) < 0.25
    assert pooled(found).confidence > 0.95


@pytest.mark.slow
def test_every_tile_of_the_sample_is_found_under_every_shift(region: Region) -> None:
    errors, sure = [], []
    for shift in SHIFTS:
        for place in region.places(step=96):
            known = cut(region.valid, *place)
            found = offset(cut(region.scene, *place), moved(region.map, *place, *shift), known)
            errors.append(distance(found, shift))
            sure.append(found.confidence >= CONFIDENT)
    assert np.mean(sure) > 0.98
    assert np.mean(np.array(errors)[sure] < 0.5) > 0.99
    assert np.max(np.array(errors)[sure]) < 0.75


@pytest.mark.parametrize("shift", [(3, -5), (-8, 0), (10, 10)])
def test_moving_the_map_moves_the_offset_as_far(region: Region, shift: tuple[int, int]) -> None:
    for row, col in region.places(step=400):
        still, after = (
            offset(cut(region.scene, row, col), cut(region.classes, row - down, col - right), EVERYWHERE)
            for right, down in ((0, 0), shift)
        )
        assert distance(after, (still.cols + shift[0], still.rows + shift[1])) < 0.25


def test_identical_edges_lie_on_each_other(region: Region) -> None:
    for place in region.places(step=400):
        found = offset(cut(region.map, *place), cut(region.map, *place), EVERYWHERE)
        assert distance(found, (0, 0)) < 0.02
        assert found.confidence > 0.999
        found = offset(cut(region.map, *place), cut(region.classes, *place), EVERYWHERE)
        assert distance(found, (0, 0)) < 0.1


def test_source_and_target_change_places(region: Region) -> None:
    first, second = cut(region.map, 300, 300), cut(region.map, 304, 293)
    there, back = offset(first, second, EVERYWHERE), offset(second, first, EVERYWHERE)
    assert distance(there, (7, -4)) < 0.1
    assert distance(back, (-there.cols, -there.rows)) < 0.05


def test_mirroring_and_transposing_do_the_same_to_the_offset(region: Region) -> None:
    source, target = cut(region.scene, 300, 300), cut(region.classes, 303, 298)
    found = offset(source, target, EVERYWHERE)
    mirrored = offset(source[..., ::-1], target[..., ::-1], EVERYWHERE)
    turned = offset(source.transpose(0, 2, 1), target.transpose(0, 2, 1), EVERYWHERE)
    assert mirrored == pytest.approx((-found.cols, found.rows, found.confidence), abs=1e-3)
    assert turned == pytest.approx((found.rows, found.cols, found.confidence), abs=1e-3)


def test_brightness_contrast_units_and_inversion_of_the_source_do_not_matter(region: Region) -> None:
    source, target = cut(region.scene, 300, 300), cut(region.classes, 303, 298)
    found = offset(source, target, EVERYWHERE)
    scale = np.array([1e-6, 3e4, 1.0])[:, None, None]
    for changed in (255 - source, source.astype(np.uint16) * 200 + 900, source * scale - 7, -source.astype(np.float64)):
        assert offset(changed, target, EVERYWHERE) == pytest.approx(found, abs=1e-3)


@pytest.mark.parametrize("numbers", [(4, 3, 2, 1, 0), (2, 0, 255, 3, 254), (7, 90, 8, 200, 9)])
def test_class_numbers_do_not_matter(region: Region, numbers: tuple[int, ...]) -> None:
    source, target = cut(region.scene, 300, 300), cut(region.classes, 303, 298)
    renamed = np.array(numbers, np.uint8)[target]
    assert offset(source, renamed, EVERYWHERE) == pytest.approx(offset(source, target, EVERYWHERE), abs=1e-3)


def test_colours_of_a_map_matter_little(region: Region) -> None:
    source, classes = cut(region.scene, 300, 300), cut(region.classes, 303, 298)[0]
    found = offset(source, cut(region.map, 303, 298), EVERYWHERE)
    for seed in range(5):
        colors = np.random.default_rng(seed).integers(0, 256, (5, 3), np.uint8)
        assert distance(offset(source, colors[classes].transpose(2, 0, 1), EVERYWHERE), found[:2]) < 0.2


def test_a_grey_picture_is_not_taken_for_classes(region: Region) -> None:
    grey = region.map.astype(np.float32).mean(axis=0, keepdims=True)
    assert (
        distance(offset(cut(region.scene, 300, 300), moved(grey, 300, 300, 3.5, -2.5), EVERYWHERE), (3.5, -2.5)) < 0.5
    )


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_what_is_not_valid_counts_on_neither_side(region: Region, dtype: str) -> None:
    source, target = cut(region.scene, 300, 300).astype(dtype), cut(region.classes, 303, 298).astype(dtype)
    valid = rotated_collar(SIDE, SIDE)
    found = offset(source, target, valid)
    assert distance(found, (2, -3)) < 0.5
    noise = np.random.default_rng(1).integers(0, 256, source.shape).astype(dtype)
    spoilt = np.where(valid, source, noise), np.where(valid, target, noise[:1])
    assert offset(*spoilt, valid) == found
    if dtype == "float32":
        spoilt = np.where(valid, source, np.nan), np.where(valid, target, np.nan)
        assert offset(*spoilt, valid) == found


def test_without_edges_nothing_is_known(region: Region) -> None:
    source, target = cut(region.scene, 300, 300), cut(region.classes, 300, 300)
    flat = np.full_like(source, 7)
    for pair in ((source, flat), (flat, target), (flat, flat[:1]), (source, flat[:1])):
        assert offset(*pair, EVERYWHERE) == UNKNOWN
    assert offset(source, target, np.zeros((SIDE, SIDE), bool)) == UNKNOWN


@pytest.mark.parametrize("height", [1, 2, 12, 40])
def test_tiles_smaller_than_the_reach_are_no_reason_to_fail(region: Region, height: int) -> None:
    source, target, valid = (side[..., :height, :30] for side in (*map(cut, region[::2], (9, 9), (9, 9)), EVERYWHERE))
    found = offset(source, target, valid)
    assert 0 <= found.confidence <= 1
    assert abs(found.cols) <= 17
    assert abs(found.rows) <= 17


def test_a_map_of_another_place_is_not_trusted(region: Region) -> None:
    places = list(region.places())
    for place, other in zip(places, places[4:] + places[:4], strict=True):
        found = offset(cut(region.scene, *place), cut(region.classes, *other), EVERYWHERE)
        assert found.confidence < CONFIDENT


def test_an_offset_beyond_the_reach_is_not_trusted(region: Region) -> None:
    source, target = cut(region.scene, 300, 300), cut(region.classes, 310, 288)
    assert distance(offset(source, target, EVERYWHERE), (12, -10)) < 0.5
    found = offset(source, target, EVERYWHERE, reach=8)
    assert max(abs(found.cols), abs(found.rows)) <= 9
    assert found.confidence < CONFIDENT


def test_one_straight_edge_tells_nothing_along_itself() -> None:
    source = np.where(np.arange(SIDE) < 120, 40, 90)[None, :, None] * np.ones((1, 1, SIDE))
    noisy = source + np.random.default_rng(2).standard_normal(source.shape)
    assert offset(noisy, source, EVERYWHERE).confidence < CONFIDENT


def test_noise_takes_confidence_away(region: Region) -> None:
    source, target = cut(region.scene, 300, 300), cut(region.classes, 300, 300)
    rng = np.random.default_rng(3)
    found = [offset(source + sigma * rng.standard_normal(source.shape), target, EVERYWHERE) for sigma in (0, 2000)]
    assert found[0].confidence > 0.99
    assert found[1].confidence < CONFIDENT


offsets = st.builds(Offset, st.floats(-16, 16), st.floats(-16, 16), st.floats(0.01, 1))


@given(found=offsets, count=st.integers(1, 5))
def test_tiles_that_agree_have_their_offset_in_common(found: Offset, count: int) -> None:
    common = pooled([found] * count)
    assert common[:2] == found[:2]
    assert common.confidence == pytest.approx(1 - (1 - found.confidence) ** count)


@given(found=st.lists(offsets, min_size=1, max_size=9), data=st.data())
def test_the_order_of_tiles_does_not_matter(found: list[Offset], data: st.DataObject) -> None:
    assert pooled(data.draw(st.permutations(found))) == pytest.approx(pooled(found), abs=1e-9)


@given(found=st.lists(offsets, max_size=9))
def test_tiles_of_which_nothing_is_known_do_not_count(found: list[Offset]) -> None:
    assert pooled([UNKNOWN, *found, UNKNOWN]) == pytest.approx(pooled(found), abs=1e-12)
    assert 0 <= pooled(found).confidence <= 1


def test_a_few_wild_tiles_do_not_move_the_common_offset() -> None:
    tame = [Offset(2 + 0.1 * i, -3 + 0.05 * i, 0.9) for i in range(-3, 4)]
    wild = [Offset(-14, 9, 0.9), Offset(11, 12, 0.8), Offset(-6, -15, 0.9)]
    assert distance(pooled(tame + wild), (2, -3)) < 0.2
    assert pooled(tame + wild).confidence < pooled(tame).confidence


def test_tiles_that_contradict_each_other_are_not_trusted() -> None:
    angles = np.linspace(0, 2 * np.pi, 8, endpoint=False)
    assert pooled([Offset(12 * np.cos(a), 12 * np.sin(a), 0.9) for a in angles]).confidence < CONFIDENT


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.skipif(not DATA.is_dir(), reason="the real data are not beside this checkout")
def test_known_shifts_are_found_on_real_buildings() -> None:
    folder = DATA / "train" / "banepa-buildings"
    features = json.loads((folder / "osm" / "buildings.geojson").read_text())["features"]
    shapes = [shape(feature["geometry"]) for feature in features]
    by_shift: dict[tuple[float, float], list[Offset]] = {}
    for path in sorted((folder / "tiles").glob("*.tif"))[::4]:
        with rasterio.open(path) as dataset:
            source, transform = dataset.read(), dataset.transform
        for cols, rows in ((0.0, 0.0), (6.5, -4.25)):
            place = transform * rasterio.Affine.translation(-cols, -rows)
            target = rasterize(shapes, source.shape[1:], transform=place, dtype="uint8")[None]
            found = offset(source, target, np.ones(source.shape[1:], bool))
            by_shift.setdefault((cols, rows), []).append(found)
    still, after = by_shift.values()
    errors = [
        distance(b, (a.cols + 6.5, a.rows - 4.25)) for a, b in zip(still, after, strict=True) if b[2] >= CONFIDENT
    ]
    assert len(errors) >= 0.8 * len(after)
    assert max(errors) < 1
    assert distance(pooled(after), (pooled(still).cols + 6.5, pooled(still).rows - 4.25)) < 0.5
