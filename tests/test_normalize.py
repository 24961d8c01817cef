"""The laws of scaling: what goes forward comes back, and nothing leaves its range."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geopix2pix.errors import ConfigError
from geopix2pix.normalize import Scaling

laws = settings(deadline=None, max_examples=200)
values = st.floats(-1e6, 1e6, width=32)


@st.composite
def ranges(draw):
    """A low and a high that are far enough apart for the 24 bits of a float32 to tell what lies between."""
    low = draw(values)
    return low, low + max(abs(low), 1.0) * draw(st.floats(0.5, 1e3, width=32))


def every_value(dtype):
    limits = np.iinfo(dtype)
    return np.arange(limits.min, limits.max + 1).astype(dtype).reshape(1, 1, -1)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16"])
def test_every_integer_comes_back_bit_for_bit_through_float32(dtype):
    band = every_value(dtype)
    scaling = Scaling.full_range(dtype, 1)
    scaled = scaling.forward(band)
    assert scaled.dtype == np.float32
    assert (scaled.min(), scaled.max()) == (-1, 1)
    assert (np.diff(scaled) > 0).all()
    back = scaling.backward(scaled, dtype)
    assert back.dtype == band.dtype
    assert np.array_equal(back, band)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
@pytest.mark.parametrize(("low", "high"), [(17, 201), (0, 100), (1, 2)])
def test_a_clipping_scaling_returns_the_clipped_source(dtype, low, high):
    band = every_value(dtype)
    scaling = Scaling.uniform(low, high, 1)
    assert np.array_equal(scaling.backward(scaling.forward(band), dtype), band.clip(low, high))


@laws
@given(ranges(), st.lists(st.floats(0, 1, width=32), min_size=1, max_size=20), st.sampled_from(["float32", "float64"]))
def test_floats_come_back_to_a_millionth_of_the_range(limits, shares, dtype):
    low, high = limits
    scaling = Scaling.uniform(low, high, 1)
    band = (low + np.array(shares) * (high - low)).astype(dtype).reshape(1, 1, -1)
    scaled = scaling.forward(band)
    back = scaling.backward(scaled, dtype)
    assert (scaled.dtype, back.dtype) == (np.float32, dtype)
    assert np.abs(scaled).max() <= 1
    assert np.abs(back - band.astype(np.float64)).max() <= 1e-6 * (high - low)


@laws
@given(ranges(), st.lists(values, min_size=1, max_size=20))
def test_clipping_keeps_to_the_range_and_is_all_that_clip_does(limits, numbers):
    band = np.array(numbers, np.float32).reshape(1, -1, 1)
    clipping = Scaling.uniform(*limits, 1)
    free = Scaling(clipping.low, clipping.high, clip=False)
    assert np.array_equal(clipping.forward(band), free.forward(band).clip(-1, 1))


@pytest.mark.parametrize("dtype", ["int32", "uint32"])
def test_wide_integers_keep_the_bits_of_a_float32(dtype):
    limits = np.iinfo(dtype)
    band = np.linspace(limits.min, limits.max, 1001).astype(dtype).reshape(1, 1, -1)
    scaling = Scaling.full_range(dtype, 1)
    back = scaling.backward(scaling.forward(band), dtype)
    assert (back[0, 0, 0], back[0, 0, -1]) == (limits.min, limits.max)
    assert np.abs(back.astype(np.int64) - band).max() <= 2**8  # 32 bits less the 24 of a float32
    # Around a value far from 0 a narrow range keeps every bit, which plain float32 arithmetic would not.
    narrow = Scaling.uniform(2e9, 2e9 + 100, 1)
    near = np.arange(2_000_000_000, 2_000_000_101).astype(dtype).reshape(1, 1, -1)
    assert np.array_equal(narrow.backward(narrow.forward(near), dtype), near)


def test_each_band_has_its_own_range():
    scaling = Scaling((0, -10), (255, 30))
    scaled = scaling.forward(np.array([[[0, 255]], [[-10, 20]]], np.int16))
    assert scaled.tolist() == [[[-1, 1]], [[-1, 0.5]]]
    assert scaling.backward(scaled, "int16").tolist() == [[[0, 255]], [[-10, 20]]]


def test_integers_are_rounded_half_to_even_and_clipped_to_their_dtype():
    scaling = Scaling.uniform(-128, 128, 1)
    halves = np.array([[[0.5, 1.5, 2.5, -0.5, -1.5]]], np.float32) / 128
    assert scaling.backward(halves, "int16").tolist() == [[[0, 2, 2, 0, -2]]]
    assert scaling.backward(np.float32([[[-1, 1, 9]]]), "uint8").tolist() == [[[0, 128, 255]]]


def test_the_source_is_left_as_it_is():
    band = np.float32([[[1, 2, 3]]])
    scaling = Scaling.uniform(2, 3, 1)
    scaled = scaling.forward(band)
    scaling.backward(scaled, "float32")
    assert band.tolist() == [[[1, 2, 3]]]
    assert scaled.tolist() == [[[-1, -1, 1]]]


def test_not_a_number_stays_one_and_infinities_are_clipped():
    scaled = Scaling.uniform(0, 2, 1).forward(np.float32([[[np.nan, np.inf, -np.inf, 1]]]))
    assert np.array_equal(scaled, [[[np.nan, 1, -1, 0]]], equal_nan=True)


@pytest.mark.parametrize("shape", [(2, 4, 4), (1, 4, 4), (3, 4)])
def test_an_array_of_other_bands_is_a_programming_error(shape):
    scaling = Scaling.uniform(0, 1, 3)
    with pytest.raises(ValueError, match="scaling of 3 bands"):
        scaling.forward(np.zeros(shape, np.float32))
    with pytest.raises(ValueError, match="scaling of 3 bands"):
        scaling.backward(np.zeros(shape, np.float32), "uint8")


@laws
@given(st.lists(ranges(), min_size=1, max_size=4), st.booleans())
def test_json_brings_the_scaling_back(limits, clip):
    scaling = Scaling(*map(tuple, zip(*limits, strict=True)), clip)
    assert Scaling.from_json(json.loads(json.dumps(scaling.to_json())), "here") == scaling


def test_json_may_leave_out_clip():
    assert Scaling.from_json({"low": [0], "high": [1]}, "here") == Scaling((0.0,), (1.0,), clip=True)


@pytest.mark.parametrize(
    ("low", "high", "message"),
    [
        ((), (), "found 0 and 0"),
        ((0.0,), (1.0, 2.0), "found 1 and 2"),
        ((0.0, 5.0), (1.0, 5.0), "band 2 .* low 5.0 to high 5.0"),
        ((7.0,), (3.0,), "band 1 .* low 7.0 to high 3.0"),
        ((float("nan"),), (3.0,), "low nan"),
        ((0.0,), (float("nan"),), "high nan"),
        ((0.0,), (float("inf"),), "high inf"),
        ((float("-inf"),), (0.0,), "low -inf"),
        ((-3.4e38,), (3.4e38,), r"low -3.4e\+38"),  # the range itself would overflow a float32
        ((0.0,), (1e-45,), "high 1e-45"),  # half of it would be 0 in a float32
    ],
)
def test_an_impossible_range_is_refused_with_its_band(low, high, message):
    with pytest.raises(ConfigError, match=message):
        Scaling(low, high)


@pytest.mark.parametrize("dtype", ["float32", "int64", "uint64", "complex64"])
def test_only_integers_up_to_32_bits_have_a_full_range(dtype):
    with pytest.raises(ConfigError, match=f"{dtype} has no full range .* `low`"):
        Scaling.full_range(dtype, 1)


def test_a_dtype_whose_limits_no_float_holds_cannot_be_written():
    with pytest.raises(ConfigError, match="int64"):
        Scaling.uniform(0, 1, 1).backward(np.zeros((1, 1, 1), np.float32), "int64")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([0, 1], "here: a scaling is a JSON object .* found list"),
        ({"high": [1]}, "here: `low` must be a list of numbers.* found None"),
        ({"low": [0], "high": 1}, "here: `high` must be a list of numbers.* found 1"),
        ({"low": ["0"], "high": [1]}, r"here: `low` .* found \['0'\]"),
        ({"low": [False], "high": [1]}, r"here: `low` .* found \[False\]"),
        ({"low": [0], "high": [10**400]}, "here: `high` holds a number that no float can hold"),
        ({"low": [0], "high": [1], "clip": 1}, "here: `clip` must be true or false, found 1"),
        ({"low": [1], "high": [0]}, "here: band 1 cannot be scaled"),
    ],
)
def test_a_damaged_document_is_refused_with_the_field(data, message):
    with pytest.raises(ConfigError, match=message):
        Scaling.from_json(data, "here")
