"""RasterReader: windows of a scene, filled where it holds no data, and the mask that says where that is."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.io import DatasetReader
from rasterio.windows import Window as RasterioWindow

from geopix2pix.bands import (
    band_colors,
    band_names,
    color_table,
    data_and_alpha,
    nodata_value,
    sample_windows,
    separate_masks,
)
from geopix2pix.damage import Damage
from geopix2pix.errors import RasterError, SceneError
from geopix2pix.fill import FILL_RADIUS, fill_holes, reflect
from geopix2pix.gdal import MAX_PIXELS, environment, guarded, open_with_files
from geopix2pix.grid import Window
from geopix2pix.remote import RemoteFile, Source

IDENTITY = Affine.identity()
MAX_BANDS = 512  # imaging spectrometers have up to about 450


class Patch(NamedTuple):
    """What one window shows of a scene."""

    data: npt.NDArray[Any]
    """(bands, rows, cols) in the scene's dtype, filled wherever `valid` is False."""
    valid: npt.NDArray[np.bool_]
    """(rows, cols), True = real data; False in holes and outside the scene."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Georeference:
    """Where a scene lies: by an affine transform, by ground control points, or unknown."""

    crs: CRS | None = None
    transform: Affine = IDENTITY
    gcps: tuple[GroundControlPoint, ...] = ()
    gcps_crs: CRS | None = None

    @classmethod
    def of(cls, dataset: DatasetReader) -> "Georeference":
        gcps, gcps_crs = dataset.gcps
        return cls(crs=dataset.crs, transform=dataset.transform, gcps=tuple(gcps), gcps_crs=gcps_crs)

    @property
    def is_known(self) -> bool:
        by_transform = self.crs is not None and self.transform != IDENTITY
        return by_transform or (self.gcps_crs is not None and len(self.gcps) > 0)


class RasterReader:
    """A scene that is open for reading; a context manager, for one thread at a time.

    A pixel is valid when it is finite and not nodata in every band that is read and the scene's masks and alpha bands
    say so. Holes show the nearest valid pixel within `FILL_RADIUS`, else the median of each band; outside the scene
    its repeated reflection is seen. A pixel is filled with the same values in whatever window it is read.
    """

    def __init__(
        self,
        path: Source | str,
        *,
        bands: Sequence[int] | None = None,
        expand_colors: bool = False,
        max_pixels: int = MAX_PIXELS,
        damage: Damage | None = None,
    ) -> None:
        """Open the scene at `path`.

        `bands` are 1-based; all but the alpha bands by default. With `expand_colors` a scene whose only band has a
        colour table is read as red, green and blue. `damage` may mask what cannot be decoded, and hears of it.

        Raises:
            RasterError: the file cannot be opened, or is refused: complex numbers, no band or above `MAX_BANDS`, above
                `max_pixels`, blocks above 512 MiB, sources that are not local.
            SceneError: `bands` names a band that the scene does not have.
            DownloadError: a server does not send what was asked for.
        """
        self.path = path if isinstance(path, RemoteFile) else Path(path)
        self._damage = Damage() if damage is None else damage
        self._dataset, self._files = open_with_files(self.path, max_pixels=max_pixels)
        try:
            with guarded(self.path, "open it as a raster", self._damage.remedy):
                self._describe(bands, expand_colors)
        except BaseException:
            self.close()
            raise

    def _describe(self, bands: Sequence[int] | None, expand_colors: bool) -> None:
        dataset = self._dataset
        self.width: int = dataset.width
        self.height: int = dataset.height
        self.georeference = Georeference.of(dataset)
        self.bands, self._alphas = data_and_alpha(self.path, dataset, bands, self._damage)
        if unknown := [band for band in self.bands if not 1 <= band <= dataset.count]:
            raise SceneError(f"{self.path}: bands {unknown} were asked for, the scene has bands 1 to {dataset.count}")
        if not 1 <= len(self.bands) <= MAX_BANDS:
            raise RasterError(f"{self.path}: {len(self.bands)} bands are too many or too few; name 1 to {MAX_BANDS}")
        self._masks = separate_masks(dataset, self.bands)
        self._nodata = [nodata_value(dataset.dtypes[band - 1], dataset.nodatavals[band - 1]) for band in self.bands]
        self._colors = color_table(dataset) if expand_colors else None
        dtypes = [dataset.dtypes[band - 1] for band in self.bands]
        self._stored_dtype = np.result_type(*dtypes)
        self.dtype = str(self._stored_dtype) if self._colors is None else "uint8"
        colors = ["red", "green", "blue"] if self._colors is not None else None
        self.colorinterp = tuple(colors or band_colors(dataset, self.bands))
        self.band_names = tuple(colors or band_names(dataset, self.bands))

    @property
    def extent(self) -> Window:
        return Window(0, 0, self.width, self.height)

    def read(self, window: Window, *, fill_empty: bool = True) -> Patch:
        """The data of a window, which may reach any distance outside the scene, and where they are real.

        With `fill_empty` false a window without a valid pixel shows what the file holds, and is read only once.

        Raises:
            RasterError: the file is truncated or damaged there, and that is not masked.
        """
        rows, cols = np.arange(window.row, window.bottom), np.arange(window.col, window.right)
        seen_rows, seen_cols = reflect(rows, self.height), reflect(cols, self.width)
        left, top = int(seen_cols.min()), int(seen_rows.min())
        seen = Window(left, top, int(seen_cols.max()) + 1 - left, int(seen_rows.max()) + 1 - top)
        data, valid = self._filled(seen, fill_empty)
        if seen == window:
            return Patch(data, valid)
        inside = (seen_rows == rows)[:, None] & (seen_cols == cols)
        index_rows, index_cols = (seen_rows - top)[:, None], seen_cols - left
        return Patch(data[:, index_rows, index_cols], valid[index_rows, index_cols] & inside)

    def percentiles(self, *percents: float) -> npt.NDArray[np.float64]:
        """Percentiles of each band's valid pixels in the whole scene, shape (percents, bands).

        They are those of all pixels in scenes of up to 2048 x 2048, of an evenly spread sample in larger ones.

        Raises:
            SceneError: the sample holds no valid pixel.
            RasterError: the file is truncated or damaged, and that is not masked.
        """
        if self._sample.shape[1] == 0:
            raise SceneError(f"{self.path}: statistics need valid pixels, found none; is its nodata value right?")
        found: npt.NDArray[np.float64] = np.percentile(self._sample, percents, axis=1).astype(np.float64)
        return found

    def identity(self) -> dict[str, Any]:
        """What tells this state of this scene from others, wherever it lies; JSON values.

        The sizes and times of all its files (sidecars and all sources of a mosaic too), its size and the bands read. A
        server is asked for the size, version and beginning of its file.
        """
        with guarded(self.path, "list its files"):
            files = sorted(_state(file) for file in self._files)
        return {
            "files": files,
            "width": self.width,
            "height": self.height,
            "bands": list(self.bands),
            "dtype": self.dtype,
        }

    def close(self) -> None:
        with environment():
            self._dataset.close()

    def __enter__(self) -> "RasterReader":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _filled(self, window: Window, fill_empty: bool) -> Patch:
        """A window inside the scene, without holes."""
        data, valid = self._stored(window)
        if valid.all() or not (fill_empty or valid.any()):
            return Patch(data, valid)
        around = window.padded(FILL_RADIUS).intersection(self.extent)
        near, known = self._stored(around)
        if known.any():
            near, known = fill_holes(near, known)
        rows, cols = window.shifted(-around.col, -around.row).slices
        data, known = near[:, rows, cols], known[rows, cols]
        if not known.all():  # only then are statistics of the scene worth their price
            data = np.where(known, data, self._medians[:, None, None])
        return Patch(data, valid)

    @cached_property
    def _medians(self) -> npt.NDArray[Any]:
        if self._sample.shape[1] == 0:
            return np.zeros(len(self._sample), self.dtype)
        medians: npt.NDArray[Any] = np.percentile(self._sample, 50, axis=1, method="lower").astype(self.dtype)
        return medians

    @cached_property
    def _sample(self) -> npt.NDArray[Any]:
        """Valid pixels of the whole scene, shape (bands, pixels); fewer of each band in scenes of many bands."""
        step = max(1, len(self.bands) // 4)
        patches = (self._stored(window) for window in sample_windows(self.width, self.height))
        return np.concatenate([data[:, valid][:, ::step] for data, valid in patches], axis=1)

    def _stored(self, window: Window) -> Patch:
        """What the file holds in a window inside the scene, holes included; 0 where it is damaged and masked."""
        with guarded(self.path, f"read {window}", self._damage.remedy):
            parts = dict(self._damage.parts(self.path, self._dataset, window, self._decoded))
        if window in parts:
            return parts[window]
        data = np.zeros((len(self.colorinterp), window.height, window.width), self.dtype)
        valid = np.zeros((window.height, window.width), bool)
        for part, patch in parts.items():
            rows, cols = part.shifted(-window.col, -window.row).slices
            data[:, rows, cols], valid[rows, cols] = patch
        return Patch(data, valid)

    def _decoded(self, window: Window) -> Patch:
        where = RasterioWindow(*window)
        data = self._stored_bands(where)
        valid = np.isfinite(data).all(axis=0)
        for values, nodata in zip(data, self._nodata, strict=True):
            if nodata is not None:
                valid &= values != nodata
        for alpha in self._alphas:
            valid &= self._dataset.read(alpha, window=where) != 0
        for band in self._masks:
            valid &= self._dataset.read_masks(band, window=where) != 0
        if self._colors is not None:
            colors = self._colors[:, data[0]]
            return Patch(colors[:3], valid & (colors[3] != 0))
        return Patch(data, valid)

    def _stored_bands(self, where: RasterioWindow) -> npt.NDArray[Any]:
        if len({self._dataset.dtypes[band - 1] for band in self.bands}) == 1:
            data: npt.NDArray[Any] = self._dataset.read(self.bands, window=where)
            return data
        # rasterio reads several bands at once only if they have one dtype
        return np.stack([self._dataset.read(band, window=where).astype(self._stored_dtype) for band in self.bands])


def _state(file: Source) -> list[Any]:
    """What tells the state of a file from others."""
    if isinstance(file, RemoteFile):
        return file.identity()
    stat = file.stat()
    return [file.name, stat.st_size, stat.st_mtime_ns]
