"""The picture of an invented town from above: what a satellite would see of a `town.Town`, shadows and noise included.

Colours are float32 arrays of shape (3, rows, cols) on a scale of 0 to 255, brightness factors have shape (rows, cols).
"""

import itertools
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import shapely
from rasterio.features import rasterize
from shapely import LineString
from shapely.geometry.base import BaseGeometry
from shapely.ops import unary_union

from geopix2pix.town import CLASSES, PAVEMENT, RESOLUTION, Building, Road, Town

Floats = npt.NDArray[np.float32]
Geometries = npt.NDArray[np.object_]
RGB = tuple[float, float, float]
Random = np.random.Generator

SHADOW = (-0.75, 0.85)  # metres to the east and north per metre of height: the sun stands in the south-east
SHADE: RGB = (0.50, 0.53, 0.60)  # what is left of each band in a shadow, which only the blue sky lights
SOIL: tuple[RGB, ...] = ((176, 162, 136), (146, 139, 110), (112, 118, 78))
CONCRETE: RGB = (160, 156, 149)
ASPHALT: RGB = (106, 105, 107)
MARKING: RGB = (214, 213, 206)
GRASS: tuple[RGB, ...] = ((98, 112, 64), (124, 128, 84), (88, 102, 60))
LEAVES: RGB = (66, 84, 46)
WATER: tuple[RGB, ...] = ((42, 64, 74), (70, 92, 86))
TILES: tuple[RGB, ...] = ((166, 98, 74), (134, 96, 80), (116, 115, 116), (164, 150, 124), (104, 102, 101))
SHEETS: tuple[RGB, ...] = ((204, 203, 199), (128, 128, 130), (108, 108, 109), (146, 156, 166), (160, 150, 130))
PAINT: tuple[RGB, ...] = ((226, 226, 226), (50, 50, 54), (142, 144, 148), (150, 48, 42), (52, 72, 120))


def picture(town: Town, classes: npt.NDArray[np.uint8], seed: int) -> npt.NDArray[np.uint8]:
    """What is seen of `town`, whose class raster is `classes`, shape (3, side, side).

    `seed` decides textures, colours, light and noise.
    """
    rng = np.random.default_rng([seed, 1])
    seen = _ground(rng, town)
    for name, surface in (("water", _water), ("vegetation", _greenery), ("building", _roofs), ("road", _streets)):
        seen = np.where(classes == CLASSES.index(name), surface(rng, town), seen)
    seen *= _shadows(town, classes)
    to_east, to_south = rng.uniform(-0.07, 0.07, 2).astype(np.float32)
    ramp = np.linspace(-1, 1, town.side, dtype=np.float32)
    seen = _blurred(seen * (1 + to_east * ramp + to_south * ramp[:, None]))
    seen += 3.5 * rng.standard_normal(seen.shape, dtype=np.float32)
    return np.clip(np.rint(seen), 0, 255).astype(np.uint8)


def _ground(rng: Random, town: Town) -> Floats:
    """Dry ground; concrete around halls and some houses and on pavements."""
    ground = _mixed(SOIL, _cloud(rng, town, 45), _cloud(rng, town, 12)) * (1 + 0.08 * _cloud(rng, town, 3))
    yards = [
        building.footprint.buffer(5, join_style="mitre")
        for building in town.buildings
        if building.kind == "hall" or rng.random() < 0.1
    ]
    pavements = [road.surface.buffer(PAVEMENT) for road in town.roads]
    paved = _drawn(town, [*yards, *pavements])
    concrete = _flat(CONCRETE) * (1 + 0.06 * _cloud(rng, town, 6))
    return np.where(paved > 0, concrete, ground * (1 + 0.12 * _grain(rng, town)))


def _water(rng: Random, town: Town) -> Floats:
    """Water, lighter where it is shallow."""
    deep = _drawn(town, shapely.get_parts(unary_union(town.water).buffer(-5)))
    return _mixed(WATER, 0.2 - deep + 0.5 * _cloud(rng, town, 30)) * (1 + 0.04 * _grain(rng, town))


