"""How an index of tiles calls its columns, and how QGIS shows it: in the colours of the split, with plain names."""

import re
from collections.abc import Mapping, Sequence
from itertools import chain, count
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, tostring

import numpy as np
import pyogrio.raw

from geopix2pix.palette import RGB

COLORS: dict[str, RGB] = {
    "train": (0x00, 0x72, 0xB2),
    "validation": (0xE6, 0x9F, 0x00),
    "test": (0xCC, 0x79, 0xA7),
    "unused": (0x99, 0x99, 0x99),
}
"""The colour of each split, apart for colour-blind eyes too (Okabe and Ito's palette)."""
UTC = 100  # GDAL's number for it
KINDS = {"share": "share of", "mean": "mean of", "std": "deviation of"}
"""What begins the names of columns that belong to a class or a band, and how people read it."""
MAX_NAME = 40  # letters of a class or band that its column shows; the whole name is stored beside the table
OPACITY = 90  # of 255, so that the picture below is seen


def column_names(kind: str, names: Sequence[str]) -> list[str]:
    """A column for each name; they differ from each other where case does not count too."""
    columns: list[str] = []
    for name in names:
        plain = "_".join([kind, *re.findall(r"[a-z0-9]+", name.lower()[:MAX_NAME])])
        wanted = chain([plain] if plain != kind else [], (f"{plain}_{number}" for number in count(1)))
        columns.append(next(column for column in wanted if column not in columns))
    return columns


def aliases(classes: Sequence[str], bands: Sequence[str]) -> dict[str, str]:
    """What people read instead of the names of columns."""
    named = {"share": classes, "mean": bands, "std": bands}
    return {
        column: f"{words} {name}"
        for kind, words in KINDS.items()
        for column, name in zip(column_names(kind, named[kind]), named[kind], strict=True)
    }


def write_style(path: Path, layer: str, aliases: Mapping[str, str]) -> None:
    """Let QGIS show the index in a GeoPackage in the colours of the split; `aliases` as in `qml`."""
    add_style(path, layer, "split", qml(aliases), "the split of a geopix2pix tile set")


def add_style(path: Path, layer: str, name: str, style: str, description: str) -> None:
    """Add a QML style to the table of a GeoPackage in which QGIS looks for that of a layer."""
    row: dict[str, str | bool] = {
        "f_table_catalog": "",
        "f_table_schema": "",
        "f_table_name": layer,
        "f_geometry_column": "geom",
        "styleName": name,
        "styleQML": style,
        "styleSLD": "",
        "useAsDefault": True,
        "description": description,
        "owner": "",
        "ui": "",
    }
    columns = [np.array([value], object if isinstance(value, str) else bool) for value in row.values()]
    pyogrio.raw.write(
        path,
        None,
        [*columns, np.array(["2000-01-01"], "datetime64[ms]")],
        [*row, "update_time"],
        layer="layer_styles",
        driver="GPKG",
        geometry_type=None,
        append=True,
        gdal_tz_offsets={"update_time": np.array([UTC])},
        layer_options={"FID": "id"},
    )


def qml(aliases: Mapping[str, str]) -> str:
    """The style as QGIS stores it; `aliases` are the plain names of columns."""
    root = Element("qgis", version="3.22", styleCategories="Symbology|Fields|Forms")
    renderer = SubElement(root, "renderer-v2", type="categorizedSymbol", attr="split")
    categories, symbols = SubElement(renderer, "categories"), SubElement(renderer, "symbols")
    for number, (split, color) in enumerate(COLORS.items()):
        SubElement(categories, "category", value=split, label=split, symbol=str(number), render="true")
        symbol = SubElement(symbols, "symbol", name=str(number), type="fill")
        layer = SubElement(symbol, "layer", {"class": "SimpleFill", "enabled": "1"})
        paint = SubElement(layer, "Option", type="Map")
        _text(paint, "color", ",".join(map(str, (*color, OPACITY))))
        _text(paint, "outline_color", ",".join(map(str, (*color, 255))))
        _text(paint, "outline_width", "0.3")  # millimetres
    field = SubElement(SubElement(root, "fieldConfiguration"), "field", name="split")
    config = SubElement(SubElement(field, "editWidget", type="ValueMap"), "config")
    choices = SubElement(SubElement(config, "Option", type="Map"), "Option", name="map", type="List")
    for split in COLORS:
        _text(SubElement(choices, "Option", type="Map"), split, split)
    names = SubElement(root, "aliases")
    for column, name in aliases.items():
        SubElement(names, "alias", field=column, name=name)
    return tostring(root, encoding="unicode")


def _text(parent: Element, name: str, value: str) -> None:
    SubElement(parent, "Option", name=name, type="QString", value=value)
