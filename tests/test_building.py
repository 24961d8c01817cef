"""Building tile sets: what lies where, what is kept, and that nothing but the request decides the bytes."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.transform import from_origin

from geopix2pix import labels
from geopix2pix.errors import (
    Cancelled,
    ConfigError,
    OutputError,
    RasterError,
    RegionError,
    SceneError,
    TileSetError,
    TileSetWarning,
)
from geopix2pix.grid import Window
from geopix2pix.pairs import open_pairs
from geopix2pix.tilesets.building import build
from geopix2pix.tilesets.partition import SplitRequest, divide
from geopix2pix.tilesets.request import Request
from geopix2pix.tilesets.tileset import TileSet
from tests.rasters import l_shape, write_raster

pytestmark = pytest.mark.filterwarnings(f"ignore::{TileSetWarning.__module__}.TileSetWarning")  # the sets are tiny

UTM = "EPSG:32633"
SIZE = 32
CLASSES = {"classes": [{"name": "land", "color": "F2EFE9"}, {"name": "road", "color": "3030FF"}]}


def place(left: float = 500_000.0, top: float = 5_800_000.0, side: float = 0.5) -> dict:
    return {"crs": UTM, "transform": from_origin(left, top, side, side)}


def request(folder: Path, **fields) -> Request:
    """A request for the files source.tif and target.tif in a folder."""
    given = {"sources": (str(folder / "source.tif"),), "targets": (str(folder / "target.tif"),), "size": SIZE}
    return Request(**given | fields)


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Three bands in which no two places look alike."""
    return np.random.default_rng(seed).integers(1, 256, (3, height, width), np.uint8)


def write_sides(folder: Path, height: int = 96, width: int = 128, **options) -> tuple[np.ndarray, np.ndarray]:
    """A source and a target of the same place, whose values say where they are."""
    source, target = noise(height, width), noise(height, width, seed=1)
    write_raster(folder / "source.tif", source, **{**place(), **options})
    write_raster(folder / "target.tif", target, **place())
    return source, target


def built(folder: Path, name: str = "tiles", **fields) -> TileSet:
    return TileSet.open(build(request(folder, **fields), folder / name))


def pixels(path: Path) -> tuple[np.ndarray, np.ndarray]:
    with rasterio.open(path) as dataset:
        return dataset.read(), dataset.dataset_mask() != 0


