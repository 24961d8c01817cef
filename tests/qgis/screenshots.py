"""The plugin by hand, in a real window with an empty profile: `make screenshots`, which runs this inside QGIS.

Installs the zip, makes the light environment from a folder of wheels, translates the sample scene, chooses an
environment that trains, builds tiles from two styled layers, trains on them, translates with that model; each by the
buttons of the dialogs. Pictures go to docs/images.
"""

import os
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import processing
from qgis.core import QgsProject, QgsVectorLayer
from qgis.gui import QgsFileWidget
from qgis.PyQt.QtCore import QEventLoop, QTimer
from qgis.PyQt.QtGui import QColor
from qgis.PyQt.QtWidgets import QApplication, QDialog, QDialogButtonBox, QDockWidget, QMessageBox, QPushButton
from qgis.utils import iface

ZIP, WHEELS, PYTHON, SAMPLE, WORK, IMAGES = (
    Path(os.environ[f"SCREENSHOTS_{name}"]) for name in ("ZIP", "WHEELS", "PYTHON", "SAMPLE", "WORK", "IMAGES")
)
BUTTON = "Translate the layer…"
FROM_ZIP = 6  # the tab of the plugin manager


def wait(milliseconds: int) -> None:
    loop = QEventLoop()
    QTimer.singleShot(milliseconds, loop.quit)
    loop.exec()


def shot(widget: Any, name: str) -> None:
    wait(1500)
    assert widget.grab().save(str(IMAGES / f"qgis-{name}.png"))
    print(f"{time.strftime('%H:%M:%S')} {name}", flush=True)


def ending(steps: Callable[[], None]) -> Callable[[], None]:
    """Steps that end QGIS when they fail: it would ask what to do, and nobody is there to answer."""

    def run() -> None:
        try:
            steps()
        except Exception:
            traceback.print_exc()
            os._exit(1)

    return run


def in_dialog(open_it: Callable[[], None], use: Callable[[QDialog], None]) -> None:
    """Open a dialog that waits for an answer, and `use` it once it is there."""
    QTimer.singleShot(3000, ending(lambda: use(QApplication.activeModalWidget())))
    open_it()


def install() -> None:
    """Plugins > Manage and Install Plugins > Install from ZIP."""

    def use(dialog: QDialog) -> None:
        dialog.findChild(QgsFileWidget, "mZipFileWidget").setFilePath(str(ZIP))
        button = dialog.findChild(QPushButton, "buttonInstallFromZip")
        QTimer.singleShot(2000, agree)
        button.click()
        shot(dialog, "install")
        dialog.reject()

    in_dialog(lambda: iface.pluginManagerInterface().showPluginManager(FROM_ZIP), use)


def agree() -> None:
    """Say yes to the question whether the author is trusted."""
    question = QApplication.activeModalWidget()
    if isinstance(question, QMessageBox):
        question.button(QMessageBox.StandardButton.Yes).click()


def choose_environment() -> None:
    """Settings > Options > geopix2pix: the Python of an environment that has everything."""
    from geopix2pix_qgis.optionspage import OptionsPage

    def use(dialog: QDialog) -> None:
        (page,) = dialog.findChildren(OptionsPage)
        page.python.setFilePath(str(PYTHON))
        shot(dialog, "options")
        dialog.findChild(QDialogButtonBox).button(QDialogButtonBox.StandardButton.Ok).click()

    in_dialog(lambda: iface.showOptionsDialog(iface.mainWindow(), "geopix2pix"), use)


def click(algorithm: str, name: str, **parameters: object) -> dict[str, Any]:
    """Click the Run button of an algorithm; its results, and a picture of its dialog if there is a name for one."""
    dialog = processing.createAlgorithmDialog(f"geopix2pix:{algorithm}", parameters)
    dialog.resize(900, 700)
    dialog.show()
    wait(500)
    ends: list[tuple[bool, dict[str, Any]]] = []
    loop = QEventLoop()
    dialog.algorithmFinished.connect(lambda successful, results: (ends.append((successful, results)), loop.quit()))
    dialog.runButton().click()
    if not ends:  # short work is done before the click returns
        loop.exec()
    ((successful, results),) = ends
    if name or not successful:
        shot(dialog, name or "failed")
    assert successful, f"{algorithm} failed; the picture of its dialog tells why"
    dialog.close()
    return results


def translate(panel: QDockWidget) -> None:
    """Press the button of the panel when it can be, and wait until the work is done."""
    while not panel.start.isEnabled():
        wait(200)
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
    install()
    (wheel,) = WHEELS.glob("geopix2pix-*.whl")
    made = click("environment", "environment", ACTION=1, WHEEL=str(wheel), WHEELS=str(WHEELS))
    assert made == click("environment", "", ACTION=0) == {"VERDICT": "ok"}, made

    scene = iface.addRasterLayer(str(SAMPLE / "scene.tif"), "scene")
    iface.setActiveLayer(scene)
    next(action for action in iface.pluginToolBar().actions() if action.text() == BUTTON).trigger()
    panel = window.findChild(QDockWidget, "geopix2pix")
    panel.output.setFilePath(str(WORK / "map.tif"))
    translate(panel)
    show(scene, "map")

    choose_environment()
    layers = [styled("buildings", "#c05030"), styled("roads", "#f0c040")]
    show(scene, "styles")
    click("buildtiles", "tiles", SOURCE=scene, DRAWN=layers, SIZE=128, OUTPUT=str(WORK / "tiles"))
    begun = time.monotonic()
    trained = click("train", "train", TILES=str(WORK / "tiles"), EPOCHS=4, IMAGES=160, OUTPUT=str(WORK / "run"))
    print(f"trained for {time.monotonic() - begun:.0f} s", flush=True)
    for layer in layers:
        QgsProject.instance().layerTreeRoot().findLayer(layer).setItemVisibilityChecked(False)
    panel.model.setFilePath(trained["MODEL"])
    panel.output.setFilePath(str(WORK / "own.tif"))
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
    ending(main)()
    os._exit(0)  # without the question whether to save the project


QTimer.singleShot(1500, begin)
