"""Filters of style documents: the older form is rewritten as the expression that means the same."""

from typing import Any

from geopix2pix.cartography.expressions import COMPARISONS, Expression

TYPE = "$type"


def expression(filter_: Any) -> Expression:
    """The expression that a filter, with tuples for lists, stands for; what is no older filter is returned as it is.

    Which form a filter has is told as MapLibre does (style specification, "Filter" and "Other filter"), and for each
    part of `all`, `any` and `none` apart.
    """
    match filter_:
        case ("all" | "any" as name, *conditions):
            return (name, *(expression(condition) for condition in conditions))
        case ("none", *conditions):
            return ("!", ("any", *(expression(condition) for condition in conditions)))
        case ("==" | "!=" as sign, str(name), constant) if not isinstance(constant, tuple):
            return (sign, _attribute(name), constant)
        case (str(sign), str(name), constant) if sign in COMPARISONS and not isinstance(constant, tuple):
            kind = "string" if isinstance(constant, str) else "number"
            return ("all", ("==", ("typeof", ("get", name)), kind), (sign, ("get", name), constant))
        case ("in", str(name), *constants) if not (len(constants) == 1 and isinstance(constants[0], tuple)):
            return ("in", _attribute(name), ("literal", tuple(constants)))
        case ("!in", str(name), *constants):
            return ("!", ("in", _attribute(name), ("literal", tuple(constants))))
        case ("!has", str(name)):
            return ("!", ("has", name))
    return filter_


def _attribute(name: str) -> Expression:
    return ("geometry-type",) if name == TYPE else ("get", name)
