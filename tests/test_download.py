"""Tiles of a server: fetched once, few at a time, whatever it does. A real one on this machine plays all parts."""

import gzip
import json
import socket
import struct
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import mercantile
import numpy as np
import pytest
from rasterio.crs import CRS

from geopix2pix import __version__
from geopix2pix.errors import Cancelled, ConfigError, DownloadError, RasterError, TileSetWarning
from geopix2pix.geogrid import GeoGrid
from geopix2pix.grid import Window
from geopix2pix.progress import Event
from geopix2pix.webtiles.addresses import Address
from geopix2pix.webtiles.download import FinalError, Network, Server
from geopix2pix.webtiles.prefetch import AHEAD, Fetched, fill
from geopix2pix.webtiles.pyramids import TileCache
from geopix2pix.webtiles.slippy import SlippyView
from geopix2pix.webtiles.terms import FORBIDDING, remind
from geopix2pix.webtiles.tilelevel import Level, open_pyramid, own_pixels
from geopix2pix.webtiles.tilepicture import decoded
from tests.webtiles import SIDE, encoded, pyramid, square, tile_colors, write_folder

QUICK = {"connect": 30.0, "read": 30.0, "total": 60.0, "retries": 1, "pause": 0.01, "longest_pause": 2.0, "failures": 3}
NETWORK = Network(parallel=2, **QUICK)
HASTY = Network(parallel=2, **QUICK | {"read": 0.3, "total": 0.7})
TILES = square(6, 33, 21)
ONE = TILES[0]
SECRET = "s3cret"


