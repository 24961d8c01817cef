"""Copies of layers whose styles are drawn without labels, icons or effects."""

from __future__ import annotations

from collections.abc import Iterator

from qgis.core import (
    Qgis,
    QgsFeatureRenderer,
    QgsMapLayer,
    QgsNullSymbolRenderer,
    QgsRenderContext,
    QgsSymbol,
    QgsVectorLayer,
)
from qgis.PyQt.QtGui import QPainter


def plain(layer: QgsMapLayer, labels: bool, icons: bool, effects: bool) -> QgsMapLayer | None:
    """A copy of a layer that draws no more than is asked for; None if nothing would remain of it.

    Colours and opacities stay. Symbols of the copy are drawn whole and not cut at the edge of the picture, where dashes
    would begin anew.
    """
    copy = layer.clone()
    if copy is None or (isinstance(copy, QgsVectorLayer) and not copy.isSpatial()):
        return None
    if not effects:
        copy.setBlendMode(QPainter.CompositionMode.CompositionMode_SourceOver)
    if isinstance(copy, QgsVectorLayer):
        if not icons and QgsSymbol.symbolTypeForGeometryType(copy.geometryType()) == Qgis.SymbolType.Marker:
            if not labels:
                return None
            copy.setRenderer(QgsNullSymbolRenderer())
        if not labels:
            copy.setLabelsEnabled(False)
            copy.setDiagramRenderer(None)
        if not effects:
            copy.setFeatureBlendMode(QPainter.CompositionMode.CompositionMode_SourceOver)
        for renderer in _renderers(copy.renderer()):
            _simplify(renderer, icons, effects)
    return copy


def _renderers(renderer: QgsFeatureRenderer | None) -> Iterator[QgsFeatureRenderer]:
    """A renderer and those that it wraps, as that of inverted polygons does."""
    while renderer is not None:
        yield renderer
        renderer = renderer.embeddedRenderer()


def _simplify(renderer: QgsFeatureRenderer, icons: bool, effects: bool) -> None:
    if not effects:
        renderer.setPaintEffect(None)
    for symbol in renderer.symbols(QgsRenderContext()):
        symbol.setClipFeaturesToExtent(False)
        _simplify_symbol(symbol, icons, effects)


def _simplify_symbol(symbol: QgsSymbol, icons: bool, effects: bool) -> None:
    for index in range(symbol.symbolLayerCount()):
        part = symbol.symbolLayer(index)
        inner = part.subSymbol()
        if not effects:
            part.setPaintEffect(None)
        if not icons and (part.type() == Qgis.SymbolType.Marker or _is_icon(inner)):
            part.setEnabled(False)
        elif inner is not None:
            _simplify_symbol(inner, icons, effects)


def _is_icon(symbol: QgsSymbol | None) -> bool:
    return symbol is not None and symbol.type() == Qgis.SymbolType.Marker
