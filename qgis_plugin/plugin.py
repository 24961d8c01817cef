"""What QGIS loads: the algorithms, and in a window the button of the panel."""

from __future__ import annotations

from typing import Any

from qgis.core import QgsApplication
from qgis.PyQt.QtGui import QIcon
from qgis.PyQt.QtWidgets import QAction

from .provider import ICON, Provider
from .words import tr

MENU = "geopix2pix"


class Plugin:
    """Registered between `initGui`, or `initProcessing` where there is no window, and `unload`."""

    def __init__(self, iface: Any) -> None:
        self._iface = iface
        self._provider: Provider | None = None
        self._actions: list[QAction] = []

    def initProcessing(self) -> None:
        self._provider = Provider()
        QgsApplication.processingRegistry().addProvider(self._provider)

    def initGui(self) -> None:
        self.initProcessing()
        self._add(tr("Translate the layer…"), self._translate, toolbar=True)
        self._add(tr("Environment…"), self._environment)

    def unload(self) -> None:
        for action in self._actions:
            self._iface.removePluginRasterMenu(MENU, action)
            self._iface.removeToolBarIcon(action)
            action.deleteLater()
        self._actions.clear()
        if self._provider is not None:
            QgsApplication.processingRegistry().removeProvider(self._provider)
            self._provider = None

    def _add(self, words: str, slot: Any, *, toolbar: bool = False) -> None:
        action = QAction(QIcon(str(ICON)), words, self._iface.mainWindow())
        action.triggered.connect(slot)
        self._iface.addPluginToRasterMenu(MENU, action)
        if toolbar:
            self._iface.addToolBarIcon(action)
        self._actions.append(action)

    def _environment(self) -> None:
        import processing

        processing.execAlgorithmDialog("geopix2pix:environment", {})

    def _translate(self) -> None:
        import processing  # Processing is itself a plugin, loaded after the core

        layer = self._iface.activeLayer()
        processing.execAlgorithmDialog("geopix2pix:translate", {"INPUT": layer} if layer else {})
