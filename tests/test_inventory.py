"""Words of users and documents of strangers become scenes, each once and with a name of its own, or one clear line."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geopix2pix import inventory as module
from geopix2pix import stac
from geopix2pix.errors import RasterError, SceneError
from geopix2pix.inventory import Entry, inventory, is_many
from geopix2pix.stac import asset_address, stac_items


def files(folder: Path, *names: str) -> list[Path]:
    paths = [folder / name for name in names]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return paths


def names(entries: list[Entry]) -> list[str]:
    return [entry.name for entry in entries]


# Names

PARTS = st.text(st.sampled_from("abAB-._ ä/"), min_size=1, max_size=6)


@given(st.lists(PARTS, min_size=1, max_size=12, unique=True))
def test_results_have_names_of_their_own(parts: list[str]) -> None:
    """On any file system, whatever the case of letters; and the same ones in any order of the sources."""
    sources = [f"http://server/{part}" for part in parts]
    entries = inventory(sources)
    assert [entry.source for entry in entries] == sources
    found = {entry.source: entry.name for entry in entries}
    assert len({name.casefold() for name in found.values()}) == len(sources)
    assert all(name == name.strip("-.") and "/" not in name and " " not in name for name in found.values())
    assert {entry.source: entry.name for entry in inventory(sources[::-1])} == found


def test_names_are_those_of_the_files_where_they_can_be(tmp_path: Path) -> None:
    one, two, three = files(tmp_path, "north/a.tif", "south/a.tif", "north/b.tif")
    assert names(inventory([one])) == ["a"]
    assert names(inventory([one, two, three])) == ["north-a", "south-a", "b"]
    first, second = names(inventory(files(tmp_path, "x/c.tif", "x/c.jp2")))
    assert first != second and first.startswith("x-c-") and second.startswith("x-c-")
    assert names(inventory(["https://host/a%20b/scene.tif?sig=x.y/z"])) == ["scene"]


# Folders, patterns, lists


def test_a_folder_is_all_rasters_below_it_and_no_results(tmp_path: Path) -> None:
    files(
        tmp_path,
        "b.tif",
        "a.TIF",
        "in/c.jp2",
        "in/.hidden.tif",
        ".cache/d.tif",
        "a.tif.aux.xml",
        "mosaic.vrt",
        "maps/b.tif",
    )
    found = inventory([tmp_path], without=tmp_path / "maps")
    assert names(found) == ["a", "b", "in-c"]
    assert names(inventory([f"{tmp_path}/**/*.tif"], without=tmp_path / "maps")) == ["b"]
    assert is_many(tmp_path) and is_many(f"{tmp_path}/*.tif") and not is_many(tmp_path / "b.tif")
    assert not is_many("http://host/what?*=[x]")


def test_a_scene_that_is_named_twice_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, b = files(tmp_path, "a.tif", "b.tif")
    monkeypatch.chdir(tmp_path)
    assert names(inventory([b, "a.tif", tmp_path, "*.tif", f"{tmp_path}/./a.tif", f"{tmp_path}/in/../a.tif"])) == [
        "b",
        "a",
    ]


def test_a_file_whose_name_looks_like_a_pattern_is_a_file(tmp_path: Path) -> None:
    (odd,) = files(tmp_path, "scene[1].tif")
    assert not is_many(odd)
    assert [entry.source for entry in inventory([odd])] == [str(odd)]


def test_a_list_names_anything_a_user_could(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files(tmp_path, "a.tif", "in/b.tif", "in/c.tif", "d e.tif")
    text = "\ufeff# tonight\n\n a.tif \r\nin\nhttp://host/x.tif\nd e.tif\nabsent.tif\n"
    (tmp_path / "list.txt").write_bytes(text.encode())
    monkeypatch.chdir(tmp_path)
    assert names(inventory(["@list.txt"])) == ["a", "b", "c", "x", "d-e", "absent"]


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "names no scene"), (b"# only\n", "names no scene"), (b"\xff\xfe", "UTF-8"), (b"II*\0\x08", "is it a text"),
     (b"@other.txt", "a list in a list"), (b"*.nothing", "matches no file")],
)  # fmt: skip
def test_lists_that_are_none_are_told(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(RasterError, match=message):
        inventory([f"@{tmp_path / 'list.txt'}"])


def test_nothing_found_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    for word in (tmp_path / "empty", f"{tmp_path}/*.tif", f"@{tmp_path}/absent.txt", tmp_path / "absent.json"):
        with pytest.raises(RasterError, match=str(tmp_path)):
            inventory([word])
    monkeypatch.setattr(module, "MAX_LIST_BYTES", 10)
    (tmp_path / "long.txt").write_text("a.tif\n" * 10)
    with pytest.raises(RasterError, match="divide it"):
        inventory([f"@{tmp_path}/long.txt"])


# STAC


def item(name: str, **assets: Any) -> dict[str, Any]:
    return {"type": "Feature", "id": name, "properties": {}, "assets": assets}


def asset(href: str, *roles: str, kind: str = "image/tiff; application=geotiff") -> dict[str, Any]:
    return {"href": href, "type": kind, "roles": list(roles)}


def stored(path: Path, document: Any) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(json.dumps(document))
    return path


def test_item_collections_items_and_collections_mean_the_same_scenes(tmp_path: Path) -> None:
    items = [item(f"scene {i}", image=asset(f"../scenes/{i}.tif", "data")) for i in range(3)]
    together = stored(tmp_path / "stac" / "all.json", {"type": "FeatureCollection", "features": items})
    single = [stored(tmp_path / "stac" / f"{i}.json", one) for i, one in enumerate(items)]
    links = [{"rel": "root", "href": "./c.json"}, *({"rel": "item", "href": f"./{i}.json"} for i in range(3))]
    linked = stored(tmp_path / "stac" / "c.json", {"type": "Collection", "links": links})
    for words in ([together], single, [linked], [together, *single, linked]):
        found = inventory(words)
        assert names(found) == ["scene-0", "scene-1", "scene-2"]
        assert [Path(os.path.normpath(e.source)) for e in found] == [tmp_path / "scenes" / f"{i}.tif" for i in range(3)]
        assert [e.item for e in found] == items


CHOICES = [
    ({"B04": asset("4.tif", "data")}, None, "4.tif"),
    ({"B04": asset("4.tif", "data"), "visual": asset("v.tif", "visual"), "thumbnail": asset("t.jpg")}, None, "v.tif"),
    ({"image": asset("i.tif", "data"), "thumbnail": asset("t.jpg", "thumbnail", kind="image/jpeg")}, None, "i.tif"),
    ({"image": asset("i.tif", "data"), "tiles": asset("t", "tiles", kind="application/json")}, None, "i.tif"),
    ({"a": asset("a.tif", "data"), "b": asset("b.tif", "other")}, None, "a.tif"),
    ({"a": {"href": "a.tif"}, "b": {"href": "b.txt"}}, None, "a.tif"),
    ({"a": asset("a.tif", "data"), "b": asset("b.tif", "data")}, None, None),
    ({"a": asset("a.tif", "data"), "b": asset("b.tif", "data")}, "b", "b.tif"),
    ({"a": asset("a.tif", "data"), "b": asset("b.tif", "pan")}, "pan", "b.tif"),
    ({"a": asset("a.tif", "data"), "b": asset("b.tif", "data")}, "data", None),
    ({"a": asset("a.tif", "data")}, "c", None),
    ({}, None, None),
]  # fmt: skip


@pytest.mark.parametrize(("assets", "wanted", "expected"), CHOICES)
def test_the_asset_that_is_meant(
    assets: dict[str, Any], wanted: str | None, expected: str | None, tmp_path: Path
) -> None:
    (found,) = stac_items(stored(tmp_path / "item.json", item("one", **assets)))
    if expected is not None:
        assert asset_address(found, wanted) == str(tmp_path / expected)
    else:
        with pytest.raises(SceneError, match="--asset"):
            asset_address(found, wanted)
        (entry,) = inventory([tmp_path / "item.json"], asset=wanted)
        assert entry.refused is not None and "--asset" in entry.refused


def test_addresses_are_passed_on_as_they_are(tmp_path: Path) -> None:
    for href in ("https://host/a.tif", "/vsicurl/https://host/a.tif", "s3://bucket/a.tif"):
        (entry,) = inventory([stored(tmp_path / "item.json", item("one", a=asset(href)))])
        assert entry.source == href
    (entry,) = inventory([stored(tmp_path / "item.json", item("one", a=asset("file:///data/a.tif")))])
    assert entry.source == "/data/a.tif"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(["type", "id", "features", "links", "assets", "href", "roles", "rel"])


@given(
    kind=st.sampled_from(["Feature", "FeatureCollection", "Collection", "Catalog", "Topology"]),
    document=st.dictionaries(FIELDS, VALUES | st.lists(st.dictionaries(FIELDS, VALUES))),
)
def test_no_document_does_more_than_be_refused(tmp_path_factory, kind: str, document: dict[str, Any]) -> None:
    path = tmp_path_factory.mktemp("stac") / "document.json"
    try:
        found = inventory([stored(path, {"type": kind} | document)])
    except RasterError as error:
        assert str(path.parent) in str(error) and "\n" not in str(error)
    else:
        assert found


@pytest.mark.parametrize("content", [b"", b"[" * 100_000, b"\xff", b"[]", b'"x"', b"{}", b'{"type": "Feature"}'])
def test_what_is_no_document_is_told(content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(RasterError, match=r"a\.json"):
        inventory([tmp_path / "a.json"])
    monkeypatch.setattr(stac, "MAX_BYTES", 3)
    (tmp_path / "a.json").write_bytes(b'{"type": "Feature", "id": "x"}')
    with pytest.raises(RasterError, match="divide it"):
        inventory([tmp_path / "a.json"])
