"""Arrange the Dubai aerial images and their masks as training pairs: `prepare.py DATA OUT`.

DATA is the folder that holds `train/dubai`. Pictures are linked, not copied.
"""

import json
import re
import sys
from pathlib import Path

SPLITS = {"train": (5, 6, 7, 8), "validation": (1, 2), "test": (3, 4)}
PALETTE = {
    "classes": [
        {"name": "land", "color": "8429F6", "display": "F2EFE9"},
        {"name": "building", "color": "3C1098", "display": "D9D0C9"},
        {"name": "road", "color": "6EC1E4", "display": "FFFFFF"},
        {"name": "vegetation", "color": "FEDD3A", "display": "ADD19E"},
        {"name": "water", "color": "E2A929", "display": "AAD3DF"},
    ],
    "unlabelled": ["9B9B9B", "000000"],
}


def prepare(data: Path, out: Path) -> None:
    """Link all pairs into `out/dubai/{train,validation,test}/{source,target}` and write the palette."""
    for split, tiles in SPLITS.items():
        for tile in tiles:
            for image in sorted((data / "train" / "dubai" / f"Tile {tile}" / "images").iterdir()):
                part = int(re.sub(r"\D", "", image.stem))
                mask = image.parents[1] / "masks" / f"{image.stem}.png"
                name, folder = f"tile{tile}-part{part}", out / "dubai" / split
                _link(image, folder / "source" / f"{name}.jpg")
                _link(mask, folder / "target" / f"{name}.png")
    (out / "dubai" / "palette.json").write_text(json.dumps(PALETTE, indent=1) + "\n", encoding="utf-8")


def _link(original: Path, link: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(original.resolve(strict=True))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    prepare(Path(sys.argv[1]), Path(sys.argv[2]))
