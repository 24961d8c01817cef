"""Many files, one map: what lies side by side on one grid is translated as one scene."""

import itertools
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from click.testing import CliRunner, Result

from cli.main import main
from geopix2pix.errors import OutputError, RasterError, SceneError
from geopix2pix.inventory import side_by_side
from geopix2pix.raster import RasterReader
from geopix2pix.vrt import write_mosaic
from tests.rasters import l_shape, write_raster

PLACE = Affine(0.5, 0, 500_000, 0, -0.5, 5_800_000)
CRS = "EPSG:32633"
HEIGHT, WIDTH = 170, 210
CUTS = (0, 70, 100, 210)  # columns between the tiles, which differ in width


def picture(bands: int = 3) -> np.ndarray:
    return np.random.default_rng(2).integers(1, 255, (bands, HEIGHT, WIDTH), np.uint8)


def tiles(folder: Path, data: np.ndarray, mask: np.ndarray | None = None, **profile: Any) -> list[Path]:
    """A picture, cut into six georeferenced files."""
    folder.mkdir()
    found = []
    for row, bottom in ((0, 90), (90, HEIGHT)):
        for col, right in itertools.pairwise(CUTS):
            where = np.s_[row:bottom, col:right]
            place = {"crs": CRS, "transform": PLACE * Affine.translation(col, row)}
            part = None if mask is None else mask[where]
            path = folder / f"{row:03}-{col:03}.tif"
            found.append(
                write_raster(path, data[(slice(None), *where)], mask=part, **{"photometric": "rgb"} | place | profile)
            )
    return found


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["translate", *map(str, arguments)])


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(
    "extra", [{}, {"nodata": 7}, {"compress": "lzw", "tiled": True, "blockxsize": 32, "blockysize": 32}]
)
def test_the_pieces_of_a_scene_are_read_as_the_scene(tmp_path: Path, masked: bool, extra: dict[str, Any]) -> None:
    data, mask = picture(), l_shape(HEIGHT, WIDTH) if masked else None
    whole = write_raster(tmp_path / "whole.tif", data, mask=mask, crs=CRS, transform=PLACE, photometric="rgb", **extra)
    mosaic = write_mosaic(tmp_path / "m.vrt", tiles(tmp_path / "tiles", data, mask, **extra)[::-1])
    with RasterReader(whole) as one, RasterReader(mosaic) as other:
        assert (one.extent, one.georeference, one.band_names) == (other.extent, other.georeference, other.band_names)
        for window in (one.extent, one.extent.padded(30), one.extent._replace(col=60, row=80, width=50, height=30)):
            for expected, found in zip(one.read(window), other.read(window), strict=True):
                assert np.array_equal(expected, found)


def test_alpha_bands_and_extreme_nodata_survive(tmp_path: Path) -> None:
    alpha = np.where(l_shape(HEIGHT, WIDTH), 255, 0).astype(np.uint8)[None]
    colors = {"photometric": "minisblack", "colors": ("red", "green", "blue", "alpha")}
    lowest = float(np.finfo(np.float32).min)
    floats = np.where(alpha == 0, np.float32(lowest), picture().astype(np.float32))
    for number, (data, extra) in enumerate(
        [
            (np.concatenate([picture(), alpha]), colors),
            (floats, {"nodata": lowest}),
            (np.where(alpha == 0, np.float32(np.nan), floats), {"nodata": float("nan")}),
        ]
    ):
        whole = write_raster(
            tmp_path / f"{number}.tif", data, **{"crs": CRS, "transform": PLACE, "photometric": "rgb"} | extra
        )
        mosaic = write_mosaic(tmp_path / f"{number}.vrt", tiles(tmp_path / f"tiles-{number}", data, **extra))
        with RasterReader(whole) as one, RasterReader(mosaic) as other:
            assert one.bands == other.bands == (1, 2, 3)
            for expected, found in zip(one.read(one.extent), other.read(other.extent), strict=True):
                assert np.array_equal(expected, found)
            assert not one.read(one.extent).valid.all()


def test_a_hole_between_files_is_masked_and_the_last_is_on_top(tmp_path: Path) -> None:
    data = picture()
    files = tiles(tmp_path / "tiles", data)
    over = write_raster(
        tmp_path / "over.tif", np.full((3, 20, 20), 9, np.uint8), crs=CRS,
        transform=PLACE * Affine.translation(10, 10), photometric="rgb",
    )  # fmt: skip
    with RasterReader(write_mosaic(tmp_path / "m.vrt", [*files[:4], *files[5:], over])) as reader:
        patch = reader.read(reader.extent)
    hole = np.zeros((HEIGHT, WIDTH), bool)
    hole[90:, 70:100] = True
    data[:, 10:30, 10:30] = 9
    assert np.array_equal(patch.valid, ~hole)
    assert np.array_equal(patch.data[:, ~hole], data[:, ~hole])


