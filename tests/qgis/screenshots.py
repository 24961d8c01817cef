"""The plugin by hand, in a real window with an empty profile: `make screenshots`, which runs this inside QGIS.

Installs the zip, points at an environment, translates the sample scene, builds tiles from two styled layers, trains on
them, translates with that model; each by the button of the panel or of its dialog. Pictures go to docs/images.
"""

import os
import traceback
from pathlib import Path

import processing
import pyplugin_installer
from qgis.core import QgsProject, QgsVectorLayer
from qgis.PyQt.QtCore import QEventLoop, QTimer
from qgis.PyQt.QtGui import QColor
from qgis.PyQt.QtWidgets import QDockWidget
from qgis.utils import iface

ZIP, PYTHON, SAMPLE, WORK, IMAGES = (
    Path(os.environ[f"SCREENSHOTS_{name}"]) for name in ("ZIP", "PYTHON", "SAMPLE", "WORK", "IMAGES")
)

BUTTON = "Translate the layer…"


def wait(milliseconds: int) -> None:
    loop = QEventLoop()
    QTimer.singleShot(milliseconds, loop.quit)
    loop.exec()


def shot(widget: object, name: str) -> None:
    wait(1500)
    assert widget.grab().save(str(IMAGES / f"qgis-{name}.png"))
    print(name, flush=True)


def click(algorithm: str, name: str, **parameters: object) -> None:
    """Click the Run button of an algorithm; a picture of its dialog when it has ended well."""
    dialog = processing.createAlgorithmDialog(f"geopix2pix:{algorithm}", parameters)
    dialog.resize(900, 620)
    dialog.show()
    wait(500)
    ends: list[bool] = []
    loop = QEventLoop()
    dialog.algorithmFinished.connect(lambda successful, results: (ends.append(successful), loop.quit()))
    dialog.runButton().click()
    if not ends:  # short work is done before the click returns
        loop.exec()
    shot(dialog, name)
    assert ends == [True], f"{algorithm} failed; the picture {name} tells why"
    dialog.close()


def translate(panel: QDockWidget) -> None:
    """Press the button of the panel and wait until it is done."""
    panel.start.click()
    while not panel.start.isEnabled():
        wait(200)
    assert "done" in panel.state.text(), panel.state.text()


def show(scene: object, name: str) -> None:
    """A picture of the window, with the canvas on the scene."""
    iface.messageBar().clearWidgets()
    iface.mapCanvas().setExtent(scene.extent())
    iface.mapCanvas().refresh()
    iface.mapCanvas().waitWhileRendering()
    shot(iface.mainWindow(), name)


def main() -> None:
    window = iface.mainWindow()
    window.resize(1280, 800)
    window.findChild(QDockWidget, "Browser").close()
    pyplugin_installer.instance().installFromZipFile(str(ZIP))
    scene = iface.addRasterLayer(str(SAMPLE / "scene.tif"), "scene")
    click("environment", "environment", ACTION=2, EXISTING=str(PYTHON))
    iface.setActiveLayer(scene)
    next(action for action in iface.pluginToolBar().actions() if action.text() == BUTTON).trigger()
    panel = window.findChild(QDockWidget, "geopix2pix")
    panel.output.setFilePath(str(WORK / "map.tif"))
    translate(panel)
    show(scene, "map")
    layers = [styled("buildings", "#c05030"), styled("roads", "#f0c040")]
    show(scene, "styles")
    click("buildtiles", "tiles", SOURCE=scene, DRAWN=layers, SIZE=128, OUTPUT=str(WORK / "tiles"))
    click("train", "train", TILES=str(WORK / "tiles"), EPOCHS=1, IMAGES=160, OUTPUT=str(WORK / "run"))
    for layer in layers:
        QgsProject.instance().layerTreeRoot().findLayer(layer).setItemVisibilityChecked(False)
    panel.model.setFilePath(str(WORK / "run" / "model.safetensors"))
    panel.output.setFilePath(str(WORK / "own.tif"))
    panel.classes.setChecked(False)  # styles of QGIS tell no classes
    translate(panel)
    show(scene, "own-map")


def styled(name: str, color: str) -> QgsVectorLayer:
    """A layer of the sample in a style of one's own, on top."""
    layer = QgsVectorLayer(f"{SAMPLE / 'vectors.gpkg'}|layername={name}", name, "ogr")
    symbol = layer.renderer().symbol()
    symbol.setColor(QColor(color))
    if name == "roads":
        symbol.setWidth(2.5)
    QgsProject.instance().addMapLayer(layer, False)
    QgsProject.instance().layerTreeRoot().insertLayer(0, layer)
    return layer


def begin() -> None:
    try:
        main()
    except Exception:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)  # without the question whether to save the project


QTimer.singleShot(1500, begin)
