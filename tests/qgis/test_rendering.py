"""Layers in their QGIS styles as a picture on a grid."""

from pathlib import Path

import pytest

pytest.importorskip("qgis.core", reason="this Python has no QGIS")

import numpy as np
from qgis.core import (
    QgsApplication,
    QgsArrowSymbolLayer,
    QgsCategorizedSymbolRenderer,
    QgsCentroidFillSymbolLayer,
    QgsCoordinateReferenceSystem,
    QgsDrawSourceEffect,
    QgsDropShadowEffect,
    QgsEffectStack,
    QgsFeature,
    QgsFeedback,
    QgsFillSymbol,
    QgsGeometry,
    QgsLinePatternFillSymbolLayer,
    QgsLineSymbol,
    QgsMarkerLineSymbolLayer,
    QgsMarkerSymbol,
    QgsPalLayerSettings,
    QgsPoint,
    QgsPointPatternFillSymbolLayer,
    QgsProject,
    QgsRasterLayer,
    QgsRectangle,
    QgsRendererCategory,
    QgsSimpleLineSymbolLayer,
    QgsSingleSymbolRenderer,
    QgsTask,
    QgsTextFormat,
    QgsUnitTypes,
    QgsVectorLayer,
    QgsVectorLayerSimpleLabeling,
)
from qgis.gui import QgsMapCanvas
from qgis.PyQt.QtCore import QCoreApplication, QEvent, Qt
from qgis.PyQt.QtGui import QColor, QImage
from qgis.PyQt.QtXml import QDomDocument

from qgis_plugin import rendering
from qgis_plugin.errors import LayerError
from qgis_plugin.pixelgrid import PixelGrid
from qgis_plugin.rendering import Look, drawing, in_drawing_order, render

CRS = QgsCoordinateReferenceSystem("EPSG:32633")
LEFT, TOP = 500_000.0, 5_800_000.0
PLAIN = Look()
EVERYTHING = Look(labels=True, icons=True, effects=True, antialiased=True)


def grid(width: int = 300, height: int = 200) -> PixelGrid:
    return PixelGrid(CRS, LEFT, TOP, 0.5, width, height)


def wkt(kind: str, *rings: list[tuple[float, float]]) -> str:
    """A shape in pixels of the grid as WKT in its CRS."""
    texts = (", ".join(f"{LEFT + x * 0.5!r} {TOP - y * 0.5!r}" for x, y in ring) for ring in rings)
    if kind == "Polygon":
        return f"Polygon({', '.join(f'({text})' for text in texts)})"
    return f"{kind}({next(texts)})"


def layer(kind: str, symbol: object, *shapes: str, name: str = "shapes") -> QgsVectorLayer:
    made = QgsVectorLayer(f"{kind}?crs=EPSG:32633&field=name:string", name, "memory")
    features = []
    for number, shape in enumerate(shapes):
        feature = QgsFeature(made.fields())
        feature.setGeometry(QgsGeometry.fromWkt(shape))
        feature.setAttributes([f"Street {number}"])
        features.append(feature)
    assert made.dataProvider().addFeatures(features)[0]
    made.updateExtents()
    made.setRenderer(QgsSingleSymbolRenderer(symbol))
    return made


def fill(color: str = "#208040") -> QgsFillSymbol:
    return QgsFillSymbol.createSimple({"color": color, "outline_style": "no"})


def square(left: float, top: float, right: float, bottom: float) -> str:
    return wkt("Polygon", [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)])


ZIGZAG = wkt("LineString", [(-40, 10), (120, 190), (200, 20), (340, 150)])


def drawn(layers: list, output: Path, look: Look = PLAIN, on: PixelGrid | None = None, area=None) -> np.ndarray:
    """The picture, shape (rows, cols, 4)."""
    on = on or grid()
    known = render(drawing(layers, QgsProject.instance(), look), on, output, area=area, feedback=QgsFeedback())
    found = pixels(output)
    assert known == np.count_nonzero(found[..., 3])
    return found


def pixels(path: Path) -> np.ndarray:
    found = QgsRasterLayer(str(path), "picture")
    assert found.isValid()
    width, height = found.width(), found.height()
    bands = []
    for band in range(1, 5):
        block = found.dataProvider().block(band, found.extent(), width, height)  # owns its bytes
        bands.append(np.frombuffer(bytes(block.data()), np.uint8).reshape(height, width))
    return np.stack(bands, axis=-1)


