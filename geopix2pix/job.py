"""Job: a translation that is settled in every detail, and not begun."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import shapely
from affine import Affine
from shapely import Geometry

from geopix2pix import __version__
from geopix2pix.area import area_of_interest, moved, window_around
from geopix2pix.engine import EngineName, check_engine, package_model
from geopix2pix.errors import ConfigError, OutputError, RasterError
from geopix2pix.gdal import MAX_PIXELS, SETTINGS
from geopix2pix.geogrid import GeoGrid
from geopix2pix.grid import Window, WindowGrid, alignment
from geopix2pix.manifest import Manifest
from geopix2pix.model import ModelFile
from geopix2pix.normalize import Scaling
from geopix2pix.output import Compression, Driver, Product, check_target
from geopix2pix.products import Kind, check_kind, spec_of
from geopix2pix.raster import IDENTITY, Georeference, RasterReader
from geopix2pix.scene import SceneScaling, open_scene, scene_scaling, warn_of_doubts

DRIVERS: Mapping[str, Driver] = {"cog": "COG", "gtiff": "GTiff"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is to be translated, how, and into which files. Nothing is computed or written for it."""

    source: Path
    model: Path
    digest: str
    """SHA-256 of the model file."""
    manifest: Manifest
    device: str
    threads: int | None
    """None leaves it to the engine."""
    batch: int | None
    """Windows that are computed at once; None leaves it to the device."""
    bands: tuple[int, ...]
    expand_colors: bool
    """Whether the only band is shown in the colours of its table."""
    max_pixels: int
    scaling: Scaling
    identity: Mapping[str, Any]
    """What tells the state of the source from others."""
    georeference: Georeference
    """Of the source."""
    extent: Window
    """The part of the source that the results show."""
    ground: Affine
    """From (column, row) of the source to (x, y), through its control points if need be; the identity if unknown."""
    region: Geometry | None
    """What of it is translated, in the CRS of the source; None for all."""
    grid: WindowGrid
    """Windows on the extent; they are those of the whole source."""
    outputs: tuple[tuple[Kind, Path], ...]
    """What is made, the map first."""
    driver: Driver
    compress: Compression
    seam_report: Path | None
    preview: Path | None
    overwrite: bool

    @property
    def output(self) -> Path:
        return self.outputs[0][1]

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
        if self.region is not None:
            settings["extent"] = list(self.extent)
            settings["region_sha256"] = sha256(shapely.to_wkb(shapely.normalize(self.region))).hexdigest()
        return settings

    def products(self, engine: Mapping[str, Any]) -> tuple[Product, ...]:
        """The rasters that are written, given the parameters of the engine; their tags tell how they were made."""
        settings = {**self.settings, **engine}
        tags = {f"GEOPIX2PIX_{name.upper()}": _text(value) for name, value in settings.items() if name != "geopix2pix"}
        tags["GEOPIX2PIX_VERSION"] = settings["geopix2pix"]
        place = moved(self.georeference, self.extent.col, self.extent.row)
        size = self.grid.width, self.grid.height
        return tuple(
            Product(path, spec_of(kind, self.manifest, size, place, tags, self.driver, self.compress))
            for kind, path in self.outputs
        )

    @property
    def parameters(self) -> dict[str, Any]:
        """As `settings`, with the source."""
        return {"source": dict(self.identity), **self.settings}

    @property
    def raw_bytes(self) -> int:
        """The size of all results before they are compressed; maps of classes shrink to a tenth or less."""
        return sum(product.spec.raw_bytes for product in self.products({}))

    @property
    def held_bytes(self) -> int:
        """What reading, blending and writing hold at a time, whatever the height of the scene.

        The engine comes on top: its library, the network, and what that computes for one batch.
        """
        grid, channels = self.grid, self.manifest.generator.out_channels
        band = 2 * 4 * channels * grid.feather * grid.width  # float32, with the copy that is being stored
        reads = 3 * (self.batch or 1) * grid.window**2 * 4 * (len(self.bands) + channels)
        return int(band + reads + int(str(SETTINGS["GDAL_CACHEMAX"])))

    def to_json(self) -> dict[str, Any]:
        """What is going to be done, as JSON values: for dry runs and summaries."""
        return {
            "source": str(self.source),
            "outputs": {kind: str(path) for kind, path in self.outputs},
            "width": self.grid.width,
            "height": self.grid.height,
            "crs": None if self.georeference.crs is None else self.georeference.crs.to_string(),
            "columns": self.grid.columns,
            "rows": self.grid.rows,
            "windows": self.grid.columns * self.grid.rows,
            "raw_bytes": self.raw_bytes,
            "held_bytes": self.held_bytes,
            **self.settings,
        }


