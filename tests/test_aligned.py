"""Files on one grid: what one file shows, several show without a seam; memory, open files and refusals."""

import json
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import psutil
import pytest
import rasterio
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.transform import from_origin
from rasterio.vrt import WarpedVRT

from geopix2pix import aligned, averages
from geopix2pix.aligned import AlignedView
from geopix2pix.errors import RasterError, SceneError, SceneWarning
from geopix2pix.geogrid import GeoGrid
from geopix2pix.grid import Window
from geopix2pix.ground import metric_crs, points_in
from geopix2pix.openfiles import MAX_OPEN
from geopix2pix.raster import Patch, RasterReader
from tests.rasters import DATA, MASKS, ROTATED, coordinates, rotated_collar, write_raster

KERNELS = ("nearest", "bilinear", "cubic", "average")
UTM, OTHER_ZONE, DEGREES = (CRS.from_epsg(code) for code in (32632, 32633, 4326))
PLACE = from_origin(600_000, 5_000_000, 0.3, 0.3)
OWN = GeoGrid(crs=UTM, transform=PLACE)

needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the real data are not beside this checkout")


def random_picture(height: int, width: int, bands: int = 3, dtype: str = "uint8", seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).integers(1, 250, (bands, height // 3 + 2, width // 3 + 2))
    return np.repeat(np.repeat(values, 3, axis=1), 3, axis=2)[:, :height, :width].astype(dtype)


def scene(path: Path, data: np.ndarray, at: tuple[int, int] = (0, 0), crs: CRS = UTM, affine: Affine = PLACE, **more):
    """A file whose first pixel lies `at` a column and row of the grid that `affine` makes."""
    return write_raster(path, data, crs=crs, transform=affine * Affine.translation(*at), **more)


def cut(patch: Patch, window: Window) -> Patch:
    rows, cols = window.slices
    return Patch(patch.data[:, rows, cols], patch.valid[rows, cols])


def equal(first: Patch, second: Patch) -> bool:
    return np.array_equal(first.data, second.data) and np.array_equal(first.valid, second.valid)


def whole(view: AlignedView, grid: GeoGrid, around: int = 0) -> Window:
    lefts, bottoms, rights, tops = zip(*view.extents(), strict=True)
    return grid.window((min(lefts), min(bottoms), max(rights), max(tops))).padded(around)


def pieces(folder: Path, data: np.ndarray, valid: np.ndarray | None, columns: int, rows: int) -> list[Path]:
    """A picture cut into files without overlap, in the order of reading."""
    paths = []
    for row, (part, mask) in enumerate(
        zip(
            np.array_split(data, rows, 1),
            np.array_split(valid, rows) if valid is not None else [None] * rows,
            strict=True,
        )
    ):
        top = sum(p.shape[1] for p in np.array_split(data, rows, 1)[:row])
        left = 0
        masks = np.array_split(mask, columns, 1) if mask is not None else [None] * columns
        for col, (piece, piece_mask) in enumerate(zip(np.array_split(part, columns, 2), masks, strict=True)):
            paths.append(scene(folder / f"r{row}c{col}.tif", piece, at=(left, top), mask=piece_mask))
            left += piece.shape[2]
    return paths


def own_places(grid: GeoGrid, window: Window) -> tuple[np.ndarray, np.ndarray]:
    """Columns and rows of the grid of `PLACE` under the middles of a window's pixels; (rows, cols) each."""
    cols, rows = np.arange(window.col, window.right) + 0.5, np.arange(window.row, window.bottom) + 0.5
    xs, ys = grid.places(cols, rows[:, None])
    found = points_in(UTM, grid.crs, xs.ravel(), ys.ravel()).reshape(2, *xs.shape)
    return GeoGrid(crs=UTM, transform=~PLACE).places(*found)


GRIDS = {
    "its own": OWN,
    "a third of a pixel aside": GeoGrid.anchored(UTM, 0.3, (0.1, 0.1)),
    "another zone": GeoGrid.anchored(OTHER_ZONE, 0.3),
    "degrees": GeoGrid.anchored(DEGREES, 3e-6),
    "rotated": GeoGrid(crs=UTM, transform=Affine.translation(6e5, 5e6) * Affine.rotation(30) * Affine.scale(0.4, -0.4)),
    "coarser": GeoGrid.anchored(OTHER_ZONE, 0.5),
    "much coarser": GeoGrid.anchored(OTHER_ZONE, 1.3),
}
over_grids = pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)


# One file


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("mask", [None, *MASKS])
def test_on_its_own_grid_a_file_is_what_the_reader_reads(tmp_path, kernel, mask):
    valid = None if mask is None else mask(70, 90)
    path = scene(tmp_path / "a.tif", random_picture(70, 90), mask=valid)
    view = AlignedView([path], OWN, kernel=kernel)
    with RasterReader(path) as reader:
        for window in (reader.extent, Window(-50, -20, 200, 60), Window(500, 3, 9, 7), Window(10, 20, 1, 1)):
            assert equal(view.read(window), reader.read(window))
        assert (view.names, view.dtype) == (reader.band_names, reader.dtype)
        assert view.extents() == [OWN.bounds(reader.extent)]
    view.close()


@over_grids
@pytest.mark.parametrize("kernel", KERNELS)
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_pixel_is_the_same_in_every_window(tmp_path, grid, kernel, data):
    """In holes and outside too, and where several files overlap."""
    mask = data.draw(st.sampled_from(MASKS), "mask")
    picture = random_picture(60, 80, seed=1)
    paths = [
        scene(tmp_path / "a.tif", picture, mask=mask(60, 80)),
        scene(tmp_path / "b.tif", picture[:, :50, :40], at=(55, -30), mask=rotated_collar(50, 40)),
        scene(tmp_path / "c.tif", picture[:, :30, :30], at=(-45, 50)),
    ]
    view = AlignedView(paths, grid, kernel=kernel)
    around = whole(view, grid, around=5)
    expected = view.read(around)
    for _ in range(3):
        col, row = data.draw(st.integers(0, around.width - 1)), data.draw(st.integers(0, around.height - 1))
        width = data.draw(st.integers(1, around.width - col))
        height = data.draw(st.integers(1, around.height - row))
        found = view.read(Window(around.col + col, around.row + row, width, height))
        assert equal(found, cut(expected, Window(col, row, width, height)))
    view.close()


@pytest.mark.parametrize("kernel", KERNELS)
def test_nodata_never_shines_through(tmp_path, kernel):
    pixels = np.full((1, 60, 60), 100, "int16")
    pixels[0, ~rotated_collar(60, 60)] = -32768
    path = scene(tmp_path / "a.tif", pixels, nodata=-32768)
    for grid in GRIDS.values():
        view = AlignedView([path], grid, kernel=kernel)
        patch = view.read(whole(view, grid, around=3))
        assert patch.valid.any() and not patch.valid.all()
        assert (patch.data == 100).all()
        view.close()


def test_colours_and_bands_are_chosen_as_in_the_reader(tmp_path):
    path = scene(tmp_path / "a.tif", np.arange(16, dtype="uint8").reshape(1, 4, 4))
    with rasterio.open(path, "r+") as dataset:
        dataset.write_colormap(1, {value: (value, 2 * value, 3 * value) for value in range(16)})
    view = AlignedView([path], OWN, kernel="nearest", expand_colors=True)
    assert view.names == ("red", "green", "blue")
    assert view.read(Window(0, 0, 4, 4)).data[2].tolist() == (3 * np.arange(16).reshape(4, 4)).tolist()
    view.close()
    view = AlignedView([scene(tmp_path / "b.tif", random_picture(9, 9))], OWN, kernel="cubic", bands=[3, 1])
    assert np.array_equal(view.read(Window(0, 0, 9, 9)).data, random_picture(9, 9)[[2, 0]])
    view.close()


def test_a_file_with_control_points_shows_as_one_with_their_transform(tmp_path):
    picture = random_picture(60, 80)
    plain = scene(tmp_path / "plain.tif", picture)
    corners = [(0, 0), (0, 80), (60, 0), (60, 80), (30, 40)]
    gcps = [GroundControlPoint(row=r, col=c, x=x, y=y) for r, c in corners for x, y in [PLACE * (c, r)]]
    pointed = write_raster(tmp_path / "pointed.tif", picture, crs=UTM, gcps=gcps)
    grid = GRIDS["another zone"]
    expected, found = (AlignedView([path], grid, kernel="nearest") for path in (plain, pointed))
    window = whole(expected, grid)
    assert equal(found.read(window), expected.read(window))
    expected.close()
    found.close()


# Several files


@over_grids
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("columns", "rows"), [(2, 1), (3, 2)])
def test_a_scene_that_is_cut_shows_as_if_it_were_not(tmp_path, grid, kernel, columns, rows):
    picture, valid = random_picture(96, 120), rotated_collar(96, 120)
    cuts = pieces(tmp_path, picture, valid, columns, rows)
    uncut = scene(tmp_path / "uncut.tif", picture, mask=valid)
    one, several = (AlignedView(paths, grid, kernel=kernel) for paths in ([uncut], cuts))
    window = whole(one, grid, around=2)
    expected, found = one.read(window), several.read(window)
    if grid is not GRIDS["much coarser"]:
        assert np.array_equal(found.valid, expected.valid)
    # Kernels see the file's own continuation beyond a cut; further away than their reach, nothing tells of it.
    cols, rows_at = own_places(grid, window)
    away = np.min([abs(cols - 120 * i / columns) for i in range(1, columns)], axis=0)
    if rows > 1:
        away = np.minimum(away, abs(rows_at - 48))
    reach = 0 if kernel == "nearest" or grid is OWN else 12
    same = (found.data == expected.data).all(axis=0)
    assert same[expected.valid & found.valid & (away >= reach)].all()
    one.close()
    several.close()


