"""Job: a translation that is settled in every detail, and not begun."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import shapely
from shapely import Geometry

from geopix2pix import __version__
from geopix2pix.area import moved
from geopix2pix.damage import Damaged
from geopix2pix.engine import Means
from geopix2pix.gdal import SETTINGS
from geopix2pix.geogrid import GeoGrid
from geopix2pix.grid import Window, WindowGrid
from geopix2pix.manifest import Manifest
from geopix2pix.normalize import Scaling
from geopix2pix.output import TAG, Compression, Driver, OutputSpec, Product
from geopix2pix.products import Kind, spec_of
from geopix2pix.raster import Georeference
from geopix2pix.remote import Source

Averaging = Literal["flips", "shifts"]
"""What is averaged over: a window's mirror images, or its shifts by half the network's stride."""
Deliver = Literal["source", "working"]
"""On which pixels results are delivered if the work was done on others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """What is to be made."""

    map: Path
    classes: Path | None = None
    confidence: Path | None = None
    vector: Path | None = None
    min_area: float = 0.0
    """Square metres; smaller polygons are left out."""
    clean: int = 0
    """Regions of the map with fewer pixels join their neighbours."""
    tiles: Path | None = None
    """An archive, or a folder, for web-map tiles."""
    seam_report: Path | None = None
    preview: Path | None = None
    driver: Driver = "COG"
    compress: Compression = "deflate"
    overwrite: bool = False

    @property
    def rasters(self) -> tuple[tuple[Kind, Path | None], ...]:
        """The rasters that are made, the map first; None for one that only other results are made of."""
        kinds: list[tuple[Kind, Path | None]] = [("map", self.map)]
        if self.classes is not None or self.vector is not None or self.clean:
            kinds.append(("classes", self.classes))
        if self.confidence is not None:
            kinds.append(("confidence", self.confidence))
        return tuple(kinds)

    @property
    def paths(self) -> dict[str, Path]:
        """The path of each result."""
        named = ("map", "classes", "confidence", "vector", "tiles", "seam_report", "preview")
        return {name: path for name in named if (path := getattr(self, name)) is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is to be translated, how, and into which files. Nothing is computed or written for it."""

    source: Source
    model: Path
    digest: str
    """SHA-256 of the model file."""
    manifest: Manifest
    device: str
    threads: int | None
    """None leaves it to the engine."""
    means: Means
    """In what precision it computes, and whether compiled."""
    batch: int | None
    """Windows that are computed at once; None leaves it to the device."""
    average: tuple[Averaging, ...]
    bands: tuple[int, ...]
    expand_colors: bool
    """Whether the only band is shown in the colours of its table."""
    max_pixels: int
    damaged: Damaged
    scaling: Scaling
    identity: Mapping[str, Any]
    """What tells the state of the source from others."""
    georeference: Georeference
    """Of the source."""
    size: tuple[int, int]
    """Columns and rows of the source."""
    ground: GeoGrid | None
    """The pixels of the source; None where its place is not known, and needed for nothing."""
    working: GeoGrid | None
    """The pixels that are worked on; None for those of the source."""
    deliver: Deliver
    extent: Window
    """The part that is worked on, in these pixels."""
    source_extent: Window
    """The same part in pixels of the source."""
    region: Geometry | None
    """What of it is translated, in the CRS of the source; None for all."""
    grid: WindowGrid
    """Windows on the extent; they are those of the whole scene."""
    results: Results

    @property
    def output(self) -> Path:
        return self.results.map

    @property
    def is_resampled(self) -> bool:
        """Whether results are delivered on other pixels than they were computed on."""
        return self.working is not None and self.deliver == "source"

    @property
    def coarseness(self) -> int:
        """How many pixels of the source are certainly as wide and high as two of those that are worked on."""
        if self.working is None or self.ground is None:
            return 0
        scale = ~self.ground.transform * self.working.transform
        return max(2, math.ceil(2 * float(max(abs(scale.a), abs(scale.e)))))

    @property
    def settings(self) -> dict[str, Any]:
        """All that decides the bytes of the results, except the source and the engine; JSON values."""
        settings: dict[str, Any] = {
            "geopix2pix": __version__,
            "model": f"{self.manifest.name} {self.manifest.version}",
            "model_sha256": self.digest,
            "bands": list(self.bands),
            "scaling": self.scaling.to_json(),
            "window": self.grid.window,
            "overlap": self.grid.overlap,
        }
        if self.average:
            settings["average"] = list(self.average)
        if self.damaged == "mask":
            settings["damaged"] = self.damaged
        if self.results.clean:
            settings["clean"] = self.results.clean
        if self.working is not None:
            settings["working_grid"] = self.working.to_json()
            settings["deliver"] = self.deliver
        if self.region is not None:
            settings["extent"] = list(self.extent)
            settings["region_sha256"] = sha256(shapely.to_wkb(shapely.normalize(self.region))).hexdigest()
        return settings

    @property
    def parameters(self) -> dict[str, Any]:
        """As `settings`, with the source."""
        return {"source": dict(self.identity), **self.settings}

    def products(self, engine: Mapping[str, Any], *, computed: bool = True) -> tuple[Product, ...]:
        """The rasters that are computed, or else delivered, given the parameters of the engine; tags hold these."""
        settings = {**self.settings, **engine}
        tags = {f"{TAG}{name.upper()}": _text(value) for name, value in settings.items() if name != "geopix2pix"}
        tags[f"{TAG}VERSION"] = settings["geopix2pix"]
        form = OutputSpec(
            width=self.grid.width,
            height=self.grid.height,
            bands=1,
            dtype="uint8",
            georeference=self._place(self.working, self.extent),
            tags=tags,
            driver=self.results.driver,
            compress=self.results.compress,
        )
        if self.is_resampled and not computed:
            place = self._place(None, self.source_extent)
            form = form.sized(self.source_extent.width, self.source_extent.height, place)
        return tuple(Product(path, spec_of(kind, self.manifest, form)) for kind, path in self.results.rasters)

    def _place(self, grid: GeoGrid | None, extent: Window) -> Georeference:
        if grid is None:
            return moved(self.georeference, extent.col, extent.row)
        return Georeference(crs=grid.crs, transform=grid.transform_of(extent))

    @property
    def delivered(self) -> GeoGrid:
        """The pixels of the results, the first one being theirs; only where the place is known."""
        grid, extent = (self.ground, self.source_extent)
        if self.working is not None and not self.is_resampled:
            grid, extent = self.working, self.extent
        assert grid is not None, "asked for where no place is needed"
        return GeoGrid(crs=grid.crs, transform=grid.transform_of(extent))

    @property
    def raw_bytes(self) -> int:
        """The size of all rasters before they are compressed; maps of classes shrink to a tenth or less."""
        return sum(product.spec.raw_bytes for product in self.products({}, computed=False))

    @property
    def held_bytes(self) -> int:
        """What reading, blending and writing hold at a time, whatever the size of the scene.

        The engine comes on top: its library, the network, and what that computes for one batch.
        """
        values = len(self.manifest.source.names) + self.manifest.generator.out_channels
        reads = 3 * (self.batch or 1) * self.grid.window**2 * 4 * values
        return reads + int(SETTINGS["GDAL_CACHEMAX"])

    def to_json(self) -> dict[str, Any]:
        """What is going to be done, as JSON values: for dry runs and summaries."""
        crs = self.georeference.crs if self.ground is None else self.ground.crs
        return {
            "source": str(self.source),
            "results": {name: str(path) for name, path in self.results.paths.items()},
            "width": self.source_extent.width if self.is_resampled else self.grid.width,
            "height": self.source_extent.height if self.is_resampled else self.grid.height,
            "crs": None if crs is None else crs.to_string(),
            "columns": self.grid.columns,
            "rows": self.grid.rows,
            "windows": self.grid.columns * self.grid.rows,
            "raw_bytes": self.raw_bytes,
            "held_bytes": self.held_bytes,
            **self.settings,
        }


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
