"""Polygons of the classes of a map, made strip by strip as if the whole raster had been seen at once."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import shapely
from affine import Affine
from rasterio.features import shapes
from shapely import Geometry

Classes = npt.NDArray[np.uint8]
"""Indices of classes, shape (rows, cols)."""


class ClassPolygon(NamedTuple):
    """All pixels of one class that hang together by their edges."""

    number: int
    """Of the class."""
    shape: Geometry
    """A valid polygon in columns and rows of the raster, with a vertex at each of its turns and nowhere else."""


def class_polygons(strips: Iterable[Classes], nothing: int) -> Iterator[ClassPolygon]:
    """The polygons of a raster whose full-width strips come from top to bottom; pixels of `nothing` belong to none.

    The same ones come out whatever the heights of the strips, if not in the same order. What is remembered are the
    outlines of those that a later strip may go on with.
    """
    above: _Line | None = None
    open_parts: dict[int, list[ClassPolygon]] = {}
    number, top = 0, 0
    for strip in strips:
        found = _polygons(strip, nothing, top)
        numbered = dict(enumerate(found, number))
        number += len(found)
        first, last = _line(numbered, top, strip.shape[1]), _line(numbered, top + len(strip), strip.shape[1])
        of = _joined(above, first, strip[0]) if above is not None else {}
        parts = dict(open_parts)
        for name, part in numbered.items():
            parts.setdefault(of.get(name, name), []).append(part)
        for old, new in of.items():  # those that were apart above and meet in this strip
            if old in open_parts and new != old:
                parts[new] = parts.pop(old) + parts.get(new, [])
        going_on = {of.get(name, name) for name in np.unique(last.numbers[last.numbers >= 0]).tolist()}
        yield from (_merged(parts[name]) for name in sorted(parts.keys() - going_on))
        open_parts = {name: parts[name] for name in going_on}
        above = _Line(np.array([of.get(name, name) for name in last.numbers.tolist()]), strip[-1])
        top += len(strip)
    yield from (_merged(open_parts[name]) for name in sorted(open_parts))


class _Line(NamedTuple):
    """What lies along a border between two strips."""

    numbers: npt.NDArray[np.intp]
    """Of the polygon at each column, -1 for none."""
    classes: Classes


def _polygons(strip: Classes, nothing: int, top: int) -> list[ClassPolygon]:
    found = shapes(strip, mask=strip != nothing, connectivity=4, transform=Affine.translation(0, top))
    return [ClassPolygon(int(value), shapely.Polygon(s["coordinates"][0], s["coordinates"][1:])) for s, value in found]


def _line(polygons: dict[int, ClassPolygon], row: int, width: int) -> _Line:
    """Which polygons have an edge on the border at a row."""
    numbers = np.full(width, -1, np.intp)
    for name, polygon in polygons.items():
        _, low, _, high = polygon.shape.bounds
        if row in (low, high):
            points, ring = shapely.get_coordinates(shapely.get_rings(polygon.shape), return_index=True)
            along = (points[:-1, 1] == row) & (points[1:, 1] == row) & (np.diff(ring) == 0)
            for start, end in zip(points[:-1][along, 0], points[1:][along, 0], strict=True):
                numbers[int(min(start, end)) : int(max(start, end))] = name
    return _Line(numbers, np.empty(0, np.uint8))


def _joined(above: _Line, below: _Line, classes: Classes) -> dict[int, int]:
    """For polygons that touch one of their class across a border, the name that all of them have from now on."""
    same = (above.numbers >= 0) & (below.numbers >= 0) & (above.classes == classes)
    of: dict[int, int] = {}

    def name(number: int) -> int:
        while of.get(number, number) != number:
            number = of[number]
        return number

    for old, new in np.unique(np.stack([above.numbers[same], below.numbers[same]]), axis=1).T.tolist():
        first, second = sorted((name(old), name(new)))
        of[second] = of[first] = first
    return {number: name(number) for number in of}


def _merged(parts: list[ClassPolygon]) -> ClassPolygon:
    if len(parts) == 1:
        return parts[0]
    return parts[0]._replace(shape=_straight(shapely.union_all([part.shape for part in parts])))


def _straight(shape: Geometry) -> Geometry:
    """A polygon with edges along the axes, without the vertices at which it goes straight on."""
    exterior, *holes = shapely.get_rings(shape)
    return shapely.Polygon(_turns(exterior), [_turns(hole) for hole in holes])


def _turns(ring: Geometry) -> npt.NDArray[np.float64]:
    points = shapely.get_coordinates(ring)[:-1]
    after = np.roll(points, -1, axis=0) - points
    upright = after[:, 0] == 0
    found: npt.NDArray[np.float64] = points[upright != np.roll(upright, 1)]
    return found
