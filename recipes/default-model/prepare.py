"""Arrange the pictures that the default model is made and judged with as training pairs: `prepare.py DATA OUT`.

DATA is the folder that holds `train/dubai`, `train/japan-roads` and so on. Pictures are linked, not copied. Of Banepa
only `zones.geojson` is written, with which `geopix2pix tiles build` makes the tiles; the README has the command.
"""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mercantile
from shapely import Polygon, box, union_all
from shapely.geometry import mapping

CLASSES = [
    {"name": "land", "color": "8429F6", "display": "F2EFE9"},
    {"name": "building", "color": "3C1098", "display": "D9D0C9"},
    {"name": "road", "color": "6EC1E4", "display": "FFFFFF"},
    {"name": "vegetation", "color": "FEDD3A", "display": "ADD19E"},
    {"name": "water", "color": "E2A929", "display": "AAD3DF"},
]
SPLITS_OF_TILES = {"train": (5, 6, 7, 8), "validation": (1, 2), "test": (3, 4)}
ROADS = {"japan": "FF7850", "vegas": "FFFFFF", "shanghai": "FFFF00"}
"""The colour of roads in the masks of each place; black is everything else."""
DRY = (1019, 1025, 108, 154, 35, 363, 406, 433, 520, 588, 602, 804, 806, 825, 832, 880, 971, 975, 979)
"""The pictures of Japan that show no water, as far as the eye can tell; where there was a doubt they are left out."""
ZOOM, WEST, EAST, NORTH, SOUTH = 19, 386690, 386695, 220241, 220248
"""The web-map tiles of Banepa."""


def prepare(data: Path, out: Path) -> None:
    """Link all pairs into `out/SET/{train,validation,test}/{source,target}` and write palettes and zones."""
    for split, tiles in SPLITS_OF_TILES.items():
        for tile in tiles:
            for image in sorted((data / "train" / "dubai" / f"Tile {tile}" / "images").iterdir()):
                part = int(re.sub(r"\D", "", image.stem))
                mask = image.parents[1] / "masks" / f"{image.stem}.png"
                _link_pair(out / "dubai" / split, f"tile{tile}-part{part}", image, mask)
    _write(out / "dubai" / "palette.json", {"classes": CLASSES, "unlabelled": ["9B9B9B", "000000"]})
    for place in ROADS:
        _link_roads(data, place, out / place, ["road"])
    # Where nothing is water, dark asphalt and shadows are not water either.
    _link_roads(data, "japan", out / "japan-dry", ["road", "water"], lambda name: int(name) in DRY)
    _link_roads(data, "japan", out / "japan-wet", ["road"], lambda name: int(name) not in DRY)
    _write(out / "zones.geojson", zones())


def zones() -> dict[str, Any]:
    """Banepa's tiles to choose by, its westernmost column, and to report on, the twelve that lie furthest east."""
    parts = {
        "validation": _area(WEST, NORTH, WEST, SOUTH),
        "test": union_all([_area(EAST - 1, SOUTH - 3, EAST - 1, SOUTH), _area(EAST, NORTH, EAST, SOUTH)]),
    }
    features = [
        {"type": "Feature", "properties": {"split": split}, "geometry": mapping(area)} for split, area in parts.items()
    ]
    return {"type": "FeatureCollection", "features": features}


def _area(west: int, north: int, east: int, south: int) -> Polygon:
    """The ground of a rectangle of tiles, both ends included."""
    top_left, bottom_right = mercantile.ul(west, north, ZOOM), mercantile.ul(east + 1, south + 1, ZOOM)
    return box(top_left.lng, bottom_right.lat, bottom_right.lng, top_left.lat)


def _link_roads(
    data: Path, place: str, folder: Path, knows: list[str], chosen: Callable[[str], bool] = lambda name: True
) -> None:
    """Pairs of one place: every sixth picture to report on, the one after it to choose by."""
    for number, image in enumerate(sorted((data / "train" / f"{place}-roads" / "images").iterdir())):
        split = {0: "test", 1: "validation"}.get(number % 6, "train")
        if chosen(image.stem):
            _link_pair(folder / split, image.stem, image, image.parents[1] / "masks" / image.name)
    classes = [{**c, "target": ROADS[place]} if c["name"] == "road" else c for c in CLASSES]
    _write(folder / "palette.json", {"classes": classes, "knows": knows, "other": ["000000"]})


def _link_pair(folder: Path, name: str, image: Path, mask: Path) -> None:
    for side, original in (("source", image), ("target", mask)):
        link = folder / side / f"{name}{original.suffix}"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(original.resolve(strict=True))


def _write(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    prepare(Path(sys.argv[1]), Path(sys.argv[2]))
