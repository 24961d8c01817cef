"""Addresses of web-map tiles: a path or a URL with places for zoom, column and row."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from glob import escape, iglob
from pathlib import Path

import mercantile

from geopix2pix.errors import ConfigError

PLACES = ("z", "x", "y", "-y", "ty", "quadkey", "q")
"""What may stand in braces. `-y` and `ty` count rows from the south, as TMS does; `q` is short for `quadkey`."""
SUBDOMAINS = "abc"  # what {s} stands for, as in Leaflet

_PLACE = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"([a-z])-([a-z])|([0-9])-([0-9])")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)")
_SECRET = re.compile(
    r"([?&;](?:[a-z0-9]+[-_.])*"
    r"(?:key|(?:api|app|access|auth)key|token|accesstoken|auth|authorization|secret|pass|password|passwd|pwd|sig|"
    r"signature|session|sessionid|credentials?|appid|appcode|app_id|app_code|client_id|connectid|connect_id|tk|ak)=)"
    r"[^&;#\s'\"]+",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Address:
    """Where the picture of each tile of a web map lies."""

    text: str
    """The template. It may hold a secret: show `name`."""

    @classmethod
    def parse(cls, text: str) -> "Address":
        """The address in a template such as `maps/{z}/{x}/{y}.png`; a leading `xyz:` is dropped.

        Raises:
            ConfigError: zoom, column or row have no place in it, something else has, or nothing is fetched from there.
        """
        text = text.removeprefix("xyz:")
        scheme = _SCHEME.match(text)
        address = cls(text if scheme else Path(text).as_posix())
        if scheme and scheme[1].lower() not in ("http", "https"):
            raise ConfigError(f"{address.name}: tiles are fetched over http and https alone; give such a URL")
        if scheme and ("@" in scheme[2] or not address.host):
            found = "a user name" if "@" in scheme[2] else "no host"
            raise ConfigError(f"tile URL with {found}: give a URL of the form https://HOST/{{z}}/{{x}}/{{y}}.png")
        places = set(_PLACE.findall(text))
        unknown = sorted(p for p in places - set(PLACES) if not (scheme and _choices(p)))
        if unknown:
            known = ", ".join(f"{{{place}}}" for place in (*PLACES, *(("s", "a-c") if scheme else ())))
            raise ConfigError(f"{address.name}: {{{unknown[0]}}} has no meaning in a tile template; use {known}")
        needed = (("{z}", {"z"}), ("{x}", {"x"}), ("{y} (or {-y} for TMS rows)", {"y", "-y", "ty"}))
        missing = [what for what, any_of in needed if not places & any_of]
        if missing and not places & {"quadkey", "q"}:
            example = "write it like maps/{z}/{x}/{y}.png"
            raise ConfigError(f"{address.name}: a tile template needs {' and '.join(missing)}; {example}")
        return address

    @property
    def is_remote(self) -> bool:
        return _SCHEME.match(self.text) is not None

    @property
    def host(self) -> str:
        """The server's name in lower case, without the places for sub-domains; "" for a folder."""
        return host_of(_PLACE.sub("", self.text)).lstrip(".")

    @property
    def name(self) -> str:
        """What messages call it: the template with the values of keys and tokens masked."""
        return masked(self.text)

    @property
    def label(self) -> str:
        """What results call it: as `name`, but for a folder without the folders around it."""
        if self.is_remote:
            return self.name
        head = self.text.partition("{")[0]
        return self.text[len(head.rpartition("/")[0].rpartition("/")[0]) :].lstrip("/")

    def of(self, tile: mercantile.Tile) -> str:
        """The path or URL of a tile. Tiles take turns among sub-domains."""
        flipped, key = 2**tile.z - 1 - tile.y, mercantile.quadkey(tile)
        values = {"z": tile.z, "x": tile.x, "y": tile.y, "-y": flipped, "ty": flipped, "quadkey": key, "q": key}

        def value(place: re.Match[str]) -> str:
            choices = "" if place[1] in values else _choices(place[1])
            return choices[(tile.x + tile.y) % len(choices)] if choices else str(values[place[1]])

        return _PLACE.sub(value, self.text)

    def files(self, zoom: int) -> Iterator[mercantile.Tile]:
        """The tiles of a zoom level that lie in a folder, in no order."""
        literals, places = _PLACE.split(self.text)[::2], _PLACE.findall(self.text)
        key = "[0-3]" * zoom
        pattern, expression = escape(literals[0]), re.escape(literals[0])
        for place, literal in zip(places, literals[1:], strict=True):
            glob, numbers = {"z": (str(zoom),) * 2, "q": (key,) * 2, "quadkey": (key,) * 2}.get(place, ("*", "[0-9]+"))
            pattern, expression = pattern + glob + escape(literal), f"{expression}({numbers}){re.escape(literal)}"
        for path in iglob(pattern):  # noqa: PTH207 - the pattern may be absolute
            path = Path(path).as_posix()
            if found := re.fullmatch(expression, path):
                tile = _tile(zoom, dict(zip(places, found.groups(), strict=True)))
                if tile and self.of(tile) == path:
                    yield tile


def _tile(zoom: int, found: dict[str, str]) -> mercantile.Tile | None:
    """The tile whose path has these texts at its places; None where there is no such tile."""
    key = found.get("quadkey", found.get("q"))
    if key is not None:
        return mercantile.quadkey_to_tile(key)
    column, last = int(found["x"]), 2**zoom - 1
    row = int(found["y"]) if "y" in found else last - int(found.get("-y", found.get("ty", "")))
    return mercantile.Tile(column, row, zoom) if column <= last and 0 <= row <= last else None


def masked(text: str) -> str:
    """A text in which the values of keys, tokens and the like in the query strings of URLs are replaced by `***`."""
    return _SECRET.sub(r"\1***", text)


def host_of(url: str) -> str:
    """The server's name in a URL in lower case, without its port; "" where there is none."""
    scheme = _SCHEME.match(url)
    authority = scheme[2].rpartition("@")[2].lower() if scheme else ""
    return re.sub(r":\d*$", "", authority).rstrip(".")


def _choices(place: str) -> str:
    """The letters or digits that a place for a sub-domain stands for, such as `s` or `a-c`; "" for any other place."""
    if place == "s":
        return SUBDOMAINS
    ends = _RANGE.fullmatch(place)
    first, last = (end for end in ends.groups() if end) if ends else ("b", "a")
    return "".join(chr(code) for code in range(ord(first), ord(last) + 1))
