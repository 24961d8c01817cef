"""STAC documents as sources: which items they hold, and which of an item's assets is the scene.

Documents come from anywhere, so nothing in them is trusted: neither their size, nor their types, nor what they name.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geopix2pix.errors import RasterError, SceneError

MAX_BYTES = 2**27  # 100 000 items of a kilobyte; as parsed JSON they take ten times as much
MAX_TEXT = 4096  # characters of an identifier or an address
PREFERRED = ("visual", "data")
"""Keys or roles that tell the picture from its bands and the bands from previews, if there is one such asset."""
NO_SCENE = {"thumbnail", "overview", "metadata", "labels", "cloud", "cloud-shadow", "snow-ice", "data-mask"}
"""Roles of rasters that are no scene."""

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A STAC item."""

    id: str
    document: Document
    folder: Path
    """Where its relative addresses begin."""
    where: str
    """What error messages call it."""


def stac_items(path: Path) -> list[Item]:
    """The items of a STAC document: an item, an item collection, or a collection or catalog with links to items.

    Raises:
        RasterError: it cannot be read, is no such document, or holds no item.
    """
    document = _document(path)
    match document.get("type"):
        case "Feature":
            items = [_item(document, path, str(path))]
        case "FeatureCollection":
            features = _list(document, "features", path)
            items = [_item(feature, path, f"{path}: features[{i}]") for i, feature in enumerate(features)]
        case "Collection" | "Catalog":
            items = [_item(_document(file), file, str(file)) for file in _linked(document, path)]
        case other:
            raise RasterError(
                f"{path}: a STAC item, item collection or collection is needed, found the type {_short(other)}; a "
                "region is given with --region"
            )
    if not items:
        raise RasterError(f"{path}: holds no item, nor links to any; name the document that does")
    return items


def asset_address(item: Item, wanted: str | None = None) -> str:
    """The path or address of the scene of an item: of the asset with a key or role, or of the one that is meant.

    Without `wanted` that is the only raster, else the one of them with the key or role `visual`, else `data`.

    Raises:
        SceneError: there is no such asset, or more than one.
    """
    assets = item.document.get("assets")
    assets = assets if isinstance(assets, Mapping) else {}
    usable = {key: a for key, a in assets.items() if isinstance(a, Mapping) and _is_text(a.get("href"))}
    if wanted is not None:
        found = [wanted] if wanted in usable else [key for key, a in usable.items() if wanted in _roles(a)]
    else:
        rasters = [key for key, a in usable.items() if _is_raster(a) and not NO_SCENE & _roles(a)]
        choices = (
            [rasters],
            ([key for key in rasters if key == name] for name in PREFERRED),
            ([key for key in rasters if name in _roles(usable[key])] for name in PREFERRED),
        )
        found = next((some for choice in choices for some in choice if len(some) == 1), rasters)
    if len(found) != 1:
        asked = f"one asset with the key or role {wanted!r}" if wanted is not None else "one asset that is the scene"
        listed = ", ".join(f"{key[:50]} ({', '.join(sorted(_roles(usable[key])))[:50]})" for key in list(usable)[:20])
        raise SceneError(
            f"{item.where}: {asked} is needed, found {len(found)} among {listed or 'no assets'}; name its key with "
            "--asset, and build a VRT of bands that are files of their own"
        )
    return _address(usable[found[0]]["href"], item.folder)


def _address(href: str, folder: Path) -> str:
    if href.startswith("file://"):
        return href.removeprefix("file://")
    return href if "://" in href or href.startswith("/vsi") else str(folder / href)


def _document(path: Path) -> Document:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise RasterError(f"{path}: a STAC document of up to {MAX_BYTES} bytes is needed, found more; divide it")
        document = json.loads(content)
    except RasterError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        found = error.strerror if isinstance(error, OSError) else "it is no JSON"
        raise RasterError(f"{path}: cannot be read as a STAC document: {found}") from error
    if not isinstance(document, Mapping):
        raise RasterError(f"{path}: a STAC document is a JSON object, found {_short(document)}")
    return document


def _linked(document: Document, path: Path) -> Iterator[Path]:
    """The files of the items that a collection links to."""
    for link in _list(document, "links", path):
        if isinstance(link, Mapping) and link.get("rel") == "item":
            href = link.get("href")
            if not _is_text(href) or "://" in str(href):
                raise RasterError(f"{path}: links to the item {_short(href)}, no local file; download it first")
            yield path.parent / str(href)


def _item(document: Any, path: Path, where: str) -> Item:
    if not isinstance(document, Mapping) or document.get("type") != "Feature":
        raise RasterError(f"{where}: a STAC item is needed, found {_short(document)}")
    if not _is_text(document.get("id")):
        raise RasterError(f"{where}.id: a text is needed, found {_short(document.get('id'))}")
    return Item(id=document["id"], document=document, folder=path.parent, where=f"{where} ({document['id'][:100]})")


def _list(document: Document, field: str, path: Path) -> list[Any]:
    found = document.get(field)
    if not isinstance(found, list):
        raise RasterError(f"{path}: {field}: a list is needed, found {_short(found)}")
    return found


def _roles(asset: Document) -> set[str]:
    roles = asset.get("roles")
    return {role for role in roles if isinstance(role, str)} if isinstance(roles, list) else set()


def _is_raster(asset: Document) -> bool:
    kind = asset.get("type")
    if isinstance(kind, str):
        return kind.startswith("image/")
    return str(asset["href"]).lower().endswith((".tif", ".tiff", ".jp2"))


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_TEXT and value.isprintable()


def _short(value: Any) -> str:
    return f"{value!r:.60}" if isinstance(value, str | int | float | None) else type(value).__name__
