"""Drawing: what strokes and areas cover, in which order, and that no window changes a pixel."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from affine import Affine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.crs import CRS
from rasterio.features import rasterize
from rasterio.warp import transform, transform_geom
from shapely import LineString, MultiPolygon, Polygon, box

from geopix2pix.cartography import canvas
from geopix2pix.cartography.canvas import Canvas
from geopix2pix.cartography.drawing import NO_CLASS, DrawnView
from geopix2pix.cartography.paint import Pen
from geopix2pix.cartography.strokes import strokes
from geopix2pix.cartography.style import Style, shipped
from geopix2pix.cartography.vectors import prepare
from geopix2pix.errors import TileSetWarning, VectorError
from geopix2pix.geogrid import GeoGrid
from geopix2pix.grid import Window
from geopix2pix.ground import metric_crs, pixel_sides
from geopix2pix.raster import RasterReader
from geopix2pix.town import class_raster, lay_out
from tests.features import GRID, LEFT, TOP, UTM, at, of_class, style_of, window_of, write_features
from tests.rasters import DATA

laws = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
WHOLE = window_of(0, 0, 40, 30)
BOUNDS = GRID.bounds(WHOLE)
BLACK = {"fill-color": "#000"}
ROUND = {"layout": {"line-cap": "round", "line-join": "round"}}


def drawn(
    folder: Path, shapes: Any, style: Style, columns: Any = None, grid: GeoGrid = GRID, bounds: Any = BOUNDS
) -> DrawnView:
    """The view of shapes in metres from a corner of the test grid, as the layer "things"."""
    folder.mkdir(exist_ok=True)
    file = write_features(folder / "things.gpkg", [at(shape) for shape in shapes], columns)
    prepare([file], style, grid, bounds, folder / "prepared.gpkg")
    return DrawnView(folder / "prepared.gpkg", style, grid)


def covered(view: DrawnView, window: Window = WHOLE) -> float:
    """Pixels that black covers on white, or on what else is brighter."""
    return float((1 - view.read(window).data[0] / 255).sum())


# No window changes a pixel


def town(seed: int) -> list[Any]:
    """Areas and lines of all sizes that overlap each other, some far beyond the windows."""
    rng = np.random.default_rng(seed)
    sizes = np.repeat((0.2, 0.5, 1, 2, 4, 30), 4)
    areas = [Polygon(rng.uniform(0, 40, 2) + rng.normal(0, size, (3, 2))) for size in sizes]
    lines = [LineString(rng.uniform(-5, 45, (4, 2))) for _ in range(3)]
    return [*areas, *lines]


GRIDS = {
    "north-up": GRID,
    "rotated": GeoGrid(crs=UTM, transform=Affine(0.35, -0.27, LEFT, -0.18, -0.53, TOP)),
    "degrees": GeoGrid(crs=CRS.from_epsg(4326), transform=Affine(6e-6, 0, 14.99, 0, -4e-6, 52.4)),
}
EVERYTHING = style_of(
    {"type": "background", "paint": {"background-color": "#F2EFE9"}} | of_class("land"),
    {"type": "fill", "paint": {"fill-color": "#D9D0C9", "fill-outline-color": "#333"}} | of_class("building"),
    {"type": "fill", "filter": [">", ["get", "n"], 10], "paint": {"fill-color": "#0A0", "fill-opacity": 0.3}},
    {"type": "line", "paint": {"line-width": 0.7, "line-gap-width": 1.5}} | ROUND | of_class("road", units="metres"),
    {
        "type": "line",
        "paint": {"line-color": "#08F", "line-width": 3, "line-dasharray": [2, 1, 0.5, 1], "line-offset": 2},
    },
    {"type": "line", "paint": {"line-opacity": 0.5, "line-width": ["/", ["get", "n"], 8]}} | of_class("road"),
)


@pytest.fixture(scope="module", params=GRIDS)
def map_of(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[DrawnView, Window]:
    grid, shapes = GRIDS[request.param], town(3)
    corners = transform(UTM, grid.crs, [LEFT, LEFT + 40, LEFT, LEFT + 40], [TOP, TOP, TOP - 30, TOP - 30])
    window = grid.window((min(corners[0]), min(corners[1]), max(corners[0]), max(corners[1])))
    folder = tmp_path_factory.mktemp(request.param)
    columns = {"n": list(range(len(shapes)))}
    return drawn(folder, shapes, EVERYTHING, columns, grid, grid.bounds(window)), window


@pytest.fixture(scope="module")
def whole(map_of: tuple[DrawnView, Window]) -> tuple[np.ndarray, np.ndarray]:
    view, window = map_of
    return view.read(window).data, view.classes(window)


@settings(laws, max_examples=20)
@given(data=st.data())
def test_a_pixel_shows_the_same_in_every_window(map_of: Any, whole: Any, data: Any) -> None:
    view, window = map_of
    picture, classes = whole
    col, row = data.draw(st.integers(0, window.width - 1)), data.draw(st.integers(0, window.height - 1))
    width, height = data.draw(st.integers(1, 70)), data.draw(st.integers(1, 70))
    part = Window(window.col + col, window.row + row, width, height).intersection(window)
    rows, cols = part.shifted(-window.col, -window.row).slices
    found = view.read(part)
    assert found.valid.all()
    np.testing.assert_array_equal(found.data, picture[:, rows, cols])
    np.testing.assert_array_equal(view.classes(part), classes[rows, cols])


def test_the_map_of_that_law_shows_something(whole: Any) -> None:
    picture, classes = whole
    assert len(np.unique(picture.reshape(3, -1), axis=1).T) > 100
    assert (np.bincount(classes.ravel(), minlength=3)[:3] > classes.size / 50).all()


def test_large_windows_are_painted_in_blocks(map_of: Any, whole: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    view, window = map_of
    monkeypatch.setattr("geopix2pix.cartography.drawing.BLOCK", 13)
    np.testing.assert_array_equal(view.read(window).data, whole[0])


# Areas


@laws
@given(
    st.lists(st.tuples(st.floats(1, 39), st.floats(1, 29)), min_size=3, max_size=7), st.floats(-1, 1), st.floats(-1, 1)
)
def test_an_area_covers_its_area(points: list[tuple[float, float]], col: float, row: float) -> None:
    """To half the distance of samples, which is a quarter of a pixel, along its edges."""
    parts = shapely.get_parts(shapely.make_valid(Polygon(points)))
    shape = MultiPolygon([part for part in parts if part.geom_type == "Polygon"])
    painted = Canvas(Window(-3, -2, 50, 40), (0, 0, 0))
    painted.paint(
        np.array([shapely.transform(shape, lambda points: np.add(points, (col, row)))]), [(255, 255, 255)], [1.0]
    )
    found = painted.picture()[0].astype(float).sum() / 255
    assert found == pytest.approx(shape.area, abs=0.126 * shape.length + 0.1)


@pytest.mark.parametrize("seed", range(3))
def test_picture_and_classes_cover_the_area_of_a_feature(tmp_path: Path, seed: int) -> None:
    shape = Polygon(np.random.default_rng(seed).uniform((1, 1), (39, 29), (3, 2)))
    view = drawn(tmp_path, [shape], style_of({"type": "fill", "paint": BLACK} | of_class("building")))
    assert covered(view) * 0.25 == pytest.approx(shape.area, rel=0.01)
    assert np.sum(view.classes(WHOLE) == 1) * 0.25 == pytest.approx(shape.area, rel=0.05)


@pytest.mark.parametrize("seed", range(3))
def test_classes_are_what_rasterio_burns(tmp_path: Path, seed: int) -> None:
    """On an independent path: shapes in metres, with the transform of the window."""
    rng = np.random.default_rng(seed)
    shapes = [Polygon(rng.uniform(0, 30, 2) + rng.normal(0, 6, (3, 2))) for _ in range(30)]
    lines = [LineString(rng.uniform(0, 40, (3, 2))) for _ in range(5)]
    style = style_of(
        {"type": "fill"} | of_class("building"),
        {"type": "line", "paint": {"line-width": 2.0}, "filter": ["==", "$type", "LineString"]}
        | ROUND
        | of_class("road"),
    )
    view = drawn(tmp_path, [*shapes, *lines], style)
    burnt = [(at(shape), 1) for shape in shapes] + [(at(line.buffer(0.5, quad_segs=16)), 2) for line in lines]
    expected = rasterize(burnt, (60, 80), fill=NO_CLASS, transform=GRID.transform_of(WHOLE), dtype="uint8")
    np.testing.assert_array_equal(view.classes(WHOLE), expected)


SIDE = 256  # half-metre pixels of a town


@pytest.fixture(scope="module")
def town_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The town of a sample, which stands on `GRID`, with the layers that the street style draws."""
    town, path = lay_out(4, SIDE), tmp_path_factory.mktemp("town") / "town.gpkg"
    layers: dict[str, tuple[list[Any], dict[str, Any]]] = {
        "water": ([*town.water], {}),
        "vegetation": ([*town.greens, *town.crowns], {}),
        "buildings": ([building.footprint for building in town.buildings], {}),
        "roads": ([road.line for road in town.roads], {"width_m": [road.width for road in town.roads]}),
    }
    for name, (shapes, columns) in layers.items():
        placed = [shapely.transform(shape, lambda points: np.add(points, (LEFT, TOP - SIDE / 2))) for shape in shapes]
        write_features(path, placed, columns, layer=name)
    return path


