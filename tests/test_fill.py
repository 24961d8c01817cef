"""Filling depends on the position alone: compared with numpy's padding and with a search by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geopix2pix.fill import fill_holes, reflect
from tests.rasters import MASKS, coordinates


@given(size=st.integers(1, 9), before=st.integers(0, 40), after=st.integers(0, 40))
def test_reflection_is_numpys_symmetric_padding_at_any_distance(size, before, after):
    expected = np.pad(np.arange(size), (before, after), mode="symmetric")
    assert reflect(np.arange(-before, size + after), size).tolist() == expected.tolist()


def nearest(valid: np.ndarray, row: int, col: int, radius: int) -> tuple[int, int] | None:
    """The rule, literally: the smallest distance, then the nearest column, then left, then up."""
    rows, cols = np.nonzero(valid)
    candidates = [
        ((r - row) ** 2 + (c - col) ** 2, abs(c - col), c, r)
        for r, c in zip(rows.tolist(), cols.tolist(), strict=True)
        if (r - row) ** 2 + (c - col) ** 2 <= radius**2
    ]
    return min(candidates)[:1:-1] if candidates else None


@given(bits=st.lists(st.booleans(), min_size=96, max_size=96), radius=st.integers(1, 6))
def test_holes_take_the_nearest_valid_pixel(bits, radius):
    valid = np.array(bits).reshape(8, 12) & (np.arange(12) % 3 == 0)
    data = coordinates(2, 8, 12, "int16")
    filled, known = fill_holes(data, valid, radius)
    for row, col in np.ndindex(valid.shape):
        source = nearest(valid, row, col, radius)
        assert known[row, col] == (source is not None)
        from_row, from_col = source or (row, col)
        assert filled[:, row, col].tolist() == data[:, from_row, from_col].tolist()


def test_a_tie_goes_to_the_nearer_column_then_left_then_up():
    valid = np.zeros((5, 5), bool)
    data = np.arange(25).reshape(1, 5, 5)
    for places, winner in [
        ([(0, 2), (2, 0), (2, 4), (4, 2)], (0, 2)),
        ([(2, 0), (2, 4), (4, 2)], (4, 2)),
        ([(2, 0), (2, 4)], (2, 0)),
        ([(1, 1), (1, 3), (3, 1)], (1, 1)),
    ]:
        here = valid.copy()
        here[tuple(zip(*places, strict=True))] = True
        assert fill_holes(data, here, 3)[0][0, 2, 2] == data[0][winner]


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("radius", [1, 5])
def test_a_piece_is_filled_like_the_whole_a_radius_away_from_the_cut(mask, radius):
    valid, data = mask(40, 50), coordinates(1, 40, 50, "uint8")
    whole, known = fill_holes(data, valid, radius)
    rows, cols = slice(8, 31), slice(9, 44)
    piece, known_piece = fill_holes(data[:, rows, cols], valid[rows, cols], radius)
    inner = slice(radius, -radius)
    assert np.array_equal(piece[:, inner, inner], whole[:, rows, cols][:, inner, inner])
    assert np.array_equal(known_piece[inner, inner], known[rows, cols][inner, inner])


@pytest.mark.parametrize("mask", MASKS)
def test_valid_pixels_and_the_input_stay_as_they_are(mask):
    valid, data = mask(30, 40), coordinates(3, 30, 40, "float32")
    before = data.copy()
    filled, known = fill_holes(data, valid)
    assert np.array_equal(filled[:, valid], before[:, valid])
    assert np.array_equal(data, before)
    assert known[valid].all()


def test_nothing_is_filled_from_beyond_the_radius():
    valid = np.zeros((1, 20), bool)
    valid[0, 0] = True
    assert fill_holes(np.zeros((1, 1, 20)), valid, 5)[1].tolist() == [[True] * 6 + [False] * 14]
