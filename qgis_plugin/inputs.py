"""From parameters of an algorithm to files for the command line."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from qgis.core import (
    QgsCoordinateReferenceSystem,
    QgsCoordinateTransform,
    QgsCoordinateTransformContext,
    QgsCsException,
    QgsFeature,
    QgsFields,
    QgsGeometry,
    QgsMapLayer,
    QgsProcessingContext,
    QgsProcessingFeatureSource,
    QgsProject,
    QgsRasterLayer,
    QgsRectangle,
    QgsVectorFileWriter,
    QgsVectorLayer,
    QgsWkbTypes,
)

from .errors import LayerError


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for what is made on the way."""
    with tempfile.TemporaryDirectory(prefix="geopix2pix-") as folder:
        yield Path(folder)


def write_polygons(source: QgsProcessingFeatureSource, path: Path) -> Path:
    """Write all polygons of a layer to a GeoPackage at `path`.

    Raises:
        LayerError: there are none, or the file cannot be written.
    """
    geometries = [feature.geometry() for feature in source.getFeatures() if feature.hasGeometry()]
    if not geometries:
        raise LayerError(f"{source.sourceName()}: polygons are needed, found none; choose a layer that has some")
    options = QgsVectorFileWriter.SaveVectorOptions()
    options.driverName = "GPKG"
    context, crs = QgsProject.instance().transformContext(), source.sourceCrs()
    writer = QgsVectorFileWriter.create(str(path), QgsFields(), QgsWkbTypes.Type.MultiPolygon, crs, context, options)
    for geometry in geometries:
        feature = QgsFeature()
        whole = QgsGeometry(geometry)
        whole.convertToMultiType()
        feature.setGeometry(whole)
        if not writer.addFeature(feature):
            raise LayerError(f"{source.sourceName()}: its polygons cannot be written ({writer.errorMessage()})")
    del writer
    return path


def load_styles(layers: Sequence[QgsMapLayer], context: QgsProcessingContext) -> None:
    """Give layers that Processing opened from files the styles that are saved with these.

    It opens them without, and then vectors have a colour by chance. Layers of the project have their styles.

    Raises:
        LayerError: no style is saved with a vector layer.
    """
    opened = context.temporaryLayerStore().mapLayers()
    for layer in layers:
        if layer.id() not in opened:
            continue
        _, found = layer.loadDefaultStyle()
        if isinstance(layer, QgsVectorLayer) and not found:
            raise LayerError(
                f"{layer.source()}: no style is saved with it, so that its colour would be chance; save one as its "
                "default, or name a layer of a project"
            )


def around(
    source: QgsProcessingFeatureSource, crs: QgsCoordinateReferenceSystem, context: QgsCoordinateTransformContext
) -> QgsRectangle:
    """The rectangle around all features of a layer, in another reference system.

    Raises:
        LayerError: that system has no places where they lie.
    """
    transform = QgsCoordinateTransform(source.sourceCrs(), crs, context)
    try:
        return transform.transformBoundingBox(source.sourceExtent())
    except QgsCsException as error:
        raise LayerError(
            f"{source.sourceName()}: lies where {crs.authid()} has no places; check both reference systems"
        ) from error


def check_free(path: str, project: QgsProject) -> None:
    """Nothing, if no layer of the project shows the file at `path`.

    Where QGIS holds a file open, Windows does not let it be replaced, and elsewhere the layer would show neither.

    Raises:
        LayerError: one does; the message names a file that is free.
    """
    shown = {_place(layer.source().partition("|")[0]): layer.name() for layer in project.mapLayers().values()}
    wanted = Path(path)
    if _place(wanted) in shown:
        names = (wanted.with_name(f"{wanted.stem}_{number}{wanted.suffix}") for number in range(2, len(shown) + 3))
        free = next((name for name in names if _place(name) not in shown and not name.exists()), "another file")
        name = shown[_place(wanted)]
        raise LayerError(f"{path}: the layer {name!r} shows it; remove that layer, or write to {free}")


def _place(path: str | Path) -> str:
    """A path, whichever way to it was written."""
    return os.path.normcase(os.path.realpath(path))


def stretch(layer: QgsRasterLayer) -> str:
    """The range of values that the layer's style spreads over black to white: `LOW,HIGH`.

    Raises:
        LayerError: its style does not stretch.
    """
    renderer = layer.renderer()
    names = ("redContrastEnhancement", "greenContrastEnhancement", "blueContrastEnhancement", "contrastEnhancement")
    found = [getattr(renderer, name)() for name in names if hasattr(renderer, name)]
    limits = [(band.minimumValue(), band.maximumValue()) for band in found if band is not None]
    low, high = min((low for low, _ in limits), default=0.0), max((high for _, high in limits), default=0.0)
    if not low < high:
        raise LayerError(f"{layer.name()}: its style stretches no contrast; choose another scaling")
    return f"{low:g},{high:g}"
