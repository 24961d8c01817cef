"""How well known shifts of a map are found.

    python -m benchmarks.registration DATA [TILES]

DATA is the folder that holds `train/` and `scenes/`; at most TILES tiles (default 60) of 256 x 256 pixels are taken
from each set, evenly. Every tile is measured with its own map, unshifted and under each of SHIFTS, and with as
many maps of other tiles, where nothing is right. Errors are told against the unshifted estimate of the same tile and
against the offset that the tiles of a set have in common. The last table says what a confidence is worth.
"""

import itertools
import json
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyogrio
import rasterio
import shapely
from affine import Affine
from rasterio.features import rasterize
from rasterio.windows import Window

from geopix2pix import registration
from geopix2pix.registration import CONFIDENT, Offset, offset, pooled
from geopix2pix.sample import write_sample

SIDE, MARGIN = 256, 16
SHIFTS = ((0.5, 0.0), (-2.25, 1.5), (4.0, -4.0), (7.4, -9.6), (-10.0, 3.3), (10.0, 10.0))
NOISE = 10.0  # grey levels, Gaussian, added to the synthetic scene, which is also darkened
BINS = (0.0, 0.05, 0.2, 0.5, 0.8, 0.95, 0.99, 1.0)
LANE = 8.0  # metres; the width of every road of the scene of Las Vegas, whose file does not tell

Array = npt.NDArray[Any]
Draw = Callable[[float, float], Array]


class Place(NamedTuple):
    """A tile of an image, and its map moved by any number of columns and rows."""

    source: Array
    draw: Draw


class Found(NamedTuple):
    """One measurement: what was asked, what was found, and how far that is from the truth."""

    tile: int
    shift: tuple[float, float] | None
    """None where the map belongs to another tile."""
    offset: Offset
    itself: float
    """Pixels from the unshifted estimate of the same tile plus the shift."""
    common: float
    """Pixels from the common offset of the set plus the shift; infinite where the map belongs to another tile."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One set of tiles."""

    name: str
    unshifted: list[Offset]
    common: Offset
    found: list[Found]
    pooled_errors: list[float]
    seconds: float
    decoding: float


def windows(width: int, height: int, margin: int) -> list[tuple[int, int]]:
    """Columns and rows of tiles side by side, `margin` pixels inside a picture."""
    starts = [range(margin, side - SIDE - margin + 1, SIDE) for side in (width, height)]
    return [(col, row) for row in starts[1] for col in starts[0]]


def evenly(places: Sequence[Any], count: int) -> list[Any]:
    return [places[int(i)] for i in np.unique(np.linspace(0, len(places) - 1, count).astype(int))]


def drawn(shapes: Sequence[tuple[Any, int]], transform: Affine) -> Draw:
    """Polygons with their classes, drawn in the tile whose first pixel `transform` tells."""

    def draw(cols: float, rows: float) -> Array:
        place = transform * Affine.translation(-cols, -rows)
        return rasterize(shapes, (SIDE, SIDE), transform=place, dtype="uint8")[None]

    return draw


def moved(painted: Array) -> Draw:
    """A tile of a painted map with `MARGIN` pixels round it, moved between pixels by linear interpolation."""

    def draw(cols: float, rows: float) -> Array:
        left, top = int(np.floor(-cols)), int(np.floor(-rows))
        right, down = -cols - left, -rows - top
        total = np.zeros((len(painted), SIDE, SIDE), np.float32)
        for x, y in ((0, 0), (1, 0), (0, 1), (1, 1)):
            part = painted[:, MARGIN + top + y :, MARGIN + left + x :][:, :SIDE, :SIDE]
            total += (right if x else 1 - right) * (down if y else 1 - down) * part
        return total

    return draw


def cut(data: Array, shapes: Sequence[tuple[Any, int]], transform: Affine, width: int, height: int) -> list[Place]:
    return [
        Place(data[:, row : row + SIDE, col : col + SIDE], drawn(shapes, transform * Affine.translation(col, row)))
        for col, row in windows(width, height, 0)
    ]


def sample(seed: int) -> list[Place]:
    with tempfile.TemporaryDirectory() as folder:
        made = write_sample(Path(folder) / "sample", seed=seed)
        shapes = []
        for number, layer in enumerate(("water", "vegetation", "buildings", "roads"), 1):
            meta, _, geometries, columns = pyogrio.raw.read(made / "vectors.gpkg", layer=layer)
            forms = shapely.from_wkb(geometries)
            if layer == "roads":
                forms = shapely.buffer(forms, columns[list(meta["fields"]).index("width_m")] / 2)
            shapes += [(form, number) for form in forms]
        with rasterio.open(made / "scene.tif") as dataset:
            data, transform = dataset.read(), dataset.transform
    noise = NOISE * np.random.default_rng(seed).standard_normal(data.shape)
    return cut(np.clip(0.8 * data + 15 + noise, 0, 255).astype(np.uint8), shapes, transform, 1024, 1024)


