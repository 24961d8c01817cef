"""Algorithms of the plugin as background tasks of QGIS."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qgis.core import (
    Qgis,
    QgsApplication,
    QgsMessageLog,
    QgsProcessingAlgRunnerTask,
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProject,
)
from qgis.PyQt.QtCore import pyqtSignal

LOG = "geopix2pix"  # the name of the tab in the log panel
PATIENCE = 5000  # milliseconds; a cancelled command has ended after little more than a second


class Voice(QgsProcessingFeedback):
    """What an algorithm tells, from whatever thread: as signals, and in the log panel."""

    told = pyqtSignal(str)

    def __init__(self) -> None:
        super().__init__(False)
        self.failure = ""

    def setProgressText(self, text: str) -> None:
        self.told.emit(text)

    def pushInfo(self, info: str) -> None:
        QgsMessageLog.logMessage(info, LOG, Qgis.MessageLevel.Info, False)

    def pushCommandInfo(self, info: str) -> None:
        self.pushInfo(info)

    def pushWarning(self, warning: str) -> None:
        QgsMessageLog.logMessage(warning, LOG, Qgis.MessageLevel.Warning, False)

    def reportError(self, error: str, fatalError: bool = False) -> None:  # noqa: N803 - QGIS calls it so
        self.failure = error
        QgsMessageLog.logMessage(error, LOG, Qgis.MessageLevel.Critical, False)


class Work:
    """An algorithm that runs in the background. Keep it until `ended` was called."""

    def __init__(
        self,
        algorithm: str,
        parameters: dict[str, Any],
        project: QgsProject,
        *,
        ended: Callable[[dict[str, Any], str], None],
    ) -> None:
        """Prepare the work in the thread of the layers, so call it there.

        `ended` is called there, too: with the results, with a message if it failed, with neither if it was cancelled.
        """
        self.voice = Voice()
        self._context = QgsProcessingContext()
        self._context.setProject(project)
        self._ended = ended
        # The registry's own instance cannot be run: the work keeps what it prepares in one of its own.
        self._algorithm = QgsApplication.processingRegistry().createAlgorithmById(f"geopix2pix:{algorithm}")
        self._task = QgsProcessingAlgRunnerTask(self._algorithm, parameters, self._context, self.voice)
        self._task.executed.connect(self._executed)

    def start(self) -> None:
        """Hand it to QGIS's task manager, whose own bar shows it and can cancel it, too."""
        QgsApplication.taskManager().addTask(self._task)

    def cancel(self) -> None:
        self.voice.cancel()

    def abandon(self) -> None:
        """Cancel it and wait for its end, as before the plugin goes; `ended` is not called any more."""
        self._ended = lambda results, failure: None
        self.voice.cancel()
        self._task.waitForFinished(PATIENCE)

    def _executed(self, successful: bool, results: dict[str, Any]) -> None:
        failure = self.voice.failure
        if not successful and not failure and not self.voice.isCanceled():
            failure = "the work could not be done; the log panel tells more"
        self._ended(results if successful else {}, failure)
