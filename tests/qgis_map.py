"""A map drawn by QGIS, run by the Python that QGIS belongs to: qgis_map.py TASK.json.

The task names the vector file, the grid and the symbols, bottom first; the picture is written to its `output`.
"""

import json
import sys
from pathlib import Path

from qgis.core import (
    Qgis,
    QgsApplication,
    QgsCoordinateReferenceSystem,
    QgsFillSymbol,
    QgsLineSymbol,
    QgsMapRendererSequentialJob,
    QgsMapSettings,
    QgsProperty,
    QgsRectangle,
    QgsSimpleFillSymbolLayer,
    QgsSimpleLineSymbolLayer,
    QgsSingleSymbolRenderer,
    QgsSymbolLayer,
    QgsUnitTypes,
    QgsVectorLayer,
    QgsVectorSimplifyMethod,
)
from qgis.PyQt.QtCore import QSize, Qt
from qgis.PyQt.QtGui import QColor

UNITS = {"pixels": QgsUnitTypes.RenderPixels, "metres": QgsUnitTypes.RenderMapUnits}
CAPS = {"butt": Qt.FlatCap, "round": Qt.RoundCap, "square": Qt.SquareCap}
JOINS = {"miter": Qt.MiterJoin, "round": Qt.RoundJoin, "bevel": Qt.BevelJoin}


def color(text, opacity=1.0):
    found = QColor(text)
    found.setAlphaF(opacity)
    return found


def fill(task):
    layer = QgsSimpleFillSymbolLayer(color(task["color"], task.get("opacity", 1.0)))
    if "outline" in task:
        layer.setStrokeColor(color(task["outline"]))
        layer.setStrokeWidth(1)
        layer.setStrokeWidthUnit(QgsUnitTypes.RenderPixels)
    else:
        layer.setStrokeStyle(Qt.NoPen)
    symbol = QgsFillSymbol()
    symbol.changeSymbolLayer(0, layer)
    return symbol


def line(task):
    layer = QgsSimpleLineSymbolLayer(color(task["color"], task.get("opacity", 1.0)))
    layer.setWidthUnit(UNITS[task["units"]])
    if isinstance(task["width"], str):
        layer.setDataDefinedProperty(QgsSymbolLayer.PropertyStrokeWidth, QgsProperty.fromExpression(task["width"]))
    else:
        layer.setWidth(task["width"])
    layer.setPenCapStyle(CAPS[task["cap"]])
    layer.setPenJoinStyle(JOINS[task["join"]])
    if task.get("dashes"):
        layer.setUseCustomDashPattern(True)
        layer.setCustomDashPatternUnit(UNITS[task["units"]])
        layer.setCustomDashVector([dash * task["width"] for dash in task["dashes"]])
    if task.get("offset"):
        layer.setOffset(task["offset"])
        layer.setOffsetUnit(UNITS[task["units"]])
    symbol = QgsLineSymbol()
    symbol.changeSymbolLayer(0, layer)
    return symbol


def layer_of(vectors, task):
    layer = QgsVectorLayer(f"{vectors}|layername={task['source']}", task["source"], "ogr")
    assert layer.isValid(), task["source"]
    layer.setSubsetString(task.get("filter", ""))
    layer.setRenderer(QgsSingleSymbolRenderer({"fill": fill, "line": line}[task["kind"]](task)))
    method = layer.simplifyMethod()
    method.setSimplifyHints(QgsVectorSimplifyMethod.NoSimplification)
    layer.setSimplifyMethod(method)
    return layer


def main(task):
    application = QgsApplication([], False)
    application.initQgis()
    layers = [layer_of(task["vectors"], one) for one in task["layers"]]
    settings = QgsMapSettings()
    settings.setLayers(layers[::-1])  # the first of QGIS is on top
    settings.setDestinationCrs(QgsCoordinateReferenceSystem.fromWkt(task["crs"]))
    settings.setOutputSize(QSize(task["width"], task["height"]))
    settings.setExtent(QgsRectangle(*task["bounds"]))
    settings.setBackgroundColor(color(task["background"]))
    settings.setFlag(QgsMapSettings.Antialiasing, task["antialiased"])
    job = QgsMapRendererSequentialJob(settings)
    job.start()
    job.waitForFinished()
    assert job.renderedImage().save(task["output"])
    print(Qgis.QGIS_VERSION)
    del layers, job
    application.exitQgis()


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
