"""An invented town: streets, buildings, greenery and water as geometry, and its class raster.

Coordinates are metres from the lower left corner of the town, x to the east and y to the north. The town is laid out
some way beyond its edges, so that what its edges cut is whole.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import shapely
from affine import Affine
from rasterio.features import rasterize
from shapely import LineString, Point, Polygon
from shapely.affinity import rotate, scale, translate
from shapely.geometry import box
from shapely.geometry.base import BaseGeometry
from shapely.geometry.polygon import orient
from shapely.ops import unary_union

CLASSES = ("land", "building", "road", "vegetation", "water")
RESOLUTION = 0.5  # metres per pixel
MARGIN = 60.0  # metres beyond each edge; more than half a block
SIGHT = 15.0  # metres beyond each edge from which a shadow may reach into the picture
PAVEMENT = 1.5  # metres of pavement on both sides of a street
BANK = 7.0  # metres between water and the nearest plot or street
ROUNDABOUT = 17.0  # radius of its centre line, metres

Floats = npt.NDArray[np.float64]


class Road(NamedTuple):
    """A piece of street by its centre line."""

    line: LineString
    width: float
    kind: Literal["main", "avenue", "street"]

    @property
    def surface(self) -> Polygon:
        return self.line.buffer(self.width / 2)


class Building(NamedTuple):
    """A building by its footprint; the ridge of its roof lies along `angle`, in degrees from east to north."""

    footprint: Polygon
    angle: float
    height: float
    kind: Literal["house", "hall"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Town:
    """What stands where. Later attributes lie on top of earlier ones, and roads on top of all (on bridges)."""

    side: int
    """Side of the square that the town is drawn on, pixels."""
    water: tuple[Polygon, ...]
    greens: tuple[Polygon, ...]
    """Parks, woods and verges; together with the crowns they are the vegetation."""
    crowns: tuple[Polygon, ...]
    buildings: tuple[Building, ...]
    roads: tuple[Road, ...]

    @property
    def transform(self) -> Affine:
        """From (col, row) to the town's own metres."""
        return Affine(RESOLUTION, 0, 0, 0, -RESOLUTION, self.side * RESOLUTION)


def lay_out(seed: int, side: int) -> Town:
    """The town of `side` x `side` pixels that belongs to `seed`."""
    rng = np.random.default_rng(seed)
    metres = side * RESOLUTION
    river_x = metres * rng.uniform(0.3, 0.7)
    water = _water(rng, metres, river_x)
    roads = _roads(rng, metres, river_x, water)
    taken = unary_union([road.surface.buffer(PAVEMENT) for road in roads] + [water.buffer(BANK)])
    seen = box(0, 0, metres, metres).buffer(SIGHT)
    blocks = _polygons(box(-MARGIN, -MARGIN, metres + MARGIN, metres + MARGIN).difference(taken))
    greens: list[Polygon] = []
    crowns: list[Polygon] = []
    buildings: list[Building] = []
    for block in blocks:
        use = _use(rng, block.area)
        if use in ("park", "wood", "verge"):
            greens += _polygons(block.buffer(-2))
        built = list(_houses(rng, block)) if use == "homes" else list(_halls(rng, block)) if use == "works" else []
        buildings += built
        crowns += _crowns(rng, block.difference(unary_union([b.footprint.buffer(1) for b in built])), use)
    return Town(
        side=side,
        water=tuple(_polygons(water)),
        greens=tuple(green for green in greens if green.intersects(seen)),
        crowns=tuple(crown for crown in crowns if crown.intersects(seen)),
        buildings=tuple(building for building in buildings if building.footprint.intersects(seen)),
        roads=tuple(road for road in roads if road.surface.intersects(seen)),
    )


def class_raster(town: Town) -> npt.NDArray[np.uint8]:
    """The index in `CLASSES` of every pixel, shape (side, side); a pixel belongs to what its centre lies in."""
    layers: dict[str, list[Polygon]] = {
        "water": [*town.water],
        "vegetation": [*town.greens, *town.crowns],
        "building": [building.footprint for building in town.buildings],
        "road": [road.surface for road in town.roads],
    }
    shapes = [(polygon, CLASSES.index(name)) for name, polygons in layers.items() for polygon in polygons]
    raster: npt.NDArray[np.uint8] = rasterize(
        shapes, (town.side, town.side), fill=CLASSES.index("land"), transform=town.transform, dtype="uint8"
    )
    return raster


def _water(rng: np.random.Generator, metres: float, river_x: float) -> BaseGeometry:
    """A river from south to north, and a pond."""
    y = np.arange(-2 * MARGIN, metres + 2 * MARGIN, 10.0)
    swing, phase, slope = rng.uniform(12, 25), rng.uniform(0, 2 * np.pi), rng.uniform(-0.15, 0.15)
    x = river_x + swing * np.sin(y / 45 + phase) + slope * (y - metres / 2)
    reaches = shapely.buffer(shapely.points(x, y), 15 + 3 * np.sin(y / 31 + phase))
    river = unary_union([a.union(b).convex_hull for a, b in pairwise(reaches)])
    around = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    radius = 22 * (1 + 0.2 * np.sin(2 * around + phase) + 0.1 * np.sin(5 * around))
    middle = metres * (0.12 if river_x < metres / 2 else 0.88), metres * float(rng.choice([0.1, 0.9]))
    pond = Polygon(np.column_stack([middle[0] + radius * np.cos(around), middle[1] + radius * np.sin(around)]))
    return river.union(pond)