def colors(picture: np.ndarray) -> set[str]:
    return {"#" + bytes(color).hex() for color in np.unique(picture[..., :3].reshape(-1, 3), axis=0)}


def symbols() -> dict[str, object]:
    """One layer for each way in which a symbol may know where its picture ends."""

    def line(part: object) -> QgsLineSymbol:
        symbol = QgsLineSymbol()
        symbol.changeSymbolLayer(0, part)
        return symbol

    def area(part: object) -> QgsFillSymbol:
        symbol = QgsFillSymbol()
        symbol.changeSymbolLayer(0, part)
        return symbol

    dashes = QgsSimpleLineSymbolLayer(QColor("#aa2010"), 1.2)
    dashes.setPenStyle(Qt.PenStyle.DashLine)
    metres = QgsSimpleLineSymbolLayer(QColor("#2040a0"), 7)
    metres.setWidthUnit(QgsUnitTypes.RenderUnit.RenderMetersInMapUnits)
    hatched = QgsLinePatternFillSymbolLayer()
    hatched.setLineAngle(30)
    brushed = QgsFillSymbol.createSimple({"style": "diagonal_x", "outline_style": "no"})
    polygons = [square(-30.3, 20.3, 140.3, 330.3), square(160.3, -10.3, 290.3, 120.3)]
    translucent = layer("Polygon", fill(), *polygons)
    translucent.setOpacity(0.5)
    shadowed = layer("Polygon", fill(), *polygons)
    shadowed.renderer().setPaintEffect(QgsDropShadowEffect())
    return {
        "wide line": layer("LineString", line(QgsSimpleLineSymbolLayer(QColor("#102030"), 6)), ZIGZAG),
        "metres": layer("LineString", line(metres), ZIGZAG),
        "dashes": layer("LineString", line(dashes), ZIGZAG),
        "markers along a line": layer("LineString", line(QgsMarkerLineSymbolLayer()), ZIGZAG),
        "arrow": layer("LineString", line(QgsArrowSymbolLayer()), ZIGZAG),
        "areas": layer("Polygon", fill(), *polygons),
        "brush": layer("Polygon", brushed, *polygons),
        "hatching": layer("Polygon", area(hatched), *polygons),
        "points in areas": layer("Polygon", area(QgsPointPatternFillSymbolLayer()), *polygons),
        "centroids": layer("Polygon", area(QgsCentroidFillSymbolLayer()), *polygons),
        "points": layer("Point", QgsMarkerSymbol.createSimple({"size": "9"}), wkt("Point", [(63, 66)])),
        "translucent": translucent,
        "shadow": shadowed,
        "larger than the earth": layer("Polygon", fill(), square(-3e6, 100, 3e6, 3e6)),
    }


@pytest.mark.parametrize(
    "name",
    [
        "areas",
        "arrow",
        "brush",
        "centroids",
        "dashes",
        "hatching",
        "larger than the earth",
        "markers along a line",
        "metres",
        "points",
        "points in areas",
        "shadow",
        "translucent",
        "wide line",
    ],
)
def test_pieces_make_the_whole(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, qgis_app: object) -> None:
    look = Look(icons=True, effects=True)
    whole = drawn([symbols()[name]], tmp_path / "whole.tif", look)
    monkeypatch.setattr(rendering, "SIDE", 64)
    pieces = drawn([symbols()[name]], tmp_path / "pieces.tif", look)
    assert len(colors(whole)) > 1
    assert np.array_equal(whole, pieces)


def canvas_picture(layers: list, on: PixelGrid) -> np.ndarray:
    """What a canvas of as many pixels shows."""
    canvas = QgsMapCanvas()
    canvas.setDestinationCrs(on.crs)
    frame = 2 * canvas.frameWidth()
    canvas.resize(on.width + frame, on.height + frame)
    canvas.show()
    QCoreApplication.processEvents()
    canvas.setCanvasColor(QColor("white"))
    canvas.setLayers(layers)
    canvas.setExtent(on.extent(on.whole))
    canvas.refresh()
    canvas.waitWhileRendering()
    size = canvas.mapSettings().outputSize()
    assert (size.width(), size.height()) == (on.width, on.height)
    picture = canvas.viewport().grab().toImage().convertToFormat(QImage.Format.Format_RGBA8888)
    canvas.setLayers([])
    canvas.deleteLater()
    QCoreApplication.sendPostedEvents(canvas, QEvent.Type.DeferredDelete)
    return np.frombuffer(picture.constBits().asstring(picture.sizeInBytes()), np.uint8).reshape(on.height, on.width, 4)


