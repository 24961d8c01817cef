"""The algorithms in the Processing toolbox."""

from __future__ import annotations

from pathlib import Path

from qgis.core import QgsProcessingProvider
from qgis.PyQt.QtGui import QIcon

from .algorithms.build_tiles import BuildTiles
from .algorithms.draw_map import DrawMap
from .algorithms.environment import Environment
from .algorithms.evaluate import Evaluate
from .algorithms.inspect_model import InspectModel
from .algorithms.train import Train
from .algorithms.translate import Translate

ICON = Path(__file__).parent / "icon.svg"


class Provider(QgsProcessingProvider):
    """All algorithms, under the name `geopix2pix`."""

    def id(self) -> str:
        return "geopix2pix"

    def name(self) -> str:
        return "geopix2pix"

    def icon(self) -> QIcon:
        return QIcon(str(ICON))

    def loadAlgorithms(self) -> None:
        for algorithm in (Translate, BuildTiles, DrawMap, Train, Evaluate, InspectModel, Environment):
            self.addAlgorithm(algorithm())