def test_the_first_file_that_is_valid_is_on_top(tmp_path):
    full, holed = np.full((1, 20, 20), 50, "uint8"), np.full((1, 20, 20), 90, "uint8")
    hole = np.ones((20, 20), bool)
    hole[5:9, 5:9] = False
    under, over = scene(tmp_path / "under.tif", full), scene(tmp_path / "over.tif", holed, at=(10, 0), mask=hole)
    view = AlignedView([over, under], OWN, kernel="cubic")
    patch = view.read(Window(0, 0, 30, 20))
    expected = np.full((20, 30), 90)
    expected[:, :10] = 50
    expected[5:9, 15:19] = 50
    assert np.array_equal(patch.data[0], expected) and patch.valid.all()
    assert view.origins(Window(0, 0, 30, 20)) == ("over.tif", "under.tif")
    view.close()


def test_what_no_file_knows_shows_what_the_nearest_is_filled_with(tmp_path):
    left = scene(tmp_path / "left.tif", np.full((1, 10, 10), 50, "uint8"))
    right = scene(tmp_path / "right.tif", np.full((1, 10, 10), 90, "uint8"), at=(20, 0))
    view = AlignedView([left, right], OWN, kernel="cubic")
    patch = view.read(Window(10, 0, 10, 10))
    assert not patch.valid.any()
    assert patch.data[0].tolist() == [[50] * 5 + [90] * 5] * 10
    assert set(view.read(Window(2000, -50, 3, 3)).data.ravel().tolist()) == {90}
    view.close()


