"""The laws of a window grid: it covers the scene, its weights sum to one, its finished rectangles tile the scene."""

import re
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geopix2pix.errors import ConfigError
from geopix2pix.grid import MAX_FEATHER, Window, WindowGrid, alignment

laws = settings(deadline=None, max_examples=300)
windows = st.builds(Window, *[st.integers(-20, 20)] * 2, *[st.integers(0, 20)] * 2)


@st.composite
def grids(draw, parts=True):
    """Grids of every kind over scenes from 1 x 1 on and over parts, moved to both sides and by more than a step."""
    side = st.one_of(st.just(1), st.integers(1, 70))
    feather, crop = draw(st.sampled_from([0, 1, 2, 4, 8])), draw(st.integers(0, 6))
    step = draw(st.integers(max(feather, 1), feather + 12))
    width, height = draw(side), draw(side)
    around = draw(st.tuples(*[st.integers(0, 30)] * 4)) if parts and draw(st.booleans()) else (0, 0, 0, 0)
    left, top, right, bottom = around
    return WindowGrid(
        width=width,
        height=height,
        window=step + 2 * crop + feather,
        crop=crop,
        feather=feather,
        offset=draw(st.tuples(st.integers(-60, 60), st.integers(-60, 60))),
        whole=Window(-left, -top, left + width + right, top + height + bottom) if any(around) else None,
    )


def whole_of(grid):
    """The grid over all of the scene that the grid's is a part of, whose first pixel is then (0, 0)."""
    whole = grid.whole or grid.scene
    return replace(grid, width=whole.width, height=whole.height, whole=None)


def places(grid):
    """The (column, row) of all windows in row-major order."""
    return [(column, row) for row, column in product(range(grid.rows), range(grid.columns))]


def total_weights(grid):
    """The sum of the weights of all windows at each pixel of the scene."""
    total = np.zeros((grid.height, grid.width), np.float32)
    for column, row in places(grid):
        window = grid.window_at(column, row)
        seen = window.intersection(grid.scene)
        weights = np.outer(grid.weights_at(row, 1), grid.weights_at(column, 0))
        total[seen.slices] += weights[seen.shifted(-window.col, -window.row).slices]
    return total


def sums_to_one(grid):
    return bool((total_weights(grid) == 1).all())


@laws
@given(grids())
def test_weights_sum_to_exactly_one(grid):
    assert sums_to_one(grid)


