"""The algorithm that judges a model on tiles."""

from __future__ import annotations

from typing import Any

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFile,
    QgsProcessingParameterFolderDestination,
)

from ..words import tr
from .command_algorithm import DEVICES, CommandAlgorithm, add_advanced, options

MODEL, TILES, SPLIT, DEVICE, OUTPUT = "MODEL", "TILES", "SPLIT", "DEVICE", "OUTPUT"
SPLITS = ("validation", "test", "train", "all")


class Evaluate(CommandAlgorithm):
    """A model and tiles to a report."""

    def name(self) -> str:
        return "evaluate"

    def displayName(self) -> str:
        return tr("Evaluate a model")

    def shortHelpString(self) -> str:
        return tr(
            "Says how good a model is on a folder of tiles, and where: tables, pictures of the worst and the best "
            "tiles, a raster of the errors, and footprints with scores (GeoPackage) that open in QGIS in colours.\n\n"
            "This needs the full environment."
        )

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        behavior = QgsProcessingParameterFile.Behavior
        model = QgsProcessingParameterFile(MODEL, tr("Model (default: the one in the package)"), optional=True)
        model.setFileFilter(tr("Models (*.safetensors *.onnx)"))
        self.addParameter(model)
        self.addParameter(QgsProcessingParameterFile(TILES, tr("Folder of the tiles"), behavior.Folder))
        self.addParameter(QgsProcessingParameterEnum(SPLIT, tr("Which tiles"), list(SPLITS), defaultValue=0))
        add_advanced(self, QgsProcessingParameterEnum(DEVICE, tr("Device"), list(DEVICES), defaultValue=0))
        self.addParameter(QgsProcessingParameterFolderDestination(OUTPUT, tr("Folder of the report")))

    def processAlgorithm(
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        output = self.parameterAsString(parameters, OUTPUT, context)
        model = self.parameterAsFile(parameters, MODEL, context) or "default"
        chosen = options(
            output=output,
            split=SPLITS[self.parameterAsEnum(parameters, SPLIT, context)],
            device=DEVICES[self.parameterAsEnum(parameters, DEVICE, context)],
        )
        done = self.execute(["evaluate", model, self.parameterAsFile(parameters, TILES, context), *chosen], feedback)
        return {OUTPUT: output} if done else {}
