"""The command `geopix2pix model`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import options
from .report import Report

if TYPE_CHECKING:
    from geopix2pix.model import ModelFile


@click.group()
def model() -> None:
    """Look into model files, and export them."""


@model.command()
@click.argument("file", type=options.FILE, required=False)
@options.as_json
@options.query
def info(file: Path | None, *, as_json: bool, report: Report) -> None:
    """Show what the model FILE says about itself; the default is the model in the package."""
    from geopix2pix.model import ModelFile, default_model

    loaded = ModelFile.load(file or default_model())
    if as_json:
        facts = {"digest": loaded.digest, "values": _values(loaded), "form": _form(loaded)}
        facts["manifest"] = loaded.manifest.to_json()
        report.result(json.dumps(facts, indent=2))
    else:
        report.result("\n".join(f"{name:18} {value}" for name, value in _described(loaded).items()))


@model.command()
@click.argument("file", type=options.FILE, metavar="MODEL|default")
@click.argument("out", type=options.FILE)
@click.option(
    "--window",
    type=click.IntRange(min=1),
    help="Take single windows of this side alone, as the QGIS plugin Deepness needs; the default takes any.",
)
@click.option("--mlm", type=options.FILE, metavar="FILE", help="Describe the model as a STAC item, in JSON.")
@options.threads
@options.overwrite
@options.work
def export(file: Path, out: Path, *, report: Report, **values: Any) -> None:
    """Write a trained MODEL as OUT, an ONNX file for other programs and for installations without torch.

    It is written only if ONNX Runtime paints the same maps with it. "default" is the model in the package.
    """
    from geopix2pix.export import export_model
    from geopix2pix.model import default_model

    report.result(export_model(default_model() if file == Path("default") else file, out, progress=report, **values))


def _values(loaded: "ModelFile") -> int:
    return sum(array.size for array in loaded.weights.values())


def _form(loaded: "ModelFile") -> str:
    return "trained" if loaded.graph is None else f"exported, ONNX operators {loaded.graph.opset}"


def _described(loaded: "ModelFile") -> dict[str, str]:
    m, generator, resolution = loaded.manifest, loaded.manifest.generator, loaded.manifest.ground_resolution
    network = f"encoder {generator.encoder}" if generator.body == "encoder" else f"U-Net of depth {generator.depth}"
    palette = m.target.palette
    sizes = f"{resolution.low or 'any'} to {resolution.high or 'any'} m per pixel ({resolution.basis})"
    field = f"{m.receptive_field} pixels" if m.receptive_field else "the whole window"
    only = " and no other" if loaded.window else ""
    return {
        "model": f"{m.name} {m.version}, written by geopix2pix {m.package}",
        "form": _form(loaded),
        "network": f"{network}, {generator.head} head, norm {generator.norm}, {_values(loaded):,} values",
        "reads": f"{', '.join(m.source.names)} ({m.source.dtype})",
        "writes": f"{', '.join(m.target.names)} ({m.target.dtype})",
        "classes": ", ".join(palette.names) if palette else "none",
        "window": f"{m.window} pixels{only}, {m.overlap} of them shared, stride {m.total_stride}",
        "receptive field": field,
        "tile-independent": "yes" if m.tile_independent else "no: seams cannot be ruled out",
        "ground resolution": sizes if resolution.basis else "unknown",
        **{f"provenance: {topic}": text for topic, text in m.provenance.items()},
        "SHA-256": loaded.digest,
    }
