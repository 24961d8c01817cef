"""Inventory: the scenes that folders, patterns, lists and STAC documents mean, each with a name for its results."""

import glob
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from geopix2pix.errors import ConfigError, RasterError, SceneError
from geopix2pix.stac import asset_address, stac_items

ENDINGS = (".tif", ".tiff", ".jp2", ".jpg", ".jpeg", ".png", ".webp", ".img")
"""What counts in a folder. Mosaics (.vrt) do not: they show files that are mostly there too."""
STAC_ENDINGS = (".json", ".geojson")
"""A STAC document; no raster that we open ends so."""
LIST = "@"
"""What begins the name of a text file that names one source a line."""
MAX_LIST_BYTES = 2**24
MAX_SCENES = 100_000
MAX_NAME = 100  # characters; file systems allow 255 bytes, and the folder of the parts adds some
REMOTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|/vsi")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A scene that was found."""

    source: str
    """A path, or the address of a scene that is not on this machine."""
    name: str
    """What its results are called, without an ending; no other entry has it, whatever the case of letters."""
    item: Mapping[str, Any] | None = None
    """The STAC item that it was found in."""
    refused: str | None = None
    """Why that item cannot be used."""


def is_many(source: str | Path) -> bool:
    """Whether a word of the user may mean more than one scene."""
    text = str(source)
    if text.startswith(LIST) or text.lower().endswith(STAC_ENDINGS):
        return True
    return not is_remote(text) and (Path(text).is_dir() or (glob.has_magic(text) and not Path(text).exists()))


def is_remote(text: str) -> bool:
    """Whether it is the address of something that is not on this machine."""
    return REMOTE.match(text) is not None


def inventory(sources: Sequence[str | Path], *, asset: str | None = None, without: Path | None = None) -> list[Entry]:
    """The scenes that some words of a user mean, each once: first those of the first word, sorted within it.

    A word is a raster, its address, a folder (with all below it), a pattern, a STAC item, item collection or collection
    (.json), or `@` and a text file with one such word a line. `asset` is the key or role of the assets to take.
    What lies in the folder `without`, where the results go, does not count.

    Raises:
        RasterError: a folder, pattern or list means nothing, or a list or document cannot be read.
        ConfigError: there are more than `MAX_SCENES`.
    """
    found: dict[str, Entry] = {}
    for source in sources:
        for entry in _meant(str(source), asset, without, is_listed=False):
            found.setdefault(_identity(entry), entry)
            if len(found) > MAX_SCENES:
                raise ConfigError(f"{source}: there are more than {MAX_SCENES} scenes; divide them")
    return _distinct(list(found.values()))


def side_by_side(sources: Sequence[str | Path], result: Path, *, asset: str | None = None) -> list[Path]:
    """The files that are to make one scene together, for `write_mosaic`.

    `sources` are words as for `inventory`; `result`, which will be made of the scene, does not count.

    Raises:
        As `inventory`.
        SceneError: a source lies on a server, or cannot be used, or there is none.
    """
    files = []
    for entry in inventory(sources, asset=asset):
        if entry.refused is not None:
            raise SceneError(entry.refused)
        if is_remote(entry.source):
            raise SceneError(f"{entry.source}: a mosaic is made of files on this machine; copy it here first")
        if not (result.exists() and Path(entry.source).exists() and result.samefile(entry.source)):
            files.append(Path(entry.source))
    if not files:
        raise SceneError(f"{result}: a mosaic is made of files, found none but the result itself; name them")
    return files