@pytest.mark.parametrize("feather", [2**n for n in range(1, 12)])
def test_products_of_weights_are_exact_for_every_feather(feather):
    """At the widest feather the four weights of a pixel need all 24 bits of a float32."""
    grid = WindowGrid(width=4 * feather, height=1, window=3 * feather, crop=0, feather=feather)
    ramp = grid.weights_at(1, 0)[:feather]
    some = ramp[:: max(feather // 64, 1)]
    vertical, horizontal = some[:, None], some[None, :]
    corners = [y * x for y in (vertical, 1 - vertical) for x in (horizontal, 1 - horizontal)]
    assert (sum(corners) == 1).all()
    assert (corners[0].astype(np.float64) == vertical.astype(np.float64) * horizontal).all()


@dataclass(frozen=True, kw_only=True)
class DisturbedGrid(WindowGrid):
    """A grid with one wrong weight."""

    index: int
    error: float

    def weights_at(self, index, axis):
        return super().weights_at(index, axis) + np.float32(self.error) * (np.arange(self.window) == self.index)


@settings(deadline=None, max_examples=100)
@given(grids(parts=False), st.data(), st.sampled_from([-1, 1]))
def test_one_weight_wrong_by_one_part_in_65536_breaks_the_law(grid, data, sign):
    side = 3 * grid.window  # at least one whole window lies in such a scene, wherever the grid begins
    fields = {name: getattr(grid, name) for name in ("window", "crop", "feather", "offset")}
    index = data.draw(st.integers(0, grid.window - 1))
    assert sums_to_one(DisturbedGrid(**fields, width=side, height=side, index=index, error=0))
    assert not sums_to_one(DisturbedGrid(**fields, width=side, height=side, index=index, error=sign / 65536))


@laws
@given(grids())
def test_finished_rectangles_tile_the_scene_exactly_once(grid):
    times = np.zeros((grid.height, grid.width), int)
    for place in places(grid):
        times[grid.finished(*place).slices] += 1
    assert (times == 1).all()


@laws
@given(grids())
def test_a_pixel_is_finished_by_the_last_window_that_has_weight_there(grid):
    last_touch, finished_by = np.zeros((2, grid.height, grid.width), int)
    for number, place in enumerate(places(grid)):
        last_touch[grid.support(*place).slices] = number
        finished_by[grid.finished(*place).slices] = number
    assert (finished_by == last_touch).all()


@laws
@given(grids())
def test_support_is_where_the_weights_are_not_zero(grid):
    for place in places(grid):
        window = grid.window_at(*place)
        cols, rows = (np.flatnonzero(grid.weights_at(place[axis], axis)) + window[axis] for axis in (0, 1))
        cols, rows = cols[(cols >= 0) & (cols < grid.width)], rows[(rows >= 0) & (rows < grid.height)]
        assert grid.support(*place) == (cols[0], rows[0], len(cols), len(rows))


@laws
@given(grids(parts=False))
def test_no_window_is_used_that_is_not_needed_to_cover_the_scene(grid):
    first, last = grid.window_at(0, 0), grid.window_at(grid.columns - 1, grid.rows - 1)
    for axis in (0, 1):
        begin, end, size = first[axis], last[axis] + grid.window, grid.scene[axis + 2]
        assert begin <= 0 < begin + grid.step, "the next one begins inside"
        assert end >= size
        assert end - grid.step < size or last[axis] == begin, "the one before ends inside"


@laws
@given(grids())
def test_every_window_has_weight_in_the_scene(grid):
    assert grid.columns > 0 and grid.rows > 0
    assert not any(grid.support(*place).is_empty for place in places(grid))


@laws
@given(grids(), st.sampled_from([0, 1, 2, 5]))
def test_weight_keeps_a_crop_from_where_a_window_ends_and_the_whole_does_not(grid, trim):
    grid, whole = replace(grid, trim=trim), grid.whole or grid.scene
    for place in places(grid):
        seen, support = grid.seen_at(*place), grid.support(*place)
        assert grid.weighted(seen) == support
        assert seen.col <= whole.col or support.col >= seen.col + grid.crop
        assert seen.row <= whole.row or support.row >= seen.row + grid.crop
        assert seen.right >= whole.right or support.right <= seen.right - grid.crop
        assert seen.bottom >= whole.bottom or support.bottom <= seen.bottom - grid.crop


@laws
@given(grids())
def test_windows_have_full_weight_at_the_border_of_a_whole_and_a_ramp_between_neighbours(grid):
    whole, ramp = grid.whole or grid.scene, [(2 * n + 1) / (2 * grid.feather) for n in range(grid.feather)]
    for place, axis in product(places(grid), (0, 1)):
        begin, weights = grid.window_at(*place)[axis], grid.weights_at(place[axis], axis)
        at_border = begin <= whole[axis], begin + grid.window >= whole[axis] + whole[axis + 2]
        for ends, side in zip(at_border, (weights, weights[::-1]), strict=True):
            expected = [1] * (grid.crop + 1) if ends else [0] * grid.crop + ramp
            assert side[: len(expected)].tolist() == expected


@laws
@given(grids(), st.integers(-3, 3), st.integers(-3, 3))
def test_moving_the_grid_by_whole_steps_changes_nothing(grid, columns, rows):
    offset = (grid.offset[0] + columns * grid.step, grid.offset[1] + rows * grid.step)
    moved = replace(grid, offset=offset)
    assert [moved.window_at(*p) for p in places(moved)] == [grid.window_at(*p) for p in places(grid)]


@laws
@given(grids())
def test_an_offset_moves_every_window_by_itself(grid):
    whole = grid.whole or grid.scene
    for place in places(grid):
        window = grid.window_at(*place)
        assert (window.col - whole.col - grid.offset[0]) % grid.step == 0
        assert (window.row - whole.row - grid.offset[1]) % grid.step == 0


def test_the_first_window_begins_with_the_scene():
    grid = WindowGrid.fitted(1000, 300, window=256, overlap=64, stride=32)
    assert (grid.crop, grid.feather, grid.step, grid.overlap) == (24, 16, 192, 64)
    assert (grid.columns, grid.rows) == (5, 2)
    assert grid.window_at(0, 0) == Window(0, 0, 256, 256)
    assert grid.window_at(4, 1) == Window(768, 192, 256, 256)
    assert grid.support(0, 0) == Window(0, 0, 232, 232)
    assert grid.support(1, 0) == Window(216, 0, 208, 232)
    assert grid.finished(0, 0) == Window(0, 0, 216, 216)
    assert grid.finished(4, 1) == Window(792, 216, 208, 84)
    ramp = [(2 * k + 1) / 32 for k in range(16)]
    assert grid.weights_at(1, 0).tolist() == [0.0] * 24 + ramp + [1.0] * 176 + ramp[::-1] + [0.0] * 24
    assert grid.weights_at(0, 0).tolist() == [1.0] * 216 + ramp[::-1] + [0.0] * 24
    assert grid.weights_at(4, 0).tolist() == [0.0] * 24 + ramp + [1.0] * 216


@pytest.mark.parametrize(
    ("size", "window", "overlap", "count", "share"),
    [(4096, 1024, 256, 5, 1.5625), (4096, 1536, 256, 3, 1.265625), (512, 1024, 256, 1, 1), (1024, 1024, 256, 1, 1)],
)
def test_borders_cost_no_windows(size, window, overlap, count, share):
    grid = replace(WindowGrid.fitted(size, size, window=window, overlap=overlap, stride=32), trim=32)
    assert (grid.columns, grid.rows) == (count, count)
    assert grid.computed_pixels == share * size**2


def test_without_overlap_the_windows_lie_side_by_side():
    grid = WindowGrid.fitted(64, 33, window=32, overlap=0, stride=32)
    assert (grid.columns, grid.rows) == (2, 2)
    assert grid.window_at(1, 1) == Window(32, 32, 32, 32)
    assert grid.finished(1, 1) == Window(32, 32, 32, 1)


@pytest.mark.parametrize(
    ("window", "overlap", "stride", "crop", "feather"),
    [
        (256, 0, 32, 0, 0),
        (256, 64, 256, 24, 16),  # the classic U-Net on windows of its own size: steps of quarters of a window
        (512, 128, 32, 48, 32),
        (512, 96, 32, 40, 16),  # a quarter of the overlap is 24, no power of two
        (64, 6, 2, 3, 0),  # too narrow to be feathered
        (512, 480, 32, 224, 32),  # no band wider than the step of 32, or three windows would meet in it
        (16384, 8192 + 4096, 4096, 5120, 2048),  # the widest band whose weights are exact
    ],
)
def test_fitted_splits_the_overlap_into_crop_and_feather(window, overlap, stride, crop, feather):
    grid = WindowGrid.fitted(10, 10, window=window, overlap=overlap, stride=stride, offset=(3, -3))
    assert (grid.crop, grid.feather, grid.overlap, grid.offset) == (crop, feather, overlap, (3, -3))


@laws
@given(st.integers(1, 300), st.integers(-10, 310), st.sampled_from([1, 2, 8, 32, 64, 256]))
def test_fitted_gives_the_asked_overlap_or_names_the_nearest_that_fit(window, overlap, stride):
    def fits(value):
        return 0 <= value < window and value % 2 == 0 and (window - value) % alignment(window, stride) == 0

    try:
        grid = WindowGrid.fitted(5, 5, window=window, overlap=overlap, stride=stride)
    except ConfigError as error:
        assert not fits(overlap)
        named = [int(v) for v in re.findall(r"\d+", str(error).partition("nearest that fit:")[2])]
        assert all(fits(value) for value in named)
        reach = min((abs(v - overlap) for v in range(0, window, 2) if fits(v)), default=None)
        assert reach == min((abs(v - overlap) for v in named), default=None)
    else:
        assert fits(overlap)
        assert grid.overlap == overlap
        assert grid.feather <= overlap / 4


@pytest.mark.parametrize(
    ("window", "overlap", "stride", "message"),
    [
        (256, 60, 32, "overlap 60 does not fit .* 256 .* multiple of 32; nearest that fit: 32 and 64"),
        (256, 256, 32, "nearest that fit: 192 and 224"),
        (256, -2, 256, "multiple of 64; nearest that fit: 0 and 64"),
        (100, 5, 1, "nearest that fit: 4 and 6"),
        (255, 64, 32, "no overlap fits windows of 255 pixels, .* multiple of 32: choose a positive, even window"),
        (0, 0, 32, "no overlap fits windows of 0 pixels"),
    ],
)
def test_an_overlap_that_does_not_fit_is_refused_with_the_remedy(window, overlap, stride, message):
    with pytest.raises(ConfigError, match=message):
        WindowGrid.fitted(1000, 1000, window=window, overlap=overlap, stride=stride)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"whole": Window(1, 0, 8, 9)}, "is no part of"),
        ({"width": 0}, "scene of 0 x 9 pixels"),
        ({"height": -1}, "scene of 9 x -1 pixels"),
        ({"feather": 3}, "feather 3 must be 0 or a power of two"),
        ({"feather": 2 * MAX_FEATHER, "window": 5 * MAX_FEATHER}, "feather 4096 must be .* up to 2048"),
        ({"feather": -4}, "feather -4"),
        ({"crop": -1}, "crop -1"),
        ({"crop": 8}, "leave a step of -2"),
        ({"feather": 8}, "leave a step of 6"),  # a pixel must lie in at most two windows of a row
    ],
)
def test_an_impossible_grid_is_refused(change, message):
    with pytest.raises(ConfigError, match=message):
        WindowGrid(**{"width": 9, "height": 9, "window": 16, "crop": 1, "feather": 2} | change)


