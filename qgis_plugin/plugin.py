"""What QGIS loads: the algorithms, and in a window the button of the panel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qgis.core import QgsApplication, QgsRasterLayer
from qgis.PyQt.QtCore import Qt
from qgis.PyQt.QtGui import QIcon
from qgis.PyQt.QtWidgets import QAction

from .provider import ICON, Provider
from .words import tr

if TYPE_CHECKING:
    from .optionspage import OptionsFactory
    from .panel import Panel

MENU = "geopix2pix"


class Plugin:
    """Registered between `initGui`, or `initProcessing` where there is no window, and `unload`."""

    def __init__(self, iface: Any) -> None:
        self._iface = iface
        self._provider: Provider | None = None
        self._actions: list[QAction] = []
        self._panel: Panel | None = None
        self._options: OptionsFactory | None = None

    def initProcessing(self) -> None:
        self._provider = Provider()
        QgsApplication.processingRegistry().addProvider(self._provider)

    def initGui(self) -> None:
        self.initProcessing()
        from .optionspage import OptionsFactory
        from .panel import Panel  # widgets, which qgis_process has no use for

        self._panel = Panel(self._iface)
        self._iface.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, self._panel)
        self._panel.setUserVisible(False)
        self._options = OptionsFactory()
        self._iface.registerOptionsWidgetFactory(self._options)
        self._add(tr("Translate the layer…"), self._translate, toolbar=True)
        self._add(tr("Environment…"), self._environment)

    def unload(self) -> None:
        for action in self._actions:
            self._iface.removePluginRasterMenu(MENU, action)
            self._iface.removeToolBarIcon(action)
            action.deleteLater()
        self._actions.clear()
        if self._panel is not None:
            self._panel.close_down()
            self._iface.removeDockWidget(self._panel)
            self._panel.deleteLater()
            self._panel = None
        if self._options is not None:
            self._iface.unregisterOptionsWidgetFactory(self._options)
            self._options = None
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
        import processing  # Processing is itself a plugin, loaded after the core

        processing.execAlgorithmDialog("geopix2pix:environment", {})

    def _translate(self) -> None:
        assert self._panel is not None
        layer = self._iface.activeLayer()
        if isinstance(layer, QgsRasterLayer):
            self._panel.layer.setLayer(layer)
        self._panel.setUserVisible(True)
