"""The sample: exact truth, the same bytes for the same seed, and nothing half-written."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyogrio.raw
import pytest
import rasterio
import shapely
from rasterio.features import geometry_mask, rasterize
from rasterio.warp import transform_geom

from geopix2pix.aerial import picture
from geopix2pix.errors import Cancelled, ConfigError, OutputError
from geopix2pix.palette import Palette
from geopix2pix.progress import Event
from geopix2pix.sample import write_sample
from geopix2pix.town import CLASSES, class_raster, lay_out

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


@pytest.fixture(scope="module")
def sample(tmp_path_factory) -> Path:
    return write_sample(tmp_path_factory.mktemp("sample") / "town")


@pytest.fixture(scope="module")
def other(tmp_path_factory) -> Path:
    events: list[Event] = []
    folder = write_sample(tmp_path_factory.mktemp("other") / "town", seed=1, size=256, progress=events.append)
    assert [(event.done, event.total) for event in events] == [(n + 1, len(events)) for n in range(len(files(folder)))]
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def read(path: Path) -> np.ndarray:
    with rasterio.open(path) as dataset:
        return dataset.read()


def shares(classes: np.ndarray) -> np.ndarray:
    return np.bincount(classes.ravel(), minlength=len(CLASSES)) / classes.size


def layer(folder: Path, name: str, column: str | None = None) -> tuple[np.ndarray, np.ndarray | None]:
    meta, _, geometry, columns = pyogrio.raw.read(folder / "vectors.gpkg", layer=name)
    values = None if column is None else columns[list(meta["fields"]).index(column)]
    return shapely.from_wkb(geometry), values


def test_overwriting_replaces_the_sample_by_the_same_bytes_and_keeps_other_files(sample, other, tmp_path):
    folder = tmp_path / "town"
    shutil.copytree(sample, folder)
    (folder / "pairs" / "notes.txt").write_text("mine")
    write_sample(folder, seed=1, size=256, overwrite=True)
    assert files(folder) == files(other) | {"pairs/notes.txt": b"mine"}
    assert [path.name for path in tmp_path.iterdir()] == ["town"]


def test_another_seed_gives_another_town(sample, other):
    first, second = files(sample), files(other)
    assert first.keys() == second.keys()
    same = {name for name in first if first[name] == second[name]}
    assert same == {"pairs/palette.json"}


def test_rasters_lie_on_one_grid_and_say_that_they_are_synthetic(sample):
    grids = []
    for name in ("scene.tif", "map.tif", "classes.tif"):
        with rasterio.open(sample / name) as dataset:
            grids.append((dataset.crs, dataset.transform, dataset.shape))
            assert dataset.tags()["GEOPIX2PIX_SYNTHETIC"] == "yes"
            assert dataset.res == (0.5, 0.5)
            assert dataset.crs.is_projected
    assert grids[0] == grids[1] == grids[2]
    assert grids[0][2] == (1024, 1024)


def test_map_shows_the_classes_in_their_display_colours(sample):
    palette = Palette.load(sample / "pairs" / "palette.json")
    classes = read(sample / "classes.tif")[0]
    assert palette.names == CLASSES
    np.testing.assert_array_equal(np.moveaxis(read(sample / "map.tif"), 0, 2), palette.display[classes])
    with rasterio.open(sample / "classes.tif") as dataset:
        table = dataset.colormap(1)
    assert [table[index][:3] for index in range(len(CLASSES))] == [tuple(color) for color in palette.display.tolist()]


def test_vectors_reproduce_the_class_raster(sample):
    with rasterio.open(sample / "classes.tif") as dataset:
        classes, grid = dataset.read(1), dataset.transform
    lines, widths = layer(sample, "roads", "width_m")
    drawn = {name: layer(sample, name)[0] for name in ("water", "vegetation", "buildings")}
    drawn["roads"] = shapely.buffer(lines, widths / 2)
    indices = {"water": 4, "vegetation": 3, "buildings": 1, "roads": 2}
    shapes = [(geometry, indices[name]) for name, geometries in drawn.items() for geometry in geometries]
    again = rasterize(shapes, classes.shape, fill=0, transform=grid, dtype="uint8")
    assert np.mean(again == classes) > 0.9999


def test_scene_lacks_a_corner_and_the_region_lies_in_the_rest(sample):
    with rasterio.open(sample / "scene.tif") as dataset:
        valid, data, grid, crs = dataset.dataset_mask() > 0, dataset.read(), dataset.transform, dataset.crs
    assert 0.01 < np.mean(~valid) < 0.03
    assert not data[:, ~valid].any()
    (feature,) = json.loads((sample / "region.geojson").read_text())["features"]
    region = transform_geom("EPSG:4326", crs, feature["geometry"])
    assert not shapely.geometry.shape(region).equals(shapely.geometry.shape(region).envelope)
    inside = geometry_mask([region], valid.shape, grid, invert=True)
    assert valid[inside].all()
    assert np.mean(inside) * valid.size * 0.25 == pytest.approx(shapely.geometry.shape(region).area, rel=1e-3)


def test_pairs_match_and_their_targets_show_nothing_but_the_palette(sample):
    pairs = sample / "pairs"
    palette = Palette.load(pairs / "palette.json")
    meanings = {int.from_bytes(c.target, "big"): index for index, c in enumerate(palette.classes)}
    counts = np.zeros(len(CLASSES))
    names = {}
    for part in ("train", "validation"):
        sources, targets = (sorted((pairs / part / side).iterdir()) for side in ("source", "target"))
        assert [path.name for path in sources] == [path.name for path in targets]
        names[part] = {path.name for path in sources}
        for source, target in zip(sources, targets, strict=True):
            assert read(source).shape == read(target).shape == (3, 256, 256)
            colors = np.tensordot([65536, 256, 1], read(target).astype(int), 1)
            assert set(np.unique(colors)) <= set(meanings)
            counts += shares(np.vectorize(meanings.get)(colors))
    assert names["train"] and names["validation"] and not names["train"] & names["validation"]
    assert (counts / sum(map(len, names.values())) > 0.02).all()


@pytest.mark.parametrize(("seed", "side"), [(0, 1024), (1, 1024), (2, 512), (3, 512), (4, 512)])
def test_every_class_covers_something(seed, side):
    assert (shares(class_raster(lay_out(seed, side))) > 0.02).all()


@pytest.mark.parametrize("seed", range(3))
def test_buildings_and_trees_stand_on_free_ground(seed):
    town = lay_out(seed, 512)
    taken = shapely.union_all([*town.water, *(road.surface for road in town.roads)])
    footprints = np.array([building.footprint for building in town.buildings])
    assert not shapely.intersects(taken, [*footprints, *town.crowns]).any()
    built = shapely.union_all(footprints)
    assert built.area == pytest.approx(shapely.area(footprints).sum())
    assert not shapely.intersects(built, [*town.crowns, *town.greens]).any()


def test_picture_lies_exactly_on_the_classes():
    """What the classes explain of the picture's variance is less wherever the picture is moved by a pixel."""
    town = lay_out(5, 512)
    classes = class_raster(town)
    seen = picture(town, classes, 5).astype(float)

    def unexplained(cols: int, rows: int) -> float:
        moved = np.roll(seen, (rows, cols), (1, 2))[:, 2:-2, 2:-2]
        inside = classes[2:-2, 2:-2]
        return sum(moved[:, inside == index].var(axis=1).sum() * np.sum(inside == index) for index in range(5))

    moves = [(cols, rows) for cols in (-1, 0, 1) for rows in (-1, 0, 1)]
    assert min(moves, key=lambda move: unexplained(*move)) == (0, 0)


def test_refuses_a_folder_that_holds_something(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="not empty"):
        write_sample(tmp_path)
    with pytest.raises(OutputError, match="is a file"):
        write_sample(tmp_path / "mine.txt")
    with pytest.raises(OutputError, match="parent folder"):
        write_sample(tmp_path / "missing" / "town")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(("seed", "size"), [(-1, 1024), (0, 255), (0, 100_000)])
def test_refuses_impossible_numbers(tmp_path, seed, size):
    with pytest.raises(ConfigError, match=f"seed {seed} and size {size}"):
        write_sample(tmp_path / "town", seed=seed, size=size)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("stop", [Cancelled("stop"), KeyboardInterrupt()])
def test_interrupted_writing_leaves_nothing(tmp_path, stop):
    def after_three(event: Event) -> None:
        if event.done == 3:
            raise stop

    with pytest.raises(type(stop)):
        write_sample(tmp_path / "town", size=256, progress=after_three)
    assert not list(tmp_path.iterdir())


def test_failed_writing_is_an_output_error(tmp_path):
    with pytest.raises(OutputError, match="cannot be written"):
        write_sample(tmp_path / ("x" * 254), size=256)
    assert not list(tmp_path.iterdir())
