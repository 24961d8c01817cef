"""Styles: what expressions and filters come to, what documents mean, and what is refused by name."""

import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geopix2pix.cartography import filters
from geopix2pix.cartography.colors import color
from geopix2pix.cartography.evaluation import Feature, NoValueError, evaluate, passes
from geopix2pix.cartography.expressions import ARGUMENTS, attributes, constants, frozen, problems
from geopix2pix.cartography.paint import LAYOUT, PAINT
from geopix2pix.cartography.style import Style, shipped
from geopix2pix.errors import StyleError
from geopix2pix.sample import PALETTE
from tests.features import style_of

NAMES = ("a", "b", "c")
scalars = st.one_of(
    st.booleans(), st.integers(-3, 3), st.sampled_from([0.5, 1.0, 2.5]), st.sampled_from(["", "x", "y"])
)
features = st.builds(
    Feature,
    st.sampled_from(["Point", "LineString", "Polygon"]),
    st.dictionaries(st.sampled_from(NAMES), scalars, max_size=3),
)
conditions = st.recursive(
    st.one_of(
        st.tuples(st.just("has"), st.sampled_from(NAMES)),
        st.tuples(st.sampled_from(["==", "!="]), st.tuples(st.just("get"), st.sampled_from(NAMES)), scalars),
    ),
    lambda inner: st.one_of(
        st.tuples(st.just("!"), inner),
        st.lists(inner, max_size=3).map(lambda parts: ("all", *parts)),
        st.lists(inner, max_size=3).map(lambda parts: ("any", *parts)),
    ),
    max_leaves=6,
)


def alike(left: Any, right: Any) -> bool:
    """Equality in JSON, where true is not 1."""
    return left == right and isinstance(left, bool) == isinstance(right, bool)


# Colours


@pytest.mark.parametrize(
    ("text", "rgb", "opacity"),
    [
        ("#fff", (255, 255, 255), 1),
        ("#1a2B3c", (26, 43, 60), 1),
        ("#12345680", (18, 52, 86), 128 / 255),
        ("rgb(1, 2, 3)", (1, 2, 3), 1),
        ("rgba(255, 0, 10, 0.25)", (255, 0, 10), 0.25),
        ("rgb(100% 50% 0% / 50%)", (255, 128, 0), 0.5),
        ("rgb(300, -5, 0)", (255, 0, 0), 1),
        ("hsl(120, 100%, 50%)", (0, 255, 0), 1),
        ("hsla(-240deg, 100%, 25%, .5)", (0, 128, 0), 0.5),
        (" SteelBlue ", (70, 130, 180), 1),
        ("transparent", (0, 0, 0), 0),
    ],
)
def test_colours_are_those_of_css(text: str, rgb: tuple[int, int, int], opacity: float) -> None:
    found = color(text)
    assert found is not None
    assert found.rgb == rgb
    assert found.opacity == pytest.approx(opacity)


@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_notations_of_a_colour_agree(rgb: tuple[int, int, int]) -> None:
    texts = ["#" + bytes(rgb).hex(), f"rgb{rgb}", f"rgba({rgb[0]} {rgb[1]} {rgb[2]} / 1)"]
    assert {color(text) for text in texts} == {(rgb, 1.0)}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "#12",
        "#12345",
        "rgb(1,2)",
        "rgb(1,2,x)",
        "hsl(1,2,3)",
        "hsl(1%,2%,3%)",
        "hsv(1,2%,3%)",
        "bleu",
        "#ggg",
        "rgb",
    ],
)
def test_what_is_no_colour_is_none(text: str) -> None:
    assert color(text) is None


# Expressions


@given(conditions, features)
def test_negation_swaps_all_and_any(condition: Any, feature: Feature) -> None:
    """De Morgan."""
    negated = ("!", condition)
    assert evaluate(negated, feature) is not evaluate(condition, feature)
    assert evaluate(("!", ("all", condition, negated)), feature) is evaluate(("any", negated, condition), feature)


@given(st.lists(st.tuples(st.sampled_from(["x", "y", 1, 2.5]), st.integers()), min_size=1, max_size=4), features)
def test_match_is_a_chain_of_cases(pairs: list[tuple[Any, int]], feature: Feature) -> None:
    asked = ("get", "a")
    match = ("match", asked, *(item for pair in pairs for item in pair), -1)
    case = ("case", *(item for label, outcome in pairs for item in (("==", asked, label), outcome)), -1)
    assert evaluate(match, feature) == evaluate(case, feature)
    assert evaluate(("match", asked, tuple(label for label, _ in pairs), True, False), feature) is evaluate(
        ("in", asked, ("literal", tuple(label for label, _ in pairs))), feature
    )


