"""What is made of finished rasters: the same on the source's pixels, polygons, web-map tiles, a preview."""

import json
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

import numpy as np

from geopix2pix.aligned import AlignedView
from geopix2pix.assembly import assemble
from geopix2pix.damage import Damage
from geopix2pix.grid import Window
from geopix2pix.job import Job
from geopix2pix.kernel import Kernel
from geopix2pix.mosaic import PatchSource
from geopix2pix.output import Product, writing
from geopix2pix.preview import side_by_side
from geopix2pix.progress import Event, Progress, repeated
from geopix2pix.raster import Patch
from geopix2pix.rowband import RowBand, RowBandWriter

STRIP, PIECE = 256, 1024  # rows and columns that are delivered together

Placed = list[tuple[Path, Path]]
"""Files, each with the name that it is to get."""


def delivered(
    job: Job,
    products: Sequence[Product],
    source: PatchSource,
    folder: Path,
    computed: Sequence[Path],
    progress: Progress,
) -> list[Path]:
    """The computed rasters on the pixels of the source, as files in `folder`.

    Classes are those of the nearest computed pixel, other bands are between them. A pixel is valid where `source` is,
    which shows the part of the scene that was asked for, except for specks too small for the pixels worked on.

    Raises:
        OutputError: the disk is full or broken.
    """
    grid = job.delivered
    kernel: Kernel = "nearest" if job.manifest.target.palette is not None else "bilinear"
    scene = Window(0, 0, job.source_extent.width, job.source_extent.height)
    parts: list[list[tuple[RowBand, Path]]] = [[] for _ in products]
    total = -(-scene.height // STRIP)
    for number, product in enumerate(products):
        with closing(AlignedView([computed[number]], grid, kernel=kernel, max_pixels=2**62)) as view:
            for strip in range(total):
                progress(Event("deliver", number * total + strip, total * len(products), "strips"))
                window = Window(0, strip * STRIP, scene.width, STRIP).intersection(scene)
                file = folder / f"delivered-{number}-{strip:05}.tif"
                with writing(file):
                    band = RowBandWriter(file, product.spec, window.row, window.height)
                with closing(band):
                    for col in range(0, scene.width, PIECE):
                        piece = Window(col, window.row, PIECE, window.height).intersection(scene)
                        data, near = _near(view, piece, job.coarseness)
                        with writing(file):
                            band.write(piece, data, near & source.read(piece).valid)
                    with writing(file):
                        parts[number].append((band.finish(), file))
    finished = []
    for number, product in enumerate(products):
        finished.append(folder / f"delivered-{number}.tif")
        with writing(finished[-1]):
            assemble(finished[-1], product.spec, parts[number], repeated(progress, "assemble", number, len(products)))
    return finished


def _near(view: AlignedView, window: Window, radius: int) -> Patch:
    """What a view shows, known wherever a valid pixel lies within `radius`: the view shows the nearest one there."""
    data, valid = view.read(window.padded(radius))
    side = 2 * radius + 1
    for axis in (0, 1):
        counts = np.cumsum(np.insert(valid, 0, 0, axis=axis), axis=axis, dtype=np.int32).swapaxes(0, axis)
        valid = (counts[side:] > counts[:-side]).swapaxes(0, axis)
    rows, cols = Window(radius, radius, window.width, window.height).slices
    return Patch(data[:, rows, cols], valid)


def derived(
    job: Job, report: dict[str, Any] | None, folder: Path, rasters: Sequence[Path], progress: Progress
) -> Placed:
    """The further results of a job, made in `folder` of its finished rasters."""
    results, kinds = job.results, [kind for kind, _ in job.results.rasters]
    palette = job.manifest.target.palette
    placed: Placed = []
    if results.classes is not None and palette is not None:
        described = _stored(folder / "classes.aux.xml", category_names(palette.names))
        placed.append((described, results.classes.with_name(f"{results.classes.name}.aux.xml")))
    if results.vector is not None and palette is not None:
        from geopix2pix.mapvectors import write_polygons  # pyogrio is no part of a light installation

        file = folder / f"polygons{results.vector.suffix.lower()}"
        classes = rasters[kinds.index("classes")]
        write_polygons(file, classes, palette.names, job.delivered, results.min_area, progress)
        placed.append((file, results.vector))
    if results.tiles is not None:
        from geopix2pix.webexport import write_tiles  # neither is Pillow

        file = folder / f"tiles{results.tiles.suffix.lower()}"
        name, classed = f"{job.source.stem}, {job.settings['model']}", palette is not None
        write_tiles(file, rasters[0], name, nearest=classed, smooth=not classed, attribution="", progress=progress)
        placed.append((file, results.tiles))
    if report is not None and results.seam_report is not None:
        report = {"scene": job.source.name, "model": job.settings["model"], **report}
        placed.append((_stored(folder / "seams.json", json.dumps(report, indent=2).encode()), results.seam_report))
    if results.preview is not None:
        damage = Damage(job.damaged)
        picture = side_by_side(job.source, rasters[0], job.bands, job.source_extent, job.max_pixels, damage)
        placed.append((_stored(folder / "preview.png", picture), results.preview))
    return placed


def category_names(names: Sequence[str]) -> bytes:
    """The file in which GDAL and QGIS look for the names of the values of a GeoTIFF beside it."""
    root = Element("PAMDataset")
    band = SubElement(root, "PAMRasterBand", band="1")
    categories = SubElement(band, "CategoryNames")
    for name in names:
        SubElement(categories, "Category").text = name
    data: bytes = tostring(root, encoding="utf-8")
    return data


def _stored(file: Path, data: bytes) -> Path:
    file.write_bytes(data)
    return file
