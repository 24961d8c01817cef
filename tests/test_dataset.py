"""Pairs and the crops cut from them: the same everywhere, aligned, honest about what is not known."""

import json
import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from geopix2pix.architecture import GeneratorSpec
from geopix2pix.augmentation import _between, random_window, relit, turned
from geopix2pix.configuration import TrainingConfig, configure
from geopix2pix.dataset import PairedTiles, Pictures, StillTiles, _turn, scaling_of, sets_of
from geopix2pix.errors import ConfigError, PairsError, SceneWarning
from geopix2pix.grid import Window
from geopix2pix.normalize import Scaling
from geopix2pix.pair import PairSet, check_mixable
from geopix2pix.pairs import open_pairs

PALETTE = {
    "classes": [
        {"name": "land", "color": "00FF00"},
        {"name": "road", "color": "FF0000"},
        {"name": "water", "color": "0000FF"},
    ],
    "unlabelled": ["808080"],
}
COLORS = np.array([[0, 255, 0], [255, 0, 0], [0, 0, 255], [128, 128, 128]], dtype=np.uint8)
FULL = Scaling.full_range("uint8", 3)
pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def write(path: Path, data: np.ndarray, **profile: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    driver = {".png": "PNG", ".jpg": "JPEG", ".webp": "WEBP", ".tif": "GTiff"}[path.suffix]
    bands, rows, cols = data.shape
    size = {"count": bands, "height": rows, "width": cols, "dtype": data.dtype.name}
    colormap = profile.pop("colormap", None)
    with rasterio.open(path, "w", driver=driver, **size, **profile) as dataset:
        dataset.write(data)
        if colormap:
            dataset.write_colormap(1, colormap)
    return path


def positions(rows: int, cols: int, seed: int = 0) -> np.ndarray:
    """A picture in which every pixel says where it is."""
    row, col = np.mgrid[:rows, :cols]
    return np.stack([row * 256 // rows, col * 256 // cols, np.full_like(row, seed * 40 % 256)]).astype(np.uint8)


def classes_of(source: np.ndarray) -> np.ndarray:
    return (source[0] // 32 + source[1] // 32) % 3


def make_pairs(folder: Path, count: int = 4, size: tuple[int, int] = (80, 100), palette: bool = True) -> Path:
    for i in range(count):
        source = positions(*size, seed=i)
        target = COLORS[classes_of(source)].transpose(2, 0, 1) if palette else source
        write(folder / "source" / f"{i}.png", source)
        write(folder / "target" / f"{i}.png", target)
    if palette:
        (folder / "palette.json").write_text(json.dumps(PALETTE))
    return folder


def config(head: str = "palette", **changes: Any) -> TrainingConfig:
    generator = GeneratorSpec(depth=3, width=2, head=head, out_channels=3)  # type: ignore[arg-type]
    return TrainingConfig(**{"generator": generator, "crop": 32, "validation_crops": 8, **changes})


def tiles(folder: Path, head: str = "palette", **changes: Any) -> PairedTiles:
    return PairedTiles([open_pairs(folder, validation=0)], config(head, **changes), FULL, FULL)


# --- the folders


def test_pairs_are_found_by_name_and_the_last_are_held_out(tmp_path: Path) -> None:
    pairs = open_pairs(make_pairs(tmp_path / "town", 10), validation=0.2)
    assert [pair.name for pair in pairs.train] == list("01234567")
    assert [pair.name for pair in pairs.validation] == list("89")
    assert all(pair.source.parent.name == "source" and pair.target.parent.name == "target" for pair in pairs.train)
    assert (pairs.name, pairs.palette is not None, pairs.source.count, pairs.source.dtype) == ("town", True, 3, "uint8")


def test_there_is_always_something_to_learn_from(tmp_path: Path) -> None:
    pairs = open_pairs(make_pairs(tmp_path, 1), validation=0.9)
    assert (len(pairs.train), len(pairs.validation)) == (1, 0)


@pytest.mark.parametrize("name", ["validation", "val"])
def test_subfolders_are_the_split(tmp_path: Path, name: str) -> None:
    make_pairs(tmp_path / "train", 2)
    make_pairs(tmp_path / name, 3)
    pairs = open_pairs(tmp_path, validation=0.5)
    assert (len(pairs.train), len(pairs.validation)) == (2, 3)


def test_pictures_side_by_side_are_the_same_pairs(tmp_path: Path) -> None:
    make_pairs(tmp_path / "folders", 3)
    for i in range(3):
        halves = []
        for side in ("source", "target"):
            with rasterio.open(tmp_path / "folders" / side / f"{i}.png") as dataset:
                halves.append(dataset.read())
        write(tmp_path / "left" / f"{i}.png", np.concatenate(halves, axis=2))
        write(tmp_path / "right" / f"{i}.png", np.concatenate(halves[::-1], axis=2))
    palette = tmp_path / "folders" / "palette.json"
    expected = tiles(tmp_path / "folders")
    for folder, layout in (("left", "auto"), ("left", "source-left"), ("right", "source-right")):
        pairs = open_pairs(tmp_path / folder, layout=layout, palette=palette, validation=0)  # type: ignore[arg-type]
        found = PairedTiles([pairs], config(), FULL, None)
        for n in range(6):
            assert all(torch.equal(found[n][name], tensor) for name, tensor in expected[n].items())


def test_what_identifies_a_set_does_not_depend_on_where_it_lies(tmp_path: Path) -> None:
    here, there = open_pairs(make_pairs(tmp_path / "a" / "town")), open_pairs(make_pairs(tmp_path / "b" / "town"))
    assert here.describe() == there.describe()
    more = open_pairs(make_pairs(tmp_path / "c" / "town", 5))
    assert more.describe() != here.describe()


def broken(folder: Path, case: str) -> None:
    source, gray = positions(40, 40), positions(40, 40)[:1]
    match case:
        case "missing":
            return
        case "empty":
            folder.mkdir()
        case "lonely names":
            make_pairs(folder, 2)
            (folder / "target" / "1.png").unlink()
        case "sizes differ":
            make_pairs(folder, 2)
            write(folder / "target" / "1.png", positions(40, 41))
        case "unreadable":
            make_pairs(folder, 2)
            (folder / "source" / "1.png").write_text("not a picture")
        case "bands differ":
            make_pairs(folder, 2, size=(40, 40))
            write(folder / "source" / "1.png", gray)
        case "odd width":
            write(folder / "0.png", positions(40, 41))
        case "same name twice":
            make_pairs(folder, 1)
            write(folder / "source" / "0.jpg", source)
        case "gray target for a palette":
            make_pairs(folder, 1, size=(40, 40))
            write(folder / "target" / "0.png", gray)


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("missing", "no such folder"),
        ("empty", "no pairs found"),
        ("lonely names", "'1'"),
        ("sizes differ", r"source.1\.png is 100 x 80 .*target.1\.png is 41 x 40"),
        ("unreadable", r"source.1\.png"),
        ("bands differ", r"1\.png: source and target hold 1 x uint8 and 3 x uint8"),
        ("odd width", "41 pixels wide"),
        ("same name twice", "same name"),
        ("gray target for a palette", "palette needs"),
    ],
)
def test_folders_that_cannot_be_used_say_why(tmp_path: Path, case: str, message: str) -> None:
    broken(tmp_path / "pairs", case)
    with pytest.raises(PairsError, match=message) as caught:
        open_pairs(tmp_path / "pairs")
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_name_that_no_file_system_takes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PairsError, match="cannot be searched.*too long"):
        open_pairs(tmp_path / ("n" * 300))


def test_near_infrared_in_alphas_place_is_told_once_for_the_folder(tmp_path: Path) -> None:
    make_pairs(tmp_path, 3)
    infrared = np.random.default_rng(0).integers(1, 255, (1, 80, 100), dtype=np.uint8)
    for i in range(3):
        (tmp_path / "source" / f"{i}.png").unlink()
        data = np.concatenate([positions(80, 100), infrared])
        write(tmp_path / "source" / f"{i}.tif", data, photometric="rgb", alpha="yes")
    with pytest.warns(SceneWarning) as told:
        pairs = open_pairs(tmp_path, validation=0)
    assert [str(one.message) for one in told if "alpha" in str(one.message) and "2 more" in str(one.message)]
    assert len(told) == 1 and pairs.source.count == 4
    spec = GeneratorSpec(depth=3, in_bands=4, head="palette", out_channels=3)
    found = PairedTiles([pairs], config(generator=spec), Scaling.full_range("uint8", 4), None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert all(len(found[n]["source"]) == 4 for n in range(3))


@pytest.mark.parametrize(
    "options", [{"validation": 1.0}, {"validation": -0.1}, {"weight": 0.0}, {"weight": float("nan")}]
)
def test_impossible_numbers_are_refused(tmp_path: Path, options: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        open_pairs(make_pairs(tmp_path), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp"])
def test_a_picture_that_breaks_off_is_named(tmp_path: Path, suffix: str) -> None:
    (make_pairs(tmp_path, 1, size=(300, 300)) / "source" / "0.png").unlink()
    noise = np.random.default_rng(0).integers(0, 256, (3, 300, 300), dtype=np.uint8)
    path = write(tmp_path / "source" / f"0{suffix}", noise)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(PairsError, match=rf"source.0\{suffix}"):
        tiles(tmp_path)[0]


def test_sets_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    first = open_pairs(make_pairs(tmp_path / "first"))
    gray = make_pairs(tmp_path / "gray", palette=False)
    other = {**PALETTE, "classes": [*PALETTE["classes"], {"name": "wood", "color": "004000"}]}
    make_pairs(tmp_path / "other")
    (tmp_path / "other" / "palette.json").write_text(json.dumps(other))
    check_mixable([first, first])
    for folder in (gray, tmp_path / "other"):
        with pytest.raises(PairsError, match=f"{folder.name} and first"):
            check_mixable([first, open_pairs(folder)])


# --- the crops


@settings(deadline=None, max_examples=40)
@given(number=st.integers(0, 10**9), low=st.floats(0.5, 1), symmetry=st.sampled_from(["none", "mirror", "dihedral"]))
def test_source_and_target_stay_aligned(
    tmp_path_factory: pytest.TempPathFactory, number: int, low: float, symmetry: str
) -> None:
    folder = tmp_path_factory.getbasetemp() / "aligned"
    if not folder.exists():
        make_pairs(folder, 2, palette=False)
    item = tiles(folder, "raster", scale=(low, 2.0), symmetry=symmetry)[number]
    assert item["source"].shape == item["target"].shape == (3, 32, 32)
    assert torch.equal(item["source"], item["target"])
    assert item["known"].all()


def test_at_their_own_scale_crops_are_the_pixels_of_the_picture(tmp_path: Path) -> None:
    found = tiles(make_pairs(tmp_path), symmetry="none")
    for n in range(20):
        item = found[n]
        source = ((item["source"] + 1) * 127.5).round().numpy().astype(int)
        assert (item["allowed"].numpy() == 1 << classes_of(source)).all()
        row, col = source[0, :, 0], source[1, 0]
        assert len(set(row)) == len(set(col)) == 32 and (np.diff(row) > 0).all() and (np.diff(col) > 0).all()


def test_a_crop_depends_on_seed_and_number_alone(tmp_path: Path) -> None:
    options: dict[str, Any] = {"scale": (0.5, 2.0), "jitter": 1.0, "symmetry": "dihedral"}
    one, other = tiles(make_pairs(tmp_path), **options), tiles(tmp_path, **options)
    forward = [one[n] for n in range(8)]
    backward = [other[n] for n in reversed(range(8))][::-1]
    assert all(torch.equal(a[name], b[name]) for a, b in zip(forward, backward, strict=True) for name in a)
    reseeded = tiles(tmp_path, seed=1, **options)
    assert not any(torch.equal(forward[n]["source"], reseeded[n]["source"]) for n in range(8))


def test_workers_change_nothing(tmp_path: Path) -> None:
    found = tiles(make_pairs(tmp_path), scale=(0.5, 2.0), jitter=1.0)
    alone, helped = (list(DataLoader(found, 3, sampler=range(5, 17), num_workers=n)) for n in (0, 2))
    assert len(alone) == 4
    assert all(torch.equal(a[name], b[name]) for a, b in zip(alone, helped, strict=True) for name in a)


def test_every_pair_is_drawn_once_per_round_in_changing_order(tmp_path: Path) -> None:
    found = tiles(make_pairs(tmp_path, 6), "raster", symmetry="none")
    drawn = [round(float(found[n]["source"][2, 0, 0] + 1) * 127.5) // 40 for n in range(24)]
    rounds = [drawn[i : i + 6] for i in range(0, 24, 6)]
    assert all(sorted(one) == list(range(6)) for one in rounds)
    assert len({tuple(one) for one in rounds}) > 1


def test_every_pair_of_every_set_is_drawn_once_per_round(tmp_path: Path) -> None:
    sets = []
    for first, name, count, weight in ((0, "a", 3, 2.0), (3, "b", 2, 1.0)):
        for i in range(count):
            for side in ("source", "target"):
                write(tmp_path / name / side / f"{i}.png", np.full((3, 40, 40), 40 * (first + i), dtype=np.uint8))
        sets.append(open_pairs(tmp_path / name, weight=weight, validation=0))
    found = PairedTiles(sets, config("raster"), FULL, FULL)
    drawn = [round(float(found[n]["source"][0, 0, 0] + 1) * 127.5) // 40 for n in range(36)]
    for members, rounds in (({0, 1, 2}, 8), ({3, 4}, 6)):
        of_set = [number for number in drawn if number in members]
        assert len(of_set) == rounds * len(members)
        for start in range(0, len(of_set), len(members)):
            assert set(of_set[start : start + len(members)]) == members


@settings(deadline=None)
@given(weights=st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=4), length=st.integers(1, 300))
def test_sets_take_turns_as_evenly_as_their_weights_allow(weights: list[float], length: int) -> None:
    turns = [_turn(weights, n) for n in range(length)]
    for index, weight in enumerate(weights):
        counted = [count for chosen, count in turns if chosen == index]
        assert counted == list(range(len(counted)))
        assert abs(len(counted) - length * weight / sum(weights)) < len(weights)


def test_sets_are_drawn_by_their_weights(tmp_path: Path) -> None:
    sets = []
    for name, weight, level in (("a", 3.0, 0), ("b", 1.0, 255)):
        for side in ("source", "target"):
            write(tmp_path / name / side / "0.png", np.full((3, 40, 40), level, dtype=np.uint8))
        sets.append(open_pairs(tmp_path / name, weight=weight))
    found = PairedTiles(sets, config("raster"), FULL, FULL)
    share = np.mean([float(found[n]["source"].mean()) > 0 for n in range(800)])
    assert abs(share - 0.25) < 5 * np.sqrt(0.25 * 0.75 / 800)


def test_nearest_pixels_invent_no_set(tmp_path: Path) -> None:
    found = tiles(make_pairs(tmp_path), scale=(0.4, 3.0))
    assert {int(v) for n in range(20) for v in found[n]["allowed"].unique()} == {1, 2, 4}


def test_unlabelled_pixels_may_be_anything(tmp_path: Path) -> None:
    make_pairs(tmp_path, 1)
    write(tmp_path / "target" / "0.png", np.full((3, 80, 100), 128, dtype=np.uint8))
    assert (tiles(tmp_path)[0]["allowed"] == 7).all()


def test_a_partial_source_says_what_its_pixels_are_not(tmp_path: Path) -> None:
    make_pairs(tmp_path, 1)
    partial = {"classes": PALETTE["classes"], "knows": ["road"], "other": ["000000"]}
    (tmp_path / "palette.json").write_text(json.dumps(partial))
    target = np.zeros((3, 80, 100), dtype=np.uint8)
    target[0, :, :50] = 255
    write(tmp_path / "target" / "0.png", target)
    found = tiles(tmp_path, symmetry="none")
    assert {int(v) for n in range(10) for v in found[n]["allowed"].unique()} == {0b010, 0b101}
    pairs = open_pairs(tmp_path)
    assert pairs.palette is not None and {0b010, 0b101, 0b111} <= set(sets_of(pairs.palette).tolist())


@pytest.mark.parametrize("head", ["palette", "raster"])
def test_where_the_source_is_not_valid_the_target_is_not_known(tmp_path: Path, head: str) -> None:
    make_pairs(tmp_path, 1)
    source = positions(80, 100, seed=1).clip(1)
    hole = np.zeros((80, 100), dtype=bool)
    hole[30:50, 30:70] = True
    source[:, hole] = 0
    source[1:, :, 0] = 0  # nodata in a band of its own counts too
    (tmp_path / "source" / "0.png").unlink()
    write(tmp_path / "source" / "0.tif", source, nodata=0)
    whole = {"crop": 80, "symmetry": "none", "scale": (1.0, 1.0)}
    item = tiles(tmp_path, head, **whole)[0]
    with rasterio.open(tmp_path / "source" / "0.tif") as dataset:
        valid = (dataset.read() != 0).all(axis=0)
    unknown = (item["allowed"] == 7).numpy() if head == "palette" else ~item["known"].numpy()
    shifts = [(~valid[:, c : c + 80] == unknown).all() for c in range(21)]
    assert sum(shifts) == 1


def test_transparent_source_pixels_are_not_known(tmp_path: Path) -> None:
    make_pairs(tmp_path, 1, size=(40, 40))
    alpha = np.full((1, 40, 40), 255, dtype=np.uint8)
    alpha[:, :, :20] = 0
    write(tmp_path / "source" / "0.png", np.concatenate([positions(40, 40), alpha]))
    item = tiles(tmp_path, crop=40, symmetry="none")[0]
    assert (item["allowed"][:, :20] == 7).all() and (item["allowed"][:, 20:] != 7).all()


def test_a_color_table_means_its_colors(tmp_path: Path) -> None:
    make_pairs(tmp_path, 3)
    expected = tiles(tmp_path)
    table = {i: (*map(int, color), 255) for i, color in enumerate(COLORS)}
    for i in range(3):
        write(
            tmp_path / "target" / f"{i}.png", classes_of(positions(80, 100, i))[None].astype(np.uint8), colormap=table
        )
    found = tiles(tmp_path)
    assert all(torch.equal(found[n][name], expected[n][name]) for n in range(6) for name in found[n])


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".tif"])
def test_other_formats_are_read(tmp_path: Path, suffix: str) -> None:
    make_pairs(tmp_path / "png", 1, palette=False)
    flat = np.full((3, 64, 64), 100, dtype=np.uint8)
    for side in ("source", "target"):
        write(tmp_path / "other" / side / f"0{suffix}", flat)
    item = tiles(tmp_path / "other", "raster")[0]
    assert float((item["source"] - (100 / 127.5 - 1)).abs().max()) < 0.03


def test_pictures_smaller_than_a_crop_are_magnified_as_far_as_allowed(tmp_path: Path) -> None:
    make_pairs(tmp_path, 1, size=(20, 24))
    assert (tiles(tmp_path, scale=(1.0, 2.0))[0]["allowed"] != 7).all()
    item = tiles(tmp_path, scale=(1.0, 1.0), symmetry="none")[0]
    known = torch.zeros(32, 32, dtype=torch.bool)
    known[:20, :24] = True
    assert torch.equal(item["allowed"] != 7, known)
    assert torch.equal(item["source"][:, 20:], item["source"][:, :20].flip(1)[:, :12])


def test_load_size_shows_the_whole_picture_as_published(tmp_path: Path) -> None:
    make_pairs(tmp_path, 1, size=(64, 64), palette=False)
    item = tiles(tmp_path, "raster", load_size=36, symmetry="none")[0]
    rows = item["source"][0, :, 0]
    step = (rows[-1] - rows[0]) / 31
    assert abs(float(step) - 2 / 36) < 0.004  # 36 pixels show the range [-1, 1] of the whole picture


@pytest.mark.parametrize("head", ["palette", "raster"])
def test_the_cache_changes_nothing_and_is_bounded(tmp_path: Path, head: str) -> None:
    make_pairs(tmp_path, 4)
    options: dict[str, Any] = {"scale": (0.3, 2.0)}
    roomy, tight, none = (tiles(tmp_path, head, cache_bytes=n, **options) for n in (10**9, 250_000, 1))
    for n in range(12):
        one, two, three = roomy[n], tight[n], none[n]
        assert all(torch.equal(one[name], two[name]) and torch.equal(one[name], three[name]) for name in one)
    pairs = open_pairs(tmp_path, validation=0)
    pictures = Pictures(250_000, 7)
    for pair in pairs.train * 2:
        pictures.view(pair, Window(0, 0, 10, 10), None)
        assert sum(view.size for view in pictures._kept.values()) == pictures._used <= 250_000
    assert len(pictures._kept) == 250_000 // (80 * 100 * 7)


def test_one_folder_under_two_palettes_keeps_them_apart(tmp_path: Path) -> None:
    make_pairs(tmp_path, 1)
    partial = {"classes": PALETTE["classes"], "knows": ["road"], "other": ["00FF00", "0000FF"]}
    (tmp_path / "partial.json").write_text(json.dumps(partial))
    sets = [open_pairs(tmp_path, validation=0), open_pairs(tmp_path, palette=tmp_path / "partial.json", validation=0)]
    found = PairedTiles(sets, config(), FULL, None)
    sets_seen = [{int(v) for n in range(first, 12, 2) for v in found[n]["allowed"].unique()} for first in (0, 1)]
    assert sorted(sets_seen, key=len) == [{0b010, 0b101}, {1, 2, 4}]


def test_sixteen_bit_pairs_are_scaled_by_their_percentiles(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    source = rng.normal(5000, 800, (4, 90, 90)).clip(1, 65535).astype(np.uint16)
    target = rng.normal(0, 3, (2, 90, 90)).astype(np.float32)
    source[:, :10] = 0
    write(tmp_path / "source" / "0.tif", source, nodata=0)
    write(tmp_path / "target" / "0.tif", target)
    pairs = open_pairs(tmp_path)
    scalings = {side: scaling_of([pairs], side) for side in ("source", "target")}  # type: ignore[arg-type]
    for side, values in (("source", source[:, 10:]), ("target", target)):
        low, high = np.percentile(values.reshape(len(values), -1).astype(float), (0.1, 99.9), axis=1)
        np.testing.assert_allclose(scalings[side].low, low, rtol=1e-6)
        np.testing.assert_allclose(scalings[side].high, high, rtol=1e-6)
    spec = GeneratorSpec(depth=3, in_bands=4, out_channels=2)
    item = PairedTiles([pairs], config(generator=spec), scalings["source"], scalings["target"])[0]
    assert item["source"].shape == (4, 32, 32) and item["target"].shape == (2, 32, 32)
    assert float(item["source"].abs().max()) <= 1


@pytest.mark.parametrize(
    ("value", "message"),
    [(0, "town: the source pictures hold no valid pixel"), (7, r"7 almost everywhere in band 2 \(band 2\).*without")],
)
def test_bands_that_say_nothing_are_refused(tmp_path: Path, value: int, message: str) -> None:
    source = np.random.default_rng(0).integers(1, 65535, (2, 40, 40), dtype=np.uint16)
    source[1] = value
    write(tmp_path / "town" / "source" / "0.tif", source, nodata=0)
    write(tmp_path / "town" / "target" / "0.png", positions(40, 40))
    with pytest.raises(PairsError, match=message):
        scaling_of([open_pairs(tmp_path / "town")], "source")


def test_large_pictures_are_scaled_by_a_sample(tmp_path: Path) -> None:
    source = np.random.default_rng(0).integers(0, 10_000, (1, 3000, 3000), dtype=np.uint16)
    write(tmp_path / "source" / "0.tif", source, tiled=True)
    write(tmp_path / "target" / "0.tif", source, tiled=True)
    pairs = open_pairs(tmp_path)
    tracemalloc.start()
    scaling = scaling_of([pairs], "source")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < source.nbytes
    assert scaling.low[0] == pytest.approx(10, abs=3) and scaling.high[0] == pytest.approx(9990, abs=3)


def test_eight_bit_pairs_are_scaled_by_their_full_range(tmp_path: Path) -> None:
    assert scaling_of([open_pairs(make_pairs(tmp_path))], "source") == FULL


def test_validation_crops_never_change_and_never_overlap(tmp_path: Path) -> None:
    make_pairs(tmp_path / "train", 1, palette=False)
    make_pairs(tmp_path / "validation", 3, palette=False)
    sets = [open_pairs(tmp_path)]
    options = config("raster", jitter=1.0, scale=(0.5, 2.0), validation_crops=100)
    one, other = (StillTiles(sets, options, FULL, FULL) for _ in range(2))
    assert len(one) == 3 * (80 // 32) * (100 // 32)
    seen = set()
    for n in range(len(one)):
        item = one[n]
        assert torch.equal(item["source"], other[n]["source"]) and torch.equal(item["source"], item["target"])
        seen |= {tuple(pixel) for pixel in item["source"].flatten(1).T.tolist()}
    assert len(seen) == len(one) * 32 * 32
    few = StillTiles(sets, config("raster", validation_crops=3), FULL, FULL)
    assert sorted(float(few[n]["source"][2, 0, 0]) for n in range(3)) == pytest.approx(
        [2 * 40 * i / 255 - 1 for i in range(3)]
    )


# --- the augmentation


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**32),
    width=st.integers(1, 300),
    height=st.integers(1, 300),
    low=st.floats(0.25, 1),
    high=st.floats(1, 4),
)
def test_windows_lie_in_the_picture_wherever_the_scale_allows(
    seed: int, width: int, height: int, low: float, high: float
) -> None:
    window = random_window(np.random.default_rng(seed), width, height, 64, (low, high))
    assert window.width == window.height
    assert 64 / high - 0.5 <= window.width <= 64 / low + 0.5
    if 64 / high + 0.5 < min(width, height):
        assert window.intersection(Window(0, 0, width, height)) == window
    else:
        assert window.width <= 64 / high + 0.5


def test_the_symmetries_are_eight_and_lose_no_pixel() -> None:
    picture = torch.arange(2 * 5 * 5).view(2, 5, 5)
    all_eight = {tuple(turned(picture, "dihedral", e).flatten().tolist()) for e in range(8)}
    assert len(all_eight) == 8 and {tuple(sorted(t)) for t in all_eight} == {tuple(range(50))}
    mirrored = {tuple(turned(picture, "mirror", e).flatten().tolist()) for e in range(8)}
    assert mirrored == {tuple(picture.flatten().tolist()), tuple(picture.flip(-1).flatten().tolist())}
    assert all(torch.equal(turned(picture, "none", e), picture) for e in range(8))


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**32), bands=st.integers(1, 5), strength=st.floats(0, 4))
def test_light_stays_in_range_and_only_strength_moves_it(seed: int, bands: int, strength: float) -> None:
    source = torch.linspace(-1, 1, bands * 64).view(bands, 8, 8)
    lit = relit(np.random.default_rng(seed), source, strength)
    assert lit.shape == source.shape and lit.dtype == torch.float32
    assert float(lit.min()) >= -1 and float(lit.max()) <= 1
    torch.testing.assert_close(relit(np.random.default_rng(seed), source, 0.0), source, atol=1e-5, rtol=0)


def test_light_differs_from_place_to_place_but_not_from_pixel_to_pixel() -> None:
    flat = torch.zeros(3, 128, 128)
    for seed in range(20):
        lit = relit(np.random.default_rng(seed), flat, 1.0)
        smooth = torch.nn.functional.avg_pool2d(lit, 16)
        steps = torch.cat([smooth.diff(dim=axis).abs().flatten() for axis in (1, 2)])
        assert float(steps.max()) < 0.15 and float(smooth.max() - smooth.min()) > 0.02


@settings(deadline=None, max_examples=20)
@given(rows=st.integers(2, 40), cols=st.integers(2, 40), seed=st.integers(0, 100))
def test_light_between_places_is_linear(rows: int, cols: int, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=(4, 4))
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(values)[None, None], (rows, cols), mode="bilinear", align_corners=True
    )
    np.testing.assert_allclose(_between(values, rows, cols), expected[0, 0], atol=1e-5)