@given(scalars, scalars)
def test_types_are_not_mixed(left: Any, right: Any) -> None:
    feature = Feature("Point", {"a": left})
    assert evaluate(("==", ("get", "a"), right), feature) is alike(left, right)
    same = {type(left), type(right)} <= {int, float} or {type(left), type(right)} == {str}
    if same:
        assert evaluate(("<", ("get", "a"), right), feature) is (left < right)
    else:
        assert passes(("<", ("get", "a"), right), feature) is passes((">=", ("get", "a"), right), feature) is False


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("12", 12),
        (" 1.5e1 ", 15),
        (".5", 0.5),
        (True, 1),
        (False, 0),
        (None, 0),
        (7, 7),
        ("8 m", -1),
        ("1_0", -1),
        ("nan", -1),
    ],
)
def test_numbers_are_read_as_in_maplibre(value: Any, number: float) -> None:
    feature = Feature("Point", {} if value is None else {"a": value})
    assert evaluate(("to-number", ("get", "a"), -1), feature) == number


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        (("coalesce", ("get", "none"), ("get", "n"), 1), 4),
        (("coalesce", ("get", "none")), None),
        (("+", 1, ("get", "n"), 2), 7),
        (("*", 2, ("get", "n")), 8),
        (("-", ("get", "n")), -4),
        (("/", ("get", "n"), 8), 0.5),
        (("geometry-type",), "Polygon"),
        (("typeof", ("get", "none")), "null"),
        (("in", "b", "abc"), True),
        (("literal", (1, 2)), (1, 2)),
        (("all",), True),
        (("any",), False),
    ],
)
def test_values(expression: Any, value: Any) -> None:
    assert not list(problems(expression))
    assert evaluate(expression, Feature("Polygon", {"n": 4})) == value


@pytest.mark.parametrize(
    "expression",
    [
        ("+", 1, ("get", "t")), ("<", ("get", "t"), 1), ("!", ("get", "t")), ("all", 1), ("case", "x", 1, 2),
        ("/", 1, 0), ("to-number", "x", "y"), ("in", 1, ("get", "t")),
    ],
)  # fmt: skip
def test_what_cannot_be_computed_has_no_value(expression: Any) -> None:
    feature = Feature("Point", {"t": "text"})
    with pytest.raises(NoValueError):
        evaluate(expression, feature)
    assert not passes(expression, feature)


def test_constants_and_attributes_are_found_at_any_depth() -> None:
    inner = ["match", ["get", "a"], ["x", "get"], "red", ["literal", "blue"]]
    expression = frozen(
        ["case", ["has", "b"], inner, ["==", ["get", "c"], "d"], ["coalesce", ["get", "e"], "green"], 3]
    )
    assert list(constants(expression)) == ["red", "blue", "green", 3]
    assert attributes(expression) == {"a", "b", "c", "e"}


# Filters in the older form, against what the specification says of them in words


def older(filter_: Any, feature: Feature) -> bool:
    """A direct reading of the section "Other filter" of the style specification."""
    name, *rest = filter_
    known = feature.properties
    if name in ("all", "any", "none"):
        found = [older(part, feature) for part in rest]
        return {"all": all(found), "any": any(found), "none": not any(found)}[name]
    if name in ("has", "!has"):
        return (rest[0] in known) == (name == "has")
    value = feature.kind if rest[0] == "$type" else known.get(rest[0])
    if name in ("==", "!="):
        return alike(value, rest[1]) == (name == "==")
    if name in ("in", "!in"):
        return any(alike(value, one) for one in rest[1:]) == (name == "in")
    number = isinstance(value, int | float) and not isinstance(value, bool)
    other = isinstance(rest[1], int | float) and not isinstance(rest[1], bool)
    if not (number and other) and not (isinstance(value, str) and isinstance(rest[1], str)):
        return False
    return {"<": value < rest[1], "<=": value <= rest[1], ">": value > rest[1], ">=": value >= rest[1]}[name]


older_filters = st.recursive(
    st.one_of(
        st.tuples(st.sampled_from(["has", "!has"]), st.sampled_from(NAMES)),
        st.tuples(st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), st.sampled_from(NAMES), scalars),
        st.tuples(st.sampled_from(["==", "!="]), st.just("$type"), st.sampled_from(["Point", "Polygon"])),
        st.lists(scalars, max_size=3).map(lambda values: ("in", "a", *values)),
        st.lists(scalars, max_size=3).map(lambda values: ("!in", "b", *values)),
    ),
    lambda inner: st.tuples(st.sampled_from(["all", "any", "none"]), inner, inner),
    max_leaves=6,
)


