"""ONNX files as bytes: what is written in one, found without running it and without any package of others.

An ONNX file is one protobuf message. The numbers of its fields below are those of onnx.proto, which never change. What
geopix2pix does not write is refused: other operators than ONNX's own, functions, graphs inside of nodes (loops and
branches), and tensors whose values lie in another file.
"""

import math
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

FIRST_BYTE = 0x08  # the tag of the first field, the version of the representation
DTYPES = {1: "<f4", 2: "|u1", 3: "|i1", 6: "<i4", 7: "<i8", 9: "|b1", 10: "<f2", 11: "<f8"}
"""numpy's names for the element types of ONNX that can occur in our files."""
FLOAT32 = 1
MAX_FIELDS = 10**6  # that are looked at; real files have some ten thousand, and a hostile one could have a billion
MAX_SIDES, MAX_SIDE = 8, 2**31  # of a tensor

Value = int | memoryview
Shape = tuple[int | None, ...]


class OnnxError(ValueError):
    """The bytes are no ONNX file, or one of a kind that geopix2pix does not write; the message says what was found."""


class OnnxGraph(NamedTuple):
    """What an ONNX file holds."""

    data: bytes
    """The whole file."""
    metadata: dict[str, str]
    opset: int
    """The version of ONNX's operators."""
    source: Shape
    """Of the only input, a float32 tensor; None for a side that may have any length."""
    target: Shape
    """Of the only output, likewise."""
    weights: dict[str, npt.NDArray[Any]]
    """The constant tensors by their names, as views of `data`."""


def read_onnx(data: bytes) -> OnnxGraph:
    """What the bytes of an ONNX file hold.

    Raises:
        OnnxError: they are damaged, or hold what geopix2pix never writes.
    """
    model = _Message(memoryview(data), iter(range(MAX_FIELDS)))
    if model.all(25) or model.all(20):
        raise OnnxError("it holds functions or training graphs of its own")
    opsets = [(opset.text(1), opset.number(2)) for opset in model.messages(8)]
    for domain, _ in opsets:
        _check_domain(domain)
    if len(opsets) != 1:
        raise OnnxError(f"it names {len(opsets)} sets of operators instead of one")
    graph = model.message(7)
    for node in graph.messages(1):
        _check_node(node)
    if graph.all(15):
        raise OnnxError("it holds sparse tensors")
    return OnnxGraph(
        data=data,
        metadata=_unique([(entry.text(1), entry.text(2)) for entry in model.messages(14)], "entries"),
        opset=opsets[0][1],
        source=_shape(graph, 11, "input"),
        target=_shape(graph, 12, "output"),
        weights=_unique([_tensor(tensor) for tensor in graph.messages(5)], "tensors"),
    )


class _Message:
    """The fields of a protobuf message: integers, or bytes that may be a message again.

    Raises:
        OnnxError: the bytes are no message, or the budget of fields is used up.
    """

    def __init__(self, data: memoryview, budget: Iterator[int]) -> None:
        self._budget = budget
        self._fields: dict[int, list[Value]] = {}
        for number, value in _fields(data):
            if next(budget, None) is None:
                raise OnnxError(f"it has more than {MAX_FIELDS} fields")
            self._fields.setdefault(number, []).append(value)

    def all(self, field: int) -> list[Value]:
        return self._fields.get(field, [])

    def number(self, field: int) -> int:
        """The integer in a field, the last one if there are several, 0 if there is none."""
        value = self.all(field)[-1] if self.all(field) else 0
        if not isinstance(value, int):
            raise OnnxError(f"field {field} is no number")
        return value

    def numbers(self, field: int) -> Iterator[int]:
        """The integers in a repeated field, each with a tag of its own or packed together."""
        for value in self.all(field):
            yield from [value] if isinstance(value, int) else _packed(value)

    def raw(self, field: int) -> memoryview:
        """The bytes in a field, likewise."""
        value = self.all(field)[-1] if self.all(field) else memoryview(b"")
        if isinstance(value, int):
            raise OnnxError(f"field {field} is a number instead of bytes")
        return value

    def text(self, field: int) -> str:
        try:
            return str(self.raw(field), "utf-8")
        except UnicodeDecodeError as error:
            raise OnnxError(f"field {field} is no text ({error})") from error

    def message(self, field: int) -> "_Message":
        """The only message in a field."""
        if len(self.all(field)) != 1:
            raise OnnxError(f"field {field} occurs {len(self.all(field))} times instead of once")
        return next(self.messages(field))

    def messages(self, field: int) -> Iterator["_Message"]:
        for value in self.all(field):
            if isinstance(value, int):
                raise OnnxError(f"field {field} is a number instead of a message")
            yield _Message(value, self._budget)


