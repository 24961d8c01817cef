"""The plugin in QGIS: its zip in a fresh profile, and every algorithm with the real command line."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("qgis.core", reason="this Python has no QGIS")

from osgeo import gdal
from qgis.core import (
    QgsApplication,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProject,
    QgsRasterLayer,
    QgsVectorLayer,
)
from qgis.PyQt.QtGui import QColor

from qgis_plugin import settings
from qgis_plugin.task import Work

PATIENCE = 120  # seconds, so that work that never ends does not hold the tests up
ROOT = Path(__file__).parents[2]
sys.path.append(str(Path(QgsApplication.pkgDataPath() or "/usr/share/qgis") / "python" / "plugins"))
NAMES = {"translate", "buildtiles", "drawmap", "train", "evaluate", "inspectmodel", "environment"}


class Heard(QgsProcessingFeedback):
    """Feedback that can be read again."""

    def __init__(self) -> None:
        super().__init__(False)
        self.shares: list[float] = []
        self.lines: list[str] = []
        self.errors: list[str] = []
        self.progressChanged.connect(self.shares.append)

    def setProgressText(self, text: str) -> None:
        self.lines.append(text)

    def reportError(self, error: str, fatalError: bool = False) -> None:  # noqa: N803 - QGIS calls it so
        self.errors.append(error)

    def pushWarning(self, warning: str) -> None:
        self.lines.append(warning)

    def pushCommandInfo(self, info: str) -> None:
        self.lines.append(info)


@pytest.fixture
def provider(qgis_app: QgsApplication, python: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    from qgis_plugin.provider import Provider

    monkeypatch.setenv(settings.VARIABLE, str(python))
    found = Provider()
    assert QgsApplication.processingRegistry().addProvider(found)
    yield found
    QgsApplication.processingRegistry().removeProvider(found)
    QgsProject.instance().clear()


def execute(name: str, parameters: dict[str, Any], heard: Heard | None = None) -> dict[str, Any]:
    """What an algorithm gives back; what it complains of is raised."""
    heard = heard or Heard()
    results, done = run(name, parameters, heard)
    if not done:
        raise QgsProcessingException("; ".join(heard.errors))
    return results


def run(name: str, parameters: dict[str, Any], heard: Heard) -> tuple[dict[str, Any], bool]:
    """Results, and whether it was done.

    QGIS 3.22 never lets go of what an exception of an algorithm refers to, and layers that outlive QGIS crash.
    """
    algorithm = QgsApplication.processingRegistry().createAlgorithmById(f"geopix2pix:{name}")
    context = QgsProcessingContext()
    context.setProject(QgsProject.instance())
    try:
        return algorithm.run(parameters, context, heard)
    finally:
        context.temporaryLayerStore().removeAllMapLayers()


def added(layer: Any) -> Any:
    assert layer.isValid()
    QgsProject.instance().addMapLayer(layer)
    return layer


def places(path: Path | str) -> tuple[Any, ...]:
    layer = QgsRasterLayer(str(path), "found")
    assert layer.isValid(), path
    return layer.width(), layer.height(), layer.crs().authid(), layer.extent().toString(6)


# The whole way, by hand in the toolbox


def test_from_a_layer_to_a_map_with_a_model_of_ones_own(provider: Any, sample: Path, tmp_path: Path) -> None:
    scene = added(QgsRasterLayer(str(sample / "scene.tif"), "scene"))
    heard = Heard()
    wanted = {name: str(tmp_path / f"{name.lower()}.tif") for name in ("OUTPUT", "CLASSES", "CONFIDENCE")}
    wanted["VECTOR"] = str(tmp_path / "polygons.gpkg")
    assert execute("translate", {"INPUT": scene, **wanted}, heard) == wanted
    assert all(places(wanted[name]) == places(sample / "scene.tif") for name in ("OUTPUT", "CLASSES", "CONFIDENCE"))
    assert QgsVectorLayer(wanted["VECTOR"], "polygons").featureCount() > 10
    assert max(heard.shares) == 100 and any("left" in line for line in heard.lines)

    tiles, run = str(tmp_path / "tiles"), str(tmp_path / "run")
    target = added(QgsRasterLayer(str(sample / "map.tif"), "map"))
    execute("buildtiles", {"SOURCE": scene, "TARGET": target, "OUTPUT": tiles})
    results = execute("train", {"TILES": tiles, "EPOCHS": 1, "IMAGES": 8, "START": False, "OUTPUT": run})
    assert results["MODEL"] == str(Path(run) / "model.safetensors")
    again = str(tmp_path / "again.tif")
    execute("translate", {"INPUT": scene, "MODEL": results["MODEL"], "OUTPUT": again})
    assert places(again) == places(sample / "scene.tif")
    execute("evaluate", {"MODEL": results["MODEL"], "TILES": tiles, "OUTPUT": str(tmp_path / "report")})
    assert list((tmp_path / "report").glob("*.gpkg"))
    page = execute("inspectmodel", {"OUTPUT": str(tmp_path / "model.html")})["OUTPUT"]
    assert "<h1>streets" in Path(page).read_text(encoding="utf-8")


def test_tiles_of_the_map_as_qgis_draws_it(provider: Any, sample: Path, tmp_path: Path) -> None:
    scene, drawn = (added(QgsRasterLayer(str(sample / f"{name}.tif"), name)) for name in ("scene", "map"))
    execute("buildtiles", {"SOURCE": scene, "DRAWN": [drawn], "SIZE": 128, "OUTPUT": str(tmp_path / "tiles")})
    assert list((tmp_path / "tiles").rglob("*.tif"))
    with pytest.raises(QgsProcessingException, match="one map"):
        execute("buildtiles", {"SOURCE": scene, "OUTPUT": str(tmp_path / "none")})


def test_the_environment_is_checked(provider: Any, python: Path) -> None:
    heard = Heard()
    assert execute("environment", {}, heard)["VERDICT"] == "ok", heard.lines


# Where


def test_an_interpreter_without_an_ending_may_be_chosen(provider: Any) -> None:
    """QGIS takes no file without a dot in its name unless told to; dialogs then do not run."""
    algorithm = provider.algorithm("environment")
    for name in ("EXISTING", "PYTHON"):
        parameter = algorithm.parameterDefinition(name)
        assert parameter.checkValueIsAcceptable("/usr/bin/python", QgsProcessingContext())


def test_only_an_extent_and_only_polygons(provider: Any, sample: Path, tmp_path: Path) -> None:
    scene = added(QgsRasterLayer(str(sample / "scene.tif"), "scene"))
    extent, crs = scene.extent(), scene.crs().authid()
    middle = extent.scaled(0.25)
    sides = f"{middle.xMinimum()},{middle.xMaximum()},{middle.yMinimum()},{middle.yMaximum()} [{crs}]"
    execute("translate", {"INPUT": scene, "EXTENT": sides, "OUTPUT": str(tmp_path / "extent.tif")})
    area = added(QgsVectorLayer(f"Polygon?crs={crs}", "area", "memory"))
    from qgis.core import QgsFeature, QgsGeometry

    feature = QgsFeature()
    feature.setGeometry(QgsGeometry.fromRect(middle))
    area.dataProvider().addFeature(feature)
    execute("translate", {"INPUT": scene, "REGION": area, "OUTPUT": str(tmp_path / "region.tif")})
    assert places(tmp_path / "extent.tif") == places(tmp_path / "region.tif") != places(sample / "scene.tif")


def test_what_is_chosen_reaches_the_command_line(provider: Any, sample: Path, tmp_path: Path) -> None:
    """As the line that is shown, and in the map."""
    scene = added(QgsRasterLayer(str(sample / "scene.tif"), "scene"))
    middle = scene.extent().scaled(0.25)
    sides = f"{middle.xMinimum()},{middle.xMaximum()},{middle.yMinimum()},{middle.yMaximum()} [{scene.crs().authid()}]"
    wanted = {"INPUT": scene, "EXTENT": sides, "WINDOW": 128, "OVERLAP": 64, "OUTPUT": str(tmp_path / "map.tif")}
    heard = Heard()
    execute(
        "translate", wanted | {"BANDS": "3,2,1", "RESOLUTION": 0.6, "AVERAGE": 1, "CLEAN": 50, "DAMAGED": True}, heard
    )
    execute("translate", wanted | {"OUTPUT": str(tmp_path / "plain.tif")}, heard)
    chosen, plain = (line for line in heard.lines if line.startswith("geopix2pix translate"))
    for option in ("--bands 3,2,1", "--resolution 0.6", "--average flips", "--clean 50", "--damaged mask"):
        assert option in chosen and option.partition(" ")[0] not in plain
    assert all(f" --{option}" in plain for option in ("window 128", "overlap 64"))
    one, other = (gdal.Open(str(tmp_path / f"{name}.tif")).ReadAsArray() for name in ("map", "plain"))
    assert one.shape == other.shape and (one != other).any()


def test_a_layer_in_degrees(provider: Any, sample: Path, tmp_path: Path) -> None:
    degrees = tmp_path / "degrees.tif"
    subprocess.run(
        ["gdalwarp", "-q", "-t_srs", "EPSG:4326", "-dstalpha", str(sample / "scene.tif"), str(degrees)], check=True
    )  # with alpha, and black corners
    layer = added(QgsRasterLayer(str(degrees), "degrees"))
    execute("translate", {"INPUT": layer, "OUTPUT": str(tmp_path / "map.tif")})
    assert places(tmp_path / "map.tif") == places(degrees)


def test_a_rotated_layer(provider: Any, sample: Path, tmp_path: Path) -> None:
    """Its map is that of its own pixels, turned with them, whatever north-up picture QGIS shows of it."""
    straight = added(QgsRasterLayer(str(sample / "scene.tif"), "straight"))
    rotated = tmp_path / "rotated.tif"
    copy = gdal.Translate(str(rotated), str(sample / "scene.tif"))
    left, side, _, top, _, _ = copy.GetGeoTransform()
    turned = (left, 0.8 * side, 0.6 * side, top, 0.6 * side, -0.8 * side)
    copy.SetGeoTransform(turned)
    del copy
    for name, layer in (("of straight", straight), ("of rotated", added(QgsRasterLayer(str(rotated), "rotated")))):
        execute("translate", {"INPUT": layer, "OUTPUT": str(tmp_path / f"{name}.tif")})
    one, other = (gdal.Open(str(tmp_path / f"of {name}.tif")) for name in ("straight", "rotated"))
    assert other.GetGeoTransform() == pytest.approx(turned)
    assert (one.ReadAsArray() == other.ReadAsArray()).all()


def test_an_rgba_layer(provider: Any, sample: Path, tmp_path: Path) -> None:
    """What is transparent is masked in the map, and nothing else is."""
    made = gdal.Translate(str(tmp_path / "rgba.tif"), str(sample / "scene.tif"), bandList=[1, 2, 3, 1])
    alpha = made.GetRasterBand(4)
    opaque = made.GetRasterBand(1).GetMaskBand().ReadAsArray()
    opaque[100:300, 50:200] = 0
    alpha.SetColorInterpretation(gdal.GCI_AlphaBand)
    alpha.WriteArray(opaque)
    del alpha, made
    layer = added(QgsRasterLayer(str(tmp_path / "rgba.tif"), "rgba"))
    execute("translate", {"INPUT": layer, "OUTPUT": str(tmp_path / "map.tif")})
    found = gdal.Open(str(tmp_path / "map.tif"))  # which has to outlive its bands
    mask = found.GetRasterBand(1).GetMaskBand().ReadAsArray()
    assert places(tmp_path / "map.tif") == places(tmp_path / "rgba.tif")
    assert ((mask > 0) == (opaque > 0)).all()


# Two at once


def ends_of(*parameters: dict[str, Any]) -> list[tuple[dict[str, Any], str]]:
    """How translations end that run at once as background tasks of QGIS: results and messages."""
    found: list[tuple[dict[str, Any], str]] = []
    works = [Work("translate", one, QgsProject.instance(), ended=lambda *end: found.append(end)) for one in parameters]
    for work in works:
        work.start()
    late = time.monotonic() + PATIENCE
    while len(found) < len(works):
        QgsApplication.processEvents()
        time.sleep(0.01)
        assert time.monotonic() < late, "the work does not end"
    return found


def test_two_run_at_once(provider: Any, sample: Path, tmp_path: Path) -> None:
    scene = added(QgsRasterLayer(str(sample / "scene.tif"), "scene"))
    outputs = [tmp_path / "one.tif", tmp_path / "other.tif"]
    ends = ends_of(*({"INPUT": scene.id(), "OUTPUT": str(path)} for path in outputs))
    assert [failure for _, failure in ends] == ["", ""]
    assert outputs[0].read_bytes() == outputs[1].read_bytes()


def test_two_at_once_do_not_write_one_file(provider: Any, sample: Path, tmp_path: Path) -> None:
    scene = added(QgsRasterLayer(str(sample / "scene.tif"), "scene"))
    wanted = {"INPUT": scene.id(), "OUTPUT": str(tmp_path / "map.tif")}
    ends = ends_of(wanted, wanted)
    assert sorted(bool(results) for results, _ in ends) == [False, True]
    (failure,) = (failure for results, failure in ends if not results)
    assert "map.tif" in failure and "another process" in failure
    assert places(tmp_path / "map.tif") == places(sample / "scene.tif")


# What goes wrong


def test_a_missing_environment_is_told_before_the_work(
    provider: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(settings.VARIABLE, str(tmp_path / "absent"))
    algorithm = QgsApplication.processingRegistry().createAlgorithmById("geopix2pix:translate")
    can, words = algorithm.canExecute()
    assert not can and "environment" in words


def test_what_the_command_line_refuses_is_told(provider: Any, sample: Path, tmp_path: Path) -> None:
    scene = added(QgsRasterLayer(str(sample / "scene.tif"), "scene"))
    with pytest.raises(QgsProcessingException, match=r"absent\.onnx"):
        execute(
            "translate", {"INPUT": scene, "MODEL": str(tmp_path / "absent.onnx"), "OUTPUT": str(tmp_path / "m.tif")}
        )
    assert not list(tmp_path.glob("m.tif*"))


def test_a_result_that_a_layer_shows_is_not_replaced(provider: Any, sample: Path, tmp_path: Path) -> None:
    """However its path is written, whichever result it is, and whatever would write it."""
    for name in ("map.tif", "vectors.gpkg"):
        shutil.copy(sample / name, tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    scene, _ = (added(QgsRasterLayer(str(path), path.stem)) for path in (sample / "scene.tif", tmp_path / "map.tif"))
    added(QgsVectorLayer(f"{tmp_path}/vectors.gpkg|layername=roads", "roads"))
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    other = {"INPUT": scene, "OUTPUT": str(tmp_path / "other.tif")}
    for name, parameters, message in (
        ("translate", {"INPUT": scene, "OUTPUT": f"{tmp_path}/map.tif"}, r"'map' shows it; .* write to .*map_2\.tif"),
        ("translate", {"INPUT": scene, "OUTPUT": f"{tmp_path}/link/map.tif"}, "'map' shows it"),
        ("translate", other | {"CONFIDENCE": f"{tmp_path}/link/map.tif"}, "'map' shows it"),
        ("translate", other | {"VECTOR": f"{tmp_path}/vectors.gpkg"}, r"'roads' shows it; .*vectors_2\.gpkg"),
        ("drawmap", {"SOURCE": scene, "LAYERS": ["roads"], "OUTPUT": f"{tmp_path}/map.tif"}, "'map' shows it"),
    ):
        with pytest.raises(QgsProcessingException, match=message):
            execute(name, parameters)
    assert {path: path.read_bytes() for path in before} == before


def test_work_is_cancelled(provider: Any, sample: Path, tmp_path: Path) -> None:
    scene = added(QgsRasterLayer(str(sample / "scene.tif"), "scene"))
    heard = Heard()
    heard.progressChanged.connect(lambda share: heard.cancel())
    output = tmp_path / "map.tif"
    assert execute("translate", {"INPUT": scene, "WINDOW": 64, "OVERLAP": 32, "OUTPUT": str(output)}, heard) == {}
    assert not output.exists()
    assert threading.active_count() < 10


CRASHES = """
import json, sys
sys.path.insert(0, sys.argv[1])
from qgis.core import QgsApplication, QgsProject
app = QgsApplication([], False)
app.initQgis()
from qgis_plugin.provider import Provider
from qgis_plugin.task import Work
provider = Provider()
QgsApplication.processingRegistry().addProvider(provider)
ended = lambda results, failure: print("ended", results, failure, flush=True)
work = Work("translate", json.loads(sys.argv[2]), QgsProject.instance(), ended=ended)
work.voice.told.connect(lambda words: print("told", words, flush=True))
work.start()
app.exec()
"""


def processes_of(parent: int) -> list[int]:
    """The children of a process, as Linux lists them."""
    lists = (path.read_text() for path in Path(f"/proc/{parent}/task").glob("*/children"))
    return [int(pid) for text in lists for pid in text.split()]


def runs(process: int) -> bool:
    """Whether a process runs; one that has ended may wait to be buried."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the children of a process")
