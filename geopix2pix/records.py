"""Frozen dataclasses as JSON documents, and back: every field is checked, none has a default, unknown ones are ignored.

Fields may be of the types str, int, float, bool, Any (left as parsed), tuples of one type, mappings from str, literals,
optional ones, other dataclasses, and types for which a form of their own is given.
"""

import dataclasses
import math
import reprlib
from collections.abc import Callable, Mapping
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from geopix2pix.errors import ConfigError

Forms = Mapping[type, Callable[[Any, str], Any]]
"""For a type its own way to be parsed, from a document and what errors call it; raises ConfigError."""


class RecordError(ValueError):
    """A document is no such record; the message names the field by its path. Whoever parses gives it a class."""


def to_json(record: Any) -> dict[str, Any]:
    """The fields of a dataclass in the types of JSON."""
    return {field.name: _plain(getattr(record, field.name)) for field in dataclasses.fields(record)}


def from_json(kind: type, data: Any, where: str, forms: Forms | None = None) -> Any:
    """Parsed JSON as a value of the dataclass `kind`; `where` is what error messages call the document.

    Raises:
        RecordError: a field is missing or wrong; the message names it by its path, such as `manifest.source.names[1]`.
    """
    checked(isinstance(data, dict), data, where, "an object")
    values = {}
    for name, hint in get_type_hints(kind).items():
        if name not in data:
            raise RecordError(f"{where}.{name}: is missing; the file is damaged or was not written by geopix2pix")
        values[name] = value(hint, data[name], f"{where}.{name}", forms or {})
    try:
        return kind(**values)
    except ConfigError as error:
        raise RecordError(f"{where}: {error}") from error


def checked(right: bool, data: Any, where: str, expected: str) -> Any:
    """`data`, if it is right.

    Raises:
        RecordError: it is not.
    """
    if not right:
        raise RecordError(f"{where}: expected {expected}, found {reprlib.repr(data)}")
    return data


def value(hint: Any, data: Any, where: str, forms: Forms) -> Any:
    """Parsed JSON as a value of the annotated type `hint`; `where` is what error messages call it.

    Raises:
        RecordError: it is none.
    """
    origin, options = get_origin(hint), get_args(hint)
    if hint is Any:
        return data
    if NoneType in options:
        known = next(option for option in options if option is not NoneType)
        return None if data is None else value(known, data, where, forms)
    if origin is Literal:
        return checked(data in options, data, where, f"one of {', '.join(map(repr, options))}")
    if origin is tuple:
        checked(isinstance(data, list), data, where, "a list")
        checked(Ellipsis in options or len(data) == len(options), data, where, f"a list of {len(options)}")
        return tuple(value(options[0], item, f"{where}[{i}]", forms) for i, item in enumerate(data))
    if origin is Mapping:
        checked(isinstance(data, dict), data, where, "an object")
        names = [value(str, key, where, forms) for key in data]
        return {name: value(options[1], data[name], f"{where}.{name}", forms) for name in names}
    if hint in forms:
        try:
            return forms[hint](data, where)
        except ConfigError as error:
            raise RecordError(str(error)) from error
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return from_json(hint, data, where, forms)
    if hint is str:
        return checked(isinstance(data, str) and data.isprintable(), data, where, "printable text")
    if hint is bool:
        return checked(isinstance(data, bool), data, where, "true or false")
    if hint is int:
        return checked(type(data) is int, data, where, "a whole number")
    number = type(data) in (int, float) and abs(data) <= 1e300 and math.isfinite(data)
    return float(checked(number, data, where, "a number"))


def _plain(value: Any) -> Any:
    if hasattr(value, "to_json"):
        return value.to_json()
    if dataclasses.is_dataclass(value):
        return to_json(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
