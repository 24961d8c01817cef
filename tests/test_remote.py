"""Scenes on a web server: the same map as of the file, or one line that says what the server did."""

import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.main import main
from geopix2pix import remote, translate
from geopix2pix.errors import Cancelled, DownloadError, GeoPix2PixError, RasterError
from geopix2pix.planning import planned
from geopix2pix.preview import side_by_side
from geopix2pix.progress import Event
from geopix2pix.raster import RasterReader
from geopix2pix.remote import RemoteFile, located
from geopix2pix.translation import run
from tests.test_translation import write_scene
from tests.webserver import WebServer, serving

CHUNK = 2**15  # bytes; the scene has eight chunks
MENDING = ["stalls", "resets", "silent", "503", "429"]
"""What may be over at the next attempt."""
WRONG = {
    "404": "the server answers 404; check the address",
    "403": "the server answers 403; it needs a login",
    "418": "the server answers 418",
    "no ranges": "is sent only as a whole, not in ranges; copy it here",
    "elsewhere": "were asked for, the server says bytes ",
    "no header": "",
    "larger": "was changed on the server while",
    "changed": "was changed on the server while",
    "without version": "was changed on the server while",
}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "CHUNK", CHUNK)
    monkeypatch.setattr(remote, "STALL", 0.2)
    monkeypatch.setattr(remote, "PAUSE", 0.01)


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scene that takes several requests, its tiles not compressed: wrong bytes would look like right ones."""
    data = np.random.default_rng(3).integers(0, 255, (3, 320, 256), np.uint8)
    valid = np.ones((320, 256), bool)
    valid[:90, :100] = False
    path = tmp_path_factory.mktemp("served") / "scene.tif"
    return write_scene(path, data, valid, photometric="rgb", tiled=True, blockxsize=64, blockysize=64)


@pytest.fixture
def server(noise: Path) -> Iterator[WebServer]:
    with serving(noise.read_bytes()) as found:
        yield found


def test_a_scene_on_a_server_becomes_what_its_file_becomes(
    server: WebServer, noise: Path, palette_model: Path, tmp_path: Path
) -> None:
    for source, name in ((noise, "local"), (server.url, "remote")):
        options = {"classes": tmp_path / f"{name}-classes.tif", "preview": tmp_path / f"{name}.png"}
        translate(source, tmp_path / f"{name}.tif", model=palette_model, threads=1, window=128, **options)
    for ending in (".tif", "-classes.tif", ".png"):
        assert (tmp_path / f"local{ending}").read_bytes() == (tmp_path / f"remote{ending}").read_bytes()
    asked = sum(int(last) - int(first) + 1 for first, last in (r[6:].split("-") for r in server.asked))
    assert asked < 3 * len(server.data), "what was fetched is kept, in bounds"


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_any_bytes_are_those_of_the_file_and_few_are_kept(data) -> None:
    content = np.random.default_rng(0).bytes(5 * CHUNK + 77)
    with serving(content) as server, pytest.MonkeyPatch.context() as patch:
        patch.setattr(remote, "MAX_KEPT", 3)
        file = RemoteFile(server.url)
        for _ in range(12):
            begin = data.draw(st.integers(0, len(content) + 10))
            length = data.draw(st.integers(0, 2 * CHUNK))
            assert file.read(begin, length) == content[begin : begin + length]
            assert file.failure is None
            assert len(file._chunks) <= 3
        assert file.size == len(content)


@pytest.mark.parametrize("manner", MENDING)
def test_what_a_server_mends_in_time_is_not_noticed(server: WebServer, noise: Path, manner: str) -> None:
    server.manner, server.after, server.until = manner, 2, 4
    with RasterReader(RemoteFile(server.url)) as reader, RasterReader(noise) as local:
        for seen, expected in zip(reader.read(reader.extent), local.read(local.extent), strict=True):
            assert np.array_equal(seen, expected)
    assert len(server.asked) > 3


@pytest.mark.slow
@pytest.mark.parametrize("manner", [*MENDING, *WRONG])
@pytest.mark.parametrize("after", [0, 4])
def test_what_a_server_does_wrong_is_one_line_and_nothing_is_lost(
    server: WebServer, noise: Path, tiny_model: Path, tmp_path: Path, manner: str, after: int
) -> None:
    output = tmp_path / "map.tif"
    arguments = [
        server.url + "?key=secret",
        str(output),
        "--model",
        str(tiny_model),
        "--threads",
        "1",
        "--window",
        "128",
    ]
    server.manner, server.after = manner, after
    if after == 0 and manner in ("larger", "changed", "without version"):
        server.after = 2  # it can only be seen against an earlier answer
    done = CliRunner().invoke(main, ["translate", *arguments])
    lines = [line for line in done.stderr.splitlines() if "WARNING" not in line.upper()]
    assert done.exit_code == 1, done.output
    assert lines[-1:] and server.url in lines[-1] and WRONG.get(manner, "4 attempts") in lines[-1]
    assert "secret" not in done.output and "Traceback" not in done.output
    assert not output.exists()
    server.manner, server.version = "right", "one"
    assert CliRunner().invoke(main, ["translate", *arguments]).exit_code == 0
    expected = translate(noise, tmp_path / "local.tif", model=tiny_model, threads=1, window=128)
    assert output.read_bytes() == expected.read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["local.tif", "map.tif"]


def test_rows_that_were_finished_when_the_server_failed_are_not_computed_again(
    server: WebServer, tiny_model: Path, tmp_path: Path
) -> None:
    def fail(event: Event) -> None:
        if event.done >= 3:
            server.manner = "503"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(remote, "MAX_KEPT", 2)
        with pytest.raises(DownloadError, match="answers 503, in 4 attempts"):
            translate(server.url, tmp_path / "map.tif", model=tiny_model, threads=1, window=128, progress=fail)
    server.manner = "right"
    told: list[int] = []
    translate(
        server.url,
        tmp_path / "map.tif",
        model=tiny_model,
        threads=1,
        window=128,
        progress=lambda e: told.append(e.done),
    )
    assert told[0] >= 3


def test_a_scene_that_changes_between_two_runs_is_begun_anew(
    server: WebServer, tiny_model: Path, tmp_path: Path
) -> None:
    def stop(event: Event) -> None:
        if event.done >= 3:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        translate(server.url, tmp_path / "map.tif", model=tiny_model, threads=1, window=128, progress=stop)
    server.version = "two"
    with pytest.warns(UserWarning, match="starting anew"):
        translate(server.url, tmp_path / "map.tif", model=tiny_model, threads=1, window=128)


def test_a_scene_that_changes_between_plan_and_run_is_noticed(
    server: WebServer, tiny_model: Path, tmp_path: Path
) -> None:
    job = planned(server.url, tmp_path / "map.tif", model=tiny_model)
    assert job.to_json()["source"] == server.url
    server.version = "two"
    with pytest.raises(DownloadError, match="was changed on the server"):
        run(job)
    assert not (tmp_path / "map.tif").exists()


def test_redirects_are_followed_but_not_for_ever_nor_out_of_encryption(server: WebServer, noise: Path) -> None:
    with serving(b"") as other:
        other.manner = f"redirect {server.url}"
        with RasterReader(RemoteFile(other.url)) as reader, RasterReader(noise) as local:
            assert np.array_equal(reader.read(reader.extent).data, local.read(local.extent).data)
        other.manner = f"redirect {other.url}"
        with pytest.raises(DownloadError, match="redirects more than 5 times"):
            RasterReader(RemoteFile(other.url))
        other.manner = "redirect file:///etc/passwd"
        with pytest.raises(DownloadError, match="redirects to an address"):
            RasterReader(RemoteFile(other.url))


@pytest.mark.parametrize(
    "address",
    ["ftp://host/a.tif", "s3://bucket/a.tif", "http://user:secret@host/a.tif", "https://host", "http:///a.tif",
     "http://host/a b.tif", "file:///a.tif"],
)  # fmt: skip
def test_other_addresses_are_refused_before_any_request(address: str) -> None:
    with pytest.raises(RasterError, match="http:// or https:// address") as caught:
        located(address)
    assert "secret" not in str(caught.value) and "\n" not in str(caught.value)


def test_only_the_address_that_was_given_is_asked(server: WebServer, tmp_path: Path) -> None:
    """Neither GDAL's own names for remote files, nor mosaics that name an address, nor what is sent lead further."""
    plain = server.url
    for name in (f"/vsicurl/{plain}", f"/vsizip//vsicurl/{plain}", f"/vsicurl_streaming/{plain}", f"WMS:{plain}"):
        with pytest.raises(GeoPix2PixError, match="local raster file"):
            planned(name, tmp_path / "map.tif")
    source = f"<SimpleSource><SourceFilename>{plain}</SourceFilename><SourceBand>1</SourceBand></SimpleSource>"
    mosaic = f"<VRTDataset rasterXSize='9' rasterYSize='9'><VRTRasterBand dataType='Byte' band='1'>{source}"
    (tmp_path / "a.vrt").write_text(mosaic + "</VRTRasterBand></VRTDataset>")
    with pytest.raises(RasterError, match="no local file"):
        planned(tmp_path / "a.vrt", tmp_path / "map.tif")
    assert server.asked == []
    with serving((tmp_path / "a.vrt").read_bytes()) as other, pytest.raises(DownloadError, match="cannot open it as"):
        RasterReader(RemoteFile(other.url))
    assert server.asked == []


