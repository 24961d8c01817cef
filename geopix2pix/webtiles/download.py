"""Tiles of web maps over HTTP, and what others need who talk to a server."""

import re
from dataclasses import dataclass
from threading import Event as Signal
from time import monotonic
from typing import TYPE_CHECKING, Any

import mercantile

from geopix2pix import __version__
from geopix2pix.errors import ConfigError, DownloadError, RasterError
from geopix2pix.gdal import reason
from geopix2pix.redirects import joined
from geopix2pix.webtiles import terms
from geopix2pix.webtiles.addresses import Address, host_of, masked
from geopix2pix.webtiles.tilepicture import DamagedError, decoded, driver_of, excerpt, unpacked

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, PoolManager

MAX_PARALLEL = 16
MAX_REDIRECTS = 3
ABSENT = (204, 404, 410)
PASSING = (408, 425, 429, 500, 502, 503, 504)  # answers of servers that may do better a little later
CHUNK = 2**16  # bytes
MAX_WORDS = 300  # characters of what is told of an answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """How a server is talked to. Times are in seconds.

    Raises:
        ConfigError: a value is impossible.
    """

    parallel: int = 4
    """Requests at once."""
    connect: float = 10.0
    """For a connection to be made."""
    read: float = 30.0
    """Without a byte."""
    total: float = 120.0
    """For one answer."""
    retries: int = 4
    """Further attempts after one that failed in a way that may pass."""
    pause: float = 1.0
    """Before the first of them; doubled before each of the others."""
    longest_pause: float = 60.0
    """That the server may ask for (Retry-After)."""
    failures: int = 8
    """Tiles in a row that end a download."""
    max_bytes: int = 8 * 2**20
    """Of one answer."""
    proxy: str = ""
    """URL of a proxy; those that the system names are not used."""

    def __post_init__(self) -> None:
        least = {"parallel": 1, "retries": 0, "failures": 1, "max_bytes": 1}
        for name in (*least, "connect", "read", "total", "pause", "longest_pause"):
            value = getattr(self, name)
            right = value >= least[name] if name in least else 0 < value < float("inf")
            if not right or (name == "parallel" and value > MAX_PARALLEL):
                laws = f"1 to {MAX_PARALLEL} requests at once, 0 or more retries, and all else above 0"
                raise ConfigError(f"{name} of a download is {value}, but it has {laws}")


class FinalError(DownloadError):
    """What ends a whole download: no other tile would do better."""


class PassingError(Exception):
    """What may pass: the message says what failed, `wait` for how many seconds the server wants to be left alone."""

    def __init__(self, message: str, wait: float = 0.0) -> None:
        super().__init__(message)
        self.wait = wait


class Server:
    """Tiles of one address, for any number of threads at once; close it."""

    def __init__(self, address: Address, network: Network) -> None:
        """Connect to nothing yet.

        Raises:
            ConfigError: the provider prohibits it, the package urllib3 is not installed, or the proxy is none.
        """
        terms.check(address.host, address.name)
        self.name = address.name
        self._address, self._network = address, network
        self._pool = pool(network)
        self._closed = Signal()
        self._silent_until = 0.0
        self._why = ""

    def fetch(self, tile: mercantile.Tile) -> bytes:
        """The picture of a tile; no bytes where the server has none.

        Raises:
            DownloadError: it does not send one; or the server was closed meanwhile.
            ConfigError: it sends us to a provider that prohibits it.
        """
        network, url = self._network, self._address.of(tile)
        for attempt in range(network.retries + 1):
            self._wait(self._silent_until - monotonic())
            try:
                return self._picture(url)
            except PassingError as error:
                failure = error
            if failure.wait > network.longest_pause:
                found = f"{failure} and asks to be left alone for {failure.wait:.0f} s"
                self._end(told(url, found, "go on later"))
                raise FinalError(self._why)
            if failure.wait:
                self._silent_until = max(self._silent_until, monotonic() + failure.wait)
            elif attempt < network.retries:
                self._wait(network.pause * 2**attempt)
        raise DownloadError(told(url, f"{failure} ({network.retries + 1} attempts)", "try again later"))

    def close(self) -> None:
        """End all waiting; requests that are under way come to nothing."""
        self._end(f"{self.name}: the download was ended; go on later")
        self._pool.clear()

    def _end(self, why: str) -> None:
        """Make no further request; all threads tell why."""
        self._why = self._why or why
        self._closed.set()

    def _wait(self, seconds: float) -> None:
        if self._closed.wait(max(seconds, 0.0)):
            raise FinalError(self._why)

    def _picture(self, url: str) -> bytes:
        from urllib3.exceptions import HTTPError, LocationValueError, SSLError

        asked, deadline = url, monotonic() + self._network.total
        for _ in range(MAX_REDIRECTS + 1):
            try:
                response = self._pool.request("GET", url, redirect=False, retries=False, preload_content=False)
                try:
                    location = response.get_redirect_location()
                    body = b"" if location else self._body(response, asked, deadline)
                finally:
                    response.close()
            except (LocationValueError, UnicodeError) as error:
                raise FinalError(told(asked, f"is no URL ({error})", "correct it")) from error
            except SSLError as error:
                raise FinalError(told(asked, f"cannot be trusted ({reason(error)})", "check the host")) from error
            except (HTTPError, OSError) as error:
                if isinstance(error, DownloadError):
                    raise
                raise PassingError(f"is not answered ({reason(error)})") from error
            if not location:
                return self._judged(response, body, asked)
            url = joined(url, location)
            terms.check(host_of(url), self.name)
            if not re.match("https?://", url, re.IGNORECASE):
                raise FinalError(told(asked, f"redirects to {url}", "only http and https are followed"))
        raise DownloadError(told(asked, f"redirects more than {MAX_REDIRECTS} times", "open it in a browser"))

    def _body(self, response: "BaseHTTPResponse", url: str, deadline: float) -> bytes:
        """What a server sends, as it sends it."""
        body, limit = bytearray(), self._network.max_bytes
        length = response.headers.get("content-length", "")
        announced = float(length) if re.fullmatch("[0-9]+", length) else 0.0
        while chunk := response.read1(CHUNK, decode_content=False):
            body += chunk
            if len(body) > limit or announced > limit:
                raise DownloadError(told(url, f"sends more than {limit} bytes", "no tile is that large; check the URL"))
            if monotonic() > deadline:
                raise PassingError(f"was not sent whole in {self._network.total:g} s")
        return bytes(body)

    def _judged(self, response: "BaseHTTPResponse", body: bytes, url: str) -> bytes:
        """The body of an answer, if it is a picture."""
        answer = f"answers {response.status} {response.reason or ''}".strip()
        kind = response.headers.get("content-type", "no content type")
        if response.status in ABSENT:
            return b""
        if response.status in PASSING:
            raise PassingError(answer, _retry_after(response))
        if response.status != 200:
            remedy = "check key and terms of use" if response.status in (401, 402, 403) else "check the URL"
            raise DownloadError(told(url, f"{answer} and {excerpt(body)}", remedy))
        try:
            if driver_of(unpacked(body, masked(url))) is None:
                found = f"a picture is needed, the server sends {excerpt(body)} ({kind})"
                raise DownloadError(told(url, found, "open it in a browser to see what it wants"))
            decoded(body, masked(url))
        except DamagedError as error:
            raise PassingError("sends a picture that is not whole") from error
        except RasterError as error:
            raise DownloadError(str(error)) from error
        return body


def pool(network: Network, accept: str = "image/*,*/*;q=0.5") -> "PoolManager":
    """Connections to whatever server.

    Raises:
        ConfigError: the package urllib3 is not installed, or the proxy is none.
    """
    try:
        import urllib3
    except ImportError as error:
        raise ConfigError("what comes over HTTP needs a package; pip install 'geopix2pix[tiles]'") from error
    settings: dict[str, Any] = {
        "maxsize": network.parallel,
        "timeout": urllib3.Timeout(connect=network.connect, read=network.read),
        "headers": {"User-Agent": f"geopix2pix/{__version__}", "Accept": accept},
    }
    if not network.proxy:
        return urllib3.PoolManager(**settings)
    try:
        auth = urllib3.util.parse_url(network.proxy).auth
        headers = urllib3.make_headers(proxy_basic_auth=auth) if auth else None
        return urllib3.ProxyManager(network.proxy, proxy_headers=headers, **settings)
    except (urllib3.exceptions.HTTPError, ValueError) as error:
        raise ConfigError("the proxy is no URL; give one of the form http://HOST:PORT") from error


def _retry_after(response: "BaseHTTPResponse") -> float:
    """Seconds for which the server wants to be left alone; 0 where it does not say."""
    from urllib3 import Retry
    from urllib3.exceptions import InvalidHeader

    try:
        return Retry().get_retry_after(response) or 0.0
    except InvalidHeader:
        return 0.0


def told(url: str, found: str, remedy: str) -> str:
    """What happened, in one line: a server says what it likes."""
    words = "".join(letter if letter.isprintable() else " " for letter in masked(found))
    return f"{masked(url)}: {words[:MAX_WORDS]}; {remedy}"
