"""Blocks in the middle of a scene that cannot be decoded: the work stops, or these blocks alone are masked."""

import itertools
import json
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
from affine import Affine
from rasterio.shutil import copy

import geopix2pix.damage
from geopix2pix import remote, translate
from geopix2pix.damage import Damage, blocks_in, told
from geopix2pix.errors import (
    Cancelled,
    ConfigError,
    DownloadError,
    GeoPix2PixWarning,
    RasterError,
    SceneWarning,
    UnreadableError,
)
from geopix2pix.grid import Window
from geopix2pix.manifest import Manifest
from geopix2pix.parts import shard_folder
from geopix2pix.planning import planned
from geopix2pix.progress import Event
from geopix2pix.raster import RasterReader
from geopix2pix.translation import assemble, run
from tests.rasters import write_raster
from tests.webserver import serving

ROOT = Path(__file__).parents[1]
PLACE = {"crs": "EPSG:32633", "transform": Affine(0.5, 0, 500_000, 0, -0.5, 5_800_000)}
TILED = {"tiled": True, "blockxsize": 64, "blockysize": 64}
FORMS = {
    "deflate": {"compress": "deflate", **TILED},
    "lzw": {"compress": "lzw", "predictor": 2, **TILED},
    "jpeg": {"compress": "jpeg", "photometric": "ycbcr", **TILED},
    "strips": {"compress": "deflate", "blockysize": 24},
    "bands": {"compress": "lzw", "interleave": "band", **TILED},
    "rows": {"compress": "zstd", "blockysize": 1},
}
HEIGHT, WIDTH = 210, 260


