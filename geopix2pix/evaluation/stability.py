"""What a model does beside being right or wrong: patterns on nothing, another map in training mode, seams."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from geopix2pix import networks, products
from geopix2pix.engine import Engine
from geopix2pix.errors import SceneError
from geopix2pix.grid import WindowGrid
from geopix2pix.manifest import Manifest
from geopix2pix.model import ModelFile
from geopix2pix.normalize import Scaling
from geopix2pix.progress import Progress
from geopix2pix.raster import RasterReader
from geopix2pix.seams import levels, measured_seams

CONSTANTS = (-1.0, 0.0, 1.0)  # scenes as dark, as middling and as bright as can be
LARGEST = 512  # side of the window that is computed in both modes, pixels

Values = npt.NDArray[np.float32]


def flatness(engine: Engine, grid: WindowGrid) -> dict[str, Any]:
    """What the model paints on scenes of one colour, where the right answer is one colour; ready for JSON.

    `spread` is the largest difference before any rounding, in grey levels, `colors` the largest number of colours in
    the finished map, both over the part of a window that is used where others lie beside it.
    """
    manifest = engine.manifest
    used = slice(grid.crop, grid.window - grid.crop)
    spreads, colors = [], []
    for value in CONSTANTS:
        scene = np.full((1, manifest.generator.in_bands, grid.window, grid.window), value, np.float32)
        found = engine.predict(scene)[0][:, used, used]
        spreads.append(float(np.ptp(_levels(found, manifest), axis=(1, 2)).max()))
        pixels = found.argmax(axis=0)[None] if manifest.target.palette else products.painted("map", found, manifest)
        colors.append(len(np.unique(pixels.reshape(len(pixels), -1), axis=1).T))
    return {"spread": max(spreads), "colors": max(colors), "passed": max(colors) == 1}


def train_eval(model: ModelFile, patch: Values) -> dict[str, Any]:
    """How far the map in training mode, by the statistics of the picture and with dropout, is from that in use.

    `patch` is (bands, rows, cols) in [-1, 1]. The published pix2pix paints in training mode (Isola et al. 2017,
    section 3.3), we never do; a large difference says that what was judged while training is not what is used.
    `difference` is the mean absolute one in grey levels, `changed` the share of pixels of another class.
    """
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        generator = networks.generator(model.manifest.generator).float()
        state = {name: torch.from_numpy(np.array(array)) for name, array in model.weights.items()}
        generator.load_state_dict(state, strict=False)
        used, trained = (_answer(generator.train(mode), patch, model.manifest) for mode in (False, True))
    classes = model.manifest.target.palette is not None
    first, second = (_levels(values, model.manifest) for values in (used, trained))
    return {
        "side": patch.shape[1],
        "difference": float(np.abs(first - second).mean()),
        "changed": float((used.argmax(axis=0) != trained.argmax(axis=0)).mean()) if classes else None,
    }


def _answer(generator: networks.Generator, patch: Values, manifest: Manifest) -> Values:
    output = generator(torch.from_numpy(patch)[None])
    if manifest.generator.head == "palette":
        output = (output / (manifest.temperature or 1.0)).softmax(dim=1)
    values: Values = output[0].numpy()
    return values


def _levels(values: Values, manifest: Manifest) -> Values:
    palette = manifest.target.palette
    return levels(values, palette.display if palette else None)


def middle(reader: RasterReader, manifest: Manifest, scaling: Scaling) -> Values:
    """The middle of a scene as the network sees it, at most `LARGEST` pixels square if its stride allows."""
    side = manifest.window
    if side > LARGEST >= manifest.total_stride:
        side = LARGEST // manifest.total_stride * manifest.total_stride
    col, row = (reader.width - side) // 2, (reader.height - side) // 2
    window = reader.extent._replace(col=col, row=row, width=side, height=side)
    return scaling.forward(reader.read(window).data)


def seams(
    reader: RasterReader, engine: Engine, scaling: Scaling, grid: WindowGrid, batch: int, progress: Progress
) -> dict[str, Any]:
    """The seam measures of a scene, or why there are none."""
    try:
        return measured_seams(reader, engine, scaling, grid, batch=batch, progress=progress)
    except SceneError as error:
        return {"not_measured": str(error)}
