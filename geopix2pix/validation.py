"""How good a model is while it is trained: scores on the held-out pairs, and a picture for the eye."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image  # not a raster of ours, and the torch half opens none; Pillow comes with torchvision
from torch import Tensor

from geopix2pix import losses, metrics
from geopix2pix.dataset import Item, StillTiles
from geopix2pix.learner import Learner
from geopix2pix.palette import Palette
from geopix2pix.progress import Event, Progress, silent
from geopix2pix.registration import Offset, offset
from geopix2pix.run import Run

SAMPLES = 4  # crops in a picture
UNNAMED_GRAY = 128
REGISTERED = 32  # pairs whose offset is measured: half a second, and plenty for one that all have in common


@torch.no_grad()
def scores(run: Run, learner: Learner, progress: Progress = silent) -> dict[str, float]:
    """Figures on the held-out crops, of which the higher `score` is the better; empty where there are no crops."""
    learner.model.eval()
    batches: list[Item] = []
    outputs: list[Tensor] = []
    total = -(-len(run.validation) // run.config.batch)
    for batch in run.validation_batches():
        batches.append(batch)
        outputs.append(learner.predict(batch["source"]))
        progress(Event("judge", len(batches), total, "batches"))
    if not batches:
        return {}
    if run.palette is None:
        target, known = (torch.cat([batch[name] for batch in batches]) for name in ("target", "known"))
        predicted = torch.cat(outputs)
        l1 = losses.l1_loss(predicted, target, known).item()
        figures = {"l1": l1, "score": -l1, "variety": metrics.value_variety(predicted, target, known)}
        return {name: value for name, value in figures.items() if math.isfinite(value)}
    classes, allowed = len(run.palette.classes), torch.cat([batch["allowed"] for batch in batches])
    predicted = torch.cat([output.argmax(dim=1) for output in outputs])
    matrix = metrics.confusion(predicted, metrics.named_class(allowed, classes), classes)
    accuracy, iou = metrics.palette_accuracy(predicted, allowed, classes), metrics.mean_iou(matrix)
    # Where the pairs name only some classes, the overlap would reward painting these everywhere.
    complete = all(s.palette and set(s.palette.knows) == set(s.palette.names) for s in run.sets if s.validation)
    figures = {"accuracy": accuracy, "mean_iou": iou, "score": iou if complete else accuracy}
    figures["variety"] = metrics.class_variety(matrix)
    for entry, value in zip(run.palette.classes, metrics.class_iou(matrix).tolist(), strict=True):
        figures[f"iou_{entry.name}"] = value
    return {name: value for name, value in figures.items() if math.isfinite(value)}  # no class may occur


def offsets(run: Run, progress: Progress = silent) -> Iterator[Offset]:
    """How far the targets of some training pairs lie beside their sources."""
    still = StillTiles(run.sets, run.config, run.source, run.target, part="train")
    for number in range(min(len(still), REGISTERED)):
        item = still[number]
        target = item["allowed"][None] if "allowed" in item else item["target"]
        known = item["known"] if "known" in item else item["allowed"] != item["allowed"].max()
        yield offset(item["source"].numpy(), target.numpy(), known.numpy())
        progress(Event("compare", number + 1, min(len(still), REGISTERED), "pairs"))


def shares(run: Run) -> dict[str, dict[str, float]]:
    """The shares of the classes in some training crops of each set; empty where there are no classes."""
    if run.palette is None:
        return {}
    found = {}
    for pairs in run.sets:
        still = StillTiles([pairs], run.config, run.source, run.target, part="train")
        count = min(len(still), REGISTERED)
        crops = [still[i * len(still) // count]["allowed"] for i in range(count)]
        named = torch.bincount(metrics.named_class(torch.stack(crops), len(run.palette.classes)).flatten() + 1)
        whole, names = int(named.sum()), run.palette.names
        found[pairs.name] = {name: int(n) / whole for name, n in zip(names, named[1:], strict=False)}
    return found


def variants(run: Run) -> float:
    """How much the targets of some training crops differ: sets of classes, or levels between the extremes of a band."""
    still = StillTiles(run.sets, run.config, run.source, run.target, part="train")
    crops = [still[i * len(still) // REGISTERED] for i in range(REGISTERED)]
    if run.palette is not None:
        found = np.unique([crop["allowed"].numpy() for crop in crops])
        return float(np.sum(found != run.palette.everything))
    values = torch.cat([crop["target"][:, crop["known"]] for crop in crops], dim=1)
    return float((values.amax(dim=1) - values.amin(dim=1)).max() * 127.5) + 1 if values.shape[1] else 0.0


@torch.no_grad()
def write_samples(path: Path, run: Run, learner: Learner) -> None:
    """Write a PNG with source, target and output of a few crops, one per row; held-out ones where there are any."""
    held_out, seen = run.validation, run.training
    count = min(len(held_out), SAMPLES)
    items = [held_out[i * len(held_out) // count] for i in range(count)] or [seen[i] for i in range(SAMPLES)]
    learner.model.eval()
    rows = [np.concatenate(_pictures(item, learner, run.palette), axis=1) for item in items]
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(np.concatenate(rows)).save(path)


def _pictures(item: Item, learner: Learner, palette: Palette | None) -> list[npt.NDArray[np.uint8]]:
    output = learner.predict(item["source"][None])[0]
    if palette is None:
        return [_seen(item["source"]), _seen(item["target"]), _seen(output)]
    named = metrics.named_class(item["allowed"][None], len(palette.classes))[0].numpy()
    target = np.where((named == metrics.UNNAMED)[..., None], np.uint8(UNNAMED_GRAY), palette.display[named])
    return [_seen(item["source"]), target, palette.display[output.argmax(dim=0).numpy()]]


def _seen(bands: Tensor) -> npt.NDArray[np.uint8]:
    """The first three bands in [-1, 1], or the first as grey, as a picture (rows, cols, 3)."""
    shown = bands[:3] if len(bands) >= 3 else bands[:1].expand(3, -1, -1)
    picture: npt.NDArray[np.uint8] = ((shown + 1) * 127.5).round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
    return picture
