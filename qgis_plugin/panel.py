"""The panel: a layer, a button, a map. What it does is the algorithm `translate`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qgis.core import (
    Qgis,
    QgsMapLayerProxyModel,
    QgsProcessingContext,
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
from .algorithms.translate import Translate
from .errors import LayerError
from .layersource import MAX_PIXELS
from .modelfield import ModelField
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
        self.size = QLabel()
        self.size.setWordWrap(True)
        self.size.hide()
        self.model = ModelField()
        self.model.fileChanged.connect(lambda path: self._buttons())
        self.model.looked_into.connect(self._model_looked_into)
        self.device = _choices(*DEVICES)
        self.scaling = _choices(tr("as the model says"), tr("2nd to 98th percentile"), tr("as the layer's style"))
        self.output = QgsFileWidget()
        self.output.setStorageMode(QgsFileWidget.StorageMode.SaveFile)
        self.output.setFilter(tr("GeoTIFF (*.tif)"))
        self.output.lineEdit().setPlaceholderText(tr("a temporary file"))
        self.classes, self.confidence = QCheckBox(tr("Classes, with a legend")), QCheckBox(tr("Confidence in percent"))
        self.classes.setChecked(True)
        self.state, self.bar = QLabel(), QProgressBar()
        self.state.setWordWrap(True)
        self.start, self.cancel = QPushButton(tr("Translate")), QPushButton(tr("Cancel"))
        self.start.clicked.connect(self._start)
        self.cancel.clicked.connect(self._cancel)
        self._buttons()
        self.setWidget(self._arranged())
        canvas = self._iface.mapCanvas()
        for changed in (
            self.layer.layerChanged, self.where.currentIndexChanged, self.polygons.layerChanged,
            self.pixel.valueChanged, canvas.extentsChanged, canvas.destinationCrsChanged, canvas.selectionChanged,
        ):  # fmt: skip
            changed.connect(self._show_size)

    def _arranged(self) -> QWidget:
        form = QFormLayout()
        for words, field in (
            (tr("Layer"), self.layer), (tr("Where"), self.where), (tr("Polygons of"), self.polygons),
            (tr("Side of a pixel"), self.pixel), ("", self.size), (tr("Model"), self.model),
            (tr("Device"), self.device), (tr("Scaling"), self.scaling), (tr("Map"), self.output),
            ("", self.classes), ("", self.confidence),
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
        chosen = self._source_parameters()
        output = self.output.filePath() or QgsProcessingUtils.generateTempFilename("map.tif")
        for wanted, name in ((self.classes, "classes"), (self.confidence, "confidence")):
            if wanted.isChecked():
                chosen[name.upper()] = str(Path(output).with_name(f"{Path(output).stem}_{name}.tif"))
        return chosen | {
            "MODEL": self.model.filePath() or None,
            "DEVICE": self.device.currentIndex(),
            "SCALING": self.scaling.currentIndex(),
            "OUTPUT": output,
        }

    def _source_parameters(self) -> dict[str, Any]:
        """What is translated, and where."""
        layer = self.layer.currentLayer()
        if layer is None:
            raise LayerError(tr("no layer is chosen; add a raster layer to the project"))
        chosen = {"INPUT": layer.id(), "PIXEL": self.pixel.value() or None}
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

    def _show_size(self) -> None:
        """Say how large the raster is that has to be made of the layer first, or why there can be none."""
        words, context = "", QgsProcessingContext()
        context.setProject(QgsProject.instance())
        if self.layer.currentLayer() is not None:
            try:
                made = Translate().create().size(self._source_parameters(), context)
                words = tr("made first: {}; the limit is {} million").format(made, MAX_PIXELS // 10**6) if made else ""
            except LayerError as error:
                words = str(error)
        self.size.setText(words)
        self.size.setVisible(bool(words))

    def _model_looked_into(self, failure: str) -> None:
        if failure:
            self._tell(failure, Qgis.MessageLevel.Critical)
        self._offer_classes(self.model.may_have_classes)
        self._buttons()

    def _offer_classes(self, there: bool) -> None:
        """Offer what only models with classes can give."""
        if there == self.classes.isEnabled():
            return
        for box in (self.classes, self.confidence):
            box.setEnabled(there)
            box.setToolTip("" if there else tr("This model has no classes"))
            box.setChecked(there and box is self.classes)

    def close_down(self) -> None:
        """End what runs, before the plugin is unloaded."""
        self.model.close_down()
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
        self._running()
        work.start()

    def _cancel(self) -> None:
        if self._work is not None:
            self.state.setText(tr("stopping…"))
            self._work.cancel()

    def _progress(self, share: float) -> None:
        self.bar.setValue(int(share))

    def _ended(self, results: dict[str, Any], failure: str) -> None:
        self._work = None
        self._running()
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

    def _running(self) -> None:
        self.bar.setValue(0)
        self._buttons()

    def _buttons(self) -> None:
        self.start.setEnabled(self._work is None and self.model.is_settled)
        self.cancel.setEnabled(self._work is not None)

    def _tell(self, words: str, level: Any) -> None:
        self.state.setText(words)
        self._iface.messageBar().pushMessage("geopix2pix", words, level)


def _choices(*words: str) -> QComboBox:
    box = QComboBox()
    box.addItems(words)
    return box
