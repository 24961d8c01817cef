"""The laws of blending: patches cut from a raster give that raster back, wherever the windows lie."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geopix2pix.blend import Blender, HeldCarry
from geopix2pix.grid import Window, WindowGrid

laws = settings(deadline=None, max_examples=200)
BANDS = 2


@st.composite
def grids(draw):
    """Grids of every kind over scenes from 1 x 1 on, and parts; up to a feather of 8 the blend of 16 bits is exact."""
    feather, crop = draw(st.sampled_from([0, 1, 2, 4, 8])), draw(st.integers(0, 5))
    step = draw(st.integers(max(feather, 1), feather + 12))
    side, offset = st.one_of(st.just(1), st.integers(1, 60)), st.integers(-50, 50)
    width, height, around = draw(side), draw(side), draw(st.sampled_from([0, 3, 25]))
    return WindowGrid(
        width=width,
        height=height,
        window=step + 2 * crop + feather,
        crop=crop,
        feather=feather,
        offset=(draw(offset), draw(offset)),
        whole=Window(0, 0, width, height).padded(around),
    )


def positions(grid):
    """A raster whose 16-bit values tell their band, row and column."""
    shape = (BANDS, grid.height, grid.width)
    return np.linspace(1, 65535, np.prod(shape)).astype(np.uint16).reshape(shape)


def random_patches(grid):
    """A patch of random values for each window of a grid."""
    return {
        place: np.random.default_rng(place).uniform(-1, 1, (BANDS, grid.window, grid.window)) for place in places(grid)
    }


def patch_of(raster, grid, column, row):
    """What a window sees of a raster where it has weight; everything else that it sees is not a number."""
    window, support = grid.window_at(column, row), grid.support(column, row)
    patch = np.full((len(raster), grid.window, grid.window), np.nan, np.result_type(raster, np.float32))
    rows, cols = support.shifted(-window.col, -window.row).slices
    patch[:, rows, cols] = raster[(slice(None), *support.slices)]
    return patch


def places(grid, first_row=0):
    return [(column, row) for row, column in product(range(first_row, grid.rows), range(grid.columns))]


def mosaic(blender, patches, dtype="float32"):
    """All finished rectangles, laid where they belong; what no rectangle covers is not a number."""
    grid = blender.grid
    whole = np.full((BANDS, grid.height, grid.width), np.nan, dtype)
    for place, patch in patches.items():
        window, values = blender.add(*place, patch)
        assert window == grid.finished(*place)
        assert values.dtype == dtype
        whole[(slice(None), *window.slices)] = values
    return whole


@laws
@given(grids())
def test_patches_of_a_raster_give_it_back_bit_for_bit(grid):
    raster = positions(grid)
    result = mosaic(Blender(grid, BANDS), {place: patch_of(raster, grid, *place) for place in places(grid)})
    assert np.array_equal(result, raster)


@laws
@given(grids(), st.sampled_from(["float32", "float64"]), st.integers(0, 2**32 - 1))
def test_patches_of_floats_give_them_back_to_a_millionth_of_their_range(grid, dtype, seed):
    raster = np.random.default_rng(seed).uniform(-1, 1, (BANDS, grid.height, grid.width)).astype(dtype)
    patches = {place: patch_of(raster, grid, *place) for place in places(grid)}
    result = mosaic(Blender(grid, BANDS, dtype), patches, dtype)
    assert np.abs(result - raster).max() <= 1e-6 * 2


@laws
@given(grids(), st.integers(0, 2**32 - 1))
def test_the_blend_is_the_weighted_sum_of_patches_that_differ(grid, seed):
    """The oracle adds all patches up on an array of the whole plane that the windows see."""
    random = np.random.default_rng(seed)
    patches = {place: random.uniform(-1, 1, (BANDS, grid.window, grid.window)) for place in places(grid)}
    corner = grid.window_at(0, 0)
    side = grid.window + grid.step * max(grid.columns, grid.rows)
    plane = np.zeros((BANDS, side, side))
    for (column, row), patch in patches.items():
        rows, cols = grid.window_at(column, row).shifted(-corner.col, -corner.row).slices
        plane[:, rows, cols] += patch * np.outer(grid.weights_at(row, 1), grid.weights_at(column, 0))
    expected = plane[(slice(None), *grid.scene.shifted(-corner.col, -corner.row).slices)]
    assert np.abs(mosaic(Blender(grid, BANDS, np.float64), patches, "float64") - expected).max() <= 1e-12


@laws
@given(grids(), st.data())
def test_a_resumed_blend_is_the_undisturbed_one(grid, data):
    patches = random_patches(grid)
    undisturbed = mosaic(Blender(grid, BANDS), patches)
    stop = data.draw(st.integers(0, grid.rows))
    earlier = {place: patch for place, patch in patches.items() if place[1] < stop}
    later = {place: patch for place, patch in patches.items() if place[1] >= stop}
    carry = HeldCarry()
    result = mosaic(Blender(grid, BANDS, carry=carry), earlier)
    resumed = Blender(grid, BANDS, carry=carry)
    resumed.resume(stop)
    assert np.array_equal(np.where(np.isnan(result), mosaic(resumed, later), result), undisturbed)


@laws
@given(grids(), st.data())
def test_what_a_row_leaves_depends_on_its_own_windows_alone(grid, data):
    """So a run that has lost it computes one row again, and not all."""
    patches = random_patches(grid)
    undisturbed = mosaic(Blender(grid, BANDS), patches)
    row = data.draw(st.integers(1, grid.rows)) - 1
    again = Blender(grid, BANDS)
    again.resume(row)
    found = mosaic(again, {place: patch for place, patch in patches.items() if place[1] >= row})
    below = slice(grid.finished(0, row).bottom, None)
    assert np.array_equal(found[:, below], undisturbed[:, below])


@laws
@given(grids(), st.data())
def test_a_window_without_a_valid_pixel_adds_nothing(grid, data):
    empty = data.draw(st.sets(st.sampled_from(places(grid))))
    raster = positions(grid)
    zeroed = {place: 0 if place in empty else 1 for place in places(grid)}
    with_none = {place: patch_of(raster, grid, *place) if kept else None for place, kept in zeroed.items()}
    with_zeros = {place: patch_of(raster * np.uint16(kept), grid, *place) for place, kept in zeroed.items()}
    assert np.array_equal(mosaic(Blender(grid, BANDS), with_none), mosaic(Blender(grid, BANDS), with_zeros))
    assert not mosaic(Blender(grid, BANDS), dict.fromkeys(places(grid))).any()


class Elsewhere:
    """A carry that forgets all; and the most that it was given at a time, in bytes."""

    most = 0

    def take(self, column, row):
        return None

    def leave(self, column, row, band):
        self.most = max(self.most, band.nbytes)


def bytes_held(blender):
    """The bytes of all arrays that a blender holds itself, those that it holds through views included."""
    arrays = [value for value in vars(blender).values() if isinstance(value, np.ndarray)]
    return sum((array if array.base is None else array.base).nbytes for array in arrays)


def test_memory_does_not_grow_with_the_scene():
    small = WindowGrid.fitted(300, 300, window=64, overlap=32, stride=32)
    held = []
    for grid in (small, replace(small, height=900), replace(small, width=900)):
        carry = Elsewhere()
        blender, sizes = Blender(grid, BANDS, carry=carry), []
        for place in places(grid):
            blender.add(*place, np.ones((BANDS, grid.window, grid.window), np.float32))
            sizes.append(bytes_held(blender))
        assert carry.most == BANDS * small.feather * (small.step + small.crop) * 4
        held.append(max(sizes))
    assert len(set(held)) == 1
    assert held[0] <= 4 * small.window * (small.window + BANDS * small.feather)


def test_windows_come_in_row_major_order():
    grid = WindowGrid.fitted(100, 100, window=64, overlap=0, stride=64)
    wrong = [(1, 0), (0, 0), (1, 1), (0, 2)]
    blender = Blender(grid, BANDS)
    for number, place in enumerate(places(grid)):
        with pytest.raises(ValueError, match=r"next one is \(column"):
            blender.add(*wrong[number], None)
        blender.add(*place, None)
    for place in [(0, 0), (0, 2)]:  # past the end, nothing comes next
        with pytest.raises(ValueError, match="row-major order"):
            blender.add(*place, None)


@pytest.mark.parametrize("shape", [(BANDS, 64, 63), (BANDS + 1, 64, 64), (1, 64, 64), (64, 64)])
def test_a_patch_of_another_shape_is_refused_and_changes_nothing(shape):
    grid = WindowGrid.fitted(64, 64, window=64, overlap=0, stride=64)
    blender = Blender(grid, BANDS)
    with pytest.raises(ValueError, match=r"expected \(2, 64, 64\)"):
        blender.add(0, 0, np.zeros(shape, np.float32))
    assert blender.add(0, 0, np.ones((BANDS, 64, 64), np.float32))[1].all()


@pytest.mark.parametrize("row", [-1, 4])
def test_a_row_that_is_not_there_cannot_be_resumed(row):
    blender = Blender(WindowGrid.fitted(100, 100, window=64, overlap=32, stride=32), BANDS)
    with pytest.raises(ValueError, match=f"row {row} of 3"):
        blender.resume(row)


@pytest.mark.parametrize("shape", [(BANDS, 8, 1), (BANDS, 8, 45), (BANDS + 1, 8, 44), (1, 1, 44)])
def test_what_another_grid_has_left_is_refused(shape):
    carry = HeldCarry()
    carry.leave(0, 0, np.zeros(shape, np.float32))
    blender = Blender(WindowGrid.fitted(100, 100, window=64, overlap=32, stride=32), BANDS, carry=carry)
    blender.resume(1)
    with pytest.raises(ValueError, match=r"expected \(2, 8, 44\)"):
        blender.add(0, 1, None)
