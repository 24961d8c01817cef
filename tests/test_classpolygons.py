"""Polygons of classes: the same whether a raster is seen at once or strip by strip, and all of it."""

import numpy as np
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.features import rasterize, shapes

from geopix2pix.classpolygons import class_polygons

NOTHING = 255


def of_whole(raster: np.ndarray) -> list[tuple[int, bytes]]:
    """What GDAL makes of the whole raster at once."""
    found = shapes(raster, mask=raster != NOTHING, connectivity=4)
    return sorted((int(value), canonical(shapely.geometry.shape(shape))) for shape, value in found)


def canonical(shape: shapely.Geometry) -> bytes:
    return shapely.to_wkb(shapely.normalize(shape))


@st.composite
def cut_rasters(draw) -> tuple[np.ndarray, list[np.ndarray]]:
    height, width = draw(st.integers(1, 24)), draw(st.integers(1, 24))
    random = np.random.default_rng(draw(st.integers(0, 10**6)))
    values = np.array([0, 1, 2, NOTHING], np.uint8)[: draw(st.integers(1, 4))]
    raster = random.choice(values, (height, width), p=random.dirichlet(np.full(len(values), 0.7)))
    scale = draw(st.integers(1, 3))  # single pixels, and patches
    raster = np.kron(raster, np.ones((scale, scale), np.uint8)).astype(np.uint8)
    cuts = sorted(draw(st.sets(st.integers(1, max(1, len(raster) - 1)), max_size=8)) - {len(raster)})
    return raster, np.split(raster, cuts)


@settings(max_examples=300, deadline=None)
@given(cut=cut_rasters())
def test_strips_make_the_same_polygons_as_the_whole(cut) -> None:
    raster, strips = cut
    found = list(class_polygons(strips, NOTHING))
    assert sorted((p.number, canonical(p.shape)) for p in found) == of_whole(raster)


@settings(max_examples=50, deadline=None)
@given(cut=cut_rasters())
def test_polygons_are_valid_and_cover_the_raster_once(cut) -> None:
    raster, strips = cut
    found = list(class_polygons(strips, NOTHING))
    assert all(p.shape.is_valid for p in found)
    assert sum(p.shape.area for p in found) == (raster != NOTHING).sum()
    if found:
        drawn = rasterize([(p.shape, p.number) for p in found], raster.shape, fill=NOTHING, dtype="uint8")
        assert np.array_equal(drawn, raster)


def test_a_spiral_through_all_strips_is_one_polygon() -> None:
    size = 41
    raster = np.zeros((size, size), np.uint8)
    left, top, right, bottom = 0, 0, size - 1, size - 1
    while left < right:
        raster[top, left : right + 1] = raster[top : bottom + 1, right] = 1
        raster[bottom, left + 2 : right + 1] = raster[top + 2 : bottom + 1, left + 2] = 1
        left, top, right, bottom = left + 2, top + 2, right - 2, bottom - 2
    strips = np.split(raster, range(1, size))
    found = list(class_polygons(strips, NOTHING))
    assert sorted((p.number, canonical(p.shape)) for p in found) == of_whole(raster)


def test_what_is_finished_comes_out_before_the_raster_ends() -> None:
    seen = 0

    def strips():
        nonlocal seen
        for seen in range(100):
            yield np.full((4, 8), seen % 2, np.uint8)

    found = class_polygons(strips(), NOTHING)
    next(found)
    assert seen == 1
