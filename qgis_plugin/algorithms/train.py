"""The algorithm that trains a model on tiles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qgis.core import (
    QgsProcessingContext,
    QgsProcessingFeedback,
    QgsProcessingOutputFile,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFile,
    QgsProcessingParameterFolderDestination,
    QgsProcessingParameterNumber,
)

from ..words import tr
from .command_algorithm import DEVICES, CommandAlgorithm, add_advanced, options

TILES, START, PRESET, EPOCHS, IMAGES, DEVICE = "TILES", "START", "PRESET", "EPOCHS", "IMAGES", "DEVICE"
OUTPUT, MODEL = "OUTPUT", "MODEL"
PRESETS = ("light", "pix2pix")


class Train(CommandAlgorithm):
    """Tiles to a model."""

    def name(self) -> str:
        return "train"

    def displayName(self) -> str:
        return tr("Train a model")

    def shortHelpString(self) -> str:
        return tr(
            "Trains a network on a folder of tiles, on a graphics card if there is one. This needs the full "
            "environment.\n\n"
            "It can be cancelled and goes on when it is repeated with the same folder and options. Going on from the "
            "model of the package saves much time where the image has red, green and blue.\n\n"
            "The folder of the run then holds the model, a log and pictures of what the model paints."
        )

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        folder = QgsProcessingParameterFile.Behavior.Folder
        self.addParameter(QgsProcessingParameterFile(TILES, tr("Folder of the tiles"), folder))
        number = QgsProcessingParameterNumber.Type
        self.addParameter(QgsProcessingParameterNumber(EPOCHS, tr("Epochs"), number.Integer, 50, minValue=1))
        self.addParameter(QgsProcessingParameterBoolean(START, tr("Go on from the model of the package"), True))
        add_advanced(self, QgsProcessingParameterEnum(PRESET, tr("Recipe"), list(PRESETS), defaultValue=0))
        add_advanced(
            self,
            QgsProcessingParameterNumber(
                IMAGES, tr("Crops in an epoch (default: the recipe's)"), number.Integer, optional=True, minValue=1
            ),
        )
        add_advanced(self, QgsProcessingParameterEnum(DEVICE, tr("Device"), list(DEVICES), defaultValue=0))
        self.addParameter(QgsProcessingParameterFolderDestination(OUTPUT, tr("Folder of the run")))
        self.addOutput(QgsProcessingOutputFile(MODEL, tr("Model")))

    def processAlgorithm(
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        output = self.parameterAsString(parameters, OUTPUT, context)
        chosen = options(
            output=output,
            preset=PRESETS[self.parameterAsEnum(parameters, PRESET, context)],
            epochs=self.parameterAsInt(parameters, EPOCHS, context),
            images_per_epoch=self.parameterAsInt(parameters, IMAGES, context) or None,
            start_from="default" if self.parameterAsBool(parameters, START, context) else None,
            device=DEVICES[self.parameterAsEnum(parameters, DEVICE, context)],
        )
        done = self.execute(["train", self.parameterAsFile(parameters, TILES, context), *chosen], feedback)
        return {OUTPUT: output, MODEL: str(Path(str(done["path"])))} if done else {}