def street_map() -> list:
    """A map of classes with all that styles may add to it, topmost layer first."""
    kinds = {"Street 0": "#ff0000", "Street 1": "#0000ff"}
    categories = [QgsRendererCategory(kind, fill(color), "") for kind, color in kinds.items()]
    areas = layer("Polygon", fill(), square(10.3, 10.3, 90.3, 90.3), square(150.3, 20.3, 280.3, 180.3))
    areas.setRenderer(QgsCategorizedSymbolRenderer("name", categories))
    effect = QgsEffectStack()
    effect.appendEffect(QgsDropShadowEffect())
    effect.appendEffect(QgsDrawSourceEffect())
    effect.setEnabled(True)
    areas.renderer().setPaintEffect(effect)
    road = QgsLineSymbol.createSimple({"color": "#000000", "width": "3"})
    road.appendSymbolLayer(QgsMarkerLineSymbolLayer())
    roads = layer("LineString", road, wkt("LineString", [(20, 40), (120, 190), (200, 20), (290, 100)]))
    settings = QgsPalLayerSettings()
    settings.fieldName = "name"
    settings.placement = QgsPalLayerSettings.Placement.Line
    text = QgsTextFormat()
    text.setColor(QColor("#00ff00"))
    settings.setFormat(text)
    roads.setLabeling(QgsVectorLayerSimpleLabeling(settings))
    roads.setLabelsEnabled(True)
    places = layer("Point", QgsMarkerSymbol.createSimple({"color": "#ff00ff"}), wkt("Point", [(100, 100)]))
    return [places, roads, areas]


def test_with_everything_it_is_what_the_canvas_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, qgis_new_project: object
) -> None:
    monkeypatch.setattr(rendering, "DPI", 100)  # of Qt's offscreen screen
    layers = street_map()
    QgsProject.instance().addMapLayers(layers)
    shown = canvas_picture(layers, grid())
    found = drawn(layers, tmp_path / "map.tif", EVERYTHING)
    assert len(colors(found)) > 100
    assert np.array_equal(shown, found)


def test_by_default_only_the_colours_of_areas_and_lines_are_drawn(tmp_path: Path, qgis_new_project) -> None:
    assert colors(drawn(street_map(), tmp_path / "map.tif")) == {"#ffffff", "#ff0000", "#0000ff", "#000000"}


@pytest.mark.parametrize("wish", ["labels", "icons", "effects", "antialiased"])
def test_each_wish_adds_to_the_map(wish: str, tmp_path: Path, qgis_new_project) -> None:
    plain = drawn(street_map(), tmp_path / "plain.tif")
    more = drawn(street_map(), tmp_path / "more.tif", Look(**{wish: True}))
    assert len(colors(more) - colors(plain))
    assert 0 < (plain != more).any(axis=-1).mean() < 0.3


def test_labels_leave_the_layers_of_the_project_as_they_are(tmp_path: Path, qgis_new_project: object) -> None:
    layers = street_map()
    QgsProject.instance().addMapLayers(layers)
    before = [style(one) for one in layers]
    drawn(layers, tmp_path / "map.tif")
    assert [style(one) for one in layers] == before


def style(one: QgsVectorLayer) -> str:
    document = QDomDocument()
    one.exportNamedStyle(document)
    return document.toString()


def test_layers_are_stacked_as_in_the_project(qgis_new_project: object) -> None:
    layers = street_map()
    QgsProject.instance().addMapLayers(layers)
    order = QgsProject.instance().layerTreeRoot().layerOrder()
    stranger = layer("Point", QgsMarkerSymbol())
    assert in_drawing_order([stranger, *layers[::-1]], QgsProject.instance()) == [*order, stranger]


# --- where it lies ---


