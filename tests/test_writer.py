"""RasterWriter: what is written is read back, the same bytes come out whatever happens in between, nothing is half."""

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS

from geopix2pix import gdal
from geopix2pix.errors import Cancelled, GeoPix2PixWarning, OutputError
from geopix2pix.gdal import unreferenced_allowed
from geopix2pix.grid import Window
from geopix2pix.journal import append_line, differences, read_journal, start_journal
from geopix2pix.output import OutputSpec, check_target, write_bytes, writing
from geopix2pix.raster import Georeference, RasterReader
from geopix2pix.writer import RasterWriter
from tests.rasters import MASKS, ROTATED, coordinates, l_shape, speckle, write_raster

UTM = Georeference(crs=CRS.from_epsg(32632), transform=ROTATED)
STEP = 48
REPOSITORY = Path(__file__).parents[1]


def spec_of(data: np.ndarray, **fields) -> OutputSpec:
    bands, height, width = data.shape
    return OutputSpec(width=width, height=height, bands=bands, dtype=str(data.dtype), **{"georeference": UTM} | fields)


def write_rows(writer: RasterWriter, data: np.ndarray, valid: np.ndarray, step: int = STEP, rows: int = 10**6) -> None:
    """Write at most `rows` more rows of windows, each leaving the number of the row it leads to."""
    scene = Window(0, 0, data.shape[2], data.shape[1])
    for row in range(writer.finished_rows, min(-(-scene.height // step), writer.finished_rows + rows)):
        for col in range(0, scene.width, step):
            window = Window(col, row * step, step, step).intersection(scene)
            part_rows, part_cols = window.slices
            writer.write(window, data[:, part_rows, part_cols], valid[part_rows, part_cols])
        writer.carry.leave(0, row, np.full((2, 3), row + 1, np.float32))
        writer.carry.leave(1, row, np.zeros((2, 0), np.float32))
        writer.finish_row()


def write(path: Path, data: np.ndarray, valid: np.ndarray | None = None, step: int = STEP, **fields) -> Path:
    valid = np.ones(data.shape[1:], bool) if valid is None else valid
    with RasterWriter(path, spec_of(data, **fields), parameters={}, overwrite=True) as writer:
        write_rows(writer, data, valid, step)
        writer.assemble()
    return path


def opened(path: Path) -> rasterio.DatasetReader:
    with unreferenced_allowed():
        return rasterio.open(path)


# What is written is read back


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_pixels_validity_and_place_arrive(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("out")
    bands, dtype = data.draw(st.integers(1, 5)), data.draw(st.sampled_from(["uint8", "uint16", "int16", "float32"]))
    pixels = coordinates(bands, data.draw(st.integers(1, 130)), data.draw(st.integers(1, 130)), dtype)
    mask = data.draw(st.sampled_from([None, *MASKS]))
    valid = np.ones(pixels.shape[1:], bool) if mask is None else mask(*pixels.shape[1:])
    fields = {
        "driver": data.draw(st.sampled_from(["COG", "GTiff"])),
        "resampling": data.draw(st.sampled_from(["nearest", "average"])),
        "compress": data.draw(st.sampled_from(["deflate", "zstd", "lzw"])),
        "colorinterp": "rgb" if bands >= 3 else "gray",
        "band_names": tuple(f"band of {i}" for i in range(bands)),
        "tags": {"made_by": "a test", "more": '{"a": "<&>"}'},
    }
    path = write(folder / "out.tif", pixels, valid, step=data.draw(st.integers(20, 140)), **fields)
    with opened(path) as dataset:
        assert dataset.dtypes == (dtype,) * bands
        assert np.array_equal(dataset.read(), np.where(valid, pixels, 0))
        assert np.array_equal(dataset.read_masks(1) != 0, valid)
        assert np.array_equal(dataset.dataset_mask() != 0, valid)
        assert (dataset.crs, dataset.transform) == (UTM.crs, UTM.transform)
        assert dataset.descriptions == fields["band_names"]
        assert fields["tags"].items() <= dataset.tags().items()
        colors = ["red", "green", "blue"] if bands >= 3 else ["gray"]
        assert [c.name for c in dataset.colorinterp] == colors + ["undefined"] * (bands - len(colors))
    assert [file.name for file in folder.iterdir()] == ["out.tif"]


@pytest.mark.parametrize(
    "georeference",
    [
        Georeference(),
        Georeference(crs=CRS.from_epsg(4326), transform=Affine(1e-6, 0, 8.123456789012, 0, -1e-6, 47.1)),
        Georeference(crs=CRS.from_epsg(3857)),
        Georeference(transform=ROTATED),
    ],
)
def test_a_georeference_arrives_also_when_there_is_none(tmp_path, georeference):
    path = write(tmp_path / "a.tif", coordinates(1, 20, 20, "uint8"), georeference=georeference)
    with opened(path) as dataset:
        assert Georeference.of(dataset) == georeference


def test_ground_control_points_arrive(tmp_path):
    corners = [(0, 0), (0, 20), (20, 0), (20, 20)]
    gcps = tuple(GroundControlPoint(row=r, col=c, x=8 + c / 1000, y=47 - r / 1000, z=2) for r, c in corners)
    georeference = Georeference(gcps=gcps, gcps_crs=CRS.from_epsg(4326))
    path = write(tmp_path / "a.tif", coordinates(1, 20, 20, "uint8"), georeference=georeference)
    with opened(path) as dataset:
        found = Georeference.of(dataset)
    assert found.gcps_crs == georeference.gcps_crs
    assert [(p.row, p.col, p.x, p.y, p.z) for p in found.gcps] == [(p.row, p.col, p.x, p.y, p.z) for p in gcps]


def test_there_is_a_mask_only_if_a_pixel_is_not_valid(tmp_path):
    pixels, valid = coordinates(3, 60, 60, "uint8"), np.ones((60, 60), bool)
    with opened(write(tmp_path / "a.tif", pixels, valid)) as dataset:
        assert [flag.name for flag in dataset.mask_flag_enums[0]] == ["all_valid"]
    valid[59, 59] = False
    with opened(write(tmp_path / "b.tif", pixels, valid)) as dataset:
        assert [flag.name for flag in dataset.mask_flag_enums[0]] == ["per_dataset"]


@pytest.mark.parametrize("masked", [False, True])
def test_the_result_is_a_cloud_optimised_geotiff(tmp_path, masked):
    pixels = coordinates(3, 1100, 600, "uint8")
    path = write(tmp_path / "a.tif", pixels, l_shape(1100, 600) if masked else None, step=512, colorinterp="rgb")
    with opened(path) as dataset:
        assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert dataset.block_shapes == [(512, 512)] * 3
        assert dataset.overviews(1) == [2, 4]
        nearest = dataset.read(1, out_shape=(550, 300))
    assert set(np.unique(nearest)) <= {0, *np.unique(pixels)}
    head = path.read_bytes()[:500]
    assert b"LAYOUT=IFDS_BEFORE_DATA" in head
    assert b"KNOWN_INCOMPATIBLE_EDITION=NO" in head


def test_overviews_of_quantities_are_averages(tmp_path):
    pixels = np.indices((1200, 1200)).sum(axis=0)[None] % 2 * np.float32(8)
    with opened(write(tmp_path / "a.tif", pixels.astype("float32"), step=400, resampling="average")) as dataset:
        assert np.unique(dataset.read(1, out_shape=(600, 600))).tolist() == [4]


# The same bytes


def test_the_bytes_depend_on_the_data_alone(tmp_path):
    pixels, valid = coordinates(3, 200, 150, "uint8"), l_shape(200, 150)
    tags = {"b": "2", "a": "1"}
    first = write(tmp_path / "first.tif", pixels, valid, tags=tags).read_bytes()
    other = tmp_path / "some" / "where"
    other.mkdir(parents=True)
    time.sleep(1.1)  # a time stamp in whole seconds would differ
    tags = {"a": "1", "b": "2"}
    assert write(other / "second.tif", pixels, valid, step=77, tags=tags).read_bytes() == first


@pytest.mark.parametrize("stop_after", [0, 1, 3, 5])
def test_a_cancelled_run_goes_on_to_the_same_bytes(tmp_path, stop_after):
    pixels, valid = coordinates(2, 230, 100, "int16"), l_shape(230, 100)
    expected = write(tmp_path / "whole.tif", pixels, valid).read_bytes()
    path, spec = tmp_path / "a.tif", spec_of(pixels)
    with pytest.raises(Cancelled), RasterWriter(path, spec, parameters={"seed": 1}) as writer:
        write_rows(writer, pixels, valid, rows=stop_after)
        writer.write(Window(0, stop_after * STEP, 0, STEP), pixels[:, :0, :0], valid[:0, :0])
        if stop_after < 5:
            height = min(STEP, 230 - stop_after * STEP)
            writer.write(Window(0, stop_after * STEP, 9, height), pixels[:, :height, :9], valid[:height, :9])
        raise Cancelled("stopped by the test")
    assert not path.exists()
    with RasterWriter(path, spec, parameters={"seed": 1}) as writer:
        assert writer.finished_rows == stop_after
        if stop_after:
            carried = [writer.carry.take(column, stop_after).tolist() for column in range(2)]
            assert carried == [[[stop_after] * 3] * 2, [[], []]]
        write_rows(writer, pixels, valid)
        writer.assemble()
    assert path.read_bytes() == expected
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.tif", "whole.tif"]


def interrupted(path: Path, pixels: np.ndarray, parameters: dict, rows: int = 3) -> Path:
    """The folder of parts of a run that was interrupted."""
    with pytest.raises(KeyboardInterrupt), RasterWriter(path, spec_of(pixels), parameters=parameters) as writer:
        write_rows(writer, pixels, np.ones(pixels.shape[1:], bool), rows=rows)
        raise KeyboardInterrupt
    return path.with_name(f"{path.name}.part")


def damaged(file: Path) -> None:
    content = file.read_bytes()
    half = len(content) // 2
    file.write_bytes(content[:half] + bytes(255 - byte for byte in content[half:]))


@pytest.mark.parametrize(
    ("damage", "left", "carried"),
    [
        (lambda folder: None, 3, True),
        (lambda folder: (folder / "journal.jsonl").open("a").write('{"band": {"top"'), 3, True),
        (lambda folder: damaged(folder / "row-00001.tif"), 1, False),
        (lambda folder: (folder / "row-00002.tif").unlink(), 2, False),
        (lambda folder: damaged(folder / "carry-00003.npy"), 3, False),
        (lambda folder: (folder / "carry-00003.npy").unlink(), 3, False),
        (lambda folder: (folder / "journal.jsonl").write_text(""), 0, False),
        (lambda folder: (folder / "finished.tif.ovr.tmp").write_text("left by a kill while assembling"), 3, True),
    ],
)
def test_only_what_the_disk_really_holds_is_trusted(tmp_path, damage, left, carried):
    pixels = coordinates(1, 230, 100, "uint8")
    expected = write(tmp_path / "whole.tif", pixels).read_bytes()
    damage(interrupted(tmp_path / "a.tif", pixels, {}))
    if not (tmp_path / "a.tif.part" / "journal.jsonl").read_text():
        (tmp_path / "a.tif.part" / "journal.jsonl").write_text('{"format"')
    recorded = len(read_journal(tmp_path / "a.tif.part" / "journal.jsonl"))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", GeoPix2PixWarning)
        writer = RasterWriter(tmp_path / "a.tif", spec_of(pixels), parameters={})
    assert ["damaged or missing" in str(warning.message) for warning in told] == [True] * (left < recorded - 1)
    with writer:
        assert writer.finished_rows == left
        assert writer.carry.holds(left) == carried
        write_rows(writer, pixels, np.ones(pixels.shape[1:], bool))
        writer.assemble()
    assert (tmp_path / "a.tif").read_bytes() == expected


def test_half_of_what_was_carried_into_a_share_is_not_trusted(tmp_path):
    """Of the row above its first one no journal tells."""
    pixels, share = coordinates(1, 230, 100, "uint8"), range(2, 4)
    for _ in range(2):
        with RasterWriter(tmp_path / "a.tif", spec_of(pixels), parameters={}, rows=share) as writer:
            assert not writer.carry.holds(2)
            assert not writer.carry.file(2).exists()
            writer.carry.leave(0, 1, np.zeros((2, 3), np.float32))


def test_parts_of_other_settings_are_not_used_and_the_user_is_told(tmp_path):
    pixels = coordinates(1, 230, 100, "uint8")
    interrupted(tmp_path / "a.tif", pixels, {"model": "one"})
    with (
        pytest.warns(GeoPix2PixWarning, match='model was "one", is "two"; starting anew'),
        RasterWriter(tmp_path / "a.tif", spec_of(pixels), parameters={"model": "two"}) as writer,
    ):
        assert writer.finished_rows == 0
        assert not writer.carry.holds(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        RasterWriter(tmp_path / "a.tif", spec_of(pixels), parameters={"model": "two"}).__exit__(None, None, None)


@given(data=st.recursive(st.none() | st.integers(), lambda inner: st.dictionaries(st.text(max_size=2), inner)))
def test_a_header_does_not_differ_from_itself_and_one_value_is_one_difference(data):
    header = {"format": 2, "spec": {"size": [3, 4]}, "parameters": data}
    assert differences(header, header) == []
    assert differences(header, header | {"spec": {"size": [3, 5]}}) == ["spec.size.1 was 4, is 5"]
    assert differences(header | {"new": None}, header) == ["new was null, is absent"]


@pytest.mark.parametrize("stop_at", range(8))
@pytest.mark.parametrize("model", ["one", "two"])
def test_a_run_that_is_stopped_while_it_removes_files_can_be_started_again(tmp_path, monkeypatch, stop_at, model):
    """Both when it discards the parts of another run and when it leaves nothing behind."""
    pixels = coordinates(1, 230, 100, "uint8")
    interrupted(tmp_path / "a.tif", pixels, {"model": "one"})
    unlink, iterdir, calls = Path.unlink, Path.iterdir, iter(range(10**6))

    def stopped(path: Path, missing_ok: bool = False) -> None:
        if next(calls) == stop_at:
            raise KeyboardInterrupt
        unlink(path, missing_ok)

    def run(text: str) -> None:
        with RasterWriter(tmp_path / "a.tif", spec_of(pixels), parameters={"model": text}):
            raise ZeroDivisionError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GeoPix2PixWarning)
        with monkeypatch.context() as patch, pytest.raises((KeyboardInterrupt, ZeroDivisionError)):
            patch.setattr(Path, "unlink", stopped)
            patch.setattr(Path, "iterdir", lambda path: iter(sorted(iterdir(path))))  # the journal before the parts
            run(model)
        with pytest.raises(ZeroDivisionError):
            run("three")
    assert list(tmp_path.iterdir()) == []


def test_rows_that_finish_nothing_count(tmp_path):
    pixels = coordinates(1, 60, 40, "uint8")
    with RasterWriter(tmp_path / "a.tif", spec_of(pixels), parameters={}) as writer:
        writer.write(Window(0, 0, 40, 0), pixels[:, :0], np.ones((0, 40), bool))
        writer.finish_row()
        writer.write(Window(0, 0, 40, 60), pixels, np.ones((60, 40), bool))
        writer.finish_row()
        assert writer.finished_rows == 2
        writer.assemble()
    with opened(tmp_path / "a.tif") as dataset:
        assert np.array_equal(dataset.read(), pixels)


def test_a_scene_may_be_read_in_one_thread_while_another_writes(tmp_path, monkeypatch):
    """With hardly any cache, GDAL flushes blocks of the writer whenever the reader needs room."""
    monkeypatch.setitem(gdal.SETTINGS, "GDAL_CACHEMAX", 1)
    pixels, valid = coordinates(3, 160, 208, "uint8"), speckle(160, 208)
    source = write_raster(tmp_path / "in.tif", pixels, mask=valid)
    windows = [Window(col, row, 16, 16) for row in range(0, 160, 16) for col in range(0, 208, 16)]
    for _ in range(3):
        with (
            RasterReader(source) as reader,
            ThreadPoolExecutor(1) as pool,
            RasterWriter(tmp_path / "out.tif", spec_of(pixels), parameters={}, overwrite=True) as writer,
        ):
            ahead = pool.submit(reader.read, windows[0])
            for window, following in zip(windows, [*windows[1:], windows[0]], strict=True):
                patch, ahead = ahead.result(), pool.submit(reader.read, following)
                writer.write(window, *patch)
                if window.right == 208:
                    writer.finish_row()
            writer.assemble()
        with opened(tmp_path / "out.tif") as dataset:
            assert np.array_equal(dataset.read(), pixels * valid)


# Nothing is left half


def test_a_failure_leaves_nothing_and_an_older_file_unharmed(tmp_path):
    pixels = coordinates(1, 100, 100, "uint8")
    path = write(tmp_path / "a.tif", pixels)
    before = path.read_bytes()
    with (
        pytest.raises(ZeroDivisionError),
        RasterWriter(path, spec_of(pixels), parameters={}, overwrite=True) as writer,
    ):
        write_rows(writer, pixels, np.ones((100, 100), bool), rows=1)
        assert path.read_bytes() == before
        raise ZeroDivisionError
    assert [file.name for file in tmp_path.iterdir()] == ["a.tif"]
    assert path.read_bytes() == before


def test_a_damaged_part_is_found_before_the_target_is_replaced(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (1, 100, 100), np.uint8)
    path = write(tmp_path / "a.tif", pixels)
    before = path.read_bytes()
    with (
        pytest.raises(OutputError, match=r"a\.tif"),
        RasterWriter(path, spec_of(pixels), parameters={}, overwrite=True) as writer,
    ):
        write_rows(writer, pixels, np.ones((100, 100), bool))
        blank = np.zeros((1, STEP, 100), np.uint8)
        write_raster(tmp_path / "a.tif.part" / "row-00001.tif", blank, mask=np.ones((STEP, 100), bool))
        writer.assemble()
    assert path.read_bytes() == before
    with (
        pytest.warns(GeoPix2PixWarning, match="damaged or missing, from row 1"),
        RasterWriter(path, spec_of(pixels), parameters={}, overwrite=True) as writer,
    ):
        assert writer.finished_rows == 1
        write_rows(writer, pixels, np.ones((100, 100), bool))
        writer.assemble()
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["a.tif"]


def test_sidecars_of_a_replaced_file_go_with_it(tmp_path):
    pixels = coordinates(1, 30, 30, "uint8")
    for suffix in (".aux.xml", ".msk", ".ovr"):
        (tmp_path / f"a.tif{suffix}").write_text("of an older file")
        with pytest.raises(OutputError, match="exists"):
            RasterWriter(tmp_path / "a.tif", spec_of(pixels), parameters={})
        write(tmp_path / "a.tif", pixels)
        assert [file.name for file in tmp_path.iterdir()] == ["a.tif"]


def test_two_writers_of_one_target_do_not_meet(tmp_path):
    pixels = coordinates(1, 30, 30, "uint8")
    with RasterWriter(tmp_path / "a.tif", spec_of(pixels), parameters={}) as writer:
        with pytest.raises(OutputError, match="another process"):
            RasterWriter(tmp_path / "a.tif", spec_of(pixels), parameters={})
        write_rows(writer, pixels, np.ones((30, 30), bool))
        writer.assemble()
    assert [file.name for file in tmp_path.iterdir()] == ["a.tif"]


def test_a_folder_that_is_not_ours_is_not_touched(tmp_path):
    foreign = tmp_path / "a.tif.part" / "letter.txt"
    foreign.parent.mkdir()
    foreign.write_text("dear all")
    with pytest.raises(OutputError, match="other files"):
        RasterWriter(tmp_path / "a.tif", spec_of(coordinates(1, 3, 3, "uint8")), parameters={})
    assert foreign.read_text() == "dear all"


@pytest.mark.parametrize("wrong", ["order", "gap", "shape", "dtype", "short row", "short scene"])
def test_rectangles_out_of_order_are_a_programming_mistake(tmp_path, wrong):
    pixels, valid = coordinates(1, 30, 30, "uint8"), np.ones((30, 30), bool)
    with pytest.raises(AssertionError), RasterWriter(tmp_path / "a.tif", spec_of(pixels), parameters={}) as writer:
        writer.write(Window(0, 0, 10, 20), pixels[:, :20, :10], valid[:20, :10])
        match wrong:
            case "order":
                writer.write(Window(0, 0, 10, 20), pixels[:, :20, :10], valid[:20, :10])
            case "gap":
                writer.write(Window(11, 0, 19, 20), pixels[:, :20, :19], valid[:20, :19])
            case "shape":
                writer.write(Window(10, 0, 20, 20), pixels, valid)
            case "dtype":
                writer.write(Window(10, 0, 20, 20), pixels[:, :20, :20].astype(float), valid[:20, :20])
            case "short row":
                writer.finish_row()
            case "short scene":
                writer.write(Window(10, 0, 20, 20), pixels[:, :20, :20], valid[:20, :20])
                writer.finish_row()
                writer.assemble()


def test_targets_that_cannot_be_written_are_refused_before_any_work(tmp_path):
    source = write_raster(tmp_path / "source.tif", coordinates(1, 3, 3, "uint8"))
    (tmp_path / "link.tif").symlink_to(source)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for target, overwrite, message in [
        (source, True, "the input itself"),
        (tmp_path / "folder" / ".." / "source.tif", True, "the input itself"),
        (tmp_path / "link.tif", True, "the input itself"),
        (source.with_name("folder"), True, "is a folder"),
        (tmp_path / "pipe", True, "neither a file"),
        (tmp_path / "no" / "a.tif", False, "does not exist"),
        (source / "a.tif", False, "does not exist"),
    ]:
        with pytest.raises(OutputError, match=message):
            check_target(target, source, overwrite=overwrite)
    with pytest.raises(OutputError, match="exists already"):
        check_target(source, None)
    for named in ((tmp_path / ("a" * 300), None), (source, tmp_path / ("a" * 300))):
        with pytest.raises(OutputError, match="a{300}: File name too long; choose"):
            check_target(*named, overwrite=True)
    check_target(source, None, overwrite=True)
    check_target(tmp_path / "new.tif", source)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs a user whom permissions stop")
def test_a_folder_without_write_permission_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="not writable"):
        check_target(tmp_path / "a.tif")


def test_a_disk_without_room_is_refused_before_any_work(tmp_path):
    spec = OutputSpec(width=10**6, height=10**6, bands=100, dtype="float32")
    with pytest.raises(OutputError, match="make room"):
        RasterWriter(tmp_path / "a.tif", spec, parameters={})
    assert list(tmp_path.iterdir()) == []


def test_a_programming_mistake_is_not_told_as_a_full_disk(tmp_path):
    with pytest.raises(NameError), writing(tmp_path / "a.tif"):
        raise NameError("no such name")
    with pytest.raises(OutputError, match="No space left on device; check disk space"), writing(tmp_path / "a.tif"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_plain_files_are_written_whole_or_not_at_all(tmp_path):
    write_bytes(tmp_path / "a.json", b"one")
    write_bytes(tmp_path / "a.json", b"two")
    assert (tmp_path / "a.json").read_bytes() == b"two"
    with pytest.raises(OutputError):
        write_bytes(tmp_path / "no" / "a.json", b"three")
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


@given(lines=st.lists(st.dictionaries(st.text(max_size=3), st.integers()), min_size=1, max_size=4), data=st.data())
def test_a_journal_that_is_cut_anywhere_keeps_its_whole_lines(tmp_path_factory, lines, data):
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    start_journal(path, lines[:1])
    for line in lines[1:]:
        append_line(path, line)
    assert read_journal(path) == lines
    content = path.read_bytes()
    kept = data.draw(st.integers(0, len(content)))
    path.write_bytes(content[:kept])
    assert read_journal(path) == lines[: content[:kept].count(b"\n")]


# Kills and full disks, in a process of their own


CHILD = """
import sys
import numpy as np
from pathlib import Path
from tests.test_writer import spec_of, write_rows
from tests.rasters import l_shape
from geopix2pix import gdal
from geopix2pix.errors import OutputError
from geopix2pix.writer import RasterWriter

pixels = np.random.default_rng(0).integers(0, 255, (3, 1000, 700), np.uint8)
path, limit = Path(sys.argv[1]), int(sys.argv[2])
if limit:
    import resource, signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    with RasterWriter(path, spec_of(pixels), parameters={}, overwrite=True) as writer:
        print("begins at", writer.finished_rows, flush=True)
        write_rows(writer, pixels, l_shape(1000, 700), step=50)
        writer.assemble()
except OutputError as error:
    sys.exit(f"OutputError: {error}")
"""


def child(path: Path, limit: int = 0, **environment: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path), str(limit)],
        cwd=REPOSITORY,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def assert_last_line_says_why(errors: str) -> None:
    """Lines before it are libtiff's own, which nothing can redirect."""
    assert errors.splitlines()[-1].startswith("OutputError: ")
    assert "Traceback" not in errors


@pytest.mark.skipif(os.name != "posix", reason="needs limits on the size of files")
@pytest.mark.parametrize(
    ("limit", "rows"), [(100, {0}), (100_000, set(range(1, 20))), (600_000, {20})], ids=["journal", "parts", "result"]
)
def test_a_write_that_fails_is_an_output_error_and_costs_no_finished_row(tmp_path, limit, rows):
    path = tmp_path / "a.tif"
    path.write_text("an older file")
    with child(path, limit) as process:
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert_last_line_says_why(errors)
    assert path.read_text() == "an older file"
    assert {file.name for file in tmp_path.iterdir()} <= {"a.tif", "a.tif.part"}
    for name in ("a.tif", "whole.tif"):
        with child(tmp_path / name) as process:
            told, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        assert int(told.split()[-1]) in (rows if name == "a.tif" else {0})
    assert path.read_bytes() == (tmp_path / "whole.tif").read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.tif", "whole.tif"]


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_a_run_that_is_killed_again_and_again_gives_the_same_bytes(tmp_path):
    with child(tmp_path / "whole.tif") as process:
        process.stdout.readline()
        begin = time.monotonic()
        process.communicate(timeout=300)
    whole = time.monotonic() - begin
    assert process.returncode == 0
    path, kills, rng = tmp_path / "a.tif", 0, random.Random(0)
    for attempt in range(40):
        with child(path) as process:
            process.stdout.readline()
            try:
                process.wait(timeout=rng.uniform(0.0, whole / 2) if attempt < 20 else 300)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                kills += 1
        if process.returncode == 0:
            break
        assert not path.exists() or path.read_bytes() == (tmp_path / "whole.tif").read_bytes()
    assert kills > 2
    assert path.read_bytes() == (tmp_path / "whole.tif").read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.tif", "whole.tif"]


COPY = """
import re, sys
from pathlib import Path
import numpy as np
import rasterio
from rasterio.windows import Window as RasterioWindow
from geopix2pix.grid import Window
from geopix2pix.output import OutputSpec
from geopix2pix.raster import RasterReader
from geopix2pix.writer import RasterWriter

folder, height = sys.argv[1], int(sys.argv[2])
profile = {"driver": "GTiff", "width": 2000, "height": height, "count": 3, "dtype": "uint8", "nodata": 0}
transform = rasterio.Affine(2, 0, 0, 0, -2, 0)
with rasterio.Env(GDAL_CACHEMAX=2**27), rasterio.open(
    f"{folder}/in.tif", "w", tiled=True, compress="deflate", zlevel=1, transform=transform, **profile
) as dataset:
    for top in range(0, height, 1000):
        strip = np.arange(3 * 1000 * 2000, dtype=np.uint8).reshape(3, 1000, 2000)
        dataset.write(strip, window=RasterioWindow(0, top, 2000, 1000))
with RasterReader(f"{folder}/in.tif") as reader:
    spec = OutputSpec(width=2000, height=height, bands=3, dtype="uint8", georeference=reader.georeference)
    with RasterWriter(f"{folder}/out.tif", spec, parameters={}) as writer:
        for top in range(0, height, 500):
            for left in range(0, 2000, 500):
                window = Window(left, top, 500, 500)
                writer.write(window, *reader.read(window))
            writer.finish_row()
        writer.assemble()
print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs the peak memory in /proc")
def test_memory_does_not_grow_with_the_scene(tmp_path):
    peaks = []
    for height in (60_000, 120_000):  # both fill all that has a limit: the block cache, the pool of open parts
        folder = tmp_path / str(height)
        folder.mkdir()
        command = [sys.executable, "-c", COPY, str(folder), str(height)]
        done = subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True, timeout=600)
        peaks.append(int(done.stdout) / 1024)
    assert peaks[1] < peaks[0] + 40, f"peaks {peaks} MiB"


@pytest.mark.slow
@pytest.mark.parametrize("threads", ["1", "2"])
def test_a_full_disk_is_an_output_error_at_whatever_stage_and_costs_no_finished_row(small_disk, tmp_path, threads):
    """The disk grows a little each time, until the result fits on it."""
    with child(tmp_path / "whole.tif") as process:
        process.communicate(timeout=300)
    begun = []
    for size in (600, 900, 1300, 1800, 2400, 2900, 3600, 4500, 9000):
        path = small_disk(size) / "a.tif"
        if not begun:
            path.write_text("an older file")
        with child(path, GDAL_NUM_THREADS=threads) as process:
            told, errors = process.communicate(timeout=300)
        begun.append(int(told.split()[-1]))
        if process.returncode == 0:
            break
        assert_last_line_says_why(errors)
        assert path.read_text() == "an older file"
        assert {file.name for file in path.parent.iterdir()} <= {"a.tif", "a.tif.part"}
    assert begun == sorted(begun), "no row is lost"
    assert len(set(begun)) > 3 and begun.count(begun[-1]) > 1, "the disk was full as rows were written, and after that"
    assert path.read_bytes() == (tmp_path / "whole.tif").read_bytes()
    assert [file.name for file in path.parent.iterdir()] == ["a.tif"]


def test_the_journal_says_what_made_the_parts(tmp_path):
    pixels = coordinates(1, 100, 100, "uint8")
    folder = interrupted(tmp_path / "a.tif", pixels, {"model": "abc", "window": [1, 2]}, rows=2)
    header, *rows = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    assert header["parameters"] == {"model": "abc", "window": [1, 2]}
    assert (header["spec"]["width"], header["spec"]["dtype"]) == (100, "uint8")
    assert [row["band"]["top"] for row in rows] == [0, STEP]
