"""The algorithm that cuts training tiles from a source and a map."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qgis.core import (
    QgsProcessing,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingParameterEnum,
    QgsProcessingParameterFeatureSource,
    QgsProcessingParameterFolderDestination,
    QgsProcessingParameterMultipleLayers,
    QgsProcessingParameterNumber,
    QgsProcessingParameterRasterLayer,
    QgsProcessingParameterString,
    QgsProject,
    QgsVectorLayer,
)

from ..errors import LayerError
from ..inputs import load_styles, scratch, write_polygons
from ..layersource import making, source_of
from ..pixelgrid import PixelGrid
from ..rendering import drawing, in_drawing_order, render
from ..words import tr
from .command_algorithm import CommandAlgorithm, add_advanced, options
from .draw_map import area_of, look_of, look_parameters

SOURCE, TARGET, DRAWN, VECTORS, STYLE, KNOWS = "SOURCE", "TARGET", "DRAWN", "VECTORS", "STYLE", "KNOWS"
REGION, SIZE, COVERAGE, MISALIGNED, BUFFER, OUTPUT = "REGION", "SIZE", "COVERAGE", "MISALIGNED", "BUFFER", "OUTPUT"
WAYS = ("keep", "reject", "shift")


class BuildTiles(CommandAlgorithm):
    """Aligned pairs of image and map."""

    def name(self) -> str:
        return "buildtiles"

    def displayName(self) -> str:
        return tr("Build training tiles")

    def shortHelpString(self) -> str:
        return tr(
            "Cuts aligned pairs of an image and a map, split into training, validation and test areas.\n\n"
            "The map is one of three: a raster layer; layers as QGIS draws them, with your own styles; or vector "
            "layers drawn by a MapLibre style file (or the styles `streets` and `landcover` of the package).\n\n"
            "The folder holds GeoTIFF tiles and an index (GeoPackage) that opens in QGIS."
        )

    def initAlgorithm(self, configuration: dict[str, Any] | None = None) -> None:
        sources = QgsProcessing.SourceType
        self.addParameter(QgsProcessingParameterRasterLayer(SOURCE, tr("Source: the image")))
        self.addParameter(QgsProcessingParameterRasterLayer(TARGET, tr("Map: a raster layer"), optional=True))
        self.addParameter(
            QgsProcessingParameterMultipleLayers(
                DRAWN, tr("or layers as QGIS draws them"), sources.TypeMapLayer, optional=True
            )
        )
        self.addParameter(
            QgsProcessingParameterMultipleLayers(
                VECTORS, tr("or vector layers for a style file"), sources.TypeVectorAnyGeometry, optional=True
            )
        )
        self.addParameter(QgsProcessingParameterString(STYLE, tr("Style file, streets or landcover"), optional=True))
        polygons = [sources.TypeVectorPolygon]
        self.addParameter(
            QgsProcessingParameterFeatureSource(REGION, tr("Only inside these polygons"), polygons, optional=True)
        )
        add_advanced(
            self,
            QgsProcessingParameterString(KNOWS, tr("Classes that the map can name: road,building"), optional=True),
        )
        number = QgsProcessingParameterNumber.Type
        add_advanced(
            self, QgsProcessingParameterNumber(SIZE, tr("Side of a tile in pixels"), number.Integer, 256, minValue=32)
        )
        add_advanced(
            self,
            QgsProcessingParameterNumber(
                COVERAGE, tr("Least known share of a tile"), number.Double, 0.5, minValue=0, maxValue=1
            ),
        )
        add_advanced(
            self,
            QgsProcessingParameterNumber(
                BUFFER, tr("Metres between training and validation areas"), number.Double, 0, minValue=0
            ),
        )
        ways = [tr("tell it"), tr("leave it out"), tr("move it back")]
        add_advanced(
            self, QgsProcessingParameterEnum(MISALIGNED, tr("A map that lies beside its image"), ways, False, 0)
        )
        for parameter in look_parameters():
            self.addParameter(parameter)
        self.addParameter(QgsProcessingParameterFolderDestination(OUTPUT, tr("Folder of the tiles")))

    def prepareAlgorithm(
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> bool:
        """In the thread of the layers."""
        project = context.project() or QgsProject.instance()
        layer = self.parameterAsRasterLayer(parameters, SOURCE, context)
        target = self.parameterAsRasterLayer(parameters, TARGET, context)
        drawn = self.parameterAsLayerList(parameters, DRAWN, context)
        self._vectors = self.parameterAsLayerList(parameters, VECTORS, context)
        if sum(map(bool, (target, drawn, self._vectors))) != 1:
            raise QgsProcessingException(
                tr("Choose one map: a raster layer, layers as QGIS draws them, or vector layers")
            )
        try:
            self._source = _readable(layer, project)
            self._target = _readable(target, project) if target else None
            self._drawing = None
            if drawn:
                load_styles(drawn, context)
                self._grid = PixelGrid.of(layer)
                self._drawing = drawing(in_drawing_order(drawn, project), project, look_of(self, parameters, context))
            self._files = [str(_file(vectors)) for vectors in self._vectors]
        except LayerError as error:
            raise QgsProcessingException(str(error)) from error
        return True

    def processAlgorithm(
        self, parameters: dict[str, Any], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, Any]:
        output = self.parameterAsString(parameters, OUTPUT, context)
        region = self.parameterAsSource(parameters, REGION, context)
        with scratch() as folder:
            try:
                source, target = self._source(folder / "source.tif", feedback), None
                if self._target is not None:
                    target = self._target(folder / "target.tif", feedback)
                if self._drawing is not None:
                    target = folder / "map.tif"
                    area = area_of(region, self._grid, context) if region else None
                    if render(self._drawing, self._grid, target, area=area, feedback=feedback) is None:
                        return {}
                polygons = write_polygons(region, folder / "region.gpkg") if region else None
            except LayerError as error:
                raise QgsProcessingException(str(error)) from error
            if feedback.isCanceled():
                return {}
            vectors = [word for file in self._files for word in ("--vectors", file)]
            chosen = options(
                source=source,
                target=target,
                style=self.parameterAsString(parameters, STYLE, context) if vectors else None,
                knows=self.parameterAsString(parameters, KNOWS, context),
                region=polygons,
                size=self.parameterAsInt(parameters, SIZE, context),
                coverage=self.parameterAsDouble(parameters, COVERAGE, context),
                buffer=self.parameterAsDouble(parameters, BUFFER, context) or None,
                misaligned=WAYS[self.parameterAsEnum(parameters, MISALIGNED, context)],
                output=output,
            )
            done = self.execute(["tiles", "build", *chosen, *vectors], feedback)
        return {OUTPUT: output} if done else {}


def _readable(layer: Any, project: QgsProject) -> Any:
    """What gives the file of a layer, made at the path that it is called with if need be."""
    source = source_of(layer)
    if source.file is not None:
        return lambda path, feedback: source.file
    made = making(source, project)

    def make(path: Path, feedback: QgsProcessingFeedback) -> Path:
        made.make(path, feedback)
        return path

    return make


def _file(layer: Any) -> Path:
    """The file of a vector layer.

    Raises:
        LayerError: it has none that the command line could open.
    """
    path, _, rest = layer.source().partition("|")
    if not isinstance(layer, QgsVectorLayer) or layer.providerType() != "ogr" or not Path(path).is_file():
        raise LayerError(f"{layer.name()}: is no vector file; save it as a GeoPackage and choose that")
    if "subset=" in rest or layer.subsetString():
        raise LayerError(f"{layer.name()}: shows only some features of its file; save these as a file of their own")
    return Path(path)
