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
    """Fetch models, look into them, calibrate and export them."""


@model.command()
@click.argument("address", metavar="hf:OWNER/NAME|URL|FILE")
@click.option("--sha256", metavar="DIGEST", help="What the file must have; needed for http without encryption.")
@click.option("--shelf", type=options.FILE, help="The folder that keeps models; the default is one of your own.")
@click.option("--proxy", default="", help="URL of a proxy; those of the system are not used.")
@options.overwrite
@options.work
def pull(address: str, *, report: Report, sha256: str | None, shelf: Path | None, proxy: str, overwrite: bool) -> None:
    """Fetch a model once, check it, keep it, and print where it lies; `--model ADDRESS` then finds it.

    Of a repository on Hugging Face the file model.safetensors is taken, or FILE of hf:OWNER/NAME/FILE; REVISION of
    hf:OWNER/NAME@REVISION fixes a version. Only .safetensors and .onnx files that geopix2pix wrote are accepted: they
    hold no code.
    """
    from dataclasses import replace

    from geopix2pix.modelshelf import NETWORK, pull

    network = replace(NETWORK, proxy=proxy)
    keep = shelf or options.shelf()
    report.result(pull(address, keep, sha256=sha256, overwrite=overwrite, network=network, progress=report))


@model.command("list")
@click.option("--shelf", type=options.FILE, help="As for pull.")
@options.as_json
@options.query
def list_(shelf: Path | None, *, as_json: bool, report: Report) -> None:
    """Show the models that are here: the one in the package and those that were pulled."""
    from geopix2pix.model import ModelFile, default_model
    from geopix2pix.modelshelf import Kept, kept

    default = default_model()
    there = [Kept(address="default", path=default, sha256=ModelFile.load(default).digest)]
    there += kept(shelf or options.shelf())
    if as_json:
        report.result(
            json.dumps([{"address": k.address, "path": str(k.path), "sha256": k.sha256} for k in there], indent=2)
        )
    else:
        report.result("\n".join(f"{k.address:40} {k.sha256[:12]} {k.path}" for k in there))


@model.command()
@click.argument("file", type=options.MODEL, required=False)
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
@click.argument("file", type=options.MODEL, metavar="MODEL")
@click.argument("pairs", type=options.FILE)
@click.argument("out", type=options.FILE)
@click.option("--layout", type=click.Choice(options.LAYOUTS), default="auto", show_default=True, help="As for train.")
@click.option("--palette", type=options.FILE, help="As for train.")
@click.option("--validation", type=click.FloatRange(0, 1), default=0.1, show_default=True, help="As for train.")
@click.option("--report", "measured", type=options.FILE, help="Write what the confidence is worth as JSON.")
@options.device
@options.threads
@options.overwrite
@options.work
def calibrate(file: Path, pairs: Path, out: Path, *, report: Report, measured: Path | None, **values: Any) -> None:
    """Write MODEL as OUT with the temperature that fits the held-out PAIRS, so that its confidence can be believed."""
    from geopix2pix.calibrating import calibrate

    report.result(calibrate(file, pairs, out, report=measured, progress=report, **values))


@model.command()
@click.argument("file", type=options.MODEL, metavar="MODEL|default")
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
        "temperature": "uncalibrated" if m.temperature is None else f"{m.temperature:g}",
        "SHA-256": loaded.digest,
    }
