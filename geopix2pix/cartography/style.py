"""Style: how vectors become a map picture and its classes, read from a subset of the MapLibre style format.

The subset is described in docs/styles.md. Whatever a document asks for beyond it is refused by name: a map that shows
less than its style says would teach a network the wrong thing.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from geopix2pix.cartography import filters
from geopix2pix.cartography.evaluation import Feature, passes
from geopix2pix.cartography.expressions import Expression, attributes, frozen, problems
from geopix2pix.cartography.paint import LAYOUT, PAINT, Ink, Kind, Pen, dashes, ink, mistakes
from geopix2pix.errors import ConfigError, StyleError
from geopix2pix.palette import RGB, Palette

Units = Literal["pixels", "metres"]

CLASS, UNITS, PALETTE = "geopix2pix:class", "geopix2pix:units", "geopix2pix:palette"
"""Keys of metadata, in which the style specification lets applications store what they like."""
DRAWS = {"fill": ("Polygon",), "line": ("LineString", "Polygon"), "background": ()}
"""The kinds of features that a type of layer draws; lines are drawn along the rings of polygons."""
CANVAS: RGB = (255, 255, 255)  # below everything
MAX_STYLE_BYTES = 2**24
SHOWN = 5  # problems in one message
# What may stand there without a word: how an interactive map begins and moves, and where its data come from.
ROOT = (
    "version", "name", "metadata", "sources", "layers", "id", "owner", "created", "modified",
    "center", "centerAltitude", "zoom", "bearing", "pitch", "roll", "glyphs", "sprite", "light", "transition",
)  # fmt: skip
LAYER = ("id", "type", "metadata", "source", "source-layer", "minzoom", "maxzoom", "filter", "layout", "paint")


@dataclass(frozen=True, slots=True, kw_only=True)
class StyleLayer:
    """One sheet of a map: which features it draws, and how."""

    id: str
    kind: Kind
    source_layer: str
    """The layer of the vector data; "" for a background."""
    filter: Expression
    paint: Mapping[str, Expression]
    """All properties of the layer's type."""
    units: Units
    """Of widths, gaps, offsets."""
    class_index: int | None
    """In the palette of the style; None where the layer does not change the classes."""
    pen: Pen
    """Of lines."""

    def draws(self, feature: Feature) -> bool:
        return feature.kind in DRAWS[self.kind] and passes(self.filter, feature)

    def ink(self, feature: Feature) -> Ink:
        """What a feature is drawn with.

        Raises:
            StyleError: a property has no value, or none that fits, for this feature.
        """
        return ink(self.kind, self.paint, feature, f"style layer {self.id!r}")

    @property
    def attributes(self) -> set[str]:
        """The names of the attributes that decide how a feature is drawn."""
        return set().union(*(attributes(expression) for expression in (self.filter, *self.paint.values())))


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """The layers that are drawn, in their order, and the classes they stand for."""

    name: str
    layers: tuple[StyleLayer, ...]
    palette: Palette | None
    sha256: str
    """Of the document, however it is spaced."""

    @property
    def source_layers(self) -> tuple[str, ...]:
        """The names of the vector layers that are drawn, in the order of drawing."""
        return tuple(dict.fromkeys(layer.source_layer for layer in self.layers if layer.source_layer))

    @classmethod
    def load(cls, path: Path) -> "Style":
        """The style in the JSON file at `path`.

        Raises:
            StyleError: the file cannot be read, or asks for what is not drawn.
        """
        try:
            with path.open("rb") as file:
                content = file.read(MAX_STYLE_BYTES + 1)
            if len(content) > MAX_STYLE_BYTES:
                raise StyleError(f"{path}: a style of up to {MAX_STYLE_BYTES} bytes is needed, found a larger file")
            document = json.loads(content)
        except (OSError, ValueError, RecursionError) as error:
            if isinstance(error, StyleError):
                raise
            why = error.strerror if isinstance(error, OSError) else error
            raise StyleError(f"{path}: no readable style ({why}); see docs/styles.md for its form") from error
        return cls.from_json(document, str(path))

    @classmethod
    def from_json(cls, document: Any, where: str) -> "Style":
        """The style in a parsed JSON document; `where` names the document in error messages.

        Raises:
            StyleError: it asks for what is not drawn or contradicts itself; the message names layers and properties.
        """
        if not isinstance(document, Mapping) or document.get("version") != 8:
            raise StyleError(f'{where}: a style is a JSON object with `"version": 8` and `layers`; found none')
        layers = document.get("layers")
        if not isinstance(layers, list) or not all(isinstance(layer, Mapping) for layer in layers):
            raise StyleError(f"{where}: `layers` must be a list of objects")
        try:
            text = json.dumps(document, sort_keys=True)
            stored = _metadata(document).get(PALETTE)
            palette = None if stored is None else Palette.from_json(stored, f"{where}: metadata {PALETTE}")
            found = [*_unknown(document, ROOT, "the style"), *_layer_problems(layers, palette)]
        except ConfigError as error:
            raise StyleError(str(error)) from error
        except RecursionError:
            raise StyleError(f"{where}: its expressions are nested too deeply; write them flatter") from None
        if found:
            more = f"; and {len(found) - SHOWN} more" if found[SHOWN:] else ""
            raise StyleError(f"{where}: not drawn: {'; '.join(found[:SHOWN])}{more}; see docs/styles.md for what is")
        return cls(
            name=str(document.get("name") or where),
            layers=tuple(_style_layer(layer, palette) for layer in layers if _is_visible(layer)),
            palette=palette,
            sha256=hashlib.sha256(text.encode()).hexdigest(),
        )


