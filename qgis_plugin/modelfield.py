"""ModelField: where a model is chosen, which asks it whether it has classes."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from qgis.core import QgsProcessingUtils, QgsProject
from qgis.gui import QgsFileWidget
from qgis.PyQt.QtCore import QTimer, pyqtSignal

from . import settings
from .task import Work
from .words import tr

TYPING = 400  # milliseconds without another letter after which a path is taken for finished


class ModelField(QgsFileWidget):
    """A field for the path of a model; an empty one means the model of the package."""

    looked_into = pyqtSignal(str)
    """What is known of the chosen model is known now; the message is empty, or tells why it cannot be read."""

    def __init__(self) -> None:
        super().__init__()
        self.setStorageMode(QgsFileWidget.StorageMode.GetFile)
        self.setFilter(tr("Models (*.onnx *.safetensors)"))
        self.may_have_classes = True
        """Whether the model has classes, or has not said that it has none."""
        self._question: Work | None = None
        self._typing = QTimer(self)
        self._typing.setSingleShot(True)
        self._typing.timeout.connect(self._look)
        self.fileChanged.connect(lambda path: self._typing.start(TYPING))

    @property
    def is_settled(self) -> bool:
        """Whether the chosen model was looked into."""
        return self._question is None and not self._typing.isActive()

    def close_down(self) -> None:
        """End what runs, before the plugin is unloaded."""
        self._typing.stop()
        if self._question is not None:
            self._question.abandon()
            self._question = None

    def _look(self) -> None:
        """Ask the model in the background. A question about another one looks again when it is answered."""
        path = self.filePath()
        if self._question is not None:
            return
        if not Path(path).is_file() or not settings.python().exists():
            self._settle({}, "")
            return
        parameters = {"MODEL": path, "OUTPUT": QgsProcessingUtils.generateTempFilename("model.html")}
        ended = functools.partial(self._answered, path)
        self._question = Work("inspectmodel", parameters, QgsProject.instance(), ended=ended)
        self._question.start()

    def _answered(self, path: str, results: dict[str, Any], failure: str) -> None:
        self._question = None
        if path == self.filePath():
            self._settle(results, failure)
        elif not self._typing.isActive():
            self._look()

    def _settle(self, results: dict[str, Any], failure: str) -> None:
        self.may_have_classes = results.get("CLASSES", "any") != ""
        self.looked_into.emit(failure)
