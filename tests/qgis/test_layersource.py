"""From layers of all kinds to rasters for the command line."""

import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

pytest.importorskip("qgis.core", reason="this Python has no QGIS")

import numpy as np
from qgis.core import (
    QgsApplication,
    QgsCoordinateReferenceSystem,
    QgsFeedback,
    QgsProject,
    QgsRasterLayer,
    QgsRectangle,
    QgsTask,
    QgsVectorLayer,
)
from qgis.PyQt.QtCore import QBuffer, QIODevice
from qgis.PyQt.QtGui import QColor, QImage

from qgis_plugin import layersource
from qgis_plugin.errors import LayerError
from qgis_plugin.layersource import making, source_of

TILES = 20037508.342789244  # half the side of the world in web maps
ZOOM = 17


def write_image(
    path: Path, width: int = 40, height: int = 30, place: str = "0.5\n0\n0\n-0.5\n500000.25\n5799999.75\n"
) -> Path:
    """A PNG whose pixels tell where they are, with a world file and a CRS beside it."""
    cols, rows = np.meshgrid(np.arange(width), np.arange(height))
    data = np.stack([cols, rows, (cols * 7 + rows * 31) % 256, np.full_like(cols, 255)], axis=-1).astype(np.uint8)
    image = QImage(data.tobytes(), width, height, 4 * width, QImage.Format.Format_RGBA8888)
    assert image.convertToFormat(QImage.Format.Format_RGB888).save(str(path))
    path.with_suffix(".pgw").write_text(place)
    crs = QgsCoordinateReferenceSystem("EPSG:32633").toWkt()
    path.with_name(f"{path.name}.aux.xml").write_text(f"<PAMDataset><SRS>{crs.replace('<', '')}</SRS></PAMDataset>")
    return path


def values(path: Path) -> np.ndarray:
    """Shape (bands, rows, cols)."""
    layer = QgsRasterLayer(str(path), "found")
    assert layer.isValid()
    provider = layer.dataProvider()
    bands = []
    for band in range(1, provider.bandCount() + 1):
        block = provider.block(band, layer.extent(), layer.width(), layer.height())
        bands.append(np.frombuffer(bytes(block.data()), np.uint8).reshape(layer.height(), layer.width()))
    return np.stack(bands)


def color_of(zoom: int, column: int, row: int) -> tuple[int, int, int]:
    return column % 256, row % 256, zoom * 10


class Tiles(BaseHTTPRequestHandler):
    """Tiles of one colour each; the first part of the path says how the server behaves."""

    def do_GET(self) -> None:
        mood, zoom, column, row = self.path.removesuffix(".png").strip("/").split("/")
        if mood == "refuses" or (mood == "gaps" and int(column) % 2):
            self.send_error(404 if mood == "gaps" else 403)
            return
        buffer = QBuffer()
        buffer.open(QIODevice.OpenModeFlag.WriteOnly)
        image = QImage(256, 256, QImage.Format.Format_RGB888)
        image.fill(QColor(*color_of(int(zoom), int(column), int(row))))
        image.save(buffer, "PNG")
        data = bytes(buffer.data()) if mood != "talks" else b"<html>Please log in</html>"
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Tiles) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def web_map(server: str, mood: str = "works") -> QgsRasterLayer:
    layer = QgsRasterLayer(f"type=xyz&url={server}/{mood}/{{z}}/{{x}}/{{y}}.png&zmin=0&zmax=19", "web map", "wms")
    assert layer.isValid()
    return layer


def four_tiles() -> tuple[QgsRectangle, float]:
    """The extent of 2 x 2 tiles, and the side of a pixel."""
    side = 2 * TILES / 2**ZOOM
    left, top = -TILES + 70_000 * side, TILES - 43_000 * side
    return QgsRectangle(left, top - 2 * side, left + 2 * side, top), side / 256


# --- files ---


@pytest.mark.parametrize("name", ["image.png", "map of Köln.png", "Ümläut/image.png"])
def test_a_file_is_given_as_it_is(name: str, tmp_path: Path, qgis_app: object) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    path = write_image(tmp_path / name)
    source = source_of(QgsRasterLayer(str(path), "image"))
    assert (source.file, source.is_picture) == (path, False)


