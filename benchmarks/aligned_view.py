"""What a tile costs on another grid, and what GDAL's warper does to pixels when a window is cut.

    python benchmarks/aligned_view.py

A scene of random pixels, 0.3 m in UTM zone 32, is shown in tiles of 256 x 256 in zone 33 and half a pixel aside.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.transform import from_origin
from rasterio.warp import Resampling, reproject, transform

from geopix2pix.aligned import AlignedView
from geopix2pix.geogrid import GeoGrid
from geopix2pix.grid import Window
from geopix2pix.ground import points_in
from geopix2pix.raster import Patch, RasterReader
from geopix2pix.warp import warped

SIDE, TILE, TILES = 1600, 256, 16
UTM, OTHER_ZONE = CRS.from_epsg(32632), CRS.from_epsg(32633)
PLACE = from_origin(600_000, 5_000_000, 0.3, 0.3)
KERNELS = ("nearest", "bilinear", "cubic", "average")


def main() -> None:
    own = GeoGrid(crs=UTM, transform=PLACE)
    grids = {
        "its own grid": own,
        "half a pixel aside": own.shifted(0.5, 0.5),
        "zone 33": GeoGrid.anchored(OTHER_ZONE, 0.3),
    }
    picture = np.random.default_rng(0).integers(0, 256, (3, SIDE, SIDE), dtype=np.uint8)
    print("places are wrong by up to: by reproject {:.4f}, here {:.6f} pixels".format(*misplaced()))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scene.tif"
        profile = {"count": 3, "width": SIDE, "height": SIDE, "dtype": "uint8", "tiled": True}
        with rasterio.open(path, "w", driver="GTiff", crs=UTM, transform=PLACE, **profile) as dataset:
            dataset.write(picture)
        for name, grid in grids.items():
            costs = ", ".join(f"{kernel} {tile_cost(path, grid, kernel) * 1000:.0f}" for kernel in KERNELS)
            print(f"{name}: milliseconds for a tile: {costs}")
        for name in ("half a pixel aside", "zone 33"):
            for kernel in ("nearest", "bilinear", "cubic"):
                gdal, us = changed(path, grids[name], kernel)
                print(f"{name}, {kernel}: values that another cut changes: by reproject {gdal:.2%}, here {us:.2%}")


def misplaced() -> tuple[float, float]:
    """The most pixels by which places are wrong, in a tile of 1024 x 1024 pixels of 8 m: by reproject, here.

    A pixel's value is its column, so that bilinear values tell the place.
    """
    place = from_origin(420_000, 5_050_000, 8, 8)
    columns = np.broadcast_to(np.arange(20_000) + 0.5, (1, 2500, 20_000)).copy()
    xs, ys = points_in(OTHER_ZONE, UTM, np.array([500_000.0]), np.array([5_040_000.0]))
    grid, window = GeoGrid.anchored(OTHER_ZONE, 8, (xs[0], ys[0])), Window(0, 0, 1024, 1024)
    gdal = np.zeros((1, 1024, 1024))
    places = {"src_transform": place, "dst_transform": grid.transform}
    reproject(columns, gdal, src_crs=UTM, dst_crs=OTHER_ZONE, resampling=Resampling.bilinear, tolerance=0, **places)
    us = warped(Patch(columns, np.ones((2500, 20_000), bool)), UTM, place, grid, window, "bilinear")
    at = grid.places(np.arange(1024) + 0.5, np.arange(1024)[:, None] + 0.5)
    x, _ = transform(OTHER_ZONE, UTM, *(values.ravel() for values in at))
    exact = (np.array(x).reshape(1024, 1024) - place.c) / 8
    assert us.valid.all()
    return float(np.abs(gdal[0] - exact).max()), float(np.abs(us.data[0] - exact).max())


def tiles(path: Path, grid: GeoGrid) -> list[Window]:
    """Tiles around the middle of the scene."""
    with RasterReader(path) as reader:
        around = grid.window(GeoGrid.of(reader).bounds_in(grid.crs, reader.extent))
    left, top = around.col + around.width // 2 - 2 * TILE, around.row + around.height // 2 - 2 * TILE
    return [Window(left + TILE * (i % 4), top + TILE * (i // 4), TILE, TILE) for i in range(TILES)]


def tile_cost(path: Path, grid: GeoGrid, kernel: str) -> float:
    """The median of the seconds of one core that a tile takes, whatever else the machine does."""
    view, seconds = AlignedView([path], grid, kernel=kernel), []
    for window in tiles(path, grid):
        start = time.process_time()
        assert view.read(window).valid.all()
        seconds.append(time.process_time() - start)
    view.close()
    return float(np.median(seconds))


def changed(path: Path, grid: GeoGrid, kernel: str) -> tuple[float, float]:
    """The shares of values that are others in a cut of a tile, made from a cut of the scene."""
    random = np.random.default_rng(1)
    differ, of = np.zeros(2), 0
    with RasterReader(path) as reader:
        for tile in tiles(path, grid):
            whole = [show(reader, reader.extent, grid, tile, kernel) for show in (by_gdal, by_us)]
            col, row, width, height = random.integers(20, 100, 4).tolist()
            scene_col, scene_row = random.integers(1, 30, 2).tolist()
            piece = Window(scene_col, scene_row, SIDE - scene_col, SIDE - scene_row)
            cut = Window(tile.col + col, tile.row + row, width, height)
            part = [show(reader, piece, grid, cut, kernel) for show in (by_gdal, by_us)]
            inside = np.s_[:, row : row + height, col : col + width]
            differ += [np.count_nonzero(w[inside] != p) for w, p in zip(whole, part, strict=True)]
            of += part[0].size
    by_reproject, here = (differ / of).tolist()
    return by_reproject, here


def by_gdal(reader: RasterReader, piece: Window, grid: GeoGrid, window: Window, kernel: str) -> np.ndarray:
    shown = np.zeros((3, window.height, window.width), np.uint8)
    reproject(
        reader.read(piece).data,
        shown,
        src_crs=UTM,
        src_transform=PLACE * Affine.translation(piece.col, piece.row),
        dst_crs=grid.crs,
        dst_transform=grid.transform_of(window),
        resampling=Resampling[kernel],
        tolerance=0,
        XSCALE=1,
        YSCALE=1,
    )
    return shown


def by_us(reader: RasterReader, piece: Window, grid: GeoGrid, window: Window, kernel: str) -> np.ndarray:
    return warped(reader.read(piece), UTM, PLACE, grid, window, kernel, at=(piece.col, piece.row)).data


if __name__ == "__main__":
    main()