def _meant(text: str, asset: str | None, without: Path | None, *, is_listed: bool) -> Iterator[Entry]:
    if text.startswith(LIST):
        if is_listed:
            raise RasterError(f"{text}: is a list in a list; put the names of the scenes into one")
        for line in _lines(Path(text.removeprefix(LIST))):
            yield from _meant(line, asset, without, is_listed=True)
    elif is_remote(text):
        yield Entry(source=text, name=_plain(_stem(re.split(r"[?#]", text)[0])))
    elif text.lower().endswith(STAC_ENDINGS):
        for item in stac_items(Path(text)):
            try:
                source, refused = asset_address(item, asset), None
            except SceneError as error:
                source, refused = item.where, str(error)
            yield Entry(source=source, name=_plain(item.id), item=item.document, refused=refused)
    elif Path(text).is_dir():
        yield from _in_folder(Path(text), without)
    else:
        yield from (Entry(source=name, name=_plain(_stem(name))) for name in _matches(text, without))


def _lines(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_LIST_BYTES + 1)
        lines = [line.strip() for line in content.decode("utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise RasterError(
            f"{path}: a list of scenes is needed, one a line, in UTF-8; cannot be read: {error}"
        ) from error
    if len(content) > MAX_LIST_BYTES:
        raise RasterError(f"{path}: a list of up to {MAX_LIST_BYTES} bytes is needed, found a larger file; divide it")
    if strange := next((line for line in lines if not line.isprintable()), None):
        raise RasterError(f"{path}: a list of scenes is needed, one a line, found {strange[:50]!r}; is it a text file?")
    named = [line for line in lines if line and not line.startswith("#")]
    if not named:
        raise RasterError(f"{path}: names no scene; give it one a line")
    return named


def _in_folder(folder: Path, without: Path | None) -> Iterator[Entry]:
    """The rasters in a folder and those below it, by name; hidden ones do not count."""
    own = None if without is None else without.resolve()
    empty = True
    for place, folders, files in os.walk(folder):
        here = Path(place)
        folders[:] = sorted(f for f in folders if not f.startswith(".") and (here / f).resolve() != own)
        for name in sorted(files):
            if name.lower().endswith(ENDINGS) and not name.startswith("."):
                empty = False
                inner = (here / name).relative_to(folder).with_suffix("")
                yield Entry(source=str(here / name), name=_plain("-".join(inner.parts)))
    if empty:
        raise RasterError(f"{folder}: a folder of rasters is needed, found none that end in {', '.join(ENDINGS)}")


def _matches(text: str, without: Path | None) -> list[str]:
    if not glob.has_magic(text) or Path(text).exists():
        return [text]  # whether it is there is found out when its turn comes
    found = sorted(glob.glob(text, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute ones
    if not found:
        raise RasterError(f"{text}: matches no file; check the pattern, and quote it so that the shell leaves it")
    own = None if without is None else without.resolve()
    return [name for name in found if Path(name).is_file() and own not in Path(name).resolve().parents]


def _identity(entry: Entry) -> str:
    return entry.source if entry.refused or is_remote(entry.source) else os.path.abspath(entry.source)  # noqa: PTH100 - takes .. away, too


def _stem(path: str) -> str:
    return re.split(r"[/\\]" if os.name == "nt" else "/", path.rstrip("/"))[-1].rpartition(".")[0] or Path(path).name


def _plain(text: str) -> str:
    """A name that any file system takes: letters and digits of any language, with dots and dashes in between."""
    return re.sub(r"[^\w.-]+", "-", text).strip("-.")[:MAX_NAME] or "scene"


def _distinct(entries: list[Entry]) -> list[Entry]:
    """The same with names of their own: where some share one, the folder in front of it, and if need be a checksum."""
    for renamed in (_with_folder, _with_checksum):
        counts = Counter(entry.name.casefold() for entry in entries)
        entries = [renamed(entry) if counts[entry.name.casefold()] > 1 else entry for entry in entries]
    return entries


def _with_folder(entry: Entry) -> Entry:
    folder = re.split(r"[/\\]", entry.source)[-2:-1]
    return replace(entry, name=_plain("-".join([*folder, entry.name])))


def _with_checksum(entry: Entry) -> Entry:
    mark = sha256(_identity(entry).encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return replace(entry, name=f"{entry.name}-{mark}")
