"""What a folder of training pairs or a tile set holds, and which of it is kept for validation."""

import hashlib
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, cast, get_args

from geopix2pix.errors import ConfigError, PairsError, SceneWarning
from geopix2pix.grid import Window
from geopix2pix.manifest import DType
from geopix2pix.pair import Bands, Pair, PairSet, opened
from geopix2pix.palette import Palette
from geopix2pix.raster import Georeference
from geopix2pix.tilesets.tileindex import Tile
from geopix2pix.tilesets.tileset import Content, TileSet, is_tile_set

Layout = Literal["auto", "folders", "source-left", "source-right"]
"""`folders`: `source/` and `target/` with the same file names; `source-left` and `source-right`: one picture holds both
side by side, as in the published pix2pix data sets; `auto`: whichever is there, `source-left` for single pictures."""
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")


def open_pairs(
    folder: Path, *, layout: Layout = "auto", palette: Path | None = None, validation: float = 0.1, weight: float = 1.0
) -> PairSet:
    """The pairs in `folder`, their headers checked. Of pixels only samples of alpha bands are read.

    A tile set is taken with the split in its index; it brings its own palette.

    `train/` and `validation/` (or `val/`) subfolders are taken as the split where they exist; otherwise the last
    `validation` share of the sorted names is held out, since neighbouring names are often neighbouring places. What
    lies in `test/` is for the last judgement alone. A `palette.json` in the folder is used unless `palette` names
    another.

    Raises:
        PairsError: the folder holds no pairs, names without a partner, or pictures that do not fit each other, or it
            cannot be searched.
        ConfigError: the palette or a number is impossible.
    """
    if not 0 <= validation < 1 or not 0 < weight < float("inf"):
        raise ConfigError(f"{folder}: validation share {validation} must be in [0, 1), weight {weight} above 0")
    with _searched(folder), _doubts_told_once():
        if is_tile_set(folder):
            if palette is not None:
                raise ConfigError(f"{folder}: is a tile set, which brings its own palette; leave {palette} out")
            return _of_tile_set(TileSet.open(folder), weight)
        return _opened(folder, layout, palette, validation, weight)


def _opened(folder: Path, layout: Layout, palette: Path | None, validation: float, weight: float) -> PairSet:
    if not folder.is_dir():
        raise PairsError(f"{folder}: a folder of training pairs was asked for, but there is no such folder")
    held_out = next((folder / name for name in ("validation", "val") if (folder / name).is_dir()), None)
    inside = folder / "train" if (folder / "train").is_dir() else folder
    train, bands = _pairs(inside, layout)
    test = _like(folder / "test", layout, inside, bands) if (folder / "test").is_dir() else ()
    if held_out is not None:
        judged = _like(held_out, layout, inside, bands)
    else:
        split = len(train) - min(round(len(train) * validation), len(train) - 1)
        train, judged = train[:split], train[split:]
    found = palette or (folder / "palette.json" if (folder / "palette.json").is_file() else None)
    return PairSet(
        name=folder.resolve().name,
        train=train,
        validation=judged,
        source=bands[0],
        target=bands[1],
        palette=_fitting(Palette.load(found), bands[1], found) if found else None,
        weight=weight,
        listing=_listing((*train, *judged)),
        test=test,
    )


def _like(folder: Path, layout: Layout, first: Path, bands: tuple[Bands, Bands]) -> tuple[Pair, ...]:
    """The pairs in another folder, which hold the same as those in the first."""
    pairs, found = _pairs(folder, layout)
    if found != bands:
        raise PairsError(f"{folder}: sources and targets hold {_phrase(found)}, those in {first} {_phrase(bands)}")
    return pairs


