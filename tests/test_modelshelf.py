"""Models from elsewhere: whole, checked and kept, whatever a server does; one on this machine plays all."""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cli.main import main
from geopix2pix.errors import Cancelled, ConfigError, DownloadError, ModelFileError, OutputError
from geopix2pix.model import ModelFile, default_model
from geopix2pix.modelorigin import Origin
from geopix2pix.modelshelf import kept, on_shelf, pull
from geopix2pix.progress import Event
from geopix2pix.webtiles.download import Network

MODEL = default_model().read_bytes()
DIGEST = hashlib.sha256(MODEL).hexdigest()
HASTY = Network(connect=5.0, read=0.5, total=1.0, max_bytes=2**24)
NOBODY = "http://127.0.0.1:9"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "ModelServer"

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        try:
            self.server.answer(self)
        except OSError:
            self.close_connection = True  # the client has gone

    def send(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in ({"Content_Length": str(len(body))} | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class ModelServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []
        self.answer: Callable[[Handler], None] = lambda handler: handler.send(200, MODEL)
        self.ended = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer() as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.ended.set()
        server.shutdown()


def nothing_is_left(shelf: Path) -> bool:
    return kept(shelf) == [] and not [path for path in shelf.rglob("*") if path.is_file()]


# What is pulled is what was sent, once


def test_a_model_of_hugging_face_is_pulled_once_and_found_again(server: ModelServer, tmp_path: Path) -> None:
    path = pull("hf:someone/streets", tmp_path, hub=server.url)
    assert path.read_bytes() == MODEL and path.name == "model.safetensors"
    assert server.asked == ["/someone/streets/resolve/main/model.safetensors"]
    assert pull("hf:someone/streets", tmp_path, hub=NOBODY) == on_shelf("hf:someone/streets", tmp_path) == path
    assert [(k.address, k.path, k.sha256) for k in kept(tmp_path)] == [("hf:someone/streets", path, DIGEST)]
    assert pull("hf:someone/streets", tmp_path, hub=server.url, overwrite=True) == path
    assert len(server.asked) == 2


def test_revision_and_file_are_asked_for_and_kept_apart(server: ModelServer, tmp_path: Path) -> None:
    paths = {
        pull(f"hf:someone/streets{rest}", tmp_path, hub=server.url)
        for rest in ("", "@v2", "/sub/b.safetensors", "@v2/b.onnx")
    }
    assert len(paths) == len(kept(tmp_path)) == 4
    assert server.asked[1:] == [
        "/someone/streets/resolve/v2/model.safetensors",
        "/someone/streets/resolve/main/sub/b.safetensors",
        "/someone/streets/resolve/v2/b.onnx",
    ]


def test_redirects_are_followed_and_what_the_hub_promises_holds(server: ModelServer, tmp_path: Path) -> None:
    promise = {"value": DIGEST}

    def answer(handler: Handler) -> None:
        if handler.path.startswith("/cdn/"):
            handler.send(200, MODEL)
        else:
            handler.send(302, Location="/cdn/blob?x=1", X_Linked_Etag=f'"{promise["value"]}"')

    server.answer = answer
    assert pull("hf:someone/streets", tmp_path / "a", hub=server.url).read_bytes() == MODEL
    promise["value"] = "0" * 64
    with pytest.raises(DownloadError, match=f"has the SHA-256 {DIGEST}, expected 0000"):
        pull("hf:someone/streets", tmp_path / "b", hub=server.url)
    assert nothing_is_left(tmp_path / "b")


def test_a_file_is_put_on_the_shelf_and_read_anew(tmp_path: Path) -> None:
    for model in (default_model(), default_model(exported=True)):
        path = pull(str(model), tmp_path)
        assert path.read_bytes() == model.read_bytes()
    mine = tmp_path / "mine.safetensors"
    mine.write_bytes(MODEL)
    assert pull(str(mine), tmp_path) == on_shelf(str(mine), tmp_path)
    mine.write_bytes(b"changed")
    with pytest.raises(ModelFileError, match="mine.safetensors: is no model file"):
        pull(str(mine), tmp_path)
    assert on_shelf(str(mine), tmp_path).read_bytes() == MODEL


def test_events_count_bytes_and_may_stop(server: ModelServer, tmp_path: Path) -> None:
    events: list[Event] = []
    pull("hf:a/b", tmp_path, hub=server.url, progress=events.append)
    assert events[-1] == Event("download", len(MODEL), len(MODEL), "bytes")

    def stop(event: Event) -> None:
        raise Cancelled("enough")

    with pytest.raises(Cancelled):
        pull("hf:a/c", tmp_path / "c", hub=server.url, progress=stop)
    assert nothing_is_left(tmp_path / "c")


# What is not right leaves nothing behind


def test_the_digest_decides(server: ModelServer, tmp_path: Path) -> None:
    url = f"{server.url}/m.safetensors"
    assert pull(url, tmp_path, sha256=DIGEST.upper()).read_bytes() == MODEL
    with pytest.raises(DownloadError, match=f"has the SHA-256 {DIGEST}, expected 1111"):
        pull(url, tmp_path, sha256="1" * 64)
    assert on_shelf(url, tmp_path).read_bytes() == MODEL
    with pytest.raises(ConfigError, match="64 hexadecimal digits"):
        pull(url, tmp_path, sha256="abc")
    with pytest.raises(ConfigError, match="is not encrypted"):
        pull(f"{server.url}/other.safetensors", tmp_path)


def stall(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(MODEL)))
    handler.end_headers()
    handler.wfile.write(MODEL[:9999])
    handler.server.ended.wait(5)


def cut(handler: Handler) -> None:
    handler.send(200, MODEL[: len(MODEL) // 2], Content_Length=str(len(MODEL)))
    handler.close_connection = True


def drip(handler: Handler) -> None:
    handler.send_response(200)
    handler.end_headers()
    while not handler.server.ended.wait(0.1):
        handler.wfile.write(b"x" * 100)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda h: h.send(404, b"none"), "answers 404 Not Found; check the address"),
        (lambda h: h.send(401, b"none"), "answers 401 Unauthorized; it needs a login"),
        (lambda h: h.send(302, Location=h.path), "redirects more than 5 times"),
        (lambda h: h.send(302, Location="ftp://example.org/m"), "only encrypted addresses are followed"),
        (cut, "cannot be fetched"),
        (stall, "cannot be fetched"),
        (drip, "takes too long"),
        (lambda h: h.send(200, b"", Content_Length=str(2**40)), "has more than 16777216 bytes"),
    ],
    ids=["absent", "forbidden", "loop", "foreign", "cut", "stalls", "drips", "huge"],
)
def test_servers_that_do_not_send_it(
    server: ModelServer, tmp_path: Path, answer: Callable[[Handler], None], told: str
) -> None:
    server.answer = answer
    with pytest.raises(DownloadError) as caught:
        pull("hf:a/b", tmp_path, hub=server.url, network=HASTY)
    assert told in str(caught.value) and "\n" not in str(caught.value) and nothing_is_left(tmp_path)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"<html>please log in</html>", "is no model file"),
        (b"PK\x03\x04" + bytes(99), "is a pickle or a torch archive, which may hold code"),
        (MODEL[:-100], "is truncated or damaged"),
        (b"", "is empty"),
    ],
)
def test_only_models_of_ours_are_kept(server: ModelServer, tmp_path: Path, body: bytes, told: str) -> None:
    server.answer = lambda handler: handler.send(200, body)
    with pytest.raises(ModelFileError, match=told) as caught:
        pull("hf:a/b", tmp_path, hub=server.url)
    assert str(caught.value).startswith("hf:a/b: ") and nothing_is_left(tmp_path)