@pytest.mark.parametrize("grid", [OWN, GRIDS["degrees"], GRIDS["rotated"]])
def test_covers_and_origins_leave_out_only_what_shows_nothing(tmp_path, grid):
    paths = [
        scene(tmp_path / f"{i}.tif", random_picture(30, 30), at=at)
        for i, at in enumerate([(0, 0), (25, 10), (90, -60)])
    ]
    view = AlignedView(paths, grid, kernel="nearest")
    single = [AlignedView([path], grid, kernel="nearest") for path in paths]
    around = whole(view, grid, around=8)
    empty = 0
    for row in range(around.row, around.bottom, 11):
        for col in range(around.col, around.right, 11):
            window = Window(col, row, 9, 9)
            shows = [path.name for path, alone in zip(paths, single, strict=True) if alone.read(window).valid.any()]
            assert set(shows) <= set(view.origins(window))
            assert view.covers(window) == bool(view.origins(window))
            empty += not view.covers(window)
    assert empty > 20
    for opened in (view, *single):
        opened.close()


def test_only_a_few_files_are_open_at_a_time(tmp_path):
    paths = pieces(tmp_path, random_picture(80, 80), None, 8, 6)
    assert len(paths) > MAX_OPEN
    before = len(psutil.Process().open_files())
    view = AlignedView(paths, GRIDS["another zone"], kernel="bilinear")
    patch = view.read(whole(view, GRIDS["another zone"]))
    assert len(psutil.Process().open_files()) <= before + MAX_OPEN
    assert patch.valid.mean() > 0.8
    view.close()
    assert len(psutil.Process().open_files()) == before


