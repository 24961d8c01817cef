"""What was made, as layers of the project: in a group above their source."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from qgis.core import (
    QgsLayerTreeGroup,
    QgsLayerTreeNode,
    QgsMapLayer,
    QgsPalettedRasterRenderer,
    QgsProject,
    QgsRasterLayer,
)

from .errors import LayerError

MODEL = re.compile(r"GEOPIX2PIX_MODEL=([^<]+)<")  # the tag that each result has, as QGIS lists it


class Source(NamedTuple):
    """What a result was made of. Its layer may be gone by then, so only its names are held."""

    id: str
    name: str

    @classmethod
    def of(cls, layer: QgsMapLayer) -> Source:
        return cls(layer.id(), layer.name())


def add_results(project: QgsProject, source: Source, rasters: Mapping[str, str]) -> list[QgsRasterLayer]:
    """Add rasters, by the names of their layers, in a group above `source` that is named after the model.

    Earlier results of the source stay below the new ones. Where the source is no longer in the project, the group is
    the uppermost one.

    Raises:
        LayerError: one of them cannot be opened; none is added then.
    """
    layers = [QgsRasterLayer(path, name) for name, path in rasters.items()]
    for layer in layers:
        if not layer.isValid():
            raise LayerError(f"{layer.source()}: QGIS cannot open what was made; look whether the file is there")
        leave_unnamed_classes(layer)
    root = project.layerTreeRoot()
    node = root.findLayer(source.id)
    parent = node.parent() if node else root
    siblings = parent.children()
    place = siblings.index(node) if node else 0
    while place and _is_result(siblings[place - 1], source):
        place -= 1
    group = parent.insertGroup(place, f"{source.name}: {model_of(layers[0])}")
    for layer in layers:
        project.addMapLayer(layer, False)
        group.addLayer(layer).setExpanded(isinstance(layer.renderer(), QgsPalettedRasterRenderer))
    group.setExpanded(False)  # the window shows a group closed that had no layers yet, and hears of changes only
    group.setExpanded(True)
    return layers


def _is_result(node: QgsLayerTreeNode, source: Source) -> bool:
    return isinstance(node, QgsLayerTreeGroup) and node.name().startswith(f"{source.name}: ")


def model_of(layer: QgsRasterLayer) -> str:
    """The name and version of the model that painted a result."""
    found = MODEL.search(layer.dataProvider().htmlMetadata())
    return html.unescape(found[1]) if found else Path(layer.source()).stem


def leave_unnamed_classes(layer: QgsRasterLayer) -> None:
    """A legend of the classes that have names: a colour table has 256 entries, whatever the number of classes."""
    renderer = layer.renderer()
    if not isinstance(renderer, QgsPalettedRasterRenderer):
        return
    classes = renderer.classes()
    named = [index for index, entry in enumerate(classes) if entry.label != f"{entry.value:g}"]
    if named:
        kept = classes[: named[-1] + 1]
        layer.setRenderer(QgsPalettedRasterRenderer(layer.dataProvider(), renderer.band(), kept))
