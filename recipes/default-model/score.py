"""Score models on held-out pictures through `translate`: score.py PAIRS SCORES.json NAME=MODEL.safetensors ...

PAIRS is a folder with `source/` and `target/` and its palette one level up. Beside the models stands the majority
class: the class that is most common in PAIRS/../train, painted everywhere. The figures are pooled over all pixels whose
class is known; the interval is the 95 % one of a bootstrap over pictures. Pictures of one scene (the part of a name
before the first dash) are no independent samples, so the figures of each scene stand beside it.
"""

import json
import sys
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor

from geopix2pix import metrics, translate
from geopix2pix.palette import Palette
from geopix2pix.raster import RasterReader

RESAMPLES = 1000


def labels(path: Path, palette: Palette) -> Tensor:
    """The sets of classes of a target picture, shape (1, rows, cols)."""
    with RasterReader(path, expand_colors=True) as reader:
        return torch.from_numpy(palette.allowed(reader.read(reader.extent).data))[None]


def translated(source: Path, model: Path, palette: Palette) -> Tensor:
    """The classes that `translate` paints, shape (1, rows, cols)."""
    with TemporaryDirectory() as folder:
        output = translate(source, Path(folder) / "map.tif", model=model, device="cpu")
        with RasterReader(output) as reader:
            picture = torch.from_numpy(reader.read(reader.extent).data).int()
    colors = torch.from_numpy(palette.display).int()
    return torch.stack([(picture == color[:, None, None]).all(dim=0) for color in colors]).int().argmax(dim=0)[None]


def figures(matrices: dict[str, Tensor], names: tuple[str, ...]) -> dict[str, Any]:
    """Accuracy and overlap from one confusion matrix per picture."""
    pooled = torch.stack(list(matrices.values())).sum(dim=0)
    scenes: dict[str, Tensor] = {}
    for picture, matrix in matrices.items():
        scene = picture.split("-")[0]
        scenes[scene] = scenes.get(scene, torch.zeros_like(matrix)) + matrix
    stack = torch.stack(list(matrices.values()))
    draws = np.random.default_rng(0).integers(0, len(stack), (RESAMPLES, len(stack)))
    spread = np.array([[metrics.accuracy(m), metrics.mean_iou(m)] for m in (stack[draw].sum(dim=0) for draw in draws)])
    low, high = np.percentile(spread, (2.5, 97.5), axis=0)
    return {
        "palette_accuracy": metrics.accuracy(pooled),
        "palette_accuracy_interval": [low[0], high[0]],
        "mean_iou": metrics.mean_iou(pooled),
        "mean_iou_interval": [low[1], high[1]],
        "iou": dict(zip(names, metrics.class_iou(pooled).tolist(), strict=True)),
        "by_scene": {
            scene: {"palette_accuracy": metrics.accuracy(m), "mean_iou": metrics.mean_iou(m)}
            for scene, m in sorted(scenes.items())
        },
    }


def main(pairs: Path, output: Path, models: dict[str, Path]) -> None:
    """Score all models and the majority class and write the figures."""
    palette = Palette.load(pairs.parent / "palette.json")
    classes = len(palette.classes)
    counts = torch.zeros(classes, dtype=torch.int64)
    for path in sorted((pairs.parent / "train" / "target").iterdir()):
        named = metrics.named_class(labels(path, palette), classes)
        counts += torch.bincount(named[named != metrics.UNNAMED], minlength=classes)
    majority = int(counts.argmax())
    found: dict[str, dict[str, Tensor]] = {"majority class": {}, **{name: {} for name in models}}
    for source in sorted((pairs / "source").iterdir()):
        (target,) = (pairs / "target").glob(f"{source.stem}.*")
        truth = metrics.named_class(labels(target, palette), classes)
        found["majority class"][source.stem] = metrics.confusion(torch.full_like(truth, majority), truth, classes)
        for name, model in models.items():
            found[name][source.stem] = metrics.confusion(translated(source, model, palette), truth, classes)
    scores = {
        "pairs": f"{pairs.parent.name}/{pairs.name}",
        "majority_class": palette.names[majority],
        "models": {name: figures(matrices, palette.names) for name, matrices in found.items()},
    }
    output.write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8")
    print(f"{'':24} accuracy  mean IoU  " + "  ".join(palette.names))
    for name, row in scores["models"].items():
        shares = "  ".join(f"{row['iou'][c]:{len(c)}.2f}" for c in palette.names)
        print(f"{name:24} {row['palette_accuracy']:8.3f}  {row['mean_iou']:8.3f}  {shares}")


if __name__ == "__main__":
    if len(sys.argv) < 3 or not all("=" in argument for argument in sys.argv[3:]):
        sys.exit(__doc__)
    warnings.simplefilter("ignore")
    named_models = dict(argument.split("=", 1) for argument in sys.argv[3:])
    main(Path(sys.argv[1]), Path(sys.argv[2]), {name: Path(path) for name, path in named_models.items()})
