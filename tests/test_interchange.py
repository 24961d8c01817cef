"""Tile sets from pictures that lie nowhere, and pictures from tile sets."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio

from geopix2pix import labels
from geopix2pix.errors import Cancelled, ConfigError, OutputError, PairsError, TileSetWarning
from geopix2pix.exporting import export_pairs
from geopix2pix.importing import import_pairs, published
from geopix2pix.pairs import open_matched, open_pairs
from geopix2pix.tilesets.building import build
from geopix2pix.tilesets.partition import SplitRequest
from geopix2pix.tilesets.request import Request
from geopix2pix.tilesets.tileset import TileSet
from tests.rasters import write_raster
from tests.test_building import CLASSES, listing, noise, place, stopping

pytestmark = pytest.mark.filterwarnings(f"ignore::{TileSetWarning.__module__}.TileSetWarning")

COLORS = np.array([[0xF2, 0xEF, 0xE9], [0x30, 0x30, 0xFF]], np.uint8)


def picture(path: Path, data: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_raster(path, data, driver="PNG")


def drawn(classes: np.ndarray) -> np.ndarray:
    return np.moveaxis(COLORS[classes], -1, 0)


def folders(folder: Path, sizes: dict[str, tuple[int, int]]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Pictures and maps of two classes in the layout of `tiles import`, by their names below the folder."""
    made = {}
    for number, (name, (height, width)) in enumerate(sizes.items()):
        split, stem = name.split("/")
        source = noise(height, width, seed=number)
        classes = np.random.default_rng(100 + number).integers(0, 2, (height, width))
        picture(folder / split / "source" / f"{stem}.png", source)
        picture(folder / split / "target" / f"{stem}.png", drawn(classes))
        made[name] = source, classes
    (folder / "palette.json").write_text(json.dumps(CLASSES))
    return made


def test_imported_tiles_are_the_pictures_and_keep_their_splits(tmp_path):
    made = folders(tmp_path / "town", {"train/a": (70, 100), "validation/b": (64, 64), "test/c": (32, 40)})
    output = import_pairs(published(tmp_path / "town"), tmp_path / "tiles", size=32, coverage=0.01)
    tiles = TileSet.open(output)
    seen = {name: np.zeros(source.shape[1:], int) for name, (source, _) in made.items()}
    for tile in tiles.tiles:
        name = f"{tile.split}/{tile.origin}"
        source, classes = made[name]
        window, (height, width) = tile.window, source.shape[1:]
        inside = np.s_[window.row : min(window.bottom, height), window.col : min(window.right, width)]
        seen[name][inside] += 1
        with rasterio.open(tiles.path("source", tile)) as dataset:
            data, valid = dataset.read(), dataset.dataset_mask() != 0
        rows, cols = source[(..., *inside)].shape[1:]
        np.testing.assert_array_equal(data[:, :rows, :cols], source[(..., *inside)])
        assert valid[:rows, :cols].all() and valid.sum() == rows * cols
        with rasterio.open(tiles.path("classes", tile)) as dataset:
            named = dataset.read(1)
        np.testing.assert_array_equal(named[:rows, :cols], classes[inside])
        assert (named[rows:] == labels.UNKNOWN).all() and (named[:, cols:] == labels.UNKNOWN).all()
    assert all((count == 1).all() for count in seen.values())


def test_pictures_side_by_side_never_show_each_other(tmp_path):
    """The right half of the source's last tile is not the target's first column."""
    both = np.concatenate([np.full((3, 40, 40), 50, np.uint8), np.full((3, 40, 40), 200, np.uint8)], axis=2)
    both[:, ::2] += 1
    picture(tmp_path / "pairs" / "one.png", both)
    parts = published(tmp_path / "pairs", layout="source-left")
    tiles = TileSet.open(import_pairs(parts, tmp_path / "tiles", size=32, coverage=0.01))
    for tile in tiles.tiles:
        for side, value in (("source", 50), ("target", 200)):
            with rasterio.open(tiles.path(side, tile)) as dataset:
                data, valid = dataset.read(), dataset.dataset_mask() != 0
            assert set(np.unique(data[:, valid])) == {value, value + 1}


