"""A tile set as folders of plain pictures, in the layouts that research code reads."""

import json
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.errors import NotGeoreferencedWarning

from geopix2pix.errors import ConfigError, OutputError, TileSetError, TileSetWarning
from geopix2pix.output import writing
from geopix2pix.progress import Event, Progress, silent
from geopix2pix.raster import RasterReader
from geopix2pix.tilesets.tileindex import Split, Tile
from geopix2pix.tilesets.tileset import Side, TileSet

ExportLayout = Literal["folders", "side-by-side"]
"""`folders`: `train/source/NAME.png` and `train/target/NAME.png`; `side-by-side`: `train/NAME.png` holds both, the
source on the left, as pix2pix code expects."""
Targets = Literal["maps", "classes"]
FOLDERS: dict[ExportLayout, dict[Split, str]] = {
    "folders": {"train": "train", "validation": "validation", "test": "test"},
    "side-by-side": {"train": "train", "validation": "val", "test": "test"},  # the names that pix2pix code knows
}
PNG_BANDS = (1, 3)


def export_pairs(
    tiles: TileSet,
    output: str | Path,
    *,
    layout: ExportLayout = "folders",
    targets: Targets = "maps",
    progress: Progress = silent,
) -> Path:
    """Write the tiles of all splits as PNG pictures to the new folder `output`; its path. Unused tiles are left out.

    With targets of `classes` their training colours are written, with a `palette.json` by which they can be read back
    without loss. A PNG has no mask: what is not known is 0, in pictures of classes the colour that says so.

    Raises:
        TileSetError: a tile cannot be read.
        ConfigError: the tiles do not fit into PNG pictures, or have no classes.
        OutputError: the folder exists, or cannot be written.
        Cancelled: `progress` asked to stop; nothing stays.
    """
    output = Path(output)
    side: Side = "classes" if targets == "classes" else "target"
    _check(tiles, layout, targets)
    if output.exists():
        raise OutputError(f"{output}: exists already; name a new folder")
    if not output.absolute().parent.is_dir():
        raise OutputError(f"{output}: its parent folder does not exist; create it first")
    chosen = [tile for tile in tiles.tiles if tile.split in FOLDERS[layout]]
    holes = 0
    with (
        writing(output),
        tempfile.TemporaryDirectory(prefix=f".{output.name}-", dir=output.absolute().parent) as beside,
    ):
        new = Path(beside) / "pairs"
        new.mkdir()
        for done, tile in enumerate(chosen, 1):
            pictures = _read(tiles, "source", tile), _read(tiles, side, tile)
            holes += tile.coverage < 1
            for name, picture in _named(layout, tile, *pictures):
                (new / name).parent.mkdir(parents=True, exist_ok=True)
                _write_png(new / name, picture)
            progress(Event("export", done, len(chosen), "tiles"))
        if targets == "classes" and tiles.about.palette:
            text = json.dumps(tiles.about.palette.to_json(), indent=1)
            (new / "palette.json").write_text(text + "\n", encoding="utf-8")
        new.rename(output)
    if holes:
        lost = f"{output}: {holes} of {len(chosen)} tiles are not known everywhere, which a PNG cannot say"
        warnings.warn(f"{lost}; train from the tile set itself", TileSetWarning, stacklevel=2)
    return output


def _check(tiles: TileSet, layout: ExportLayout, targets: Targets) -> None:
    about = tiles.about
    if targets == "classes" and about.palette is None:
        raise ConfigError(f"{tiles.folder}: has no classes to export; choose the maps")
    contents = [about.source] if targets == "classes" else [about.source, about.target]
    for content in contents:
        if content.dtype not in ("uint8", "uint16") or len(content.names) not in PNG_BANDS:
            raise ConfigError(
                f"{tiles.folder}: holds {len(content.names)} x {content.dtype} bands, but a PNG has 1 or 3 bands of "
                "uint8 or uint16; train from the tile set itself"
            )
    forms = {(len(c.names), c.dtype) for c in contents} | ({(3, "uint8")} if targets == "classes" else set())
    if layout == "side-by-side" and len(forms) > 1:
        raise ConfigError(f"{tiles.folder}: source and target have other bands or dtypes; export them to folders")


def _read(tiles: TileSet, side: Side, tile: Tile) -> npt.NDArray[Any]:
    """The pixels of a tile, (bands, rows, cols), 0 where they are not known; classes in their colours."""
    path = tiles.path(side, tile)
    try:
        with RasterReader(path, expand_colors=side == "classes") as reader:
            data, valid = reader.read(reader.extent)
    except OSError as error:
        raise TileSetError(f"{path}: is listed in the set, but cannot be read ({error}); build the set anew") from error
    known: npt.NDArray[Any] = np.where(valid, data, data.dtype.type(0))
    return known


def _named(
    layout: ExportLayout, tile: Tile, source: npt.NDArray[Any], target: npt.NDArray[Any]
) -> Iterator[tuple[Path, npt.NDArray[Any]]]:
    folder = Path(FOLDERS[layout][tile.split])
    if layout == "side-by-side":
        yield folder / f"{tile.name}.png", np.concatenate([source, target], axis=2)
    else:
        yield folder / "source" / f"{tile.name}.png", source
        yield folder / "target" / f"{tile.name}.png", target


def _write_png(path: Path, data: npt.NDArray[Any]) -> None:
    bands, rows, cols = data.shape
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # the layouts have no place for it
        with rasterio.open(path, "w", driver="PNG", count=bands, height=rows, width=cols, dtype=data.dtype) as dataset:
            dataset.write(data)
