"""What a tile looks like, small: its source, its target and its classes as pictures for people."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image
from rasterio.enums import Resampling
from rasterio.io import DatasetReader

from geopix2pix import labels
from geopix2pix.bands import color_table
from geopix2pix.gdal import guarded, open_dataset
from geopix2pix.palette import RGB, Palette
from geopix2pix.tilesets.tileindex import Tile
from geopix2pix.tilesets.tileset import PERCENTS, Content, Side, TileSet

Picture = npt.NDArray[np.uint8]  # (rows, cols, 3)
STRETCH = (2.0, 98.0)  # percentiles of what is not stored in eight bits, of the whole set
RGB_NAMES = ("red", "green", "blue")
CHECKS = 8  # pixels of a field of the checkerboard, which means that nothing is known there
CHECK_LEVELS = (236, 212)
NONE_NAMED_LEVEL = 150  # a grey: none of the classes that the source of the map can name


class Thumbnail(NamedTuple):
    """One side of a tile."""

    side: Side
    image: Image.Image
    """In red, green and blue."""


def thumbnails(tileset: TileSet, tile: Tile, pixels: int) -> list[Thumbnail]:
    """The sides of a tile that there are, each with its longer side of at most `pixels`.

    Sources and targets of other than 8 bits are stretched by the statistics of the set. Where a picture is not valid
    or a class unknown, a checkerboard shows.

    Raises:
        RasterError: a file of the tile cannot be read.
    """
    return [Thumbnail(side, Image.fromarray(_picture(tileset, side, tile, pixels))) for side in tileset.sides]


def shown_bands(names: Sequence[str]) -> list[int]:
    """The three bands (1-based) to show as red, green and blue: those so named, else the first three, or one thrice."""
    plain = [name.lower() for name in names]
    if all(color in plain for color in RGB_NAMES):
        return [plain.index(color) + 1 for color in RGB_NAMES]
    return [1, 2, 3] if len(names) >= 3 else [1, 1, 1]


def label_colors(palette: Palette) -> Picture:
    """The colour in which each label is shown, shape (256, 3)."""
    colors = np.zeros((256, 3), np.uint8)
    colors[: len(palette.classes)] = palette.display
    colors[labels.NONE_NAMED] = NONE_NAMED_LEVEL
    return colors


def legend(palette: Palette | None) -> list[tuple[str, RGB]]:
    """What the colours of class pictures mean; nothing where there are no classes."""
    if palette is None:
        return []
    named = [(c.name, c.display) for c in palette.classes if c.name in palette.knows]
    partial = len(named) < len(palette.classes)
    grey = (NONE_NAMED_LEVEL, NONE_NAMED_LEVEL, NONE_NAMED_LEVEL)
    return [*named, ("none of the named classes", grey)] if partial else named


def _picture(tileset: TileSet, side: Side, tile: Tile, pixels: int) -> Picture:
    path, about = tileset.path(side, tile), tileset.about
    with open_dataset(path) as dataset, guarded(path, "make a small picture of it"):
        if side == "classes" and about.palette is not None:
            data, valid = _decimated(dataset, [1], pixels, Resampling.nearest)
            picture, valid = label_colors(about.palette)[data[0]], valid & (data[0] != labels.UNKNOWN)
        elif (colors := color_table(dataset)) is not None:
            data, valid = _decimated(dataset, [1], pixels, Resampling.nearest)
            picture = colors[:3, data[0]].transpose(1, 2, 0)
        else:
            content = about.source if side == "source" else about.target
            shown = shown_bands(dataset.indexes if len(content.names) != dataset.count else content.names)
            data, valid = _decimated(dataset, shown, pixels, Resampling.average)
            picture = _eight_bits(data, content, shown, valid).transpose(1, 2, 0)
    return np.where(valid[..., None], picture, _checkerboard(valid.shape))


def _decimated(
    dataset: DatasetReader, bands: Sequence[int], pixels: int, resampling: Resampling
) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    """Bands of a whole tile in at most `pixels` a side, and where they are valid."""
    shrink = min(1.0, pixels / max(dataset.width, dataset.height))
    shape = max(1, round(dataset.height * shrink)), max(1, round(dataset.width * shrink))
    data = dataset.read(bands, out_shape=(len(bands), *shape), resampling=resampling)
    return data, (dataset.dataset_mask(out_shape=shape) != 0) & np.isfinite(data).all(axis=0)


def _eight_bits(
    data: npt.NDArray[Any], content: Content, shown: Sequence[int], valid: npt.NDArray[np.bool_]
) -> Picture:
    """Bands in 8 bits: as they are, or from the lower to the upper percentile of the set, or of the tile."""
    if data.dtype == np.uint8:
        return data
    if content.statistics:
        low, high = (
            np.array([content.statistics[band - 1].percentiles[PERCENTS.index(percent)] for band in shown])
            for percent in STRETCH
        )
    elif valid.any():
        low, high = np.percentile(data[:, valid].astype(np.float64), STRETCH, axis=1)
    else:
        return np.zeros(data.shape, np.uint8)
    span = np.maximum(high - low, np.finfo(np.float64).eps)
    scaled = (np.nan_to_num(data.astype(np.float64)) - low[:, None, None]) / span[:, None, None]
    stretched: Picture = (scaled.clip(0, 1) * 255).round().astype(np.uint8)
    return stretched


def _checkerboard(shape: tuple[int, ...]) -> Picture:
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    odd = (rows // CHECKS + cols // CHECKS) % 2
    return np.repeat(np.array(CHECK_LEVELS, np.uint8)[odd][..., None], 3, axis=2)
