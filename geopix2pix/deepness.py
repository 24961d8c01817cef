"""What the QGIS plugin Deepness reads in the metadata of an ONNX file.

Its names, as its loader looks them up; every value is JSON. Deepness gives a network 8-bit values over 255, less a
mean, over a deviation, and takes the place of the first output. It asks for a fixed, square window.
"""

import json
from typing import Any

from geopix2pix.manifest import Manifest

WHITE = 255.0  # what Deepness divides by, whatever the scene


def deepness_metadata(manifest: Manifest) -> dict[str, str]:
    """The entries that let Deepness show what a model of 8-bit scenes does; none for other scenes, which it cannot."""
    if manifest.source.dtype != "uint8":
        return {}
    scaling = manifest.source.scaling
    ranges = list(zip(scaling.low, scaling.high, strict=True))
    entries: dict[str, Any] = {
        "standardization_mean": [(low + high) / 2 / WHITE for low, high in ranges],
        "standardization_std": [(high - low) / 2 / WHITE for low, high in ranges],
        "tile_size": manifest.window,  # the name in its code
        "tiles_size": manifest.window,  # the name in its documentation
        "tiles_overlap": round(100 * manifest.overlap / manifest.window),
        **_target(manifest),
    }
    sizes = [size for size in (manifest.ground_resolution.low, manifest.ground_resolution.high) if size is not None]
    if sizes:
        entries["resolution"] = 100 * sum(sizes) / len(sizes)  # centimetres
    return {name: json.dumps(value) for name, value in entries.items()}


def _target(manifest: Manifest) -> dict[str, Any]:
    palette, scaling = manifest.target.palette, manifest.target.scaling
    if palette is not None:
        names = {str(index): name for index, name in enumerate(palette.names)}
        return {"model_type": "Segmentor", "class_names": names, "seg_thresh": 0.0}  # the likeliest class, however sure
    assert scaling is not None, "a manifest has a palette or a scaling"
    # It can multiply what it shows, but not add to it: values come out around zero, in the target's own units.
    names = {str(index): name for index, name in enumerate(manifest.target.names)}
    return {
        "model_type": "Regressor",
        "class_names": names,
        "reg_output_scaling": (scaling.high[0] - scaling.low[0]) / 2,
    }
