"""What providers of web-map tiles say of downloading them, as far as it is known; docs/web-tiles.md has the sources."""

from functools import lru_cache
from warnings import warn

from geopix2pix.errors import ConfigError, TileSetWarning
from geopix2pix.webtiles.addresses import Address

REFUSED = {
    "tile.openstreetmap.org": "the servers of OpenStreetMap run on donations, and their policy prohibits downloading "
    "tiles in advance (operations.osmfoundation.org/policies/tiles); draw its data with --vectors and --style, or use "
    "a provider that allows it"
}
"""Hosts whose tiles are not fetched, and what to do instead: their rule has no exception that a user could have."""

_GOOGLE = "Google's terms forbid bulk downloads, offline use and machine interpretation of its tiles"
_MICROSOFT = "Microsoft's terms forbid to copy, store or archive the content of Bing Maps"
_MAPBOX = "Mapbox's terms forbid to derive data from its tiles"
_ESRI = "Esri's terms forbid to scrape, download or store its basemaps outside its own products"
FORBIDDING = {
    "google.com": _GOOGLE,
    "maps.googleapis.com": _GOOGLE,
    "tile.googleapis.com": _GOOGLE,
    "virtualearth.net": _MICROSOFT,
    "bing.com": _MICROSOFT,
    "mapbox.com": _MAPBOX,
    "arcgisonline.com": _ESRI,
    "basemaps.arcgis.com": _ESRI,
    "maptiles.arcgis.com": _ESRI,
    "tiledbasemaps.arcgis.com": _ESRI,
}
"""Hosts whose tiles need an agreement with their provider for what we do with them."""


def check(host: str, name: str) -> None:
    """Nothing, if tiles may be fetched from a host at all; `name` is what messages call the address.

    Raises:
        ConfigError: its provider prohibits it; the message says what to do instead.
    """
    if (rule := _rule(host, REFUSED)) is not None:
        raise ConfigError(f"{name}: tiles are not fetched from {host}: {rule}")


@lru_cache
def remind(address: Address, attribution: str) -> None:
    """Tell, once in a process, what a user should know who downloads tiles: a TileSetWarning."""
    rule = _rule(address.host, FORBIDDING)
    known = (
        f"{rule}: go on only if you have an agreement that allows it"
        if rule
        else ("check its terms of use, since many providers forbid bulk downloads or training on their tiles")
    )
    credit = "its attribution is recorded" if attribution else "give --attribution to record whom to name"
    told = f"{address.name}: you are downloading from {address.host}; {known}; {credit}"
    warn(told, TileSetWarning, stacklevel=3)


def _rule(host: str, rules: dict[str, str]) -> str | None:
    """The rule for a host or for a domain that it belongs to."""
    return next((rule for domain, rule in rules.items() if host == domain or host.endswith(f".{domain}")), None)
