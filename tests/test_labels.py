"""Labels: what is known of each pixel in one byte, and how it is read back as sets of classes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geopix2pix import labels
from geopix2pix.palette import Palette

CLASSES = [
    {"name": "land", "color": "FFFFFF", "target": "F2EFE9"},
    {"name": "road", "color": "000000", "target": "FFFFFE"},
    {"name": "water", "color": "404040", "target": "AAD3DF"},
]
COMPLETE = Palette.from_json({"classes": CLASSES, "unlabelled": ["000001"]}, "palette")
PARTIAL = Palette.from_json({"classes": CLASSES, "knows": ["road"], "other": ["800000"]}, "palette")


def coloured(named: np.ndarray, palette: Palette) -> np.ndarray:
    """A class raster as training reads it: through its colour table."""
    table = np.zeros((256, 3), np.uint8)
    for label, color in labels.colors(palette).items():
        table[label] = color
    return np.moveaxis(table[named], -1, 0)


@pytest.mark.parametrize("palette", [COMPLETE, PARTIAL])
@given(data=st.data())
def test_labels_mean_the_same_sets_of_classes_as_the_picture_they_come_from(palette, data):
    colors = [c.target for c in palette.classes if c.name in palette.knows] + [*palette.other, *palette.unlabelled]
    chosen = data.draw(st.lists(st.sampled_from(colors), min_size=1, max_size=8))
    picture = np.array(chosen, np.uint8).T[:, None, :]
    named = labels.from_picture(picture, palette)
    np.testing.assert_array_equal(labels.stored(palette).allowed(coloured(named, palette)), palette.allowed(picture))


def test_every_label_has_a_colour_of_its_own_even_where_classes_are_grey():
    for palette in (COMPLETE, PARTIAL):
        found = list(labels.colors(palette).values())
        assert len(set(found)) == len(found) == len(palette.classes) + 2


def test_colours_beyond_the_tolerance_are_unknown():
    picture = np.array([[0xF2, 0xEF, 0xE9], [0xF2, 0xEF, 0xE9 - 10], [0xF2, 0xEF, 0xE9 - 11]], np.uint8).T[:, None, :]
    assert labels.from_picture(picture, COMPLETE).tolist() == [[0, 0, 0]]
    assert labels.from_picture(picture, COMPLETE, tolerance=10).tolist() == [[0, 0, labels.UNKNOWN]]


def test_a_drawn_class_that_the_source_cannot_name_is_none_of_the_named():
    drawn = np.array([[0, 1, 2, labels.UNKNOWN]], np.uint8)
    assert labels.from_classes(drawn, COMPLETE).tolist() == drawn.tolist()
    none = labels.NONE_NAMED
    assert labels.from_classes(drawn, PARTIAL).tolist() == [[none, 1, none, none]]


def test_shares_are_those_of_the_known_pixels():
    named = np.array([[0, 1, 1, 2, labels.UNKNOWN]], np.uint8)
    known = np.array([[True, True, True, False, False]])
    assert labels.shares(named, COMPLETE, known) == pytest.approx({"land": 1 / 3, "road": 2 / 3, "water": 0})
    assert labels.shares(named, PARTIAL, known) == pytest.approx({"road": 2 / 3})
    assert labels.shares(named, COMPLETE, np.zeros_like(known)) == {}