@pytest.mark.parametrize(("crop", "threads"), [(256, 4), (224, 5)])
def test_crops_do_not_depend_on_the_number_of_threads(tmp_path: Path, crop: int, threads: int) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (3, 300, 300), dtype=np.uint8)
    for side in ("source", "target"):
        write(tmp_path / side / "0.png", noise)
    found = tiles(tmp_path, "raster", crop=crop, scale=(0.8, 1.5), jitter=1.0)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = [found[n] for n in range(4)]
        torch.set_num_threads(threads)
        assert all(torch.equal(found[n][name], alone[n][name]) for n in range(4) for name in alone[n])
    finally:
        torch.set_num_threads(before)


def test_the_light_of_the_target_never_changes(tmp_path: Path) -> None:
    make_pairs(tmp_path, 2, palette=False)
    calm, lit = tiles(tmp_path, "raster"), tiles(tmp_path, "raster", jitter=1.0)
    for n in range(8):
        assert torch.equal(calm[n]["target"], lit[n]["target"])
        assert not torch.equal(calm[n]["source"], lit[n]["source"])


@pytest.mark.data
def test_the_dubai_masks_hold_the_known_shares(tmp_path: Path) -> None:
    data = Path(__file__).parents[2] / "shared" / "data" / "train" / "dubai"
    if not data.is_dir():
        pytest.skip(f"no {data}")
    for side, folder in (("source", "images"), ("target", "masks")):
        (tmp_path / side).mkdir()
        for path in (data / "Tile 2" / folder).iterdir():
            (tmp_path / side / path.name).symlink_to(path)
    colors = {"land": "8429F6", "building": "3C1098", "road": "6EC1E4", "vegetation": "FEDD3A", "water": "E2A929"}
    palette = {"classes": [{"name": n, "color": c} for n, c in colors.items()], "unlabelled": ["9B9B9B", "000000"]}
    (tmp_path / "palette.json").write_text(json.dumps(palette))
    pairs: PairSet = open_pairs(tmp_path, validation=0)
    spec = configure([pairs]).generator
    found = PairedTiles([pairs], config(generator=spec, crop=512, scale=(1.0, 1.0), seed=1), FULL, None)
    shares = torch.stack(
        [torch.stack([(found[n]["allowed"] == 1 << k).double().mean() for k in range(5)]) for n in range(9)]
    )
    # The shares over whole pictures are 0.60, 0.12, 0.13, 0.06 and 0.07.
    assert (shares.mean(0) - torch.tensor([0.60, 0.12, 0.13, 0.06, 0.07])).abs().max() < 0.03