@given(older_filters, features)
def test_older_filters_mean_what_the_specification_says(filter_: Any, feature: Feature) -> None:
    expression = filters.expression(filter_)
    assert not list(problems(expression))
    assert passes(expression, feature) is older(filter_, feature)


@given(conditions)
def test_expressions_are_not_taken_for_older_filters(condition: Any) -> None:
    assert filters.expression(condition) == condition


# Documents


@pytest.mark.parametrize("name", shipped())
def test_shipped_styles_can_be_read_and_name_their_classes_in_order_of_drawing(name: str) -> None:
    style = Style.load(shipped()[name])
    assert style.name == name
    assert style.palette is not None
    assert {layer.class_index for layer in style.layers} - {None} == set(range(len(style.palette.classes)))
    assert pickle.loads(pickle.dumps(style)) == style


@pytest.mark.parametrize("name", shipped())
def test_shipped_styles_paint_classes_in_their_display_colours(name: str) -> None:
    style = Style.load(shipped()[name])
    assert style.palette is not None
    for layer in style.layers:
        if layer.class_index is not None:
            found = color(layer.paint[f"{layer.kind}-color"])
            assert found == (style.palette.classes[layer.class_index].display, 1.0)


def test_the_street_style_has_the_classes_of_the_sample() -> None:
    assert Style.load(shipped()["streets"]).palette == PALETTE


def test_defaults_are_those_of_the_specification() -> None:
    line, fill = style_of({"type": "line"}, {"type": "fill"}).layers
    ink = line.ink(Feature("LineString", {}))
    assert (ink.color, ink.opacity, ink.width, ink.gap, ink.offset) == ((0, 0, 0), 1, 1, 0, 0)
    assert line.pen == ("butt", "miter", 2.0, ())
    assert fill.ink(Feature("Polygon", {}))[:4] == ((0, 0, 0), 1, (0, 0, 0), 0)
    assert (line.units, line.class_index) == ("pixels", None)


def test_layers_draw_their_kinds_of_features() -> None:
    line, fill, ground = style_of({"type": "line"}, {"type": "fill"}, {"type": "background"}).layers
    kinds = ("Point", "LineString", "Polygon")
    drawn = [[layer.draws(Feature(kind, {})) for kind in kinds] for layer in (line, fill, ground)]
    assert drawn == [[False, True, True], [False, False, True], [False, False, False]]


def test_hidden_layers_are_not_there() -> None:
    style = style_of({"type": "line", "layout": {"visibility": "none"}}, {"type": "fill", "source-layer": "areas"})
    assert [layer.id for layer in style.layers] == ["1"]
    assert style.source_layers == ("areas",)


def test_sources_of_one_layer_name_it() -> None:
    document = {"version": 8, "layers": [{"id": "a", "type": "fill", "source": "parks"}]}
    assert Style.from_json(document, "here").source_layers == ("parks",)


def test_values_follow_from_the_attributes() -> None:
    paint = {
        "line-width": ["case", ["has", "width"], ["to-number", ["get", "width"], 3], 8],
        "line-color": ["match", ["get", "kind"], ["main", "big"], "#ff0000", "rgba(0,0,0,0.5)"],
        "line-opacity": 0.5,
    }
    (layer,) = style_of({"type": "line", "paint": paint}).layers
    assert layer.attributes == {"width", "kind"}
    wide = layer.ink(Feature("LineString", {"width": "12", "kind": "big"}))
    assert (wide.color, wide.opacity, wide.width) == ((255, 0, 0), 0.5, 12)
    other = layer.ink(Feature("LineString", {}))
    assert (other.color, other.opacity, other.width) == ((0, 0, 0), 0.25, 8)
    assert not layer.ink(Feature("LineString", {"width": 0})).shows


