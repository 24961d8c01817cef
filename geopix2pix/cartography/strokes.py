"""Strokes: the areas that lines of a width cover, with their dashes, caps, corners and casings.

Coordinates are those of a picture, x to the right and y down, in any unit of length that widths are given in too.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from geopix2pix.cartography.paint import Pen

Geometries = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

QUARTER = 16  # straight pieces of a quarter of a round cap or corner; they leave 0.1 % of its radius uncovered
CAPS = {"butt": "flat", "round": "round", "square": "square"}
JOINS = {"miter": "bevel", "round": "round", "bevel": "bevel"}  # the spikes of miters are added


def strokes(shapes: Geometries, pen: Pen, widths: Floats, gaps: Floats, offsets: Floats) -> Geometries:
    """The area that each line, or the rings of each polygon, covers.

    A gap leaves the middle of the line free and puts a line of the width on both sides of it. Positive offsets are to
    the right of a line's direction and to the inside of a polygon, as the style specification has it.
    """
    lines = _moved(shapes, pen, offsets)
    if pen.dashes:
        lines = np.array(
            [_dashed(line, np.array(pen.dashes) * width) for line, width in zip(lines, widths, strict=True)]
        )
    cased = gaps > 0
    areas = _buffered(lines, pen, np.where(cased, gaps / 2 + widths, widths / 2))
    if cased.any():
        areas[cased] = shapely.difference(areas[cased], _buffered(lines[cased], pen, gaps[cased] / 2))
    return areas


def _moved(shapes: Geometries, pen: Pen, offsets: Floats) -> Geometries:
    """The lines that are drawn: moved to the side, rings for polygons."""
    shapes, areas, moved = shapes.copy(), shapely.get_dimensions(shapes) == 2, offsets != 0
    join = "mitre" if pen.join == "miter" else pen.join
    shape: dict[str, Any] = {"quad_segs": QUARTER, "join_style": join, "mitre_limit": pen.miter_limit}
    if (inside := areas & moved).any():
        shapes[inside] = shapely.buffer(shapes[inside], -offsets[inside], **shape)
    if (beside := ~areas & moved).any():  # in pictures, where y grows downwards, the left of geometry is the right
        shapes[beside] = shapely.offset_curve(shapes[beside], offsets[beside], **shape)
    shapes[areas] = shapely.boundary(shapes[areas])
    return shapes


def _buffered(lines: Geometries, pen: Pen, distances: Floats) -> Geometries:
    areas: Geometries = shapely.buffer(
        lines, distances, quad_segs=QUARTER, cap_style=CAPS[pen.cap], join_style=JOINS[pen.join]
    )
    if pen.join != "miter":
        return areas
    spikes = (_spikes(line, distance, pen.miter_limit) for line, distance in zip(lines, distances, strict=True))
    return np.array(
        [shapely.union_all([area, *more]) if more else area for area, more in zip(areas, spikes, strict=True)]
    )


def _spikes(lines: Any, distance: float, limit: float) -> list[Any]:
    """What pointed corners cover beyond bevelled ones, where a spike is not longer than `limit` times the width."""
    spikes: list[Any] = []
    for line in shapely.get_parts(lines):
        points = shapely.get_coordinates(line)
        points = points[np.append(True, np.any(np.diff(points, axis=0) != 0, axis=1))]
        if len(points) > 3 and (points[0] == points[-1]).all():
            points = np.vstack([points, points[1]])
        if len(points) < 3:
            continue
        along = np.diff(points, axis=0)
        along /= np.hypot(*along.T)[:, None]
        before, after, corner = along[:-1], along[1:], points[1:-1]
        turn = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
        half = np.sqrt(np.maximum(1 + np.sum(before * after, axis=1), 0) / 2)  # cosine of half the change of direction
        pointed = (turn != 0) & (half * limit >= 1)
        outside = -np.sign(turn)[:, None] * distance
        left, right = (outside * np.column_stack([-to[:, 1], to[:, 0]]) for to in (before, after))
        with np.errstate(divide="ignore", invalid="ignore"):
            tip = (left + right) / (2 * half**2)[:, None]
        quads = np.stack([corner, corner + left, corner + tip, corner + right], axis=1)
        spikes += list(shapely.polygons(quads[pointed]))
    return spikes


def _dashed(lines: Any, pattern: Floats) -> Any:
    """The dashes of lines, each of which begins the pattern anew."""
    ends = np.cumsum(pattern)
    starts = np.append(0, ends[:-1])[::2], ends[::2]
    dashes: list[Any] = []
    for line in shapely.get_parts(lines):
        points = shapely.get_coordinates(line)
        at = np.append(0, np.cumsum(np.hypot(*np.diff(points, axis=0).T)))
        repeats = np.arange(0, at[-1], ends[-1])[:, None]
        for start, end in zip(*((repeats + ticks).ravel() for ticks in starts), strict=True):
            if start < at[-1]:
                dashes.append(_stretch(points, at, start, min(end, at[-1])))
    return shapely.multilinestrings(dashes) if dashes else shapely.MultiLineString()


def _stretch(points: Floats, at: Floats, start: float, end: float) -> Any:
    """The part of a line between two distances from its beginning; `at` are those of its points."""
    first, last = ([np.interp(distance, at, axis) for axis in points.T] for distance in (start, end))
    between = points[(at > start) & (at < end)]
    return shapely.linestrings(np.vstack([first, between, last]))
