"""Small regions of a map, which join what lies round them; in the memory of a strip, whatever the size of the map."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.features import sieve
from rasterio.windows import Window as RasterioWindow

from geopix2pix.assembly import assemble
from geopix2pix.grid import Window
from geopix2pix.job import Job
from geopix2pix.output import Product, writing
from geopix2pix.products import Kind
from geopix2pix.progress import Event, Progress, repeated
from geopix2pix.raster import Patch
from geopix2pix.rowband import RowBand, RowBandWriter

STRIP = 256  # rows that are read and written together
Classes = npt.NDArray[np.uint8]


def cleaned(
    job: Job, products: Sequence[Product], folder: Path, computed: Sequence[Path], progress: Progress
) -> list[Path]:
    """The computed rasters without regions of fewer than `job.results.clean` pixels, as files in `folder`.

    A region is all pixels of one class that hang together by their edges, in the whole raster. Its pixels get the
    class of its largest neighbour, and for a confidence what they left to all other classes, which is the most that
    this class can have. Pixels that are not valid are no neighbours. Memory grows with the number of regions alone.

    Raises:
        OutputError: the disk is full or broken.
    """
    kinds = [kind for kind, _ in job.results.rasters]
    shape = products[0].spec.height, products[0].spec.width
    with writing(folder):
        before, known, after = (_on_disk(folder / f"clean-{name}", shape) for name in ("before", "known", "after"))
    labels = _Labels(before, known, after)
    with rasterio.open(computed[kinds.index("classes")]) as dataset:
        for window in _strips(shape):
            rows, where = window.slices[0], RasterioWindow(*window)
            before[rows], known[rows] = dataset.read(1, window=where), dataset.read_masks(1, window=where) != 0
    progress(Event("clean", 0, 1 + len(kinds), "rasters"))
    sieve(before, job.results.clean, out=after, mask=known)
    finished = []
    for number, (kind, raster, product) in enumerate(zip(kinds, computed, products, strict=True), start=1):
        progress(Event("clean", number, 1 + len(kinds), "rasters"))
        finished.append(folder / f"cleaned-{number}.tif")
        with rasterio.open(raster) as dataset, writing(finished[-1]):
            parts: list[tuple[RowBand, Path]] = []
            for window in _strips(shape):
                data, valid = _pixels(job, kind, dataset, labels, window)
                file = folder / f"cleaned-{number}-{window.row}.tif"
                with closing(RowBandWriter(file, product.spec, window.row, window.height)) as band:
                    band.write(window, data, valid)
                    parts.append((band.finish(), file))
            assemble(finished[-1], product.spec, parts, repeated(progress, "assemble", number - 1, len(kinds)))
    return finished


class _Labels(NamedTuple):
    """Classes of all pixels, and whether they are valid, one or zero; each of shape (rows, cols)."""

    before: Classes
    known: Classes
    after: Classes


def _pixels(job: Job, kind: Kind, dataset: rasterio.DatasetReader, labels: _Labels, window: Window) -> Patch:
    """What a product, which `dataset` holds as it was, shows of a strip now."""
    before, known, after = (array[window.slices[0]] for array in labels)
    palette = job.manifest.target.palette
    assert palette is not None, "see planning"
    if kind == "confidence":
        sure = dataset.read(window=RasterioWindow(*window))
        return Patch(np.where(after == before, sure, 100 - sure), known != 0)
    classes = after * known  # what is not known is masked, with any class
    data = np.moveaxis(palette.display[classes], -1, 0) if kind == "map" else classes[None]
    return Patch(data, known != 0)


def _strips(shape: tuple[int, int]) -> Iterator[Window]:
    height, width = shape
    for row in range(0, height, STRIP):
        yield Window(0, row, width, min(STRIP, height - row))


def _on_disk(file: Path, shape: tuple[int, int]) -> Classes:
    """An array of zeros in a file whose room on the disk is taken: where it is missing later, the process would die."""
    with file.open("wb") as out:
        for _ in range(shape[0]):
            out.write(bytes(shape[1]))
    return np.memmap(file, np.uint8, "r+", shape=shape)
