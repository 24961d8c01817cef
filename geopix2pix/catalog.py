"""Catalog: results described as a STAC collection with an item for each scene."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from os.path import relpath
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from rasterio.crs import CRS

from geopix2pix import __version__
from geopix2pix.area import outline
from geopix2pix.errors import SceneError
from geopix2pix.gdal import guarded, unreferenced_allowed
from geopix2pix.geogrid import GeoGrid
from geopix2pix.grid import Window
from geopix2pix.ground import WGS_84, pixel_sides, points_in
from geopix2pix.manifest import Manifest
from geopix2pix.output import write_bytes

COLLECTION = "collection.json"
EXTENSIONS = [
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "https://stac-extensions.github.io/raster/v2.0.0/schema.json",
    "https://stac-extensions.github.io/classification/v2.0.0/schema.json",
    "https://stac-extensions.github.io/file/v2.1.0/schema.json",
    "https://stac-extensions.github.io/processing/v1.2.0/schema.json",
]
GEOTIFF = "image/tiff; application=geotiff"
RASTERS = ("map", "classes", "confidence")
TYPES = {
    ".gpkg": "application/geopackage+sqlite3",
    ".geojson": "application/geo+json",
    ".fgb": "application/vnd.flatgeobuf",
    ".mbtiles": "application/vnd.sqlite3",
    ".pmtiles": "application/vnd.pmtiles",
    ".png": "image/png",
    ".json": "application/json",
}
ROLES = {"preview": "overview", "seam_report": "metadata"}
UNKNOWN_TIME = {
    "datetime": None,
    "start_datetime": "1900-01-01T00:00:00Z",
    "end_datetime": "9999-12-31T23:59:59Z",
}
"""STAC wants a time, and many a raster does not tell when it was taken."""
DENSITY = 16  # points along each side of a scene, which is bent in degrees


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """A scene and what was made of it."""

    name: str
    source: str
    results: Mapping[str, Path]
    item: Mapping[str, Any] | None
    """The STAC item of the scene, if it came with one."""


def write_catalog(folder: Path, title: str, made: Sequence[Described], manifest: Manifest, digest: str) -> Path:
    """Write a STAC collection of all results to `folder`, with an item for each scene; its path.

    What the model is (`digest`: the SHA-256 of its file) and what the classes mean is in every item. Addresses are
    relative, so that folder and results can be moved together.

    Raises:
        RasterError: a map cannot be read.
        OutputError: a document cannot be written.
    """
    folder.mkdir(exist_ok=True)
    items = []
    for scene in made:
        items.append(_item(folder, scene, title, manifest, digest))
        write_bytes(folder / f"{scene.name}.json", _text(items[-1]))
    write_bytes(folder / COLLECTION, _text(_collection(title, items, manifest)))
    return folder / COLLECTION


def _text(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, indent=1, allow_nan=False).encode()


def _collection(title: str, items: Sequence[Mapping[str, Any]], manifest: Manifest) -> dict[str, Any]:
    boxes = np.array([item["bbox"] for item in items if "bbox" in item] or [[-180, -90, 180, 90]])
    times = [item["properties"].get("datetime") for item in items]
    known = sorted(time for time in times if time) if all(times) else []
    bbox = [*boxes[:, :2].min(axis=0).tolist(), *boxes[:, 2:].max(axis=0).tolist()]
    if (boxes[:, 0] > boxes[:, 2]).any():  # a scene across the antimeridian
        bbox[0], bbox[2] = -180.0, 180.0
    return {
        "type": "Collection",
        "stac_version": "1.1.0",
        "id": title,
        "title": f"{title}, {manifest.name} {manifest.version}",
        "description": f"Maps that geopix2pix {__version__} made with the model {manifest.name} {manifest.version}",
        "license": "other",
        "extent": {
            "spatial": {"bbox": [bbox]},
            "temporal": {"interval": [[known[0], known[-1]] if known else [UNKNOWN_TIME["start_datetime"], None]]},
        },
        "links": [
            {"rel": "root", "href": f"./{COLLECTION}", "type": "application/json"},
            *({"rel": "item", "href": f"./{item['id']}.json", "type": "application/geo+json"} for item in items),
        ],
    }


def _item(folder: Path, scene: Described, title: str, manifest: Manifest, digest: str) -> dict[str, Any]:
    path = scene.results["map"]
    with guarded(path, "describe it"), unreferenced_allowed(), rasterio.open(path, sharing=False) as dataset:
        crs, transform, size = dataset.crs, dataset.transform, Window(0, 0, dataset.width, dataset.height)
    grid = None if crs is None or transform.is_identity else GeoGrid(crs=crs, transform=transform)
    links = [{"rel": rel, "href": f"./{COLLECTION}", "type": "application/json"} for rel in ("root", "parent")]
    links.append({"rel": "collection", "href": f"./{COLLECTION}", "type": "application/json"})
    if not (address := scene.source).startswith("/vsi"):
        links.append({"rel": "derived_from", "href": address if "://" in address else _relative(Path(address), folder)})
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": EXTENSIONS,
        "id": scene.name,
        "collection": title,
        **whereabouts(grid, size),
        "properties": {
            **_time(scene.item),
            **_projection(grid, size),
            "processing:software": {"geopix2pix": __version__},
            "processing:lineage": f"translated by the model {manifest.name} {manifest.version}, see geopix2pix:model",
            "geopix2pix:model": f"{manifest.name} {manifest.version}",
            "geopix2pix:model_sha256": digest,
        },
        "links": links,
        "assets": {kind: _asset(kind, file, folder, grid, size, manifest) for kind, file in scene.results.items()},
    }


def _asset(
    kind: str, path: Path, folder: Path, grid: GeoGrid | None, size: Window, manifest: Manifest
) -> dict[str, Any]:
    asset: dict[str, Any] = {
        "href": _relative(path, folder),
        "title": kind.replace("_", " "),
        "roles": [ROLES.get(kind, "data")],
    }
    if path.is_file():
        asset["file:size"] = path.stat().st_size
        asset["type"] = GEOTIFF if kind in RASTERS else TYPES.get(path.suffix.lower(), "application/octet-stream")
    if kind in RASTERS:
        sides = None if grid is None else pixel_sides(grid.crs, grid.transform, size.width / 2, size.height / 2)
        if sides is not None:
            asset["raster:spatial_resolution"] = round(max(sides), 9)
        asset["bands"] = _bands(kind, manifest)
    return asset


def _bands(kind: str, manifest: Manifest) -> list[dict[str, Any]]:
    target = manifest.target
    if kind == "map":
        return [{"name": name, "data_type": target.dtype} for name in target.names]
    band: dict[str, Any] = {"name": kind, "data_type": "uint8", "nodata": 255}
    if kind == "confidence":
        return [band | {"unit": "%"}]
    classes = () if target.palette is None else target.palette.classes
    band["classification:classes"] = [
        {
            "value": i,
            "name": re.sub(r"[^0-9A-Za-z_-]+", "-", c.name),
            "description": c.name,
            "color_hint": bytes(c.display).hex().upper(),
        }
        for i, c in enumerate(classes)
    ]
    return [band]


def _time(item: Mapping[str, Any] | None) -> dict[str, Any]:
    """When the scene was taken, if its own item tells."""
    properties = item.get("properties") if item is not None else None
    time = properties.get("datetime") if isinstance(properties, Mapping) else None
    try:
        datetime.fromisoformat(str(time).replace("Z", "+00:00"))
    except ValueError:
        return dict(UNKNOWN_TIME)
    return {"datetime": time}


def _projection(grid: GeoGrid | None, size: Window) -> dict[str, Any]:
    fields: dict[str, Any] = {"proj:shape": [size.height, size.width]}
    if grid is not None:
        code = grid.crs.to_authority()
        fields["proj:code"] = ":".join(code) if code else None
        if not code:
            fields["proj:wkt2"] = grid.crs.to_wkt(version="WKT2_2019")
        fields["proj:transform"] = list(grid.transform[:6])
        fields["proj:bbox"] = list(grid.bounds(size))
    return fields


def whereabouts(grid: GeoGrid | None, size: Window) -> dict[str, Any]:
    """Geometry and bounding box in degrees; no geometry where the place is not known."""
    if grid is None:
        return {"geometry": None}
    left, bottom, right, top = grid.bounds(size)
    border = shapely.segmentize(outline(grid, size), max(right - left, top - bottom) / DENSITY)
    xs, ys = shapely.get_coordinates(border).T
    try:
        lons, lats = points_in(CRS.from_epsg(WGS_84), grid.crs, xs, ys)
    except SceneError:
        return {"geometry": None}
    if not np.isfinite([lons, lats]).all():
        return {"geometry": None}
    lons = np.unwrap(lons, period=360)  # in one piece, whatever lies between
    lons += 360 * (lons.min() < -180)
    area = shapely.Polygon(np.round(np.column_stack([lons, lats]), 9))
    west, south, east, north = area.bounds
    if not area.is_valid or east - west >= 360:  # round a pole, or round the earth
        west, east = -180.0, 180.0
        if not area.is_valid:
            south, north = (south, 90.0) if south + north > 0 else (-90.0, north)
        area = shapely.box(west, south, east, north)
    if east > 180:
        halves = [shapely.clip_by_rect(area, low, -90, low + 360, 90) for low in (-180, 180)]
        halves[1] = shapely.transform(halves[1], lambda points: points - [360, 0])
        area, east = shapely.union_all(halves), east - 360
    return {"geometry": shapely.geometry.mapping(area), "bbox": [west, south, east, north]}


def _relative(path: Path, folder: Path) -> str:
    return Path(relpath(path, folder)).as_posix()