def open_matched(sources: Sequence[Path], targets: Sequence[Path], *, palette: Path | None = None) -> PairSet:
    """The pairs of two lists of pictures, in their order; all of them to learn from.

    Raises:
        PairsError: the lists do not match: their lengths or, without endings, their names differ; or pictures that do
            not fit each other.
        ConfigError: the palette is impossible.
    """
    if not sources or len(sources) != len(targets):
        raise PairsError(
            f"{len(sources)} sources and {len(targets)} targets were given; give as many of each, in the same order"
        )
    for source, target in zip(sources, targets, strict=True):
        if source.stem != target.stem:
            raise PairsError(f"{source} and {target} were to be a pair, but their names differ; check both patterns")
    with _searched(sources[0].parent), _doubts_told_once():
        names = _short_names(sources)
        pairs, bands = _agreeing([_separate(*files) for files in zip(names, sources, targets, strict=True)])
        return PairSet(
            name=sources[0].parent.resolve().name,
            train=pairs,
            validation=(),
            source=bands[0],
            target=bands[1],
            palette=_fitting(Palette.load(palette), bands[1], palette) if palette else None,
            weight=1.0,
            listing=_listing(pairs),
        )


def _short_names(paths: Sequence[Path]) -> list[str]:
    """A name for each file: its own, after those of its folders that tell files from each other."""
    folders = [path.absolute().parent.parts for path in paths]
    telling = [level for level in range(min(map(len, folders))) if len({parts[level] for parts in folders}) > 1]
    names = ["-".join([*(f[level] for level in telling), p.stem]) for f, p in zip(folders, paths, strict=True)]
    if len(set(names)) < len(names):
        raise PairsError(f"{paths[0]}: files in folders of different depth have the same name; import them one by one")
    return names


