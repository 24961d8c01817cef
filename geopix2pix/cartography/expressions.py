"""Expressions of style documents: values and conditions that are computed from the attributes of a feature.

The operators of the MapLibre style specification (version 8, "Expressions") that are listed in `ARGUMENTS`. An
expression is kept as it stands in the document, with tuples for lists.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

Expression = Any
"""None, a bool, a number, a text, or a tuple of an operator and its arguments."""

MANY: Final = 10_000
MAX_DEPTH = 50  # Python's own limit is about 300 of them
ARGUMENTS = {
    "literal": (1, 1), "get": (1, 1), "has": (1, 1), "geometry-type": (0, 0), "typeof": (1, 1),
    "==": (2, 2), "!=": (2, 2), "<": (2, 2), "<=": (2, 2), ">": (2, 2), ">=": (2, 2), "in": (2, 2),
    "!": (1, 1), "all": (0, MANY), "any": (0, MANY),
    "case": (3, MANY), "match": (4, MANY), "coalesce": (1, MANY),
    "to-number": (1, MANY), "+": (1, MANY), "*": (1, MANY), "-": (1, 2), "/": (2, 2),
}  # fmt: skip
"""The operators that a document may use, with the least and the largest number of their arguments."""
COMPARISONS = ("<", "<=", ">", ">=")


def frozen(document: Any) -> Expression:
    """A parsed JSON value with tuples for lists."""
    return tuple(frozen(item) for item in document) if isinstance(document, list | tuple) else document


def problems(expression: Expression, depth: int = 0) -> Iterator[str]:
    """What is wrong with an expression, one phrase a mistake; nothing if it can be evaluated."""
    if depth > MAX_DEPTH:
        yield f"is nested more than {MAX_DEPTH} deep; write it flatter"
        return
    if isinstance(expression, Mapping):
        yield 'holds an object; write an expression, as in ["get", "width"]'
    if not isinstance(expression, tuple):
        return
    name, arguments = (expression[0], expression[1:]) if expression else (None, ())
    if not isinstance(name, str) or name not in ARGUMENTS:
        yield f"uses the operator {name!r}; known are {', '.join(ARGUMENTS)}"
        return
    least, most = ARGUMENTS[name]
    odd_one_out = (name == "case" and len(arguments) % 2 == 0) or (name == "match" and len(arguments) % 2)
    if not least <= len(arguments) <= most or odd_one_out:
        yield f"gives {len(arguments)} arguments to `{name}`, which is the wrong number"
    elif name in ("get", "has") and not isinstance(arguments[0], str):
        yield f"needs the name of an attribute in `{name}`, found {arguments[0]!r}"
    elif name == "match" and not all(_is_label(label) for label in arguments[1:-1:2]):
        yield "needs texts, numbers or lists of them as labels of `match`"
    else:
        for part in parts(expression):
            yield from problems(part, depth + 1)


def parts(expression: Expression) -> tuple[Expression, ...]:
    """The expressions that are arguments of an expression."""
    match expression:
        case ("literal" | "get" | "has", *_):
            return ()
        case ("match", asked, *cases):
            return (asked, *cases[1::2], cases[-1])
        case (_, *arguments):
            return tuple(arguments)
    return ()


def attributes(expression: Expression) -> set[str]:
    """The names of the attributes that an expression asks for."""
    match expression:
        case ("get" | "has", str(name)):
            return {name}
    return set().union(*(attributes(part) for part in parts(expression)))


def constants(expression: Expression) -> Iterator[Any]:
    """The constants that an expression may come to, as far as its form tells."""
    match expression:
        case ("literal", constant):
            yield constant
        case ("case", *arguments):
            for outcome in (*arguments[1::2], arguments[-1]):
                yield from constants(outcome)
        case ("match", _, *cases):
            for outcome in (*cases[1::2], cases[-1]):
                yield from constants(outcome)
        case ("coalesce", *arguments):
            for outcome in arguments:
                yield from constants(outcome)
        case tuple():
            return
        case constant:
            yield constant


def _is_label(label: Any) -> bool:
    labels = label if isinstance(label, tuple) else (label,)
    return bool(labels) and all(isinstance(one, str | int | float) and not isinstance(one, bool) for one in labels)
