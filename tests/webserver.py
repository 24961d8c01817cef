"""A web server on this machine for one file, which answers as it is told: rightly, slowly, wrongly, or not at all."""

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class WebServer(ThreadingHTTPServer):
    """Its answers are those of `manner` from the `after`-th request on, and right before that and after `until`."""

    daemon_threads = True

    def __init__(self, data: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.data, self.version = data, "one"
        self.manner, self.after, self.until = "right", 0, 10**9
        self.asked: list[str] = []
        """The ranges that were asked for."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/some/scene.tif"

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing: visitors may go whenever they like."""


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: WebServer

    def log_message(self, *arguments: object) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        server, wanted = self.server, self.headers.get("Range", "")
        server.asked.append(wanted)
        manner = server.manner if server.after <= len(server.asked) < server.until else "right"
        data = server.data
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", wanted)
        first, last = (int(found[1]), min(int(found[2]), len(data) - 1)) if found else (0, len(data) - 1)
        if manner.isdigit():
            return self._send(int(manner), b"", {})
        if manner == "no ranges":
            return self._send(200, data, {})
        if manner == "silent":
            time.sleep(1.0)
            return None
        if manner.startswith("redirect "):
            return self._send(302, b"", {"Location": manner.removeprefix("redirect ")})
        if manner == "elsewhere":  # as it says itself
            first, last = first // 2, first // 2 + last - first
        body, shown = data[first : last + 1], f"bytes {first}-{last}/{len(data)}"
        if manner == "larger":
            shown = f"bytes {first}-{last}/{len(data) + 1}"
        if manner == "changed":
            self.server.version = "two"
        headers = {"Content-Range": shown if manner != "no header" else "?", "ETag": f'"{server.version}"'}
        if manner == "without version":
            del headers["ETag"]
        cut = len(body) // 2 if manner in ("stalls", "resets") else len(body)
        self._send(206, body, headers, cut)
        if manner == "stalls":
            time.sleep(1.0)
        self.close_connection = manner in ("stalls", "resets")
        return None

    def _send(self, status: int, body: bytes, headers: dict[str, str], cut: int | None = None) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        with suppress(OSError):
            self.wfile.write(body[:cut])


@contextmanager
def serving(data: bytes) -> Iterator[WebServer]:
    server = WebServer(data)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