@contextmanager
def _searched(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        found = error.strerror or error
        raise PairsError(f"{folder}: cannot be searched for pairs ({found}); check the name and your rights") from error


@contextmanager
def _doubts_told_once() -> Iterator[None]:
    """A context in which what is doubtful about pictures is told of the first one, for all."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", SceneWarning)
        yield
    doubts = [str(w.message) for w in caught if issubclass(w.category, SceneWarning)]
    if doubts:
        others = f" (and {len(doubts) - 1} more like this in the folder)" if doubts[1:] else ""
        warnings.warn(f"{doubts[0]}{others}", SceneWarning, stacklevel=4)
    for w in caught:
        if not issubclass(w.category, SceneWarning):
            warnings.warn_explicit(w.message, w.category, w.filename, w.lineno)


def _listing(pairs: Sequence[Pair]) -> str:
    lines = (f"{p.name} {p.source.stat().st_size} {p.target.stat().st_size}\n" for p in pairs)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _fitting(palette: Palette, target: Bands, where: Path) -> Palette:
    if target.dtype != "uint8" or target.count != 3:
        raise PairsError(f"{where}: a palette needs targets of 3 x uint8 or with a colour table, found {target}")
    return palette


def _pairs(folder: Path, layout: Layout) -> tuple[tuple[Pair, ...], tuple[Bands, Bands]]:
    separate = (folder / "source").is_dir() and (folder / "target").is_dir()
    if layout == "folders" and not separate:
        raise PairsError(f"{folder}: pairs in folders were asked for, but `source/` and `target/` are not both there")
    if layout == "folders" or (layout == "auto" and separate):
        partners = _matched(folder)
        opened = [_separate(name, source, target) for name, (source, target) in partners.items()]
    else:
        single = _pictures(folder)
        opened = [_side_by_side(name, path, layout == "source-right") for name, path in single.items()]
    if not opened:
        raise PairsError(
            f"{folder}: no pairs found; put pictures ({' '.join(SUFFIXES)}) with equal names into `source/` and "
            "`target/`, or pictures that hold both side by side into the folder itself"
        )
    return _agreeing(opened)


def _agreeing(opened: list[tuple[Pair, tuple[Bands, Bands]]]) -> tuple[tuple[Pair, ...], tuple[Bands, Bands]]:
    first, bands = opened[0]
    for pair, found in opened:
        if found != bands:
            raise PairsError(
                f"{pair.source}: source and target hold {_phrase(found)}, those of {first.source} {_phrase(bands)}; "
                "all pairs must agree"
            )
    return tuple(pair for pair, _ in opened), bands


def _phrase(bands: tuple[Bands, Bands]) -> str:
    return f"{bands[0]} and {bands[1]} bands"


def _matched(folder: Path) -> dict[str, tuple[Path, Path]]:
    sources, targets = _pictures(folder / "source"), _pictures(folder / "target")
    alone = sorted(sources.keys() ^ targets.keys())
    if alone:
        raise PairsError(
            f"{folder}: {len(alone)} names are in only one of `source/` and `target/`, such as {alone[:3]}; "
            "each source needs a target of the same name"
        )
    return {name: (sources[name], targets[name]) for name in sorted(sources)}


def _pictures(folder: Path) -> dict[str, Path]:
    pictures: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in SUFFIXES:
            if path.stem in pictures:
                raise PairsError(f"{path}: {pictures[path.stem].name} has the same name; keep one of them")
            pictures[path.stem] = path
    return pictures


def _separate(name: str, source: Path, target: Path) -> tuple[Pair, tuple[Bands, Bands]]:
    (window, bands, place), (target_window, target_bands, _) = _header(source), _header(target)
    if window != target_window:
        raise PairsError(
            f"{source} is {window.width} x {window.height} pixels, its target {target} is {target_window.width} x "
            f"{target_window.height}; bring both to one size"
        )
    pair = Pair(name=name, source=source, target=target, source_window=window, target_window=target_window, place=place)
    return pair, (bands, target_bands)


def _side_by_side(name: str, path: Path, source_right: bool) -> tuple[Pair, tuple[Bands, Bands]]:
    whole, bands, place = _header(path)
    if whole.width % 2:
        raise PairsError(f"{path}: {whole.width} pixels wide, which does not divide into a source and a target half")
    left = Window(0, 0, whole.width // 2, whole.height)
    right = Window(whole.width // 2, 0, whole.width // 2, whole.height)
    source, target = (right, left) if source_right else (left, right)
    pair = Pair(name=name, source=path, target=path, source_window=source, target_window=target, place=place)
    return pair, (bands, bands)


def _header(path: Path) -> tuple[Window, Bands, Georeference]:
    with opened(path) as reader:
        if reader.dtype not in get_args(DType):
            raise PairsError(f"{path}: holds {reader.dtype}; convert it to one of {', '.join(get_args(DType))}")
        bands = Bands(reader.band_names, cast(DType, reader.dtype), len(reader.band_names))
        return reader.extent, bands, reader.georeference


def _of_tile_set(tiles: TileSet, weight: float) -> PairSet:
    parts: dict[str, list[Pair]] = {"train": [], "validation": [], "test": []}
    for tile in tiles.tiles:
        if tile.split in parts:
            parts[tile.split].append(_tile_pair(tiles, tile))
    if not parts["train"]:
        raise PairsError(
            f"{tiles.folder}: no tile is in the split `train`; split the set with `geopix2pix tiles split`"
        )
    return PairSet(
        name=tiles.folder.resolve().name,
        train=tuple(parts["train"]),
        validation=tuple(parts["validation"]),
        source=_content(tiles.about.source),
        target=_content(tiles.about.target),
        palette=tiles.about.palette,
        weight=weight,
        listing=tiles.about.tiles_sha256,
        test=tuple(parts["test"]),
    )


def _tile_pair(tiles: TileSet, tile: Tile) -> Pair:
    grid, whole = tiles.about.grid, Window(0, 0, tile.window.width, tile.window.height)
    return Pair(
        name=tile.name,
        source=tiles.path("source", tile),
        target=tiles.path("target", tile),
        source_window=whole,
        target_window=whole,
        place=Georeference(crs=grid.crs, transform=grid.transform_of(tile.window)) if grid else Georeference(),
        classes=tiles.path("classes", tile) if tiles.about.palette else None,
    )


def _content(content: Content) -> Bands:
    return Bands(content.names, cast(DType, content.dtype), len(content.names))
