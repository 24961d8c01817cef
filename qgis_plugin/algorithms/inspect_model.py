"""The algorithm that shows what a model says about itself."""

from __future__ import annotations

import html
import os
from pathlib import Path
from typing import Any

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingOutputString,
    QgsProcessingParameterFile,
    QgsProcessingParameterFileDestination,
)

from .. import command, settings
from ..words import tr
from .command_algorithm import CommandAlgorithm

MODEL, OUTPUT, CLASSES = "MODEL", "OUTPUT", "CLASSES"


class InspectModel(CommandAlgorithm):
    """A model to a page about it."""

    def name(self) -> str:
        return "inspectmodel"

    def displayName(self) -> str:
        return tr("Inspect a model")

    def shortHelpString(self) -> str:
        return tr("Shows what a model reads and paints, which pixels it knows, and where it comes from.")

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        model = QgsProcessingParameterFile(MODEL, tr("Model (default: the one in the package)"), optional=True)
        model.setFileFilter(tr("Models (*.onnx *.safetensors)"))
        self.addParameter(model)
        page = tr("HTML files (*.html)")
        self.addParameter(QgsProcessingParameterFileDestination(OUTPUT, tr("Page"), page))
        self.addOutput(QgsProcessingOutputString(CLASSES, tr("Names of its classes, with commas between them")))

    def processAlgorithm(
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        output = self.parameterAsFileOutput(parameters, OUTPUT, context)
        model = self.parameterAsFile(parameters, MODEL, context)
        try:
            found = command.ask(settings.python(), ["model", "info", *([model] if model else [])], os.environ)
        except command.CommandError as error:
            raise QgsProcessingException(str(error)) from error
        Path(output).write_text(_page(found), encoding="utf-8")
        palette = found["manifest"]["target"]["palette"]
        classes = ",".join(entry["name"] for entry in palette["classes"]) if palette else ""
        return {OUTPUT: output, CLASSES: classes}


def _page(found: Any) -> str:
    manifest = found["manifest"]
    title = html.escape(f"{manifest['name']} {manifest['version']}")
    return f"<!doctype html><meta charset='utf-8'><title>{title}</title><h1>{title}</h1>{_shown(found)}"


def _shown(value: Any) -> str:
    """A JSON value as nested tables."""
    if isinstance(value, dict):
        rows = (
            f"<tr><th align='left' valign='top'>{html.escape(k)}</th><td>{_shown(v)}</td></tr>"
            for k, v in value.items()
        )
        return f"<table cellpadding='3'>{''.join(rows)}</table>"
    if isinstance(value, list) and any(isinstance(item, (dict, list)) for item in value):
        return "".join(map(_shown, value))
    if isinstance(value, list):
        return html.escape(", ".join(map(str, value)))
    return html.escape("unknown" if value is None else str(value))
