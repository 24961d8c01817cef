"""The panel: its button with the real command line, and what it adds to the project."""

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("qgis.core", reason="this Python has no QGIS")

from qgis.core import (
    QgsApplication,
    QgsCoordinateReferenceSystem,
    QgsFeature,
    QgsGeometry,
    QgsProject,
    QgsRasterLayer,
    QgsRectangle,
    QgsVectorLayer,
)
from qgis.gui import QgsMapCanvas, QgsMessageBar
from qgis.PyQt.QtCore import QCoreApplication, QEvent
from qgis.PyQt.QtWidgets import QMainWindow

from qgis_plugin import classFactory, command, settings
from qgis_plugin.errors import LayerError
from qgis_plugin.optionspage import OptionsFactory
from qgis_plugin.panel import SELECTED, VISIBLE, Panel

PATIENCE = 120  # seconds, so that a panel that never ends does not hold the tests up


class Window:
    """As much of QGIS's window as the plugin uses, of real widgets."""

    def __init__(self) -> None:
        self._canvas, self._bar, self._main = QgsMapCanvas(), QgsMessageBar(), QMainWindow()
        self.pages: list[Any] = []
        self.actions: list[Any] = []
        self.active: Any = None

    def mapCanvas(self) -> QgsMapCanvas:
        return self._canvas

    def messageBar(self) -> QgsMessageBar:
        return self._bar

    def mainWindow(self) -> QMainWindow:
        return self._main

    def activeLayer(self) -> Any:
        return self.active

    def addDockWidget(self, area: Any, widget: Any) -> None:
        self._main.addDockWidget(area, widget)

    def removeDockWidget(self, widget: Any) -> None:
        self._main.removeDockWidget(widget)

    def registerOptionsWidgetFactory(self, page: Any) -> None:
        self.pages.append(page)

    def unregisterOptionsWidgetFactory(self, page: Any) -> None:
        self.pages.remove(page)

    def addToolBarIcon(self, action: Any) -> None:
        self.actions.append(action)

    def removeToolBarIcon(self, action: Any) -> None:
        if action in self.actions:
            self.actions.remove(action)

    def addPluginToRasterMenu(self, menu: str, action: Any) -> None:
        pass

    def removePluginRasterMenu(self, menu: str, action: Any) -> None:
        pass


@pytest.fixture
def panel(qgis_app: QgsApplication, python: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Panel]:
    from qgis_plugin.provider import Provider

    monkeypatch.setenv(settings.VARIABLE, str(python))
    provider = Provider()
    assert QgsApplication.processingRegistry().addProvider(provider)
    made = Panel(Window())
    yield made
    made.close_down()
    made.deleteLater()
    QgsApplication.processingRegistry().removeProvider(provider)
    QgsProject.instance().clear()


def added(layer: Any) -> Any:
    assert layer.isValid()
    QgsProject.instance().addMapLayer(layer)
    return layer


def press(panel: Panel) -> str:
    """What the panel says in the end."""
    panel.start.click()
    return end_of(panel)


def end_of(panel: Panel) -> str:
    """What it says when its work is over; meanwhile QGIS goes on."""
    late = time.monotonic() + PATIENCE
    while not panel.start.isEnabled():
        QgsApplication.processEvents()
        time.sleep(0.01)
        assert time.monotonic() < late, "the panel is still at work"
    return panel.state.text()


def test_one_button_puts_the_map_above_its_source(panel: Panel, sample: Path, tmp_path: Path) -> None:
    added(QgsRasterLayer(str(sample / "map.tif"), "above"))
    scene = added(QgsRasterLayer(str(sample / "scene.tif"), "scene"))
    panel.layer.setLayer(scene)
    panel.confidence.setChecked(True)
    output = tmp_path / "Straße und Weg" / "karte.tif"
    output.parent.mkdir()
    panel.output.setFilePath(str(output))
    told: list[str] = []
    shares: list[int] = []
    panel.bar.valueChanged.connect(shares.append)
    panel.start.click()
    panel._work.voice.told.connect(told.append)
    assert "done" in end_of(panel)
    assert max(shares) == 100 and told

    children = QgsProject.instance().layerTreeRoot().children()
    group = children[[child.name() for child in children].index("scene") - 1]
    assert group.name() == "scene: streets 0.3"
    classes, painted, confidence = (node.layer() for node in group.children())
    assert [Path(layer.source()).name for layer in (classes, painted, confidence)] == [
        "karte_classes.tif", "karte.tif", "karte_confidence.tif",
    ]  # fmt: skip
    assert [entry.label for entry in classes.renderer().classes()] == [
        "land", "building", "road", "vegetation", "water",
    ]  # fmt: skip
    assert painted.extent() == scene.extent() and painted.width() == scene.width()

    assert "'map' shows it" in press(panel)  # the same file, which QGIS holds open now

    panel.classes.setChecked(False)
    panel.output.setFilePath(str(tmp_path / "again.tif"))
    assert "done" in press(panel)
    newest, before, below = QgsProject.instance().layerTreeRoot().children()[:3]
    assert (newest.name(), before, below.name()) == (group.name(), group, "scene")  # not hidden by the earlier map


