"""Translate pictures that the model in the package was not fitted to, and show the maps on one sheet.

    python maps.py DATA SHEET.png

DATA is the folder that holds `scenes/` and `train/`; of `train/` only what is for reporting on is shown. The sheet has
the colours of the map alone and no imagery.
"""

import sys
import tempfile
from pathlib import Path

import rasterio
from PIL import Image, ImageDraw

from geopix2pix.translation import translate
from geopix2pix.vrt import write_mosaics

SIDE, COLUMNS, GAP, CAPTION = 400, 4, 12, 16  # pixels, pictures, pixels, pixels
BACKGROUND, INK = (255, 255, 255), (0, 0, 0)
PICTURES = {
    "Las Vegas": "scenes/vegas/scene.tif",
    "NAIP, road": "scenes/naip/m_3211605_ne_11_060_20200415.tif",
    "NAIP, marsh": "scenes/naip/m_4112001_sw_10_060_20220716.tif",
    "market, drone": "scenes/drone/drone.tif",
    "Dubai, tile 3": "train/dubai/Tile 3/images/image_part_005.jpg",
    "Dubai, tile 4": "train/dubai/Tile 4/images/image_part_005.jpg",
    "Japan 1019": "train/japan-roads/images/1019.webp",
    "Japan 806": "train/japan-roads/images/806.webp",
    "Shanghai 10310": "train/shanghai-roads/images/10310.webp",
    "Las Vegas, roads": "train/vegas-roads/images/10217.webp",
}
MOSAIC = ("Banepa", "train/banepa-buildings/unlabelled")
"""Sixteen tiles that lie apart from those that were learned from."""


def sheet(data: Path, output: Path) -> None:
    """Write the maps of all pictures, each with its name above it, as a PNG with a colour table."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        mosaic = write_mosaics(work / "mosaic.vrt", sorted((data / MOSAIC[1]).glob("*.tif"))).paths[0]
        sources = {MOSAIC[0]: mosaic, **{name: data / path for name, path in PICTURES.items()}}
        maps = {name: _map(source, work / f"{name}.tif") for name, source in sources.items()}
    rows = -(-len(maps) // COLUMNS)
    cell = (SIDE + GAP, SIDE + GAP + CAPTION)
    page = Image.new("RGB", (COLUMNS * cell[0], rows * cell[1]), BACKGROUND)
    for number, (name, picture) in enumerate(maps.items()):
        left, top = number % COLUMNS * cell[0], number // COLUMNS * cell[1]
        ImageDraw.Draw(page).text((left, top), name, fill=INK)
        page.paste(picture, (left, top + CAPTION))
    page.quantize(16, dither=Image.Dither.NONE).save(output, optimize=True)


def _map(source: Path, output: Path) -> Image.Image:
    """The map of a picture, made smaller without mixing its colours, framed."""
    with rasterio.open(translate(source, output)) as result:
        picture = Image.fromarray(result.read().transpose(1, 2, 0)[..., :3])
    picture.thumbnail((SIDE, SIDE), Image.Resampling.NEAREST)
    ImageDraw.Draw(picture).rectangle((0, 0, picture.width - 1, picture.height - 1), outline=INK)
    return picture


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sheet(Path(sys.argv[1]), Path(sys.argv[2]))
