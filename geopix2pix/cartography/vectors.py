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

from geopix2pix.cartography.evaluation import Feature
from geopix2pix.cartography.gridshapes import around, in_pixels, pixel_sizes
from geopix2pix.cartography.mending import Mended, kinds, mended
from geopix2pix.cartography.paint import Ink
from geopix2pix.cartography.prepared import Count, Prepared, Rows, Writer, written
from geopix2pix.cartography.style import DRAWS, Style, StyleLayer
from geopix2pix.cartography.vectorfile import Piece, VectorLayer, vector_layers
from geopix2pix.errors import StyleError, TileSetWarning, VectorError
from geopix2pix.gdal import environment
from geopix2pix.geogrid import Bounds, GeoGrid
from geopix2pix.grid import Window
from geopix2pix.ground import name
from geopix2pix.progress import Event, Progress, silent

MAX_REACH = 1024  # pixels round the bounds that are searched for what reaches into them; no stroke may reach further
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
    if not (grid.crs.is_geographic or grid.crs.is_projected):
        raise VectorError(
            f"vectors cannot be drawn on a grid in {name(grid.crs)}, which is not on the earth; name a CRS"
        )
    with written(output, grid.crs) as writer:
        reach, counts = _write(writer, sources, style, grid, bounds, progress)
        prepared = Prepared(
            path=output,
            style=style.sha256,
            grid=grid.to_json(),
            bounds=bounds,
            reach=reach,
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
    window: Window
    crs: CRS
    """Of the features."""

    @property
    def searched(self) -> Bounds | None:
        """All that may reach into the window, in the CRS of the features; None for everywhere, if it has no bounds."""
        col, row, width, height = self.window.padded(MAX_REACH)
        here = around(self.grid, col, row, col + width, row + height)
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

    def is_reached(self, shapes: npt.NDArray[Any], reaches: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        """Whether geometries, in pixels of the grid, may cover something in the window."""
        left, top, right, bottom = shapely.bounds(shapes).reshape(-1, 4).T
        across = (left - reaches <= self.window.right) & (right + reaches >= self.window.col)
        down = (top - reaches <= self.window.bottom) & (bottom + reaches >= self.window.row)
        return np.asarray(across & down, bool)


def _write(
    writer: Writer,
    sources: Mapping[str, list[VectorLayer]],
    style: Style,
    grid: GeoGrid,
    bounds: Bounds,
    progress: Progress,
) -> tuple[float, dict[int, Count]]:
    """Write what is drawn within the bounds; how far strokes reach, and a count for each style layer."""
    writer.clear()
    reach, done = 0.0, 0
    counts = {index: Count() for index, layer in enumerate(style.layers) if layer.source_layer}
    for source, found in sources.items():
        sheets = {index: layer for index, layer in enumerate(style.layers) if layer.source_layer == source}
        fields = sorted(set().union(*(layer.attributes for layer in sheets.values())))
        for layer in found:
            place = _Place(grid, grid.window(bounds), layer.crs)
            for piece in layer.pieces(place.searched, fields):
                rows, furthest, more = _rows(piece, place, sheets)
                writer.add(rows)
                reach = max(reach, furthest)
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
    return reach, counts


def _rows(piece: Piece, place: _Place, sheets: Mapping[int, StyleLayer]) -> tuple[Rows, float, dict[int, Count]]:
    """What is drawn of the features of a piece, how far it reaches, and a count for each style layer."""
    fit = mended(piece.geometries, place.crs, place.grid.crs)
    shapes = in_pixels(place.grid, fit.parts)
    near = np.flatnonzero(place.is_reached(shapes, np.full(len(shapes), MAX_REACH)))
    inks = _inks(sheets)
    drawn = [
        (index, ink, part)
        for part, kind, owner in zip(near.tolist(), kinds(shapes[near]), fit.owners[near].tolist(), strict=True)
        for index, ink in inks(kind, piece.properties[owner])
    ]
    layers, parts = (np.array([row[column] for row in drawn], np.int64) for column in (0, 2))
    reaches = np.ones(len(drawn))  # of outlines
    for index, sheet in sheets.items():
        mine = np.flatnonzero(layers == index)
        if sheet.kind == "line":
            reaches[mine] = _reaches(place.grid, sheet, [drawn[row][1] for row in mine.tolist()], shapes[parts[mine]])
    kept = np.flatnonzero(place.is_reached(shapes[parts], reaches))
    counts = {
        index: _count(sheet, fit, fit.owners[parts[kept[layers[kept] == index]]], piece)
        for index, sheet in sheets.items()
    }
    rows = Rows(layers[kept].astype(np.int32), [drawn[row][1] for row in kept.tolist()], fit.parts[parts[kept]])
    return rows, float(reaches[kept].max(initial=0.0)), counts


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


def _count(sheet: StyleLayer, fit: Mended, drawn: npt.NDArray[np.intp], piece: Piece) -> Count:
    """A count of the features of a piece for a layer that has `drawn` parts of them."""
    features = np.unique(drawn)
    lost = np.flatnonzero(fit.dropped)
    dropped = 0
    for feature, kind in zip(lost.tolist(), kinds(piece.geometries[lost]), strict=True):
        possible = (kind,) if kind else DRAWS[sheet.kind]
        dropped += any(sheet.draws(Feature(one, piece.properties[feature])) for one in possible)
    return Count(drawn=len(features), mended=int(fit.mended[features].sum()), dropped=dropped)


def _reaches(
    grid: GeoGrid, sheet: StyleLayer, inks: Sequence[Ink], shapes: npt.NDArray[Any]
) -> npt.NDArray[np.float64]:
    """How far from its line each stroke of a layer may cover something, in pixels.

    Raises:
        StyleError: it is too far, or the dashes are too short to be seen.
    """
    units = pixel_sizes(grid, sheet, shapes).min(axis=1)
    reaches: npt.NDArray[np.float64] = np.array([sheet.pen.reach(*ink[-3:]) for ink in inks], float) / units
    if (widest := reaches.max(initial=0.0)) > MAX_REACH:
        raise StyleError(
            f"style layer {sheet.id!r}: a stroke reaches {widest:.0f} pixels from its line, at most {MAX_REACH} are "
            "drawn; check the units of its widths, or draw an area"
        )
    periods = sum(sheet.pen.dashes) * np.array([ink.width for ink in inks]) / units
    if sheet.pen.dashes and (shortest := periods.min(initial=math.inf)) < MIN_DASHES:
        raise StyleError(
            f"style layer {sheet.id!r}: its dashes repeat every {shortest:.3g} pixels, which no picture shows; "
            f"lengthen them to {MIN_DASHES} pixels or more"
        )
    return reaches
