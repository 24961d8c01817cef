"""The judged tiles as a GeoPackage that QGIS opens in the colours of their errors."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

import numpy as np
import numpy.typing as npt
import pyogrio
import pyogrio.raw
import shapely
from rasterio.crs import CRS
from rasterio.warp import transform

from geopix2pix.errors import OutputError
from geopix2pix.evaluation.scoreboard import Scoreboard
from geopix2pix.ogr import complaint, undated
from geopix2pix.pair import Pair
from geopix2pix.palette import RGB
from geopix2pix.tilesets.indexstyle import add_style

COLORS: tuple[RGB, ...] = (
    (0xFF, 0xFF, 0xB2),
    (0xFE, 0xCC, 0x5C),
    (0xFD, 0x8D, 0x3C),
    (0xF0, 0x3B, 0x20),
    (0xBD, 0, 0x26),
)
"""From few errors to many (YlOrRd of ColorBrewer, which colour-blind eyes can read too)."""
WRONG, WRONG_STEPS = "wrong", (0.0, 0.05, 0.1, 0.2, 0.4, 1.0)  # share of the known pixels
LEVELS, LEVEL_STEPS = "l1", (0.0, 2.0, 5.0, 10.0, 20.0, 255.0)
OPACITY = 160  # of 255, so that the picture below is seen


def write_footprints(path: Path, board: Scoreboard, pairs: Sequence[Pair]) -> bool:
    """Write a layer for each model, with a footprint and the figures of each tile; whether there was anything to write.

    `pairs` are in the order of the tiles; those without a georeference have no footprint. Where their CRSs differ,
    footprints are in longitude and latitude.

    Raises:
        OutputError: it cannot be written.
    """
    placed = [index for index, pair in enumerate(pairs) if pair.place.is_known and pair.place.crs]
    if not placed:
        return False
    crs, outlines = _outlines([pairs[index] for index in placed])
    try:
        with undated():
            models = [row for row in board.rows if not row.is_constant]
            for row in models:
                columns = _columns(board, [row.tiles[index] for index in placed], placed)
                pyogrio.raw.write(
                    path,
                    shapely.to_wkb(np.array(outlines, object)),
                    list(columns.values()),
                    list(columns),
                    layer=row.name,
                    driver="GPKG",
                    geometry_type="Polygon",
                    crs=crs.to_wkt(),
                    dataset_options={} if path.exists() else {"VERSION": "1.2"},  # later ones make older QGIS complain
                )
            field, steps = (WRONG, WRONG_STEPS) if board.classes else (LEVELS, LEVEL_STEPS)
            for row in models:
                add_style(path, row.name, "errors", _qml(field, steps), "errors of the tiles, by geopix2pix evaluate")
    except (OSError, pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        told = complaint(error)
        raise OutputError(f"{path}: cannot be written ({told}); choose another place or make room") from error
    return True


def _outlines(pairs: Sequence[Pair]) -> tuple[CRS, list[shapely.Polygon]]:
    known = [pair.place.crs for pair in pairs]
    common = known[0] if all(crs == known[0] for crs in known) else CRS.from_epsg(4326)
    outlines = []
    for pair, crs in zip(pairs, known, strict=True):
        corners = [(0, 0), (pair.width, 0), (pair.width, pair.height), (0, pair.height)]
        xs, ys = zip(*(pair.place.transform * corner for corner in corners), strict=True)
        if crs != common:
            xs, ys = transform(crs, common, xs, ys)
        outlines.append(shapely.Polygon(zip(xs, ys, strict=True)))
    return common, outlines


def _columns(
    board: Scoreboard, figures: Sequence[Mapping[str, float]], placed: Sequence[int]
) -> dict[str, npt.NDArray[Any]]:
    tiles = [board.tiles[index] for index in placed]
    texts = {
        name: np.array([getattr(tile, name) for tile in tiles], object) for name in ("name", "split", "group", "scene")
    }
    numbers = {"known": [tile.known / tile.pixels for tile in tiles]}
    if board.classes:
        numbers[WRONG] = [1 - scores["palette_accuracy"] for scores in figures]
    names = [name for name in board.measures if any(name in scores for scores in figures)]
    numbers |= {name: [scores.get(name, np.nan) for scores in figures] for name in names}
    finite = {name: np.array(values, np.float64) for name, values in numbers.items()}
    return texts | {name: np.where(np.isfinite(values), values, np.nan) for name, values in finite.items()}


def _qml(field: str, steps: Sequence[float]) -> str:
    """A graduated style in the form in which QGIS stores it."""
    root = Element("qgis", version="3.22", styleCategories="Symbology")
    renderer = SubElement(
        root, "renderer-v2", type="graduatedSymbol", attr=field, graduatedMethod="GraduatedColor", symbollevels="0"
    )
    ranges, symbols = SubElement(renderer, "ranges"), SubElement(renderer, "symbols")
    for number, (lower, upper, color) in enumerate(zip(steps, steps[1:], COLORS, strict=False)):
        label = f"{lower:.0%} to {upper:.0%} wrong" if field == WRONG else f"{lower:g} to {upper:g} levels"
        SubElement(ranges, "range", lower=str(lower), upper=str(upper), label=label, symbol=str(number), render="true")
        symbol = SubElement(symbols, "symbol", name=str(number), type="fill")
        paint = SubElement(SubElement(symbol, "layer", {"class": "SimpleFill", "enabled": "1"}), "Option", type="Map")
        for name, value in (
            ("color", ",".join(map(str, (*color, OPACITY)))),
            ("outline_color", "64,64,64,255"),
            ("outline_width", "0.2"),  # millimetres
        ):
            SubElement(paint, "Option", name=name, type="QString", value=value)
    return tostring(root, encoding="unicode")
