"""What a tile set shall be made of, as a user says it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from geopix2pix.errors import ConfigError
from geopix2pix.geogrid import Bounds
from geopix2pix.tilesets.layers import is_web
from geopix2pix.webtiles.download import Network

Misaligned = Literal["keep", "reject", "shift"]
Origin = Literal["crs", "source"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a tile set shall be made of, as a user says it."""

    sources: tuple[str, ...]
    """Raster files and patterns, or one pyramid of web-map tiles."""
    targets: tuple[str, ...] = ()
    """Likewise; or, instead, `vectors` and `style`."""
    vectors: tuple[Path, ...] = ()
    style: Path | None = None
    layers: Mapping[str, str] | None = None
    """Names of source layers in the style, and those of the layers in the files that are meant."""
    palette: Path | None = None
    """Makes a raster target a map of classes; a style brings its own."""
    knows: tuple[str, ...] = ()
    """The classes that the target can name; all by default, or those that the palette says."""
    tolerance: float | None = None
    region: Path | None = None
    bounds: Bounds | None = None
    """Left, bottom, right and top in the CRS of the grid."""
    footprint: bool = False
    """Whether the outline of the source's valid pixels is the region."""
    crs: str | None = None
    """Of the grid; that of the source by default, unless it is in degrees."""
    resolution: float | None = None
    """Sides of a pixel of the grid in units of its CRS; that of the source by default."""
    origin: Origin = "crs"
    """Where pixel corners lie: at whole multiples of the resolution, or where those of the source do."""
    zoom: int | None = None
    """Of web-map tiles."""
    cache: Path | None = None
    """A folder that keeps downloaded tiles; without it they are kept only while the set is built."""
    parallel: int = 4
    """Requests to a server at once."""
    proxy: str = ""
    attributions: tuple[str, ...] = ()
    bands: tuple[int, ...] | None = None
    """Of the source, 1-based."""
    size: int = 256
    overlap: int = 0
    coverage: float = 0.5
    """Least share of a tile's pixels that must be known on both sides and lie inside the region."""
    misaligned: Misaligned = "keep"
    max_offset: float = 2.0
    """Pixels beyond which a pair counts as misaligned."""

    @property
    def network(self) -> Network:
        return Network(parallel=self.parallel, proxy=self.proxy)

    def __post_init__(self) -> None:
        for field, right, expected in _laws(self):
            if not right:
                raise ConfigError(f"{field} is {getattr(self, field)!r}, but must be {expected}")


def _laws(r: Request) -> list[tuple[str, bool, str]]:
    either = bool(r.targets) != bool(r.vectors)
    return [
        ("sources", bool(r.sources), "at least one raster or one pyramid of web-map tiles"),
        ("targets", either, "given if and only if no vectors are; a set has one kind of target"),
        ("style", bool(r.style) == bool(r.vectors), "given if and only if vectors are"),
        ("palette", not (r.palette and r.vectors), "absent where a style draws the map, which brings its own"),
        ("size", 16 <= r.size <= 4096, "16 to 4096 pixels"),
        ("overlap", 0 <= r.overlap < r.size, "0 to below the size"),
        ("coverage", 0 < r.coverage <= 1, "a share above 0, at most 1"),
        ("resolution", r.resolution is None or 0 < r.resolution < math.inf, "above 0"),
        ("tolerance", r.tolerance is None or 0 <= r.tolerance <= 442, "0 to 442 levels of RGB"),
        (
            "region",
            bool(r.region) + bool(r.bounds) + r.footprint <= 1,
            "absent where bounds or footprint are given",
        ),
        ("footprint", not (r.footprint and any(map(is_web, r.sources))), "for raster files alone"),
        ("max_offset", 0 < r.max_offset < 16, "above 0 and below 16 pixels, which is how far offsets are sought"),
    ]
