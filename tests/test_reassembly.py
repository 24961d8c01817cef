"""Tiles that were cut from one scene are that scene again: pixel for pixel, hole for hole, map for map."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.enums import MaskFlags
from rasterio.windows import Window as RasterioWindow

from geopix2pix import translate
from geopix2pix.evaluation.reassembly import WholeScene, reassembled
from geopix2pix.grid import Window
from geopix2pix.pair import Pair
from geopix2pix.raster import Georeference, RasterReader
from tests.rasters import ROTATED, coordinates, l_shape, speckle, write_raster

CRS = "EPSG:32633"
WINDOWS = [Window(0, 0, 60, 45), Window(13, 7, 30, 30), Window(-20, -9, 50, 40), Window(40, 30, 90, 70)]


def cut(scene: Path, folder: Path, side: int = 16, *, skip: tuple[str, ...] = ()) -> list[Pair]:
    """The scene in georeferenced tiles, each a source without a target of its own."""
    folder.mkdir()
    pairs = []
    with rasterio.open(scene) as dataset:
        for top in range(0, dataset.height, side):
            for left in range(0, dataset.width, side):
                name = f"r{top:03}c{left:03}"
                if name in skip:
                    continue
                width, height = min(side, dataset.width - left), min(side, dataset.height - top)
                window = RasterioWindow(left, top, width, height)
                transform = dataset.transform * Affine.translation(left, top)
                profile = dataset.profile | {"width": width, "height": height, "transform": transform, "tiled": False}
                profile = {key: value for key, value in profile.items() if not key.startswith("block")}
                path = folder / f"{name}.tif"
                with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "w", **profile) as tile:
                    tile.write(dataset.read(window=window))
                    tile.colorinterp = dataset.colorinterp
                    if dataset.mask_flag_enums[0] == [MaskFlags.per_dataset]:
                        tile.write_mask(dataset.read_masks(1, window=window))
                pairs.append(georeferenced(path))
    return pairs


def georeferenced(path: Path) -> Pair:
    with rasterio.open(path) as dataset:
        whole, place = Window(0, 0, dataset.width, dataset.height), Georeference.of(dataset)
    return Pair(
        name=path.stem,
        source=path,
        target=path.with_suffix(".png"),
        source_window=whole,
        target_window=whole,
        place=place,
    )


def same_scene(whole: Path, found: WholeScene, windows: list[Window]) -> None:
    with RasterReader(whole) as expected, RasterReader(found.path) as mosaic:
        assert (mosaic.width, mosaic.height, mosaic.dtype) == (expected.width, expected.height, expected.dtype)
        assert (mosaic.bands, mosaic.band_names) == (expected.bands, expected.band_names)
        assert mosaic.georeference.crs == expected.georeference.crs
        assert mosaic.georeference.transform.almost_equals(expected.georeference.transform, 1e-9)
        for window in windows:
            for mine, theirs in zip(mosaic.read(window), expected.read(window), strict=True):
                assert np.array_equal(mine, theirs), window


def scenes(folder: Path) -> dict[str, Path]:
    place = {"crs": CRS, "transform": ROTATED}
    floats = coordinates(2, 45, 60, "float32")
    floats[0, 10:14, 20:30] = np.nan
    zeroed = coordinates(3, 45, 60, "uint16")
    zeroed[:, 5:30, 8:33] = 0
    zeroed[1, 40, 50] = 0
    rgba = coordinates(4, 45, 60, "uint8")
    rgba[3] = np.where(l_shape(45, 60), 255, 0)
    infrared = coordinates(4, 45, 60, "uint8")
    infrared[3, 20:25, 20:25] = 0
    colors = ("red", "green", "blue", "alpha")
    return {
        "plain": write_raster(folder / "plain.tif", coordinates(3, 45, 60, "uint8"), **place),
        "masked": write_raster(folder / "masked.tif", coordinates(3, 45, 60, "uint8"), mask=speckle(45, 60), **place),
        "nodata": write_raster(folder / "nodata.tif", zeroed, nodata=0, **place),
        "nan": write_raster(folder / "nan.tif", floats, nodata=float("nan"), **place),
        "alpha": write_raster(folder / "alpha.tif", rgba, colors=colors, **place),
        "infrared as alpha": write_raster(folder / "infrared.tif", infrared, colors=colors, **place),
    }


@pytest.mark.filterwarnings("ignore:.*tagged as alpha")
@pytest.mark.parametrize("kind", ["plain", "masked", "nodata", "nan", "alpha", "infrared as alpha"])
def test_tiles_of_a_scene_are_read_as_the_scene(kind: str, tmp_path: Path) -> None:
    whole = scenes(tmp_path)[kind]
    (found,) = reassembled(cut(whole, tmp_path / "tiles"), tmp_path)
    same_scene(whole, found, WINDOWS)
    with RasterReader(whole) as reader:
        for pair, place in found.places:
            with RasterReader(pair.source) as tile:
                known = tile.read(tile.extent)
            there = reader.read(place)
            assert np.array_equal(known.valid, there.valid)
            assert np.array_equal(known.data[:, known.valid], there.data[:, there.valid], equal_nan=True)


def test_a_map_of_the_tiles_is_the_map_of_the_scene(scene: Path, tiny_model: Path, tmp_path: Path) -> None:
    (found,) = reassembled(cut(scene, tmp_path / "tiles", 32), tmp_path)
    maps = [translate(path, tmp_path / f"{n}.tif", model=tiny_model) for n, path in enumerate((scene, found.path))]
    with rasterio.open(maps[0]) as one, rasterio.open(maps[1]) as other:
        assert np.array_equal(one.read(), other.read())
        assert one.transform.almost_equals(other.transform, 1e-9)


@pytest.mark.filterwarnings("ignore:.*tagged as alpha")
@pytest.mark.parametrize("kind", ["plain", "masked", "nodata", "nan", "alpha", "infrared as alpha"])
def test_what_no_tile_covers_holds_no_data(kind: str, tmp_path: Path) -> None:
    whole = scenes(tmp_path)[kind]
    missing = ("r016c016", "r000c048")
    (found,) = reassembled(cut(whole, tmp_path / "tiles", skip=missing), tmp_path)
    with RasterReader(whole) as reader, RasterReader(found.path) as mosaic:
        expected = reader.read(reader.extent).valid
        for _, row, col in (name.replace("c", "r").split("r") for name in missing):
            expected[int(row) : int(row) + 16, int(col) : int(col) + 16] = False
        assert np.array_equal(mosaic.read(mosaic.extent).valid, expected)


def test_tiles_that_do_not_touch_are_scenes_of_their_own(scene: Path, tmp_path: Path) -> None:
    every = cut(scene, tmp_path / "tiles", 32)
    at = {pair.name: pair for pair in every}
    found = reassembled([at["r000c000"], at["r000c032"], at["r064c096"], at["r032c064"], at["r000c128"]], tmp_path)
    assert [[pair.name for pair, _ in whole.places] for whole in found] == [
        ["r000c000", "r000c032", "r064c096", "r032c064"],  # corners touch
        ["r000c128"],
    ]
    assert [place[:2] for _, place in found[0].places] == [(0, 0), (32, 0), (96, 64), (64, 32)]
    assert found[1].path == at["r000c128"].source


def test_other_grids_and_other_bands_are_other_scenes(scene: Path, tmp_path: Path) -> None:
    tiles = cut(scene, tmp_path / "tiles", 75)
    first, second = tiles[:2]

    def moved(change: Affine, crs: str = CRS) -> Pair:
        place = Georeference(crs=rasterio.crs.CRS.from_string(crs), transform=second.place.transform * change)
        return Pair(
            name="moved", source=second.source, target=second.target, source_window=second.source_window,
            target_window=second.target_window, place=place,
        )  # fmt: skip

    assert len(reassembled([first, second], tmp_path)) == 1
    assert len(reassembled([first, moved(Affine.translation(0.004, -0.004))], tmp_path)) == 1
    for change in (Affine.translation(0.4, 0), Affine.rotation(0.2), Affine.scale(1.01), Affine.scale(1, -1)):
        assert len(reassembled([first, moved(change)], tmp_path)) == 2
    assert len(reassembled([first, moved(Affine.identity(), "EPSG:32634")], tmp_path)) == 2
    with rasterio.open(second.source, "r+") as dataset:
        dataset.nodata = 7
    assert len(reassembled([first, second], tmp_path)) == 2


def test_pictures_without_a_place_and_halves_stay_alone(tmp_path: Path) -> None:
    data = coordinates(3, 20, 40, "uint8")
    path = write_raster(tmp_path / "both.tif", data, mask=speckle(20, 40))
    for left in (0, 20):
        half, other = Window(left, 0, 20, 20), Window(20 - left, 0, 20, 20)
        pair = Pair(
            name=f"from {left}", source=path, target=path, source_window=half, target_window=other, place=Georeference()
        )
        (found,) = reassembled([pair], tmp_path)
        alone = write_raster(
            tmp_path / f"{left}.tif", data[:, :, left : left + 20], mask=speckle(20, 40)[:, left : left + 20]
        )
        with RasterReader(found.path) as mine, RasterReader(alone) as theirs:
            for window in (Window(0, 0, 20, 20), Window(-8, -8, 50, 40)):
                assert all(np.array_equal(a, b) for a, b in zip(mine.read(window), theirs.read(window), strict=True))
    pairs = [
        Pair(name=str(n), source=path, target=tmp_path / "t.png", source_window=Window(0, 0, 40, 20),
             target_window=Window(0, 0, 40, 20), place=Georeference())
        for n in range(3)
    ]  # fmt: skip
    assert [whole.path for whole in reassembled(pairs, tmp_path)] == [path] * 3
