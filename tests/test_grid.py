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
def grids(draw):
    """Grids of every kind over scenes from 1 x 1 on, moved to both sides and by more than a step."""
    side = st.one_of(st.just(1), st.integers(1, 70))
    feather, crop = draw(st.sampled_from([0, 1, 2, 4, 8])), draw(st.integers(0, 6))
    step = draw(st.integers(max(feather, 1), feather + 12))
    return WindowGrid(
        width=draw(side),
        height=draw(side),
        window=step + 2 * crop + feather,
        crop=crop,
        feather=feather,
        offset=draw(st.tuples(st.integers(-60, 60), st.integers(-60, 60))),
    )


def places(grid):
    """The (column, row) of all windows in row-major order."""
    return [(column, row) for row, column in product(range(grid.rows), range(grid.columns))]


def total_weights(grid):
    """The sum of the weights of all windows at each pixel of the scene, as they stand on the infinite plane."""
    total = np.zeros((grid.height, grid.width), np.float32)
    weights = np.outer(grid.weights, grid.weights)
    for place in places(grid):
        window = grid.window_at(*place)
        seen = window.intersection(grid.scene)
        if not seen.is_empty:
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
    ramp = WindowGrid(width=1, height=1, window=3 * feather, crop=0, feather=feather).weights[:feather]
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

    @property
    def weights(self):
        return WindowGrid.weights.fget(self) + np.float32(self.error) * (np.arange(self.window) == self.index)


@settings(deadline=None, max_examples=100)
@given(grids(), st.data(), st.sampled_from([-1, 1]))
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
        cols, rows = (np.flatnonzero(grid.weights) + start for start in (window.col, window.row))
        cols, rows = cols[(cols >= 0) & (cols < grid.width)], rows[(rows >= 0) & (rows < grid.height)]
        assert grid.support(*place) == (cols[0], rows[0], len(cols), len(rows))


@laws
@given(grids())
def test_windows_that_do_not_touch_the_scene_are_left_out(grid):
    assert grid.columns > 0 and grid.rows > 0
    for outside in [(-1, 0), (grid.columns, 0), (0, -1), (0, grid.rows)]:
        assert grid.support(*outside).is_empty


@laws
@given(grids(), st.integers(-3, 3), st.integers(-3, 3))
def test_moving_the_grid_by_whole_steps_changes_nothing(grid, columns, rows):
    offset = (grid.offset[0] + columns * grid.step, grid.offset[1] + rows * grid.step)
    moved = replace(grid, offset=offset)
    assert [moved.window_at(*p) for p in places(moved)] == [grid.window_at(*p) for p in places(grid)]


@laws
@given(grids())
def test_an_offset_moves_every_window_by_itself(grid):
    window = grid.window_at(0, 0)
    assert (window.col + grid.crop + grid.feather - grid.offset[0]) % grid.step == 0
    assert (window.row + grid.crop + grid.feather - grid.offset[1]) % grid.step == 0


def test_the_first_window_has_full_weight_from_the_first_pixel_on():
    grid = WindowGrid.fitted(1000, 300, window=256, overlap=64, stride=32)
    assert (grid.crop, grid.feather, grid.step, grid.overlap) == (24, 16, 192, 64)
    assert (grid.columns, grid.rows) == (6, 2)
    assert grid.window_at(0, 0) == Window(-40, -40, 256, 256)
    assert grid.window_at(1, 0) == Window(152, -40, 256, 256)
    assert grid.support(1, 0) == Window(176, 0, 208, 192)
    assert grid.finished(0, 0) == Window(0, 0, 176, 176)
    assert grid.finished(5, 1) == Window(944, 176, 56, 124)
    assert grid.weights[:42].tolist() == [0.0] * 24 + [(2 * k + 1) / 32 for k in range(16)] + [1.0] * 2


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
def test_what_is_trimmed_of_a_window_lies_further_out_than_its_crop(grid, trim):
    trimmed = replace(grid, trim=trim)
    for place in places(grid):
        window, seen = grid.window_at(*place), trimmed.seen_at(*place)
        assert seen == seen.intersection(window)
        cut = (seen.col - window.col, seen.row - window.row, window.right - seen.right, window.bottom - seen.bottom)
        assert all(side % trim == 0 for side in cut), "the network would see the scene in another phase"
        wanted = window.intersection(grid.scene.padded(grid.crop))
        assert wanted == wanted.intersection(seen)
        assert seen == seen.intersection(grid.scene.padded(grid.crop + trim - 1))
        assert grid.seen_at(*place) == window
    seen = [trimmed.seen_at(*place) for place in places(grid)]
    assert trimmed.computed_pixels == sum(window.width * window.height for window in seen)
    assert grid.computed_pixels == grid.columns * grid.rows * grid.window**2


@laws
@given(grids(), st.data())
def test_the_windows_of_a_part_are_trimmed_like_those_of_the_whole(grid, data):
    whole = replace(grid, trim=2)
    col, row = (data.draw(st.integers(0, side - 1)) for side in (grid.width, grid.height))
    offset = (grid.offset[0] - col, grid.offset[1] - row)
    size = {"width": grid.width - col, "height": grid.height - row}
    part = replace(whole, offset=offset, whole=grid.scene.shifted(-col, -row), **size)
    seen = {whole.seen_at(*place) for place in places(whole)}
    assert {part.seen_at(*place).shifted(col, row) for place in places(part)} <= seen


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