def _greenery(rng: Random, town: Town) -> Floats:
    """Grass under trees, whose crowns are lit from the south-east."""
    grass = _mixed(GRASS, _cloud(rng, town, 20), _cloud(rng, town, 4)) * (1 + 0.08 * _grain(rng, town))
    tones = rng.uniform(0.75, 1.2, len(town.crowns))
    lit = shapely.buffer(_moved(town.crowns, -0.7), -0.8)
    leaves = _drawn(town, [*town.crowns, *lit], [*tones, *(1.4 * tones)])
    return np.where(leaves > 0, _flat(LEAVES) * leaves * (1 + 0.25 * _grain(rng, town)), grass)


def _roofs(rng: Random, town: Town) -> Floats:
    """Gabled roofs with rows of tiles, one side in the sun, and flat roofs with things on them."""
    houses = [building.kind == "house" for building in town.buildings]
    index = _drawn(town, [b.footprint for b in town.buildings], range(1, len(houses) + 1)).astype(np.intp)
    colors = np.array([ASPHALT, *((TILES if house else SHEETS)[rng.integers(5)] for house in houses)], dtype=np.float32)
    colors *= rng.uniform(0.8, 1.15, (len(colors), 1)).astype(np.float32)
    angles = np.radians([0.0, *(b.angle for b in town.buildings)])
    normals = np.column_stack([-np.sin(angles), np.cos(angles)])
    normals[normals @ SHADOW > 0] *= -1
    centres = shapely.get_coordinates(shapely.centroid([b.footprint for b in town.buildings]))
    ridges = [0.0, *np.sum(normals[1:] * centres, axis=1)]
    metres = (np.arange(town.side) + 0.5) * RESOLUTION
    sunward = metres * normals[index, 0] + metres[::-1, None] * normals[index, 1] - np.array(ridges)[index]
    gabled = np.array([False, *houses])[index]
    light = 1 + 0.06 * np.sin(2 * np.pi * sunward / np.where(gabled, 1.7, 2.6)) + 0.16 * gabled * np.sign(sunward)
    vents = [hole for b in town.buildings if b.kind == "hall" for hole in _vents(rng, b)]
    light += 0.3 * _drawn(town, vents) - 0.5 * _drawn(town, _moved(vents, 1.5)) * (1 - _drawn(town, vents))
    roofs: Floats = np.moveaxis(colors[index], 2, 0) * (light + 0.06 * _grain(rng, town)).astype(np.float32)
    return roofs


def _vents(rng: Random, hall: Building) -> Geometries:
    """Boxes of two by two metres scattered over a flat roof."""
    left, bottom, right, top = hall.footprint.bounds
    count = int(hall.footprint.area / 120)
    boxes = shapely.buffer(
        shapely.points(rng.uniform(left, right, count), rng.uniform(bottom, top, count)), 1, cap_style="square"
    )
    return np.array(boxes[shapely.contains(hall.footprint, boxes)])


def _streets(rng: Random, town: Town) -> Floats:
    """Asphalt of different ages with markings on the wider roads, and cars."""
    age = _drawn(town, [road.surface for road in town.roads], rng.uniform(0.8, 1.2, len(town.roads)))
    seen = _flat(ASPHALT) * age * (1 + 0.05 * _cloud(rng, town, 15) + 0.06 * _grain(rng, town))
    wide = [road.line for road in town.roads if road.width > 8]
    dashes = [_pieces(line, np.arange(2, line.length - 3, 8.0), 3.0) for line in wide]
    seen = np.where(_drawn(town, np.concatenate(dashes)) > 0, _flat(MARKING), seen)
    cars = np.concatenate([_cars(rng, road) for road in town.roads])
    paint = _drawn(town, cars, rng.integers(1, 1 + len(PAINT), len(cars))).astype(np.intp)
    return np.where(paint > 0, np.moveaxis(np.array([ASPHALT, *PAINT], dtype=np.float32)[paint], 2, 0), seen)


def _cars(rng: Random, road: Road) -> Geometries:
    """Cars on both lanes of a road, 4.4 by 1.9 metres each."""
    at = np.cumsum(rng.exponential(40, int(road.line.length / 20)))
    lanes = _pieces(road.line, at[at < road.line.length - 5], 4.4)
    ends = shapely.get_coordinates(lanes).reshape(-1, 2, 2)
    along = (ends[:, 1] - ends[:, 0]) / 4.4
    right = np.column_stack([along[:, 1], -along[:, 0]]) * rng.choice([-1, 1], (len(along), 1)) * road.width / 4
    return np.array(shapely.buffer(shapely.linestrings(ends + right[:, None]), 0.95, cap_style="flat"))


