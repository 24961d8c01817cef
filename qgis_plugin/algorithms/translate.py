"""The algorithm that translates a raster with a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qgis.core import (
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterEnum,
    QgsProcessingParameterExtent,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterFile,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
    QgsProcessingParameterVectorDestination,
    QgsProject,
    QgsRectangle,
)

from ..errors import LayerError
from ..inputs import around, check_free, scratch, stretch, write_polygons
from ..layersource import LayerSource, making, size_of, source_of
from ..words import tr
from .command_algorithm import DEVICES, CommandAlgorithm, add_advanced, options

INPUT, MODEL, EXTENT, REGION, PIXEL = "INPUT", "MODEL", "EXTENT", "REGION", "PIXEL"
SCALING, DEVICE, WINDOW, OVERLAP, MIN_AREA = "SCALING", "DEVICE", "WINDOW", "OVERLAP", "MIN_AREA"
BANDS, RESOLUTION, AVERAGE, CLEAN, DAMAGED = "BANDS", "RESOLUTION", "AVERAGE", "CLEAN", "DAMAGED"
RESULTS = OUTPUT, CLASSES, CONFIDENCE, VECTOR = "OUTPUT", "CLASSES", "CONFIDENCE", "VECTOR"
SCALINGS = ("model", "scene", "layer")
AVERAGES = ("", "flips", "shifts", "flips,shifts")


class Translate(CommandAlgorithm):
    """A raster layer to a map."""

    def name(self) -> str:
        return "translate"

    def displayName(self) -> str:
        return tr("Translate raster")

    def shortHelpString(self) -> str:
        return tr(
            "Paints a map of a raster layer with a trained network, on the same pixels and without seams. What is not "
            "valid in the layer is masked in the map.\n\n"
            "Without a model file the one of the package is used: street maps of aerial and satellite images in red, "
            "green and blue with pixels below a metre.\n\n"
            "Layers of servers (WMS, XYZ) need an extent or polygons, and the side of a pixel.\n\n"
            "A run that was cancelled goes on where it stopped when it is repeated with the same file names."
        )

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        self.addParameter(QgsProcessingParameterRasterLayer(INPUT, tr("Raster layer")))
        model = QgsProcessingParameterFile(MODEL, tr("Model (default: the one in the package)"), optional=True)
        model.setFileFilter(tr("Models (*.onnx *.safetensors)"))
        self.addParameter(model)
        self.addParameter(QgsProcessingParameterExtent(EXTENT, tr("Only inside this extent"), optional=True))
        polygons = [QgsProcessing.SourceType.TypeVectorPolygon]
        self.addParameter(
            QgsProcessingParameterFeatureSource(REGION, tr("Only inside these polygons"), polygons, optional=True)
        )
        for parameter in _advanced():
            add_advanced(self, parameter)
        self.addParameter(QgsProcessingParameterRasterDestination(OUTPUT, tr("Map")))
        for name, words in ((CLASSES, tr("Classes")), (CONFIDENCE, tr("Confidence in percent"))):
            self.addParameter(
                QgsProcessingParameterRasterDestination(name, words, optional=True, createByDefault=False)
            )
        self.addParameter(
            QgsProcessingParameterVectorDestination(
                VECTOR, tr("Polygons of the classes"), optional=True, createByDefault=False
            )
        )

    def size(self, parameters: dict[str, Any], context: QgsProcessingContext) -> str:
        """How large the raster is that has to be made of the layer first, in words; "" if it is a file already.

        Raises:
            LayerError: it cannot be made; the message says what to choose.
        """
        source, extent, pixel = self._wanted(parameters, context)
        return "" if source.file is not None else size_of(source, extent, pixel)

    def _wanted(
        self, parameters: dict[str, Any], context: QgsProcessingContext
    ) -> tuple[LayerSource, QgsRectangle | None, float | None]:
        """What is translated, the extent in the CRS of the layer, and the side of a pixel if one is given."""
        source = source_of(self.parameterAsRasterLayer(parameters, INPUT, context))
        crs = source.layer.crs()
        extent = self.parameterAsExtent(parameters, EXTENT, context, crs)
        region = self.parameterAsSource(parameters, REGION, context) if source.is_picture else None
        if extent.isEmpty() and region is not None:
            extent = around(region, crs, context.transformContext())
        pixel = self.parameterAsDouble(parameters, PIXEL, context) if parameters.get(PIXEL) else None
        return source, None if extent.isEmpty() else extent, pixel

    def prepareAlgorithm(
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> bool:
        """In the thread of the layers."""
        try:
            source, extent, pixel = self._wanted(parameters, context)
            self._file = source.file
            self._making = None
            if source.file is None:
                self._making = making(source, context.project() or QgsProject.instance(), extent, pixel)
                feedback.pushInfo(self._making.size)
            chosen = SCALINGS[self.parameterAsEnum(parameters, SCALING, context)]
            overlapping = parameters.get(OVERLAP) is not None  # 0 is a choice, too
            self._settled = {
                "scaling": stretch(source.layer) if chosen == "layer" else chosen,
                "bounds": extent and _sides(extent),
                "overlap": self.parameterAsInt(parameters, OVERLAP, context) if overlapping else None,
            }
        except LayerError as error:
            raise QgsProcessingException(str(error)) from error
        return True

    def processAlgorithm(
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        named = {name: self.parameterAsOutputLayer(parameters, name, context) for name in RESULTS}
        results = {name: path for name, path in named.items() if path}
        region = self.parameterAsSource(parameters, REGION, context)
        with scratch() as folder:
            try:
                for path in results.values():
                    check_free(path, context.project() or QgsProject.instance())
                source = self._file or folder / "layer.tif"
                if self._making is not None and not self._making.make(source, feedback):
                    return {}
                polygons = write_polygons(region, folder / "region.gpkg") if region else None
            except LayerError as error:
                raise QgsProcessingException(str(error)) from error
            chosen = options(
                model=self.parameterAsFile(parameters, MODEL, context),
                region=polygons,
                device=DEVICES[self.parameterAsEnum(parameters, DEVICE, context)],
                window=self.parameterAsInt(parameters, WINDOW, context) or None,
                bands=self.parameterAsString(parameters, BANDS, context),
                resolution=self.parameterAsDouble(parameters, RESOLUTION, context) or None,
                average=AVERAGES[self.parameterAsEnum(parameters, AVERAGE, context)],
                damaged="mask" if self.parameterAsBool(parameters, DAMAGED, context) else None,
                clean=self.parameterAsInt(parameters, CLEAN, context) or None,
                classes=results.get(CLASSES),
                confidence=results.get(CONFIDENCE),
                vector=results.get(VECTOR),
                min_area=self.parameterAsDouble(parameters, MIN_AREA, context) if VECTOR in results else None,
                overwrite=any(Path(path).exists() for path in results.values()),
                **self._settled,
            )
            done = self.execute(["translate", str(source), results[OUTPUT], *chosen], feedback)
        return results if done else {}


def _sides(extent: QgsRectangle) -> str:
    sides = (extent.xMinimum(), extent.yMinimum(), extent.xMaximum(), extent.yMaximum())
    return ",".join(f"{side:.15g}" for side in sides)


def _advanced() -> list[QgsProcessingParameterDefinition]:
    """What few need to choose."""
    number = QgsProcessingParameterNumber.Type
    scalings = [tr("as the model says"), tr("between the layer's 2nd and 98th percentile"), tr("as the layer's style")]
    averages = [tr("nothing"), tr("mirror images: 4 times slower"), tr("shifts: 4 times slower"), tr("both: 16 times")]
    return [
        QgsProcessingParameterNumber(
            PIXEL,
            tr("Side of a pixel, in units of the layer, for layers of servers"),
            number.Double,
            optional=True,
            minValue=0,
        ),
        QgsProcessingParameterEnum(SCALING, tr("Scaling of the values"), scalings, defaultValue=0),
        QgsProcessingParameterString(BANDS, tr("Bands to read, such as 3,2,1 (default: the first)"), optional=True),
        QgsProcessingParameterNumber(
            RESOLUTION,
            tr("Work on pixels of so many metres (default: as the model says)"),
            number.Double,
            optional=True,
            minValue=0,
        ),
        QgsProcessingParameterEnum(AVERAGE, tr("Average over"), averages, defaultValue=0),
        QgsProcessingParameterNumber(
            CLEAN,
            tr("Regions of fewer pixels join their largest neighbours (default: none)"),
            number.Integer,
            optional=True,
            minValue=2,
        ),
        QgsProcessingParameterBoolean(DAMAGED, tr("Leave out what of the file is damaged, rather than stop"), False),
        QgsProcessingParameterEnum(DEVICE, tr("Device"), list(DEVICES), defaultValue=0),
        QgsProcessingParameterNumber(
            WINDOW, tr("Side of a window in pixels (default: the model's)"), number.Integer, optional=True, minValue=1
        ),
        QgsProcessingParameterNumber(
            OVERLAP,
            tr("Overlap of windows in pixels (default: the model's)"),
            number.Integer,
            optional=True,
            minValue=0,
        ),
        QgsProcessingParameterNumber(
            MIN_AREA, tr("Least area of a polygon in square metres"), number.Double, defaultValue=0, minValue=0
        ),
    ]