def test_a_hostile_file_is_refused_from_a_server_too(tmp_path: Path) -> None:
    with serving(b"II*\0" + bytes(300)) as server, pytest.raises(GeoPix2PixError):
        RasterReader(RemoteFile(server.url))
    with serving(b"") as server, pytest.raises(DownloadError):
        RasterReader(RemoteFile(server.url))


def test_a_preview_of_what_a_server_does_not_send_says_so(server: WebServer, noise: Path) -> None:
    server.manner, server.after = "503", 3
    with pytest.raises(DownloadError, match="answers 503"), warnings.catch_warnings():
        side_by_side(RemoteFile(server.url), noise, (1, 2, 3), RasterReader(noise).extent)


def test_a_scene_may_be_opened_read_and_closed_in_different_threads(server: WebServer, noise: Path) -> None:
    """Each of which has ended when the next begins."""

    def elsewhere(work, *arguments):
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(work, *arguments).result()

    with RasterReader(noise) as local:
        expected = local.read(local.extent)
    for _ in range(3):
        reader = elsewhere(RasterReader, RemoteFile(server.url))
        seen = elsewhere(reader.read, reader.extent)
        elsewhere(reader.close)
        assert np.array_equal(seen.data, expected.data)
        assert np.array_equal(seen.valid, expected.valid)
