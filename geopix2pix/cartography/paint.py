"""Paint: the properties of style layers that are drawn, and what a feature is drawn with."""

import math
import reprlib
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from geopix2pix.cartography import colors
from geopix2pix.cartography.evaluation import Feature, NoValueError, evaluate
from geopix2pix.cartography.expressions import Expression, constants
from geopix2pix.errors import StyleError
from geopix2pix.palette import RGB

Kind = Literal["background", "fill", "line"]
Cap = Literal["butt", "round", "square"]
Join = Literal["miter", "round", "bevel"]
Values = Literal["color", "share", "length", "number", "dashes"]

PAINT: dict[Kind, dict[str, tuple[Values, Any]]] = {
    "background": {"background-color": ("color", "#000000"), "background-opacity": ("share", 1)},
    "fill": {
        "fill-color": ("color", "#000000"),
        "fill-opacity": ("share", 1),
        "fill-outline-color": ("color", "transparent"),
    },
    "line": {
        "line-color": ("color", "#000000"),
        "line-opacity": ("share", 1),
        "line-width": ("length", 1),
        "line-gap-width": ("length", 0),
        "line-offset": ("number", 0),
        "line-dasharray": ("dashes", ()),
    },
}
"""The paint properties of each type of layer: what values they take, and the value where a document gives none."""
CONSTANT = ("background-color", "background-opacity", "line-dasharray")
"""Properties that cannot differ between features."""
LAYOUT: dict[Kind, dict[str, tuple[Any, ...]]] = {
    "background": {"visibility": ("visible", "none")},
    "fill": {"visibility": ("visible", "none")},
    "line": {
        "visibility": ("visible", "none"),
        "line-cap": ("butt", "round", "square"),
        "line-join": ("miter", "round", "bevel"),
    },
}
"""The layout properties and their values, the default first; `line-miter-limit` takes a number."""
NEEDS: dict[Values, str] = {
    "color": 'a colour such as "#F2EFE9"',
    "share": "a number from 0 to 1",
    "length": "a number of 0 or more",
    "number": "a number",
    "dashes": "a list of lengths above 0 in all",
}


class Pen(NamedTuple):
    """What all lines of a layer are drawn with. Its values are the defaults of the style specification."""

    cap: Cap = "butt"
    join: Join = "miter"
    miter_limit: float = 2.0
    """The length of a corner's spike over the width of the line, above which it is cut."""
    dashes: tuple[float, ...] = ()
    """Lengths of dash, gap, dash, ... in widths of the line; none for an unbroken line."""

    def reach(self, width: float, gap: float, offset: float) -> float:
        """How far from its line a stroke may cover something."""
        corner = self.miter_limit if self.join == "miter" else 1.0
        end = math.sqrt(2) if self.cap == "square" else 1.0
        return (gap / 2 + width if gap else width / 2) * max(corner, end) + abs(offset) * corner


class Ink(NamedTuple):
    """What one feature is drawn with by one layer."""

    color: RGB
    opacity: float
    outline: RGB
    outline_opacity: float
    """0 where areas have no outline."""
    width: float = 0.0
    """Of lines, in pixels or metres."""
    gap: float = 0.0
    """Between the two lines of a casing; 0 for one line."""
    offset: float = 0.0
    """To the right of the line's direction."""

    @property
    def shows(self) -> bool:
        return self.opacity > 0 or self.outline_opacity > 0


def mistakes(kind: Kind, name: str, expression: Expression) -> Iterator[str]:
    """What is wrong with the constants that a property may come to, one phrase each."""
    values = PAINT[kind][name][0]
    if name in CONSTANT and isinstance(expression, tuple) and expression[:1] != ("literal",) and values != "dashes":
        yield "must be a constant"
        return
    for constant in [dashes(expression)] if values == "dashes" else constants(expression):
        if not _fits(values, constant):
            yield f"needs {NEEDS[values]}, found {reprlib.repr(constant)}"


def dashes(expression: Expression) -> Any:
    """The constant that stands for a pattern of dashes, which may be written as a literal or as a plain list."""
    return expression[1] if expression[:1] == ("literal",) and len(expression) == 2 else expression


def ink(kind: Kind, paint: Mapping[str, Expression], feature: Feature, where: str) -> Ink:
    """What a feature is drawn with; `where` names the layer in error messages.

    Raises:
        StyleError: a property has no value, or none that fits, for this feature.
    """

    def value(name: str) -> Any:
        expression = paint[name]
        try:
            found = evaluate(expression, feature)
            why = "" if _fits(PAINT[kind][name][0], found) else f"it is {reprlib.repr(found)}"
        except NoValueError as error:
            found, why = None, str(error)
        if why:
            raise StyleError(
                f"{where}: `{name}` needs {NEEDS[PAINT[kind][name][0]]}; for a feature with "
                f"{reprlib.repr(dict(feature.properties))} {why}; give the expression a fallback"
            )
        return found

    color, opacity = _color(value(f"{kind}-color"), value(f"{kind}-opacity"))
    if kind != "line":
        outline = value("fill-outline-color") if kind == "fill" else "transparent"
        return Ink(color, opacity, *_color(outline, value(f"{kind}-opacity")))
    width, gap, offset = (float(value(f"line-{name}")) for name in ("width", "gap-width", "offset"))
    return Ink(color, opacity if width > 0 else 0.0, (0, 0, 0), 0.0, width, gap, offset)


def _color(text: str, opacity: float) -> tuple[RGB, float]:
    found = colors.color(text)
    assert found is not None  # it was seen to fit
    return found.rgb, found.opacity * opacity


def _fits(values: Values, constant: Any) -> bool:
    if values == "color":
        return isinstance(constant, str) and colors.color(constant) is not None
    if values == "dashes":
        lengths = constant if isinstance(constant, tuple) else (None,)
        return not lengths or (all(_fits("length", length) for length in lengths) and sum(lengths) > 0)
    if isinstance(constant, bool) or not isinstance(constant, int | float) or not math.isfinite(constant):
        return False
    return values == "number" or (constant >= 0 and (values == "length" or constant <= 1))