REFUSED = {
    "another crs": ({"crs": "EPSG:32634"}, r"lies in EPSG:32634, .* in EPSG:32633"),
    "other pixels": ({"transform": PLACE * Affine.scale(2)}, "has pixels of 1 x 1 units, .* of 0.5 x 0.5"),
    "off the grid": ({"transform": PLACE * Affine.translation(0.3, 400)}, "lies 0.30 pixels beside the grid of"),
    "rotated": ({"transform": PLACE * Affine.rotation(10)}, "is rotated or mirrored"),
    "nowhere": ({"crs": None, "transform": None}, "does not tell where it lies"),
    "other bands": ({"bands": 1, "photometric": "minisblack"}, "holds 1 bands of uint8, .* 3 of uint8"),
    "another type": ({"dtype": "uint16"}, "holds 3 bands of uint16, .* 3 of uint8"),
    "nodata": ({"nodata": 0}, "has the nodata value 0.0, .* has None"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_file_that_does_not_fit_is_named_with_what_differs(tmp_path: Path, kind: str) -> None:
    files = tiles(tmp_path / "tiles", picture())
    change, message = REFUSED[kind]
    profile = {"crs": CRS, "transform": PLACE * Affine.translation(0, 400), "photometric": "rgb"} | change
    data = picture(profile.pop("bands", 3)).astype(profile.pop("dtype", "uint8"))
    odd = write_raster(tmp_path / "odd.tif", data, **profile)
    with pytest.raises(SceneError, match=f"odd.tif: {message}.*; make it fit") as found:
        write_mosaic(tmp_path / "m.vrt", [*files, odd])
    assert "\n" not in str(found.value)
    assert not (tmp_path / "m.vrt").exists()


def test_a_mosaic_that_is_there_stays_and_another_is_not_replaced_without_leave(tmp_path: Path) -> None:
    files, target = tiles(tmp_path / "tiles", picture()), tmp_path / "m.vrt"
    write_mosaic(target, files)
    os.utime(target, ns=(1, 1))
    assert write_mosaic(target, files).stat().st_mtime_ns == 1
    with pytest.raises(OutputError, match="exists already"):
        write_mosaic(target, files[1:])
    assert write_mosaic(target, files[1:], overwrite=True).stat().st_mtime_ns > 1


def test_what_lies_on_a_server_or_cannot_be_read_is_refused(tmp_path: Path) -> None:
    files = tiles(tmp_path / "tiles", picture())
    broken = tmp_path / "broken.tif"
    broken.write_bytes(files[0].read_bytes()[:100])
    result = tmp_path / "map.tif"
    with pytest.raises(SceneError, match="https://host/a.tif: a mosaic is made of files on this machine"):
        side_by_side([*files, "https://host/a.tif"], result)
    with pytest.raises(RasterError, match=r"broken.tif: cannot open it"):
        write_mosaic(tmp_path / "m.vrt", side_by_side([*files, broken], result))


def test_the_command_makes_the_map_of_the_whole_scene(tiny_model: Path, tmp_path: Path) -> None:
    data = picture()
    whole = write_raster(tmp_path / "whole.tif", data, crs=CRS, transform=PLACE, photometric="rgb")
    tiles(tmp_path / "tiles", data)
    fixed = ("--model", tiny_model, "--threads", "1")
    assert run(whole, tmp_path / "expected.tif", *fixed).exit_code == 0
    before = sorted(tmp_path.rglob("*"))
    dry = run("--mosaic", tmp_path / "tiles", tmp_path / "map.tif", "--dry-run", *fixed)
    assert dry.exit_code == 0 and f"{WIDTH} x {HEIGHT} pixels" in dry.stdout
    assert f"scene      {tmp_path / 'tiles'} (6 files)" in dry.stdout and ".vrt" not in dry.output
    json_dry = run(
        "--mosaic",
        *sorted((tmp_path / "tiles").iterdir()),
        tmp_path / "map.tif",
        "--dry-run",
        *fixed,
        "--progress",
        "json",
    )
    assert ".vrt" not in json_dry.output
    assert "(6 files)" in json.loads(json_dry.stdout.splitlines()[-1])["plan"]["source"]
    refused = run("--mosaic", tmp_path / "tiles", tmp_path / "map.tif", "--dry-run", "--bands", "1", *fixed)
    assert refused.exit_code == 1 and f"{tmp_path / 'tiles'} (6 files): " in refused.stderr
    assert sorted(tmp_path.rglob("*")) == before
    done = run("--mosaic", tmp_path / "tiles", tmp_path / "map.tif", "--progress", "json", *fixed)
    assert json.loads(done.stdout.splitlines()[-1])["path"] == str(tmp_path / "map.tif"), done.output
    with rasterio.open(tmp_path / "expected.tif") as expected, rasterio.open(tmp_path / "map.tif") as found:
        assert (expected.transform, expected.crs) == (found.transform, found.crs)
        assert np.array_equal(expected.read(), found.read())
    assert (tmp_path / "map-sources.vrt").is_file()
    again = run("--mosaic", tmp_path / "tiles", tmp_path / "map.tif", *fixed)
    assert again.exit_code == 1 and "map.tif: exists already" in again.stderr


def test_a_result_among_its_sources_does_not_count(tiny_model: Path, tmp_path: Path) -> None:
    tiles(tmp_path / "tiles", picture())
    command = ("--mosaic", tmp_path / "tiles", tmp_path / "tiles" / "map.tif", "--model", tiny_model, "--overwrite")
    contents = []
    for _ in range(2):
        assert run(*command).exit_code == 0
        contents.append((tmp_path / "tiles" / "map.tif").read_bytes())
    assert contents[0] == contents[1]


def test_shares_of_a_mosaic_are_merged(tiny_model: Path, tmp_path: Path) -> None:
    files = tiles(tmp_path / "tiles", picture())
    fixed = ("--model", str(tiny_model), "--threads", "1")
    assert run("--mosaic", *files, tmp_path / "whole.tif", *fixed).exit_code == 0
    for share in ("1/2", "2/2"):
        done = run("--mosaic", *files, tmp_path / "map.tif", "--shard", share, *fixed)
        assert done.exit_code == 0, done.output
    merged = CliRunner().invoke(main, ["merge", str(tmp_path / "map-sources.vrt"), str(tmp_path / "map.tif"), *fixed])
    assert merged.exit_code == 0, merged.output
    with rasterio.open(tmp_path / "whole.tif") as one, rasterio.open(tmp_path / "map.tif") as other:
        assert np.array_equal(one.read(), other.read())
