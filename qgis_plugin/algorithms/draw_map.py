"""The algorithm that draws layers in their styles on the pixels of a source, as a target to train on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qgis.core import (
    QgsFeatureRequest,
    QgsGeometry,
    QgsProcessing,
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeatureSource,
    QgsProcessingFeedback,
    QgsProcessingParameterBoolean,
    QgsProcessingParameterColor,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterMultipleLayers,
    QgsProcessingParameterRasterDestination,
    QgsProcessingParameterRasterLayer,
    QgsProject,
)

from ..errors import LayerError
from ..inputs import check_free, load_styles
from ..pixelgrid import PixelGrid
from ..rendering import Look, drawing, in_drawing_order, render
from ..words import tr

SOURCE, LAYERS, AREA, OUTPUT = "SOURCE", "LAYERS", "AREA", "OUTPUT"
LABELS, ICONS, EFFECTS, ANTIALIASED, BACKGROUND = "LABELS", "ICONS", "EFFECTS", "ANTIALIASED", "BACKGROUND"


def look_parameters() -> list[QgsProcessingParameterDefinition]:
    """What of the styles is drawn: the same in every algorithm that draws."""
    wishes = (
        (LABELS, tr("Draw labels and diagrams")),
        (ICONS, tr("Draw symbols of points")),
        (EFFECTS, tr("Draw shadows, glows and blending")),
        (ANTIALIASED, tr("Smooth edges (mixes colours)")),
    )
    parameters: list[QgsProcessingParameterDefinition] = [
        QgsProcessingParameterBoolean(name, words, defaultValue=False) for name, words in wishes
    ]
    parameters.append(
        QgsProcessingParameterColor(
            BACKGROUND,
            tr("Background (transparent: what no layer covers is unknown)"),
            opacityEnabled=True,
            optional=True,
        )
    )
    for parameter in parameters:
        parameter.setFlags(parameter.flags() | QgsProcessingParameterDefinition.Flag.FlagAdvanced)
    return parameters


def look_of(algorithm: QgsProcessingAlgorithm, parameters: dict[str, Any], context: QgsProcessingContext) -> Look:
    """What the parameters of `look_parameters` ask for."""
    wishes = (algorithm.parameterAsBool(parameters, name, context) for name in (LABELS, ICONS, EFFECTS, ANTIALIASED))
    background = algorithm.parameterAsColor(parameters, BACKGROUND, context)
    named = background.name(background.NameFormat.HexArgb) if background.isValid() else ""
    return Look(*wishes)._replace(background=named)


def area_of(source: QgsProcessingFeatureSource, grid: PixelGrid, context: QgsProcessingContext) -> QgsGeometry:
    """The union of all polygons of a layer, in the CRS of a grid.

    Raises:
        LayerError: there is none, or none that the grid covers.
    """
    request = QgsFeatureRequest().setDestinationCrs(grid.crs, context.transformContext())
    request.setNoAttributes()
    area = QgsGeometry.unaryUnion([feature.geometry().makeValid() for feature in source.getFeatures(request)])
    if area.isEmpty():
        raise LayerError(f"{source.sourceName()}: polygons are needed, found none; choose a layer that has some")
    if not area.intersects(QgsGeometry.fromRect(grid.extent(grid.whole))):
        raise LayerError(f"{source.sourceName()}: lies elsewhere than the source; check both reference systems")
    return area


class DrawMap(QgsProcessingAlgorithm):
    """Layers in their QGIS styles as a GeoTIFF on the pixels of a source."""

    def createInstance(self) -> DrawMap:
        return DrawMap()

    def name(self) -> str:
        return "drawmap"

    def displayName(self) -> str:
        return tr("Draw the map as QGIS draws it")

    def shortHelpString(self) -> str:
        return tr(
            "Draws layers with their QGIS styles on the pixels of a source raster: the same size, reference system and "
            "place. The result is a target to train on, whatever styles you made.\n\n"
            "By default only areas and lines are drawn, without labels, symbols of points, effects and smoothed edges, "
            "since no image shows those. The scale is that of the pixels at 96 dots per inch: of 0.5 m, 1:1890. Large "
            "maps are drawn in pieces of 2048 pixels, those with labels at once.\n\n"
            "Outside of the area, alpha is 0: nothing is learned there."
        )

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        self.addParameter(QgsProcessingParameterRasterLayer(SOURCE, tr("Source: the image on whose pixels to draw")))
        self.addParameter(
            QgsProcessingParameterMultipleLayers(LAYERS, tr("Layers of the map"), QgsProcessing.SourceType.TypeMapLayer)
        )
        polygons = [QgsProcessing.SourceType.TypeVectorPolygon]
        self.addParameter(
            QgsProcessingParameterFeatureSource(AREA, tr("Only inside these polygons"), polygons, optional=True)
        )
        for parameter in look_parameters():
            self.addParameter(parameter)
        self.addParameter(QgsProcessingParameterRasterDestination(OUTPUT, tr("Map")))

    def prepareAlgorithm(
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> bool:
        """In the thread of the layers."""
        try:
            project = context.project() or QgsProject.instance()
            self._output = self.parameterAsOutputLayer(parameters, OUTPUT, context)
            check_free(self._output, project)
            self._grid = PixelGrid.of(self.parameterAsRasterLayer(parameters, SOURCE, context))
            layers = in_drawing_order(self.parameterAsLayerList(parameters, LAYERS, context), project)
            load_styles(layers, context)
            self._drawing = drawing(layers, project, look_of(self, parameters, context))
        except LayerError as error:
            raise QgsProcessingException(str(error)) from error
        return True

    def processAlgorithm(
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        source = self.parameterAsSource(parameters, AREA, context)
        try:
            area = area_of(source, self._grid, context) if source else None
            known = render(self._drawing, self._grid, Path(self._output), area=area, feedback=feedback)
        except LayerError as error:
            raise QgsProcessingException(str(error)) from error
        if known is None:
            return {}
        if not known:
            feedback.pushWarning(tr("Nothing of the map lies on the source: every pixel of it is unknown."))
        return {OUTPUT: self._output}
