"""A copy by GDAL: rasterio's, byte by byte, except that it tells how far it is and can be stopped."""

import itertools
import os
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from rasterio import shutil

from geopix2pix import gdalcopy, translate
from geopix2pix.assembly import STEPS
from geopix2pix.errors import Cancelled, OutputError
from geopix2pix.gdal import environment
from geopix2pix.gdalcopy import copied
from geopix2pix.progress import Event, repeated
from tests.rasters import write_raster

PLACE = {"crs": "EPSG:32633", "transform": Affine(0.5, 0, 500_000, 0, -0.5, 5_800_000)}
COG = {"COMPRESS": "deflate", "BLOCKSIZE": "512", "OVERVIEW_RESAMPLING": "average", "NUM_THREADS": "ALL_CPUS"}
FORMS = {"COG": COG, "GTiff": {"COMPRESS": "lzw", "TILED": "YES", "PREDICTOR": "2"}}


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    random = np.random.default_rng(1)
    data, mask = random.integers(0, 9, (3, 1700, 1900), np.uint8), random.random((1700, 1900)) > 0.1
    path = tmp_path_factory.mktemp("copied") / "scene ü.tif"
    return write_raster(path, data, mask=mask, photometric="rgb", tiled=True, **PLACE)


def copy(source: Path, target: Path, driver: str, told=lambda share: None) -> None:
    with environment(GDAL_TIFF_INTERNAL_MASK="YES"):
        copied(source, target, driver, FORMS[driver], told)


@pytest.mark.parametrize("driver", FORMS)
def test_a_copy_is_that_of_rasterio_and_what_is_told_rises_to_all(noise: Path, tmp_path: Path, driver: str) -> None:
    shares: list[float] = []
    copy(noise, tmp_path / "ours ü.tif", driver, shares.append)
    with environment(GDAL_TIFF_INTERNAL_MASK="YES"):
        shutil.copy(noise, tmp_path / "theirs.tif", driver=driver, **FORMS[driver])
    assert (tmp_path / "ours ü.tif").read_bytes() == (tmp_path / "theirs.tif").read_bytes()
    assert shares == sorted(shares) and shares[-1] == 1.0
    assert len(shares) > 10


@pytest.mark.parametrize("driver", FORMS)
@pytest.mark.parametrize("error", [Cancelled("enough"), KeyboardInterrupt()])
def test_what_hears_of_it_can_stop_it_at_any_moment(
    noise: Path, tmp_path: Path, driver: str, error: BaseException
) -> None:
    for limit in (0.0, 0.2, 0.7):
        shares: list[float] = []

        def stop(share: float, limit: float = limit, shares: list[float] = shares) -> None:
            shares.append(share)
            if share >= limit:
                raise error

        with pytest.raises(type(error)):
            copy(noise, tmp_path / "out.tif", driver, stop)
        assert shares[-1] < 1.0 and [share >= limit for share in shares].count(True) == 1, "GDAL has stopped at once"
        assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_a_signal_is_heard_while_gdal_copies(noise: Path, tmp_path: Path) -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    main = threading.main_thread().ident

    def stop(share: float) -> None:
        if share > 0.1 and not heard:
            signal.pthread_kill(main, signal.SIGTERM)
        if heard:
            raise Cancelled("enough")

    try:
        with pytest.raises(Cancelled):
            copy(noise, tmp_path / "out.tif", "COG", stop)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_what_cannot_be_copied_is_told_in_one_line(noise: Path, tmp_path: Path) -> None:
    for source, target in ((tmp_path / "no.tif", tmp_path / "out.tif"), (noise, tmp_path / "no" / "out.tif")):
        with pytest.raises(
            OutputError, match=r"out.tif: cannot be written: .*No such file or directory; check"
        ) as found:
            copy(source, target, "COG")
        assert "\n" not in str(found.value)
    assert list(tmp_path.iterdir()) == []


def test_without_the_library_the_copy_is_the_same(noise: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy(noise, tmp_path / "one.tif", "COG")
    monkeypatch.setattr(gdalcopy, "CDLL", lambda name: object())  # as on Windows, where it shows no function
    shares: list[float] = []
    copy(noise, tmp_path / "other.tif", "COG", shares.append)
    assert (tmp_path / "one.tif").read_bytes() == (tmp_path / "other.tif").read_bytes()
    assert shares == [1.0]


def test_a_translation_that_is_cancelled_in_its_copy_goes_on_to_the_same_bytes(
    noise: Path, palette_model: Path, tmp_path: Path
) -> None:
    source = tmp_path / "scene.tif"
    with rasterio.open(noise) as dataset:
        write_raster(source, dataset.read()[:, :900, :700], photometric="rgb", **PLACE)
    options = {"model": palette_model, "threads": 1, "window": 256}
    steps: list[int] = []

    def stop(event: Event) -> None:
        if event.stage == "assemble":
            steps.append(event.done)
            if event.done >= STEPS // 3:
                raise Cancelled("enough")

    with pytest.raises(Cancelled):
        translate(source, tmp_path / "map.tif", progress=stop, classes=tmp_path / "c.tif", **options)
    assert steps == sorted(set(steps)) and steps[-1] < STEPS
    again: list[Event] = []
    translate(source, tmp_path / "map.tif", progress=again.append, classes=tmp_path / "c.tif", **options)
    assert [e.done for e in again if e.stage == "translate"] == [e.total for e in again if e.stage == "translate"]
    rising = [event.done for event in again if event.stage == "assemble"]
    assert rising == sorted(rising) and rising[-1] == 2 * 2 * STEPS
    translate(source, tmp_path / "whole.tif", classes=tmp_path / "d.tif", **options)
    assert (tmp_path / "map.tif").read_bytes() == (tmp_path / "whole.tif").read_bytes()
    assert (tmp_path / "c.tif").read_bytes() == (tmp_path / "d.tif").read_bytes()


def test_all_copies_of_a_translation_are_one_stage_that_rises(scene: Path, palette_model: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    options = {"clean": 3, "resolution": 1.0, "classes": tmp_path / "c.tif", "progress": events.append}
    translate(scene, tmp_path / "map.tif", model=palette_model, **options)
    steps = [event.done for event in events if event.stage == "assemble"]
    assert steps == sorted(steps) and steps[0] == 0
    copies = 3 * 2  # what is computed, what is cleaned and what is delivered, of map and classes
    assert {event.total for event in events if event.stage == "assemble"} == {steps[-1]} == {copies * 2 * STEPS}


@given(st.integers(1, 5), st.integers(1, 5), st.integers(1, 9))
def test_stages_in_stages_are_told_as_one(outer: int, inner: int, steps: int) -> None:
    heard: list[Event] = []
    for one, other, done in itertools.product(range(outer), range(inner), range(steps)):
        progress = repeated(repeated(heard.append, "work", one, outer), "work", other, inner)
        progress(Event("work", done, steps, "steps"))
    progress(other_stage := Event("else", 1, 2, "steps"))
    assert heard.pop() == other_stage
    assert heard == [Event("work", done, outer * inner * steps, "steps") for done in range(outer * inner * steps)]
