"""Prepared: one GeoPackage that holds all that a style draws of some vector files, ready to be drawn anywhere in it.

Its table `drawn` has a row for each part of a feature and each style layer that draws it, with the geometry in the
grid's reference system and what it is drawn with; its table `about` holds one JSON document.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from warnings import catch_warnings, simplefilter

import numpy as np
import numpy.typing as npt
import pyogrio
import pyogrio.raw
import shapely
from rasterio.crs import CRS

from geopix2pix.cartography.paint import Ink
from geopix2pix.cartography.vectorfile import guarded, settings
from geopix2pix.errors import GeoPix2PixError, OutputError
from geopix2pix.files import put_in_place
from geopix2pix.geogrid import Bounds

DRAWN, ABOUT = "drawn", "about"
COLUMNS = ("layer", *Ink._fields)
TYPES = {"color": "object", "outline": "object"}  # all others are float64


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """What became of the features that one style layer draws."""

    drawn: int = 0
    mended: int = 0
    """Of the drawn ones, those with a geometry that was invalid."""
    dropped: int = 0
    """Features of which nothing could be drawn: empty ones, and such that leave what the grid's CRS can show."""

    def __add__(self, other: "Count") -> "Count":
        return Count(
            drawn=self.drawn + other.drawn, mended=self.mended + other.mended, dropped=self.dropped + other.dropped
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What is known of a file of prepared features."""

    path: Path
    style: str
    """SHA-256 of the style that draws it."""
    grid: Mapping[str, Any]
    """The grid it was prepared for, as a JSON document."""
    bounds: Bounds
    """Within which everything that shows is in the file, in the CRS of the grid."""
    reach: float
    """How far from its geometry a row may cover something, in pixels."""
    files: tuple[str, ...]
    """The names of the vector files."""
    counts: Mapping[str, Count]
    """By the names of the style layers, in the order of drawing."""

    @classmethod
    def load(cls, path: Path) -> "Prepared":
        """What a file of prepared features says about itself.

        Raises:
            VectorError: it is none, or damaged.
        """
        with guarded(path, "read it as prepared features"):
            document = json.loads(pyogrio.raw.read(path, ABOUT, read_geometry=False)[3][0][0])
            counts = {name: Count(**count) for name, count in document.pop("counts").items()}
            bounds, files = tuple(document.pop("bounds")), tuple(document.pop("files"))
            return cls(path=path, bounds=bounds, files=files, counts=counts, **document)

    def document(self) -> str:
        fields = asdict(self)
        del fields["path"]
        return json.dumps(fields)


class Rows(NamedTuple):
    """Things to draw, in any order."""

    layers: npt.NDArray[np.int32]
    """The index of the style layer that draws each."""
    inks: list[Ink]
    geometries: npt.NDArray[Any]
    """Lines and polygons in the grid's CRS."""


def near_rows(path: Path, bounds: Bounds) -> Rows:
    """The rows whose geometry touches the bounds, in the order in which they were written.

    Raises:
        VectorError: the file is damaged.
    """
    with guarded(path, "read what is to be drawn"):
        _, ids, wkb, columns = pyogrio.raw.read(path, DRAWN, bbox=bounds, return_fids=True)
        order = np.argsort(ids)  # the index of a GeoPackage finds rows in any order
        layers, *values = (column[order] for column in columns)
        colors, opacities, outlines, *lengths = (column.tolist() for column in values)
        inks = [
            Ink(_rgb(color), opacity, _rgb(outline), *numbers)
            for color, opacity, outline, *numbers in zip(colors, opacities, outlines, *lengths, strict=True)
        ]
        return Rows(layers, inks, shapely.from_wkb(wkb[order]))


@contextmanager
def written(path: Path, crs: CRS) -> Iterator["Writer"]:
    """A `Writer` of a file that gets the name `path` when the body ends; if that raises, nothing is left.

    Raises:
        OutputError: the file cannot be written.
    """
    try:
        with TemporaryDirectory(prefix=f".{path.name}-", dir=path.absolute().parent) as beside:
            writer = Writer(Path(beside) / "prepared.gpkg", crs)
            yield writer
            put_in_place(writer.path, path)
    except GeoPix2PixError:
        raise
    except (OSError, pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        why = getattr(error, "strerror", None) or error
        raise OutputError(f"{path}: cannot be written ({why}); choose another place or make room") from error


class Writer:
    """A file of prepared features that grows. Equal rows give equal bytes."""

    def __init__(self, path: Path, crs: CRS) -> None:
        self.path, self._crs, self._count = path, crs.to_wkt(), 0

    def clear(self) -> None:
        """Begin with a file without rows."""
        self.path.unlink(missing_ok=True)
        self._count = 0
        self.add(Rows(np.zeros(0, np.int32), [], np.zeros(0, object)), append=False)

    def add(self, rows: Rows, *, append: bool = True) -> None:
        texts = [(_hex(ink.color), ink.opacity, _hex(ink.outline), *ink[3:]) for ink in rows.inks]
        values = zip(*texts, strict=True) if texts else [()] * len(Ink._fields)
        columns = [np.array(value, TYPES.get(n, "float64")) for n, value in zip(Ink._fields, values, strict=True)]
        options = {"geometry_type": "Unknown", "crs": self._crs, "append": append}
        self._put(shapely.to_wkb(rows.geometries), [rows.layers, *columns], COLUMNS, layer=DRAWN, **options)
        self._count += len(rows.inks)

    def finish(self, about: Prepared) -> None:
        """Add the document, and see that all rows arrived."""
        self._put(None, [np.array([about.document()], object)], ["document"], layer=ABOUT, geometry_type=None, crs=None)
        found = pyogrio.read_info(self.path, layer=DRAWN)["features"]
        if found != self._count:
            raise OSError(f"{self._count} rows were written, {found} arrived")

    def _put(self, geometries: Any, columns: list[Any], names: Sequence[str], **options: Any) -> None:
        with settings(), catch_warnings():
            simplefilter("ignore", UserWarning)  # that a table without geometry has no CRS
            pyogrio.raw.write(self.path, geometries, columns, list(names), driver="GPKG", **options)


def _hex(color: tuple[int, int, int]) -> str:
    return "#" + bytes(color).hex().upper()


def _rgb(text: str) -> tuple[int, int, int]:
    red, green, blue = bytes.fromhex(text[1:])
    return red, green, blue