def test_a_mosaic_of_local_files_is_given_as_it_is(tmp_path: Path, qgis_app: object) -> None:
    write_image(tmp_path / "image.png")
    source = '<SimpleSource><SourceFilename relativeToVRT="1">image.png</SourceFilename></SimpleSource>'
    band = f'<VRTRasterBand dataType="Byte" band="1">{source}</VRTRasterBand>'
    text = f'<VRTDataset rasterXSize="40" rasterYSize="30"><SRS>EPSG:32633</SRS>{band}</VRTDataset>'
    (tmp_path / "mosaic.vrt").write_text(text)
    assert source_of(QgsRasterLayer(str(tmp_path / "mosaic.vrt"), "mosaic")).file == tmp_path / "mosaic.vrt"


def in_archive(folder: Path) -> str:
    image = write_image(folder / "image.png")
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        for path in folder.glob("image.*"):
            archive.write(path, path.name)
    for path in folder.glob("image.*"):
        path.unlink()
    return f"/vsizip/{folder}/images.zip/{image.name}"


def in_database(folder: Path) -> str:
    layer = QgsRasterLayer(str(write_image(folder / "image.png")), "image")
    writer = layersource.QgsRasterFileWriter(str(folder / "images.gpkg"))
    writer.setOutputFormat("GPKG")
    writer.setCreateOptions(["RASTER_TABLE=image", "TILE_FORMAT=PNG"])
    pipe = layersource.QgsRasterPipe()
    pipe.set(layer.dataProvider().clone())
    context = QgsProject.instance().transformContext()
    assert not writer.writeRaster(pipe, layer.width(), layer.height(), layer.extent(), layer.crs(), context)
    return f"GPKG:{folder}/images.gpkg:image"


@pytest.mark.parametrize("place", [in_archive, in_database])
def test_what_lies_in_archives_and_databases_is_copied(place: object, tmp_path: Path, qgis_app: object) -> None:
    (tmp_path / "plain").mkdir()
    true = values(write_image(tmp_path / "plain" / "image.png"))
    layer = QgsRasterLayer(place(tmp_path), "image")
    assert layer.isValid()
    source = source_of(layer)
    assert source.file is None
    wanted = making(source, QgsProject.instance())
    assert wanted.size.startswith("40 x 30 pixels")
    assert wanted.make(tmp_path / "copy.tif", QgsFeedback())
    copy = QgsRasterLayer(str(tmp_path / "copy.tif"), "copy")
    assert (copy.crs(), copy.extent()) == (layer.crs(), layer.extent())
    assert np.array_equal(values(tmp_path / "copy.tif")[:3], true)
    assert source_of(copy).file == tmp_path / "copy.tif"


def test_a_reference_system_that_was_set_in_qgis_is_kept(tmp_path: Path, qgis_app: object) -> None:
    layer = QgsRasterLayer(str(write_image(tmp_path / "image.png")), "image")
    layer.setCrs(QgsCoordinateReferenceSystem("EPSG:32632"))
    source = source_of(layer)
    assert source.file is None
    assert making(source, QgsProject.instance()).make(tmp_path / "copy.tif", QgsFeedback())
    assert QgsRasterLayer(str(tmp_path / "copy.tif"), "copy").crs().authid() == "EPSG:32632"


# --- pictures of servers ---


def test_a_web_map_is_rendered_tile_by_tile(server: str, tmp_path: Path, qgis_app: object) -> None:
    source = source_of(web_map(server))
    assert (source.file, source.is_picture) == (None, True)
    extent, resolution = four_tiles()
    wanted = making(source, QgsProject.instance(), extent, resolution)
    assert wanted.size == "512 x 512 pixels, up to 1 MB"
    assert wanted.make(tmp_path / "map.tif", QgsFeedback())
    found = values(tmp_path / "map.tif")
    for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
        tile = found[:, row * 256 : row * 256 + 256, column * 256 : column * 256 + 256]
        assert {tuple(color) for color in tile.reshape(4, -1).T.tolist()} == {
            (*color_of(ZOOM, 70_000 + column, 43_000 + row), 255)
        }


