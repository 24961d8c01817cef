"""Evaluation from end to end: figures that hold whatever the cut, reports that say where a map is wrong, refusals."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from PIL import Image

from geopix2pix import evaluate, translate
from geopix2pix.errors import Cancelled, ConfigError, ModelFileError, OutputError, PairsError, SceneError
from geopix2pix.gdal import unreferenced_allowed
from geopix2pix.measures.figures import figures
from geopix2pix.measures.tally import ClassSets, Sample, tally
from geopix2pix.model import ModelFile, write_model
from geopix2pix.palette import Palette
from geopix2pix.progress import Event
from tests.rasters import write_raster

NAMES = ("land", "road", "water")
COLORS = ("F2EFE9", "3030FF", "AAD3DF")
COMPLETE = {"classes": [{"name": n, "color": c} for n, c in zip(NAMES, COLORS, strict=True)], "unlabelled": ["000000"]}
PARTLY = COMPLETE | {"knows": ["road"], "other": ["FFFFFF"]}
RGB = Palette.from_json(COMPLETE, "test").display
PLACE = {"crs": "EPSG:32633", "transform": Affine(0.5, 0, 500_000, 0, -0.5, 5_800_000)}


def landscape(rows: int, cols: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A source (3, rows, cols) uint8 and its true classes (rows, cols)."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 3, (rows // 8 + 1, cols // 8 + 1))
    classes = coarse.repeat(8, axis=0).repeat(8, axis=1)[:rows, :cols]
    light = np.array([60, 130, 200])[classes] + random.integers(-30, 30, (3, rows, cols))
    return light.astype(np.uint8), classes


def painted(classes: np.ndarray, unlabelled: np.ndarray | None = None) -> np.ndarray:
    """The target picture (3, rows, cols) of classes."""
    picture = np.moveaxis(RGB[classes], -1, 0).copy()
    if unlabelled is not None:
        picture[:, unlabelled] = 0
    return picture


def tiled(folder: Path, source: np.ndarray, target: np.ndarray, side: int, **place: Any) -> None:
    """Source and target in tiles side by side, with their georeference if there is one."""
    for kind, data in (("source", source), ("target", target)):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for top in range(0, data.shape[1], side):
            for left in range(0, data.shape[2], side):
                tile = data[:, top : top + side, left : left + side]
                own = {} if not place else place | {"transform": place["transform"] * Affine.translation(left, top)}
                write_raster(folder / kind / f"r{top:03}-c{left:03}.tif", tile, photometric="rgb", **own)


def pairs_of(folder: Path, palette: dict[str, Any] | None, *, side: int = 48, **place: Any) -> Path:
    """A folder with pairs to train on, one scene in tiles for validation, and another for the test."""
    for seed, split in enumerate(("train", "validation", "test")):
        source, classes = landscape(96, 144, seed)
        target = painted(classes, np.random.default_rng(seed).random(classes.shape) < 0.1)
        if palette is PARTLY:
            target[:, classes != 1] = 255
        tiled(folder / split, source, target, side, **place)
    if palette is not None:
        (folder / "palette.json").write_text(json.dumps(palette))
    return folder


@pytest.fixture(scope="module")
def placed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pairs_of(tmp_path_factory.mktemp("placed") / "town", COMPLETE, **PLACE)


@pytest.fixture(scope="module")
def report(placed: Path, palette_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return evaluate([palette_model], placed, tmp_path_factory.mktemp("report") / "report", device="cpu", threads=1)


def figures_in(report: Path, row: str = "tiny 1") -> dict[str, Any]:
    return json.loads((report / "report.json").read_text())["rows"][row]


def without_place(report: dict[str, Any]) -> dict[str, float]:
    return {name: score["value"] for name, score in report["total"].items()}


# --- the figures ---


def test_figures_are_those_of_the_map_that_translate_makes(
    placed: Path, palette_model: Path, report: Path, tmp_path: Path
) -> None:
    """Of the whole scene, though it lies there in tiles; only the similarity ends at their borders."""
    source, classes = landscape(96, 144, 1)
    unknown = np.random.default_rng(1).random(classes.shape) < 0.1
    scene = write_raster(tmp_path / "scene.tif", source, photometric="rgb", **PLACE)
    with rasterio.open(translate(scene, tmp_path / "map.tif", model=palette_model, device="cpu", threads=1)) as dataset:
        found = (dataset.read()[:, None] == RGB.T[:, :, None, None]).all(axis=0).argmax(axis=0)
    border = np.zeros(classes.shape, bool)
    sample = Sample(
        painted(found).astype(np.float32), painted(classes).astype(np.float32), ~unknown, border, found,
        np.where(unknown, 3, classes),
    )  # fmt: skip
    sets = ClassSets(np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]], bool), np.ones(3, bool))
    tallies = []
    for top in (0, 48):
        for left in (0, 48, 96):
            part = Sample(*(None if a is None else a[..., top : top + 48, left : left + 48] for a in sample))
            tallies.append(tally(part, sets, (slice(0, 48), slice(0, 48))))
    from geopix2pix.measures.tally import pooled

    expected = figures(pooled(tallies), sets)
    total = without_place(figures_in(report))
    for name in ("mean_iou", "edge_f1", "palette_accuracy", "pixel_accuracy", "l1", "rmse", "psnr", "ssim"):
        assert total[name] == pytest.approx(expected[name], rel=1e-6), name


def test_pictures_without_a_place_are_scenes_of_their_own(
    placed: Path, palette_model: Path, report: Path, tmp_path: Path
) -> None:
    """The same tiles, but nothing tells that they touch: the model sees less of their surroundings."""
    loose = pairs_of(tmp_path / "town", COMPLETE)
    found = evaluate([palette_model], loose, tmp_path / "report", device="cpu", threads=1, measure_seams=False)
    alone, together = (json.loads((r / "report.json").read_text())["tiles"] for r in (found, report))
    assert {tile["scene"] for tile in together.values()} == {"r000-c000 and 5 more"}
    assert {name: tile["scene"] for name, tile in alone.items()} == {name: name for name in alone}
    assert without_place(figures_in(found))["l1"] != without_place(figures_in(report))["l1"]
    assert not (found / "tiles.gpkg").exists()
    assert not (found / "errors").exists()


def test_batches_make_no_difference(placed: Path, palette_model: Path, report: Path, tmp_path: Path) -> None:
    found = evaluate([palette_model], placed, tmp_path / "report", device="cpu", threads=1, batch=3)
    for name in sorted(path.relative_to(report) for path in report.rglob("*") if path.is_file()):
        assert (found / name).read_bytes() == (report / name).read_bytes(), name


def test_all_splits_are_told_apart(placed: Path, palette_model: Path, report: Path, tmp_path: Path) -> None:
    found = evaluate([palette_model], placed, tmp_path / "report", split="all", measure_seams=False, device="cpu")
    of_all = figures_in(found)
    assert list(of_all["groups"]) == ["split test", "split train", "split validation"]
    assert of_all["groups"]["split validation"]["mean_iou"] == pytest.approx(
        without_place(figures_in(report))["mean_iou"]
    )
    assert len(of_all["tiles"]) == 18


def test_regions_are_found_by_name(placed: Path, palette_model: Path, tmp_path: Path) -> None:
    found = evaluate([palette_model], placed, tmp_path / "report", group=r"^(r\d+)", measure_seams=False)
    groups, tiles = figures_in(found)["groups"], figures_in(found)["tiles"]
    assert list(groups) == ["r000", "r048"]
    mine = [tile["l1"] for name, tile in tiles.items() if name.startswith("r048")]
    assert min(mine) <= groups["r048"]["l1"] <= max(mine)


def test_several_models_share_a_table_with_the_picture_of_one_colour(
    placed: Path, palette_model: Path, tmp_path: Path
) -> None:
    loaded = ModelFile.load(palette_model)
    other = tmp_path / "other.safetensors"
    write_model(other, loaded.manifest, {name: -array for name, array in loaded.weights.items()})
    found = evaluate([palette_model, other], placed, tmp_path / "report", measure_seams=False)
    rows = json.loads((found / "report.json").read_text())["rows"]
    *models, constant = rows
    assert [name.split(" (")[0] for name in models] == ["tiny 1"] * 2
    assert models[0] != models[1]
    assert constant.startswith("constant: ")
    assert rows[constant]["total"]["edge_f1"]["value"] == 0
    assert sum(value > 0 for name, value in without_place(rows[constant]).items() if name.startswith("iou_")) == 1
    head = (found / "report.txt").read_text().splitlines()[2]
    assert all(name in head for name in rows)


def test_a_partly_labelled_set_is_judged_by_what_it_names(palette_model: Path, tmp_path: Path) -> None:
    pairs = pairs_of(tmp_path / "town", PARTLY, **PLACE)
    found = evaluate([palette_model], pairs, tmp_path / "report", measure_seams=False)
    report = json.loads((found / "report.json").read_text())
    assert not report["complete"]
    assert set(report["measures"]) == {"mean_iou", "edge_f1", "palette_accuracy", "border_excess", "iou_road"}
    assert list(report["rows"]) == ["tiny 1", "constant: land"], "anything but a road is right most often"
    assert report["rows"]["constant: land"]["total"]["mean_iou"]["value"] == 0
    assert list(report["rows"]["tiny 1"]["confusion"]) == ["road", "land or water"]
    assert "each of them against everything else" in (found / "report.txt").read_text()


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_pictures_without_classes(dtype: str, tiny_model: Path, tmp_path: Path) -> None:
    model = tiny_model
    if dtype == "uint16":
        from dataclasses import replace

        loaded = ModelFile.load(tiny_model)
        target = replace(loaded.manifest.target, dtype="uint16")
        model = tmp_path / "deep.safetensors"
        write_model(model, replace(loaded.manifest, target=target), loaded.weights)
    for seed, split in enumerate(("train", "validation")):
        source, classes = landscape(96, 144, seed)
        tiled(tmp_path / "pairs" / split, source, painted(classes).astype(dtype), 48, **PLACE)
    found = evaluate([model], tmp_path / "pairs", tmp_path / "report", measure_seams=False)
    report = json.loads((found / "report.json").read_text())
    assert set(report["measures"]) == {"edge_f1", "pixel_accuracy", "l1", "rmse", "psnr", "ssim", "border_excess"}
    (constant,) = (name for name in report["rows"] if name.startswith("constant"))
    classes = landscape(96, 144, 0)[1]
    assert constant == "constant: " + ", ".join(f"{v:g}" for v in np.median(painted(classes), axis=(1, 2)))
    with rasterio.open(next((found / "errors").rglob("*.tif"))) as dataset:
        assert dataset.count == 1
        assert dataset.read()[0].mean() == pytest.approx(without_place(report["rows"]["tiny 1"])["l1"], abs=0.5)


def test_a_model_without_classes_is_read_through_the_palette(placed: Path, tiny_model: Path, tmp_path: Path) -> None:
    found = evaluate([tiny_model], placed, tmp_path / "report", measure_seams=False)
    total = without_place(figures_in(found))
    assert {"mean_iou", "iou_road", "palette_accuracy"} <= total.keys()
    assert "calibration_error" not in total, "it has no probabilities"


def test_perceptual_measures_come_with_weights(
    placed: Path, palette_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On tiles known almost everywhere alone."""
    import torch
    from torch import nn

    from geopix2pix.evaluation import judging, scoring

    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 5), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    class Distance(nn.Module):
        def forward(self, first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
            return (first - second).abs().mean()

    monkeypatch.setattr(scoring, "load_inception", lambda path: network)
    monkeypatch.setattr(scoring, "load_lpips", lambda path: Distance())
    monkeypatch.setattr(judging, "SMALLEST", 16)
    options = {"inception": "x", "lpips": "x", "measure_seams": False}
    found = evaluate([palette_model], placed, tmp_path / "unknown", **options)
    assert not {"kid", "lpips"} & json.loads((found / "report.json").read_text())["measures"].keys()
    monkeypatch.setattr(judging, "KNOWN_SHARE", 0.8)
    found = evaluate([palette_model], placed, tmp_path / "known", **options)
    report = json.loads((found / "report.json").read_text())
    assert {"kid", "lpips"} <= report["measures"].keys()
    assert "fid" not in report["measures"], "too few pictures"
    scores = report["rows"]["tiny 1"]["total"]
    assert scores["kid"]["low"] < scores["kid"]["value"] < scores["kid"]["high"]
    assert 0 < scores["lpips"]["low"] < scores["lpips"]["value"]


# --- the report ---


def test_a_report_has_its_files_and_no_more(report: Path) -> None:
    assert sorted(str(path.relative_to(report)) for path in report.rglob("*") if path.is_file()) == [
        "errors/tiny-1/scene-1-r000-c000.qml",
        "errors/tiny-1/scene-1-r000-c000.tif",
        "report.json",
        "report.txt",
        "summary.csv",
        "tiles-tiny-1.png",
        "tiles.csv",
        "tiles.gpkg",
    ]
    assert [path.name for path in report.parent.iterdir()] == ["report"]


def test_json_and_csv_say_the_same(report: Path) -> None:
    document = json.loads((report / "report.json").read_text())
    with (report / "summary.csv").open(newline="") as file:
        summary = list(csv.DictReader(file))
    with (report / "tiles.csv").open(newline="") as file:
        tiles = list(csv.DictReader(file))
    for row in (line for line in summary if not line["group"]):
        score = document["rows"][row["row"]]["total"][row["measure"]]
        for key in ("value", "low", "high"):
            assert (float(row[key]) if row[key] else None) == (score[key] and pytest.approx(score[key], rel=1e-5))
    assert len(tiles) == 2 * 6
    for line in tiles:
        expected = document["rows"][line["row"]]["tiles"][line["tile"]]["l1"]
        assert float(line["l1"]) == pytest.approx(expected, rel=1e-5)
        assert int(line["known"]) == document["tiles"][line["tile"]]["known"] < int(line["pixels"]) == 48 * 48


def test_the_model_and_how_it_was_run_are_told(report: Path, palette_model: Path) -> None:
    found = figures_in(report)
    assert found["model"] == {"name": "tiny", "version": "1", "sha256": ModelFile.load(palette_model).digest}
    assert (found["settings"]["window"], found["settings"]["overlap"]) == (64, 16)
    assert {"engine", "device", "threads", "scaling", "bands"} <= found["settings"].keys()
    assert str(report.parent) not in (report / "report.json").read_text()


def test_confusion_calibration_border_and_stability_are_told(report: Path) -> None:
    found = figures_in(report)
    known = sum(tile["known"] for tile in json.loads((report / "report.json").read_text())["tiles"].values())
    assert sum(sum(row.values()) for row in found["confusion"].values()) == known
    assert sum(entry["pixels"] for entry in found["calibration"]) == known
    assert all(0 < entry["confidence"] <= 1 and 0 <= entry["right"] <= 1 for entry in found["calibration"])
    assert found["total"]["border_excess"]["value"] == pytest.approx(
        found["border"]["near"] - found["border"]["inside"]
    )
    assert found["flatness"]["passed"], "no padding shows in a tiny network with replicate padding"
    assert found["train_eval"] == {"side": 64, "difference": 0, "changed": 0}, "it has neither batch norm nor dropout"
    assert found["seams"]["window"] == 64


def test_errors_lie_where_the_map_is_wrong(report: Path) -> None:
    classes = landscape(96, 144, 1)[1]
    unknown = np.random.default_rng(1).random(classes.shape) < 0.1
    with rasterio.open(report / "errors" / "tiny-1" / "scene-1-r000-c000.tif") as dataset:
        assert dataset.crs == PLACE["crs"]
        assert dataset.transform.almost_equals(PLACE["transform"])
        predicted, true, wrong = dataset.read()
        assert dataset.descriptions == ("predicted class", "true class", "wrong")
        assert dataset.nodata == 255
    assert np.array_equal(true, np.where(unknown, 255, classes))
    assert np.array_equal(wrong, np.where(unknown, 255, predicted != classes))
    share = wrong[~unknown].mean()
    assert 1 - share == pytest.approx(without_place(figures_in(report))["palette_accuracy"])


def test_footprints_carry_the_figures(report: Path) -> None:
    import pyogrio.raw
    import shapely

    meta, _, outlines, fields = pyogrio.raw.read(report / "tiles.gpkg", layer="tiny 1")
    table = dict(zip(meta["fields"], fields, strict=True))
    tiles = figures_in(report)["tiles"]
    assert table["name"].tolist() == list(tiles)
    assert table["mean_iou"] == pytest.approx([tile["mean_iou"] for tile in tiles.values()])
    assert table["wrong"] == pytest.approx([1 - tile["palette_accuracy"] for tile in tiles.values()])
    expected = [
        shapely.box(500_000 + c, 5_800_000 - r - 24, 500_000 + c + 24, 5_800_000 - r)
        for r in (0, 24)
        for c in (0, 24, 48)
    ]
    assert all(a.equals(b) for a, b in zip(shapely.from_wkb(outlines), expected, strict=True))
    styles = pyogrio.raw.read(report / "tiles.gpkg", layer="layer_styles", read_geometry=False)
    style = dict(zip(styles[0]["fields"], styles[3], strict=True))
    assert style["f_table_name"].tolist() == ["tiny 1"]
    assert 'attr="wrong"' in style["styleQML"][0]


def test_the_sheet_shows_each_tile_once(report: Path) -> None:
    with Image.open(report / "tiles-tiny-1.png") as sheet:
        assert sheet.width == 4 * (48 + 8) + 8
        pixels = np.asarray(sheet)
    source, _ = landscape(96, 144, 1)
    for top in (0, 48):
        for left in (0, 48, 96):
            tile = np.moveaxis(source[:, top : top + 48, left : left + 48], 0, -1)
            strip = pixels[:, 8 : 8 + 48]
            assert sum(np.array_equal(strip[r : r + 48], tile) for r in range(len(strip) - 47)) == 1


# --- refusals ---


@pytest.fixture
def nothing_left(tmp_path: Path) -> Iterator[Path]:
    """A folder in which a refused or cancelled evaluation leaves nothing."""
    folder = tmp_path / "out"
    folder.mkdir()
    yield folder
    assert not list(folder.iterdir())


def test_models_of_other_bands_are_refused(palette_model: Path, nothing_left: Path, tmp_path: Path) -> None:
    source, classes = landscape(48, 48)
    tiled(tmp_path / "gray", source[:1], painted(classes), 24)
    (tmp_path / "gray" / "palette.json").write_text(json.dumps(COMPLETE))
    with pytest.raises(SceneError, match=r"has 1 data band\(s\).*reads 3 \(red, green, blue\)"):
        evaluate([palette_model], tmp_path / "gray", nothing_left / "report", validation=0.5)
    tiled(tmp_path / "deep", source.astype(np.uint16), painted(classes), 24)
    (tmp_path / "deep" / "palette.json").write_text(json.dumps(COMPLETE))
    with pytest.raises(SceneError, match="holds uint16.*trained on uint8"):
        evaluate([palette_model], tmp_path / "deep", nothing_left / "report", validation=0.5)


def test_models_of_other_maps_are_refused(
    placed: Path, palette_model: Path, tiny_model: Path, nothing_left: Path, tmp_path: Path
) -> None:
    source, classes = landscape(48, 48)
    tiled(tmp_path / "plain", source, painted(classes), 24)
    with pytest.raises(PairsError, match="paints classes .*give --palette"):
        evaluate([palette_model], tmp_path / "plain", nothing_left / "report", validation=0.5)
    other = tmp_path / "other.json"
    other.write_text(json.dumps({"classes": COMPLETE["classes"][::-1]}))
    with pytest.raises(
        PairsError, match="its classes are water, road, land, those of the model 'tiny' land, road, water"
    ):
        evaluate([palette_model], placed, nothing_left / "report", palette=other)
    tiled(tmp_path / "gray", source, painted(classes)[:1], 24)
    with pytest.raises(PairsError, match="targets hold 1 x uint8 bands, but the model 'tiny' writes 3 x uint8"):
        evaluate([tiny_model], tmp_path / "gray", nothing_left / "report", validation=0.5)


def test_what_there_is_not_is_told(placed: Path, palette_model: Path, nothing_left: Path, tmp_path: Path) -> None:
    source, classes = landscape(48, 48)
    tiled(tmp_path / "pairs", source, painted(classes), 24)
    (tmp_path / "pairs" / "palette.json").write_text(json.dumps(COMPLETE))
    target = nothing_left / "report"
    with pytest.raises(PairsError, match=r"no test pairs to judge on \(4 train, 0 validation, 0 test\)"):
        evaluate([palette_model], tmp_path / "pairs", target, split="test")
    with pytest.raises(ConfigError, match="no part in round brackets"):
        evaluate([palette_model], placed, target, group="r0")
    with pytest.raises(ConfigError, match="matches no name of a pair, such as 'r000-c000'"):
        evaluate([palette_model], placed, target, group="(tile)")
    with pytest.raises(ConfigError, match="no regular expression"):
        evaluate([palette_model], placed, target, group="(")
    with pytest.raises(ConfigError, match="given twice"):
        evaluate([palette_model, palette_model], placed, target)
    with pytest.raises(ModelFileError, match="does not exist"):
        evaluate([tmp_path / "absent"], placed, target)
    with pytest.raises(ModelFileError, match="a local .safetensors file is needed"):
        evaluate([palette_model], placed, target, inception=tmp_path / "absent")


def test_unreadable_tiles_are_named(palette_model: Path, nothing_left: Path, tmp_path: Path) -> None:
    pairs = pairs_of(tmp_path / "town", COMPLETE)
    for name in ("source/r000-c048.tif", "target/r048-c000.tif"):
        path = pairs / "validation" / name
        path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(PairsError, match="2 of 6 pairs cannot be read: .*r000-c048.tif.*r048-c000.tif"):
        evaluate([palette_model], pairs, nothing_left / "report")


def test_targets_that_tell_nothing_are_refused(palette_model: Path, nothing_left: Path, tmp_path: Path) -> None:
    source, classes = landscape(48, 48)
    tiled(tmp_path / "pairs", source, painted(classes), 24)
    (tmp_path / "pairs" / "palette.json").write_text(json.dumps(COMPLETE))
    for path in (tmp_path / "pairs" / "source").iterdir():
        with unreferenced_allowed(), rasterio.open(path, "r+") as dataset:
            dataset.write_mask(np.zeros((24, 24), bool))
    with pytest.raises(PairsError, match="no pixel is known"):
        evaluate([palette_model], tmp_path / "pairs", nothing_left / "report", validation=0.5)


def test_only_reports_are_replaced(placed: Path, palette_model: Path, tmp_path: Path) -> None:
    target = tmp_path / "report"
    target.mkdir()
    (target / "letter.txt").write_text("dear reader")
    options = {"measure_seams": False, "device": "cpu"}
    with pytest.raises(OutputError, match="is not empty; name a new folder, or allow overwriting"):
        evaluate([palette_model], placed, target, **options)
    with pytest.raises(OutputError, match="holds something else than a report"):
        evaluate([palette_model], placed, target, overwrite=True, **options)
    (target / "letter.txt").rename(tmp_path / "letter.txt")
    evaluate([palette_model], placed, target, **options)
    (target / "errors" / "old.tif").write_text("of an older report")
    with pytest.raises(OutputError, match="allow overwriting"):
        evaluate([palette_model], placed, target, **options)
    evaluate([palette_model], placed, target, overwrite=True, **options)
    assert not (target / "errors" / "old.tif").exists()
    (target / "pairs").mkdir()
    with pytest.raises(OutputError, match="which is needed; name another folder"):
        evaluate([palette_model], target / "pairs", target, overwrite=True, **options)
    with pytest.raises(OutputError, match="is a file"):
        evaluate([palette_model], placed, tmp_path / "letter.txt", **options)
    with pytest.raises(OutputError, match="parent folder does not exist"):
        evaluate([palette_model], placed, tmp_path / "absent" / "report", **options)
    assert {path.name for path in tmp_path.iterdir()} == {"letter.txt", "report"}


@pytest.mark.parametrize("stage", ["read", "evaluate", "judge", "seams", "score", "constant", "report"])
def test_it_can_be_cancelled_at_every_stage(stage: str, placed: Path, palette_model: Path, nothing_left: Path) -> None:
    seen = []

    def stop(event: Event) -> None:
        seen.append(event.stage)
        if event.stage == stage:
            raise Cancelled("cancelled")

    with pytest.raises(Cancelled):
        evaluate([palette_model], placed, nothing_left / "report", progress=stop)
    assert seen.count(stage) == 1


def test_progress_counts_to_its_end_and_tells_the_figures(placed: Path, palette_model: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    evaluate([palette_model], placed, tmp_path / "report", progress=events.append, measure_seams=False)
    for stage in ("read", "evaluate", "judge", "constant"):
        counts = [(event.done, event.total) for event in events if event.stage == stage]
        assert counts[-1][0] == counts[-1][1] == max(done for done, _ in counts), stage
    (scores,) = (event.values for event in events if event.stage == "score")
    assert scores["mean_iou"] == without_place(figures_in(tmp_path / "report"))["mean_iou"]


def test_a_folder_that_cannot_be_written_is_told(
    placed: Path, palette_model: Path, nothing_left: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from geopix2pix.evaluation import reportfolder

    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(reportfolder, "_put_in_place", full)
    with pytest.raises(OutputError, match=r"the report cannot be written \(No space left on device\)"):
        evaluate([palette_model], placed, nothing_left / "report", measure_seams=False)


def test_a_large_scene_is_kept_on_disk(
    placed: Path, palette_model: Path, report: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from geopix2pix.evaluation import constant, painting

    monkeypatch.setattr(painting, "IN_MEMORY", 1000)
    monkeypatch.setattr(painting, "CHUNK", 777)
    monkeypatch.setattr(constant, "BLOCK", 20)
    found = evaluate([palette_model], placed, tmp_path / "report", measure_seams=False, device="cpu", threads=1)
    expected, total = (without_place(figures_in(r)) for r in (report, found))
    assert total == pytest.approx(expected, rel=1e-6)
    with (
        rasterio.open(report / "errors" / "tiny-1" / "scene-1-r000-c000.tif") as one,
        rasterio.open(found / "errors" / "tiny-1" / "scene-1-r000-c000.tif") as other,
    ):
        assert np.array_equal(one.read(), other.read())
    with Image.open(found / "tiles-tiny-1.png") as one, Image.open(report / "tiles-tiny-1.png") as other:
        assert np.array_equal(np.asarray(one), np.asarray(other))


def test_the_command_prints_the_table_and_then_the_folder(placed: Path, palette_model: Path, tmp_path: Path) -> None:
    from click.testing import CliRunner

    from cli.main import main

    command = ["evaluate", str(palette_model), str(placed), "--no-seams", "--device", "cpu", "--output"]
    result = CliRunner().invoke(main, [*command, str(tmp_path / "report")])
    assert result.exit_code == 0, result.output
    assert result.stdout == (tmp_path / "report" / "report.txt").read_text() + f"\n{tmp_path / 'report'}\n"
    result = CliRunner().invoke(main, [*command, str(tmp_path / "again"), "--progress", "json"])
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert lines[-1] == {"event": "result", "path": str(tmp_path / "again")}
    (metric,) = (line for line in lines if line["event"] == "metric")
    assert metric["values"]["l1"] == without_place(figures_in(tmp_path / "again"))["l1"]


def test_side_by_side_pictures(palette_model: Path, tmp_path: Path) -> None:
    """The same pairs in one picture each give the same figures as in two."""
    for number in range(2):
        source, classes = landscape(48, 72, number)
        for kind, data in (("source", source), ("target", painted(classes))):
            (tmp_path / "two" / kind).mkdir(parents=True, exist_ok=True)
            write_raster(tmp_path / "two" / kind / f"{number}.png", data, driver="PNG")
        (tmp_path / "one").mkdir(exist_ok=True)
        both = np.concatenate([source, painted(classes)], axis=2)
        write_raster(tmp_path / "one" / f"{number}.png", both, driver="PNG")
    totals = []
    for name in ("one", "two"):
        (tmp_path / name / "palette.json").write_text(json.dumps(COMPLETE))
        found = evaluate(
            [palette_model], tmp_path / name, tmp_path / f"{name}-report", validation=0.5, measure_seams=False
        )
        totals.append(figures_in(found)["total"])
    assert totals[0] == totals[1]


def test_a_tile_set_is_judged_by_its_own_splits_and_classes(palette_model: Path, tmp_path: Path) -> None:
    """Its tiles touch; its labels, not its pictures, say what is true."""
    from click.testing import CliRunner

    from cli.main import main
    from geopix2pix.tilesets.tileset import TileSet

    source, classes = landscape(192, 192)
    scene = write_raster(tmp_path / "scene.tif", source, photometric="rgb", **PLACE)
    drawn = write_raster(tmp_path / "map.tif", painted(classes), photometric="rgb", **PLACE)
    (tmp_path / "palette.json").write_text(json.dumps(COMPLETE))
    result = CliRunner().invoke(main, [
        "tiles", "build", "--source", str(scene), "--target", str(drawn), "--palette", str(tmp_path / "palette.json"),
        "--size", "32", "--block", "32", "--buffer", "0", "--shares", "0.4,0.4,0.2", "--origin", "source",
        "--workers", "1", "--output", str(tmp_path / "tiles"),
    ])  # fmt: skip
    assert result.exit_code == 0, result.output
    tiles = TileSet.open(tmp_path / "tiles")
    found = evaluate([palette_model], tmp_path / "tiles", tmp_path / "report", split="all", measure_seams=False)
    report = json.loads((found / "report.json").read_text())
    counts = {split: sum(tile.split == split for tile in tiles.tiles) for split in ("train", "validation", "test")}
    assert all(counts.values())
    for split, count in counts.items():
        assert sum(tile["split"] == split for tile in report["tiles"].values()) == count
    assert len({tile["scene"] for tile in report["tiles"].values()}) < len(report["tiles"])
    assert {tile["group"] for tile in report["tiles"].values()} == {"scene.tif"}
    confusion = report["rows"]["tiny 1"]["confusion"]
    for index, name in enumerate(NAMES):
        truth = sum(
            int((classes[row : row + 32, col : col + 32] == index).sum())
            for row, col in ((t.window.row, t.window.col) for t in tiles.tiles if t.split != "unused")
        )
        assert sum(confusion[name].values()) == truth


def test_a_report_that_gets_no_name_leaves_the_older_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from geopix2pix.evaluation.reportfolder import report_folder

    older = tmp_path / "report"
    older.mkdir()
    (older / "report.json").write_text("older")
    rename = Path.rename

    def refuse(path: Path, target: Path) -> Path:
        if path.name == "report" and target == older and path.parent != tmp_path:
            raise OSError(1, "Operation not permitted")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OutputError, match="Operation not permitted"), report_folder(older) as (new, _):
        (new / "report.json").write_text("newer")
    assert (older / "report.json").read_text() == "older"
    assert [path.name for path in tmp_path.iterdir()] == ["report"]