def picture(height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Smooth, so that JPEG changes it little, and without a zero."""
    rows, cols = np.mgrid[0:height, 0:width]
    return np.stack([rows % 200 + 20, cols % 200 + 20, (rows + cols) // 2 % 200 + 20]).astype(np.uint8)


def noise() -> np.ndarray:
    """Takes many requests."""
    return np.random.default_rng(6).integers(1, 255, (3, HEIGHT, WIDTH), np.uint8)


def scene(path: Path, form: str = "deflate", data: np.ndarray | None = None, **more) -> Path:
    return write_raster(
        path, picture() if data is None else data, **{"photometric": "rgb", **PLACE, **FORMS[form], **more}
    )


def damage(path: Path, *blocks: tuple[int, int], band: int = 1) -> list[Window]:
    """Overwrite blocks of a GeoTIFF by column and row of blocks; where these are."""
    with rasterio.open(path) as dataset:
        height, width = dataset.block_shapes[0]
        extent = Window(0, 0, dataset.width, dataset.height)
        tag = lambda name, x, y: int(dataset.get_tag_item(f"BLOCK_{name}_{x}_{y}", "TIFF", bidx=band))  # noqa: E731
        places = [(tag("OFFSET", *block), tag("SIZE", *block)) for block in blocks]
    data = bytearray(path.read_bytes())
    for offset, size in places:
        data[offset : offset + size] = bytes(size)
    path.write_bytes(data)
    return [Window(x * width, y * height, width, height).intersection(extent) for x, y in blocks]


def marked(windows: list[Window], height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    found = np.zeros((height, width), bool)
    for window in windows:
        found[window.slices] = True
    return found


def identity(manifest: Manifest) -> SimpleNamespace:
    return SimpleNamespace(manifest=manifest, device_type="cpu", parameters={}, predict=lambda patches: patches)


def seen(path: Path) -> tuple[np.ndarray, np.ndarray, dict[str, str]]:
    with rasterio.open(path) as dataset:
        return dataset.read(), dataset.dataset_mask() != 0, dataset.tags()


# Reading


@pytest.mark.parametrize("form", FORMS)
def test_all_other_pixels_are_those_of_the_whole_file_in_any_window(tmp_path: Path, form: str) -> None:
    path = scene(tmp_path / "scene.tif", form)
    with RasterReader(path) as reader:
        whole = reader.read(reader.extent)
    lost = marked(damage(path, (0, 1), (0, 3), band=2 if form == "bands" else 1))
    found = Damage("mask")
    with RasterReader(path, damage=found) as reader:
        patch = reader.read(reader.extent)
        assert np.array_equal(patch.valid, ~lost)
        assert np.array_equal(patch.data[:, ~lost], whole.data[:, ~lost])
        random = np.random.default_rng(4)
        for _ in range(20):
            col, row = int(random.integers(-40, WIDTH)), int(random.integers(-40, HEIGHT))
            window = Window(col, row, 70, 50)
            part, inner = reader.read(window), window.intersection(reader.extent)
            rows, cols = inner.shifted(-col, -row).slices
            assert np.array_equal(part.valid[rows, cols], patch.valid[inner.slices])
            assert np.array_equal(part.data[:, rows, cols], patch.data[(slice(None), *inner.slices)]), "filled alike"
    assert marked(list(found.blocks)).tolist() == lost.tolist()


@pytest.mark.parametrize("choice", [None, "stop"])
def test_without_a_mask_the_first_damaged_block_is_an_error(tmp_path: Path, choice: str | None) -> None:
    path = scene(tmp_path / "scene.tif")
    damage(path, (2, 1))
    with RasterReader(path, damage=Damage(choice)) as reader:
        reader.read(Window(0, 0, 120, HEIGHT))
        with pytest.raises(RasterError, match=r"scene.tif: cannot read Window\(col=0, row=0, .*Decod") as caught:
            reader.read(reader.extent)
    assert ("--damaged mask" in str(caught.value)) == (choice == "stop")
    assert "\n" not in str(caught.value)


def test_masks_and_alpha_bands_are_damaged_like_data(tmp_path: Path) -> None:
    data = np.concatenate([picture(), np.full((1, HEIGHT, WIDTH), 255, np.uint8)])
    profile = {"colors": ("red", "green", "blue", "alpha"), "interleave": "band", "photometric": "minisblack"}
    path = scene(tmp_path / "alpha.tif", data=data, **profile)
    lost = marked(damage(path, (1, 1), band=4))
    with RasterReader(path, damage=Damage("mask")) as reader:
        assert reader.bands == (1, 2, 3)
        assert np.array_equal(reader.read(reader.extent).valid, ~lost)


def test_a_mosaic_loses_the_blocks_in_which_it_is_read(tmp_path: Path) -> None:
    path, mosaic = scene(tmp_path / "scene.tif"), tmp_path / "scene.vrt"
    copy(path, mosaic, driver="VRT")
    damaged = damage(path, (1, 1))
    tiled = mosaic.read_text()
    for text, lost in ((tiled, damaged), (re.sub('block.Size="64"', "", tiled), [Window(0, 0, 128, 128)])):
        mosaic.write_text(text)
        with RasterReader(mosaic, damage=Damage("mask")) as reader:
            patch = reader.read(reader.extent)
        assert np.array_equal(patch.valid, ~marked(lost))
        assert np.array_equal(patch.data[:, patch.valid], picture()[:, patch.valid])


@pytest.mark.parametrize("driver", ["PNG", "JPEG"])
def test_a_stream_is_not_masked(tmp_path: Path, driver: str) -> None:
    path = write_raster(tmp_path / "scene.img", picture(), driver=driver)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with (
        RasterReader(path, damage=Damage("mask")) as reader,
        pytest.raises(RasterError, match=f"is damaged .* of a {driver} nothing certain is known"),
    ):
        reader.read(reader.extent)


def test_a_source_that_cannot_be_opened_is_no_damage(tmp_path: Path) -> None:
    path = scene(tmp_path / "scene.tif")
    copy(path, tmp_path / "scene.vrt", driver="VRT")
    found = Damage("mask")
    with RasterReader(tmp_path / "scene.vrt", damage=found) as reader:
        path.unlink()
        with pytest.raises(RasterError):
            reader.read(reader.extent)
    assert not found.blocks


def test_a_ruin_is_refused_before_it_fills_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(geopix2pix.damage, "MAX_BLOCKS", 30)
    path = scene(tmp_path / "scene.tif", "rows")
    damage(path, *((0, row) for row in range(31)))
    with (
        RasterReader(path, damage=Damage("mask")) as reader,
        pytest.raises(RasterError, match="more than 30 of its blocks cannot be decoded"),
    ):
        reader.read(reader.extent)


def test_blocks_cover_a_window_and_are_told_in_their_order(tmp_path: Path) -> None:
    with rasterio.open(scene(tmp_path / "scene.tif")) as dataset:
        blocks = list(blocks_in(dataset, Window(70, 60, 130, 10)))
    assert blocks == [Window(col, row, 64, 64) for row, col in itertools.product((0, 64), (64, 128, 192))]
    text = told(set(blocks))
    assert text.startswith(f"{6 * 4096} pixels of the source cannot be decoded, in 6 blocks: column 64 row 0, ")
    assert text.endswith(" and 3 more")


# Translating


@pytest.mark.parametrize("form", FORMS)
def test_a_map_is_that_of_the_whole_scene_with_the_damaged_blocks_masked(
    manifest: Manifest, tiny_model: Path, tmp_path: Path, form: str
) -> None:
    path = scene(tmp_path / "scene.tif", form)
    whole = run(planned(path, tmp_path / "whole.tif", model=tiny_model), engine=identity(manifest))
    lost = marked(damage(path, (0, 0), (0, 2), band=2 if form == "bands" else 1))
    job = planned(path, tmp_path / "map.tif", model=tiny_model, damaged="mask")
    with pytest.warns(SceneWarning, match=f"{lost.sum()} pixels of the source cannot be decoded, in 2 blocks"):
        run(job, engine=identity(manifest))
    (expected, valid, _), (found, known, tags) = seen(whole), seen(tmp_path / "map.tif")
    assert valid.all()
    assert np.array_equal(known, ~lost)
    assert np.array_equal(found[:, ~lost], expected[:, ~lost])
    assert tags["GEOPIX2PIX_DAMAGED"].startswith(f"mask: {lost.sum()} pixels")


def test_to_stop_is_the_default_and_names_the_remedy(tiny_model: Path, tmp_path: Path) -> None:
    path = scene(tmp_path / "scene.tif")
    damage(path, (1, 1))
    for options in ({}, {"damaged": "stop"}):
        with pytest.raises(RasterError, match=r"scene.tif: cannot read .*; .* or mask .* --damaged mask"):
            translate(path, tmp_path / "map.tif", model=tiny_model, **options)
    with pytest.raises(ConfigError, match="--damaged skip"):
        translate(path, tmp_path / "map.tif", model=tiny_model, damaged="skip")
    assert not (tmp_path / "map.tif").exists()


def test_a_source_that_fails_for_a_while_costs_no_finished_row(tiny_model: Path, tmp_path: Path) -> None:
    """As when the drive that holds it goes away: when it is there again, it is the same file."""
    path, target = scene(tmp_path / "scene.tif", data=noise()), tmp_path / "map.tif"
    whole = translate(path, tmp_path / "whole.tif", model=tiny_model, threads=1).read_bytes()
    content, times = path.read_bytes(), (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    damage(path, (1, 3))
    os.utime(path, ns=times)
    for _ in range(2):
        with pytest.raises(UnreadableError, match="cannot read"):
            translate(path, target, model=tiny_model, threads=1)
    path.write_bytes(content)
    os.utime(path, ns=times)
    events: list[Event] = []
    assert translate(path, target, model=tiny_model, threads=1, progress=events.append).read_bytes() == whole
    begun = next(event for event in events if event.stage == "translate")
    assert 0 < begun.done < begun.total
    assert sorted(file.name for file in tmp_path.iterdir()) == ["map.tif", "scene.tif", "whole.tif"]


def test_rows_of_a_source_that_was_changed_when_it_failed_are_not_kept(tiny_model: Path, tmp_path: Path) -> None:
    path = scene(tmp_path / "scene.tif", data=noise())

    def cut(event: Event) -> None:
        if event.done:
            os.truncate(path, path.stat().st_size // 2)

    with pytest.raises(RasterError, match="was changed"):
        translate(path, tmp_path / "map.tif", model=tiny_model, threads=1, progress=cut)
    assert [file.name for file in tmp_path.iterdir()] == ["scene.tif"]


def test_nothing_changes_for_a_scene_without_damage(tiny_model: Path, tmp_path: Path) -> None:
    path = scene(tmp_path / "scene.tif")
    stop = translate(path, tmp_path / "stop.tif", model=tiny_model, threads=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error", SceneWarning)
        mask = translate(path, tmp_path / "mask.tif", model=tiny_model, threads=1, damaged="mask")
    assert all(np.array_equal(one, other) for one, other in zip(seen(stop)[:2], seen(mask)[:2], strict=True))
    assert seen(mask)[2]["GEOPIX2PIX_DAMAGED"] == "mask"
    assert "GEOPIX2PIX_DAMAGED" not in seen(stop)[2]


def test_a_scene_that_is_damaged_everywhere_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    path = scene(tmp_path / "scene.tif")
    damage(path, *itertools.product(range(5), range(4)))
    with pytest.raises(RasterError, match=f"no valid pixel is left: {HEIGHT * WIDTH} pixels .* get the file anew"):
        translate(path, tmp_path / "map.tif", model=tiny_model, damaged="mask")
    assert [file.name for file in tmp_path.iterdir()] == ["scene.tif"]


@pytest.mark.filterwarnings("ignore:.*cannot be decoded")
def test_all_results_of_a_damaged_scene_can_be_made(palette_model: Path, tmp_path: Path) -> None:
    path = scene(tmp_path / "scene.tif")
    lost = marked(damage(path, (1, 1)))
    names = {"classes": "c.tif", "confidence": "p.tif", "preview": "p.png", "seam_report": "s.json"}
    beside = {kind: tmp_path / name for kind, name in names.items()}
    options = {"resolution": 1.0, "clean": 3, "damaged": "mask", "scaling": "scene", "window": 64}
    translate(path, tmp_path / "map.tif", model=palette_model, **options, **beside)
    for name in ("map.tif", "c.tif", "p.tif"):
        _, valid, tags = seen(tmp_path / name)
        assert not valid[lost].any(), name
        assert valid[~lost].mean() > 0.99, name
        assert "in 1 block: column 64 row 64" in tags["GEOPIX2PIX_DAMAGED"], name


@pytest.mark.filterwarnings("ignore:.*cannot be decoded")
@pytest.mark.parametrize("after", [1, 7, 13, 19])
def test_a_stopped_run_and_shares_tell_the_damage_of_the_whole(tiny_model: Path, tmp_path: Path, after: int) -> None:
    path = scene(tmp_path / "scene.tif")
    damage(path, (0, 0), (3, 1), (4, 3))
    options = {"model": tiny_model, "threads": 1, "damaged": "mask"}
    expected = translate(path, tmp_path / "whole.tif", **options).read_bytes()

    def stop(event: Event) -> None:
        if event.done == after:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        translate(path, tmp_path / "map.tif", progress=stop, **options)
    assert translate(path, tmp_path / "map.tif", **options).read_bytes() == expected
    job = planned(path, tmp_path / "shared.tif", **options)
    for rows in (range(1, job.grid.rows), range(1)):
        run(job, rows=rows)
    assert assemble(job).read_bytes() == expected


@pytest.mark.filterwarnings("ignore:.*cannot be decoded")
def test_a_run_that_was_to_stop_is_not_gone_on_with_by_masking(tiny_model: Path, tmp_path: Path) -> None:
    path = scene(tmp_path / "scene.tif")

    def stop(event: Event) -> None:
        if event.done == 8:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        translate(path, tmp_path / "map.tif", model=tiny_model, threads=1, progress=stop)
    with pytest.warns(GeoPix2PixWarning, match="parameters.damaged was absent"):
        translate(path, tmp_path / "map.tif", model=tiny_model, threads=1, damaged="mask")
    assert not shard_folder(tmp_path / "map.tif", None).exists()


def test_the_command_tells_it_once_also_of_many_scenes(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    damage(scene(tmp_path / "in" / "broken.tif"), (1, 1))
    scene(tmp_path / "in" / "whole.tif")
    command = [sys.executable, "-m", "cli", "translate", str(tmp_path / "in"), str(tmp_path / "maps")]
    command += ["--model", str(tiny_model), "--damaged", "mask", "--progress", "json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "Traceback" not in done.stderr
    summary = json.loads((tmp_path / "maps" / "summary.json").read_text())
    told_of = {entry["name"]: entry["warnings"] for entry in summary["scenes"]}
    assert [len(texts) for texts in told_of.values()] == [1, 0]
    assert "4096 pixels of the source cannot be decoded, in 1 block" in told_of["broken"][0]


@pytest.mark.filterwarnings("ignore:.*cannot be decoded")
def test_what_a_server_does_not_send_is_no_damage_and_what_it_sends_may_be(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "CHUNK", 2**12)
    monkeypatch.setattr(remote, "MAX_AHEAD", 1)
    monkeypatch.setattr(remote, "PAUSE", 0.01)
    path = scene(tmp_path / "scene.tif", data=noise())
    damage(path, (1, 1))
    options = {"model": tiny_model, "threads": 1, "damaged": "mask"}
    with serving(path.read_bytes()) as server:
        server.manner, server.after = "503", 12
        with pytest.raises(DownloadError, match="answers 503"):
            translate(server.url, tmp_path / "map.tif", **options)
        server.manner = "right"
        found = translate(server.url, tmp_path / "map.tif", **options)
    expected = translate(path, tmp_path / "local.tif", **options)
    assert all(np.array_equal(one, other) for one, other in zip(seen(found)[:2], seen(expected)[:2], strict=True))
    assert "in 1 block: column 64 row 64" in seen(found)[2]["GEOPIX2PIX_DAMAGED"]