def shipped() -> dict[str, Path]:
    """The styles that come with the package, by name."""
    return {path.stem: path for path in sorted((Path(__file__).parent / "styles").glob("*.json"))}


def _layer_problems(layers: list[Mapping[str, Any]], palette: Palette | None) -> Iterator[str]:
    seen: list[Any] = []
    for index, layer in enumerate(layers):
        name = layer.get("id", index)
        yield from (f"layer {name!r} {problem}" for problem in _problems(layer, palette))
        if name in seen:
            yield f"layer {name!r} is there twice"
        seen.append(name)


def _problems(layer: Mapping[str, Any], palette: Palette | None) -> Iterator[str]:
    """What is wrong with a layer, one phrase each."""
    kind = next((kind for kind in PAINT if kind == layer.get("type")), None)
    if kind is None:
        yield f"is of type {layer.get('type')!r}; drawn are {', '.join(PAINT)}"
        return
    if not isinstance(layer.get("id"), str):
        yield "has no `id`"
    yield from _unknown(layer, LAYER, "it")
    if kind != "background" and not _source_layer(layer):
        yield "has neither a `source-layer` nor a `source`"
    for name in ("paint", "layout", "metadata"):
        if not isinstance(layer.get(name, {}), Mapping):
            yield f"has a `{name}` that is no object"
            return
    condition = filters.expression(frozen(layer.get("filter", True)))
    yield from (f"has a filter that {problem}" for problem in problems(condition))
    if {"$id", "$type"} & attributes(condition):
        yield "has a filter that asks for `$id`, or for `$type` otherwise than by == and !="
    yield from _paint_problems(kind, layer.get("paint", {}))
    yield from _layout_problems(kind, layer.get("layout", {}))
    metadata = _metadata(layer)
    if (units := metadata.get(UNITS, "pixels")) not in get_args(Units):
        yield f"has {UNITS} {units!r}; known are {', '.join(get_args(Units))}"
    names = () if palette is None else palette.names
    if (called := metadata.get(CLASS)) is not None and called not in names:
        yield f"has the class {called!r}; the style's metadata {PALETTE} holds {', '.join(names) or 'none'}"


def _paint_problems(kind: Kind, paint: Mapping[str, Any]) -> Iterator[str]:
    for name, document in paint.items():
        if name not in PAINT[kind]:
            yield f"has `{name}`"
            continue
        expression = frozen(document)
        found = list(problems(expression)) if PAINT[kind][name][0] != "dashes" else []
        yield from (f"has a `{name}` that {problem}" for problem in found or mistakes(kind, name, expression))


def _layout_problems(kind: Kind, layout: Mapping[str, Any]) -> Iterator[str]:
    for name, value in layout.items():
        if name == "line-miter-limit" and kind == "line":
            if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= 100:
                yield f"has a `{name}` of {value!r}; a number from 1 to 100 is needed"
        elif name not in LAYOUT[kind]:
            yield f"has `{name}`"
        elif value not in LAYOUT[kind][name]:
            yield f"has a `{name}` of {value!r}; known are {', '.join(LAYOUT[kind][name])}"


def _unknown(document: Mapping[str, Any], known: tuple[str, ...], what: str) -> Iterator[str]:
    yield from (f"{what} has `{name}`" for name in document if name not in known)


def _metadata(document: Mapping[str, Any]) -> Mapping[str, Any]:
    metadata = document.get("metadata")
    return metadata if isinstance(metadata, Mapping) else {}


def _source_layer(layer: Mapping[str, Any]) -> str:
    """The vector layer that is drawn; sources of one layer, such as GeoJSON, name it by the source."""
    name = layer.get("source-layer", layer.get("source"))
    return name if isinstance(name, str) and layer.get("type") != "background" else ""


def _is_visible(layer: Mapping[str, Any]) -> bool:
    return bool(layer.get("layout", {}).get("visibility", "visible") == "visible")


def _style_layer(layer: Mapping[str, Any], palette: Palette | None) -> StyleLayer:
    """The layer of a document in which no problem was found."""
    kind: Kind = layer["type"]
    paint = {name: default for name, (_, default) in PAINT[kind].items()}
    paint |= {name: frozen(value) for name, value in layer.get("paint", {}).items()}
    metadata, layout = _metadata(layer), layer.get("layout", {})
    name = metadata.get(CLASS)
    pen = Pen(
        cap=layout.get("line-cap", Pen().cap),
        join=layout.get("line-join", Pen().join),
        miter_limit=float(layout.get("line-miter-limit", Pen().miter_limit)),
        dashes=tuple(float(length) for length in dashes(paint.pop("line-dasharray", ()))),
    )
    return StyleLayer(
        id=layer["id"],
        kind=kind,
        source_layer=_source_layer(layer),
        filter=filters.expression(frozen(layer.get("filter", True))),
        paint=paint,
        units=metadata.get(UNITS, "pixels"),
        class_index=None if palette is None or name is None else palette.names.index(name),
        pen=pen,
    )