def _roads(rng: np.random.Generator, metres: float, river_x: float, water: BaseGeometry) -> list[Road]:
    """A bent and turned grid of streets with gaps, a main road, an avenue across, a roundabout where they meet."""
    reach = 0.75 * metres + MARGIN
    tilt = np.radians(rng.uniform(8, 24) * rng.choice([-1, 1]))
    phase = rng.uniform(0, 2 * np.pi, 2)

    def place(u: Floats | float, v: Floats | float) -> LineString:
        x = metres / 2 + u * np.cos(tilt) - v * np.sin(tilt)
        y = metres / 2 + u * np.sin(tilt) + v * np.cos(tilt)
        return LineString(np.column_stack([x + 11 * np.sin(y / 52 + phase[0]), y + 14 * np.sin(x / 61 + phase[1])]))

    along = np.linspace(-reach, reach, 120)
    main_v = metres * rng.uniform(-0.12, 0.12)
    hub_u = metres * (0.28 if river_x < metres / 2 else -0.28)
    main, avenue = place(along, main_v), place(hub_u + 0.8 * along, main_v + along)
    hub = Point(place(np.array([hub_u, hub_u + 1]), main_v).coords[0]).buffer(ROUNDABOUT)
    roads = [Road(main, 14.0, "main"), Road(avenue, 10.0, "avenue")]
    even = np.arange(-reach, reach, 82.0)
    us, vs = even + rng.uniform(-14, 14, (2, len(even)))
    vs = vs[np.abs(vs - main_v) > 40]
    for lines, crossings, turned in ((us, vs, False), (vs, us, True)):
        for at in lines:
            for start, end in pairwise(crossings):
                stretch = np.linspace(start, end, 8)
                street = place(stretch, at) if turned else place(at, stretch)
                if rng.random() < 0.9 and street.distance(water) > BANK:
                    roads.append(Road(street, 7.0 if turned else 6.0, "street"))
    outside = [road._replace(line=part) for road in roads for part in shapely.get_parts(road.line.difference(hub))]
    return [*outside, Road(LineString(hub.exterior), 9.0, "main")]


def _use(rng: np.random.Generator, area: float) -> str:
    """What a block of `area` square metres is used for."""
    if area < 700:
        return "verge"
    return str(rng.choice(["homes", "works", "park", "wood", "open"], p=[0.6, 0.15, 0.1, 0.05, 0.1]))


def _houses(rng: np.random.Generator, block: Polygon) -> Iterator[Building]:
    """Houses in a row around the block, turned with the street; some have a wing."""
    built: list[Polygon] = []
    for row in (orient(plot).exterior for setback in (8, 34) for plot in _polygons(block.buffer(-setback))):
        at = 0.0
        while at < row.length - 10:
            width, depth = rng.uniform(9, 17), rng.uniform(8, 12)
            (x0, y0), (x1, y1) = (row.interpolate(at + step).coords[0] for step in (0, width))
            angle = float(np.degrees(np.arctan2(y1 - y0, x1 - x0)))
            house = box(-width / 2, -depth / 2, width / 2, depth / 2)
            if rng.random() < 0.3:
                house = house.union(box(-width / 2, 0, -width / 2 + 6, depth / 2 + 5))
            house = translate(rotate(house, angle, origin=(0, 0)), (x0 + x1) / 2, (y0 + y1) / 2)
            if block.contains(house) and all(house.distance(other) > 2 for other in built):
                built.append(house)
                yield Building(house, angle + 90 * (rng.random() < 0.2), rng.uniform(4, 9), "house")
                at += width
            at += rng.exponential(5)


def _halls(rng: np.random.Generator, block: Polygon) -> Iterator[Building]:
    """Large flat buildings in the cells of the block's oriented envelope."""
    envelope = block.oriented_envelope
    corners = np.array(envelope.exterior.coords)[:3]
    sides = np.diff(corners, axis=0)
    columns, rows = (max(1, round(np.hypot(*side) / rng.uniform(30, 45))) for side in sides)
    angle = float(np.degrees(np.arctan2(sides[0, 1], sides[0, 0])))
    cell = np.array([corners[0], corners[0] + sides[0] / columns])
    cell = np.concatenate([cell, cell[::-1] + sides[1] / rows])
    for column in range(columns):
        for row in range(rows):
            shift = column / columns * sides[0] + row / rows * sides[1]
            hall = scale(Polygon(cell + shift), rng.uniform(0.6, 0.85), rng.uniform(0.6, 0.85)).oriented_envelope
            hall = hall.intersection(block.buffer(-4))
            if hall.geom_type == "Polygon" and hall.area > 150 and rng.random() < 0.9:
                yield Building(hall, angle, rng.uniform(6, 12), "hall")


def _crowns(rng: np.random.Generator, free: BaseGeometry, use: str) -> list[Polygon]:
    """Tree crowns scattered over free ground, without touching anything else."""
    square_metres = {"homes": 90, "works": 400, "park": 130, "wood": 24, "open": 500, "verge": 150}[use]
    left, bottom, right, top = free.bounds
    count = int((right - left) * (top - bottom) / square_metres)
    centres = shapely.points(rng.uniform(left, right, count), rng.uniform(bottom, top, count))
    crowns = shapely.buffer(centres, rng.uniform(1.4, 3.6, count), quad_segs=3)
    shapely.prepare(free)
    return list(crowns[shapely.contains_properly(free, crowns)])


def _polygons(geometry: BaseGeometry) -> list[Polygon]:
    return [part for part in shapely.get_parts(geometry) if isinstance(part, Polygon) and not part.is_empty]