def of_town(town_file: Path, style: Style, resolution: float) -> tuple[DrawnView, Window]:
    grid, bounds = GeoGrid.anchored(UTM, resolution), (LEFT, TOP - SIDE / 2, LEFT + SIDE / 2, TOP)
    output = town_file.with_name(f"{resolution}.gpkg")
    prepare([town_file], style, grid, bounds, output)
    return DrawnView(output, style, grid), grid.window(bounds)


def test_a_picture_is_the_average_of_finer_classes(tmp_path: Path, town_file: Path) -> None:
    """The middles of the 4 x 4 samples of a pixel are those of the pixels of a grid that is four times finer."""
    document = shipped()["streets"].read_text().replace('"fill-outline-color": "#C4B6AB"', '"fill-opacity": 1')
    (tmp_path / "plain.json").write_text(document.replace("#C9C3B8", "transparent"))
    style = Style.load(tmp_path / "plain.json")
    view, window = of_town(town_file, style, 0.5)
    fine, all_of_it = of_town(town_file, style, 0.125)
    classes = fine.classes(all_of_it)
    colors = style.palette.display[classes].reshape(window.height, 4, window.width, 4, 3).mean(axis=(1, 3))
    difference = np.abs(view.read(window).data - np.moveaxis(colors, 2, 0))
    # The finer grid has its own lattice: a sample in 10 000 may lie on the other side of an edge.
    assert np.mean(difference > 0.5) < 1e-3
    assert difference.max() < 16


