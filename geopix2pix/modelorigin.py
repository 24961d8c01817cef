"""Where models come from: Hugging Face, another server, or a file, each read in parts."""

import hashlib
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from geopix2pix.errors import ConfigError, DownloadError, ModelFileError
from geopix2pix.gdal import reason
from geopix2pix.redirects import is_safe, joined
from geopix2pix.webtiles.addresses import masked
from geopix2pix.webtiles.download import Network, pool, told

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

SUFFIXES = (".safetensors", ".onnx")
HUGGING_FACE = "https://huggingface.co"
MAX_REDIRECTS = 5  # Hugging Face takes two
CHUNK = 2**18  # bytes
SHA256 = re.compile("[0-9a-f]{64}")
_ON_HUB = re.compile(r"hf:(?P<repo>[\w-][\w.-]*/[\w-][\w.-]*)(?:@(?P<revision>[\w.-]+))?(?:/(?P<file>[\w./-]+))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a model comes from."""

    address: str
    """As it was given."""
    url: str | None
    """None for a file."""
    name: str
    """Of the file."""

    @classmethod
    def of(cls, address: str, hub: str = HUGGING_FACE) -> "Origin":
        """The origin with the address `hf:OWNER/NAME[@REVISION][/FILE]`, an https or http URL, or the path of a file.

        Raises:
            ConfigError: it is none of them, or names a file of another kind than models.
        """
        if address.startswith("hf:"):
            parts = _ON_HUB.fullmatch(address)
            file = (parts["file"] if parts else None) or "model.safetensors"
            if parts is None or ".." in file.split("/"):
                raise ConfigError(f"{address}: is no model on Hugging Face; write hf:OWNER/NAME or hf:OWNER/NAME/FILE")
            url = f"{hub}/{parts['repo']}/resolve/{parts['revision'] or 'main'}/{file}"
        elif "://" in address:
            url = address
            if re.match("[a-z]+://[^/?#]*@", url):
                raise ConfigError("the URL of a model holds a user name; logins are not supported: fetch it by hand")
            if not re.match("https?://", url):
                raise ConfigError(
                    f"{masked(url)}: models come from https://, hf:OWNER/NAME or a path; give one of these"
                )
        else:
            url = None
        path = (url or address).partition("?")[0] if url else address
        name = Path(path).name
        if Path(name).suffix.lower() not in SUFFIXES:
            raise ConfigError(
                f"{masked(address)}: names no file of a model; only {' and '.join(SUFFIXES)} are taken, since other "
                "kinds may hold code"
            )
        return cls(address=address, url=url, name=name)

    @property
    def folder(self) -> str:
        """Its folder on a shelf."""
        words = re.sub("[^A-Za-z0-9.]+", "-", masked(self.address)).strip("-.")[:60]
        return f"{words}-{hashlib.sha256(self.address.encode()).hexdigest()[:8]}"


class Sent(NamedTuple):
    """A file while it is read."""

    parts: Iterator[bytes]
    size: int
    """Bytes that are announced; 0 where nothing is."""
    sha256: str | None
    """The digest that Hugging Face tells of a large file."""


@contextmanager
def opened(origin: Origin, network: Network) -> Iterator[Sent]:
    """The file at an origin, for as long as the context lasts.

    Raises:
        ModelFileError: there is no such file.
        DownloadError: the server cannot be reached, does not send it, or takes too long.
        ConfigError: urllib3 is not installed, or the proxy is no URL.
    """
    if origin.url is not None:
        yield from _answered(origin, origin.url, network)
        return
    path = Path(origin.address)
    if not path.is_file():
        raise ModelFileError(f"{path}: is no file; give the path of a model, hf:OWNER/NAME or an https URL")
    try:
        file = path.open("rb")
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({reason(error)}); check the file") from error
    with file:
        yield Sent(iter(lambda: file.read(CHUNK), b""), path.stat().st_size, None)


def _answered(origin: Origin, url: str, network: Network) -> Iterator[Sent]:
    """What a server sends, once it has redirected us; never from an encrypted address to one that is not."""
    from urllib3.exceptions import HTTPError

    connections, promised = pool(network, "application/octet-stream,*/*;q=0.5"), None
    try:
        for _ in range(MAX_REDIRECTS + 1):
            response = connections.request("GET", url, redirect=False, retries=False, preload_content=False)
            with closing(response):
                linked = response.headers.get("x-linked-etag", "").strip('W/"').lower()
                promised = promised or (linked if SHA256.fullmatch(linked) else None)
                location = response.get_redirect_location()
                if not location:
                    yield _sent(origin, response, promised, monotonic() + network.total)
                    return
            before, url = url, joined(url, location)
            if not is_safe(before, url):
                raise DownloadError(
                    told(origin.address, f"redirects to {url}", "only encrypted addresses are followed")
                )
    except (HTTPError, UnicodeError) as error:
        remedy = "check address and network; a model that was copied here is used by its path"
        raise DownloadError(told(origin.address, f"cannot be fetched ({reason(error)})", remedy)) from error
    finally:
        connections.clear()
    raise DownloadError(told(origin.address, f"redirects more than {MAX_REDIRECTS} times", "open it in a browser"))


def _sent(origin: Origin, response: "BaseHTTPResponse", promised: str | None, deadline: float) -> Sent:
    if response.status != 200:
        remedy = (
            "it needs a login, which is not supported: fetch it by hand"
            if response.status in (401, 403)
            else ("check the address")
        )
        raise DownloadError(told(origin.address, f"answers {response.status} {response.reason or ''}".strip(), remedy))
    length = response.headers.get("content-length", "")
    size = int(length) if re.fullmatch("[0-9]{1,18}", length) else 0
    return Sent(_parts(origin, response, deadline), size, promised)


def _parts(origin: Origin, response: "BaseHTTPResponse", deadline: float) -> Iterator[bytes]:
    while part := response.read1(CHUNK, decode_content=False):
        if monotonic() > deadline:
            raise DownloadError(told(origin.address, "takes too long", "try again later"))
        yield part
