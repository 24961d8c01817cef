"""What `translate --clean` gains and loses: cleaning.py PAIRS [MODEL] [SIZE ...].

PAIRS is a folder with `source/` and `target/` and its palette one level up, such as the Dubai pictures that
recipes/default-model/prepare.py arranges. Each picture is translated as `translate` does it, and its classes are
cleaned with each SIZE in pixels. Printed are the share of right pixels and the mean overlap, pooled over all pixels
whose class is known, and how many regions there are in a million pixels, against that in the targets.
"""

import sys
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from rasterio.features import shapes, sieve

from geopix2pix import metrics, translate
from geopix2pix.model import default_model
from geopix2pix.palette import Palette
from geopix2pix.raster import RasterReader

SIZES = (0, 16, 64, 256, 1024)


def classes_of(path: Path, palette: Palette) -> np.ndarray:
    """The classes of a target picture by index, `metrics.UNNAMED` where they are not known."""
    with RasterReader(path, expand_colors=True) as reader:
        allowed = torch.from_numpy(palette.allowed(reader.read(reader.extent).data))
    return metrics.named_class(allowed[None], len(palette.classes))[0].numpy()


def painted(source: Path, model: Path) -> np.ndarray:
    """The classes that `translate` paints."""
    with TemporaryDirectory() as folder:
        paths = {name: Path(folder) / f"{name}.tif" for name in ("map", "classes")}
        translate(source, paths["map"], model=model, classes=paths["classes"], device="cpu", threads=1)
        with RasterReader(paths["classes"]) as reader:
            return reader.read(reader.extent).data[0].astype(np.uint8)


def regions(classes: np.ndarray) -> float:
    """How many there are in a million pixels."""
    return 1e6 * sum(1 for _ in shapes(classes.astype(np.int16), connectivity=4)) / classes.size


def main(pairs: Path, model: Path, sizes: tuple[int, ...]) -> None:
    palette = Palette.load(pairs.parent / "palette.json")
    count = len(palette.classes)
    matrices = {size: torch.zeros(count, count, dtype=torch.int64) for size in sizes}
    found: dict[int, list[float]] = {size: [] for size in sizes}
    true = []
    for source in sorted((pairs / "source").iterdir()):
        truth = classes_of(next((pairs / "target").glob(f"{source.stem}.*")), palette)
        true.append(regions(truth))
        classes = painted(source, model)
        for size in sizes:
            clean = sieve(classes, size) if size else classes
            found[size].append(regions(clean))
            matrices[size] += metrics.confusion(torch.from_numpy(clean).long(), torch.from_numpy(truth), count)
    print(f"{'clean':>6} {'accuracy':>9} {'mean IoU':>9} {'regions':>9}   (targets: {np.mean(true):.0f})")
    for size in sizes:
        accuracy, iou = metrics.accuracy(matrices[size]), metrics.mean_iou(matrices[size])
        print(f"{size:6} {accuracy:9.4f} {iou:9.4f} {np.mean(found[size]):9.0f}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    warnings.simplefilter("ignore")
    given = [Path(argument) for argument in sys.argv[2:] if not argument.isdigit()]
    main(
        Path(sys.argv[1]),
        given[0] if given else default_model(),
        tuple(map(int, filter(str.isdigit, sys.argv[2:]))) or SIZES,
    )
