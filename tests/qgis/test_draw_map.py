"""The algorithm that draws layers on the pixels of a source."""

from pathlib import Path

import pytest

pytest.importorskip("qgis.core", reason="this Python has no QGIS")

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsFeature,
    QgsFillSymbol,
    QgsGeometry,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingParameterDefinition,
    QgsProject,
    QgsRasterLayer,
    QgsSingleSymbolRenderer,
    QgsVectorLayer,
)
from qgis.PyQt.QtGui import QColor

from qgis_plugin.algorithms.draw_map import DrawMap
from qgis_plugin.pixelgrid import PixelGrid
from qgis_plugin.rasterfile import begun

BOX = "Polygon((500005 5799995, 500015 5799995, 500015 5799985, 500005 5799985, 500005 5799995))"


class Heard(QgsProcessingFeedback):
    """A feedback that remembers warnings."""

    def __init__(self) -> None:
        super().__init__()
        self.warnings: list[str] = []

    def pushWarning(self, warning: str) -> None:
        self.warnings.append(warning)


def areas(wkt: str, name: str = "areas", crs: str = "EPSG:32633") -> QgsVectorLayer:
    layer = QgsVectorLayer(f"Polygon?crs={crs}", name, "memory")
    feature = QgsFeature()
    feature.setGeometry(QgsGeometry.fromWkt(wkt))
    layer.dataProvider().addFeatures([feature])
    layer.updateExtents()
    layer.setRenderer(QgsSingleSymbolRenderer(QgsFillSymbol.createSimple({"color": "#208040", "outline_style": "no"})))
    return layer


@pytest.fixture
def source(tmp_path: Path, qgis_new_project: object) -> str:
    """The path of 40 x 30 pixels of 0.5 m."""
    grid = PixelGrid(QgsCoordinateReferenceSystem("EPSG:32633"), 500_000.0, 5_800_000.0, 0.5, 40, 30)
    assert begun(tmp_path / "source.tif", grid).setEditable(False)
    return str(tmp_path / "source.tif")


def run(tmp_path: Path, **parameters: object) -> tuple[QgsRasterLayer, Heard]:
    context, feedback = QgsProcessingContext(), Heard()
    context.setProject(QgsProject.instance())
    values = {"OUTPUT": str(tmp_path / "map.tif")} | parameters
    results, done = DrawMap().run(values, context, feedback, {}, False)
    assert done
    return QgsRasterLayer(results["OUTPUT"], "map"), feedback


def shown(layer: QgsRasterLayer, col: int, row: int) -> tuple[int, ...]:
    point = layer.extent().center()
    point.set(500_000 + (col + 0.5) * 0.5, 5_800_000 - (row + 0.5) * 0.5)
    return tuple(int(layer.dataProvider().sample(point, band)[0]) for band in range(1, 5))


def test_the_map_lies_on_the_pixels_of_the_source(tmp_path: Path, source: str) -> None:
    found, feedback = run(tmp_path, SOURCE=source, LAYERS=[areas(BOX)])
    assert PixelGrid.of(found) == PixelGrid.of(QgsRasterLayer(source, "source"))
    assert (shown(found, 9, 9), shown(found, 10, 10)) == ((255, 255, 255, 255), (0x20, 0x80, 0x40, 255))
    assert not feedback.warnings


def test_the_area_may_lie_in_another_reference_system(tmp_path: Path, source: str) -> None:
    degrees = QgsCoordinateReferenceSystem("EPSG:4326")
    box = QgsGeometry.fromWkt(BOX)
    box.transform(QgsCoordinateTransform(QgsCoordinateReferenceSystem("EPSG:32633"), degrees, QgsProject.instance()))
    area = areas(box.asWkt(12), crs="EPSG:4326")
    found, _ = run(tmp_path, SOURCE=source, LAYERS=[areas(BOX)], AREA=area)
    assert (shown(found, 8, 8)[3], shown(found, 12, 12)) == (0, (0x20, 0x80, 0x40, 255))


def test_what_no_layer_covers_is_unknown_if_asked(tmp_path: Path, source: str) -> None:
    found, _ = run(tmp_path, SOURCE=source, LAYERS=[areas(BOX)], BACKGROUND=QColor(0, 0, 0, 0))
    assert (shown(found, 5, 5)[3], shown(found, 12, 12)[3]) == (0, 255)


def test_a_map_that_shows_nothing_of_the_source_is_told(tmp_path: Path, source: str) -> None:
    far = "Polygon((0 0, 1 0, 1 1, 0 0))"
    _, feedback = run(tmp_path, SOURCE=source, LAYERS=[areas(far)], BACKGROUND=QColor(0, 0, 0, 0))
    assert feedback.warnings == ["Nothing of the map lies on the source: every pixel of it is unknown."]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"AREA": "Polygon((0 0, 1 0, 1 1, 0 0))"}, "lies elsewhere than the source"),
        ({"AREA": "Polygon EMPTY"}, "polygons are needed, found none"),
    ],
)
def test_a_wrong_area_is_told(changed: dict, message: str, tmp_path: Path, source: str) -> None:
    layers = {name: areas(wkt, "area") for name, wkt in changed.items()}
    with pytest.raises(QgsProcessingException, match=message):
        run(tmp_path, SOURCE=source, LAYERS=[areas(BOX)], **layers)


def test_what_few_need_is_marked_as_advanced(qgis_app: object) -> None:
    algorithm = DrawMap().create()
    advanced = QgsProcessingParameterDefinition.Flag.FlagAdvanced
    simple = [one.name() for one in algorithm.parameterDefinitions() if not one.flags() & advanced]
    assert simple == ["SOURCE", "LAYERS", "AREA", "OUTPUT"]