@pytest.mark.parametrize("width", ["wide", -1, True])
def test_a_value_that_does_not_fit_a_feature_is_told(width: Any) -> None:
    (layer,) = style_of({"type": "line", "paint": {"line-width": ["get", "width"]}}).layers
    with pytest.raises(StyleError, match=r"layer '0': `line-width` needs a number of 0 or more.*fallback"):
        layer.ink(Feature("LineString", {"width": width}))


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"type": "symbol"}, "layer '0' is of type 'symbol'; drawn are background, fill, line"),
    ({"type": ["fill"]}, "is of type"),
    ({"type": "fill", "paint": {"fill-pattern": "x"}}, "layer '0' has `fill-pattern`"),
    ({"type": "fill", "paint": {"fill-antialias": True}}, "has `fill-antialias`"),
    ({"type": "line", "paint": {"fill-color": "red"}}, "has `fill-color`"),
    ({"type": "line", "layout": {"line-sort-key": 1}}, "has `line-sort-key`"),
    ({"type": "line", "layout": {"line-cap": "flat"}}, "`line-cap` of 'flat'; known are butt, round, square"),
    ({"type": "line", "layout": {"line-miter-limit": 0.5}}, "`line-miter-limit` of 0.5"),
    ({"type": "line", "layout": {"visibility": ["get", "x"]}}, "`visibility`"),
    ({"type": "line", "slot": "top"}, "it has `slot`"),
    ({"type": "line", "paint": {"line-width": {"stops": [[1, 2]]}}}, "`line-width` that holds an object"),
    ({"type": "line", "paint": {"line-width": ["interpolate", ["linear"], ["zoom"], 1, 2]}}, "operator 'interpolate'"),
    ({"type": "line", "paint": {"line-width": "3"}}, "`line-width` that needs a number of 0 or more, found '3'"),
    ({"type": "line", "paint": {"line-width": ["case", ["has", "a"], 3, -1]}}, "found -1"),
    ({"type": "line", "paint": {"line-opacity": 1.5}}, "a number from 0 to 1, found 1.5"),
    ({"type": "line", "paint": {"line-offset": float("nan")}}, "found nan"),
    ({"type": "line", "paint": {"line-color": "#12"}}, "needs a colour"),
    ({"type": "fill", "paint": {"fill-color": ["match", ["get", "a"], "x", "red", "bleu"]}}, "found 'bleu'"),
    ({"type": "line", "paint": {"line-dasharray": [0, 0]}}, "`line-dasharray`"),
    ({"type": "line", "paint": {"line-dasharray": ["get", "x"]}}, "`line-dasharray`"),
    ({"type": "background", "paint": {"background-color": ["get", "x"]}}, "must be a constant"),
    ({"type": "fill", "filter": ["within", {}]}, "filter that uses the operator 'within'"),
    ({"type": "fill", "filter": ["get", 1]}, "name of an attribute"),
    ({"type": "fill", "filter": ["match", ["get", "a"], True, True, False]}, "labels of `match`"),
    ({"type": "fill", "filter": ["case", ["has", "a"], True]}, "2 arguments to `case`"),
    ({"type": "fill", "filter": ["==", "$id", 3]}, r"asks for `\$id`"),
    ({"type": "fill", "filter": ["==", ["get", "a"]]}, "1 arguments to `==`"),
    ({"type": "fill", "filter": []}, "operator None"),
    ({"type": "fill", "source-layer": ""}, "neither a `source-layer` nor a `source`"),
    ({"type": "fill", "paint": []}, "`paint` that is no object"),
    ({"type": "fill", "id": 3}, "has no `id`"),
    ({"type": "fill", "metadata": {"geopix2pix:class": "sea"}}, "class 'sea'.*land, building, road"),
    ({"type": "fill", "metadata": {"geopix2pix:units": "feet"}}, "'feet'; known are pixels, metres"),
]  # fmt: skip


@pytest.mark.parametrize(("layer", "message"), REFUSED)
def test_what_is_not_drawn_is_refused_by_name(layer: dict[str, Any], message: str) -> None:
    with pytest.raises(StyleError, match=message) as caught:
        style_of(layer)
    assert "\n" not in str(caught.value)


def test_all_problems_are_told_at_once() -> None:
    pattern, blur = {"paint": {"fill-pattern": "x"}}, {"paint": {"line-blur": 1}}
    with pytest.raises(StyleError, match="'0' has `fill-pattern`; layer '1' is of type 'circle'.*'2' has `line-blur`"):
        style_of({"type": "fill", **pattern}, {"type": "circle"}, {"type": "line", **blur})
    with pytest.raises(StyleError, match="and 4 more"):
        style_of({"type": "fill", "paint": {f"fill-{letter}": 1 for letter in "abcdefghi"}})


