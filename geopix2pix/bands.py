"""What a file says of its bands: which are alpha, where validity is stored, what means nodata, colours and names."""

from collections.abc import Sequence
from typing import cast
from warnings import warn

import numpy as np
import numpy.typing as npt
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.io import DatasetReader
from rasterio.windows import Window as RasterioWindow

from geopix2pix.damage import Damage
from geopix2pix.errors import SceneWarning
from geopix2pix.grid import Window
from geopix2pix.remote import Source

SAMPLE_SIDE = 256  # what is said of a whole scene comes from windows of this side, ...
SAMPLE_WINDOWS = 64  # ... from all of them or from about this many


def sample_windows(width: int, height: int, count: int = SAMPLE_WINDOWS) -> list[Window]:
    """Windows spread evenly over a scene: all of it if they are few, else about `count`; they never overlap."""
    scene = Window(0, 0, width, height)
    columns, rows = -(-width // SAMPLE_SIDE), -(-height // SAMPLE_SIDE)
    side = int(count**0.5)
    across = min(columns, max(side, count // rows))
    down = min(rows, max(side, count // columns))
    corners = ((x * columns // across, y * rows // down) for y in range(down) for x in range(across))
    return [Window(x * SAMPLE_SIDE, y * SAMPLE_SIDE, SAMPLE_SIDE, SAMPLE_SIDE).intersection(scene) for x, y in corners]


def data_and_alpha(
    path: Source, dataset: DatasetReader, named: Sequence[int] | None, damage: Damage
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The bands of data, those `named` if any are, and the alpha bands among the others.

    Where no bands are named, a SceneWarning tells of each that is tagged as alpha, but is read as data.
    """
    tagged = [band for band, color in enumerate(dataset.colorinterp, 1) if color == ColorInterp.alpha]
    alphas = tuple(
        band for band in tagged if band not in (named or ()) and _looks_like_alpha(path, dataset, band, damage)
    )
    if named is not None:
        return tuple(named), alphas
    for band in set(tagged).difference(alphas):
        found = "most of its values lie between 0 and its largest"
        warn(f"{path}: band {band} is tagged as alpha, but {found}; it is read as data", SceneWarning, stacklevel=4)
    if len(alphas) == dataset.count:
        return tuple(dataset.indexes), ()
    return tuple(band for band in dataset.indexes if band not in alphas), alphas


def _looks_like_alpha(path: Source, dataset: DatasetReader, band: int, damage: Damage) -> bool:
    """Whether most values that are not 0 are the largest one; those of near infrared in alpha's place are not."""
    windows = sample_windows(dataset.width, dataset.height, count=16)
    read = lambda window: dataset.read(band, window=RasterioWindow(*window))  # noqa: E731
    parts = [part[part != 0] for window in windows for _, part in damage.parts(path, dataset, window, read)]
    shown = np.concatenate(parts) if parts else np.zeros(0)
    return shown.size == 0 or bool(np.mean(shown == shown.max()) >= 0.5)


def separate_masks(dataset: DatasetReader, bands: Sequence[int]) -> tuple[int, ...]:
    """The bands whose GDAL masks must be read, since neither nodata nor alpha says the same."""
    of_all = dataset.mask_flag_enums
    flags = {band: of_all[band - 1] for band in bands}
    masked = [
        band
        for band in bands
        if flags[band] != [MaskFlags.nodata] and not {MaskFlags.all_valid, MaskFlags.alpha} & set(flags[band])
    ]
    shared = [band for band in masked if MaskFlags.per_dataset in flags[band]]
    return (*shared[:1], *(band for band in masked if band not in shared))


def nodata_value(dtype: str, nodata: float | None) -> np.generic | None:
    """The nodata value as a number of the band's own dtype, None where no finite pixel of it can be equal to it."""
    if nodata is None or not np.isfinite(nodata):
        return None
    kind = np.dtype(dtype)
    if kind.kind == "f":
        with np.errstate(over="ignore"):
            return cast(np.generic, kind.type(nodata))
    limits = np.iinfo(kind)
    if not (limits.min <= nodata <= limits.max and float(nodata).is_integer()):
        return None
    return cast(np.generic, kind.type(int(nodata)))


def color_table(dataset: DatasetReader) -> npt.NDArray[np.uint8] | None:
    """Red, green, blue and alpha of each value, shape (4, values), if the only band has a colour table."""
    if dataset.count != 1 or dataset.colorinterp[0] != ColorInterp.palette:
        return None
    table = np.zeros((4, np.iinfo(dataset.dtypes[0]).max + 1), np.uint8)
    for value, rgba in dataset.colormap(1).items():
        table[:, value] = rgba
    return table


def band_colors(dataset: DatasetReader, bands: Sequence[int]) -> list[str]:
    """The colour interpretations of bands of data, whatever they are tagged as."""
    colors = dataset.colorinterp
    return ["undefined" if colors[band - 1] == ColorInterp.alpha else colors[band - 1].name for band in bands]


def band_names(dataset: DatasetReader, bands: Sequence[int]) -> list[str]:
    """For each band its description, else its colour, else its number."""
    descriptions = dataset.descriptions
    named = zip(bands, band_colors(dataset, bands), strict=True)
    without = ("undefined", "gray", "palette")
    return [descriptions[band - 1] or (f"band {band}" if color in without else color) for band, color in named]
