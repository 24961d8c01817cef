"""Preparing vectors: all that a style draws of some files, brought into one grid and one file, and counted."""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import shapely
from rasterio.crs import CRS
from rasterio.warp import transform_bounds

from geopix2pix.errors import StyleError, TileSetWarning, VectorError
from geopix2pix.evaluation import Feature
from geopix2pix.gdal import environment
from geopix2pix.geogrid import Bounds, GeoGrid
from geopix2pix.mending import kinds, mended
from geopix2pix.paint import Ink
from geopix2pix.pixels import around, in_pixels, pixel_sizes
from geopix2pix.prepared import Count, Prepared, Rows, Writer, written
from geopix2pix.progress import Event, Progress, silent
from geopix2pix.style import DRAWS, Style, StyleLayer
from geopix2pix.vectorfile import Piece, VectorLayer, vector_layers

FIRST_REACH = 64.0  # pixels round the bounds that are searched at first for what reaches into them
MAX_REACH = 4096.0  # pixels; what is wider is an area, or a mistake
MIN_DASHES = 0.25  # pixels of a pattern of dashes, the distance of samples in a picture
NO_LAYERS: Mapping[str, str] = MappingProxyType({})


def prepare(
    paths: Sequence[Path],
    style: Style,
    grid: GeoGrid,
    bounds: Bounds,
    output: Path,
    *,
    layers: Mapping[str, str] = NO_LAYERS,
    progress: Progress = silent,
) -> Prepared:
    """Write all that shows within `bounds`, in the CRS of `grid`, when `style` draws the vector files, to `output`.

    The layers of a style are found by their names in the files (for formats of one layer: the name of the file), or by
    the name that `layers` gives for theirs. Layers of one name in several files are drawn one after another. Equal
    files give equal bytes. An `output` that exists is replaced whole or not at all.

    Raises:
        VectorError: a file cannot be used, or no layer that the style draws is in the files.
        StyleError: a property has no value for a feature, or a width that cannot be drawn.
        OutputError: the file cannot be written.

    Warns:
        TileSetWarning: layers that the style draws are not there, or there is nothing in them within the bounds.
    """
    sources = _sources(paths, style, layers)
    with written(output, grid.crs) as writer:
        reach, needed = 0.0, FIRST_REACH
        while needed > reach:  # seldom more than once: how wide strokes are may depend on the features
            reach = needed
            needed, counts = _write(writer, sources, style, grid, bounds, reach, progress)
        prepared = Prepared(
            path=output,
            style=style.sha256,
            grid=grid.to_json(),
            bounds=bounds,
            reach=needed,
            files=tuple(dict.fromkeys(path.name for path in paths)),
            counts={style.layers[index].id: count for index, count in counts.items()},
        )
        writer.finish(prepared)
    return prepared


def _sources(paths: Sequence[Path], style: Style, layers: Mapping[str, str]) -> dict[str, list[VectorLayer]]:
    """The layers of the files that each layer of the style is drawn from, by the name that the style uses."""
    there: dict[str, list[VectorLayer]] = {}
    for path in paths:
        for layer in vector_layers(path):
            there.setdefault(layer.name, []).append(layer)
    files, names = ", ".join(str(path) for path in paths), ", ".join(sorted(there)) or "none"
    for mine, theirs in layers.items():
        if mine not in style.source_layers or theirs not in there:
            raise VectorError(
                f"{files}: layer {theirs!r} was asked for as {mine!r}; layers there: {names}; the style "
                f"{style.name!r} draws {', '.join(style.source_layers) or 'none'}"
            )
    sources = {mine: there.get(layers.get(mine, mine), []) for mine in style.source_layers}
    if missing := [mine for mine, found in sources.items() if not found]:
        message = (
            f"{files}: the style {style.name!r} draws layers that are not there: {', '.join(missing)}; layers there: "
            f"{names}; say which layer is meant, as in {missing[0]}=LAYER"
        )
        if len(missing) == len(sources):
            raise VectorError(message)
        warnings.warn(message, TileSetWarning, stacklevel=3)
    elif not sources:
        raise StyleError(f"the style {style.name!r} draws no layer of vectors; give it some that are visible")
    return sources


