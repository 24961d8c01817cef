"""Seams, borders and holes of the model in the package on real scenes: `python -m benchmarks.seams DATA [OVERLAP ...]`.

For each scene (its middle, at most 2048 pixels square) and each overlap, by default the model's own, a row of a table:
the measures of `geopix2pix.seams` under grids moved by half a step; then what a border does to the picture. For the
latter the scene is cut, so that its border lies where there was none, or gets a hole without data in the shape of a
diamond. The mean gradient within 16 pixels of border or hole minus that of the same pixels in the map of the uncut
scene would be positive if there was a ring; in levels of 255, with a 95 % interval by a bootstrap over blocks of 64
pixels. Beside the border's stands the share of these pixels whose class is another one than in the uncut scene.
At the end the number of colours in the maps of scenes of one colour, which is to be one.
"""

import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import rasterio

from geopix2pix.blend import Blender
from geopix2pix.engine import Engine, load_engine, package_model
from geopix2pix.errors import SceneError
from geopix2pix.evaluation.stability import flatness
from geopix2pix.gdal import unreferenced_allowed
from geopix2pix.grid import Window, WindowGrid
from geopix2pix.model import ModelFile
from geopix2pix.mosaic import PatchSource, pieces
from geopix2pix.normalize import Scaling
from geopix2pix.planning import fitted_grid
from geopix2pix.raster import Patch, RasterReader
from geopix2pix.seams import BLOCK, RESAMPLES, levels, measured_seams
from tests.test_real_scenes import SCENES, mosaic

SIDE, BAND = 2048, 16  # pixels
Picture = np.ndarray


class Painted(NamedTuple):
    """The map of a scene: its picture in levels of 255, its classes, and where it is valid."""

    picture: Picture
    classes: np.ndarray
    valid: np.ndarray


