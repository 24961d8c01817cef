"""An invented region as files, so that every command can be tried with nothing downloaded."""

import json
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyogrio
import pyogrio.raw
import shapely
from rasterio.crs import CRS
from rasterio.env import Env
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.features import geometry_mask
from rasterio.io import MemoryFile
from rasterio.transform import from_origin
from rasterio.warp import transform
from shapely import Polygon

from geopix2pix.aerial import picture
from geopix2pix.errors import ConfigError, OutputError
from geopix2pix.ogr import undated
from geopix2pix.palette import RGB, MapClass, Palette
from geopix2pix.progress import Event, Progress, silent
from geopix2pix.town import CLASSES, RESOLUTION, Town, class_raster, lay_out

Bytes = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

CRS_CODE = "EPSG:32626"
LEFT, BOTTOM = 600_000.0, 5_000_000.0  # in the North Atlantic, where there is no town to be mistaken for
SIZES = range(256, 4097)  # below, a class may be missing; the largest is drawn in 2.2 GB of memory
TILE, TILES = 256, 5  # pairs are cut from a town of TILES x TILES tiles; its last row is for validation

TRAINING = ((255, 255, 255), (255, 0, 0), (0, 0, 0), (0, 255, 0), (0, 0, 255))  # corners of the colour cube
DISPLAY: tuple[RGB, ...] = (
    (0xF2, 0xEF, 0xE9),
    (0xD9, 0xD0, 0xC9),
    (0xFF, 0xFF, 0xFF),
    (0xAD, 0xD1, 0x9E),
    (0xAA, 0xD3, 0xDF),
)
PALETTE = Palette(
    classes=tuple(
        MapClass(name=name, color=color, display=display, target=display)
        for name, color, display in zip(CLASSES, TRAINING, DISPLAY, strict=True)
    ),
    knows=CLASSES,
)
# As shares of the side, from the lower left corner: the region of interest, and what the satellite did not see.
REGION = ((0.22, 0.18), (0.52, 0.26), (0.83, 0.15), (0.88, 0.55), (0.64, 0.84), (0.38, 0.66), (0.15, 0.58))
UNSEEN = ((0.0, 1.0), (0.0, 0.87), (0.09, 0.92), (0.17, 0.93), (0.34, 1.0))

README = """A synthetic region for trying geopix2pix
========================================

Everything in this folder is invented: the town does not exist, and no satellite took the picture. It was made by

    geopix2pix sample DIR --seed {seed} --size {size}

and is free of rights (CC0 1.0). The coordinates lie in the North Atlantic (WGS 84 / UTM zone 26N); a pixel is 0.5 m.

scene.tif        the picture, 3 bands of bytes; a corner that was not seen is masked by an internal mask
map.tif          the street map of the same ground in display colours, complete
classes.tif      the same as class numbers: {classes}
vectors.gpkg     what both are drawn from, in drawing order: water, vegetation, buildings, roads (buffer the lines by
                 half of width_m)
region.geojson   a region of interest inside the scene, in longitude and latitude
pairs/           256 x 256 tiles of another synthetic town for training: train/ and validation/, each with a picture
                 in source/ and its map in target/ under the same name, and palette.json, which says what the colours
                 of the maps mean
"""


def write_sample(
    folder: Path, *, seed: int = 0, size: int = 1024, overwrite: bool = False, progress: Progress = silent
) -> Path:
    """Write the sample that belongs to `seed`, with a scene of `size` x `size` pixels, and return its folder.

    The same seed and size give the same bytes. Everything is written beside `folder` first and moved there at the end.
    With `overwrite`, the files of an earlier sample are replaced and all others in the folder stay.

    Raises:
        ConfigError: the seed or the size is impossible.
        OutputError: the folder holds something, or cannot be written.
    """
    if seed < 0 or size not in SIZES:
        raise ConfigError(
            f"sample with seed {seed} and size {size}: the seed must be 0 or more, "
            f"the size {SIZES[0]} to {SIZES[-1]} pixels"
        )
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: is a file; name a new folder for the sample")
    if not folder.absolute().parent.is_dir():
        raise OutputError(f"{folder}: its parent folder does not exist; create it first")
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise OutputError(f"{folder}: is not empty; name a new folder, or allow overwriting")
    total = 7 + 2 * TILES**2
    try:
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.absolute().parent) as beside:
            new = Path(beside) / "sample"
            for done, (name, content) in enumerate(_contents(seed, size), start=1):
                (new / name).parent.mkdir(parents=True, exist_ok=True)
                (new / name).write_bytes(content)
                progress(Event("sample", done, total, "files"))
            _move(new, folder)
    except (OSError, RasterioError, pyogrio.errors.DataSourceError) as error:
        raise OutputError(
            f"{folder}: the sample cannot be written ({error}); choose another place or make room"
        ) from error
    return folder


def _move(new: Path, folder: Path) -> None:
    """Put the files in `new` into `folder`: all at once where there is none yet, otherwise one by one."""
    if not folder.exists():
        new.rename(folder)
        return
    for path in sorted(p for p in new.rglob("*") if p.is_file()):
        target = folder / path.relative_to(new)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)