def planned(
    source: str | Path,
    output: str | Path,
    *,
    model: str | Path | None = None,
    engine: EngineName | None = None,
    device: str = "auto",
    threads: int | None = None,
    batch: int | None = None,
    window: int | None = None,
    overlap: int | None = None,
    bands: Sequence[int] | None = None,
    scaling: SceneScaling = "model",
    region: str | Path | None = None,
    bounds: Sequence[float] | None = None,
    bounds_crs: str | None = None,
    classes: str | Path | None = None,
    confidence: str | Path | None = None,
    form: str = "cog",
    compress: Compression = "deflate",
    max_pixels: int = MAX_PIXELS,
    seam_report: str | Path | None = None,
    preview: str | Path | None = None,
    overwrite: bool = False,
) -> Job:
    """The job that `translate` would do with the same arguments, which are described there.

    Raises:
        RasterError: the source cannot be opened or read.
        SceneError: the source does not fit the model; the message says which argument helps.
        RegionError, VectorError: the region cannot be used.
        ModelFileError: the model file cannot be used.
        ConfigError: an argument is impossible, alone or with the others.
        OutputError: an output exists and `overwrite` is false, or cannot be written.
    """
    source = Path(source)
    model = package_model(engine) if model is None else Path(model)
    rasters: list[tuple[Kind, str | Path | None]] = [("map", output), ("classes", classes), ("confidence", confidence)]
    outputs = tuple((kind, Path(path)) for kind, path in rasters if path is not None)
    others = [Path(path) for path in (seam_report, preview) if path is not None]
    _check_names(source, model, [path for _, path in outputs], others, overwrite)
    loaded = ModelFile.load(model)
    check_engine(loaded, engine, window)
    manifest = loaded.manifest
    for kind, _ in outputs:
        check_kind(kind, manifest)
    with open_scene(source, manifest, bands, max_pixels) as reader:
        extent, area, transform = reader.extent, None, IDENTITY
        if region is not None or bounds is not None:
            ground = GeoGrid.of(reader)
            file = None if region is None else Path(region)
            area = area_of_interest(ground, extent, file, bounds, bounds_crs)
            extent, transform = window_around(ground, area, extent), ground.transform
        grid = _fitted_grid(extent, manifest, window, overlap)
        chosen_scaling = scene_scaling(reader, manifest, scaling)
        warn_of_doubts(reader, manifest)
        return Job(
            source=source,
            model=model,
            digest=loaded.digest,
            manifest=manifest,
            device=device,
            threads=threads,
            batch=batch,
            bands=reader.bands,
            expand_colors=len(reader.band_names) != len(reader.bands),
            max_pixels=max_pixels,
            scaling=chosen_scaling,
            identity=reader.identity(),
            georeference=reader.georeference,
            extent=extent,
            ground=transform,
            region=area,
            grid=grid,
            outputs=outputs,
            driver=DRIVERS[form],
            compress=compress,
            seam_report=None if seam_report is None else Path(seam_report),
            preview=None if preview is None else Path(preview),
            overwrite=overwrite,
        )


def opened(job: Job) -> RasterReader:
    """The source of a job, in the state in which it was planned.

    Raises:
        RasterError: it cannot be opened, or was changed.
    """
    reader = RasterReader(job.source, bands=job.bands, expand_colors=job.expand_colors, max_pixels=job.max_pixels)
    if reader.identity() != job.identity:
        reader.close()
        raise RasterError(f"{job.source}: was changed after it was looked at; start again, and leave it as it is")
    return reader


def _check_names(source: Path, model: Path, rasters: list[Path], others: list[Path], overwrite: bool) -> None:
    targets = [*rasters, *others]
    for number, target in enumerate(targets):
        check_target(target, source, overwrite=overwrite)
        if target.absolute() in (model.absolute(), *(other.absolute() for other in targets[:number])):
            raise OutputError(f"{target}: is asked for twice, or is the model; give each result a name of its own")
    for raster in rasters:
        if raster.suffix.lower() not in (".tif", ".tiff"):
            raise OutputError(f"{raster}: the result is a GeoTIFF; give it a name that ends in .tif")
        if raster.absolute().parent != rasters[0].absolute().parent:
            where = f"it is written together with {rasters[0].name}"
            raise OutputError(f"{raster}: {where}; put it into the same folder, {rasters[0].absolute().parent}")


def _fitted_grid(extent: Window, manifest: Manifest, window: int | None, overlap: int | None) -> WindowGrid:
    """The windows of the whole scene that reach its `extent`."""
    stride = manifest.total_stride
    side = manifest.window if window is None else window
    if side <= 0 or side % min(stride, manifest.window):
        raise ConfigError(
            f"--window {side}: the model {manifest.name!r} needs a positive multiple of {min(stride, manifest.window)}"
        )
    if overlap is None:
        unit = alignment(side, stride)
        overlap = side - max(-(-(side - min(manifest.overlap, side // 2)) // unit), 1) * unit
    offset = -extent.col, -extent.row
    return WindowGrid.fitted(extent.width, extent.height, window=side, overlap=overlap, stride=stride, offset=offset)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
