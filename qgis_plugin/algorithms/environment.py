"""The algorithm that sets up, checks and removes the environment in which the work is done."""

from __future__ import annotations

import configparser
import os
from pathlib import Path
from typing import Any

from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingOutputString,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFile,
    QgsProcessingParameterString,
)

from .. import command, environment, settings
from ..words import tr
from .command_algorithm import add_advanced

ACTION, WHEEL, CONTENT, PYTHON, EXISTING, WHEELS, PROXY = (
    "ACTION", "WHEEL", "CONTENT", "PYTHON", "EXISTING", "WHEELS", "PROXY",
)  # fmt: skip
VERDICT = "VERDICT"
HARMLESS = {"ok", "absent"}
ANY = "All files (*)"  # the default, *.*, refuses an interpreter without a dot in its name
ACTIONS = CHECK, CREATE, USE, REMOVE = range(4)


def version() -> str:
    """The version of the plugin, which is that of the geopix2pix that it starts."""
    metadata = configparser.ConfigParser()
    metadata.read(Path(__file__).parents[1] / "metadata.txt", encoding="utf-8")
    return metadata["general"]["version"]


class Environment(QgsProcessingAlgorithm):
    """The environment of the plugin."""

    def createInstance(self) -> Environment:
        return Environment()

    def name(self) -> str:
        return "environment"

    def displayName(self) -> str:
        return tr("Set up or check the environment")

    def shortHelpString(self) -> str:
        return tr(
            "geopix2pix works in a Python environment of its own; nothing is installed into that of QGIS.\n\n"
            "Check: what `geopix2pix doctor` finds, and what helps.\n"
            "Create or upgrade: an environment in the QGIS profile, with the wheel of geopix2pix that belongs to this "
            "version, by its path or its address with a hash. Light translates with exported models; full trains, too, "
            "and takes gigabytes.\n"
            "Use another one: the Python of an environment that you made.\n"
            "Remove: the environment in the profile."
        )

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        actions = [tr("check"), tr("create or upgrade"), tr("use another one"), tr("remove")]
        self.addParameter(QgsProcessingParameterEnum(ACTION, tr("What to do"), actions, defaultValue=CHECK))
        self.addParameter(
            QgsProcessingParameterString(WHEEL, tr("Wheel: a path, or https://…#sha256=…"), optional=True)
        )
        contents = [tr("light: translate"), tr("full: train, too")]
        self.addParameter(QgsProcessingParameterEnum(CONTENT, tr("Content"), contents, defaultValue=0))
        self.addParameter(
            QgsProcessingParameterFile(EXISTING, tr("Python of another environment"), optional=True, fileFilter=ANY)
        )
        folder = QgsProcessingParameterFile.Behavior.Folder
        for parameter in (
            QgsProcessingParameterFile(
                PYTHON, tr("Python that makes it (default: one is found)"), optional=True, fileFilter=ANY
            ),
            QgsProcessingParameterFile(WHEELS, tr("Folder of wheels, without a network"), folder, optional=True),
            QgsProcessingParameterString(PROXY, tr("Proxy"), optional=True),
        ):
            add_advanced(self, parameter)
        self.addOutput(QgsProcessingOutputString(VERDICT, tr("What was found")))

    def processAlgorithm(
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        action = self.parameterAsEnum(parameters, ACTION, context)
        folder = settings.environment_folder()
        try:
            if action == REMOVE:
                removed = environment.remove(folder)
                return {VERDICT: tr("removed") if removed else tr("there was none")}
            if action == CREATE:
                request = environment.Request(
                    folder=folder,
                    wheel=self.parameterAsString(parameters, WHEEL, context),
                    full=self.parameterAsEnum(parameters, CONTENT, context) == 1,
                    base=self.parameterAsFile(parameters, PYTHON, context),
                    wheels=self.parameterAsFile(parameters, WHEELS, context),
                    proxy=self.parameterAsString(parameters, PROXY, context),
                )
                environment.create(request, version(), os.environ, feedback.pushInfo, feedback.isCanceled)
                settings.choose_python("")
            elif action == USE:
                settings.choose_python(self.parameterAsFile(parameters, EXISTING, context))
            return {VERDICT: _checked(feedback)}
        except command.CommandCancelled:
            return {}
        except command.CommandError as error:
            raise QgsProcessingException(str(error)) from error


def _checked(feedback: QgsProcessingFeedback) -> str:
    """What `geopix2pix doctor` says, line by line; "ok", or the verdicts that something has to be done about.

    What is absent is no fault: of the light environment much is.
    """
    python = settings.python()
    feedback.pushInfo(str(python))
    found = command.ask(python, ["doctor"], os.environ)
    for check in found:
        words = f"{check['check']}: {check['verdict']}, {check['found']} {check['remedy']}".strip()
        (feedback.pushInfo if check["verdict"] in HARMLESS else feedback.pushWarning)(words)
    return ", ".join(sorted({check["verdict"] for check in found} - HARMLESS)) or "ok"