def _contents(seed: int, size: int) -> Iterator[tuple[str, bytes]]:
    """The names and bytes of all files of the sample."""
    town = lay_out(2 * seed, size)
    classes = class_raster(town)
    corner = Polygon(np.array(UNSEEN) * size * RESOLUTION)
    seen = geometry_mask([corner], classes.shape, town.transform)
    yield "scene.tif", _geotiff(picture(town, classes, seed) * seen, ("red", "green", "blue"), seen=seen)
    yield "map.tif", _geotiff(_displayed(classes), ("red", "green", "blue"))
    yield "classes.tif", _geotiff(classes[None], ("class",), colors=DISPLAY)
    yield "vectors.gpkg", _geopackage(town)
    yield "region.geojson", _geojson(Polygon(np.array(REGION) * size * RESOLUTION))
    names = ", ".join(f"{index} {name}" for index, name in enumerate(CLASSES))
    yield "README.txt", README.format(seed=seed, size=size, classes=names).encode()
    yield "pairs/palette.json", json.dumps(PALETTE.to_json(), indent=2).encode()
    town = lay_out(2 * seed + 1, TILE * TILES)
    classes = class_raster(town)
    pictures = {"source": picture(town, classes, seed), "target": _displayed(classes)}
    for row, col in np.ndindex(TILES, TILES):
        part = "train" if row < TILES - 1 else "validation"
        tile = np.s_[:, row * TILE : (row + 1) * TILE, col * TILE : (col + 1) * TILE]
        for side, whole in pictures.items():
            yield f"pairs/{part}/{side}/r{row:02}c{col:02}.png", _png(whole[tile])


def _displayed(classes: Bytes) -> Bytes:
    """The street map of a class raster, shape (3, rows, cols)."""
    return np.ascontiguousarray(np.moveaxis(PALETTE.display[classes], 2, 0))


def _geotiff(data: Bytes, names: Sequence[str], *, seen: Mask | None = None, colors: Sequence[RGB] = ()) -> bytes:
    """A GeoTIFF of `data`, shape (bands, rows, cols), masked where it is not `seen`."""
    bands, rows, cols = data.shape
    with Env(GDAL_TIFF_INTERNAL_MASK=True), MemoryFile() as memory:
        with memory.open(
            driver="GTiff",
            count=bands,
            height=rows,
            width=cols,
            dtype="uint8",
            crs=CRS.from_string(CRS_CODE),
            transform=from_origin(LEFT, BOTTOM + rows * RESOLUTION, RESOLUTION, RESOLUTION),
            photometric="RGB" if bands == 3 else "palette",
            tiled=True,
            compress="deflate",
        ) as dataset:
            dataset.update_tags(GEOPIX2PIX_SYNTHETIC="yes")
            dataset.descriptions = names
            if colors:
                dataset.write_colormap(1, dict(enumerate(colors)))
            dataset.write(data)
            if seen is not None:
                dataset.write_mask(seen)
        return bytes(memory.read())


def _png(data: Bytes) -> bytes:
    with warnings.catch_warnings(), MemoryFile() as memory:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # tiles for training lie nowhere
        bands, rows, cols = data.shape
        with memory.open(driver="PNG", count=bands, height=rows, width=cols, dtype="uint8") as dataset:
            dataset.write(data)
        return bytes(memory.read())


def _geopackage(town: Town) -> bytes:
    """The geometry of a town as layers, in drawing order."""
    layers: dict[str, tuple[str, list[Any], dict[str, list[Any]]]] = {
        "water": ("Polygon", [*town.water], {}),
        "vegetation": (
            "Polygon",
            [*town.greens, *town.crowns],
            {"kind": ["green"] * len(town.greens) + ["tree"] * len(town.crowns)},
        ),
        "buildings": (
            "Polygon",
            [b.footprint for b in town.buildings],
            {"kind": [b.kind for b in town.buildings], "height_m": [b.height for b in town.buildings]},
        ),
        "roads": (
            "LineString",
            [road.line for road in town.roads],
            {"class": [road.kind for road in town.roads], "width_m": [road.width for road in town.roads]},
        ),
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "vectors.gpkg"
        with undated():
            for name, (kind, geometries, columns) in layers.items():
                pyogrio.raw.write(
                    path,
                    shapely.to_wkb(shapely.transform(np.array(geometries), lambda xy: np.add(xy, (LEFT, BOTTOM)))),
                    [np.array(column) for column in columns.values()],
                    list(columns),
                    layer=name,
                    driver="GPKG",
                    geometry_type=kind,
                    crs=CRS_CODE,
                )
        return path.read_bytes()


def _geojson(region: Polygon) -> bytes:
    """A polygon as GeoJSON: longitude and latitude to 1e-7 degrees, which is a centimetre."""
    x, y = np.array(region.exterior.coords).T + np.array([[LEFT], [BOTTOM]])
    ring = [[round(lon, 7), round(lat, 7)] for lon, lat in zip(*transform(CRS_CODE, "EPSG:4326", x, y), strict=True)]
    feature = {
        "type": "Feature",
        "properties": {"name": "synthetic region"},
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    }
    return json.dumps({"type": "FeatureCollection", "features": [feature]}, indent=2).encode()
