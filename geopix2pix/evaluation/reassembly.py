"""Scenes from pairs: tiles that were cut from one scene and touch are put together again, all others stay alone."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from xml.etree.ElementTree import Element, ElementTree, SubElement

import numpy as np
import shapely
from affine import Affine
from rasterio.dtypes import dtype_rev, typename_fwd
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.io import DatasetReader

from geopix2pix.gdal import open_dataset
from geopix2pix.grid import Window
from geopix2pix.pair import Pair
from geopix2pix.raster import Georeference

TOLERANCE = 0.01  # pixels by which tiles of one grid may miss it: coordinates are rounded when they are written


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeScene:
    """A raster to translate, and the pairs whose sources it holds."""

    name: str
    path: Path
    width: int
    height: int
    place: Georeference
    places: tuple[tuple[Pair, Window], ...]
    """Each pair and where in the scene its pixels are."""


class _Form(NamedTuple):
    """What the bands of a file hold, which one mosaic cannot hold two of."""

    dtypes: tuple[str, ...]
    nodata: tuple[float | None, ...]
    colors: tuple[str, ...]
    names: tuple[str | None, ...]
    masked: bool
    """Whether a mask of its own says more than nodata and alpha."""

    @classmethod
    def of(cls, dataset: DatasetReader) -> "_Form":
        return cls(
            dtypes=tuple(dataset.dtypes),
            nodata=tuple(None if n is None or n != n else n for n in dataset.nodatavals),
            colors=tuple(color.name for color in dataset.colorinterp),
            names=tuple(dataset.descriptions),
            masked=any(MaskFlags.per_dataset in f and MaskFlags.alpha not in f for f in dataset.mask_flag_enums),
        )


class _Tile(NamedTuple):
    """A pair on an endless grid."""

    pair: Pair
    place: Window
    form: _Form


def reassembled(pairs: Sequence[Pair], folder: Path) -> list[WholeScene]:
    """The scenes that hold the sources of all pairs, in the order of their first pairs.

    Pairs with a georeference on one grid whose tiles touch or overlap form one scene. Mosaics are VRT files in
    `folder`; they and everything in them is read as any scene is.

    Raises:
        RasterError: a picture cannot be opened.
    """
    grids: list[tuple[Pair, list[_Tile]]] = []
    scenes: list[WholeScene] = []
    for pair in pairs:
        with open_dataset(pair.source) as dataset:
            form = _Form.of(dataset)
        whole = pair.source != pair.target
        if not (pair.place.is_known and pair.place.crs and whole) or ColorInterp.palette.name in form.colors:
            scenes.append(_alone(pair, form, folder) if not whole else _as_it_is(pair))
            continue
        for first, tiles in grids:
            place = _place(pair, first)
            if place is not None and tiles[0].form == form:
                tiles.append(_Tile(pair, place, form))
                break
        else:
            grids.append((pair, [_Tile(pair, Window(0, 0, pair.width, pair.height), form)]))
    for _, tiles in grids:
        for touching in _touching(tiles):
            scenes.append(_as_it_is(touching[0].pair) if len(touching) == 1 else _mosaic(touching, folder))
    order = {pair.name: number for number, pair in enumerate(pairs)}
    return sorted(scenes, key=lambda scene: order[scene.places[0][0].name])


def _as_it_is(pair: Pair) -> WholeScene:
    whole = Window(0, 0, pair.width, pair.height)
    return WholeScene(
        name=pair.name,
        path=pair.source,
        width=whole.width,
        height=whole.height,
        place=pair.place,
        places=((pair, whole),),
    )


def _place(pair: Pair, first: Pair) -> Window | None:
    """Where the pixels of a pair are on the grid of another one, whose first pixel is (0, 0); None for another grid."""
    grid, own = first.place.transform, pair.place.transform
    if pair.place.crs != first.place.crs:
        return None
    col, row = ~grid * (own.c, own.f)
    right, bottom = ~grid * (own * (pair.width, pair.height))
    found = Window(round(col), round(row), pair.width, pair.height)
    corners = np.array([(col - found.col, row - found.row), (right - found.right, bottom - found.bottom)])
    return found if np.abs(corners).max() <= TOLERANCE and _same_axes(grid, own, pair) else None


def _same_axes(grid: Affine, own: Affine, pair: Pair) -> bool:
    """Whether the pixel at the upper right comes to lie as the others do: no turn, no mirror."""
    col, row = ~grid * (own * (pair.width, 0))
    left, top = ~grid * (own.c, own.f)
    return bool(abs(col - left - pair.width) <= TOLERANCE and abs(row - top) <= TOLERANCE)


def _touching(tiles: Sequence[_Tile]) -> Iterable[list[_Tile]]:
    """The tiles in groups, each connected by shared edges, corners or pixels."""
    boxes = [shapely.box(p.col, p.row, p.right, p.bottom) for p in (tile.place for tile in tiles)]
    group = list(range(len(tiles)))

    def root(index: int) -> int:
        while group[index] != index:
            group[index] = index = group[group[index]]
        return index

    for one, other in shapely.STRtree(boxes).query(boxes, predicate="intersects").T.tolist():
        group[max(root(one), root(other))] = min(root(one), root(other))
    groups: dict[int, list[_Tile]] = {}
    for index, tile in enumerate(tiles):
        groups.setdefault(root(index), []).append(tile)
    return groups.values()


def _mosaic(tiles: Sequence[_Tile], folder: Path) -> WholeScene:
    """The tiles side by side; what none of them covers holds no data."""
    left, top = min(t.place.col for t in tiles), min(t.place.row for t in tiles)
    placed = [tile._replace(place=tile.place.shifted(-left, -top)) for tile in tiles]
    width, height = max(t.place.right for t in placed), max(t.place.bottom for t in placed)
    first = tiles[0]
    root = Element("VRTDataset", rasterXSize=str(width), rasterYSize=str(height))
    transform = first.pair.place.transform * Affine.translation(left - first.place.col, top - first.place.row)
    SubElement(root, "SRS").text = first.pair.place.crs.to_wkt()  # type: ignore[union-attr]
    SubElement(root, "GeoTransform").text = ", ".join(map(repr, transform.to_gdal()))
    sources = [(tile.pair.source, Window(0, 0, tile.pair.width, tile.pair.height), tile.place) for tile in placed]
    _add_bands(root, first.form, sources)
    covered = sum(p.width * p.height for p in (t.place for t in placed)) == width * height and not _overlapping(placed)
    if first.form.masked or not covered:
        _add_mask(root, first.form, sources)
    name = f"{first.pair.name} and {len(tiles) - 1} more"
    path = _written(root, folder, first.pair)
    return WholeScene(
        name=name,
        path=path,
        width=width,
        height=height,
        place=Georeference(crs=first.pair.place.crs, transform=transform),
        places=tuple((tile.pair, tile.place) for tile in placed),
    )


def _overlapping(tiles: Sequence[_Tile]) -> bool:
    boxes = np.array([shapely.box(p.col, p.row, p.right, p.bottom) for p in (tile.place for tile in tiles)])
    one, other = shapely.STRtree(boxes).query(boxes, predicate="intersects")
    shared = shapely.area(shapely.intersection(boxes[one], boxes[other]))
    return bool((shared[one != other] > 0).any())


def _alone(pair: Pair, form: _Form, folder: Path) -> WholeScene:
    """The half of a picture that is the source, as a scene whose border is where the half ends."""
    root = Element("VRTDataset", rasterXSize=str(pair.width), rasterYSize=str(pair.height))
    sources = [(pair.source, pair.source_window, Window(0, 0, pair.width, pair.height))]
    _add_bands(root, form, sources)
    if form.masked:
        _add_mask(root, form, sources)
    path = _written(root, folder, pair)
    places = ((pair, Window(0, 0, pair.width, pair.height)),)
    return WholeScene(
        name=pair.name, path=path, width=pair.width, height=pair.height, place=Georeference(), places=places
    )


def _written(root: Element, folder: Path, pair: Pair) -> Path:
    path = folder / f"{pair.name.replace('/', '-')}.vrt"
    ElementTree(root).write(path, encoding="utf-8")
    return path


Source = tuple[Path, Window, Window]
"""A file, the part of it that is shown, and where."""


def _add_bands(root: Element, form: _Form, sources: Sequence[Source]) -> None:
    for index, dtype in enumerate(form.dtypes):
        data_type = typename_fwd[dtype_rev[dtype]]
        band = SubElement(root, "VRTRasterBand", dataType=data_type, band=str(index + 1))
        if form.names[index]:
            SubElement(band, "Description").text = form.names[index]
        if form.nodata[index] is not None:
            SubElement(band, "NoDataValue").text = repr(form.nodata[index])
        SubElement(band, "ColorInterp").text = form.colors[index].capitalize()
        for source in sources:
            _add_source(SubElement(band, "SimpleSource"), str(index + 1), source)


def _add_mask(root: Element, form: _Form, sources: Sequence[Source]) -> None:
    """A mask of what the tiles cover; an alpha band, which may be something else, is left to the reader."""
    mask = SubElement(SubElement(root, "MaskBand"), "VRTRasterBand", dataType="Byte")
    for source in sources:
        if form.masked:
            _add_source(SubElement(mask, "SimpleSource"), "mask,1", source)
        else:
            constant = SubElement(mask, "ComplexSource")
            _add_source(constant, "1", source)
            SubElement(constant, "LUT").text = "-1e300:255, 1e300:255"


def _add_source(element: Element, band: str, source: Source) -> None:
    path, part, place = source
    SubElement(element, "SourceFilename", relativeToVRT="0").text = str(path.absolute())
    SubElement(element, "SourceBand").text = band
    for tag, window in (("SrcRect", part), ("DstRect", place)):
        values = zip(("xOff", "yOff", "xSize", "ySize"), window, strict=True)
        SubElement(element, tag, {name: str(value) for name, value in values})
