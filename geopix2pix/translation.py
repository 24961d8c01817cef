"""A georeferenced scene in, a georeferenced map on the same grid out."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geopix2pix import __version__
from geopix2pix.blend import Blender
from geopix2pix.engine import Engine, EngineName, check_engine, load_engine, package_model
from geopix2pix.errors import ConfigError, OutputError, SceneError
from geopix2pix.gdal import MAX_PIXELS
from geopix2pix.grid import WindowGrid, alignment
from geopix2pix.manifest import Manifest
from geopix2pix.model import ModelFile
from geopix2pix.mosaic import pieces
from geopix2pix.normalize import Scaling
from geopix2pix.output import OutputSpec, check_target, write_bytes
from geopix2pix.preview import side_by_side
from geopix2pix.progress import Event, Progress, silent
from geopix2pix.raster import RasterReader
from geopix2pix.scene import SceneScaling, open_scene, scene_scaling, warn_of_doubts
from geopix2pix.seams import measured_seams
from geopix2pix.writer import RasterWriter

GPU_BATCH = 8  # keeps a GPU busy with windows of 512 pixels; on a CPU batches cost memory and save no time


def translate(
    source: str | Path,
    output: str | Path,
    *,
    model: str | Path | None = None,
    engine: EngineName | None = None,
    device: str = "auto",
    threads: int | None = None,
    batch: int | None = None,
    window: int | None = None,
    overlap: int | None = None,
    bands: Sequence[int] | None = None,
    scaling: SceneScaling = "model",
    max_pixels: int = MAX_PIXELS,
    seam_report: str | Path | None = None,
    preview: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Path:
    """Translate the raster `source` with a model into `output`, a cloud-optimised GeoTIFF; its path.

    The result has the source's size, CRS and transform; what is not valid in the source is masked in it. A run that was
    killed or cancelled goes on where it stopped when it is called again with the same arguments.

    `model` defaults to the one in the package, `engine` to the one that computes files of its kind, `window` and
    `overlap` (pixels) to the model's own, `threads` to the engine's choice, `bands` (1-based) to the scene's bands of
    the names that the model reads. `seam_report` is a JSON file for the seam measures of this scene and model,
    `preview` a PNG that shows scene and result side by side.

    Raises:
        RasterError: the source cannot be opened or read.
        SceneError: the source does not fit the model; the message says which argument helps.
        ModelFileError: the model file cannot be used.
        ConfigError: an argument is impossible, alone or with the others.
        OutputError: the output exists and `overwrite` is false, or cannot be written.
        Cancelled: `progress` asked to stop.
    """
    source, output = Path(source), Path(output)
    model = package_model(engine) if model is None else Path(model)
    targets = [output, *(Path(extra) for extra in (seam_report, preview) if extra is not None)]
    for number, target in enumerate(targets):
        check_target(target, source, overwrite=overwrite)
        if target.absolute() in (model.absolute(), *(other.absolute() for other in targets[:number])):
            raise OutputError(f"{target}: is asked for twice, or is the model; give each result a name of its own")
    if output.suffix.lower() not in (".tif", ".tiff"):
        raise OutputError(f"{output}: the result is a GeoTIFF; give it a name that ends in .tif")
    loaded = ModelFile.load(model)
    check_engine(loaded, engine, window)
    manifest = loaded.manifest
    with open_scene(source, manifest, bands, max_pixels) as reader:
        grid = fitted_grid(reader.width, reader.height, manifest, window, overlap)
        chosen_scaling = scene_scaling(reader, manifest, scaling)
        warn_of_doubts(reader, manifest)

        # Engines take seconds to load: not before the request is known to be good.
        computing = load_engine(loaded, device=device, threads=threads)
        if batch is None:
            batch = 1 if computing.device_type == "cpu" else GPU_BATCH
        settings = {
            "geopix2pix": __version__,
            "model": f"{manifest.name} {manifest.version}",
            "model_sha256": loaded.digest,
            "bands": list(reader.bands),
            "scaling": chosen_scaling.to_json(),
            "window": grid.window,
            "overlap": grid.overlap,
            **computing.parameters,
        }
        if seam_report is not None:  # before the map is written: what cannot be measured is refused before the work
            report = measured_seams(reader, computing, chosen_scaling, grid, batch=batch, progress=progress)
            report = {"scene": source.name, "model": settings["model"], **report}
        spec = _output_spec(reader, manifest, settings)
        parameters = {"source": reader.identity(), **settings}
        with RasterWriter(output, spec, parameters=parameters, overwrite=overwrite) as writer:
            write_map(reader, computing, chosen_scaling, grid, writer, batch, progress)
    if seam_report is not None:
        write_bytes(Path(seam_report), json.dumps(report, indent=2).encode())
    if preview is not None:
        write_bytes(Path(preview), side_by_side(source, output, reader.bands, max_pixels))
    return output


def finished(values: npt.NDArray[np.float32], manifest: Manifest) -> npt.NDArray[Any]:
    """Blended values (channels, rows, cols) as pixels of the output: class colours, or bands in their own units."""
    target = manifest.target
    if target.palette is not None:
        return np.moveaxis(target.palette.display[values.argmax(axis=0)], -1, 0)
    assert target.scaling is not None, "a manifest has a palette or a scaling"
    return target.scaling.backward(values, target.dtype)


def fitted_grid(
    width: int, height: int, manifest: Manifest, window: int | None = None, overlap: int | None = None
) -> WindowGrid:
    """The windows over a scene of this size, by default those that the model asks for.

    Raises:
        ConfigError: the model cannot work in windows of this side or overlap.
    """
    stride = manifest.total_stride
    side = manifest.window if window is None else window
    if side <= 0 or side % min(stride, manifest.window):
        raise ConfigError(
            f"--window {side}: the model {manifest.name!r} needs a positive multiple of {min(stride, manifest.window)}"
        )
    if overlap is None:
        unit = alignment(side, stride)
        overlap = side - max(-(-(side - min(manifest.overlap, side // 2)) // unit), 1) * unit
    return WindowGrid.fitted(width, height, window=side, overlap=overlap, stride=stride)


def _output_spec(reader: RasterReader, manifest: Manifest, settings: dict[str, Any]) -> OutputSpec:
    target = manifest.target
    tags = {f"GEOPIX2PIX_{name.upper()}": _text(value) for name, value in settings.items() if name != "geopix2pix"}
    return OutputSpec(
        width=reader.width,
        height=reader.height,
        bands=len(target.names),
        dtype=target.dtype,
        georeference=reader.georeference,
        band_names=target.names,
        colorinterp="rgb" if target.names == ("red", "green", "blue") else "gray",
        tags={"GEOPIX2PIX_VERSION": settings["geopix2pix"], **tags},
        resampling="nearest" if target.palette is not None else "average",
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def write_map(
    reader: RasterReader,
    engine: Engine,
    scaling: Scaling,
    grid: WindowGrid,
    writer: RasterWriter,
    batch: int,
    progress: Progress,
) -> None:
    """Translate the windows of `grid` that `writer` does not hold yet, and put the finished map in its place.

    Raises:
        SceneError: the scene holds no valid pixel.
    """
    blender = Blender(grid, engine.manifest.generator.out_channels)
    first = writer.finished_rows
    if writer.carry is not None:
        blender.resume(first, writer.carry)
    total = grid.columns * grid.rows
    progress(Event("translate", first * grid.columns, total, "windows"))
    for piece in pieces(reader, engine.predict, scaling, blender, batch, first):
        writer.write(piece.window, finished(piece.values, engine.manifest), piece.valid)
        if piece.column == grid.columns - 1:
            writer.finish_row(blender.carry)
        progress(Event("translate", piece.row * grid.columns + piece.column + 1, total, "windows"))
    if writer.is_empty:
        raise SceneError(f"{reader.path}: holds no valid pixel, so there is nothing to translate; is its nodata right?")
    writer.assemble(progress)