class Handler(BaseHTTPRequestHandler):
    """Answers with what the function `answer` of the server says of a tile and the number of times it was asked for."""

    protocol_version = "HTTP/1.1"
    server: "TileServer"

    def do_GET(self) -> None:
        server, path = self.server, self.path.partition("?")[0]
        z, x, y = (int(part) for part in path.removesuffix(".png").split("/")[-3:])
        tile = mercantile.Tile(x, y, z)
        with server.lock:
            server.asked[tile] += 1
            server.agents.add(self.headers["User-Agent"])
            server.paths.append(self.path)
            server.busy += 1
            server.busiest = max(server.busiest, server.busy)
        try:
            server.answer(self, tile, server.asked[tile])
        except OSError:
            self.close_connection = True  # the client has gone
        finally:
            with server.lock:
                server.busy -= 1

    def send(self, status: int, body: bytes = b"", kind: str = "image/png", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body))}.items() | headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class TileServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock, self.asked = threading.Lock(), Counter[mercantile.Tile]()
        self.agents, self.paths = set[str](), list[str]()
        self.busy = self.busiest = 0
        self.ended = threading.Event()  # for those that keep a client waiting
        self.answer: Callable[[Handler, mercantile.Tile, int], None] = picture

    @property
    def template(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/{{z}}/{{x}}/{{y}}.png?key={SECRET}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


def picture(handler: Handler, tile: mercantile.Tile, time: int) -> None:
    handler.send(200, encoded(tile_colors(tile)))


@pytest.fixture
def server() -> Iterator[TileServer]:
    with TileServer() as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.ended.set()
        server.shutdown()


@pytest.fixture
def cache(server, tmp_path) -> TileCache:
    return TileCache(Address.parse(server.template), tmp_path)


@contextmanager
def told_without_secrets(error: type[Exception] = DownloadError) -> Iterator[list[str]]:
    """A context that fails, and the one line that says why."""
    message: list[str] = []
    with pytest.raises(error) as caught:
        yield message
    message.append(str(caught.value))
    assert len(message[0]) < 600
    assert message[0].isprintable()
    assert SECRET not in message[0]
    assert "\n" not in message[0]


def is_whole(cache: TileCache) -> bool:
    """Whether all that lies in the folder of a cache are whole tiles and nothing else."""
    for path in cache.folder.rglob("*"):
        if path.is_file():
            assert path.suffix == ".tile"
            if data := path.read_bytes():
                decoded(data, path.name)
    return True


# What a good server is asked for


def test_each_tile_is_asked_for_once_and_kept_as_it_is(server, cache):
    assert fill(cache, TILES + TILES[:4], NETWORK) == Fetched(new=9, kept=0, absent=0)
    assert fill(cache, TILES, NETWORK) == Fetched(new=0, kept=9, absent=0)
    assert server.asked == Counter(TILES)
    assert {tile: cache.read(tile) for tile in TILES} == pyramid(TILES)
    assert server.agents == {f"geopix2pix/{__version__}"}
    assert server.paths[0].endswith(f"?key={SECRET}")
    assert is_whole(cache)


@pytest.mark.parametrize("parallel", [1, 3])
def test_no_more_requests_are_made_at_once_than_allowed(server, cache, parallel):
    gate = threading.Barrier(parallel)

    def answer(handler, tile, time):
        gate.wait(5)  # passes only when so many requests are there
        picture(handler, tile, time)

    server.answer = answer
    network = Network(parallel=parallel, **QUICK)
    assert fill(cache, TILES, network).new == 9
    assert server.busiest == parallel


@pytest.mark.parametrize("status", [204, 404, 410])
def test_what_the_server_does_not_have_is_remembered(server, cache, status):
    server.answer = lambda handler, tile, time: (
        handler.send(status, b"" if status == 204 else b"none", "text/plain")
        if tile == ONE
        else picture(handler, tile, time)
    )
    assert fill(cache, TILES, NETWORK) == Fetched(new=8, kept=0, absent=1)
    assert cache.read(ONE) is None
    assert not cache.has(ONE)
    assert fill(cache, TILES, NETWORK) == Fetched(new=0, kept=8, absent=1)
    assert server.asked[ONE] == 1


def test_events_count_all_tiles(server, cache):
    fill(cache, TILES[:4], NETWORK)
    events: list[Event] = []
    fill(cache, TILES, NETWORK, events.append)
    assert {(event.stage, event.total, event.unit) for event in events} == {("download", 9, "tiles")}
    done = [event.done for event in events]
    assert sorted(set(done)) == list(range(1, 10))
    assert done == sorted(done)


def test_proxies_of_the_surroundings_are_not_used(server, cache, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    assert fill(cache, TILES, NETWORK).new == 9


def test_a_proxy_that_is_named_is_used(server, tmp_path):
    """The server of the tests answers to whatever host it is asked for."""
    cache = TileCache(Address.parse("http://tiles.example.org/{z}/{x}/{y}.png"), tmp_path)
    network = Network(parallel=1, proxy=f"http://127.0.0.1:{server.server_port}", **QUICK)
    assert fill(cache, TILES, network).new == 9
    assert all(path.startswith("http://tiles.example.org/6/") for path in server.paths)
    with told_without_secrets(ConfigError) as message:
        fill(cache, square(3, 1, 1), Network(proxy=f"socks://me:{SECRET}@example.org"))
    assert "the proxy is no URL" in message[0]


def test_tiles_packed_by_gzip_are_tiles(server, cache):
    server.answer = lambda handler, tile, time: handler.send(
        200, gzip.compress(encoded(tile_colors(tile))), Content_Encoding="gzip"
    )
    assert fill(cache, TILES, NETWORK).new == 9
    assert np.array_equal(decoded(cache.read(ONE), "tile").data, tile_colors(ONE))


# Failures that pass


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_failure_that_passes_is_waited_for(server, cache, status):
    server.answer = lambda handler, tile, time: (
        handler.send(status, b"busy") if time == 1 else picture(handler, tile, time)
    )
    assert fill(cache, TILES, NETWORK).new == 9
    assert set(server.asked.values()) == {2}


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_a_server_is_left_alone_for_as_long_as_it_asks(server, cache, form):
    """It answers nobody before that: one retry is enough only for who waits."""
    ready: list[float] = []

    def answer(handler, tile, time_asked):
        ready[:] = ready or [time.time() + 1.0]
        if time.time() >= ready[0]:
            return picture(handler, tile, time_asked)
        date = handler.date_time_string(int(ready[0]) + 1)
        return handler.send(429, b"", Retry_After="1" if form == "seconds" else date)

    server.answer = answer
    assert fill(cache, TILES[:1], Network(parallel=1, **QUICK | {"longest_pause": 5.0})).new == 1
    assert server.asked[ONE] == 2


@pytest.mark.parametrize("asked", ["3600", "Fri, 31 Dec 2100 23:59:59 GMT"])
def test_a_server_that_wants_to_be_left_alone_for_long_ends_the_download(server, cache, asked):
    server.answer = lambda handler, tile, time: handler.send(429, b"", Retry_After=asked)
    with told_without_secrets(FinalError) as message:
        fill(cache, TILES, NETWORK)
    assert "answers 429 Too Many Requests and asks to be left alone for" in message[0]
    assert sum(server.asked.values()) <= NETWORK.parallel


@pytest.mark.parametrize("asked", ["soon", "-5", "", "1e99", "٣"])
def test_impossible_waits_are_not_waited_for(server, cache, asked):
    server.answer = lambda handler, tile, time: (
        handler.send(503, b"", Retry_After=asked.encode("utf-8").decode("latin-1"))
        if time == 1
        else picture(handler, tile, time)
    )
    assert fill(cache, TILES, NETWORK).new == 9


def cut_off(handler: Handler, data: bytes, announced: int) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(announced))
    handler.end_headers()
    handler.wfile.write(data)
    handler.close_connection = True


def reset(handler: Handler, data: bytes) -> None:
    """Send some bytes, then break the connection off, as a machine does that has gone."""
    handler.send_response(200)
    handler.send_header("Content-Length", "9999")
    handler.end_headers()
    handler.wfile.write(data)
    handler.wfile.flush()
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True


def chunked(handler: Handler, data: bytes) -> None:
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
    handler.close_connection = True  # without the chunk that ends it


def stall(handler: Handler) -> None:
    handler.server.ended.wait(20)
    handler.close_connection = True


def drip(handler: Handler, data: bytes) -> None:
    """A byte now and then: no single one takes long."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(10**6))
    handler.end_headers()
    for byte in data:
        handler.wfile.write(bytes([byte]))
        if handler.server.ended.wait(0.1):
            break
    handler.close_connection = True


PASSING: dict[str, tuple[Callable[[Handler, bytes], None], str]] = {
    "stops early": (lambda handler, data: cut_off(handler, data[:50], len(data)), "is not answered"),
    "announces too little": (lambda handler, data: cut_off(handler, data, len(data) - 40), "that is not whole"),
    "announces nothing and stops early": (
        lambda handler, data: (handler.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n" + data[:60]), stop(handler)),
        "that is not whole",
    ),
    "stops amid chunks": (lambda handler, data: chunked(handler, data[:60]), "is not answered"),
    "resets the connection": (lambda handler, data: reset(handler, data[:20]), "is not answered"),
    "closes the connection": (lambda handler, data: stop(handler), "is not answered"),
    "stalls": (lambda handler, data: stall(handler), "is not answered"),
    "drips": (drip, "was not sent whole in 0.7 s"),
    "speaks no HTTP": (
        lambda handler, data: (handler.wfile.write(b"SSH-2.0-OpenSSH_9.9\r\n"), stop(handler)),
        "is not answered",
    ),
    "sends damaged pictures": (
        lambda handler, data: handler.send(200, data[:60] + bytes(9) + data[69:]),
        "that is not whole",
    ),
}


def stop(handler: Handler) -> None:
    handler.close_connection = True


@pytest.mark.parametrize("name", PASSING)
def test_a_server_that_fails_once_is_asked_again(server, cache, name):
    fails, _ = PASSING[name]
    server.answer = lambda handler, tile, time: (
        fails(handler, encoded(tile_colors(tile))) if time == 1 else picture(handler, tile, time)
    )
    slow = name in ("stalls", "drips")
    assert fill(cache, TILES[:3], replace(HASTY, retries=5) if slow else NETWORK).new == 3
    assert set(server.asked.values()) == {2} or (slow and min(server.asked.values()) > 1)
    assert is_whole(cache)


@pytest.mark.parametrize("name", PASSING)
def test_a_server_that_fails_for_ever_ends_the_download(server, cache, name):
    fails, what = PASSING[name]
    server.answer = lambda handler, tile, time: fails(handler, encoded(tile_colors(tile)))
    with told_without_secrets() as message:
        fill(cache, square(6, 33, 21, 9), HASTY if name in ("stalls", "drips") else NETWORK)
    assert "127.0.0.1: 3 tiles in a row were not sent" in message[0]
    assert f"http://127.0.0.1:{server.server_port}/6/33/" in message[0]
    assert what in message[0]
    assert "(2 attempts)" in message[0]
    assert sum(server.asked.values()) <= (NETWORK.failures + AHEAD * NETWORK.parallel) * (NETWORK.retries + 1)
    assert set(server.asked.values()) <= {1, 2}
    assert is_whole(cache)


# Failures that do not pass


def endless(handler: Handler, status: int = 200) -> None:
    handler.send_response(status)
    handler.end_headers()
    while not handler.server.ended.is_set():
        handler.wfile.write(bytes(2**16))


BOMB = gzip.compress(bytes(2**26 + 1))
LASTING: dict[str, tuple[Callable[[Handler], None], str]] = {
    "sends a page": (
        lambda handler: handler.send(200, b"<html>\n<b>Log in</b>, please</html>", "text/html; charset=utf-8"),
        "the server sends the text '<html> <b>Log in</b>, please</html>' (text/html; charset=utf-8)",
    ),
    "sends a page that is called a picture": (
        lambda handler: handler.send(200, b'{"error": "quota"}', "image/png"),
        'sends the text \'{"error": "quota"}\' (image/png)',
    ),
    "sends nothing": (lambda handler: handler.send(200, b""), "the server sends nothing"),
    "shows the key": (
        lambda handler: handler.send(200, f"no such map: /a?key={SECRET}".encode(), "text/plain"),
        "no such map: /a?key=***",
    ),
    "refuses": (lambda handler: handler.send(403, b"Wrong key"), "answers 403 Forbidden and the text 'Wrong key'"),
    "fails": (lambda handler: handler.send(400, b""), "answers 400 Bad Request"),
    "sends no end": (endless, "sends more than 100000 bytes"),
    "sends no end of an error": (lambda handler: endless(handler, 404), "sends more than 100000 bytes"),
    "announces too much to be counted": (
        lambda handler: (cut_off(handler, bytes(100), int("9" * 4000)), stall(handler)),
        "sends more than 100000 bytes",
    ),
    "says too much": (
        lambda handler: handler.send(418, b"", Content_Type="x" * 9000 + "\x1b[2J"),
        "answers 418",
    ),
    "says much of what it sends": (
        lambda handler: handler.send(200, b"\x1b[2J \x07 page", "text/html; " + "x" * 9000),
        "is needed, the server sends",
    ),
    "announces too much": (
        lambda handler: (cut_off(handler, bytes(100), 10**15), stall(handler)),
        "sends more than 100000 bytes",
    ),
    "sends deep pictures": (
        lambda handler: handler.send(200, encoded(np.ones((3, 24, 24)))),
        "is 24 x 24 pixels, a tile is a square with a power of two",
    ),
    "sends a bomb": (
        lambda handler: handler.send(200, BOMB),
        "unpacks to 67108864 bytes or more",
    ),
    "redirects in a loop": (
        lambda handler: handler.send(302, b"", Location=handler.path),
        "redirects more than 3 times",
    ),
    "redirects nowhere": (lambda handler: handler.send(302, b"gone"), "answers 302 Found"),
}


@pytest.mark.parametrize("name", LASTING)
def test_what_would_not_pass_is_told_at_once(server, cache, name):
    fails, what = LASTING[name]
    server.answer = lambda handler, tile, time: fails(handler)
    with told_without_secrets() as message:
        fill(cache, TILES, Network(parallel=2, **QUICK, max_bytes=100_000))
    assert what in message[0]
    assert f"http://127.0.0.1:{server.server_port}/6/3" in message[0]
    assert "?key=***: " in message[0]
    assert not [path for path in cache.folder.rglob("*") if path.is_file()]
    if "redirects in" not in name:
        assert set(server.asked.values()) == {1}


def test_all_tiles_are_fetched_but_those_that_fail(server, cache):
    server.answer = lambda handler, tile, time: (
        handler.send(400, b"no") if tile in TILES[2:7:2] else picture(handler, tile, time)
    )
    with told_without_secrets() as message:
        fill(cache, TILES, Network(parallel=1, **QUICK))
    assert "3 of 9 tiles were not sent, all others are kept; the first one is http://" in message[0]
    assert sum(cache.kept(tile) is not None for tile in TILES) == 6
    server.answer = picture
    assert fill(cache, TILES, NETWORK) == Fetched(new=3, kept=6, absent=0)


@pytest.mark.parametrize("scheme", ["ftp", "file", "javascript", "data"])
def test_redirects_lead_to_the_web_alone(server, cache, scheme):
    server.answer = lambda handler, tile, time: handler.send(302, b"", Location=f"{scheme}://127.0.0.1/a?key={SECRET}")
    with told_without_secrets(FinalError) as message:
        fill(cache, TILES, NETWORK)
    assert f"redirects to {scheme}://127.0.0.1/a?key=***; only http and https are followed" in message[0]


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1:{port}/moved/{z}/{x}/{y}.png",
        "//127.0.0.1:{port}/moved/{z}/{x}/{y}.png",
        "/moved/{z}/{x}/{y}.png",
        "../../moved/{z}/{x}/{y}.png",
        "{y}.png/moved/{z}/{x}/{y}",
    ],
)
def test_redirects_are_followed_wherever_they_start_from(server, cache, location):
    def answer(handler, tile, time):
        if "moved" in handler.path:
            return picture(handler, tile, time)
        there = location.format(port=handler.server.server_port, z=tile.z, x=tile.x, y=tile.y)
        return handler.send(301, b"", Location=there)

    server.answer = answer
    assert fill(cache, TILES, NETWORK).new == 9
    assert not any(SECRET in path for path in server.paths if "moved" in path)


def test_three_redirects_are_followed(server, cache):
    server.answer = lambda handler, tile, time: (
        handler.send(307, b"", Location=f"/{time}{handler.path}") if time <= 3 else picture(handler, tile, time)
    )
    assert fill(cache, [ONE], NETWORK).new == 1


def test_nobody_is_sent_to_a_server_that_prohibits_downloads(server, cache):
    server.answer = lambda handler, tile, time: handler.send(
        302, b"", Location="https://tile.openstreetmap.org/1/1/1.png"
    )
    with told_without_secrets(ConfigError) as message:
        fill(cache, TILES, NETWORK)
    assert "tiles are not fetched from tile.openstreetmap.org" in message[0]


def test_a_server_that_is_not_there_is_told(tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    cache = TileCache(Address.parse(f"http://127.0.0.1:{port}/{{z}}/{{x}}/{{y}}?token={SECRET}"), tmp_path)
    with told_without_secrets() as message:
        fill(cache, TILES, NETWORK)
    assert f"http://127.0.0.1:{port}/6/3" in message[0]
    assert "Connection refused" in message[0]


def test_a_server_without_encryption_is_not_trusted(server, tmp_path):
    address = Address.parse(server.template.replace("http:", "https:"))
    with told_without_secrets(FinalError) as message:
        fill(TileCache(address, tmp_path), TILES, NETWORK)
    assert "cannot be trusted" in message[0]


def test_a_url_that_is_none_is_told(tmp_path):
    cache = TileCache(Address.parse(f"http://a..b/{{z}}/{{x}}/{{y}}?key={SECRET}"), tmp_path)
    with told_without_secrets():
        fill(cache, TILES, NETWORK)


# Interruptions and the cache


def test_a_stop_leaves_whole_tiles_and_the_next_call_goes_on(server, cache):
    def stopping(event: Event) -> None:
        if event.done == 4:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        fill(cache, TILES, NETWORK, stopping)
    assert is_whole(cache)
    kept = [tile for tile in TILES if cache.kept(tile) is not None]
    assert len(kept) == 4
    assert sum(server.asked.values()) <= 4 + AHEAD * NETWORK.parallel
    assert fill(cache, TILES, NETWORK) == Fetched(new=5, kept=4, absent=0)


def test_a_stop_does_not_wait_for_a_server_that_stalls(server, cache):
    """It would wait for an hour."""
    looks = []

    def stopping(event: Event) -> None:
        looks.append(event)
        if len(looks) == 2:
            raise Cancelled("enough")

    server.answer = lambda handler, tile, time: stall(handler)
    with pytest.raises(Cancelled):
        fill(cache, TILES, Network(parallel=2, read=3600, total=3600), stopping)
    assert [event.done for event in looks] == [0, 0]


def test_a_server_whose_answers_have_no_beginning_is_given_up(server, cache):
    """Each byte of a header comes in time, but there is no end of them."""

    def answer(handler, tile, time):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
        while not handler.server.ended.wait(0.1):
            handler.wfile.write(b"x")
        handler.close_connection = True

    server.answer = answer
    network = Network(parallel=2, **QUICK | {"retries": 0, "total": 0.5, "longest_pause": 0.5})
    with told_without_secrets() as message:
        fill(cache, TILES, network)
    assert "nothing has come for 1 s" in message[0]


def test_threads_end_with_the_download(server, cache):
    before = set(threading.enumerate())
    fill(cache, TILES, Network(parallel=8, **QUICK))
    for thread in set(threading.enumerate()) - before:
        if thread.name.endswith("(_work)"):  # the others are the server's
            thread.join(10)
            assert not thread.is_alive()


@pytest.mark.parametrize("content", [b"<html>", encoded(tile_colors(ONE))[:-30], b"\x89PNG\r\n\x1a\n"])
def test_damaged_files_in_the_cache_are_fetched_anew(server, cache, content):
    fill(cache, TILES, NETWORK)
    cache.keep(ONE, content)
    with pytest.raises(RasterError):
        decoded(cache.read(ONE), "tile")
    assert fill(cache, TILES, NETWORK) == Fetched(new=1, kept=8, absent=0)
    assert cache.read(ONE) == encoded(tile_colors(ONE))
    assert server.asked[ONE] == 2


def test_a_mistake_of_ours_is_not_told_as_one_of_the_server(server, cache, monkeypatch):
    def broken(self, tile):
        raise AssertionError("a mistake")

    monkeypatch.setattr(Server, "fetch", broken)
    with pytest.raises(AssertionError, match="a mistake"):
        fill(cache, TILES, NETWORK)


# Terms of use


@pytest.mark.parametrize("host", ["tile.openstreetmap.org", "a.tile.openstreetmap.org", "TILE.OpenStreetMap.org.:443"])
def test_servers_whose_policy_prohibits_downloads_are_refused(tmp_path, host):
    template, bounds = f"https://{host}/{{z}}/{{x}}/{{y}}.png", (0.0, 0.0, 1.0, 1.0)
    for network in (None, NETWORK):
        with pytest.raises(ConfigError, match=r"operations\.osmfoundation\.org/policies/tiles"):
            SlippyView(template, 3, LEVEL.grid, kernel="nearest", bounds=bounds, cache=tmp_path, network=network)
    with pytest.raises(ConfigError, match="are not fetched from"):
        fill(TileCache(Address.parse(template), tmp_path), TILES, NETWORK)


def reminder(template: str) -> str:
    with pytest.warns(TileSetWarning) as caught:
        remind.cache_clear()
        remind(Address.parse(template), "")
    return str(caught[0].message)


def test_servers_of_others_with_such_names_are_not(tmp_path):
    like_osm = ("tiles.openstreetmap.example.org", "mytile.openstreetmap.org", "openstreetmap.org.example.com")
    for host in (*like_osm, "storage.googleapis.com", "tiles.arcgis.com", "notgoogle.com"):
        open_pyramid(f"https://{host}/{{z}}/{{x}}/{{y}}.png", tmp_path)
        assert "check its terms of use" in reminder(f"https://{host}/{{z}}/{{x}}/{{y}}")


@pytest.mark.parametrize(
    "host", ["mt1.google.com", "ecn.t{0-3}.tiles.virtualearth.net", "api.mapbox.com", "server.arcgisonline.com"]
)
def test_providers_that_are_known_to_forbid_it_are_named(host):
    text = reminder(f"https://{host}/{{z}}/{{x}}/{{y}}?access_token={SECRET}")
    assert any(rule in text for rule in FORBIDDING.values())
    assert "go on only if you have an agreement" in text
    assert SECRET not in text


@pytest.mark.parametrize(("attribution", "what"), [("", "give --attribution"), ("© Me", "its attribution is recorded")])
def test_who_downloads_is_told_of_terms_once_and_who_reads_the_cache_is_not(server, tmp_path, attribution, what):
    view = {"kernel": "nearest", "bounds": BOUNDS, "cache": tmp_path, "attribution": attribution}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            told = SlippyView(server.template, 6, LEVEL.grid, network=NETWORK, **view)
            told.prefetch([EXTENT])
            told.read(EXTENT)
    messages = [str(warning.message) for warning in caught if warning.category is TileSetWarning]
    assert len(messages) == 1
    assert "you are downloading from 127.0.0.1; check its terms of use" in messages[0]
    assert what in messages[0]
    assert SECRET not in messages[0]
    assert told.attribution == attribution
    remind.cache_clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error", TileSetWarning)
        SlippyView(server.template, 6, LEVEL.grid, **view)


# Views of a server


LEVEL = Level(6, SIDE)
EXTENT = Window(33 * SIDE, 21 * SIDE, 3 * SIDE, 3 * SIDE)
BOUNDS = LEVEL.grid.bounds(EXTENT)
UTM = GeoGrid.anchored(CRS.from_epsg(32632), 13_000.0)


@pytest.fixture
def quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TileSetWarning)
        yield


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("kernel", ["nearest", "cubic"])
@pytest.mark.parametrize("prefetched", [True, False])
def test_a_server_shows_what_a_folder_shows_and_is_asked_once(server, tmp_path, kernel, prefetched):
    """Also to views without a network, even when it has gone, if all was fetched before."""
    server.answer = lambda handler, tile, time: (
        picture(handler, tile, time) if tile in TILES else handler.send(404, b"")
    )
    bounds = LEVEL.grid.bounds_in(UTM.crs, EXTENT)
    folder = SlippyView(write_folder(tmp_path / "f", pyramid(TILES)), 6, UTM, kernel=kernel)
    area = UTM.window(bounds).padded(12)
    windows = [Window(c, r, 40, 40) for c in range(area.col, area.right, 40) for r in range(area.row, area.bottom, 40)]
    online = SlippyView(server.template, 6, UTM, kernel=kernel, bounds=bounds, cache=tmp_path, network=NETWORK)
    if prefetched:
        online.prefetch(windows)
        assert set(TILES) < set(server.asked)
        asked = server.asked.copy()
        offline = SlippyView(server.template, 6, UTM, kernel=kernel, bounds=bounds, cache=tmp_path)
        assert offline.prefetch(windows) == Fetched(0, 0, 0)
        views = [offline, online]
    else:
        views = [online]
    seen = 0
    for window in windows:
        expected = folder.read(window)
        seen += expected.valid.sum()
        for view in views:
            patch = view.read(window)
            assert np.array_equal(patch.data, expected.data)
            assert np.array_equal(patch.valid, expected.valid)
            assert view.covers(window) or not expected.valid.any()
    assert seen > 500
    assert set(server.asked.values()) == {1}
    assert not prefetched or server.asked == asked


@pytest.mark.usefixtures("quiet")
def test_workers_without_the_tiles_say_so(server, tmp_path):
    SlippyView(server.template, 6, LEVEL.grid, kernel="nearest", bounds=BOUNDS, cache=tmp_path, network=NETWORK)
    asked = sum(server.asked.values())
    worker = SlippyView(server.template, 6, LEVEL.grid, kernel="nearest", bounds=BOUNDS, cache=tmp_path)
    with told_without_secrets() as message:
        worker.read(EXTENT)
    assert "is not in the cache" in message[0]
    assert sum(server.asked.values()) == asked


@pytest.mark.usefixtures("quiet")
def test_the_zoom_of_a_server_is_the_finest_that_it_has_if_none_fits(server, tmp_path):
    """Zooms 0 to 6 are there; the grid wants something like 9."""
    server.answer = lambda handler, tile, time: picture(handler, tile, time) if tile.z <= 6 else handler.send(404, b"")
    view = {"kernel": "nearest", "bounds": BOUNDS, "cache": tmp_path}
    fine = GeoGrid(crs=LEVEL.grid.crs, transform=LEVEL.grid.transform * LEVEL.grid.transform.scale(1 / 8))
    online = SlippyView(server.template, None, fine, network=NETWORK, **view)
    assert online.level == LEVEL
    offline = SlippyView(server.template, None, fine, **view)
    assert offline.level == LEVEL
    assert offline.identity() == online.identity()
    assert SECRET not in json.dumps(online.identity())
    assert online.extents() == [BOUNDS]
    assert own_pixels(server.template, 6, bounds=BOUNDS, cache=tmp_path) == (LEVEL.grid, EXTENT)


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("side", [32, 256, 512])
def test_the_zoom_of_a_server_follows_the_size_of_its_tiles(server, tmp_path, side):
    server.answer = lambda handler, tile, time: handler.send(200, encoded(tile_colors(tile, side)))
    level = Level(7, side)
    bounds = level.grid.bounds(Window(66 * side, 42 * side, side, side))
    view = {"kernel": "nearest", "bounds": bounds, "cache": tmp_path, "network": NETWORK}
    assert SlippyView(server.template, None, level.grid, **view).level.side == side
    found = SlippyView(server.template, None, level.grid, **view).level.zoom
    assert found == (7 if side >= 256 else 4), "no finer one than tiles of 256 pixels would need"


@pytest.mark.usefixtures("quiet")
def test_a_server_without_any_tile_there_is_told(server, tmp_path):
    server.answer = lambda handler, tile, time: handler.send(404, b"")
    view = {"kernel": "nearest", "bounds": BOUNDS, "cache": tmp_path, "network": NETWORK}
    with told_without_secrets() as message:
        SlippyView(server.template, 6, LEVEL.grid, **view)
    assert "has no tile at" in message[0]
    server.answer = lambda handler, tile, time: picture(handler, tile, time) if tile.z < 6 else handler.send(404, b"")
    online = SlippyView(server.template, 6, LEVEL.grid, **view | {"cache": tmp_path / "other"})
    assert not online.read(EXTENT._replace(width=5, height=5)).valid.any()
    with told_without_secrets() as message:
        online.prefetch([EXTENT])
    assert "has none of the 25 tiles at zoom 6" in message[0]


@pytest.mark.usefixtures("quiet")
def test_a_region_with_far_too_many_tiles_is_refused(server, tmp_path, monkeypatch):
    monkeypatch.setattr("geopix2pix.webtiles.slippy.MAX_TILES", 20)
    view = SlippyView(server.template, 6, LEVEL.grid, kernel="nearest", bounds=BOUNDS, cache=tmp_path, network=NETWORK)
    asked = sum(server.asked.values())
    with told_without_secrets(ConfigError) as message:
        view.prefetch([EXTENT, EXTENT.shifted(500, 0)])
    assert "more than 20 tiles of zoom 6" in message[0]
    assert sum(server.asked.values()) == asked


# Values


def test_a_package_that_is_missing_is_named(cache, monkeypatch):
    monkeypatch.setitem(sys.modules, "urllib3", None)
    with pytest.raises(ConfigError, match=r"pip install 'geopix2pix\[tiles\]'"):
        fill(cache, TILES, NETWORK)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("parallel", 0),
        ("parallel", 17),
        ("retries", -1),
        ("failures", 0),
        ("max_bytes", 0),
        ("read", 0.0),
        ("total", float("nan")),
        ("connect", float("inf")),
        ("longest_pause", -1.0),
    ],
)
def test_impossible_values_are_refused(name, value):
    with pytest.raises(ConfigError, match=f"{name} of a download is .*1 to 16 requests at once") as caught:
        Network(proxy=f"http://me:{SECRET}@example.org", **{name: value})
    assert SECRET not in str(caught.value)