def test_offline_it_is_said_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="hf:a/b: cannot be fetched .*check address and network; a model that was"):
        pull("hf:a/b", tmp_path, hub=NOBODY, network=HASTY)
    with pytest.raises(ModelFileError, match="is not here yet; fetch it with: geopix2pix model pull hf:a/b"):
        on_shelf("hf:a/b", tmp_path)


def test_what_changed_on_the_shelf_is_not_used(server: ModelServer, tmp_path: Path) -> None:
    path = pull("hf:a/b", tmp_path, hub=server.url)
    path.write_bytes(default_model(exported=True).read_bytes())
    for again in (lambda: on_shelf("hf:a/b", tmp_path), lambda: pull("hf:a/b", tmp_path, hub=server.url)):
        with pytest.raises(ModelFileError, match="no longer the file that was pulled"):
            again()
    assert pull("hf:a/b", tmp_path, hub=server.url, overwrite=True).read_bytes() == MODEL


def test_a_shelf_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "shelf").write_text("a file")
    with pytest.raises(OutputError, match="choose another --shelf"):
        pull(str(default_model()), tmp_path / "shelf")


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("hf:streets", "write hf:OWNER/NAME"),
        ("hf:a/b/../../c.onnx", "write hf:OWNER/NAME"),
        ("hf:a/b/weights.bin", "may hold code"),
        ("ftp://example.org/m.onnx", "models come from https://"),
        ("https://me:secret@example.org/m.onnx", "logins are not supported"),
        ("https://example.org/m.pt", "may hold code"),
        ("https://example.org", "may hold code"),
        ("model.ckpt", "may hold code"),
    ],
)
def test_addresses_that_are_none(address: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as caught:
        Origin.of(address)
    assert "secret" not in str(caught.value)


def test_keys_in_addresses_are_not_shown(server: ModelServer, tmp_path: Path) -> None:
    url = f"{server.url}/m.safetensors?token=s3cret"
    path = pull(url, tmp_path, sha256=DIGEST)
    assert server.asked == ["/m.safetensors?token=s3cret"]
    assert "s3cret" not in str(path) + json.dumps([k.address for k in kept(tmp_path)])


# The commands


def test_pulled_models_are_listed_and_found_by_their_address(
    server: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("click.get_app_dir", lambda name: str(tmp_path / name))
    url = f"{server.url}/m.safetensors"
    run = CliRunner().invoke
    missing = run(main, ["model", "info", url])
    assert missing.exit_code == 2 and "fetch it with: geopix2pix model pull" in missing.output
    pulled = run(main, ["model", "pull", url, "--sha256", DIGEST])
    assert pulled.exit_code == 0 and Path(pulled.stdout.strip()).read_bytes() == MODEL
    listed = json.loads(run(main, ["model", "list", "--json"]).stdout)
    assert [(entry["address"], entry["sha256"]) for entry in listed] == [("default", DIGEST), (url, DIGEST)]
    assert url in run(main, ["model", "list"]).stdout
    assert f"SHA-256            {ModelFile.load(default_model()).digest}" in run(main, ["model", "info", url]).stdout
