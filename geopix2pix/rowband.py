"""Row bands: the full-width strips in which a result is written, each into a part file of its own."""

from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from affine import Affine
from rasterio.windows import Window as RasterioWindow

from geopix2pix.errors import OutputError
from geopix2pix.files import sync
from geopix2pix.grid import Window
from geopix2pix.output import OutputSpec

FORMAT = {"driver": "GTiff", "tiled": True, "blockxsize": 256, "blockysize": 256, "interleave": "band"}
NO_COLORS = {"photometric": "minisblack"}  # else GDAL takes the fourth of four bands for alpha
COMPRESSION = {"compress": "deflate", "zlevel": 1, "BIGTIFF": "IF_SAFER"}  # parts live shortly: quick before small
# Any place: rasterio warns of files without one, and warnings cannot be silenced in a thread without side effects.
SOMEWHERE = {"transform": Affine(1, 0, 0, 0, -1, 0)}


@dataclass(frozen=True, slots=True, kw_only=True)
class RowBand:
    """What is known of a finished row band, to find out whether a file really holds it."""

    top: int
    """Its first row in the scene."""
    height: int
    """Its rows; 0 if the windows of this row finish nothing."""
    widths: tuple[int, ...]
    """Columns of the rectangles in which it was written, from left to right."""
    invalid: int
    """How many of its pixels hold no data."""
    checksum: str
    """SHA-256 of the pixels and the validity of these rectangles."""

    def is_in(self, path: Path, top: int) -> bool:
        """Whether the raster at `path` holds this band, from row `top` on: every value, and valid where it should be.

        It is read rectangle by rectangle. Whatever cannot be read does not hold it.
        """
        if self.height == 0:
            return True
        digest = sha256()
        cols = np.cumsum([0, *self.widths]).tolist()
        try:
            with rasterio.open(path, sharing=False) as dataset:
                for col, width in zip(cols, self.widths, strict=False):
                    where = RasterioWindow(col, top, width, self.height)
                    digest.update(_bytes(dataset.read(window=where), dataset.read_masks(1, window=where) != 0))
        except Exception:  # as in gdal.guarded: damaged files raise anything
            return False
        return digest.hexdigest() == self.checksum

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"widths": list(self.widths)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "RowBand":
        return cls(**data | {"widths": tuple(data["widths"])})


class RowBandWriter:
    """A row band that is being written to the part file at `path`, from left to right."""

    def __init__(self, path: Path, spec: OutputSpec, top: int, height: int) -> None:
        self._path, self._top, self._height = path, top, height
        self._widths: list[int] = []
        self._invalid = 0
        self._digest = sha256()
        self._nothing = spec.nodata or 0
        size = {"width": spec.width, "height": height, "count": spec.bands, "dtype": spec.dtype}
        form = {**FORMAT, **NO_COLORS, **COMPRESSION, **SOMEWHERE}
        self._dataset = rasterio.open(path, "w", sharing=False, **form, **size)

    def write(self, window: Window, data: npt.NDArray[Any], valid: npt.NDArray[np.bool_]) -> None:
        """Add the next rectangle. Where it is not valid the nodata value is written, or zeros if there is none."""
        expected = Window(sum(self._widths), self._top, window.width, self._height)
        shape = (self._dataset.count, window.height, window.width)
        assert window == expected, f"{window} was given, expected {expected}"
        assert data.shape == shape and valid.shape == shape[1:], f"{data.shape}, {valid.shape} for {window}"
        assert data.dtype == self._dataset.dtypes[0], f"{data.dtype} was given, expected {self._dataset.dtypes[0]}"
        where = RasterioWindow(window.col, 0, window.width, window.height)
        masked = np.where(valid, data, data.dtype.type(self._nothing))
        self._dataset.write(masked, window=where)
        self._dataset.write_mask(valid, window=where)
        self._digest.update(_bytes(masked, valid))
        self._widths.append(window.width)
        self._invalid += valid.size - int(valid.sum())

    def finish(self) -> RowBand:
        """The band, once its part file has reached the disk and was read back.

        Raises:
            OutputError: the disk does not hold what was written: it is full or broken.
        """
        assert sum(self._widths) == self._dataset.width, f"{sum(self._widths)} of {self._dataset.width} columns came"
        band = RowBand(
            top=self._top,
            height=self._height,
            widths=tuple(self._widths),
            invalid=self._invalid,
            checksum=self._digest.hexdigest(),
        )
        self.close()
        sync(self._path)
        if not band.is_in(self._path, 0):
            raise OutputError(f"{self._path}: does not hold what was written to it; make room on the disk")
        return band

    def close(self) -> None:
        self._dataset.close()


def _bytes(data: npt.NDArray[Any], valid: npt.NDArray[np.bool_]) -> bytes:
    return data.tobytes() + np.packbits(valid).tobytes()
