"""The panel: a layer, a button, a map. What it does is the algorithm `translate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qgis.core import (
    Qgis,
    QgsMapLayerProxyModel,
    QgsProcessingFeatureSourceDefinition,
    QgsProcessingUtils,
    QgsProject,
    QgsReferencedRectangle,
)
from qgis.gui import QgsDockWidget, QgsFileWidget, QgsMapLayerComboBox
from qgis.PyQt.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from . import settings
from .algorithms.command_algorithm import DEVICES
from .errors import LayerError
from .results import Source, add_results
from .task import Work
from .words import tr

WHOLE, VISIBLE, SELECTED = range(3)


class Panel(QgsDockWidget):
    """Where a layer is translated by one button."""

    def __init__(self, iface: Any) -> None:
        super().__init__(tr("Translate a layer"))
        self.setObjectName("geopix2pix")
        self._iface = iface
        self._work: Work | None = None
        self.layer, self.polygons = QgsMapLayerComboBox(), QgsMapLayerComboBox()
        self.layer.setFilters(QgsMapLayerProxyModel.Filter.RasterLayer)
        self.polygons.setFilters(QgsMapLayerProxyModel.Filter.PolygonLayer)
        self.where = _choices(tr("the whole layer"), tr("what is visible"), tr("selected polygons"))
        self.where.currentIndexChanged.connect(lambda chosen: self.polygons.setEnabled(chosen == SELECTED))
        self.polygons.setEnabled(False)
        self.pixel = QDoubleSpinBox()
        self.pixel.setDecimals(6)
        self.pixel.setMaximum(1e6)
        self.pixel.setSpecialValueText(tr("as the layer has them"))
        self.pixel.setToolTip(tr("In units of the layer; layers of servers (WMS, XYZ) need it, and what is visible"))
        self.model = _file(QgsFileWidget.StorageMode.GetFile, tr("Models (*.onnx *.safetensors)"))
        self.device = _choices(*DEVICES)
        self.scaling = _choices(tr("as the model says"), tr("2nd to 98th percentile"), tr("as the layer's style"))
        self.output = _file(QgsFileWidget.StorageMode.SaveFile, tr("GeoTIFF (*.tif)"))
        self.output.lineEdit().setPlaceholderText(tr("a temporary file"))
        self.classes, self.confidence = QCheckBox(tr("Classes, with a legend")), QCheckBox(tr("Confidence in percent"))
        self.classes.setChecked(True)
        self.classes.setToolTip(tr("Models without classes need this off"))
        self.state, self.bar = QLabel(), QProgressBar()
        self.state.setWordWrap(True)
        self.start, self.cancel = QPushButton(tr("Translate")), QPushButton(tr("Cancel"))
        self.start.clicked.connect(self._start)
        self.cancel.clicked.connect(self._cancel)
        self.cancel.setEnabled(False)
        self.setWidget(self._arranged())

    def _arranged(self) -> QWidget:
        form = QFormLayout()
        for words, field in (
            (tr("Layer"), self.layer), (tr("Where"), self.where), (tr("Polygons of"), self.polygons),
            (tr("Side of a pixel"), self.pixel), (tr("Model"), self.model), (tr("Device"), self.device),
            (tr("Scaling"), self.scaling), (tr("Map"), self.output), ("", self.classes), ("", self.confidence),
        ):  # fmt: skip
            form.addRow(words, field)
        buttons = QHBoxLayout()
        buttons.addWidget(self.start)
        buttons.addWidget(self.cancel)
        column = QVBoxLayout()
        column.addLayout(form)
        column.addLayout(buttons)
        column.addWidget(self.bar)
        column.addWidget(self.state)
        column.addStretch()
        inside = QWidget()
        inside.setLayout(column)
        return inside

    def parameters(self) -> dict[str, Any]:
        """What the algorithm is given.

        Raises:
            LayerError: a choice is missing.
        """
        layer = self.layer.currentLayer()
        if layer is None:
            raise LayerError(tr("no layer is chosen; add a raster layer to the project"))
        output = self.output.filePath() or QgsProcessingUtils.generateTempFilename("map.tif")
        chosen = {
            "INPUT": layer.id(),
            "MODEL": self.model.filePath() or None,
            "PIXEL": self.pixel.value() or None,
            "DEVICE": self.device.currentIndex(),
            "SCALING": self.scaling.currentIndex(),
            "OUTPUT": output,
        }
        for wanted, name in ((self.classes, "classes"), (self.confidence, "confidence")):
            if wanted.isChecked():
                chosen[name.upper()] = str(Path(output).with_name(f"{Path(output).stem}_{name}.tif"))
        where = self.where.currentIndex()
        if where == VISIBLE:
            canvas = self._iface.mapCanvas()
            chosen["EXTENT"] = QgsReferencedRectangle(canvas.extent(), canvas.mapSettings().destinationCrs())
        elif where == SELECTED:
            polygons = self.polygons.currentLayer()
            if polygons is None or not polygons.selectedFeatureCount():
                raise LayerError(tr("no polygon is selected; select some, or translate the whole layer"))
            chosen["REGION"] = QgsProcessingFeatureSourceDefinition(polygons.id(), True)
        return chosen

    def close_down(self) -> None:
        """End what runs, before the plugin is unloaded."""
        if self._work is not None:
            self._work.abandon()
            self._work = None

    def _start(self) -> None:
        if not settings.python().exists():
            words = tr("geopix2pix has no environment yet; set one up: Raster > geopix2pix > Environment")
            self._tell(words, Qgis.MessageLevel.Warning)
            return
        try:
            parameters = self.parameters()
        except LayerError as error:
            self._tell(str(error), Qgis.MessageLevel.Warning)
            return
        self._source = Source.of(self.layer.currentLayer())
        self._work = work = Work("translate", parameters, QgsProject.instance(), ended=self._ended)
        work.voice.told.connect(self.state.setText)
        work.voice.progressChanged.connect(self._progress)
        self._running(True)
        work.start()

    def _cancel(self) -> None:
        if self._work is not None:
            self.state.setText(tr("stopping…"))
            self._work.cancel()

    def _progress(self, share: float) -> None:
        self.bar.setValue(int(share))

    def _ended(self, results: dict[str, Any], failure: str) -> None:
        self._work = None
        self._running(False)
        self.state.clear()
        if failure:
            self._tell(failure, Qgis.MessageLevel.Critical)
        elif not results:
            self._tell(tr("cancelled; the same choices go on from where it was"), Qgis.MessageLevel.Info)
        else:
            self._show(results)

    def _show(self, results: dict[str, Any]) -> None:
        names = {"CLASSES": tr("classes"), "OUTPUT": tr("map"), "CONFIDENCE": tr("confidence")}
        rasters = {words: results[name] for name, words in names.items() if results.get(name)}
        try:
            add_results(QgsProject.instance(), self._source, rasters)
        except LayerError as error:
            self._tell(str(error), Qgis.MessageLevel.Critical)
        else:
            self._tell(tr("{}: done").format(results["OUTPUT"]), Qgis.MessageLevel.Success)

    def _running(self, runs: bool) -> None:
        self.bar.setValue(0)
        self.start.setEnabled(not runs)
        self.cancel.setEnabled(runs)

    def _tell(self, words: str, level: Any) -> None:
        self.state.setText(words)
        self._iface.messageBar().pushMessage("geopix2pix", words, level)


def _choices(*words: str) -> QComboBox:
    box = QComboBox()
    box.addItems(words)
    return box


def _file(mode: Any, kinds: str) -> QgsFileWidget:
    widget = QgsFileWidget()
    widget.setStorageMode(mode)
    widget.setFilter(kinds)
    return widget