def test_a_view_round_the_antimeridian_shows_both_sides(tmp_path):
    """Two files that meet there, in degrees and in metres, as one picture."""
    picture = random_picture(40, 80)
    degrees = [
        scene(tmp_path / "west.tif", picture[:, :, :40], crs=DEGREES, affine=from_origin(180 - 4e-4, 40, 1e-5, 1e-5)),
        scene(tmp_path / "east.tif", picture[:, :, 40:], crs=DEGREES, affine=from_origin(-180, 40, 1e-5, 1e-5)),
    ]
    beyond = [scene(tmp_path / "one.tif", picture, crs=DEGREES, affine=from_origin(180 - 4e-4, 40, 1e-5, 1e-5))]
    for grid in (GeoGrid.anchored(CRS.from_epsg(32601), 1), GeoGrid.anchored(DEGREES, 7e-6)):
        one, two = (AlignedView(paths, grid, kernel="nearest") for paths in (beyond, degrees))
        window = grid.window(one.extents()[0])
        assert two.covers(window) and two.origins(window) == ("west.tif", "east.tif")
        expected, found = one.read(window), two.read(window)
        assert np.array_equal(found.valid, expected.valid)
        assert np.array_equal(found.data[:, found.valid], expected.data[:, found.valid])
        assert two.read(window).valid.mean() > 0.7
        turned = window.shifted(-round(360 / 7e-6), 0) if grid.crs == DEGREES else window
        assert two.covers(turned)
        assert two.read(turned).valid.mean() > 0.7
        one.close()
        two.close()


# Files much finer or larger than the window


@pytest.mark.parametrize("kernel", ["bilinear", "cubic", "average"])
@pytest.mark.parametrize("factor", [2, 3, 8])
def test_files_finer_by_a_whole_factor_become_means(tmp_path, kernel, factor):
    picture = random_picture(120, 240, dtype="uint16")
    path = scene(tmp_path / "a.tif", picture)
    grid = GeoGrid(crs=UTM, transform=PLACE * Affine.scale(factor))
    view = AlignedView([path], grid, kernel=kernel)
    rows, cols = 120 // factor, 240 // factor
    found = view.read(Window(0, 0, cols, rows))
    means = picture.reshape(3, rows, factor, cols, factor).mean(axis=(2, 4))
    assert found.valid.all()
    assert np.array_equal(found.data, np.rint(means))
    view.close()


def test_a_mean_is_that_of_what_is_known_and_valid_if_half_of_it_is(tmp_path):
    pixels = np.full((1, 4, 8), 200, "uint8")
    valid = np.zeros((4, 8), bool)
    valid[:2, :4] = True  # half of the first block
    valid[0, 4] = True  # less of the second
    pixels[0, valid] = 10
    pixels[0, 0, 0] = 18
    grid = GeoGrid(crs=UTM, transform=PLACE * Affine.scale(4))
    view = AlignedView([scene(tmp_path / "a.tif", pixels, mask=valid)], grid, kernel="average")
    patch = view.read(Window(0, 0, 2, 1))
    assert patch.valid.tolist() == [[True, False]]
    assert patch.data[0, 0].tolist() == [11, 10]
    view.close()


@pytest.mark.parametrize("kernel", ["nearest", "cubic"])
def test_memory_does_not_grow_with_the_pixels_under_a_window(tmp_path, kernel, monkeypatch):
    """Windows whose files hold 100 times more than may be read at a time; the pieces are the same."""
    picture = random_picture(800, 1000)
    path = scene(tmp_path / "a.tif", picture, tiled=True, blockxsize=256, blockysize=256)
    grid = GeoGrid.anchored(OTHER_ZONE, 6.1)
    view = AlignedView([path], grid, kernel=kernel)
    window = whole(view, grid)
    expected = view.read(window)
    monkeypatch.setattr(averages, "PIXELS_AT_ONCE", 2**13)
    monkeypatch.setattr(aligned, "READ_AT_ONCE", 2**13)
    monkeypatch.setattr(aligned, "SHOWN_AT_ONCE", 2**12)
    tracemalloc.start()
    found = view.read(window)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert equal(found, expected)
    assert peak < picture.nbytes / 2
    view.close()