def test_no_child_outlives_a_qgis_that_crashes(python: Path, sample: Path, tmp_path: Path) -> None:
    output = tmp_path / "map.tif"
    parameters = {"INPUT": str(sample / "scene.tif"), "WINDOW": 64, "OVERLAP": 32, "OUTPUT": str(output)}
    line = [sys.executable, "-c", CRASHES, str(ROOT), json.dumps(parameters)]
    variables = {**os.environ, settings.VARIABLE: str(python)}
    with subprocess.Popen(line, env=variables, stdout=subprocess.PIPE, text=True) as crashing:
        assert crashing.stdout and any(said.startswith("told translate") for said in crashing.stdout)
        (child,) = processes_of(crashing.pid)
        assert runs(child)
        crashing.kill()
    late = time.monotonic() + PATIENCE
    while runs(child):
        time.sleep(0.01)
        assert time.monotonic() < late, "the child goes on without QGIS"
    assert not output.exists()


# The zip


@pytest.fixture
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with spaces and umlauts, whose fresh profile has the plugin, unpacked from its zip."""
    home = tmp_path_factory.mktemp("zu Hause bei Käthe")
    archive = home / "plugin.zip"
    revision = ["git", "archive", "--format=zip", "--prefix=geopix2pix_qgis/", "-o", str(archive), "HEAD:qgis_plugin"]
    subprocess.run(revision, cwd=ROOT, check=True)
    plugins = home / ".local" / "share" / "QGIS" / "QGIS3" / "profiles" / "default" / "python" / "plugins"
    with zipfile.ZipFile(archive) as unpacked:
        names = unpacked.namelist()
        unpacked.extractall(plugins)
    assert {"geopix2pix_qgis/metadata.txt", "geopix2pix_qgis/LICENSE"} <= set(names)
    assert not any("test" in name or name.endswith(".pyc") for name in names)
    return home


def headless(profile: Path, python: Path, *words: str, folder: Path = ROOT) -> str:
    """What `qgis_process` prints; Debian's wrapper adds options of the window, so the binary itself is called."""
    program = shutil.which("qgis_process.bin") or shutil.which("qgis_process")
    if program is None:
        pytest.skip("this QGIS has no qgis_process")
    variables = {**os.environ, "HOME": str(profile), settings.VARIABLE: str(python), "LC_ALL": "C.UTF-8"}
    variables.pop("QGIS_CUSTOM_CONFIG_PATH", None)  # of the tests' own profile
    line = [program, *words]
    done = subprocess.run(line, env=variables, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_zip_works_without_a_screen(profile: Path, python: Path, sample: Path, tmp_path: Path) -> None:
    headless(profile, python, "plugins", "enable", "geopix2pix_qgis")
    listed = headless(profile, python, "list")
    assert all(f"geopix2pix:{name}" in listed for name in NAMES)
    folder = tmp_path / "Karten für später"
    folder.mkdir()
    shutil.copy(sample / "scene.tif", folder / "Straße 1.tif")
    headless(
        profile,
        python,
        "run",
        "geopix2pix:translate",
        "--",
        f"INPUT={folder}/Straße 1.tif",
        f"OUTPUT={folder}/Karte.tif",
    )
    assert places(folder / "Karte.tif") == places(sample / "scene.tif")


COLORS = {"buildings": (0xC0, 0x50, 0x30, 255), "roads": (0xF0, 0xC0, 0x40, 255)}


def colored(path: Path, name: str) -> QgsVectorLayer:
    layer = QgsVectorLayer(f"{path}|layername={name}", name)
    layer.renderer().symbol().setColor(QColor(*COLORS[name]))
    return layer


def test_the_lines_of_the_documentation_do_what_it_says(
    profile: Path, python: Path, sample: Path, tmp_path: Path
) -> None:
    """In a folder with a scene, and a project whose layers have styles of their own."""
    for name in ("scene.tif", "vectors.gpkg"):
        shutil.copy(sample / name, tmp_path)
    project = QgsProject()
    for name in COLORS:
        project.addMapLayer(colored(tmp_path / "vectors.gpkg", name))
    assert project.write(str(tmp_path / "town.qgz"))
    page = (ROOT / "docs" / "qgis.md").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = re.findall(r"^\$ qgis_process (.+)$", page, re.MULTILINE)
    assert len(lines) == 4
    for line in lines:
        headless(profile, python, *shlex.split(line), folder=tmp_path)
    assert places(tmp_path / "map.tif") == places(tmp_path / "drawn.tif") == places(sample / "scene.tif")
    drawn = gdal.Open(str(tmp_path / "drawn.tif")).ReadAsArray().reshape(4, -1).T
    assert set(COLORS.values()) <= set(map(tuple, drawn.tolist()))
    assert list((tmp_path / "tiles").rglob("*.tif"))


def test_a_file_is_drawn_in_the_style_that_is_saved_with_it(provider: Any, sample: Path, tmp_path: Path) -> None:
    """Processing opens it without, and then its colour is chance."""
    shutil.copy(sample / "vectors.gpkg", tmp_path)
    wanted = {"SOURCE": str(sample / "scene.tif"), "OUTPUT": str(tmp_path / "drawn.tif")}
    wanted["LAYERS"] = [f"{tmp_path}/vectors.gpkg|layername=buildings"]
    with pytest.raises(QgsProcessingException, match="no style is saved with it"):
        execute("drawmap", wanted)
    colored(tmp_path / "vectors.gpkg", "buildings").saveStyleToDatabase("mine", "", True, "")
    execute("drawmap", wanted)
    drawn = gdal.Open(str(tmp_path / "drawn.tif")).ReadAsArray().reshape(4, -1).T
    assert COLORS["buildings"] in set(map(tuple, drawn.tolist()))


LOADED = """
import json, sys
from qgis.core import QgsApplication
sys.path[:0] = json.loads(sys.argv[1])
app = QgsApplication([], False)
app.initQgis()
import qgis.utils
class Window:
    def __getattr__(self, name):
        return lambda *values: None
qgis.utils.iface = Window()
before = {p.id() for p in QgsApplication.processingRegistry().providers()}
assert qgis.utils.loadPlugin("geopix2pix_qgis")
qgis.utils.active_plugins.append("geopix2pix_qgis")
plugin = qgis.utils.plugins["geopix2pix_qgis"] = sys.modules["geopix2pix_qgis"].classFactory(None)
plugin.initProcessing()
assert {p.id() for p in QgsApplication.processingRegistry().providers()} - before == {"geopix2pix"}
assert not {"torch", "rasterio", "geopix2pix"} & set(sys.modules)
plugin.unload()
assert {p.id() for p in QgsApplication.processingRegistry().providers()} == before
print("unloaded")
"""


def test_the_plugin_unloads_without_a_trace(profile: Path) -> None:
    plugins = next(profile.rglob("geopix2pix_qgis")).parent
    line = [sys.executable, "-c", LOADED, json.dumps([str(plugins), "/usr/share/qgis/python/plugins"])]
    done = subprocess.run(line, env={**os.environ, "HOME": str(profile)}, capture_output=True, text=True, check=False)
    assert "unloaded" in done.stdout, done.stdout + done.stderr