def test_it_lies_on_the_pixels_of_its_source(tmp_path: Path, qgis_app: object) -> None:
    drawn([symbols()["areas"]], tmp_path / "source.tif")
    source = QgsRasterLayer(str(tmp_path / "source.tif"), "source")
    on = PixelGrid.of(source)
    assert on == grid()
    drawn([symbols()["points"]], tmp_path / "target.tif", Look(icons=True), on)
    target = QgsRasterLayer(str(tmp_path / "target.tif"), "target")
    assert (target.crs(), target.extent()) == (source.crs(), source.extent())
    assert (target.width(), target.height()) == (source.width(), source.height())


@pytest.mark.parametrize(
    "on",
    [
        grid(),
        PixelGrid(CRS, LEFT + 0.3, TOP + 0.1, 0.3, 300, 200),
        PixelGrid(QgsCoordinateReferenceSystem("EPSG:4326"), -115.17, 36.1, 2.7e-6, 300, 200),
    ],
)
@pytest.mark.parametrize("beside", [0, 37])
@pytest.mark.parametrize("side", [61, 2048])
def test_every_pixel_shows_what_lies_under_it(
    on: PixelGrid, beside: int, side: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, qgis_app: object
) -> None:
    """A raster in its own colours, at the edges of the map or `beside` pixels from them."""
    monkeypatch.setattr(rendering, "SIDE", side)
    cols, rows = np.meshgrid(np.arange(on.width), np.arange(on.height))
    true = np.stack([cols % 256, rows, (cols * 7 + rows * 31) % 256, np.full_like(cols, 255)], axis=-1).astype(np.uint8)
    QImage(true.tobytes(), on.width, on.height, 4 * on.width, QImage.Format.Format_RGBA8888).save(
        str(tmp_path / "a.png")
    )
    world = (on.resolution, 0, 0, -on.resolution, on.left + on.resolution / 2, on.top - on.resolution / 2)
    (tmp_path / "a.pgw").write_text("\n".join(repr(number) for number in world))
    picture = QgsRasterLayer(str(tmp_path / "a.png"), "picture")
    picture.setCrs(on.crs)
    found = PixelGrid.of(picture)
    wider = found._replace(left=found.left - beside * found.resolution, width=found.width + beside)
    assert np.array_equal(drawn([picture], tmp_path / "map.tif", on=wider)[:, beside:], true)


def test_pixels_that_are_not_square_are_divided(qgis_app: object, tmp_path: Path) -> None:
    drawn([symbols()["areas"]], tmp_path / "square.tif", on=grid(100, 60))
    place = f"<SRS>EPSG:32633</SRS><GeoTransform>{LEFT}, 0.5, 0, {TOP}, 0, -0.7</GeoTransform>"
    source = '<SimpleSource><SourceFilename relativeToVRT="1">square.tif</SourceFilename></SimpleSource>'
    band = f'<VRTRasterBand dataType="Byte" band="1">{source}</VRTRasterBand>'
    (tmp_path / "flat.vrt").write_text(f'<VRTDataset rasterXSize="100" rasterYSize="60">{place}{band}</VRTDataset>')
    found = PixelGrid.of(QgsRasterLayer(str(tmp_path / "flat.vrt"), "flat"))
    assert found[1:] == (LEFT, TOP, 0.5, 100, 84)


@pytest.mark.parametrize(("width", "height", "side"), [(1, 1, 64), (64, 64, 64), (65, 129, 64), (300, 200, 77)])
def test_pieces_cover_every_pixel_once(width: int, height: int, side: int, qgis_app: object) -> None:
    count = np.zeros((height, width), int)
    for piece in grid(width, height).pieces(side):
        count[piece.row : piece.row + piece.height, piece.col : piece.col + piece.width] += 1
    assert (count == 1).all()


# --- what is known ---


