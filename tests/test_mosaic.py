"""The loop over windows: the identity gives the scene back, and moving the grid changes nothing."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st

from geopix2pix.architecture import GeneratorSpec
from geopix2pix.blend import Blender
from geopix2pix.grid import WindowGrid
from geopix2pix.mosaic import Piece, pieces
from geopix2pix.normalize import Scaling
from geopix2pix.raster import Patch, RasterReader

DTYPES = ("uint8", "uint16", "int16", "float32")


class ArrayScene:
    """A scene in memory, with the fills of a `RasterReader`: repeated reflection outside."""

    def __init__(self, data: np.ndarray) -> None:
        self.data = data

    def read(self, window) -> Patch:
        height, width = self.data.shape[1:]
        above, left = max(-window.row, 0), max(-window.col, 0)
        margins = (above, max(window.bottom - height, 0)), (left, max(window.right - width, 0))
        padded = np.pad(self.data, ((0, 0), *margins), mode="symmetric")
        valid = np.pad(np.ones((height, width), bool), margins)
        rows, cols = window.shifted(left, above).slices
        return Patch(padded[:, rows, cols], valid[rows, cols])


def mosaic(found: list[Piece], bands: int, height: int, width: int) -> np.ndarray:
    """The pieces put together; each pixel must come exactly once."""
    values, count = np.zeros((bands, height, width), found[0].values.dtype), np.zeros((height, width), int)
    for piece in found:
        rows, cols = piece.window.slices
        values[:, rows, cols] = piece.values
        count[rows, cols] += 1
    assert (count == 1).all()
    return values


@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    overlap=st.sampled_from([0, 8, 16, 24]),
    offset=st.tuples(st.integers(-50, 50), st.integers(-50, 50)),
    batch=st.integers(1, 5),
    trim=st.sampled_from([0, 8]),
    dtype=st.sampled_from(DTYPES),
    seed=st.integers(0, 99),
)
def test_an_identity_network_gives_the_scene_back(height, width, overlap, offset, batch, trim, dtype, seed) -> None:
    random = np.random.default_rng(seed)
    if dtype == "float32":
        data = random.normal(0, 1000, (2, height, width)).astype(dtype)
        scaling = Scaling.uniform(float(data.min()) - 1, float(data.max()) + 1, 2)
    else:
        limits = np.iinfo(dtype)
        data = random.integers(limits.min, limits.max, (2, height, width), dtype, endpoint=True)
        scaling = Scaling.full_range(dtype, 2)
    grid = replace(WindowGrid.fitted(width, height, window=32, overlap=overlap, stride=8, offset=offset), trim=trim)
    found = list(pieces(ArrayScene(data), lambda patches: patches, scaling, Blender(grid, 2), batch))
    back = scaling.backward(mosaic(found, 2, height, width), dtype)
    if dtype == "float32":
        assert np.abs(back - data).max() <= 1e-6 * (scaling.high[0] - scaling.low[0])
    else:
        assert (back == data).all()


def small_field(precision: str) -> tuple[Callable[[np.ndarray], np.ndarray], int, int]:
    """A real generator of total stride 4 that sees few pixels, its receptive field, and its stride."""
    import torch

    from geopix2pix.independence import tile_independence
    from geopix2pix.networks import generator, initialize

    spec = GeneratorSpec(norm="none", padding="replicate", upsampling="resize", depth=2, width=4, dropout=0.0)
    network = generator(spec).eval()
    initialize(network, seed=3, std=0.2)
    field = tile_independence(network).receptive_field
    assert field is not None
    network = network.to(getattr(torch, precision))

    @torch.no_grad()
    def predict(patches: np.ndarray) -> np.ndarray:
        return network(torch.from_numpy(patches).to(getattr(torch, precision))).numpy()

    return predict, field, spec.total_stride


@pytest.mark.parametrize(("precision", "limit"), [("float64", 1e-9), ("float32", 1e-5)])
@pytest.mark.parametrize(("size", "trimmed"), [((150, 130), True), ((20, 100), True), ((150, 130), False)])
def test_moving_the_grid_by_the_total_stride_changes_nothing(precision, limit, size, trimmed) -> None:
    """Except, with windows of one size, near a border: the farther they reach out, the more reflection they see."""
    predict, field, stride = small_field(precision)
    data = np.random.default_rng(0).integers(0, 255, (3, *size), np.uint8, endpoint=True)
    scaling, crop, feather = Scaling.full_range("uint8", 3), -(-field // 2 // stride) * stride, 8
    window = 2 * crop + feather + 6 * stride

    def translated(offset: tuple[int, int]) -> np.ndarray:
        grid = WindowGrid(
            width=size[1], height=size[0], window=window, crop=crop, feather=feather, offset=offset,
            trim=stride if trimmed else 0,
        )  # fmt: skip
        found = list(pieces(ArrayScene(data), predict, scaling, Blender(grid, 3, precision), 3))
        return mosaic(found, 3, *size)

    reach = 0 if trimmed else field // 2
    inside = np.s_[:, reach : size[0] - reach, reach : size[1] - reach]
    still = translated((0, 0))
    assert np.ptp(still[inside]) > 0.1, "a constant mosaic would prove nothing"
    for steps in [(1, 0), (0, 1), (2, 5), (-3, 1)]:
        assert np.abs(translated((steps[0] * stride, steps[1] * stride)) - still)[inside].max() <= limit


def test_without_crop_moving_the_grid_does_change_something() -> None:
    predict, _, stride = small_field("float64")
    data = np.random.default_rng(0).integers(0, 255, (3, 60, 60), np.uint8, endpoint=True)
    scaling = Scaling.full_range("uint8", 3)
    still, moved = (
        mosaic(list(pieces(ArrayScene(data), predict, scaling, Blender(grid, 3, "float64"), 1)), 3, 60, 60)
        for grid in (
            WindowGrid(width=60, height=60, window=24, crop=0, feather=0, offset=(offset, offset))
            for offset in (0, 2 * stride)
        )
    )
    assert np.abs(still - moved).max() > 1e-3


def test_the_result_does_not_depend_on_the_batch() -> None:
    """As long as what predicts does not: on many CPUs the bits of a convolution depend on how many it computes."""
    of_batches, _, _ = small_field("float32")

    def predict(patches: np.ndarray) -> np.ndarray:
        return np.concatenate([of_batches(patch[None]) for patch in patches])

    data = np.random.default_rng(1).integers(0, 255, (3, 90, 70), np.uint8, endpoint=True)
    grid = WindowGrid.fitted(70, 90, window=32, overlap=16, stride=4)
    mosaics = [
        mosaic(
            list(pieces(ArrayScene(data), predict, Scaling.full_range("uint8", 3), Blender(grid, 3), batch)), 3, 90, 70
        )
        for batch in (1, 2, 7, 100)
    ]
    for other in mosaics[1:]:
        assert np.array_equal(mosaics[0], other)


def test_a_small_scene_is_not_computed_as_if_it_were_as_large_as_a_window() -> None:
    computed = []

    def predict(patches: np.ndarray) -> np.ndarray:
        computed.append(patches.shape)
        return patches

    data = np.arange(3 * 20 * 30, dtype=np.uint8).reshape(3, 20, 30)
    grid = replace(WindowGrid.fitted(30, 20, window=256, overlap=32, stride=8), trim=8)
    assert len(list(pieces(ArrayScene(data), predict, Scaling.full_range("uint8", 3), Blender(grid, 3), 1))) == 1
    ((_, _, rows, cols),) = computed
    assert (rows, cols) == (24, 32)


def test_windows_without_data_are_not_computed(tmp_path: Path) -> None:
    data = np.zeros((1, 40, 400), np.uint8)
    data[:, :, :40] = 7
    path = tmp_path / "mostly-empty.tif"
    profile = {"driver": "GTiff", "width": 400, "height": 40, "count": 1, "dtype": "uint8", "nodata": 0}
    with rasterio.open(path, "w", **profile) as dataset:
        dataset.write(data)
    computed = 0

    def predict(patches: np.ndarray) -> np.ndarray:
        nonlocal computed
        computed += len(patches)
        return patches

    grid = WindowGrid.fitted(400, 40, window=64, overlap=16, stride=16)
    with RasterReader(path) as reader:
        found = list(pieces(reader, predict, Scaling.full_range("uint8", 1), Blender(grid, 1), 3))
    assert 0 < computed < grid.columns * grid.rows
    valid = np.zeros((40, 400), bool)
    for piece in found:
        valid[piece.window.slices] = piece.valid
    assert np.array_equal(valid, data[0] != 0)
    back = Scaling.full_range("uint8", 1).backward(mosaic(found, 1, 40, 400), "uint8")
    assert np.array_equal(back[0][valid], data[0][valid])
