"""Many scenes are each what they are alone, whatever becomes of the others, and together a map and a catalog."""

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from click.testing import CliRunner, Result
from rasterio.crs import CRS

from cli.main import main
from geopix2pix import translate, translate_many
from geopix2pix.catalog import whereabouts
from geopix2pix.errors import Cancelled, ConfigError, GeoPix2PixError, ModelFileError, OutputError
from geopix2pix.geogrid import GeoGrid
from geopix2pix.grid import Window
from geopix2pix.ledger import Summary
from geopix2pix.progress import Event
from geopix2pix.shard import Shard
from tests.rasters import l_shape, write_raster

SIDE = 60
PLACE = Affine(0.5, 0, 500_000, 0, -0.5, 5_800_000)
SHARED = ("summary.json", "mosaic.vrt", "stac", "translations.jsonl")


def tile(folder: Path, column: int, row: int, **profile: Any) -> Path:
    """One of the tiles that lie side by side on a grid."""
    folder.mkdir(exist_ok=True, parents=True)
    data = np.random.default_rng((column, row)).integers(1, 255, (3, SIDE, SIDE), np.uint8)
    place = {"crs": "EPSG:32633", "transform": PLACE * Affine.translation(column * SIDE, row * SIDE)}
    return write_raster(folder / f"{column}-{row}.tif", data, **{"photometric": "rgb"} | place | profile)


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """A folder of four tiles, the third of which cannot be read to its end."""
    for number in range(4):
        tile(tmp_path / "scenes", number % 2, number // 2)
    broken = tmp_path / "scenes" / "0-1.tif"
    broken.write_bytes(broken.read_bytes()[:4000])
    return tmp_path / "scenes"


def many(sources: Any, folder: Path, **options: Any) -> Summary:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return translate_many(sources, folder, threads=1, **options)


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def maps(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*.tif")}


# Each by itself


def test_each_scene_is_what_it_is_alone_and_a_broken_one_stops_nothing(
    scenes: Path, tiny_model: Path, tmp_path: Path
) -> None:
    summary = many([scenes], tmp_path / "maps", model=tiny_model)
    assert summary.counts == {"made": 3, "kept": 0, "empty": 0, "failed": 1}
    assert not summary.is_good
    for outcome in summary.outcomes:
        if outcome.status == "made":
            alone = translate(outcome.source, tmp_path / "alone.tif", model=tiny_model, threads=1, overwrite=True)
            assert (tmp_path / "maps" / f"{outcome.name}.tif").read_bytes() == alone.read_bytes()
        else:
            assert outcome.name == "0-1" and outcome.error and str(scenes / "0-1.tif") in outcome.error
    told = json.loads((tmp_path / "maps" / "summary.json").read_text())
    assert told == summary.to_json()
    assert {scene["name"]: scene["status"] for scene in told["scenes"]}["0-1"] == "failed"
    assert not list((tmp_path / "maps").glob("*.part")), "nothing of a failure stays"


def test_the_engine_is_loaded_once(scenes: Path, tiny_model: Path, tmp_path: Path, monkeypatch) -> None:
    from geopix2pix import torch_engine

    loaded = []
    init = torch_engine.TorchEngine.__init__
    monkeypatch.setattr(torch_engine.TorchEngine, "__init__", lambda *a, **k: (loaded.append(1), init(*a, **k))[1])
    many([scenes], tmp_path / "maps", model=tiny_model)
    assert len(loaded) == 1


def test_what_is_wrong_with_the_request_is_told_before_the_first_scene(
    scenes: Path, tiny_model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "maps"
    refused: list[tuple[type[Exception], str, Any, dict[str, Any]]] = [
        (ModelFileError, "absent", [scenes], {"model": tmp_path / "absent.onnx"}),
        (ConfigError, "{name}", [scenes], {"classes": out / "classes.tif"}),
        (ConfigError, "another result of each scene", [scenes], {"classes": out / "a" / ".." / "{name}.tif"}),
        (ConfigError, "onnxruntime", [scenes], {"engine": "onnxruntime"}),
        (OutputError, "is a source itself", [out], {}),
        (GeoPix2PixError, "device", [scenes], {"device": "cuda"}),
        (TypeError, "modle", [scenes], {"modle": tiny_model}),
    ]
    for kind, message, sources, options in refused:
        if sources == [out]:
            out.mkdir()
        with pytest.raises(kind, match=message):
            many(sources, out, **{"model": tiny_model} | options)
        assert not out.exists() or not list(out.iterdir())
    (tmp_path / "file").touch()
    for name in ("file", "map.tif"):
        with pytest.raises(OutputError, match="name a folder"):
            many([scenes], tmp_path / name, model=tiny_model)
    assert not (tmp_path / "map.tif").exists()


def test_scenes_without_anything_to_translate_are_no_failures(tiny_model: Path, tmp_path: Path) -> None:
    for number in range(2):
        tile(tmp_path / "scenes", number, 0)
    left, top = PLACE * (5, 5)
    summary = many([tmp_path / "scenes"], tmp_path / "maps", model=tiny_model, bounds=(left, top - 10, left + 10, top))
    assert [outcome.status for outcome in summary.outcomes] == ["made", "empty"]
    assert summary.is_good
    summary = many([tmp_path / "scenes"], tmp_path / "none", model=tiny_model, bounds=(0, 0, 1, 1))
    assert summary.counts["empty"] == 2 and not summary.is_good, "a region beside all scenes is a mistake"


def test_further_results_are_named_by_the_scene(scenes: Path, palette_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "maps"
    summary = many(
        [scenes], out, model=palette_model, classes=out / "classes" / "{name}.tif", vector=f"{out}/{{name}}.gpkg"
    )
    assert sorted(path.name for path in (out / "classes").glob("*.tif")) == ["0-0.tif", "1-0.tif", "1-1.tif"]
    assert sorted(path.name for path in out.glob("*.gpkg")) == ["0-0.gpkg", "1-0.gpkg", "1-1.gpkg"]
    assert [path.name for path in summary.mosaics] == ["mosaic.vrt", "mosaic-classes.vrt"]
    with rasterio.open(out / "mosaic-classes.vrt") as mosaic, rasterio.open(out / "classes" / "1-0.tif") as one:
        assert mosaic.nodata == one.nodata == 255
        assert mosaic.colormap(1) == one.colormap(1)
        found = mosaic.read(1)
        assert np.array_equal(found[:SIDE, SIDE:], one.read(1))
        assert (found[SIDE:, :SIDE] == 255).all(), "the scene that failed is missing"


def test_warnings_are_kept_for_each_scene_and_shown_once(tiny_model: Path, tmp_path: Path) -> None:
    for number in range(3):
        tile(tmp_path / "scenes", number, 0, crs=None, transform=Affine.identity())
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("default")
        summary = translate_many([tmp_path / "scenes"], tmp_path / "maps", model=tiny_model, threads=1)
    alike = [str(w.message) for w in shown if "has no georeference" in str(w.message)]
    assert len(alike) == 1
    assert all("has no georeference" in " ".join(outcome.warnings) for outcome in summary.outcomes)
    assert len(summary.unshown) == 3 and not summary.mosaics
    line = run("translate", tmp_path / "scenes", tmp_path / "maps", "--model", tiny_model, "--threads", "1").stderr
    assert line.count("in no mosaic") == 1 and "2 more are named in" in line
    again = many([tmp_path / "scenes"], tmp_path / "maps", model=tiny_model)
    assert [outcome.warnings for outcome in again.outcomes] == [outcome.warnings for outcome in summary.outcomes]


# Again


def test_what_is_done_is_kept(scenes: Path, tiny_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "maps"
    first = many([scenes], out, model=tiny_model)
    times = {path: path.stat().st_mtime_ns for path in out.glob("*.tif")}
    tile(scenes, 0, 1)
    second = many([scenes], out, model=tiny_model)
    assert second.counts == {"made": 1, "kept": 3, "empty": 0, "failed": 0}
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert second.is_good
    third = many([scenes], out, model=tiny_model, overwrite=True)
    assert third.counts["kept"] == 4, "what would be the same is not made again"
    assert len(first.outcomes) == len(third.outcomes)


def test_what_was_made_otherwise_is_told_and_replaced_on_request(
    scenes: Path, tiny_model: Path, palette_model: Path, tmp_path: Path
) -> None:
    out = tmp_path / "maps"
    many([scenes], out, model=tiny_model)
    before = maps(out)
    cases = [
        ({"model": palette_model}, "model"),
        ({"model": tiny_model, "overlap": 24}, "overlap"),
        ({"model": tiny_model, "form": "gtiff"}, "form"),
    ]
    for options, name in cases:
        summary = many([scenes / "0-0.tif"], out, **options)
        assert summary.outcomes[0].status == "failed"
        assert name in str(summary.outcomes[0].error) and "allow to overwrite it" in str(summary.outcomes[0].error)
    assert maps(out) == before
    tile(scenes, 0, 0, transform=PLACE * Affine.translation(7, 0))
    (failed,) = many([scenes / "0-0.tif"], out, model=tiny_model).outcomes
    assert failed.status == "failed" and "source" in str(failed.error)
    (made,) = many([scenes / "0-0.tif"], out, model=tiny_model, overwrite=True).outcomes
    assert made.status == "made"
    with rasterio.open(out / "0-0.tif") as moved:
        assert moved.transform.c == PLACE.c + 3.5


def test_a_result_that_is_not_ours_or_damaged_is_not_kept(scenes: Path, tiny_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "maps"
    many([scenes], out, model=tiny_model)
    whole = maps(out)
    (out / "1-0.tif").write_bytes(whole["1-0.tif"][:-1])
    (out / "1-1.tif").write_bytes(bytes(len(whole["1-1.tif"])))
    errors = {o.name: o.error for o in many([scenes], out, model=tiny_model).outcomes if o.status == "failed"}
    assert "size" in str(errors["1-0"]) and "damaged" in str(errors["1-1"])
    many([scenes], out, model=tiny_model, overwrite=True)
    assert maps(out) == whole
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(out / "0-0.tif", other)
    (failed,) = many([scenes / "0-0.tif"], other, model=tiny_model).outcomes
    assert failed.status == "failed" and "was not made here" in str(failed.error)
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange" / "summary.json").touch()
    with pytest.raises(OutputError, match="was not made of scenes in this folder"):
        many([scenes], tmp_path / "strange", model=tiny_model)


def test_a_batch_that_is_stopped_anywhere_goes_on_to_the_same_bytes(
    scenes: Path, tiny_model: Path, tmp_path: Path
) -> None:
    events: list[Event] = []
    many([scenes], tmp_path / "whole", model=tiny_model, progress=events.append)
    for stop in range(0, len(events), 5):
        out, seen = tmp_path / f"stopped-{stop}", iter(range(stop + 1))

        def stopping(event: Event, seen: Any = seen, stop: int = stop) -> None:
            if next(seen) == stop:
                raise Cancelled("enough")

        with pytest.raises(Cancelled):
            many([scenes], out, model=tiny_model, progress=stopping)
        done = len(list(out.glob("*.tif")))
        assert many([scenes], out, model=tiny_model).counts["kept"] == done
        assert maps(out) == maps(tmp_path / "whole")


def test_half_a_line_of_the_journal_costs_one_scene(scenes: Path, tiny_model: Path, tmp_path: Path) -> None:
    out = tmp_path / "maps"
    many([scenes], out, model=tiny_model)
    before, journal = maps(out), out / "translations.jsonl"
    journal.write_bytes(journal.read_bytes()[:-20])
    (out / "1-1.tif").unlink()
    assert many([scenes], out, model=tiny_model).counts["made"] == 1
    assert many([scenes], out, model=tiny_model).counts["kept"] == 3
    assert maps(out) == before


def test_a_second_command_for_the_same_folder_meanwhile_spoils_nothing(
    scenes: Path, tiny_model: Path, tmp_path: Path
) -> None:
    """It is told of the scene that the first one works on and makes the others; the next one keeps them all."""
    out, second = tmp_path / "maps", list[Summary]()

    def meanwhile(event: Event) -> None:
        if event.stage == "translate" and not second:
            second.append(many([scenes], out, model=tiny_model))

    first = many([scenes], out, model=tiny_model, progress=meanwhile)
    (busy,) = (o.error for o in second[0].outcomes if o.name == first.outcomes[0].name)
    assert "another process is writing it" in str(busy)
    made = [{o.name for o in summary.outcomes if o.status == "made"} for summary in (first, *second)]
    assert len(made[0] | made[1]) == 3 and not made[0] & made[1]
    last = many([scenes], out, model=tiny_model)
    assert last.counts == {"made": 0, "kept": 3, "empty": 0, "failed": 1}
    many([scenes], tmp_path / "whole", model=tiny_model)
    assert maps(out) == maps(tmp_path / "whole")


# On several machines


def test_shares_of_scenes_and_a_last_run_are_one_run(scenes: Path, tiny_model: Path, tmp_path: Path) -> None:
    whole, shared = tmp_path / "whole", tmp_path / "shared"
    many([scenes], whole, model=tiny_model)
    for number in (2, 1, 3):
        part = many([scenes], shared, model=tiny_model, shard=Shard(number, 3))
        assert part.path.name == f"summary-{number}-of-3.json"
        assert not [name for name in SHARED if (shared / name).exists()]
    last = many([scenes], shared, model=tiny_model)
    assert last.counts == {"made": 0, "kept": 3, "empty": 0, "failed": 1}
    assert maps(shared) == maps(whole)
    assert (shared / "mosaic.vrt").read_bytes() == (whole / "mosaic.vrt").read_bytes()


# All together


def test_the_mosaic_shows_every_map_in_its_place(tiny_model: Path, tmp_path: Path) -> None:
    """What overlaps is covered only where the later map is valid, and what no map covers is masked."""
    for number in range(3):
        tile(tmp_path / "scenes", number % 2, number // 2)
    hole = l_shape(SIDE, SIDE)
    over = PLACE * Affine.translation(SIDE // 2, 0)
    write_raster(
        tmp_path / "scenes" / "z.tif",
        np.full((3, SIDE, SIDE), 99, np.uint8),
        mask=hole,
        crs="EPSG:32633",
        transform=over,
        photometric="rgb",
    )
    summary = many([tmp_path / "scenes"], tmp_path / "maps", model=tiny_model)
    assert summary.mosaics == (tmp_path / "maps" / "mosaic.vrt",) and not summary.unshown
    expected, known = np.zeros((3, 2 * SIDE, 2 * SIDE), np.uint8), np.zeros((2 * SIDE, 2 * SIDE), bool)
    for name, col, row in (("0-0", 0, 0), ("1-0", SIDE, 0), ("0-1", 0, SIDE), ("z", SIDE // 2, 0)):
        with rasterio.open(tmp_path / "maps" / f"{name}.tif") as one:
            where = np.s_[row : row + SIDE, col : col + SIDE]
            valid = one.dataset_mask() != 0
            expected[:, where[0], where[1]] = np.where(valid, one.read(), expected[:, where[0], where[1]])
            known[where] |= valid
    shutil.move(tmp_path / "maps", tmp_path / "moved")  # names in it are relative
    with rasterio.open(tmp_path / "moved" / "mosaic.vrt") as mosaic:
        assert (mosaic.transform, mosaic.crs.to_epsg()) == (PLACE, 32633)
        assert mosaic.descriptions == ("red", "green", "blue")
        assert np.array_equal(mosaic.dataset_mask() != 0, known)
        assert np.array_equal(mosaic.read() * known, expected * known)


def test_each_reference_system_has_a_mosaic_and_what_has_no_place_is_told(tiny_model: Path, tmp_path: Path) -> None:
    tile(tmp_path / "scenes", 0, 0)
    tile(tmp_path / "scenes", 1, 0, crs="EPSG:32634")
    tile(tmp_path / "scenes", 2, 0, transform=PLACE * Affine.rotation(10))
    summary = many([tmp_path / "scenes"], tmp_path / "maps", model=tiny_model)
    assert [path.name for path in summary.mosaics] == ["mosaic-epsg-32633.vrt", "mosaic-epsg-32634.vrt"]
    (note,) = summary.unshown
    assert "2-0.tif" in note and "rotated" in note


def test_a_reference_system_cannot_choose_where_a_mosaic_goes(tiny_model: Path, tmp_path: Path) -> None:
    evil = CRS.from_epsg(32633).to_wkt().replace("WGS 84 / UTM zone 33N", "../../" + "x" * 300)
    evil = evil.replace(',AUTHORITY["EPSG","32633"]]', "]").replace("500000", "500001")
    tile(tmp_path / "scenes", 0, 0)
    tile(tmp_path / "scenes", 1, 0, crs=CRS.from_wkt(evil))
    summary = many([tmp_path / "scenes"], tmp_path / "maps", model=tiny_model)
    assert sorted(summary.mosaics) == sorted((tmp_path / "maps").glob("*.vrt"))
    assert len(summary.mosaics) == 2


def test_a_mosaic_reads_again_as_a_scene(tiny_model: Path, tmp_path: Path) -> None:
    tile(tmp_path / "scenes", 0, 0)
    tile(tmp_path / "scenes", 1, 1)
    many([tmp_path / "scenes"], tmp_path / "maps", model=tiny_model)
    output = translate(tmp_path / "maps" / "mosaic.vrt", tmp_path / "again.tif", model=tiny_model)
    with rasterio.open(output) as again:
        assert (again.width, again.height) == (2 * SIDE, 2 * SIDE)
        assert (again.dataset_mask()[:SIDE, SIDE:] == 0).all() and (again.dataset_mask()[:SIDE, :SIDE] != 0).all()


def test_the_catalog_says_what_a_gis_would_find(palette_model: Path, tmp_path: Path) -> None:
    """Its addresses lead to the files, from wherever it is moved, and it can be given to `translate` again."""
    out = tmp_path / "maps"
    tile(tmp_path / "scenes", 0, 0)
    tile(tmp_path / "scenes", 1, 0, crs=None, transform=Affine.identity())
    many([tmp_path / "scenes"], out, model=palette_model, classes=f"{out}/{{name}}-classes.tif")
    collection = json.loads((out / "stac" / "collection.json").read_text())
    links = [link["href"] for link in collection["links"] if link["rel"] == "item"]
    assert links == ["./0-0.json", "./1-0.json"]
    placed, nowhere = (json.loads((out / "stac" / link).read_text()) for link in links)
    assert nowhere["geometry"] is None and "bbox" not in nowhere
    properties = placed["properties"]
    with rasterio.open(out / "stac" / placed["assets"]["map"]["href"]) as dataset:
        assert properties["proj:code"] == dataset.crs.to_string()
        assert properties["proj:shape"] == list(dataset.shape)
        assert properties["proj:transform"] == list(dataset.transform[:6])
        assert placed["assets"]["map"]["file:size"] == Path(dataset.name).stat().st_size
        assert properties["geopix2pix:model_sha256"] == dataset.tags()["GEOPIX2PIX_MODEL_SHA256"]
        west, south, east, north = rasterio.warp.transform_bounds(dataset.crs, "EPSG:4326", *dataset.bounds)
        assert placed["bbox"] == pytest.approx([west, south, east, north], abs=1e-8)
    source = next(link["href"] for link in placed["links"] if link["rel"] == "derived_from")
    assert (out / "stac" / source).resolve() == tmp_path / "scenes" / "0-0.tif"
    classes = placed["assets"]["classes"]["bands"][0]["classification:classes"]
    assert [entry["name"] for entry in classes] == ["land", "road", "water"]
    again = many([out / "stac" / "collection.json"], tmp_path / "again", model=palette_model, asset="map")
    assert again.counts["made"] == 2


def test_times_come_from_the_items_of_the_scenes(tiny_model: Path, tmp_path: Path) -> None:
    tile(tmp_path / "scenes", 0, 0)
    for name, time in (("dated", "2024-05-01T10:00:00Z"), ("odd", "yesterday")):
        assets = {"image": {"href": "scenes/0-0.tif", "type": "image/tiff"}}
        item = {"type": "Feature", "id": name, "properties": {"datetime": time}, "assets": assets}
        (tmp_path / "item.json").write_text(json.dumps(item))
        many([tmp_path / "item.json"], tmp_path / name, model=tiny_model)
        found = json.loads((tmp_path / name / "stac" / f"{name}.json").read_text())["properties"]
        assert found["datetime"] == (time if name == "dated" else None)
        assert ("start_datetime" in found) == (name != "dated")


@pytest.mark.parametrize(
    ("crs", "place", "bbox"),
    [
        (4326, Affine(0.2, 0, 175, 0, -0.2, 5), [175, -7, -173, 5]),
        (4326, Affine(0.2, 0, -185, 0, -0.2, 5), [175, -7, -173, 5]),
        (4326, Affine(0.2, 0, 168, 0, -0.2, 5), [168, -7, 180, 5]),
        (4326, Affine(6, 0, -180, 0, -3, 90), [-180, -90, 180, 90]),
        (4326, Affine(6, 0, 0, 0, -3, 90), [-180, -90, 180, 90]),
        (5041, Affine(2e4, 0, 1.4e6, 0, -2e4, 2.6e6), [-180, 82.5, 180, 90]),
    ],
)
def test_where_a_scene_lies_is_told_all_over_the_earth(crs: int, place: Affine, bbox: list[float]) -> None:
    """In valid polygons within the degrees that there are, cut at the antimeridian."""
    where = whereabouts(GeoGrid(crs=CRS.from_epsg(crs), transform=place), Window(0, 0, SIDE, SIDE))
    assert where["bbox"] == pytest.approx(bbox, abs=0.2)
    area = shapely.geometry.shape(where["geometry"])
    assert area.is_valid and area.area > 0
    left, _, right, _ = area.bounds
    assert (left, right) == ((-180, 180) if bbox[0] > bbox[2] else pytest.approx((bbox[0], bbox[2])))


# The command


def test_the_command_tells_a_table_and_fails_with_a_scene(scenes: Path, exported_model: Path, tmp_path: Path) -> None:
    request = ["translate", scenes, tmp_path / "maps", "--model", exported_model, "--threads", "1"]
    result = run(*request)
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert lines[-1] == str(tmp_path / "maps" / "summary.json")
    assert lines[-2] == "4 scenes: 3 made, 1 failed"
    assert sum(line.startswith("0-1 ") and "failed" in line for line in lines) == 1
    assert result.stderr.count("the other scenes go on") == 1
    tile(scenes, 0, 1)
    result = run(*request, "--progress", "json")
    assert result.exit_code == 0
    last = json.loads(result.stdout.splitlines()[-1])
    assert last == {
        "event": "result",
        "path": str(tmp_path / "maps" / "summary.json"),
        "counts": {"made": 1, "kept": 3, "empty": 0, "failed": 0},
    }


def test_a_dry_run_of_many_writes_nothing_and_foresees_what_fails(
    scenes: Path, exported_model: Path, tmp_path: Path
) -> None:
    (scenes / "none.tif").write_bytes(b"none")
    before = sorted(tmp_path.rglob("*"))
    request = ["translate", scenes, tmp_path / "new" / "maps", "--model", exported_model, "--threads", "1"]
    result = run(*request, "--dry-run")
    assert result.exit_code == 1
    assert "4 to translate, 0 there already, 1 that would fail" in result.stdout
    assert sorted(tmp_path.rglob("*")) == before
    run(*request)
    result = run(*request, "--dry-run", "--progress", "json")  # the only one that is left is tried
    states = {s["name"]: s["status"] for s in json.loads(result.stdout.splitlines()[-1])["plan"]["scenes"]}
    assert states == {"0-0": "kept", "0-1": "failed", "1-0": "kept", "1-1": "kept", "none": "failed"}


def test_one_scene_is_one_scene_unless_a_folder_is_named(scenes: Path, exported_model: Path, tmp_path: Path) -> None:
    options = ["--model", exported_model, "--threads", "1"]
    assert run("translate", scenes / "0-0.tif", tmp_path / "a.tif", *options).exit_code == 0
    assert run("translate", scenes / "0-0.tif", f"{tmp_path}/maps/", *options).exit_code == 0
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "maps" / "0-0.tif").read_bytes()
    assert run("translate", scenes / "1-0.tif", tmp_path / "maps", *options).exit_code == 0
    assert (tmp_path / "maps" / "1-0.tif").is_file()
    result = run("translate", scenes, tmp_path / "a.tif", *options)
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "name a folder" in result.stderr
