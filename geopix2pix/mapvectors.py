"""The classes of a finished map as polygons in a vector file."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any
from warnings import catch_warnings, filterwarnings

import numpy as np
import numpy.typing as npt
import pyogrio
import pyogrio.raw
import rasterio
import shapely
from rasterio.crs import CRS
from rasterio.windows import Window as RasterioWindow

from geopix2pix.classpolygons import ClassPolygon, class_polygons
from geopix2pix.errors import ConfigError, GeoPix2PixError, OutputError
from geopix2pix.gdal import environment, unreferenced_allowed
from geopix2pix.geogrid import GeoGrid
from geopix2pix.ground import pixel_sides, points_in
from geopix2pix.ogr import complaint, undated
from geopix2pix.progress import Event, Progress

DRIVERS = {".gpkg": "GPKG", ".geojson": "GeoJSON", ".json": "GeoJSON", ".fgb": "FlatGeobuf"}
LAYER = "classes"
STRIP = 1024  # rows that are looked at together
CHUNK = 10_000  # polygons that are written together
CELL = 256  # pixels of a square in which a pixel is taken for equally large everywhere
GDAL_ERRORS = (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, pyogrio.errors.FeatureError)
WGS_84 = CRS.from_epsg(4326)


def check_vector(path: Path) -> None:
    """Nothing, if a vector file can be written by that name.

    Raises:
        ConfigError: its ending stands for no format that is written.
    """
    if path.suffix.lower() not in DRIVERS:
        raise ConfigError(f"--vector {path}: give it a name that ends in {', '.join(DRIVERS)}")


def write_polygons(
    path: Path, classes: Path, names: Sequence[str], grid: GeoGrid, min_area: float, progress: Progress
) -> None:
    """Write the polygons of the raster `classes`, a GeoTIFF of class indices on `grid`, each of its class.

    Their columns are `class` (the index), `name` and `area` (square metres on the ground). Those below `min_area`
    square metres are left out, which leaves gaps. They lie in the CRS of the grid; in GeoJSON, as its standard has it
    (RFC 7946), in longitude and latitude. What memory holds are the outlines that the next rows may go on with.

    Raises:
        OutputError: the file cannot be written.
    """
    driver = DRIVERS[path.suffix.lower()]
    crs = WGS_84 if driver == "GeoJSON" else grid.crs
    options = {"RFC7946": "YES"} if driver == "GeoJSON" else {}
    found = ((polygon, _area(polygon, grid)) for polygon in class_polygons(_strips(classes, progress), 255))
    kept = ((polygon, area) for polygon, area in found if area >= min_area)
    append = False
    try:
        while (chunk := list(islice(kept, CHUNK))) or not append:
            shapes = np.array([polygon.shape for polygon, _ in chunk], object)
            indices = np.array([polygon.number for polygon, _ in chunk], np.int32)
            columns = {
                "class": indices,
                "name": np.array([names[index] for index in indices], object),
                "area": np.array([area for _, area in chunk], np.float64),
            }
            with undated(), catch_warnings():
                filterwarnings("ignore", module="pyogrio")
                pyogrio.raw.write(
                    path,
                    shapely.to_wkb(_placed(shapes, grid, crs)),
                    list(columns.values()),
                    list(columns),
                    layer=LAYER if driver == "GPKG" else path.stem,
                    driver=driver,
                    geometry_type="Polygon",
                    crs=crs.to_wkt(),
                    append=append,
                    **({} if append else {"layer_options": options}),
                )
            append = True
    except GeoPix2PixError:
        raise
    except (OSError, *GDAL_ERRORS) as error:
        told = complaint(error)
        raise OutputError(f"{path}: cannot be written ({told}); make room, or choose another place") from error


def _strips(path: Path, progress: Progress) -> Iterator[npt.NDArray[np.uint8]]:
    """The strips of a raster of one band, from top to bottom."""
    with unreferenced_allowed(), environment(), rasterio.open(path, sharing=False) as dataset:
        total = -(-dataset.height // STRIP)
    for number in range(total):
        progress(Event("polygons", number, total, "strips"))
        top = number * STRIP
        with unreferenced_allowed(), environment(), rasterio.open(path, sharing=False) as dataset:
            height = min(STRIP, dataset.height - top)
            yield dataset.read(1, window=RasterioWindow(0, top, dataset.width, height))
    progress(Event("polygons", total, total, "strips"))


def _area(polygon: ClassPolygon, grid: GeoGrid) -> float:
    """Square metres on the ground; of pixels where the CRS does not tell metres."""
    left, top, right, bottom = polygon.shape.bounds
    return float(polygon.shape.area) * _pixel(grid, int((left + right) / 2 // CELL), int((top + bottom) / 2 // CELL))


@lru_cache(maxsize=4096)
def _pixel(grid: GeoGrid, column: int, row: int) -> float:
    sides = pixel_sides(grid.crs, grid.transform, (column + 0.5) * CELL, (row + 0.5) * CELL)
    return sides[0] * sides[1] if sides else 1.0


def _placed(shapes: npt.NDArray[Any], grid: GeoGrid, crs: CRS) -> npt.NDArray[Any]:
    def place(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        xs, ys = grid.places(points[:, 0], points[:, 1])
        found: npt.NDArray[np.float64] = points_in(crs, grid.crs, xs, ys).T
        return found

    placed: npt.NDArray[Any] = shapely.transform(shapes, place)
    return placed
