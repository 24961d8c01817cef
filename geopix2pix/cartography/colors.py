"""Colours as style documents write them: the notations of CSS."""

import colorsys
import re
from typing import NamedTuple

from PIL import ImageColor

from geopix2pix.palette import RGB

WORD = re.compile(r"[a-z]+|#([0-9a-f]{3,4}|[0-9a-f]{6}|[0-9a-f]{8})")
CALL = re.compile(r"(rgb|hsl)a?\(([^()]*)\)")
NUMBER = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(%|deg)?")


class Color(NamedTuple):
    """A colour and how much of it covers what lies below."""

    rgb: RGB
    opacity: float
    """0 (nothing) to 1 (all)."""


def color(text: str) -> Color | None:
    """The colour that CSS means by `text`, None where it means none.

    Names, `transparent`, #rgb, #rgba, #rrggbb, #rrggbbaa, rgb(), rgba(), hsl() and hsla().
    """
    text = text.strip().lower()
    if text == "transparent":
        return Color((0, 0, 0), 0.0)
    if call := CALL.fullmatch(text):
        return _called(*call.groups())
    if not WORD.fullmatch(text):
        return None
    try:
        red, green, blue, *alpha = ImageColor.getrgb(text)
    except ValueError:
        return None
    return Color((red, green, blue), alpha[0] / 255 if alpha else 1.0)


def _called(model: str, inside: str) -> Color | None:
    """The colour of `rgb(inside)` or `hsl(inside)`."""
    values = [_number(text) for text in re.split(r"[\s,/]+", inside.strip())]
    if None in values or len(values) not in (3, 4):
        return None
    first, second, third, alpha = [value for value in (*values, (1.0, ""))[:4] if value is not None]
    if model == "hsl":
        if (first[1] == "%") or (second[1], third[1]) != ("%", "%"):
            return None
        levels = colorsys.hls_to_rgb(first[0] / 360 % 1, _share(third, 1), _share(second, 1))
    else:
        levels = (_share(first, 255), _share(second, 255), _share(third, 255))
    red, green, blue = (round(level * 255) for level in levels)
    return Color((red, green, blue), _share(alpha, 1))


def _number(text: str) -> tuple[float, str] | None:
    """A number and its unit."""
    found = NUMBER.fullmatch(text)
    return None if found is None else (float(found[1]), found[2] or "")


def _share(number: tuple[float, str], full: float) -> float:
    """A number as a share of `full`, or of 100 if it is a percentage; CSS moves what is outside 0 to 1 to the ends."""
    return min(max(number[0] / (100 if number[1] == "%" else full), 0.0), 1.0)
