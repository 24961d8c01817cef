"""The values of expressions for a feature, with the types and the coercions of the MapLibre style specification."""

import math
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from geopix2pix.cartography.expressions import Expression

ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge
}  # fmt: skip
NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*", re.IGNORECASE)


class Feature(NamedTuple):
    """What an expression may ask of a feature."""

    kind: str
    """"Point", "LineString" or "Polygon"."""
    properties: Mapping[str, Any]
    """Its attributes, without those that are null."""


class NoValueError(ValueError):
    """An expression has no value for a feature: an attribute is of the wrong type or missing."""


def passes(condition: Expression, feature: Feature) -> bool:
    """Whether a feature passes a filter; as in MapLibre it does not where the condition has no value."""
    try:
        return evaluate(condition, feature) is True
    except NoValueError:
        return False


def evaluate(expression: Expression, feature: Feature) -> Any:
    """The value of an expression for a feature; None where it asks for an attribute that the feature lacks.

    Raises:
        NoValueError: it has none; the message tells why.
    """
    match expression:
        case ("literal", constant):
            return constant
        case ("get", name):
            return feature.properties.get(name)
        case ("has", name):
            return name in feature.properties
        case ("geometry-type",):
            return feature.kind
        case ("typeof", argument):
            return _type(evaluate(argument, feature))
        case ("all", *conditions):
            return all(_truth(condition, feature) for condition in conditions)
        case ("any", *conditions):
            return any(_truth(condition, feature) for condition in conditions)
        case ("!", condition):
            return not _truth(condition, feature)
        case ("case" | "match" | "coalesce" | "to-number", *_):
            return _chosen(expression, feature)
        case ("+" | "*" | "-" | "/" as sign, *arguments):
            return _computed(sign, [_number(evaluate(argument, feature)) for argument in arguments])
        case (str(sign), left, right):
            return _compared(sign, evaluate(left, feature), evaluate(right, feature))
    return expression


def _chosen(expression: Expression, feature: Feature) -> Any:
    """The value of the first alternative that holds."""
    match expression:
        case ("case", *cases):
            for condition, outcome in zip(cases[:-1:2], cases[1::2], strict=True):
                if _truth(condition, feature):
                    return evaluate(outcome, feature)
            return evaluate(cases[-1], feature)
        case ("match", asked, *cases):
            found = evaluate(asked, feature)
            for label, outcome in zip(cases[:-1:2], cases[1::2], strict=True):
                if any(_equal(found, one) for one in (label if isinstance(label, tuple) else (label,))):
                    return evaluate(outcome, feature)
            return evaluate(cases[-1], feature)
        case ("coalesce", *arguments):
            values = (evaluate(argument, feature) for argument in arguments)
            return next((value for value in values if value is not None), None)
    for argument in expression[1:]:
        value = evaluate(argument, feature)
        if (number := _converted(value)) is not None:
            return number
    raise NoValueError(f"no number can be made of {value!r}")


def _compared(sign: str, left: Any, right: Any) -> bool:
    if sign in ("==", "!="):
        return _equal(left, right) == (sign == "==")
    if sign == "in":
        if isinstance(right, str) and isinstance(left, str):
            return left in right
        if not isinstance(right, tuple):
            raise NoValueError(f"`in` needs a list to look in, found {right!r}")
        return any(_equal(left, item) for item in right)
    if not _comparable(left, right):
        raise NoValueError(f"{left!r} and {right!r} cannot be compared by `{sign}`")
    return ORDER[sign](left, right)


def _computed(sign: str, numbers: list[float]) -> float:
    match sign, numbers:
        case "-", [number]:
            return -number
        case "-", [first, second]:
            return first - second
        case "/", [first, second]:
            if second == 0:
                raise NoValueError(f"{first} cannot be divided by 0")
            return first / second
        case "+", _:
            return sum(numbers)
    return math.prod(numbers)


def _truth(condition: Expression, feature: Feature) -> bool:
    value = evaluate(condition, feature)
    if not isinstance(value, bool):
        raise NoValueError(f"a condition must be true or false, found {value!r}")
    return value


def _number(value: Any) -> float:
    if _type(value) != "number":
        raise NoValueError(f"a number is needed, found {value!r}")
    return float(value)


def _converted(value: Any) -> float | None:
    """What `to-number` makes of a value: null and false are 0, true is 1, texts are read."""
    if value is None or isinstance(value, bool | int | float):
        return float(value or 0)
    return float(value) if isinstance(value, str) and NUMBER.fullmatch(value) else None


def _equal(left: Any, right: Any) -> bool:
    """Equality of the same type: a number is no bool, though Python takes True for 1."""
    return bool(left == right) and _type(left) == _type(right)


def _comparable(left: Any, right: Any) -> bool:
    return _type(left) == _type(right) and _type(left) in ("number", "string")


def _type(value: Any) -> str:
    """The name of the type of a value in the words of MapLibre."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
    return "array"
