"""RemoteFile: a file on a web server, read in ranges, each of which is checked to be what was asked for."""

import re
from collections import OrderedDict
from contextlib import closing
from hashlib import sha256
from os import PathLike
from pathlib import Path
from threading import RLock
from time import monotonic, sleep
from types import TracebackType
from typing import TYPE_CHECKING, Any

from geopix2pix import __version__
from geopix2pix.errors import ConfigError, DownloadError, RasterError
from geopix2pix.redirects import is_safe, joined

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, PoolManager

CONNECT, STALL, TOTAL = 10.0, 20.0, 300.0  # seconds for a connection, without a byte, and for one answer
ATTEMPTS, PAUSE = 4, 1.0  # seconds before the second attempt; doubled before each of the others
MAX_REDIRECTS = 5
CHUNK = 2**18  # bytes that are fetched and kept together
MAX_KEPT = 128  # chunks, 32 MiB
MAX_AHEAD = 16  # chunks that are fetched with the one that is needed where a file is read in its order
PASSING = (408, 425, 429, 500, 502, 503, 504)  # answers of servers that may do better a little later
REMEDIES = {401: "it needs a login: take a signed address, or copy it here", 404: "check the address"}
REMEDIES |= {403: REMEDIES[401], 410: REMEDIES[404]}
SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
URL = re.compile(r"https?://[^\s/?#@\\]+/[^\s#]*[^\s#/]")
RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})")


class PassingError(Exception):
    """What may be over at the next attempt."""


