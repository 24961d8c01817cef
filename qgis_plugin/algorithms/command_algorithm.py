"""What algorithms have in common that run the command line."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingParameterDefinition,
)

from .. import command, settings
from ..words import duration, tr

DEVICES = ("auto", "cpu", "cuda", "mps")


def add_advanced(algorithm: QgsProcessingAlgorithm, parameter: QgsProcessingParameterDefinition) -> None:
    """Add a parameter that few need."""
    parameter.setFlags(parameter.flags() | QgsProcessingParameterDefinition.Flag.FlagAdvanced)
    algorithm.addParameter(parameter)


class CommandAlgorithm(QgsProcessingAlgorithm):
    """An algorithm whose work is one command of geopix2pix, in a process of its own."""

    def createInstance(self) -> CommandAlgorithm:
        return type(self)()

    def canExecute(self) -> tuple[bool, str]:
        """Whether the environment is there, so that the toolbox says what is missing before the work."""
        if settings.python().exists():
            return True, ""
        return False, tr(
            "geopix2pix has no environment yet: set one up with the algorithm 'Set up or check the environment'"
        )

    def execute(self, arguments: Sequence[str], feedback: QgsProcessingFeedback) -> command.Record | None:
        """Run a command with progress; its result record, None if it was cancelled.

        Raises:
            QgsProcessingException: it failed.
        """
        feedback.pushCommandInfo("geopix2pix " + " ".join(arguments))
        listener = Listener(feedback)
        try:
            return command.run(
                settings.python(), arguments, os.environ, told=listener.hear, cancelled=feedback.isCanceled
            )
        except command.CommandCancelled:
            return None
        except command.CommandError as error:
            raise QgsProcessingException(str(error)) from error


class Listener:
    """Passes on to QGIS what a command tells."""

    def __init__(self, feedback: QgsProcessingFeedback) -> None:
        self._feedback = feedback
        self._stage, self._begun, self._first = "", 0.0, 0

    def hear(self, record: command.Record) -> None:
        event = record["event"]
        if event == "progress":
            self._progress(record)
        elif event == "metric" and record["stage"] == "validate":
            known = {name: value for name, value in record["values"].items() if value is not None}
            self._feedback.pushInfo(", ".join(f"{name} {value:.4g}" for name, value in known.items()))
        elif event == "warning":
            self._feedback.pushWarning(record["message"])
        elif event == "text":
            self._feedback.pushInfo(record["text"])

    def _progress(self, record: command.Record) -> None:
        stage, done, total = record["stage"], record["done"], record["total"]
        now = time.monotonic()
        if stage != self._stage:
            self._stage, self._begun, self._first = stage, now, done
        words = f"{stage}: {done} {record['unit']}"
        if total:
            self._feedback.setProgress(100 * done / total)
            words = tr("{}: {} of {} {}").format(stage, done, total, record["unit"])
            if done > self._first:
                left = (now - self._begun) / (done - self._first) * (total - done)
                words += tr(", {} left").format(duration(left))
        self._feedback.setProgressText(words)


def options(**values: Any) -> list[str]:
    """`--name value` for each value that is given; `True` stands alone."""
    found: list[str] = []
    for name, value in values.items():
        if value is None or value is False or value == "":
            continue
        found.append("--" + name.replace("_", "-"))
        if value is not True:
            found.append(str(value))
    return found