def test_the_street_style_draws_the_classes_of_a_town(town_file: Path) -> None:
    view, window = of_town(town_file, Style.load(shipped()["streets"]), 0.5)
    assert np.mean(view.classes(window) == class_raster(lay_out(4, SIDE))) > 0.9995


def test_outlines_and_casings_do_not_change_classes(tmp_path: Path) -> None:
    shapes = [box(5, 5, 20, 20), LineString([(0, 25), (40, 25)])]
    plain = [{"type": "fill", "paint": {"fill-color": "#888"}} | of_class("building")]
    lined = [{"type": "fill", "paint": {"fill-color": "#888", "fill-outline-color": "#000"}} | of_class("building")]
    casing = {"type": "line", "paint": {"line-width": 2, "line-gap-width": 4}}
    with_casing = drawn(tmp_path / "a", shapes, style_of(*lined, casing))
    without = drawn(tmp_path / "b", shapes, style_of(*plain))
    np.testing.assert_array_equal(with_casing.classes(WHOLE), without.classes(WHOLE))
    assert (with_casing.read(WHOLE).data != without.read(WHOLE).data).any()


@laws
@given(seed=st.integers(0, 2**32 - 1), points=st.integers(4, 400), col=st.integers(-40, 40), row=st.integers(-40, 40))
def test_areas_of_many_points_are_burnt_as_they_are(seed: int, points: int, col: int, row: int) -> None:
    """Wild rings, that cross themselves and the window again and again, burnt with and without all their points."""
    rng = np.random.default_rng(seed)
    rings = np.rint(np.cumsum(rng.normal(0, 9, (2, points, 2)), axis=1) * 4096) / 4096
    area = MultiPolygon([Polygon(ring) for ring in rings])
    window, raster, expected = Window(col, row, 30, 20), np.zeros((20, 30), np.uint8), np.zeros((20, 30), np.uint8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(canvas, "MANY", 0)
        canvas.burn(np.array([area]), [1], window, raster)
    rasterize([(shapely.transform(area, lambda xy: np.subtract(xy, (col, row))), 1)], out=expected)
    np.testing.assert_array_equal(raster, expected)


# Order and colour


@pytest.mark.parametrize("turned", [False, True])
def test_later_layers_and_later_features_lie_on_top(tmp_path: Path, turned: bool) -> None:
    first, second = box(5, 5, 20, 20), box(10, 10, 30, 25)
    paint = {"fill-color": ["match", ["get", "name"], "a", "#F00", "#00F"]}
    layers = [{"type": "fill", "filter": ["==", "name", name], "paint": paint} | of_class(of) for name, of in
              (("a", "building"), ("b", "road"))]  # fmt: skip
    by_layer = style_of(*layers[:: -1 if turned else 1])
    view = drawn(tmp_path, [first, second], by_layer, {"name": ["a", "b"]})
    pixel = window_of(15, 15, 15.5, 15.5)
    assert view.read(pixel).data.ravel().tolist() == ([255, 0, 0] if turned else [0, 0, 255])
    assert view.classes(pixel).item() == (1 if turned else 2)
    assert view.classes(window_of(39, 29, 39.5, 29.5)).item() == NO_CLASS
    features = [("a", first), ("b", second)][:: -1 if turned else 1]
    by_feature = drawn(
        tmp_path / "other",
        [shape for _, shape in features],
        style_of({"type": "fill", "paint": paint}),
        {"name": [name for name, _ in features]},
    )
    np.testing.assert_array_equal(by_feature.read(WHOLE).data, view.read(WHOLE).data)


@given(opacity=st.floats(0, 1), ground=st.integers(0, 255), level=st.integers(0, 255))
@laws
def test_colours_mix_as_in_browsers(opacity: float, ground: int, level: int) -> None:
    """Source over destination in sRGB (W3C, Compositing and Blending, section 5.1), twice."""
    painted = Canvas(Window(0, 0, 4, 2), (ground,) * 3)
    for _ in range(2):
        painted.paint(np.array([box(0, 0, 2, 2)]), [(level,) * 3], [opacity])
    once = ground * (1 - opacity) + level * opacity
    found = painted.picture()
    assert np.abs(found[:, :, :2] - (once * (1 - opacity) + level * opacity)).max() <= 1.5  # opacity in 256ths
    assert (found[:, :, 2:] == ground).all()


def test_layers_are_painted_over_each_other(tmp_path: Path) -> None:
    half = {"type": "fill", "paint": {"fill-color": "#FFF", "fill-opacity": 0.5}}
    style = style_of({"type": "background", "paint": {"background-color": "#000"}}, half, half)
    view = drawn(tmp_path, [box(5, 5, 20, 20)], style)
    assert (view.read(window_of(10, 10, 11, 11)).data == 191).all()
    assert (view.read(window_of(30, 25, 31, 26)).data == 0).all()


def test_the_alpha_of_a_colour_counts_as_opacity(tmp_path: Path) -> None:
    style = style_of({"type": "fill", "paint": {"fill-color": "rgba(0, 0, 0, 0.5)", "fill-opacity": 0.5}})
    view = drawn(tmp_path, [box(5, 5, 20, 20)], style)
    assert view.read(window_of(10, 10, 11, 11)).data.ravel().tolist() == pytest.approx([191.25] * 12, abs=0.5)


def test_where_areas_touch_nothing_shines_through(tmp_path: Path) -> None:
    edge = [(12.3, 0), (17.7, 30)]
    halves = [Polygon([(0, 0), *edge, (0, 30)]), Polygon([edge[0], (40, 0), (40, 30), edge[1]])]
    view = drawn(tmp_path, halves, style_of({"type": "fill", "paint": BLACK}))
    assert (view.read(WHOLE).data == 0).all()


# Strokes


LINE = [(5.0, 10.0), (25.0, 10.0)]
BENT = [(5.0, 25.0), (20.0, 25.0), (20.0, 10.0)]


def line_style(pen: dict[str, Any], **paint: Any) -> Style:
    named = {f"line-{name.replace('_', '-')}": value for name, value in paint.items()}
    return style_of({"type": "line", "paint": named, "layout": pen} | of_class("road", units="metres"))


@pytest.mark.parametrize(("cap", "ends"), [("butt", 0), ("square", 16), ("round", 4 * math.pi)])
def test_caps(tmp_path: Path, cap: str, ends: float) -> None:
    view = drawn(tmp_path, [LineString(LINE)], line_style({"line-cap": cap}, width=4))
    assert covered(view) * 0.25 == pytest.approx(20 * 4 + ends, rel=0.01)


@pytest.mark.parametrize(("join", "corner"), [("miter", 4), ("bevel", 2), ("round", math.pi)])
def test_joins(tmp_path: Path, join: str, corner: float) -> None:
    """Two strokes of 15 x 4 share 2 x 2 at their corner; outside of it the join fills up to 2 x 2."""
    view = drawn(tmp_path, [LineString(BENT)], line_style({"line-join": join}, width=4))
    assert covered(view) * 0.25 == pytest.approx(2 * 60 - 4 + corner, rel=0.005)


@given(angle=st.floats(5, 175), width=st.floats(0.5, 4), limit=st.floats(1, 5))
@laws
def test_spikes_end_where_the_specification_cuts_them(angle: float, width: float, limit: float) -> None:
    """A spike is as long as 1 / sin(half the angle between the lines) widths; above the limit it is a bevel."""
    half, radius = math.radians(angle) / 2, width / 2
    line = LineString([(30 * math.cos(half), 30 * math.sin(half)), (0, 0), (30 * math.cos(half), -30 * math.sin(half))])
    ratio = 1 / math.sin(half)
    if abs(ratio - limit) < 1e-6:
        return
    widths, none = np.array([width]), np.zeros(1)
    (area,) = strokes(np.array([line]), Pen(join="miter", miter_limit=limit), widths, none, none)
    assert -shapely.bounds(area)[0] == pytest.approx(
        radius * ratio if ratio < limit else radius * math.sin(half), rel=1e-6
    )
    (bevelled,) = strokes(np.array([line]), Pen(join="bevel"), widths, none, none)
    assert area.area - bevelled.area == pytest.approx(
        radius**2 * math.cos(half) ** 3 / math.sin(half) if ratio < limit else 0, rel=1e-6, abs=1e-9
    )


@pytest.mark.parametrize(
    ("pattern", "share"), [([1, 1], 1 / 2), ([2, 1], 2 / 3), ([1, 1, 3, 1], 2 / 3), ([3], 1), ([1, 1, 1], 2 / 3)]
)
def test_dashes(tmp_path: Path, pattern: list[float], share: float) -> None:
    """Lengths are in widths of the line; a pattern of odd length begins anew with a dash, as in MapLibre."""
    length = 2 * sum(pattern) * 2
    line = LineString([(2, 10), (2 + length, 10)])
    view = drawn(tmp_path, [line], line_style({}, width=2, dasharray=pattern))
    assert covered(view) * 0.25 == pytest.approx(length * 2 * share, rel=0.01)
    row = view.classes(window_of(2, 10, 2 + length, 10.5)).ravel() == 2
    begin = np.cumsum([0, *pattern]) * 2
    middles = (np.arange(len(row)) + 0.5) / 2 % begin[-1]
    assert (row == (np.searchsorted(begin, middles, side="right") % 2 == 1)).all()


def test_dashes_go_round_corners_and_have_caps(tmp_path: Path) -> None:
    view = drawn(tmp_path, [LineString(BENT)], line_style({"line-cap": "round"}, width=1, dasharray=[0, 3.2]))
    assert covered(view) * 0.25 == pytest.approx(10 * math.pi / 4, rel=0.03)  # at 0, 3.2, ..., 28.8 of 30 metres


def test_a_casing_leaves_the_middle_free(tmp_path: Path) -> None:
    view = drawn(tmp_path, [LineString(LINE)], line_style({}, width=1, gap_width=4))
    column = view.classes(window_of(15, 5, 15.5, 15)).ravel()
    assert np.flatnonzero(column == 2).tolist() == [4, 5, 14, 15]  # 2 to 3 metres above and below
    assert covered(view) * 0.25 == pytest.approx(2 * 20, rel=0.01)


@pytest.mark.parametrize(("offset", "rows"), [(2, [13, 14]), (-2, [5, 6])])
def test_offsets_are_to_the_right_of_the_line(tmp_path: Path, offset: float, rows: list[int]) -> None:
    view = drawn(tmp_path, [LineString(LINE)], line_style({}, width=1, offset=offset))
    column = view.classes(window_of(15, 5, 15.5, 15)).ravel()
    assert np.flatnonzero(column == 2).tolist() == rows


@pytest.mark.parametrize("offset", [2, -2, 0])
def test_offsets_of_areas_are_inwards(tmp_path: Path, offset: float) -> None:
    for ring in (box(5, 5, 25, 25), shapely.reverse(box(5, 5, 25, 25))):
        view = drawn(tmp_path, [ring], line_style({}, width=1, offset=offset))
        assert covered(view) * 0.25 == pytest.approx(4 * (20 - 2 * offset), rel=0.01)


def test_pixels_and_metres_are_told_apart(tmp_path: Path) -> None:
    metres = drawn(
        tmp_path,
        [LineString(LINE)],
        style_of({"type": "line", "paint": {"line-width": 3}} | of_class("road", units="metres")),
    )
    pixels = drawn(tmp_path / "pixels", [LineString(LINE)], style_of({"type": "line", "paint": {"line-width": 3}}))
    assert covered(metres) == pytest.approx(40 * 6, rel=0.01)
    assert covered(pixels) == pytest.approx(40 * 3, rel=0.01)


@pytest.mark.parametrize("code", [32633, 3857, 4326, 2193])
def test_a_line_covers_its_width_on_the_ground(tmp_path: Path, code: int) -> None:
    """In web Mercator a metre is 1.6 units long at 52 degrees north; in degrees, pixels are not square there."""
    place = (172.0, -43.0) if code == 2193 else (15.0, 52.35)
    x, y = (value[0] for value in transform("EPSG:4326", f"EPSG:{code}", [place[0]], [place[1]]))
    side = 5e-6 if code == 4326 else 0.5
    grid = GeoGrid(crs=CRS.from_epsg(code), transform=Affine(side, 0, x, 0, -side, y))
    across, down = pixel_sides(grid.crs, grid.transform, 100, 100)
    ends = np.array([(20.0, 30.0), (180.0, 150.0)])
    length = math.hypot(*((ends[1] - ends[0]) * (across, down)))
    line = LineString([grid.transform * tuple(end) for end in ends])
    file = write_features(tmp_path / "things.gpkg", [line], crs=f"EPSG:{code}")
    style, window = line_style({}, width=8), Window(0, 0, 200, 200)
    prepare([file], style, grid, grid.bounds(window), tmp_path / "prepared.gpkg")
    area = covered(DrawnView(tmp_path / "prepared.gpkg", style, grid), window) * across * down
    assert area == pytest.approx(8 * length, rel=0.005)


# The view


def test_a_view_knows_where_it_comes_from(tmp_path: Path) -> None:
    style = style_of({"type": "fill", "paint": BLACK})
    view, again = (drawn(tmp_path / name, [box(5, 5, 20, 20)], style) for name in "ab")
    assert (view.names, view.dtype) == (("red", "green", "blue"), "uint8")
    assert view.identity() == again.identity()
    assert drawn(tmp_path / "other", [box(5, 5, 20, 21)], style).identity() != view.identity()
    assert view.extents() == [BOUNDS]
    assert view.origins(WHOLE) == ("things.gpkg",)
    assert view.covers(Window(WHOLE.right - 1, WHOLE.row, 9, 9))
    assert not view.covers(Window(WHOLE.right, WHOLE.row, 9, 9))
    assert view.origins(Window(WHOLE.right, WHOLE.row, 9, 9)) == ()
    view.close()
    assert covered(view) == covered(again)


def test_a_file_that_was_prepared_for_something_else_is_refused(tmp_path: Path) -> None:
    style = style_of({"type": "fill", "paint": BLACK})
    drawn(tmp_path, [box(5, 5, 20, 20)], style)
    with pytest.raises(VectorError, match="prepared for another style"):
        DrawnView(tmp_path / "prepared.gpkg", style_of({"type": "fill"}), GRID)
    with pytest.raises(VectorError, match="prepared for another grid"):
        DrawnView(tmp_path / "prepared.gpkg", style, GeoGrid.anchored(UTM, 1))


# Real data


def real(test: Any) -> Any:
    skip = pytest.mark.skipif(not DATA.is_dir(), reason="the real data are not beside this checkout")
    return pytest.mark.data(skip(test))


def of_real(folder: Path, scene: Path, vectors: Path, bands: Any = None) -> tuple[np.ndarray, Any]:
    """The classes that the street style draws on a scene; the scene and the shapes in the file in metres of UTM."""
    with RasterReader(scene, bands=bands) as reader:
        grid, window = GeoGrid.of(reader), reader.extent
    with pytest.warns(TileSetWarning, match="layers that are not there"):
        prepare([vectors], Style.load(shipped()["streets"]), grid, grid.bounds(window), folder / "prepared.gpkg")
    classes = DrawnView(folder / "prepared.gpkg", Style.load(shipped()["streets"]), grid).classes(window)
    left, bottom, right, top = grid.bounds(window)
    utm = metric_crs(grid.crs, left, bottom)
    features = json.loads(vectors.read_text())["features"]
    seen = transform_geom(grid.crs, utm, box(left, bottom, right, top))
    shapes = [transform_geom("EPSG:4326", utm, feature["geometry"]) for feature in features]
    return classes, [shapely.geometry.shape(shape) for shape in (seen, *shapes)]


@real
def test_roads_of_vegas_are_eight_metres_wide(tmp_path: Path) -> None:
    """The scene is in degrees, and its pixels are not square on the ground."""
    folder = DATA / "scenes" / "vegas"
    classes, (seen, *lines) = of_real(tmp_path, folder / "scene.tif", folder / "roads.geojson", (1, 2, 3))
    surface = shapely.union_all(shapely.buffer(lines, 4)).intersection(seen)
    assert np.mean(classes == 2) == pytest.approx(surface.area / seen.area, rel=0.003)


@real
@pytest.mark.parametrize("tile", [0, 20, 47])
def test_buildings_of_banepa_cover_what_they_cover(tmp_path: Path, tile: int) -> None:
    folder = DATA / "train" / "banepa-buildings"
    scene = sorted((folder / "tiles").glob("*.tif"))[tile]
    classes, (seen, *areas) = of_real(tmp_path, scene, folder / "osm" / "buildings.geojson")
    covered = shapely.union_all(shapely.make_valid(areas)).intersection(seen)
    assert np.mean(classes == 1) == pytest.approx(covered.area / seen.area, rel=0.003)
    assert set(np.unique(classes)) <= {0, 1}