def _fields(data: memoryview) -> Iterator[tuple[int, Value]]:
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value, place = _varint(data, place)
            yield number, value
            continue
        if kind == 2:
            length, place = _varint(data, place)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise OnnxError(f"a field of the unknown kind {kind}")
        if length > len(data) - place:
            raise OnnxError(f"a field of {length} bytes where {len(data) - place} are left")
        yield number, data[place : place + length]
        place += length


def _varint(data: memoryview, place: int) -> tuple[int, int]:
    """An integer of 64 bits, seven in each byte, and the place after it."""
    value = 0
    for index, byte in enumerate(data[place : place + 10]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, place + index + 1
    raise OnnxError("a number without an end")


def _packed(data: memoryview) -> Iterator[int]:
    place = 0
    while place < len(data):
        value, place = _varint(data, place)
        yield value


def _check_domain(domain: str) -> None:
    if domain not in ("", "ai.onnx"):
        raise OnnxError(f"it needs operators of {domain!r}, which are not ONNX's own")


def _check_node(node: _Message) -> None:
    _check_domain(node.text(7))
    for attribute in node.messages(5):
        if attribute.all(6) or attribute.all(11):
            raise OnnxError(f"a node {node.text(4)!r} holds a graph of its own")
        if attribute.all(22) or attribute.all(23):
            raise OnnxError(f"a node {node.text(4)!r} holds sparse tensors")
        for tensor in (*attribute.messages(5), *attribute.messages(10)):
            _check_inside(tensor)


def _check_inside(tensor: _Message) -> None:
    if tensor.all(13) or tensor.number(14):
        raise OnnxError(f"the values of tensor {tensor.text(8)!r} lie in another file")


def _tensor(tensor: _Message) -> tuple[str, npt.NDArray[Any]]:
    _check_inside(tensor)
    name, kind, raw = tensor.text(8), tensor.number(2), tensor.raw(9)
    shape = list(islice(tensor.numbers(1), MAX_SIDES + 1))
    if kind not in DTYPES:
        raise OnnxError(f"tensor {name!r} has the unknown element type {kind}")
    if len(shape) > MAX_SIDES or any(side > MAX_SIDE for side in shape):
        raise OnnxError(f"tensor {name!r} has the impossible shape {shape}")
    if math.prod(shape) * np.dtype(DTYPES[kind]).itemsize != len(raw):
        raise OnnxError(f"tensor {name!r} has {len(raw)} bytes, which do not make the shape {shape}")
    return name, np.frombuffer(raw, DTYPES[kind]).reshape(shape) if len(raw) else np.empty(shape, DTYPES[kind])


def _shape(graph: _Message, field: int, what: str) -> Shape:
    """The shape of the only input or output, a float32 tensor."""
    if len(graph.all(field)) != 1:
        raise OnnxError(f"it has {len(graph.all(field))} {what}s instead of one")
    tensor = graph.message(field).message(2).message(1)
    if tensor.number(1) != FLOAT32:
        raise OnnxError(f"its {what} is no float32 tensor")
    return tuple(side.number(1) if side.all(1) else None for side in tensor.message(2).messages(1))


def _unique(pairs: list[tuple[str, Any]], what: str) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise OnnxError(f"two {what} have the same name")
    return found