class Excess(NamedTuple):
    """A mean gradient minus that of the same pixels elsewhere, levels of 255, and its 95 % interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:+.2f} ({self.low:+.2f} to {self.high:+.2f})"


def stored(path: Path, patch: Patch) -> Path:
    """A scene in a file, with its mask."""
    bands, height, width = patch.data.shape
    size = {"count": bands, "height": height, "width": width, "dtype": patch.data.dtype}
    with unreferenced_allowed(), rasterio.open(path, "w", driver="GTiff", **size) as out:
        out.write(patch.data)
        out.write_mask(patch.valid)
    return path


def translated(source: PatchSource, engine: Engine, scaling: Scaling, grid: WindowGrid) -> Painted:
    """The map of a scene."""
    palette = engine.manifest.target.palette
    values = np.zeros((engine.manifest.generator.out_channels, grid.height, grid.width), np.float32)
    valid = np.zeros((grid.height, grid.width), bool)
    for piece in pieces(source, engine.predict, scaling, Blender(grid, len(values)), 1):
        rows, cols = piece.window.slices
        values[:, rows, cols], valid[rows, cols] = piece.values, piece.valid
    return Painted(levels(values, palette.display if palette else None), values.argmax(axis=0), valid)


def gradients(picture: Picture) -> Picture:
    """The mean absolute difference of a pixel to those on the right and below, shape (rows, cols)."""
    found = np.zeros(picture.shape[1:], np.float32)
    found[:, :-1] += np.abs(np.diff(picture, axis=2)).mean(axis=0) / 2
    found[:-1] += np.abs(np.diff(picture, axis=1)).mean(axis=0) / 2
    return found


def excess(found: Picture, uncut: Picture, where: np.ndarray) -> Excess:
    """How much steeper one picture is than another."""
    difference = gradients(found) - gradients(uncut)
    blocks = [
        difference[row : row + BLOCK, col : col + BLOCK][band].mean()
        for row in range(0, where.shape[0], BLOCK)
        for col in range(0, where.shape[1], BLOCK)
        if (band := where[row : row + BLOCK, col : col + BLOCK]).any()
    ]
    draws = np.random.default_rng(0).integers(0, len(blocks), (RESAMPLES, len(blocks)))
    low, high = np.percentile(np.array(blocks)[draws].mean(axis=1), (2.5, 97.5))
    return Excess(float(np.mean(blocks)), float(low), float(high))


def near(mask: np.ndarray, pixels: int) -> np.ndarray:
    """Where a pixel of `mask` is within so many pixels, along rows or columns or both."""
    for axis in (0, 1):
        length = mask.shape[axis]
        index = np.arange(length)
        counts = np.cumsum(np.insert(mask, 0, 0, axis=axis), axis=axis, dtype=np.int32)
        upper, lower = np.minimum(index + pixels + 1, length), np.maximum(index - pixels, 0)
        mask = counts.take(upper, axis) > counts.take(lower, axis)
    return mask


def ring(
    reader: RasterReader, area: Window, folder: Path, work: Callable[[Path], Painted]
) -> tuple[Excess, float, Excess]:
    """What a border does that is put through the scene, to gradients and to classes, and what a hole does to gradients.

    The uncut scene is the yardstick.
    """
    patch = reader.read(area)
    inner = Window(area.width // 8, area.height // 8, area.width * 3 // 4, area.height * 3 // 4)
    rows, cols = inner.slices
    uncut = work(stored(folder / "uncut.tif", patch))
    cut = work(stored(folder / "cut.tif", Patch(patch.data[:, rows, cols], patch.valid[rows, cols])))
    frame = cut.valid.copy()
    frame[BAND:-BAND, BAND:-BAND] = False
    border = excess(cut.picture, uncut.picture[:, rows, cols], frame)
    changed = float((cut.classes != uncut.classes[rows, cols])[frame].mean())
    row, col = np.ogrid[: area.height, : area.width]
    hole = abs(row / area.height - 0.5) + abs(col / area.width - 0.5) < 0.2
    holed = work(stored(folder / "holed.tif", Patch(np.where(hole, 0, patch.data), patch.valid & ~hole)))
    # A difference to a pixel without data is no gradient of the map.
    touching = near(~holed.valid, 1)
    where = near(hole, BAND) & holed.valid & uncut.valid & ~touching
    return border, changed, excess(holed.picture, uncut.picture, where)


def rows_of(name: str, path: Path, engine: Engine, overlap: int, folder: Path) -> str:
    """The row of one scene."""
    manifest = engine.manifest
    with RasterReader(path, bands=(1, 2, 3)) as reader:
        scaling = manifest.source.scaling
        width, height = min(reader.width, SIDE), min(reader.height, SIDE)
        area = Window((reader.width - width) // 2, (reader.height - height) // 2, width, height)

        def grid_of(extent: Window) -> WindowGrid:
            return fitted_grid(extent, manifest, None, overlap)

        def work(file: Path) -> Painted:
            with RasterReader(file) as part:
                return translated(part, engine, scaling, grid_of(part.extent))

        try:
            report = measured_seams(reader, engine, scaling, grid_of(reader.extent))
            seams = [
                f"{100 * m['changed']:.2f} % | {m['gradient_excess']:+.2f} ({m['gradient_interval'][0]:+.2f} to "
                f"{m['gradient_interval'][1]:+.2f}) | {m['difference']:.1f}"
                for m in (report["blended_by_stride"], report["blended_by_less"], report["hard_by_stride"])
            ]
        except SceneError:  # smaller than a window
            seams = ["none: one window"] * 3
        border, changed, hole = ring(reader, area, folder, work)
    seen = f"{border} | {100 * changed:.1f} % | {hole}"
    return f"| {name} | {width} x {height} | {overlap} | {' | '.join(seams)} | {seen} |"


def main(data: Path, overlaps: list[int]) -> None:
    """Print the table."""
    engine = load_engine(ModelFile.load(package_model("onnxruntime")), threads=2)
    manifest = engine.manifest
    print(f"{manifest.name} {manifest.version}, windows of {manifest.window}, {engine.parameters['engine']}")
    print("| scene | pixels | overlap | shifted by strides: class changed | gradient excess | 99.9 % of differences | "
          "by half a stride more | | | side by side, by strides | | | at a border | changed | at a hole |")  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        scenes = {**SCENES, "Banepa, a mosaic": mosaic(Path(name))}
        for overlap in overlaps or [manifest.overlap]:
            for scene, path in scenes.items():
                print(rows_of(scene, path, engine, overlap, Path(name)), flush=True)
            print(flatness(engine, fitted_grid(Window(0, 0, SIDE, SIDE), manifest, None, overlap)))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(Path(sys.argv[1]), [int(argument) for argument in sys.argv[2:]])