@pytest.mark.parametrize(
    ("window", "stride", "unit"), [(512, 32, 32), (512, 256, 256), (256, 256, 64), (128, 256, 32), (2, 32, 1)]
)
def test_alignment_is_the_stride_where_the_window_is_larger_and_a_quarter_window_elsewhere(window, stride, unit):
    assert alignment(window, stride) == unit


@laws
@given(grids(), st.sampled_from([1, 2, 4, 5]))
def test_what_is_trimmed_of_a_window_lies_outside_of_the_whole(grid, trim):
    trimmed, whole = replace(grid, trim=trim), grid.whole or grid.scene
    for place in places(grid):
        window, seen = grid.window_at(*place), trimmed.seen_at(*place)
        assert seen == seen.intersection(window)
        cut = (seen.col - window.col, seen.row - window.row, window.right - seen.right, window.bottom - seen.bottom)
        assert all(side % trim == 0 for side in cut), "the network would see the scene in another phase"
        wanted = window.intersection(whole)
        assert wanted == wanted.intersection(seen)
        assert seen == seen.intersection(whole.padded(trim - 1)), "no more is computed than the rounding asks for"
        assert grid.seen_at(*place) == window
    seen = [trimmed.seen_at(*place) for place in places(grid)]
    assert trimmed.computed_pixels == sum(window.width * window.height for window in seen)
    assert grid.computed_pixels == grid.columns * grid.rows * grid.window**2