def test_files_that_are_finer_beyond_measure_are_refused(tmp_path):
    path = scene(tmp_path / "a.tif", random_picture(9, 9))
    with pytest.raises(SceneError, match=r"a.tif: cannot be shown on the grid: .*pixels lie in one of the grid"):
        AlignedView([path], GeoGrid.anchored(UTM, 10_000), kernel="cubic")
    view = AlignedView([path], GeoGrid.anchored(UTM, 10_000), kernel="nearest")
    assert view.covers(whole(view, GeoGrid.anchored(UTM, 10_000)))
    view.close()


# Refusals


def test_at_least_one_file_is_needed():
    with pytest.raises(SceneError, match="at least one"):
        AlignedView([], OWN, kernel="cubic")


@pytest.mark.parametrize(
    ("place", "missing"),
    [({"transform": ROTATED}, "CRS"), ({"crs": "EPSG:32632"}, "georeference"), ({}, "CRS")],
)
def test_a_file_without_a_place_is_named_with_the_remedy(tmp_path, place, missing):
    good = scene(tmp_path / "good.tif", random_picture(9, 9))
    bad = write_raster(tmp_path / "bad.tif", random_picture(9, 9), **place)
    with pytest.raises(SceneError, match=rf"bad.tif: .*{missing}.*gdal_translate"):
        AlignedView([good, bad], OWN, kernel="cubic")


def test_a_file_in_no_known_place_is_named(tmp_path):
    local = CRS.from_wkt('LOCAL_CS["site",UNIT["metre",1],AXIS["x",EAST],AXIS["y",NORTH]]')
    path = scene(tmp_path / "site.tif", random_picture(9, 9), crs=local)
    with pytest.raises(SceneError, match=r"site.tif: cannot be shown on the grid: .*no operation leads"):
        AlignedView([path], OWN, kernel="cubic")
    view = AlignedView([path], GeoGrid(crs=local, transform=PLACE), kernel="cubic")
    assert view.read(Window(0, 0, 9, 9)).valid.all()
    view.close()


@pytest.mark.parametrize(
    ("other", "found"),
    [({"bands": 1}, "1 bands of uint8.*3 of uint8"), ({"dtype": "int16"}, "3 bands of int16.*3 of uint8")],
)
def test_files_that_do_not_agree_are_both_named(tmp_path, other, found):
    first = scene(tmp_path / "first.tif", random_picture(9, 9))
    second = scene(tmp_path / "second.tif", random_picture(9, 9, **other), at=(9, 0))
    with pytest.raises(SceneError, match=rf"second.tif holds {found}") as error:
        AlignedView([first, second], OWN, kernel="cubic")
    assert "first.tif" in str(error.value)


def test_bands_in_another_order_are_not_mixed(tmp_path):
    first = scene(tmp_path / "first.tif", random_picture(9, 9), colors=("red", "green", "blue"))
    second = scene(tmp_path / "second.tif", random_picture(9, 9), colors=("blue", "green", "red"))
    with pytest.raises(SceneError, match=r"second.tif holds its bands in the order blue, green, red, .*first.tif in"):
        AlignedView([first, second], OWN, kernel="cubic")


def test_a_missing_or_damaged_file_is_a_raster_error_and_leaves_nothing_open(tmp_path):
    before = len(psutil.Process().open_files())
    good = scene(tmp_path / "good.tif", random_picture(9, 9))
    for name in ("missing.tif", "damaged.tif"):
        (tmp_path / "damaged.tif").write_bytes(b"II*\0")
        with pytest.raises(RasterError, match=name):
            AlignedView([good, tmp_path / name], OWN, kernel="cubic")
    assert len(psutil.Process().open_files()) == before


def test_a_file_that_changes_under_the_view_is_noticed_when_it_is_opened_again(tmp_path):
    paths = pieces(tmp_path, random_picture(80, 80), None, 8, 6)
    view = AlignedView(paths, OWN, kernel="cubic")
    scene(paths[0], random_picture(50, 70))
    with pytest.raises(RasterError, match=f"{paths[0].name}: was changed"):
        view.read(Window(0, 0, 80, 80))
    view.close()