def test_lists_of_pictures_match_by_order_and_name(tmp_path):
    for part in (1, 2):
        picture(tmp_path / f"Tile {part}" / "images" / "x.png", noise(32, 32, seed=part))
        picture(
            tmp_path / f"Tile {part}" / "masks" / "x.png", drawn(np.random.default_rng(part).integers(0, 2, (32, 32)))
        )
    (tmp_path / "palette.json").write_text(json.dumps(CLASSES))
    images, masks = (sorted(tmp_path.glob(f"*/{side}/*.png")) for side in ("images", "masks"))
    pairs = open_matched(images, masks, palette=tmp_path / "palette.json")
    assert [pair.name for pair in pairs.train] == ["Tile 1-x", "Tile 2-x"]
    split = SplitRequest(by="files", validation=("Tile 2*",))
    tiles = TileSet.open(import_pairs({"train": pairs}, tmp_path / "tiles", size=32, split=split))
    assert {tile.origin: tile.split for tile in tiles.tiles} == {"Tile 1-x": "train", "Tile 2-x": "validation"}
    with pytest.raises(PairsError, match="1 sources and 2 targets"):
        open_matched(images[:1], masks)
    picture(tmp_path / "y.png", noise(32, 32))
    with pytest.raises(PairsError, match="names differ"):
        open_matched([images[0], tmp_path / "y.png"], masks)


def test_an_interrupted_import_goes_on_to_the_same_bytes(tmp_path):
    folders(tmp_path / "town", {"train/a": (70, 100), "train/b": (64, 64), "validation/c": (32, 40)})
    import_pairs(published(tmp_path / "town"), tmp_path / "undisturbed", size=32)
    with pytest.raises(Cancelled):
        import_pairs(published(tmp_path / "town"), tmp_path / "tiles", size=32, progress=stopping(1))
    import_pairs(published(tmp_path / "town"), tmp_path / "tiles", size=32)
    assert listing(tmp_path / "tiles") == listing(tmp_path / "undisturbed")


def test_classes_go_out_and_come_back_without_loss(tmp_path):
    folders(tmp_path / "town", {"train/a": (64, 64), "validation/b": (64, 64), "test/c": (32, 40)})
    first = TileSet.open(import_pairs(published(tmp_path / "town"), tmp_path / "first", size=32))
    export_pairs(first, tmp_path / "out", targets="classes")
    second = TileSet.open(import_pairs(published(tmp_path / "out"), tmp_path / "second", size=32))
    assert [(t.name, t.split, t.shares) for t in second.tiles] == [(t.name, t.split, t.shares) for t in first.tiles]
    for before, after in zip(first.tiles, second.tiles, strict=True):
        both = []
        for tiles, tile in ((first, before), (second, after)):
            with rasterio.open(tiles.path("classes", tile)) as dataset:
                both.append(dataset.read())
        np.testing.assert_array_equal(*both)


def test_research_folders_are_read_as_research_code_does(tmp_path):
    folders(tmp_path / "town", {"train/a": (64, 64), "validation/b": (32, 32)})
    tiles = TileSet.open(import_pairs(published(tmp_path / "town"), tmp_path / "tiles", size=32))
    out = export_pairs(tiles, tmp_path / "out", layout="side-by-side")
    assert sorted(path.name for path in out.iterdir()) == ["train", "val"]
    for tile in tiles.tiles:
        with rasterio.open(out / {"validation": "val"}.get(tile.split, tile.split) / f"{tile.name}.png") as dataset:
            both = dataset.read()
        for side, half in (("source", both[..., :32]), ("target", both[..., 32:])):
            with rasterio.open(tiles.path(side, tile)) as dataset:
                np.testing.assert_array_equal(dataset.read(), half)
    pairs = open_pairs(out, layout="source-left")
    assert (len(pairs.train), len(pairs.validation)) == (4, 1)


def test_what_does_not_fit_into_pictures_is_refused(tmp_path):
    folders(tmp_path / "town", {"train/a": (64, 64)})
    tiles = TileSet.open(import_pairs(published(tmp_path / "town"), tmp_path / "tiles", size=32))
    with pytest.raises(OutputError, match="exists already"):
        export_pairs(tiles, tmp_path / "town")
    for side in ("source", "target"):
        write_raster(tmp_path / f"{side}.tif", noise(64, 64).astype("float32"), **place())
    request = Request(sources=(str(tmp_path / "source.tif"),), targets=(str(tmp_path / "target.tif"),), size=32)
    floats = TileSet.open(build(request, tmp_path / "floats"))
    with pytest.raises(ConfigError, match="float32"):
        export_pairs(floats, tmp_path / "out")
    with pytest.raises(ConfigError, match="no classes"):
        export_pairs(floats, tmp_path / "out", targets="classes")
    assert not (tmp_path / "out").exists()


def test_pictures_that_lie_nowhere_are_not_split_by_where_they_lie(tmp_path):
    folders(tmp_path / "town", {"train/a": (64, 64)})
    with pytest.raises(ConfigError, match="by files"):
        import_pairs(published(tmp_path / "town"), tmp_path / "tiles", size=32, split=SplitRequest(by="blocks"))
