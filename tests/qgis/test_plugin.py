"""The plugin in QGIS: its zip in a fresh profile, and every algorithm with the real command line."""

import json
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("qgis.core", reason="this Python has no QGIS")

from qgis.core import (
    QgsApplication,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProject,
    QgsRasterLayer,
    QgsVectorLayer,
)

from qgis_plugin import settings

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
    algorithm = QgsApplication.processingRegistry().createAlgorithmById(f"geopix2pix:{name}")
    context, heard = QgsProcessingContext(), heard or Heard()
    context.setProject(QgsProject.instance())
    results, done = algorithm.run(parameters, context, heard)
    if not done:
        raise QgsProcessingException("; ".join(heard.errors))
    return results


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


def test_a_layer_in_degrees(provider: Any, sample: Path, tmp_path: Path) -> None:
    degrees = tmp_path / "degrees.tif"
    subprocess.run(
        ["gdalwarp", "-q", "-t_srs", "EPSG:4326", "-dstalpha", str(sample / "scene.tif"), str(degrees)], check=True
    )  # with alpha, and black corners
    layer = added(QgsRasterLayer(str(degrees), "degrees"))
    execute("translate", {"INPUT": layer, "OUTPUT": str(tmp_path / "map.tif")})
    assert places(tmp_path / "map.tif") == places(degrees)


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
    shown = tmp_path / "map.tif"
    shutil.copy(sample / "map.tif", shown)
    scene, _ = (added(QgsRasterLayer(str(path), path.stem)) for path in (sample / "scene.tif", shown))
    with pytest.raises(QgsProcessingException, match=r"'map' shows it; .* write to .*map_2\.tif"):
        execute("translate", {"INPUT": scene, "OUTPUT": str(shown)})
    assert shown.read_bytes() == (sample / "map.tif").read_bytes()


def test_work_is_cancelled(provider: Any, sample: Path, tmp_path: Path) -> None:
    scene = added(QgsRasterLayer(str(sample / "scene.tif"), "scene"))
    heard = Heard()
    heard.progressChanged.connect(lambda share: heard.cancel())
    output = tmp_path / "map.tif"
    assert execute("translate", {"INPUT": scene, "WINDOW": 64, "OVERLAP": 32, "OUTPUT": str(output)}, heard) == {}
    assert not output.exists()
    assert threading.active_count() < 10


# The zip


@pytest.fixture(scope="module")
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


def headless(profile: Path, python: Path, *words: str) -> str:
    """What `qgis_process` prints; Debian's wrapper adds options of the window, so the binary itself is called."""
    program = shutil.which("qgis_process.bin") or shutil.which("qgis_process")
    if program is None:
        pytest.skip("this QGIS has no qgis_process")
    variables = {**os.environ, "HOME": str(profile), settings.VARIABLE: str(python), "LC_ALL": "C.UTF-8"}
    variables.pop("QGIS_CUSTOM_CONFIG_PATH", None)  # of the tests' own profile
    done = subprocess.run([program, *words], env=variables, capture_output=True, text=True, timeout=300, check=False)
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