class _Place(NamedTuple):
    """Where features are looked for."""

    grid: GeoGrid
    window: Bounds
    """In pixels of the grid: left, top, right, bottom."""
    crs: CRS
    """Of the features."""

    @property
    def searched(self) -> Bounds | None:
        """The window in the CRS of the features; None, which is everywhere, where it has no bounds there."""
        here = around(self.grid, *self.window)
        if self.crs == self.grid.crs:
            return here
        try:
            with environment():
                west, south, east, north = transform_bounds(self.grid.crs, self.crs, *here, densify_pts=51)
        except Exception:  # PROJ refuses; rasterio's class for that is not public
            return None
        margin = ((east - west) + (north - south)) / 1000  # edges bend between the points that are transformed
        found = (west - margin, south - margin, east + margin, north + margin)
        return found if west <= east and all(map(math.isfinite, found)) else None

    def is_near(self, parts: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Whether geometries in the grid's CRS touch the window."""
        left, top, right, bottom = shapely.bounds(in_pixels(self.grid, parts)).reshape(-1, 4).T
        first_col, first_row, last_col, last_row = self.window
        found = (left <= last_col) & (right >= first_col) & (top <= last_row) & (bottom >= first_row)
        return np.asarray(found, bool)


def _write(
    writer: Writer,
    sources: Mapping[str, list[VectorLayer]],
    style: Style,
    grid: GeoGrid,
    bounds: Bounds,
    reach: float,
    progress: Progress,
) -> tuple[float, dict[int, Count]]:
    """Write what comes within `reach` pixels of the bounds; how far strokes reach, and a count for each style layer."""
    writer.clear()
    col, row, width, height = grid.window(bounds)
    window = (col - reach, row - reach, col + width + reach, row + height + reach)
    needed, done = 0.0, 0
    counts = {index: Count() for index, layer in enumerate(style.layers) if layer.source_layer}
    for name, found in sources.items():
        sheets = {index: layer for index, layer in enumerate(style.layers) if layer.source_layer == name}
        fields = sorted(set().union(*(layer.attributes for layer in sheets.values())))
        for layer in found:
            place = _Place(grid, window, layer.crs)
            for piece in layer.pieces(place.searched, fields):
                rows, more = _rows(piece, place, sheets)
                writer.add(rows)
                needed = max(needed, *(_reach(grid, rows, index, sheet) for index, sheet in sheets.items()))
                counts |= {index: counts[index] + count for index, count in more.items()}
                done += len(piece.properties)
                progress(Event("prepare", done, 0, "features"))
        if found and not any(counts[index].drawn for index in sheets):
            what = f"{', '.join(str(layer.path) for layer in found)}: nothing in layer {found[0].name!r} is drawn"
            warnings.warn(
                f"{what} within {bounds}; check the place, and what the style asks of its features",
                TileSetWarning,
                stacklevel=4,
            )
    return needed, counts


def _rows(piece: Piece, place: _Place, sheets: Mapping[int, StyleLayer]) -> tuple[Rows, dict[int, Count]]:
    """What is drawn of the features of a piece, and a count of them for each style layer."""
    fit = mended(piece.geometries, place.crs, place.grid.crs)
    near = place.is_near(fit.parts)
    parts, owners, inks = fit.parts[near], fit.owners[near].tolist(), _inks(sheets)
    drawn = [
        (index, ink, part, owner)
        for part, owner, kind in zip(parts, owners, kinds(parts), strict=True)
        for index, ink in inks(kind, piece.properties[owner])
    ]
    indices, found, shapes, features = zip(*drawn, strict=True) if drawn else ((), (), (), ())
    counts = {}
    for index, sheet in sheets.items():
        here = {feature for of, feature in zip(indices, features, strict=True) if of == index}
        counts[index] = Count(
            drawn=len(here),
            mended=sum(bool(fit.mended[feature]) for feature in here),
            dropped=sum(_draws(sheet, piece, feature) for feature in np.flatnonzero(fit.dropped).tolist()),
        )
    return Rows(np.array(indices, np.int32), list(found), np.array(shapes, object)), counts


def _inks(sheets: Mapping[int, StyleLayer]) -> Callable[[str, Mapping[str, Any]], list[tuple[int, Ink]]]:
    """A function that tells which layers draw a feature with what; many features are alike, and asked for once."""
    known: dict[Any, list[tuple[int, Ink]]] = {}

    def inks(kind: str, properties: Mapping[str, Any]) -> list[tuple[int, Ink]]:
        key = kind, *(item for pair in sorted(properties.items()) for item in (*pair, type(pair[1])))
        if key not in known:
            feature = Feature(kind, properties)
            found = [(index, sheet.ink(feature)) for index, sheet in sheets.items() if sheet.draws(feature)]
            known[key] = [(index, ink) for index, ink in found if ink.shows]
        return known[key]

    return inks


def _draws(sheet: StyleLayer, piece: Piece, feature: int) -> bool:
    """Whether a layer would draw a feature whose geometry may be lost."""
    (kind,) = kinds(piece.geometries[feature : feature + 1])
    possible = (kind,) if kind else DRAWS[sheet.kind]
    return any(sheet.draws(Feature(kind, piece.properties[feature])) for kind in possible)


def _reach(grid: GeoGrid, rows: Rows, index: int, sheet: StyleLayer) -> float:
    """How far from their geometries the rows of a style layer may cover something, in pixels."""
    mine = rows.layers == index
    if sheet.kind == "fill" or not mine.any():
        return 1.0  # an outline
    inks = [ink for ink, is_mine in zip(rows.inks, mine.tolist(), strict=True) if is_mine]
    units = pixel_sizes(grid, sheet, in_pixels(grid, rows.geometries[mine])).min(axis=1).tolist()
    reaches = [sheet.pen.reach(ink.width, ink.gap, ink.offset) / unit for ink, unit in zip(inks, units, strict=True)]
    widest = float(max(reaches))
    if widest > MAX_REACH:
        raise StyleError(
            f"style layer {sheet.id!r}: a stroke reaches {widest:.0f} pixels from its line, at most {MAX_REACH:.0f} "
            "are drawn; check the units of its widths, or draw an area"
        )
    if sheet.pen.dashes:
        period = sum(sheet.pen.dashes) * min(ink.width / unit for ink, unit in zip(inks, units, strict=True))
        if period < MIN_DASHES:
            raise StyleError(
                f"style layer {sheet.id!r}: its dashes repeat every {period:.3g} pixels, which no picture shows; "
                f"lengthen them to {MIN_DASHES} pixels or more"
            )
    return widest
