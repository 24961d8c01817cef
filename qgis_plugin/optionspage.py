"""The page of the plugin in the options of QGIS."""

from __future__ import annotations

from qgis.gui import QgsFileWidget, QgsOptionsPageWidget, QgsOptionsWidgetFactory
from qgis.PyQt.QtGui import QIcon
from qgis.PyQt.QtWidgets import QFormLayout, QLabel, QWidget

from . import settings
from .provider import ICON
from .words import tr


class OptionsPage(QgsOptionsPageWidget):
    """Which environment does the work."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.python = QgsFileWidget()
        self.python.setFilePath(settings.chosen_python())
        self.python.lineEdit().setPlaceholderText(str(settings.environment_folder()))
        words = tr(
            "Leave it empty for the environment in the QGIS profile, which Raster > geopix2pix > Environment sets up "
            "and checks."
        )
        explanation = QLabel(words)
        explanation.setWordWrap(True)
        form = QFormLayout(self)
        form.addRow(tr("Python of another environment"), self.python)
        form.addRow(explanation)

    def apply(self) -> None:
        settings.choose_python(self.python.filePath())


class OptionsFactory(QgsOptionsWidgetFactory):
    """Makes the page whenever the options are opened."""

    def __init__(self) -> None:
        super().__init__()
        self.setTitle("geopix2pix")

    def icon(self) -> QIcon:
        return QIcon(str(ICON))

    def createWidget(self, parent: QWidget | None = None) -> OptionsPage:
        return OptionsPage(parent)
