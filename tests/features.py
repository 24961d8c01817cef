"""Small vector files and styles for tests."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio.raw
import shapely
from rasterio.crs import CRS

from geopix2pix.cartography.style import Style
from geopix2pix.geogrid import GeoGrid

UTM = CRS.from_epsg(32633)
GRID = GeoGrid.anchored(UTM, 0.5)
LEFT, TOP = 500_000.0, 5_800_000.0
PALETTE = {
    "classes": [
        {"name": "land", "color": "FFFFFF", "display": "F2EFE9"},
        {"name": "building", "color": "FF0000", "display": "D9D0C9"},
        {"name": "road", "color": "000000", "display": "102030"},
    ]
}


def at(geometry: Any) -> Any:
    """A geometry in metres to the right of and below a corner near the middle of UTM zone 33, in that zone."""
    return shapely.transform(geometry, lambda points: points * (1, -1) + (LEFT, TOP))


def window_of(left: float, top: float, right: float, bottom: float) -> Any:
    """The window of `GRID` between such distances."""
    return GRID.window((LEFT + left, TOP - bottom, LEFT + right, TOP - top))


def write_features(
    path: Path,
    geometries: Sequence[Any],
    columns: Mapping[str, Sequence[Any]] | None = None,
    *,
    layer: str | None = None,
    crs: str | None = "EPSG:32633",
    driver: str = "GPKG",
    append: bool = False,
    **options: Any,
) -> Path:
    values = [np.array(values) for values in (columns or {}).values()]
    pyogrio.raw.write(
        path,
        shapely.to_wkb(np.array(geometries, object)),
        values,
        list(columns or {}),
        layer=layer or path.stem,
        driver=driver,
        geometry_type=options.pop("geometry_type", "Unknown"),
        crs=crs,
        append=append,
        **options,
    )
    return path


def style_of(*layers: Mapping[str, Any], palette: Any = PALETTE) -> Style:
    """A style of layers, called by their numbers; they draw the layer "things" unless they say otherwise."""
    named = [{"id": str(index), "source-layer": "things"} | dict(layer) for index, layer in enumerate(layers)]
    metadata = {"geopix2pix:palette": palette} if palette else {}
    return Style.from_json(json.loads(json.dumps({"version": 8, "metadata": metadata, "layers": named})), "test style")


def of_class(name: str, **metadata: str) -> dict[str, Any]:
    return {"metadata": {"geopix2pix:class": name} | {f"geopix2pix:{key}": value for key, value in metadata.items()}}
