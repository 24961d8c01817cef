"""Trained models to ONNX files, which other programs and installations without torch can use."""

import json
from dataclasses import replace
from pathlib import Path

from geopix2pix.deepness import deepness_metadata
from geopix2pix.errors import ConfigError, ModelFileError, OutputError
from geopix2pix.manifest import Manifest
from geopix2pix.mlm import mlm_item
from geopix2pix.model import KEY, ModelFile, manifest_text, write_whole
from geopix2pix.onnx_engine import OnnxEngine
from geopix2pix.output import check_target
from geopix2pix.parity import MAX_CHANGED, MAX_STEP, parity
from geopix2pix.progress import Event, Progress, silent
from geopix2pix.torch_engine import TorchEngine, answering
from geopix2pix.tracing import traced


def export_model(
    model: str | Path,
    output: str | Path,
    *,
    window: int | None = None,
    mlm: str | Path | None = None,
    threads: int | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Path:
    """Write a trained model as the ONNX file `output`, once it was seen to paint the same maps; its path.

    The graph reads scenes in [-1, 1] and answers with class probabilities or bands in [-1, 1]; scenes are scaled before
    it, since each may have a scaling of its own. It takes batches and windows of any size, or with `window` single
    windows of this side alone, as the QGIS plugin Deepness needs them. The metadata hold the manifest and what
    Deepness asks for. `mlm` is a JSON file for a STAC item that describes the model.

    Raises:
        ModelFileError: the model cannot be used, or ONNX Runtime computes something else; nothing is written.
        ConfigError: `window` does not fit the model, or this torch cannot export its network.
        OutputError: a file exists and `overwrite` is false, or cannot be written.
        Cancelled: `progress` asked to stop.
    """
    model, output = Path(model), Path(output)
    check_target(output, model, overwrite=overwrite)
    if mlm is not None:
        check_target(Path(mlm), model, overwrite=overwrite)
        if Path(mlm).absolute() == output.absolute():
            raise OutputError(f"{mlm}: is asked for twice; give the model and its description names of their own")
    loaded = ModelFile.load(model)
    if loaded.graph is not None:
        raise ModelFileError(f"{model}: is exported already; give the trained model (.safetensors)")
    manifest = loaded.manifest if window is None else _windowed(loaded.manifest, window)
    progress(Event("trace", 0, 1, "networks"))
    engine = TorchEngine(loaded, "cpu", threads)
    graph = traced(
        answering(loaded),
        bands=manifest.generator.in_bands,
        channels=manifest.generator.out_channels,
        stride=manifest.total_stride,
        clip=manifest.source.scaling.clip,
        window=window,
    )
    for name, text in {KEY: manifest_text(manifest), **deepness_metadata(manifest)}.items():
        graph.metadata_props.add(key=name, value=text)
    data = graph.SerializeToString(deterministic=True)
    progress(Event("trace", 1, 1, "networks"))
    exported = ModelFile.exported(data, str(output))  # what is written can be read again
    _check_parity(output, engine, exported, progress)
    write_whole(output, data)
    if mlm is not None:
        write_whole(Path(mlm), json.dumps(mlm_item(exported, output), indent=2, ensure_ascii=False).encode())
    return output


def _windowed(manifest: Manifest, window: int) -> Manifest:
    """The manifest of a model that takes windows of this side alone."""
    unit = min(manifest.total_stride, manifest.window)
    if window <= 0 or window % unit:
        raise ConfigError(f"--window {window}: the model {manifest.name!r} needs a positive multiple of {unit}")
    return replace(manifest, window=window, overlap=min(manifest.overlap, window // 2))


def _check_parity(output: Path, engine: TorchEngine, exported: ModelFile, progress: Progress) -> None:
    found = parity(engine, OnnxEngine(exported, "cpu"), exported.window, progress)
    figures = {name: float(value) for name, value in found._asdict().items()}
    progress(Event("compare", 1, 1, "models", figures))
    if not found.holds:
        raise ModelFileError(
            f"{output}: not written: in ONNX Runtime {found.changed} of {found.pixels} pixels differ, by up to "
            f"{found.step} levels and {found.difference:.3g} before rounding; at most {MAX_CHANGED:.4%} may, by "
            f"{MAX_STEP} level; upgrade torch, onnxscript and onnxruntime, or use the trained model"
        )