def nested(depth: int) -> Any:
    return ["!", nested(depth - 1)] if depth else ["has", "a"]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "JSON object"),
        ({"version": 7, "layers": []}, '"version": 8'),
        ({"version": 8}, "`layers` must be a list"),
        ({"version": 8, "layers": [3]}, "`layers` must be a list"),
        ({"version": 8, "layers": [], "terrain": {}}, "the style has `terrain`"),
        ({"version": 8, "layers": [], "metadata": {"geopix2pix:palette": {"classes": []}}}, "2 to 32 classes"),
        ({"version": 8, "layers": [{"id": "a", "type": "background"}] * 2}, "layer 'a' is there twice"),
        ({"version": 8, "layers": [{"id": "a", "type": "fill", "source": "s", "filter": nested(60)}]}, "50 deep"),
        ({"version": 8, "layers": [{"id": "a", "type": "fill", "source": "s", "filter": nested(900)}]}, "deep"),
    ],
)
def test_documents_that_are_no_style_are_refused(document: Any, message: str) -> None:
    with pytest.raises(StyleError, match=message):
        Style.from_json(document, "here")


def test_files_are_named_when_they_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(StyleError, match=r"missing\.json: no readable style \(No such file"):
        Style.load(tmp_path / "missing.json")
    (tmp_path / "torn.json").write_text('{"version": 8,')
    with pytest.raises(StyleError, match=r"torn\.json"):
        Style.load(tmp_path / "torn.json")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    with pytest.raises(StyleError, match=r"deep\.json"):
        Style.load(tmp_path / "deep.json")


def test_a_style_is_known_by_what_it_says(tmp_path: Path) -> None:
    document = json.loads(shipped()["streets"].read_text())
    (tmp_path / "other.json").write_text(json.dumps(document, indent=1))
    assert Style.load(tmp_path / "other.json").sha256 == Style.load(shipped()["streets"]).sha256
    document["layers"][0]["paint"]["background-color"] = "#F2EFE8"
    assert Style.from_json(document, "changed").sha256 != Style.load(shipped()["streets"]).sha256


# The styles in the package, and the page about them


@pytest.mark.parametrize(
    ("properties", "width"),
    [
        ({"width_m": 7}, 7),
        ({"width_m": "6.5", "highway": "track"}, 6.5),
        ({"width_m": "wide"}, 8),
        ({"highway": "motorway"}, 14),
        ({"fclass": "secondary"}, 10),
        ({"class": "footway"}, 2),
        ({"class": "street"}, 8),
        ({}, 8),
    ],
)
def test_the_street_style_knows_how_wide_roads_are(properties: dict[str, Any], width: float) -> None:
    layers = {layer.id: layer for layer in Style.load(shipped()["streets"]).layers}
    feature = Feature("LineString", properties)
    assert layers["roads"].draws(feature)
    assert layers["roads"].ink(feature).width == layers["road-casing"].ink(feature).gap == width


@pytest.mark.parametrize(
    ("properties", "is_drawn"),
    [({}, True), ({"kind": "tree"}, True), ({"landuse": "forest"}, True), ({"fclass": "retail"}, False)],
)
def test_the_street_style_tells_greens_from_other_land_use(properties: dict[str, Any], is_drawn: bool) -> None:
    (layer,) = [layer for layer in Style.load(shipped()["streets"]).layers if layer.id == "vegetation"]
    assert layer.draws(Feature("Polygon", properties)) is is_drawn


def test_land_cover_has_one_layer_for_each_text() -> None:
    style = Style.load(shipped()["landcover"])
    texts = [text for layer in style.layers for text in layer.filter[2]]
    assert len(set(texts)) == len(texts)
    for layer in style.layers:
        assert layer.id in layer.filter[2]
        assert layer.class_index == style.palette.names.index(layer.id)


@pytest.fixture(scope="module")
def page() -> str:
    return (Path(__file__).parents[1] / "docs" / "styles.md").read_text(encoding="utf-8")


def test_everything_that_is_drawn_is_described(page: str) -> None:
    names = [*ARGUMENTS, *(name for table in (PAINT, LAYOUT) for kind in table.values() for name in kind)]
    assert not [name for name in names if f"`{name}`" not in page]


def test_the_example_of_the_page_is_a_style(page: str) -> None:
    style = Style.from_json(json.loads(page.partition("```json")[2].partition("```")[0]), "docs/styles.md")
    roads = style.layers[1]
    assert [roads.ink(Feature("LineString", {"width": width})).width for width in ("5", "wide")] == [5, 8]
    assert roads.ink(Feature("LineString", {})).width == 8


def test_the_page_lists_what_the_land_cover_style_draws(page: str) -> None:
    style = Style.load(shipped()["landcover"])
    for layer, map_class in zip(style.layers, style.palette.classes, strict=True):
        colors = [bytes(color).hex().upper() for color in (map_class.display, map_class.color)]
        assert "| " + " | ".join([layer.id, *colors, ", ".join(layer.filter[2][1:])]) + " |" in page