def banepa(folder: Path) -> list[Place]:
    features = json.loads((folder / "osm" / "buildings.geojson").read_text())["features"]
    shapes = [(shapely.geometry.shape(feature["geometry"]), 1) for feature in features]
    places = []
    for path in sorted((folder / "tiles").glob("*.tif")):
        with rasterio.open(path) as dataset:
            places += cut(dataset.read(), shapes, dataset.transform, dataset.width, dataset.height)
    return places


def vegas(folder: Path) -> list[Place]:
    with rasterio.open(folder / "scene.tif") as dataset:
        data, transform, bounds = dataset.read((1, 2, 3)), dataset.transform, dataset.bounds
    per_degree = np.array([111_320 * np.cos(np.radians(bounds.top)), 111_000])  # metres; to 0.3 %
    features = json.loads((folder / "roads.geojson").read_text())["features"]
    lines = [shapely.geometry.shape(feature["geometry"]) for feature in features]
    roads = shapely.buffer(shapely.transform(lines, lambda xy: xy * per_degree), LANE / 2)
    shapes = [(road, 1) for road in shapely.transform(roads, lambda xy: xy / per_degree)]
    return cut(data, shapes, transform, 1300, 1220)  # a caption lies below


def painted(pairs: Sequence[tuple[Path, Path]], count: int) -> list[Place]:
    """At most `count` tiles of painted maps and their images."""
    everywhere = []
    for image, mask in pairs:
        with rasterio.open(image) as dataset:
            everywhere += [(image, mask, *place) for place in windows(dataset.width, dataset.height, MARGIN)]
    places = []
    for image, mask, col, row in evenly(everywhere, count):
        with rasterio.open(image) as first, rasterio.open(mask) as second:
            source = first.read((1, 2, 3), window=Window(col, row, SIDE, SIDE))
            around = Window(col - MARGIN, row - MARGIN, SIDE + 2 * MARGIN, SIDE + 2 * MARGIN)
            target = second.read(window=around)[:3]
            if second.colorinterp[0].name == "palette":
                table = second.colormap(1)
                target = np.array([table.get(i, (0, 0, 0))[:3] for i in range(256)], np.uint8)[target[0]]
                target = target.transpose(2, 0, 1)
        places.append(Place(source, moved(target)))
    return places


def road_pairs(folder: Path) -> list[tuple[Path, Path]]:
    return [(path, folder / "masks" / path.name) for path in sorted((folder / "images").iterdir())]


def dubai_pairs(folder: Path, *tiles: int) -> list[tuple[Path, Path]]:
    images = [path for tile in tiles for path in sorted((folder / f"Tile {tile}" / "images").iterdir())]
    return [(path, path.parents[1] / "masks" / f"{path.stem}.png") for path in images]


def sets(data: Path, count: int) -> Iterator[tuple[str, list[Place], Path]]:
    """The name of each set, at most `count` of its tiles, and a picture that stands for the price of decoding."""
    train, scenes = data / "train", data / "scenes"
    vegas_scene = scenes / "vegas" / "scene.tif"
    for seed in (3, 0):
        yield f"sample {seed}", evenly(sample(seed), count), vegas_scene
    buildings = train / "banepa-buildings"
    yield "banepa", evenly(banepa(buildings), count), next((buildings / "tiles").glob("*.tif"))
    yield "vegas", evenly(vegas(scenes / "vegas"), count), vegas_scene
    for name, tiles in (("dubai 3 4", (3, 4)), ("dubai 1 2 5-8", (1, 2, 5, 6, 7, 8))):
        pairs = dubai_pairs(train / "dubai", *tiles)
        yield name, painted(pairs, count), pairs[0][0]
    for place in ("vegas", "japan", "shanghai"):
        pairs = road_pairs(train / f"{place}-roads")
        yield f"{place} roads", painted(pairs, count), pairs[0][0]