def mosaic(tiles: TileSet, side: str, transform: Affine, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """All tiles of a side put back where they say they are, and how often each pixel was covered."""
    found, covered = None, np.zeros((height, width), int)
    for tile in tiles.tiles:
        path = tiles.path(side, tile)
        with rasterio.open(path) as dataset:
            col, row = (round(v) for v in ~transform * (dataset.transform.c, dataset.transform.f))
            data, valid = dataset.read(), dataset.dataset_mask() != 0
        if found is None:
            found = np.zeros((len(data), height, width), data.dtype)
        for r, c in zip(*np.nonzero(valid), strict=True):
            found[:, row + r, col + c] = data[:, r, c]
            covered[row + r, col + c] += 1
    return found, covered


def listing(folder: Path) -> dict[str, str]:
    """The hash of every file."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


# What lies where


def test_tiles_of_a_scene_on_its_own_grid_are_the_scene_bit_for_bit(tmp_path):
    source, target = write_sides(tmp_path)
    tiles = built(tmp_path, coverage=0.01)
    for side, whole in (("source", source), ("target", target)):
        found, covered = mosaic(tiles, side, place()["transform"], *whole.shape[1:])
        np.testing.assert_array_equal(found, whole)
        assert (covered == 1).all()


def test_every_tile_lies_where_the_index_says(tmp_path):
    write_sides(tmp_path)
    tiles = built(tmp_path, coverage=0.01)
    for tile in tiles.tiles:
        for side in tiles.sides:
            with rasterio.open(tiles.path(side, tile)) as dataset:
                assert tuple(dataset.bounds) == pytest.approx(tile.footprint.bounds, abs=1e-6)
                assert (dataset.width, dataset.height) == (SIZE, SIZE)


def test_neighbouring_builds_share_their_tiles(tmp_path):
    """Two halves of a scene, built apart, give the files of the whole, except the tiles that the cut runs through."""
    whole = noise(64, 224)
    cut = 112
    for name, data, left in (
        ("whole", whole, 500_000.0),
        ("west", whole[..., :cut], 500_000.0),
        ("east", whole[..., cut:], 500_000.0 + cut / 2),
    ):
        (tmp_path / name).mkdir()
        for side in ("source", "target"):
            write_raster(tmp_path / name / f"{side}.tif", data, **place(left))
    sets = {name: built(tmp_path / name, coverage=1.0) for name in ("whole", "west", "east")}
    halves = {tile.name: tile.sha256 for name in ("west", "east") for tile in sets[name].tiles}
    together = {tile.name: tile.sha256 for tile in sets["whole"].tiles}
    assert halves.keys() < together.keys()
    assert halves == {name: together[name] for name in halves}
    assert len(together) - len(halves) == 2


def test_a_target_on_another_grid_comes_out_on_that_of_the_source(tmp_path):
    """Against the nearest pixel found by hand: a target in another resolution, elsewhere, south-up."""
    write_raster(tmp_path / "source.tif", noise(96, 96), **place())
    coarse = noise(60, 60)
    transform = Affine(1.5, 0, 499_990.0, 0, 1.5, 5_799_940.0)  # south-up
    write_raster(tmp_path / "target.tif", coarse, crs=UTM, transform=transform)
    (tmp_path / "palette.json").write_text(json.dumps(CLASSES))
    tiles = built(tmp_path, palette=tmp_path / "palette.json", coverage=0.01)
    for tile in tiles.tiles:
        data, valid = pixels(tiles.path("target", tile))
        with rasterio.open(tiles.path("target", tile)) as dataset:
            for row, col in ((0, 0), (7, 20), (31, 31)):
                x, y = dataset.xy(row, col)
                c, r = (int(np.floor(v)) for v in ~transform * (x, y))
                assert valid[row, col] == (0 <= c < 60 and 0 <= r < 60)
                if valid[row, col]:
                    np.testing.assert_array_equal(data[:, row, col], coarse[:, r, c])


def test_a_source_in_degrees_gives_tiles_in_metres_at_its_ground_resolution(tmp_path):
    degrees = {"crs": "EPSG:4326", "transform": from_origin(15.0, 52.0, 4.4e-6, 2.7e-6)}
    for side in ("source", "target"):
        write_raster(tmp_path / f"{side}.tif", noise(256, 256), **degrees)
    tiles = built(tmp_path)
    assert tiles.about.grid.crs.to_epsg() == 32633
    assert tiles.about.grid.transform.a == 0.3
    assert tiles.about.ground_resolution == pytest.approx((0.3, 0.3), rel=1e-3)


# What is kept


def test_holes_stay_holes_and_every_candidate_is_counted(tmp_path):
    valid = l_shape(96, 128)
    source, _ = write_sides(tmp_path)
    write_raster(tmp_path / "source.tif", source, mask=valid, **place())
    tiles = built(tmp_path, coverage=0.4)
    found, covered = mosaic(tiles, "source", place()["transform"], 96, 128)
    assert not covered[~valid].any()
    np.testing.assert_array_equal(found[:, covered > 0], source[:, covered > 0])
    assert tiles.about.counts["kept"] == len(tiles.tiles)
    assert tiles.about.counts["source without data"] > 0
    assert all(tile.coverage >= 0.4 for tile in tiles.tiles)


def test_outside_the_region_nothing_is_known(tmp_path):
    write_sides(tmp_path)
    region = shapely.Polygon([(500_010, 5_799_990), (500_050, 5_799_995), (500_040, 5_799_960), (500_012, 5_799_965)])
    feature = {"type": "Feature", "properties": {}, "geometry": json.loads(shapely.to_geojson(region))}
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32633"}}
    path = tmp_path / "region.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "crs": crs, "features": [feature]}))
    tiles = built(tmp_path, region=path, coverage=0.01)
    _, covered = mosaic(tiles, "target", place()["transform"], 96, 128)
    inside = rasterio.features.geometry_mask([region], (96, 128), place()["transform"], invert=True)
    np.testing.assert_array_equal(covered > 0, inside)


def test_bounds_are_a_region(tmp_path):
    write_sides(tmp_path)
    bounds = (500_000.0, 5_799_968.0, 500_032.0, 5_800_000.0)
    tiles = built(tmp_path, bounds=bounds, coverage=0.01)
    _, covered = mosaic(tiles, "target", place()["transform"], 96, 128)
    expected = np.zeros((96, 128), bool)
    expected[:64, :64] = True
    np.testing.assert_array_equal(covered > 0, expected)


def test_the_footprint_is_the_outline_of_the_valid_pixels(tmp_path):
    """What is valid is known, whatever its shape; the corner without data is not looked at."""
    valid = np.tri(128, 128, dtype=bool)
    source, _ = write_sides(tmp_path, 128, 128)
    write_raster(tmp_path / "source.tif", source, mask=valid, **place())
    tiles = built(tmp_path, footprint=True, coverage=0.01)
    _, covered = mosaic(tiles, "source", place()["transform"], 128, 128)
    np.testing.assert_array_equal(covered > 0, valid)
    assert sum(tiles.about.counts.values()) < 16 == sum(built(tmp_path, "all").about.counts.values())


def test_maps_of_classes_come_with_labels_that_training_reads(tmp_path):
    write_raster(tmp_path / "source.tif", noise(64, 64), **place())
    classes = np.random.default_rng(3).integers(0, 2, (64, 64))
    colors = np.array([[0xF2, 0xEF, 0xE9], [0x30, 0x30, 0xFF]], np.uint8)
    write_raster(tmp_path / "target.tif", np.moveaxis(colors[classes], -1, 0), **place())
    (tmp_path / "palette.json").write_text(json.dumps(CLASSES))
    tiles = built(tmp_path, palette=tmp_path / "palette.json", coverage=0.01)
    found, covered = mosaic(tiles, "classes", place()["transform"], 64, 64)
    assert (covered >= 1).all()
    np.testing.assert_array_equal(found[0], classes)
    for tile in tiles.tiles:
        data, _ = pixels(tiles.path("classes", tile))
        known = data[0] != labels.UNKNOWN
        assert tile.shares == pytest.approx(
            {"land": (data[0][known] == 0).mean(), "road": (data[0][known] == 1).mean()}
        )
    pairs = open_pairs(tmp_path / "tiles")
    assert pairs.palette.names == ("land", "road")
    assert [pair.name for pair in pairs.train] == [tile.name for tile in tiles.tiles if tile.split == "train"]
    assert [pair.name for pair in pairs.validation] == [t.name for t in tiles.tiles if t.split == "validation"]


def test_copies_and_constant_tiles_are_found(tmp_path):
    source, target = write_sides(tmp_path, 64, 128)
    corner = Window(int(500_000 / 0.5), -int(5_800_000 / 0.5), SIZE, SIZE)  # of the scene, in pixels of the grid
    assert corner.col % SIZE == corner.row % SIZE == 0
    source[:, :32, 32:64] = source[:, :32, :32]
    source[:, :32, 64:96] = 7
    target[:, :32, 96:] = 9
    write_raster(tmp_path / "source.tif", source, **place())
    write_raster(tmp_path / "target.tif", target, **place())
    tiles = built(tmp_path, coverage=1.0)
    at = {tile.window: tile for tile in tiles.tiles}
    assert at[corner.shifted(32, 0)].note == f"duplicate of {at[corner].name}"
    assert at[corner.shifted(32, 0)].split == "unused"
    assert corner.shifted(64, 0) not in at and tiles.about.counts["constant source"] == 1
    assert at[corner.shifted(96, 0)].note == "constant target"
    assert [tile.note for tile in tiles.tiles].count("") == len(tiles.tiles) - 2


# What is refused


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"targets": ()}, ConfigError, "targets"),
        ({"size": 8}, ConfigError, "size"),
        ({"coverage": 0.0}, ConfigError, "coverage"),
        ({"overlap": 32}, ConfigError, "overlap"),
        ({"crs": "EPSG:4326"}, ConfigError, "degrees"),
        ({"crs": "no such thing"}, ConfigError, "no such thing"),
        ({"knows": ("road",)}, ConfigError, "palette"),
        ({"resolution": -1.0}, ConfigError, "resolution"),
        ({"sources": ("nowhere/*.tif",)}, ConfigError, "matches no file"),
        ({"sources": ("nowhere.tif",)}, RasterError, "nowhere.tif"),
        ({"bounds": (0.0, 0.0, 10.0, 10.0)}, RegionError, "the data at 500000"),
        ({"footprint": True, "bounds": (0.0, 0.0, 10.0, 10.0)}, ConfigError, "region"),
        ({"resolution": 1e-7}, TileSetError, "more than"),
    ],
)
def test_what_cannot_be_built_is_refused_in_one_line_and_leaves_nothing(tmp_path, change, error, said):
    write_sides(tmp_path)
    with pytest.raises(error) as caught:
        build(request(tmp_path, **change), tmp_path / "tiles")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source.tif", "target.tif"]


def test_patterns_that_match_no_file_are_refused_before_the_work(tmp_path):
    write_sides(tmp_path)
    split = SplitRequest(by="files", validation=("north*",))
    with pytest.raises(TileSetError, match=r"'north\*' for validation matches no source file; they are source\.tif"):
        build(request(tmp_path), tmp_path / "tiles", split=split, progress=stopping(0))


def test_sides_that_do_not_overlap_are_told_with_both_places(tmp_path):
    write_sides(tmp_path)
    write_raster(tmp_path / "target.tif", noise(32, 32), **place(left=600_000.0))
    with pytest.raises(TileSetError, match="do not overlap") as caught:
        build(request(tmp_path), tmp_path / "tiles")
    assert "500000" in str(caught.value) and "600000" in str(caught.value)


@pytest.mark.parametrize("side", ["source", "target"])
def test_a_side_without_a_crs_is_named(tmp_path, side):
    write_sides(tmp_path)
    write_raster(tmp_path / f"{side}.tif", noise(96, 128))
    with pytest.raises((SceneError, RasterError), match=f"{side}.tif"):
        build(request(tmp_path), tmp_path / "tiles")


def test_an_older_set_is_replaced_only_on_request_and_foreign_files_never(tmp_path):
    write_sides(tmp_path)
    built(tmp_path)
    before = listing(tmp_path / "tiles")
    with pytest.raises(OutputError, match="exists already"):
        build(request(tmp_path, size=64), tmp_path / "tiles")
    assert listing(tmp_path / "tiles") == before
    (tmp_path / "tiles" / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"notes\.txt"):
        build(request(tmp_path, size=64), tmp_path / "tiles", overwrite=True)
    (tmp_path / "tiles" / "notes.txt").unlink()
    build(request(tmp_path, size=64), tmp_path / "tiles", overwrite=True)
    assert TileSet.open(tmp_path / "tiles").about.size == 64
    assert not (tmp_path / "tiles.part").exists()


# What decides the bytes


def stopping(after: int):
    """A progress callback that stops the work after so many events of cutting."""
    seen = iter(range(after))

    def progress(event):
        if event.stage in ("cut", "shift") and next(seen, None) is None:
            raise Cancelled("stopped")

    return progress


@pytest.mark.parametrize("after", [1, 2, 3])
def test_an_interrupted_build_goes_on_to_the_same_bytes(tmp_path, after):
    write_sides(tmp_path, 160, 160)
    built(tmp_path, "undisturbed")
    with pytest.raises(Cancelled):
        build(request(tmp_path), tmp_path / "tiles", progress=stopping(after))
    kept = listing(tmp_path / "tiles.part")
    assert not (tmp_path / "tiles").exists()
    if after > 1:
        assert any(name.startswith("set/source") for name in kept)
    built(tmp_path)
    assert listing(tmp_path / "tiles") == listing(tmp_path / "undisturbed")
    assert not (tmp_path / "tiles.part").exists()


def test_a_damaged_tile_of_an_interrupted_build_is_cut_again(tmp_path):
    write_sides(tmp_path, 160, 160)
    built(tmp_path, "undisturbed")
    with pytest.raises(Cancelled):
        build(request(tmp_path), tmp_path / "tiles", progress=stopping(2))
    victim = next((tmp_path / "tiles.part" / "set" / "source").iterdir())
    victim.write_bytes(victim.read_bytes()[:-1])
    built(tmp_path)
    assert listing(tmp_path / "tiles") == listing(tmp_path / "undisturbed")


def test_parts_of_another_request_are_not_used_and_the_user_is_told(tmp_path):
    write_sides(tmp_path, 160, 160)
    with pytest.raises(Cancelled):
        build(request(tmp_path), tmp_path / "tiles", progress=stopping(2))
    with pytest.warns(UserWarning, match="another build"):
        build(request(tmp_path, coverage=0.9), tmp_path / "tiles")
    built(tmp_path, "undisturbed", coverage=0.9)
    assert listing(tmp_path / "tiles") == listing(tmp_path / "undisturbed")


# Splits on disk


def test_dividing_anew_changes_the_index_alone(tmp_path):
    write_sides(tmp_path, 256, 256)
    built(tmp_path)
    before = listing(tmp_path / "tiles")
    divide(tmp_path / "tiles", SplitRequest(block=32.0, seed=5, shares=(0.5, 0.25, 0.25)))
    after = listing(tmp_path / "tiles")
    assert {name for name in after if after[name] != before[name]} == {"index.gpkg"}
    splits = {tile.split for tile in TileSet.open(tmp_path / "tiles").tiles}
    assert splits >= {"train", "validation", "test"}


def test_an_index_that_lost_a_tile_is_refused(tmp_path):
    write_sides(tmp_path)
    tiles = built(tmp_path)
    replace_index = tiles._replace(tiles=tiles.tiles[1:])
    replace_index.write()
    with pytest.raises(TileSetError, match="restore the file"):
        TileSet.open(tmp_path / "tiles")