class RemoteFile:
    """A file at an http or https address, for any number of threads; part of it is kept in memory.

    A server must send ranges. One that sends another range, or part of a file of another size, date or version than at
    first, is not believed. Redirects are followed, but never from an encrypted address to one that is not. Nobody is
    asked for anything else: no folder is listed, and no file beside it is looked for.
    """

    def __init__(self, url: str) -> None:
        """Connect to nothing yet.

        Raises:
            RasterError: it is no such address.
        """
        self.url = url.partition("#")[0]
        if not URL.fullmatch(self.url):
            needed = "an http:// or https:// address of a GeoTIFF, without user and password"
            raise RasterError(f"{str(self)!r}: is no address that is read, which is {needed}; or copy the file here")
        self.failure: DownloadError | None = None
        """Why the last read came to nothing; whoever raises it takes it away."""
        self._pool: PoolManager | None = None
        self._lock = RLock()
        self._chunks: OrderedDict[int, bytes] = OrderedDict()
        self._state: tuple[int, str] | None = None
        self._ahead = 1

    def __str__(self) -> str:
        return re.sub(r"//[^/@]*@", "//", self.url.partition("?")[0])

    @property
    def name(self) -> str:
        return str(self).rpartition("/")[2]

    @property
    def stem(self) -> str:
        return Path(self.name).stem

    def identity(self) -> list[Any]:
        """What tells the state in which the server has the file now: name, size, version, digest of its beginning.

        Raises:
            DownloadError: the server does not send it, or has it in another state than at first.
            ConfigError: urllib3 is not installed.
        """
        with self._lock:
            begin = self._fetch(0, CHUNK - 1)
            assert self._state is not None, "an answer has told it"
            return [self.name, *self._state, sha256(begin).hexdigest()]

    def opener(self, path: str, mode: str = "rb") -> "Cursor":
        """What rasterio opens as the file `OPENED_AS`, and as nothing else."""
        if path != OPENED_AS or mode not in ("r", "rb"):
            raise FileNotFoundError(path)
        return Cursor(self)

    @property
    def size(self) -> int:
        """Bytes. Raises as `read`."""
        with self._lock:
            if self._state is None:
                self.read(0, 1)
            return 0 if self._state is None else self._state[0]

    def read(self, begin: int, length: int) -> bytes:
        """Bytes of the file, fewer at its end; none after a `failure`, which is for the caller of GDAL to raise."""
        with self._lock:
            if self._state is not None:
                length = min(length, self._state[0] - begin)
            if self.failure is not None or length <= 0:
                return b""
            try:
                first, last = begin // CHUNK, (begin + length - 1) // CHUNK
                data = b"".join(self._chunk(number, last) for number in range(first, last + 1))
            except DownloadError as error:
                self.failure = error
                return b""
            return data[begin - first * CHUNK :][:length]

    def _chunk(self, number: int, last: int) -> bytes:
        """A chunk; if it must be fetched, those up to the `last` one that is needed come with it, and some more."""
        if number not in self._chunks:
            self._ahead = min(2 * self._ahead, MAX_AHEAD) if number - 1 in self._chunks else 1
            count = min(max(last + 1 - number, self._ahead), MAX_KEPT // 2)
            data = self._fetch(number * CHUNK, (number + count) * CHUNK - 1)
            for offset in range(0, len(data), CHUNK):
                self._chunks[number + offset // CHUNK] = data[offset : offset + CHUNK]
            while len(self._chunks) > MAX_KEPT:
                self._chunks.popitem(last=False)
        self._chunks.move_to_end(number)
        return self._chunks[number]

    def _fetch(self, first: int, last: int) -> bytes:
        """The bytes from the `first` to the `last` one, or to the end of the file."""
        from urllib3.exceptions import HTTPError, SSLError

        for attempt in range(ATTEMPTS):
            try:
                return self._asked(first, last)
            except SSLError as error:
                raise self._told(f"cannot be trusted ({type(error).__name__})", "check the host") from error
            except (PassingError, HTTPError) as error:
                failure = error
                if attempt + 1 < ATTEMPTS:
                    sleep(PAUSE * 2**attempt)
        found = str(failure) if isinstance(failure, PassingError) else f"is not answered ({type(failure).__name__})"
        remedy = "check address and network and try again: what was finished is kept"
        raise self._told(f"{found}, in {ATTEMPTS} attempts", remedy) from failure

    def _asked(self, first: int, last: int) -> bytes:
        if self._state is not None:
            last = min(last, self._state[0] - 1)
        url, headers = self.url, {"Range": f"bytes={first}-{last}", "Accept-Encoding": "identity"}
        for _ in range(MAX_REDIRECTS + 1):
            response = self._connections().request(
                "GET", url, headers=headers, redirect=False, retries=False, preload_content=False
            )
            with closing(response):
                location = response.get_redirect_location()
                if not location:
                    return self._believed(response, first, last)
            before, url = url, joined(url, location)
            if not is_safe(before, url):
                raise self._told("redirects to an address that is not encrypted", "check the address")
        raise self._told(f"redirects more than {MAX_REDIRECTS} times", "check the address")

    def _believed(self, response: "BaseHTTPResponse", first: int, last: int) -> bytes:
        """The body of an answer, if it is what was asked for of the file that was there at first."""
        status, headers = response.status, response.headers
        if status in PASSING:
            raise PassingError(f"answers {status}")
        if status == 200:
            raise self._told("is sent only as a whole, not in ranges", "copy it here, or take another server")
        found = RANGE.fullmatch(headers.get("content-range", ""))
        if status != 206 and not (status == 416 and self._state):
            raise self._told(f"the server answers {status}", REMEDIES.get(status, "check the address"))
        size = int(found[3]) if found else 0
        state = size, headers.get("etag") or headers.get("last-modified") or ""
        if self._state not in (None, state):
            raise self._told("was changed on the server while it was being read", "start again, and leave it as it is")
        if not found or (int(found[1]), int(found[2])) != (first, min(last, size - 1)):
            asked, sent = f"{first}-{last}", re.sub("[^ -~]", "?", headers.get("content-range", "nothing of that kind"))
            raise self._told(f"bytes {asked} were asked for, the server says {sent:.60}", "copy it here by other means")
        body, deadline = bytearray(), monotonic() + TOTAL
        expected = int(found[2]) + 1 - first
        while len(body) <= expected and (part := response.read1(CHUNK, decode_content=False)):
            body += part
            if monotonic() > deadline:
                raise PassingError(f"is not sent in {TOTAL:g} s")
        if len(body) != expected:
            raise PassingError(f"{expected} bytes were announced, {len(body)} or more came")
        self._state = state
        return bytes(body)

    def _connections(self) -> "PoolManager":
        if self._pool is None:
            try:
                import urllib3
            except ImportError as error:
                raise ConfigError("what comes over HTTP needs a package; pip install 'geopix2pix[tiles]'") from error
            self._pool = urllib3.PoolManager(
                timeout=urllib3.Timeout(connect=CONNECT, read=STALL),
                headers={"User-Agent": f"geopix2pix/{__version__}", "Accept": "image/tiff,*/*;q=0.5"},
            )
        return self._pool

    def _told(self, found: str, remedy: str) -> DownloadError:
        return DownloadError(f"{self}: {found}; {remedy}")


class Cursor:
    """A place in a remote file, as rasterio's openers return it."""

    def __init__(self, file: RemoteFile) -> None:
        self._file, self._at = file, 0

    def read(self, length: int = -1) -> bytes:
        data = self._file.read(self._at, self._file.size - self._at if length < 0 else length)
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._file.size)[whence] if whence else offset
        return self._at

    def tell(self) -> int:
        return self._at

    def __enter__(self) -> "Cursor":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Nothing is closed: the file stays open for others."""


OPENED_AS = "remote/scene.tif"
"""A name that says nothing."""

Source = Path | RemoteFile
"""Where a raster is read from."""


def located(source: str | PathLike[str] | RemoteFile) -> Source:
    """The local file of a path, or the remote one of an address such as https://HOST/scene.tif.

    Raises:
        RasterError: it is an address of a kind that is not read.
    """
    if isinstance(source, RemoteFile):
        return source
    return RemoteFile(source) if isinstance(source, str) and SCHEME.match(source) else Path(source)