def measured(name: str, places: list[Place], picture: Path) -> Measured:
    valid = np.ones((SIDE, SIDE), bool)
    maps = [place.draw(0, 0) for place in places]
    started = time.process_time()
    unshifted = [offset(place.source, drawn, valid) for place, drawn in zip(places, maps, strict=True)]
    seconds = (time.process_time() - started) / len(places)
    common = pooled(unshifted)
    truth = np.array(common[:2] if common.confidence >= CONFIDENT else (0.0, 0.0))
    found, pooled_errors = [], []
    for step, shift in enumerate(SHIFTS, 1):
        offsets = [offset(place.source, place.draw(*shift), valid) for place in places]
        for tile, (still, now) in enumerate(zip(unshifted, offsets, strict=True)):
            back = np.array(now[:2]) - shift
            found.append(Found(tile, shift, now, length(back - still[:2]), length(back - truth)))
        pooled_errors.append(length(np.array(pooled(offsets)[:2]) - shift - truth))
        for tile, place in enumerate(places):
            other = (tile + step * len(places) // (len(SHIFTS) + 1)) % len(places)
            found.append(Found(tile, None, offset(place.source, maps[other], valid), np.inf, np.inf))
    return Measured(name, unshifted, common, found, pooled_errors, seconds, decoding_time(picture))


def length(vector: Array) -> float:
    return float(np.hypot(*vector))


def decoding_time(path: Path) -> float:
    """Seconds to open a file and decode as many pixels as a tile has."""
    times = []
    for _ in range(10):
        started = time.process_time()
        with rasterio.open(path) as dataset:
            whole = min(dataset.height, SIDE)
            dataset.read(window=Window(0, 0, min(dataset.width, SIDE), whole))
        times.append(time.process_time() - started)
    return float(np.median(times))


def shares(errors: Sequence[float], limits: Sequence[float] = (0.5, 1, 2)) -> str:
    return " ".join(f"{np.mean(np.array(errors) < limit):.2f}" if errors else "  --" for limit in limits)


def report(found: Measured) -> None:
    offsets = np.array(found.unshifted)
    sure = offsets[offsets[:, 2] >= CONFIDENT]
    print(f"\n{found.name}: {len(offsets)} tiles, {len(sure) / len(offsets):.0%} of them confident as they are")
    if len(sure):
        low, middle, high = np.percentile(sure[:, :2], (25, 50, 75), axis=0)
        print(f"  offset of confident tiles: median {middle.round(2)}, quartiles {low.round(2)} to {high.round(2)}")
    print("  pooled: {:.2f} columns, {:.2f} rows, confidence {:.2f}".format(*found.common))
    shifted = [f for f in found.found if f.shift]
    confident = [f for f in shifted if f.offset.confidence >= CONFIDENT]
    print("  share of shifted tiles below 0.5 / 1 / 2 pixels   of themselves   of the common offset")
    for kind, some in (("all", shifted), (f"confident ({len(confident) / len(shifted):.0%})", confident)):
        own, common = shares([f.itself for f in some]), shares([f.common for f in some])
        print(f"    {kind:45} {own}  {common}")
    print(f"  pooled over the set, worst of {len(SHIFTS)} shifts: {max(found.pooled_errors):.2f} pixels")
    wrong = [f.offset.confidence >= CONFIDENT for f in found.found if not f.shift]
    print(f"  confident although the map belongs to another tile: {np.mean(wrong):.1%} of {len(wrong)}")
    ratio = found.seconds / found.decoding
    print(f"  {1000 * found.seconds:.0f} ms a tile, {ratio:.1f} times what decoding as many pixels takes")


def calibration(title: str, found: Sequence[Found]) -> None:
    """What share of the measurements in each bin of confidence was right."""
    confidence = np.array([f.offset.confidence for f in found])
    errors = np.array([f.common for f in found])
    print(f"\n{title}\n  confidence      number   mean   right to 1 pixel   to 2 pixels")
    for low, high in itertools.pairwise(BINS):
        some = (confidence >= low) & ((confidence < high) | (high == 1))
        if some.any():
            mean, (one, two) = confidence[some].mean(), (np.mean(errors[some] < limit) for limit in (1, 2))
            print(f"  {low:4.2f} to {high:4.2f} {some.sum():9} {mean:6.2f} {one:12.2f} {two:16.2f}")


def fitted(found: Sequence[Found]) -> tuple[float, float]:
    """The `SLOPE` and `MIDDLE` under which the confidences would fit these measurements best."""
    confidence = np.clip([f.offset.confidence for f in found if f.offset.confidence > 0], 1e-9, 1 - 1e-9)
    right = np.array([f.common < 1 for f in found if f.offset.confidence > 0])
    lead = np.log(confidence / (1 - confidence)) / registration.SLOPE + registration.MIDDLE
    terms, weights = np.stack([np.ones_like(lead), lead]), np.zeros(2)
    for _ in range(50):  # Newton's method
        expected = 1 / (1 + np.exp(-weights @ terms))
        curvature = (terms * (expected * (1 - expected))) @ terms.T
        weights = weights + np.linalg.solve(curvature + 1e-6 * np.eye(2), terms @ (right - expected))
    return float(weights[1]), float(-weights[0] / weights[1])


def main(data: Path, tiles: int) -> None:
    warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
    found: list[Found] = []
    for name, places, picture in sets(data, tiles):
        one = measured(name, places, picture)
        report(one)
        found += one.found
    fit, check = ([f for f in found if f.tile % 2 == odd] for odd in (0, 1))
    print("\nslope and middle that fit every other tile best: {:.2f} {:.2f}".format(*fitted(fit)))
    calibration("What a confidence is worth in the remaining tiles, half of them with the map of another tile", check)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) == 3 else 60)
