"""Models from elsewhere, fetched once, checked and kept on a shelf."""

import hashlib
import json
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from geopix2pix.errors import ConfigError, DownloadError, ModelFileError, OutputError
from geopix2pix.files import replacing
from geopix2pix.gdal import reason
from geopix2pix.model import MAX_GRAPH, ModelFile
from geopix2pix.modelorigin import HUGGING_FACE, SHA256, Origin, opened
from geopix2pix.progress import Event, Progress, silent
from geopix2pix.webtiles.addresses import masked
from geopix2pix.webtiles.download import Network, told

RECORD = "origin.json"
NETWORK = Network(total=3600.0, max_bytes=MAX_GRAPH)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A model on a shelf."""

    address: str
    path: Path
    sha256: str


def kept(shelf: Path) -> list[Kept]:
    """All models on the shelf, by address."""
    return sorted((found for path in shelf.glob(f"*/{RECORD}") if (found := _record(path))), key=lambda k: k.address)


def on_shelf(address: str, shelf: Path) -> Path:
    """The file of a model that was pulled before.

    Raises:
        ConfigError: the address is none.
        ModelFileError: it is not there, or is no longer what was pulled.
    """
    found = _record(shelf / Origin.of(address).folder / RECORD)
    if found is None:
        raise ModelFileError(
            f"{masked(address)}: is not here yet; fetch it with: geopix2pix model pull {masked(address)}"
        )
    if ModelFile.load(found.path).digest != found.sha256:
        raise ModelFileError(f"{found.path}: is no longer the file that was pulled; pull it again with --overwrite")
    return found.path


def pull(
    address: str,
    shelf: Path,
    *,
    sha256: str | None = None,
    overwrite: bool = False,
    network: Network = NETWORK,
    hub: str = HUGGING_FACE,
    progress: Progress = silent,
) -> Path:
    """The model at an address, as a file on the shelf; what is there is not fetched again, but a file is read anew.

    The file must have the digest `sha256`, where it is given, and the one that Hugging Face tells. Without encryption
    nothing is fetched whose digest is not known.

    Raises:
        ConfigError: the address or the digest is none, or urllib3 is not installed.
        DownloadError: it is not sent, not whole, too large, or has another digest.
        ModelFileError: what is sent is no model of ours.
        OutputError: the shelf cannot be written.
        Cancelled: `progress` asked to stop.
    """
    origin = Origin.of(address, hub)
    if sha256 is not None and not SHA256.fullmatch(sha256 := sha256.lower()):
        raise ConfigError(f"sha256: {sha256!r} is no digest; 64 hexadecimal digits are needed")
    here = _record(shelf / origin.folder / RECORD)
    if origin.url and here and not overwrite and here.path.is_file() and sha256 in (None, here.sha256):
        return on_shelf(address, shelf)
    if address.startswith("http://") and sha256 is None:
        raise ConfigError(
            f"{masked(address)}: is not encrypted, so that anybody may change it; give its --sha256, or https"
        )
    folder = shelf / origin.folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / origin.name) as temporary:
            digest = _fetch(origin, temporary, sha256, network, progress)
        record = {"address": masked(address), "file": origin.name, "sha256": digest}
        with replacing(folder / RECORD) as temporary:
            temporary.write_text(json.dumps(record) + "\n", encoding="utf-8")
    except DownloadError:
        raise
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({reason(error)}); choose another --shelf") from error
    return folder / origin.name


def _record(path: Path) -> Kept | None:
    """What the record of a pulled model says; None where there is none that can be read."""
    try:
        data: Any = json.loads(path.read_text(encoding="utf-8"))
        return Kept(address=data["address"], path=path.parent / Path(data["file"]).name, sha256=data["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _fetch(origin: Origin, file: Path, sha256: str | None, network: Network, progress: Progress) -> str:
    """Write the model to `file`; its digest. Only a file with the right one is looked into."""
    found, done = hashlib.sha256(), 0
    with opened(origin, network) as sent, file.open("wb") as output:
        for part in chain((b"",), sent.parts):
            done += len(part)
            if max(done, sent.size) > network.max_bytes:
                too_large = f"has more than {network.max_bytes} bytes"
                raise DownloadError(told(origin.address, too_large, "no model of ours is that large"))
            found.update(part)
            output.write(part)
            progress(Event("download", done, sent.size, "bytes"))
    if wrong := {sha256, sent.sha256} - {None, found.hexdigest()}:
        raise DownloadError(
            f"{masked(origin.address)}: has the SHA-256 {found.hexdigest()}, expected {wrong.pop()}; do not use it "
            "before its owner has told why"
        )
    try:
        return ModelFile.load(file).digest
    except ModelFileError as error:
        raise ModelFileError(str(error).replace(str(file), masked(origin.address))) from error