def test_the_button_can_be_taken_back(panel: Panel, sample: Path, tmp_path: Path) -> None:
    added(QgsRasterLayer(str(sample / "scene.tif"), "scene"))
    output = tmp_path / "map.tif"
    panel.output.setFilePath(str(output))
    panel.start.click()
    assert not panel.start.isEnabled()
    panel.cancel.click()
    assert "cancelled" in end_of(panel)
    assert not output.exists() and len(QgsProject.instance().mapLayers()) == 1


def test_a_missing_environment_is_told(
    panel: Panel, sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    added(QgsRasterLayer(str(sample / "scene.tif"), "scene"))
    monkeypatch.setenv(settings.VARIABLE, str(tmp_path / "none"))
    panel.start.click()
    assert "no environment" in panel.state.text()


def test_a_failure_is_told_and_the_button_comes_back(panel: Panel, sample: Path, tmp_path: Path) -> None:
    added(QgsRasterLayer(str(sample / "scene.tif"), "scene"))
    model = tmp_path / "broken.onnx"
    model.write_bytes(b"no model")
    panel.model.setFilePath(str(model))
    assert "broken.onnx" in press(panel)


def test_what_is_chosen_is_what_the_algorithm_gets(panel: Panel, sample: Path) -> None:
    with pytest.raises(LayerError, match="no layer is chosen"):
        panel.parameters()
    scene = added(QgsRasterLayer(str(sample / "scene.tif"), "scene"))
    canvas = panel._iface.mapCanvas()
    canvas.setDestinationCrs(scene.crs())
    canvas.setExtent(scene.extent())
    panel.where.setCurrentIndex(VISIBLE)
    chosen = panel.parameters()
    assert chosen["INPUT"] == scene.id() and chosen["EXTENT"].crs() == scene.crs()
    assert chosen["EXTENT"].contains(scene.extent())

    panel.where.setCurrentIndex(SELECTED)
    with pytest.raises(LayerError, match="no polygon is selected"):
        panel.parameters()
    polygons = added(QgsVectorLayer(f"Polygon?crs={scene.crs().authid()}", "areas", "memory"))
    feature = QgsFeature()
    feature.setGeometry(QgsGeometry.fromRect(scene.extent()))
    polygons.dataProvider().addFeature(feature)
    polygons.selectAll()
    panel.polygons.setLayer(polygons)
    region = panel.parameters()["REGION"]
    assert region.selectedFeaturesOnly and "EXTENT" not in panel.parameters()


PAINTER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from conftest import TINY, describe
from geopix2pix.architecture import GeneratorSpec
from geopix2pix.model import write_model
from geopix2pix.networks import generator, initialize, weights
manifest = describe(GeneratorSpec(**TINY))
network = generator(manifest.generator)
initialize(network, seed=1)
write_model(Path(sys.argv[2]), manifest, {name: tensor.numpy() for name, tensor in weights(network).items()})
"""


@pytest.fixture(scope="module")
def painter(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model without classes, as one is that was trained on the map as QGIS draws it."""
    path = tmp_path_factory.mktemp("painter") / "tiny.safetensors"
    line = [str(python), "-c", PAINTER, str(Path(__file__).parents[1]), str(path)]
    subprocess.run(line, env=command.cleaned(os.environ), check=True)
    return path


def settled(panel: Panel) -> None:
    """Wait until the chosen model was looked into, as it is a moment after the last letter."""
    assert not panel.start.isEnabled()
    end_of(panel)


def test_what_a_model_cannot_give_is_not_offered(panel: Panel, painter: Path, sample: Path, tmp_path: Path) -> None:
    added(QgsRasterLayer(str(sample / "scene.tif"), "scene"))
    panel.confidence.setChecked(True)
    for letter in range(1, 4):  # as it is typed
        panel.model.setFilePath(str(painter)[:-letter])
    panel.model.setFilePath(str(painter))
    settled(panel)
    assert not panel.classes.isEnabled() and not panel.confidence.isEnabled()
    assert "no classes" in panel.classes.toolTip() and not {"CLASSES", "CONFIDENCE"} & panel.parameters().keys()
    panel.output.setFilePath(str(tmp_path / "map.tif"))
    assert "done" in press(panel)

    panel.model.setFilePath("")
    settled(panel)
    assert panel.classes.isEnabled() and panel.classes.isChecked() and not panel.classes.toolTip()
    assert panel.confidence.isEnabled() and not panel.confidence.isChecked()


def test_the_size_of_a_picture_is_told_before_it_is_rendered(panel: Panel) -> None:
    """As it changes with what is chosen, and with what is visible."""
    source = "type=xyz&url=http://127.0.0.1:9/{z}/{x}/{y}.png"
    added(QgsRasterLayer(source, "web map", "wms"))
    assert "choose an extent and the side of a pixel" in panel.size.text()
    canvas = panel._iface.mapCanvas()
    canvas.setDestinationCrs(QgsCoordinateReferenceSystem("EPSG:3857"))
    canvas.setExtent(QgsRectangle(0, 0, 1000, 1000))  # and what the shape of the canvas adds at its sides
    panel.where.setCurrentIndex(VISIBLE)
    panel.pixel.setValue(2)
    assert " x 500 pixels, up to" in panel.size.text() and "limit is 100 million" in panel.size.text()
    canvas.setExtent(QgsRectangle(0, 0, 2000, 2000))
    assert " x 1000 pixels, up to" in panel.size.text()
    panel.pixel.setValue(0.1)
    assert " x 20000 pixels" in panel.size.text() and "choose larger pixels" in panel.size.text()

    panel.pixel.setValue(2)
    panel.where.setCurrentIndex(SELECTED)
    assert "no polygon is selected" in panel.size.text()
    polygons = added(QgsVectorLayer("Polygon?crs=EPSG:3857", "areas", "memory"))
    for side in (100, 4000):
        feature = QgsFeature()
        feature.setGeometry(QgsGeometry.fromRect(QgsRectangle(0, 0, side, side)))
        polygons.dataProvider().addFeature(feature)
    panel.polygons.setLayer(polygons)
    canvas.setLayers([polygons])
    polygons.select(1)
    assert "50 x 50 pixels" in panel.size.text()


def test_a_source_that_is_removed_meanwhile_is_not_missed(panel: Panel, sample: Path, tmp_path: Path) -> None:
    scene = added(QgsRasterLayer(str(sample / "scene.tif"), "scene"))
    panel.classes.setChecked(False)
    panel.output.setFilePath(str(tmp_path / "map.tif"))
    panel.start.click()
    QgsProject.instance().removeMapLayer(scene.id())
    assert "done" in end_of(panel)
    (group,) = QgsProject.instance().layerTreeRoot().children()
    assert group.name() == "scene: streets 0.3"


def test_the_options_choose_the_environment(panel: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(settings.VARIABLE)
    before = settings.chosen_python()
    try:
        settings.choose_python("")
        page = OptionsFactory().createWidget()
        assert page.python.filePath() == "" and settings.environment_folder() in settings.python().parents
        page.python.setFilePath("/other place/bin/python")
        assert settings.chosen_python() == ""  # not before it is applied
        page.apply()
        assert settings.python() == Path("/other place/bin/python")
        assert OptionsFactory().createWidget().python.filePath() == "/other place/bin/python"
    finally:
        settings.choose_python(before)


def test_the_plugin_opens_the_panel_and_leaves_nothing(
    qgis_app: QgsApplication, python: Path, sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while it is at work."""
    monkeypatch.setenv(settings.VARIABLE, str(python))
    window = Window()
    scene = added(QgsRasterLayer(str(sample / "scene.tif"), "scene"))
    added(QgsRasterLayer(str(sample / "map.tif"), "map"))
    plugin = classFactory(window)
    plugin.initGui()
    (panel,) = window.mainWindow().findChildren(Panel)
    assert len(window.pages) == 1 and not panel.isUserVisible()
    window.active = scene
    window.actions[0].trigger()
    assert panel.layer.currentLayer() == scene
    panel.output.setFilePath(str(tmp_path / "map.tif"))
    panel.start.click()
    assert QgsApplication.taskManager().activeTasks()
    plugin.unload()
    QgsApplication.processEvents()
    assert not QgsApplication.taskManager().activeTasks() and not (tmp_path / "map.tif").exists()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    assert not window.mainWindow().findChildren(Panel) and not window.pages and not window.actions
    assert QgsApplication.processingRegistry().providerById("geopix2pix") is None
    QgsProject.instance().clear()