def _shadows(town: Town, classes: npt.NDArray[np.uint8]) -> Floats:
    """The share of light in each band that is left beside buildings and trees."""
    footprints = np.array([building.footprint for building in town.buildings])
    reach = np.array([building.height for building in town.buildings])
    tall, far = np.concatenate([footprints, town.crowns]), np.concatenate([reach, np.full(len(town.crowns), 4.0)])
    sweeps = shapely.convex_hull(shapely.union(tall, _moved(tall, far)))
    dark = _drawn(town, [*sweeps, *town.crowns], [1] * len(sweeps) + [0] * len(town.crowns)) > 0
    left = np.where(dark & (classes != CLASSES.index("building")), _flat(SHADE), np.float32(1))
    return left.astype(np.float32)


def _moved(geometries: Sequence[BaseGeometry] | Geometries, height: float | npt.NDArray[np.float64]) -> Geometries:
    """The geometries, moved to where the shadow of something of that height falls."""
    moved = np.array(geometries, dtype=object)
    corners = np.repeat(np.broadcast_to(height, len(moved)), shapely.get_num_coordinates(moved))
    shifted: Geometries = shapely.set_coordinates(moved, shapely.get_coordinates(moved) + corners[:, None] * SHADOW)
    return shifted


def _pieces(line: LineString, starts: npt.NDArray[np.float64], length: float) -> Geometries:
    """Straight pieces of a line."""
    ends = [shapely.line_interpolate_point(line, at) for at in (starts, starts + length)]
    return np.array(shapely.linestrings(np.stack([shapely.get_coordinates(end) for end in ends], axis=1)))


def _drawn(town: Town, geometries: Iterable[BaseGeometry], values: Iterable[float] | None = None) -> Floats:
    """A raster of the value of the last geometry at each pixel, by default 1, and 0 elsewhere."""
    geometries = list(geometries)
    shapes = zip(geometries, itertools.repeat(1) if values is None else values, strict=values is not None)
    if not geometries:  # GDAL draws no empty list
        return np.zeros((town.side, town.side), dtype=np.float32)
    raster: Floats = rasterize(shapes, (town.side, town.side), transform=town.transform, dtype="float32")
    return raster


def _flat(color: RGB) -> Floats:
    return np.array(color, dtype=np.float32)[:, None, None]


def _mixed(colors: Sequence[RGB], *shares: Floats) -> Floats:
    """The first colour turned into each next one, wholly where a share is +1 and not at all where it is -1."""
    mixed = np.empty((3, *shares[0].shape), dtype=np.float32)
    mixed[:] = _flat(colors[0])
    for color, share in zip(colors[1:], shares, strict=True):
        weight = np.clip(0.5 + 0.5 * share, 0, 1)
        for band, level in zip(mixed, color, strict=True):
            band += weight * (np.float32(level) - band)
    return mixed


def _grain(rng: Random, town: Town) -> Floats:
    """White noise of standard deviation 1."""
    return rng.standard_normal((town.side, town.side), dtype=np.float32)


def _cloud(rng: Random, town: Town, metres: float) -> Floats:
    """Smooth noise in [-1, 1] whose lumps are about so large; sums and products only, so the same everywhere."""
    at = np.arange(town.side, dtype=np.float32) * np.float32(RESOLUTION / metres)
    node = at.astype(np.intp)
    share = at - node
    share *= share * (3 - 2 * share)
    nodes = rng.uniform(-1, 1, (node[-1] + 2, node[-1] + 2)).astype(np.float32)
    rows = nodes[node] + share[:, None] * (nodes[node + 1] - nodes[node])
    cloud: Floats = rows[:, node] + share * (rows[:, node + 1] - rows[:, node])
    return cloud


def _blurred(seen: Floats) -> Floats:
    """The picture through optics that spread a point over 3 x 3 pixels by the weights 1 2 1."""
    padded = np.pad(seen, ((0, 0), (1, 1), (1, 1)), mode="edge")
    rows = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    blurred: Floats = (rows[:, :, :-2] + 2 * rows[:, :, 1:-1] + rows[:, :, 2:]) / 16
    return blurred
