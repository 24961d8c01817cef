"""Pictures that lie nowhere, as research publishes them, into a tile set."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from geopix2pix import __version__
from geopix2pix.errors import ConfigError
from geopix2pix.fill import reflect
from geopix2pix.geogrid import GeoGrid
from geopix2pix.grid import Window
from geopix2pix.journal import Line
from geopix2pix.pair import Bands, Pair, PairSet, check_mixable, opened
from geopix2pix.pairs import Layout, open_pairs
from geopix2pix.progress import Event, Progress, silent
from geopix2pix.raster import Patch
from geopix2pix.tilesets import completion
from geopix2pix.tilesets.appraisal import facts, skipped
from geopix2pix.tilesets.cutting import Legend, cut, write_pair
from geopix2pix.tilesets.partition import SplitRequest, divided, warn_if_shifted
from geopix2pix.tilesets.site import Site
from geopix2pix.tilesets.splits import files_by_pattern
from geopix2pix.tilesets.tileindex import Split
from geopix2pix.tilesets.tileset import Side, TileSet

GAP = 0.1  # between pictures on the plane on which the index shows them, as a share of the largest


class Picture(NamedTuple):
    """One side of a pair in memory."""

    names: tuple[str, ...]
    dtype: str
    whole: Patch

    @classmethod
    def of(cls, path: Path, window: Window, bands: Bands) -> "Picture":
        with opened(path) as reader:
            return cls(bands.names, bands.dtype, reader.read(window))

    def read(self, window: Window) -> Patch:
        """A window that may reach beyond the picture, whose reflection is seen there and not valid."""
        height, width = self.whole.valid.shape
        rows, cols = np.arange(window.row, window.bottom), np.arange(window.col, window.right)
        seen_rows, seen_cols = reflect(rows, height)[:, None], reflect(cols, width)
        inside = (seen_rows == rows[:, None]) & (seen_cols == cols)
        return Patch(self.whole.data[:, seen_rows, seen_cols], self.whole.valid[seen_rows, seen_cols] & inside)


def published(folder: Path, *, layout: Layout = "auto", palette: Path | None = None) -> dict[Split, PairSet]:
    """The pairs of a folder by the splits in which they were published.

    Raises:
        PairsError: the folder holds no pairs, or pictures that do not fit each other.
        ConfigError: the palette is impossible.
    """
    found = open_pairs(folder, layout=layout, palette=palette, validation=0)
    parts: dict[Split, PairSet] = {"train": found}
    if found.validation:
        parts |= {
            "train": replace(found, validation=()),
            "validation": replace(found, train=found.validation, validation=()),
        }
    if (folder / "test").is_dir():
        own = palette or (folder / "palette.json" if (folder / "palette.json").is_file() else None)
        parts["test"] = open_pairs(folder / "test", layout=layout, palette=own, validation=0)
    return parts


def import_pairs(
    parts: dict[Split, PairSet],
    output: str | Path,
    *,
    size: int = 256,
    overlap: int = 0,
    coverage: float = 0.5,
    tolerance: float | None = None,
    split: SplitRequest | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Path:
    """Cut pictures into a tile set in the folder `output`; its path.

    `parts` are the pairs of each split, as they were published; with a `split` they are divided anew. A picture is cut
    from its upper left corner; tiles that reach beyond it are kept if `coverage` of them is known.

    Raises:
        PairsError: a picture cannot be read.
        ConfigError: an argument is impossible.
        TileSetError: no tile is worth keeping.
        OutputError: the folder exists and `overwrite` is false, or cannot be written.
        Cancelled: `progress` asked to stop; the same call goes on.
    """
    first = next(iter(parts.values()))
    check_mixable(list(parts.values()))
    if not 16 <= size <= 4096 or not 0 <= overlap < size or not 0 < coverage <= 1:
        raise ConfigError(
            f"size {size} must be 16 to 4096 pixels, overlap {overlap} 0 to below it, coverage {coverage} above 0 to 1"
        )
    if split is not None and split.by == "files":
        names = [pair.name for pairs in parts.values() for pair in pairs.train]
        files_by_pattern(names, validation=split.validation, test=split.test)  # refused now rather than at the end
    parameters = {"coverage": coverage, "tolerance": tolerance, "pictures": {s: len(p.train) for s, p in parts.items()}}
    layout = completion.Layout(
        grid=None,
        size=size,
        overlap=overlap,
        palette=first.palette,
        source=(first.source.names, first.source.dtype),
        target=(first.target.names, first.target.dtype),
    )
    with Site(Path(output), overwrite=overwrite) as site:
        listings = {part: [pairs.listing, pairs.palette and pairs.palette.to_json()] for part, pairs in parts.items()}
        site.begin({"geopix2pix": __version__, "size": size, "overlap": overlap, "listings": listings} | parameters)
        found = _cut(site, parts, layout, coverage, tolerance, progress)
        tiles = completion.tiles_of(found, None)
        published = {line["name"]: line["split"] for line in found}
        tiles = [t if t.split == "unused" else replace(t, split=published[t.name]) for t in tiles]
        if split is not None:
            tiles = divided(tiles, None, split)
        else:
            warn_if_shifted(tiles)
        about = completion.described(
            site.tiles,
            layout,
            tiles,
            counts=Counter(line.get("skipped", "kept") for line in found),
            parameters=parameters,
            attributions=(),
        )
        result = TileSet(site.tiles, about, tuple(tiles))
        result.write()
        site.finish(result.files())
    return Path(output)


def _cut(
    site: Site,
    parts: Mapping[Split, PairSet],
    layout: completion.Layout,
    coverage: float,
    tolerance: float | None,
    progress: Progress,
) -> list[Line]:
    """A line for each tile of each picture: those of an earlier run, and those that are cut now."""
    known = site.finished("cut")
    found: list[Line] = []
    placed = list(_placed(parts))
    for done, (split, pairs, pair, corner) in enumerate(placed, 1):
        jobs = dict(_windows(pair, layout.size, layout.size - layout.overlap))
        if not jobs.keys() <= known.keys():
            legend = Legend(palette=pairs.palette, tolerance=tolerance) if pairs.palette else None
            lines = list(_cut_picture(site, pairs, pair, jobs, legend, coverage))
            lines = [line | {"split": split, "place": _place(line, corner)} for line in lines]
            site.record("cut", lines)
            known |= {line["name"]: line for line in lines}
        found += [known[name] for name in jobs]
        progress(Event("cut", done, len(placed), "pictures"))
    return found


def _cut_picture(
    site: Site, pairs: PairSet, pair: Pair, jobs: Mapping[str, Window], legend: Legend | None, coverage: float
) -> Iterator[Line]:
    source = Picture.of(pair.source, pair.source_window, pairs.source)
    target = Picture.of(pair.target, pair.target_window, pairs.target)
    grid = GeoGrid(crs=pair.place.crs, transform=pair.place.transform) if pair.place.crs else None
    for name, window in jobs.items():
        inside = np.ones((window.height, window.width), bool)
        cut_pair = cut(source, target, legend, window, inside)
        line: Line = {"name": name, "window": list(window)}
        if reason := skipped(cut_pair, inside, coverage):
            yield line | {"skipped": reason}
            continue
        names: dict[Side, tuple[str, ...]] = {"source": source.names, "target": target.names, "classes": ("class",)}
        place = (grid, window) if grid else None
        files = write_pair(site.tiles, name, cut_pair, place, names, legend)
        facts_of_pair = facts(cut_pair, legend)
        yield line | facts_of_pair | {"origin": pair.name, "shift": [0.0, 0.0], **files._asdict()}


def _windows(pair: Pair, size: int, step: int) -> Iterator[tuple[str, Window]]:
    """The tiles of a picture with their names, row by row from its upper left corner."""
    columns, rows = (max(1, -(-(side - (size - step)) // step)) for side in (pair.width, pair.height))
    for row in range(rows):
        for column in range(columns):
            name = pair.name if columns * rows == 1 else f"{pair.name}-c{column:03}r{row:03}"
            yield name, Window(column * step, row * step, size, size)


def _placed(parts: Mapping[Split, PairSet]) -> Iterator[tuple[Split, PairSet, Pair, tuple[float, float]]]:
    """All pictures, each with the upper left corner of its place on a plane: in rows, with the y axis up."""
    pictures = [(split, pairs, pair) for split, pairs in parts.items() for pair in pairs.train]
    side = (1 + GAP) * max(max(pair.width, pair.height) for _, _, pair in pictures)
    across = math.ceil(math.sqrt(len(pictures)))
    for number, (split, pairs, pair) in enumerate(pictures):
        yield split, pairs, pair, (number % across * side, -(number // across) * side)


def _place(line: Line, corner: tuple[float, float]) -> list[float]:
    """Left, bottom, right and top of a tile on the plane."""
    window = Window(*line["window"])
    left, top = corner[0] + window.col, corner[1] - window.row
    return [left, top - window.height, left + window.width, top]