@pytest.mark.parametrize("side", [64, 2048])
def test_outside_of_an_area_nothing_is_known(
    side: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, qgis_app: object
) -> None:
    """A pixel is known if its centre lies inside, as everywhere in the library."""
    monkeypatch.setattr(rendering, "SIDE", side)
    ring = [(11.3, 7.2), (131.7, 22.9), (90.4, 95.1), (40.2, 60.8), (11.3, 7.2)]
    hole = [(60.1, 30.2), (80.7, 31.3), (71.9, 55.5), (60.1, 30.2)]
    island = square(120.2, 70.3, 149.6, 99.7)
    area = QgsGeometry.collectGeometry([QgsGeometry.fromWkt(wkt("Polygon", ring, hole)), QgsGeometry.fromWkt(island)])
    on = grid(150, 100)
    found = drawn([symbols()["areas"]], tmp_path / "map.tif", on=on, area=area)
    centres = [QgsPoint(LEFT + (col + 0.5) * 0.5, TOP - (row + 0.5) * 0.5) for row in range(100) for col in range(150)]

    def inside(margin: float) -> np.ndarray:
        shape = area.buffer(margin * 0.5, 8)
        engine = QgsGeometry.createGeometryEngine(shape.constGet())
        return np.array([engine.contains(point) for point in centres]).reshape(100, 150)

    assert (found[..., 3][inside(-1 / 64)] == 255).all()  # Qt counts in 64ths of a pixel
    assert (found[..., 3][~inside(1 / 64)] == 0).all()


def test_an_area_elsewhere_leaves_nothing(tmp_path: Path, qgis_app: object) -> None:
    area = QgsGeometry.fromWkt(square(5000, 5000, 6000, 6000))
    assert not drawn([symbols()["areas"]], tmp_path / "map.tif", area=area).any()


def test_a_transparent_background_is_unknown(tmp_path: Path, qgis_app: object) -> None:
    found = drawn([symbols()["areas"]], tmp_path / "map.tif", Look(background="#00ffffff"))
    assert set(np.unique(found[..., 3])) == {0, 255}
    assert (found[found[..., 3] == 255][:, :3] == (0x20, 0x80, 0x40)).all()


# --- mishaps ---


def test_what_cannot_be_drawn_is_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, qgis_app) -> None:
    project = QgsProject.instance()
    with pytest.raises(LayerError, match="needs layers, found none"):
        drawing([], project, Look())
    with pytest.raises(LayerError, match="gone: QGIS cannot read it"):
        drawing([QgsVectorLayer(str(tmp_path / "gone.gpkg"), "gone", "ogr")], project, Look())
    with pytest.raises(LayerError, match="no pixels of its own"):
        PixelGrid.of(QgsRasterLayer(str(tmp_path / "gone.tif"), "gone"))
    for extent, resolution, message in (
        (QgsRectangle(0, 0, 10, 10), 0.0, "resolution of 0"),
        (QgsRectangle(0, 0, 0, 10), 1.0, "has no area"),
    ):
        with pytest.raises(LayerError, match=message):
            PixelGrid.covering(extent, CRS, resolution)
    monkeypatch.setattr(rendering, "MAX_PIXELS_WITH_LABELS", 100)
    with pytest.raises(LayerError, match="300 x 200 pixels with labels"):
        drawn([symbols()["areas"]], tmp_path / "map.tif", Look(labels=True))
    with pytest.raises(LayerError, match="no picture can be written there"):
        drawn([symbols()["areas"]], tmp_path / "nowhere" / "map.tif")
    assert not list(tmp_path.iterdir())


def test_a_cancelled_drawing_leaves_no_file(tmp_path: Path, qgis_app: object) -> None:
    feedback = QgsFeedback()
    feedback.cancel()
    shapes = drawing([symbols()["areas"]], QgsProject.instance(), Look())
    assert render(shapes, grid(), tmp_path / "map.tif", area=None, feedback=feedback) is None
    assert not list(tmp_path.iterdir())


def test_it_is_drawn_in_another_thread(tmp_path: Path, qgis_new_project: object) -> None:
    """As tasks and algorithms do, while the window stays alive."""
    layers = street_map()
    QgsProject.instance().addMapLayers(layers)
    shapes = drawing(layers, QgsProject.instance(), EVERYTHING)
    task = QgsTask.fromFunction(
        "draw", lambda task: render(shapes, grid(), tmp_path / "task.tif", area=None, feedback=QgsFeedback())
    )
    QgsApplication.taskManager().addTask(task)
    assert task.waitForFinished(30_000)
    assert np.array_equal(pixels(tmp_path / "task.tif"), drawn(layers, tmp_path / "here.tif", EVERYTHING))