def test_it_is_rendered_in_another_thread(server: str, tmp_path: Path, qgis_new_project: object) -> None:
    wanted = making(source_of(web_map(server)), QgsProject.instance(), *four_tiles())
    task = QgsTask.fromFunction("render", lambda task: wanted.make(tmp_path / "map.tif", QgsFeedback()))
    QgsApplication.taskManager().addTask(task)
    assert task.waitForFinished(30_000)
    assert (values(tmp_path / "map.tif")[3] == 255).all()


def test_what_a_server_does_not_have_is_unknown(server: str, tmp_path: Path, qgis_app: object) -> None:
    wanted = making(source_of(web_map(server, "gaps")), QgsProject.instance(), *four_tiles())
    assert wanted.make(tmp_path / "map.tif", QgsFeedback())
    known = values(tmp_path / "map.tif")[3]
    assert (known[:, :256] == 255).all()
    assert (known[:, 256:] == 0).all()


@pytest.mark.parametrize("mood", ["refuses", "talks"])
def test_a_server_that_sends_nothing_is_told(mood: str, server: str, tmp_path: Path, qgis_app: object) -> None:
    wanted = making(source_of(web_map(server, mood)), QgsProject.instance(), *four_tiles())
    with pytest.raises(LayerError, match="web map: its server sent nothing for this extent"):
        wanted.make(tmp_path / "map.tif", QgsFeedback())
    assert not list(tmp_path.iterdir())


def test_a_server_that_is_gone_is_told(tmp_path: Path, qgis_app: object) -> None:
    wanted = making(source_of(web_map("http://127.0.0.1:9")), QgsProject.instance(), *four_tiles())
    with pytest.raises(LayerError, match="sent nothing"):
        wanted.make(tmp_path / "map.tif", QgsFeedback())


def test_a_picture_needs_a_size_within_the_limit(server: str, qgis_app: object) -> None:
    source = source_of(web_map(server))
    extent, resolution = four_tiles()
    with pytest.raises(LayerError, match="choose an extent and the side of a pixel"):
        making(source, QgsProject.instance())
    with pytest.raises(LayerError, match="51200 x 51200 pixels, up to 10486 MB; the limit is 100000000 pixels"):
        making(source, QgsProject.instance(), extent, resolution / 100)


# --- refused ---


def broken() -> QgsRasterLayer:
    return QgsRasterLayer("/nowhere/image.tif", "lost")


def unplaced() -> QgsRasterLayer:
    layer = QgsRasterLayer("type=xyz&url=http://127.0.0.1:9/{z}/{x}/{y}.png", "unplaced", "wms")
    layer.setCrs(QgsCoordinateReferenceSystem())
    return layer


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (lambda: None, "no layer is chosen; choose a raster layer"),
        (lambda: QgsVectorLayer("Point?crs=EPSG:4326", "places", "memory"), "places: is no raster layer"),
        (lambda: QgsVectorLayer("?query=SELECT 1", "query", "virtual"), "query: is no raster layer"),
        (broken, "lost: QGIS cannot read it; repair its source"),
        (
            lambda: QgsRasterLayer("dbname='x' host=127.0.0.1 port=9 table=a.b", "db", "postgresraster"),
            "db: QGIS cannot",
        ),
        (unplaced, "unplaced: has no reference system; set it"),
    ],
)
def test_other_layers_are_refused_with_a_remedy(layer: object, message: str, qgis_app: object) -> None:
    with pytest.raises(LayerError, match=message):
        source_of(layer())


def test_a_copy_that_cannot_be_written_is_told(tmp_path: Path, qgis_app: object) -> None:
    wanted = making(source_of(QgsRasterLayer(in_archive(tmp_path), "image")), QgsProject.instance())
    with pytest.raises(LayerError, match="cannot be written"):
        wanted.make(tmp_path / "nowhere" / "copy.tif", QgsFeedback())