@laws
@given(grids())
def test_a_part_is_seen_and_blended_like_the_same_pixels_of_the_whole(grid):
    part, whole = replace(grid, trim=2), replace(whole_of(grid), trim=2)
    by = (0, 0) if grid.whole is None else (-grid.whole.col, -grid.whole.row)
    here = part.scene.shifted(*by)
    windows = {whole.window_at(*place): place for place in places(whole) if not _empty(whole, place, here)}
    assert {part.window_at(*place).shifted(*by) for place in places(part)} == windows.keys()
    for place in places(part):
        same = windows[part.window_at(*place).shifted(*by)]
        assert part.seen_at(*place).shifted(*by) == whole.seen_at(*same)
        assert part.support(*place).shifted(*by) == whole.support(*same).intersection(here)
        for axis in (0, 1):
            assert np.array_equal(part.weights_at(place[axis], axis), whole.weights_at(same[axis], axis))


def _empty(grid, place, area):
    return grid.support(*place).intersection(area).is_empty


@laws
@given(windows, windows)
def test_intersection_holds_the_pixels_of_both(first, second):
    def pixels(window):
        return set(product(range(window.col, window.right), range(window.row, window.bottom)))

    shared = first.intersection(second)
    assert pixels(shared) == pixels(first) & pixels(second)
    assert shared.is_empty == (not pixels(shared))


@laws
@given(windows, st.integers(0, 9), st.integers(-9, 9))
def test_padding_and_shifting_can_be_undone(window, pixels, shift):
    assert window.padded(pixels).padded(-pixels) == window
    assert window.shifted(shift, -shift).shifted(-shift, shift) == window
    assert window.padded(pixels).intersection(window) == window


def test_slices_are_rows_then_columns():
    array = np.arange(20).reshape(4, 5)
    assert array[Window(2, 1, 3, 2).slices].tolist() == [[7, 8, 9], [12, 13, 14]]


@pytest.mark.parametrize("window", [Window(-1, 0, 3, 3), Window(0, -1, 3, 3)])
def test_slices_refuse_to_count_from_the_far_end(window):
    with pytest.raises(ValueError, match="begins outside"):
        window.slices  # noqa: B018 -- the property itself raises
