"""Models as STAC items of the Machine Learning Model extension (stac-extensions/mlm, version 1.4.0).

The extension has no task "image to image" and no fields for windows that overlap, so these are ours: `geopix2pix:*`.
"""

import re
from pathlib import Path
from typing import Any

from geopix2pix.grid import WindowGrid
from geopix2pix.manifest import Manifest
from geopix2pix.model import ModelFile

EXTENSIONS = [
    "https://stac-extensions.github.io/mlm/v1.4.0/schema.json",
    "https://stac-extensions.github.io/file/v2.1.0/schema.json",
    "https://stac-extensions.github.io/version/v1.2.0/schema.json",
]
SHA256 = "1220"  # how a multihash of this kind begins: its code and the number of its bytes


def mlm_item(model: ModelFile, path: Path) -> dict[str, Any]:
    """The STAC item of the model in the file `path`, as JSON values; the asset is the file beside the item.

    Where and when a model holds is not known, so it has no geometry and an open time.
    """
    m = model.manifest
    exported = model.graph is not None
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": EXTENSIONS,
        "id": f"{_name(m.name)}-{_plain(m.version)}",
        "geometry": None,
        "properties": {
            "title": f"{m.name} {m.version}",
            "description": "; ".join(f"{topic}: {text}" for topic, text in m.provenance.items() if topic != "config"),
            "datetime": None,
            "start_datetime": "1900-01-01T00:00:00Z",
            "end_datetime": "9999-12-31T23:59:59Z",
            "version": m.version,
            "bands": [{"name": name, "data_type": m.source.dtype} for name in m.source.names],
            "mlm:name": _name(m.name),
            "mlm:architecture": "U-Net",
            "mlm:tasks": _tasks(m),
            "mlm:framework": "ONNX" if exported else "PyTorch",
            "mlm:total_parameters": sum(array.size for array in model.weights.values()),
            "mlm:input": [_input(m, model.window)],
            "mlm:output": [_output(m, model.window)],
            **_own(m),
        },
        "links": [],
        "assets": {
            "model": {
                "href": f"./{path.name}",
                "type": f"application/octet-stream; framework={'onnx' if exported else 'safetensors'}",
                "title": f"{m.name} {m.version}",
                "roles": ["mlm:model", "mlm:compiled" if exported else "mlm:weights"],
                "mlm:artifact_type": "onnx" if exported else "safetensors",
                "file:size": path.stat().st_size,
                "file:checksum": SHA256 + model.digest,
            }
        },
    }


def _tasks(m: Manifest) -> list[str]:
    return ["semantic-segmentation"] if m.target.palette else ["generative"]


def _input(m: Manifest, window: int | None) -> dict[str, Any]:
    scaling = m.source.scaling
    return {
        "name": "scene",
        "description": f"{m.source.dtype} values{', clipped to the range' if scaling.clip else ''}, scaled to [-1, 1]",
        "bands": list(m.source.names),
        "input": _structure(len(m.source.names), "channel", window),
        "value_scaling": [
            {"type": "z-score", "mean": (low + high) / 2, "stddev": (high - low) / 2}
            for low, high in zip(scaling.low, scaling.high, strict=True)
        ],
        "resize_type": None,
        "pre_processing_function": None,
    }


def _output(m: Manifest, window: int | None) -> dict[str, Any]:
    palette = m.target.palette
    output: dict[str, Any] = {
        "name": "answer",
        "description": "probabilities of the classes" if palette else "bands of the target in [-1, 1]",
        "tasks": _tasks(m),
        "result": _structure(m.generator.out_channels, "class" if palette else "channel", window),
        "post_processing_function": None,
    }
    if palette:
        output["classification:classes"] = [
            {"value": i, "name": _plain(c.name), "description": c.name, "color_hint": bytes(c.display).hex().upper()}
            for i, c in enumerate(palette.classes)
        ]
    return output


def _structure(channels: int, kind: str, window: int | None) -> dict[str, Any]:
    shape = [-1, channels, -1, -1] if window is None else [1, channels, window, window]
    return {"shape": shape, "dim_order": ["batch", kind, "height", "width"], "data_type": "float32"}


def _own(m: Manifest) -> dict[str, Any]:
    """What decides a translation and has no place in the extension."""
    described = m.to_json()
    fields = ("window", "overlap", "total_stride", "receptive_field", "tile_independent", "ground_resolution")
    grid = WindowGrid.fitted(m.window, m.window, window=m.window, overlap=m.overlap, stride=m.total_stride)
    return {
        **{f"geopix2pix:{field}": described[field] for field in fields},
        "geopix2pix:halo": grid.crop,
        "geopix2pix:feather": grid.feather,
        "geopix2pix:generator": described["generator"],
        "geopix2pix:target": described["target"],
        "geopix2pix:provenance": described["provenance"],
    }


def _name(text: str) -> str:
    """The name in the letters that the extension allows: one first, a letter or a digit last, three at least."""
    plain = _plain(text).strip("_.-")
    return plain if re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]+[A-Za-z0-9]", plain) else f"model-{plain or 'unnamed'}"


def _plain(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text)
