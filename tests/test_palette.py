"""Palettes: what a target colour means, and which palettes mean nothing."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from geopix2pix.errors import ConfigError
from geopix2pix.palette import Palette

STREETS = {
    "classes": [
        {"name": "land", "color": "808000", "display": "F2EFE9"},
        {"name": "road", "color": "FF0000", "display": "FFFFFF", "target": "FFFFFF"},
        {"name": "water", "color": "#0000FF"},
    ]
}
ROADS_ONLY = {**STREETS, "knows": ["road"], "other": ["000000"], "unlabelled": ["7F7F7F"]}


def pixels(*colors: tuple[int, int, int]) -> np.ndarray:
    return np.array(colors, np.uint8).T[:, None, :]


def test_defaults_follow_from_the_training_colour() -> None:
    palette = Palette.from_json(STREETS, "here")
    assert palette.knows == ("land", "road", "water")
    water = palette.classes[2]
    assert water.color == water.display == water.target == (0, 0, 255)
    assert palette.colors.tolist() == [[128, 128, 0], [255, 0, 0], [0, 0, 255]]
    assert palette.display.tolist() == [[242, 239, 233], [255, 255, 255], [0, 0, 255]]


@pytest.mark.parametrize("data", [STREETS, ROADS_ONLY])
def test_json_round_trip(data: dict) -> None:
    palette = Palette.from_json(data, "here")
    assert Palette.from_json(json.loads(json.dumps(palette.to_json())), "there") == palette


def test_a_complete_source_names_one_class_per_pixel() -> None:
    palette = Palette.from_json(STREETS, "here")
    found = palette.allowed(pixels((128, 128, 0), (250, 251, 252), (10, 0, 240)))
    assert found.tolist() == [[0b001, 0b010, 0b100]]


def test_a_partial_source_says_what_a_pixel_is_not() -> None:
    palette = Palette.from_json(ROADS_ONLY, "here")
    found = palette.allowed(pixels((255, 255, 255), (3, 0, 9), (128, 128, 128)))
    assert found.tolist() == [[0b010, 0b101, 0b111]]


@given(arrays.arrays(np.uint8, (3, 4, 5)))
def test_every_pixel_takes_the_meaning_of_the_nearest_colour(picture: np.ndarray) -> None:
    palette = Palette.from_json(ROADS_ONLY, "here")
    listed = {(255, 255, 255): 0b010, (0, 0, 0): 0b101, (127, 127, 127): 0b111}
    for (row, col), found in np.ndenumerate(palette.allowed(picture)):
        pixel = picture[:, row, col].astype(int)
        distances = {color: int(((pixel - color) ** 2).sum()) for color in listed}
        assert found in {listed[color] for color, d in distances.items() if d == min(distances.values())}


@given(st.integers(2, 32))
def test_everything_is_the_set_of_all_classes(count: int) -> None:
    classes = [{"name": str(i), "color": f"0000{i:02X}"} for i in range(count)]
    assert Palette.from_json({"classes": classes}, "here").everything == 2**count - 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": []}, "2 to 32"),
        ({"classes": STREETS["classes"] * 2}, "same `name`"),
        ({"classes": [*STREETS["classes"], {"name": "rail", "color": "FF0000"}]}, "same `color`"),
        ({"classes": [*STREETS["classes"], {"name": "rail"}]}, r"classes\[3\]"),
        ({"classes": [*STREETS["classes"], {"name": "rail", "color": "red"}]}, r"classes\[3\].color"),
        ({"classes": [*STREETS["classes"], {"name": "rail", "color": "FF00"}]}, "six hexadecimal digits"),
        ({"classes": [*STREETS["classes"], {"name": "rail", "color": "123456", "target": "FFFFFF"}]}, "two meanings"),
        ({"knows": ["forest"], "other": ["000000"]}, "`knows` must list"),
        ({"knows": ["road"]}, "needs the colours that mean none of them"),
        ({"other": ["000000"]}, "must not have any"),
        ({"unlabelled": ["0000FF"]}, "two meanings"),
        ({"unlabelled": None}, "unlabelled"),
    ],
)
def test_a_palette_that_means_nothing_is_refused(change: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Palette.from_json({**STREETS, **change}, "here")


def test_files_are_named_when_they_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="missing.json"):
        Palette.load(tmp_path / "missing.json")
    (tmp_path / "torn.json").write_text('{"classes": [')
    with pytest.raises(ConfigError, match="torn.json"):
        Palette.load(tmp_path / "torn.json")
    (tmp_path / "good.json").write_text(json.dumps(STREETS))
    assert Palette.load(tmp_path / "good.json").names == ("land", "road", "water")
