"""What is known of each pixel, in one byte: its class, that it is none of the named classes, or nothing.

The class rasters of tile sets hold these bytes, with a colour table through which training reads them.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from geopix2pix.palette import RGB, MapClass, Palette

Labels = npt.NDArray[np.uint8]
"""Class indices of a palette, `NONE_NAMED` or `UNKNOWN`."""

NONE_NAMED = 254
"""None of the classes that the source of the map can name."""
UNKNOWN = 255
"""Any class: nothing is known."""


def from_picture(picture: npt.NDArray[np.uint8], palette: Palette, tolerance: float | None = None) -> Labels:
    """The labels, shape (rows, cols), of a target picture (3, rows, cols) in the palette's target colours.

    A pixel takes the meaning of the nearest listed colour; with a `tolerance` it is unknown where that colour is
    further away (Euclidean, in levels of RGB), as on the blended edges and the lettering of rendered maps.
    """
    allowed = palette.allowed(picture)
    known = _known(palette)
    labels = np.full(allowed.shape, UNKNOWN, np.uint8)
    none_of_them = palette.everything & ~sum(1 << i for i in known)
    if none_of_them != palette.everything:
        labels[allowed == none_of_them] = NONE_NAMED
    for index in known:
        labels[allowed == 1 << index] = index
    if tolerance is not None:
        labels[_distance(picture, palette) > tolerance] = UNKNOWN
    return labels


def from_classes(classes: npt.NDArray[np.uint8], palette: Palette) -> Labels:
    """The labels where a map of class indices was drawn (`UNKNOWN` = no class was drawn there).

    What is drawn as a class that the source cannot name, or not drawn by one that names only some, is none of these.
    """
    known = _known(palette)
    if len(known) == len(palette.classes):
        return classes
    labels: Labels = np.where(np.isin(classes, known), classes, np.uint8(NONE_NAMED))
    return labels


def stored(palette: Palette) -> Palette:
    """The palette by which labels are read through `colors`: every meaning has a colour of its own."""
    other, unlabelled = _spare_colors(palette)
    classes: tuple[MapClass, ...] = tuple(replace(c, target=c.color) for c in palette.classes)
    partial = len(_known(palette)) < len(palette.classes)
    return replace(palette, classes=classes, other=(other,) if partial else (), unlabelled=(unlabelled,))


def colors(palette: Palette) -> dict[int, RGB]:
    """The colour table of class rasters, by label."""
    other, unlabelled = _spare_colors(palette)
    return {**{i: c.color for i, c in enumerate(palette.classes)}, NONE_NAMED: other, UNKNOWN: unlabelled}


def shares(labels: Labels, palette: Palette, known: npt.NDArray[np.bool_]) -> dict[str, float]:
    """For each class that the source can name, its share of the pixels that are `known`; empty where none is."""
    counts = np.bincount(labels[known], minlength=256)
    total = int(counts.sum())
    return {palette.classes[i].name: float(counts[i] / total) for i in _known(palette)} if total else {}


def _known(palette: Palette) -> list[int]:
    return [i for i, c in enumerate(palette.classes) if c.name in palette.knows]


def _spare_colors(palette: Palette) -> tuple[RGB, RGB]:
    """Two greys that no class is trained in: for `NONE_NAMED` and for `UNKNOWN`."""
    used = {c.color for c in palette.classes}
    greys: list[RGB] = [(level, level, level) for level in (64, 0, *range(255)) if (level, level, level) not in used]
    return greys[0], greys[1]


def _distance(picture: npt.NDArray[np.uint8], palette: Palette) -> npt.NDArray[np.float64]:
    """From each pixel's colour to the nearest listed one, in levels."""
    listed = [*(palette.classes[i].target for i in _known(palette)), *palette.other, *palette.unlabelled]
    pixels = picture.astype(np.int32)
    squares = [sum((pixels[b] - color[b]) ** 2 for b in range(3)) for color in listed]
    distance: npt.NDArray[np.float64] = np.sqrt(np.minimum.reduce(squares))
    return distance