def test_what_is_doubtful_is_told_once_for_all(tmp_path):
    picture = np.concatenate([random_picture(40, 40), random_picture(40, 40, bands=1, seed=3)])
    colors = ("red", "green", "blue", "alpha")
    paths = [scene(tmp_path / f"{i}.tif", picture, at=(40 * i, 0), colors=colors) for i in range(MAX_OPEN + 3)]
    with pytest.warns(SceneWarning, match=rf"0.tif: band 4 .*and {MAX_OPEN + 2} more") as told:
        view = AlignedView(paths, OWN, kernel="cubic")
    assert len(told) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error", SceneWarning)
        view.read(Window(0, 0, 200, 40))
    view.close()


def test_the_identity_follows_files_grid_and_kernel(tmp_path):
    path = scene(tmp_path / "a.tif", random_picture(9, 9))

    def identity(grid: GeoGrid = OWN, **options) -> str:
        view = AlignedView([path], grid, **{"kernel": "cubic"} | options)
        view.close()
        return json.dumps(view.identity(), sort_keys=True)

    first = identity()
    assert identity() == first
    others = [identity(kernel="nearest"), identity(grid=OWN.shifted(1, 0)), identity(bands=[1, 2])]
    scene(path, random_picture(9, 10))
    others.append(identity())
    assert len({first, *others}) == 5


# Real scenes


@needs_data
@pytest.mark.data
@pytest.mark.parametrize(("kernel", "most"), [("nearest", 0), ("bilinear", 1), ("cubic", 1)])
def test_a_real_scene_in_degrees_shows_on_a_metric_grid_as_gdal_shows_it(kernel, most):
    path = DATA / "scenes" / "vegas" / "scene.tif"
    with RasterReader(path, bands=[1, 2, 3]) as reader:
        place = GeoGrid.of(reader)
    grid = GeoGrid.anchored(metric_crs(place.crs, *(place.transform * (650, 650))), 0.2)
    view = AlignedView([path], grid, kernel=kernel, bands=[1, 2, 3])
    middle = whole(view, grid)
    window = Window(middle.col + middle.width // 2, middle.row + middle.height // 2, 300, 256)
    found = view.read(window)
    view.close()
    options = {
        "crs": grid.crs,
        "transform": grid.transform_of(window),
        "width": 300,
        "height": 256,
        "resampling": rasterio.enums.Resampling[kernel],
        "tolerance": 1e-9,
        "XSCALE": 1,
        "YSCALE": 1,
    }
    with rasterio.open(path) as dataset, WarpedVRT(dataset, **options) as vrt:
        expected = vrt.read([1, 2, 3])
    assert found.valid.all()
    difference = np.abs(found.data.astype(int) - expected)
    assert np.mean(difference > most) < 1e-3


@needs_data
@pytest.mark.data
def test_real_tiles_make_one_picture_without_gaps():
    paths = sorted((DATA / "train" / "banepa-buildings" / "unlabelled").glob("*.tif"))
    with RasterReader(paths[0]) as reader:
        place = GeoGrid.of(reader)
    crs = metric_crs(place.crs, *(place.transform * (0, 0)))
    grid = GeoGrid.anchored(crs, 0.25)
    view = AlignedView(paths, grid, kernel="bilinear")
    lefts, bottoms, rights, tops = zip(*view.extents(), strict=True)
    inner = grid.window((min(lefts) + 5, min(bottoms) + 5, max(rights) - 5, max(tops) - 5))
    assert view.read(inner).valid.all()
    assert len(view.origins(inner)) == len(paths) == 16
    view.close()


def test_the_coordinates_of_a_scene_are_found_on_any_grid(tmp_path):
    """A pixel's value is its place."""
    path = scene(tmp_path / "a.tif", coordinates(1, 60, 70, "uint8"))
    for grid in GRIDS.values():
        view = AlignedView([path], grid, kernel="nearest")
        window = whole(view, grid)
        patch = view.read(window)
        rows, cols = np.nonzero(patch.valid)
        at_cols, at_rows = (places[rows, cols] for places in own_places(grid, window))
        clear = np.minimum(abs(at_cols - np.rint(at_cols)), abs(at_rows - np.rint(at_rows))) > 1e-4
        values = (np.floor(at_rows) * 31 + np.floor(at_cols) * 7) % 120 + 1
        assert np.array_equal(patch.data[0, rows, cols][clear], values[clear])
        view.close()
