"""One page of HTML on a training run: how it went, what it paints, what it learned from, with which options."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from geopix2pix.errors import ConfigError
from geopix2pix.output import write_bytes
from geopix2pix.pages.charts import stacked_bar, swatch
from geopix2pix.pages.curves import Point, curve
from geopix2pix.pages.document import document, masthead, picture, sections
from geopix2pix.pages.markup import Markup, element, joined, table
from geopix2pix.pages.phrases import duration, many, percent
from geopix2pix.palette import Palette
from geopix2pix.watching.history import History

LATE = 50  # steps over which the newest loss is averaged
COLUMNS = 3  # of a sheet of samples: source, target, output


def write_report(run: Path, target: Path | None = None) -> Path:
    """Write the page on the run in a folder, finished or not, to `target` or else `report.html` there; its path.

    Raises:
        ConfigError: the folder holds no run, or a sheet of samples cannot be read.
        OutputError: the page cannot be written.
    """
    target = target or run / "report.html"
    write_bytes(target, run_page(History.read(run)))
    return target


def run_page(history: History) -> bytes:
    """The page on a run.

    Raises:
        ConfigError: a sheet of samples cannot be read.
    """
    parts = {
        "Warnings": _alarms(history),
        "Samples": _samples(history),
        "Validation": _validation(history),
        "Losses": _losses(history),
        "Data": _data(history),
        "Options": _options(history),
        "Machine": _machine(history),
    }
    text = "Made by geopix2pix. This page is one file and asks nothing of any network."
    return document(f"{history.name} · training", [_head(history), sections(parts), element("footer", text)])


def _head(history: History) -> Markup:
    done, planned, config = history.steps, history.planned, history.about["config"]
    state = "finished" if history.finished else f"not finished: {percent(done / max(planned, 1))} of its steps are done"
    epoch = max((entry["epoch"] for entry in history.log), default=0)
    figures = [
        ("Steps", f"{done:,}", f"of {planned:,}, of {many(config['batch'], 'crop')} each"),
        ("Epoch", str(epoch), f"of {config['epochs']}"),
    ]
    scores = dict(history.figures().get("score", []))
    if history.best is not None:
        figures.append(("Best score", f"{scores[history.best]:.3f}", f"in epoch {history.best}"))
    if seconds := history.seconds():
        speed = done * config["batch"] / seconds
        figures.append(("Time", duration(seconds), f"{speed:.3g} crops a second, all included"))
    return masthead("Training run", history.name, state[0].upper() + state[1:], figures)


def _alarms(history: History) -> Markup:
    items = [element("li", text[0].upper() + text[1:] + ".") for text in history.alarms if text]
    nothing = element("li", "None was raised.")
    return element("ul", *(items or [nothing]), class_="findings" if items else "findings fine")


def _samples(history: History) -> Markup:
    """The same crops after a few epochs: the first, the best and the last."""
    if not history.samples:
        return element("p", "There are none before the first epoch is done.")
    known = list(history.samples)
    best = [epoch for epoch in known if epoch == history.best]
    epochs = sorted({known[0], *best, known[-1]})
    last = _columns(history.samples[known[-1]])
    shown = {"source": last[0], "target": last[1]}
    for epoch in epochs:
        said = "".join([", the best" * (epoch in best), ", the last" * (epoch == known[-1])])
        shown[f"epoch {epoch}{said}"] = _columns(history.samples[epoch])[2]
    figures = (
        element("figure", picture(image, f"{name} of the samples"), element("figcaption", name))
        for name, image in shown.items()
    )
    colors = (element("li", swatch(c.display), c.name) for c in _classes(history))
    note = "The same crops throughout: held-out ones, or training crops where nothing is held out. Grey is not known."
    return joined(
        [
            element("p", note, class_="note"),
            element("ul", *colors, class_="legend always"),
            element("div", *figures, class_="samples"),
        ]
    )


def _columns(sheet: Path) -> list[Image.Image]:
    try:
        with Image.open(sheet) as image:
            image.load()
            side = image.width // COLUMNS
            return [image.crop((i * side, 0, (i + 1) * side, image.height)).convert("RGB") for i in range(COLUMNS)]
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise ConfigError(f"{sheet}: cannot be read as a sheet of samples ({error}); delete it") from error


def _validation(history: History) -> Markup:
    figures, epochs = history.figures(), history.about["config"]["epochs"]
    if not figures:
        return element("p", "No epoch was judged: none is done, or there are no held-out pairs.")
    parts = [
        _figure(name.replace("_", " "), f"{points[-1][1]:.3f}", points, epochs, history.best)
        for name, points in figures.items()
        if points
    ]
    note = "By epoch, on the held-out crops; ring: the epoch of the best score. The name is followed by the last value."
    return joined([element("p", note, class_="note"), element("div", *parts, class_="three")])


def _losses(history: History) -> Markup:
    curves = {name: points for name, points in history.losses().items() if points}
    if not curves:
        return element("p", "No step is done.")
    parts = []
    for name, points in curves.items():
        late = [value for _, value in points[-LATE:]]
        parts.append(_figure(name, f"{sum(late) / len(late):.4g}", points, history.planned))
    if rates := history.rates():
        parts.append(_figure("learning rate", f"{rates[-1][1]:.3g}", rates, history.planned))
    note = (
        "By step, each before it is weighted; the generator's is the weighted sum. Where steps are too many to see, "
        f"the band holds 8 in 10 of them. The name is followed by the mean of the last {LATE} steps."
    )
    return joined([element("p", note, class_="note"), element("div", *parts, class_="three")])


def _figure(title: str, value: str, points: Sequence[Point], end: float, marked: float | None = None) -> Markup:
    return element(
        "figure", element("h3", title, " ", element("b", value)), curve(points, title, end=end, marked=marked)
    )


def _data(history: History) -> Markup:
    shares, classes = history.shares(), _classes(history)
    sets = history.about["pairs"]
    rows = [(s["name"], f"{s['train']:,}", f"{s['validation']:,}", f"{s.get('weight', 1):g}") for s in sets]
    counts = table("Sets of pairs", ("set", "to learn from", "to judge by", "weight in the draw"), rows, {1, 2, 3})
    if not shares:
        return counts
    colors = {c.name: c.display for c in classes}
    bars = (
        joined([element("dt", name), element("dd", stacked_bar(found, colors, f"Classes of {name}"))])
        for name, found in shares.items()
    )
    lines = [
        (
            element("span", swatch(color), name, class_="split"),
            *(percent(found.get(name, 0)) for found in shares.values()),
        )
        for name, color in colors.items()
    ]
    text = "Share of all pixels; what is left is not known"
    return joined(
        [
            counts,
            element("h3", "Classes in up to 32 training crops of each set"),
            element("dl", *bars, class_="bars"),
            table(text, ("class", *shares), lines, range(1, 1 + len(shares))),
        ]
    )


def _classes(history: History) -> Sequence[Any]:
    """The classes that the model paints; none for pictures without classes."""
    found = history.about["pairs"][0].get("palette") if history.about["pairs"] else None
    if not found or history.about["config"]["generator"]["head"] != "palette":
        return ()
    return Palette.from_json(found, "config.json").classes


def _options(history: History) -> Markup:
    rows = [(name, json.dumps(value)) for name, value in history.about["config"].items() if not isinstance(value, dict)]
    parts = [table("Options, all of them", ("option", "value"), rows)]
    for name in ("generator", "discriminator"):
        rows = [(field, json.dumps(value)) for field, value in history.about["config"].get(name, {}).items()]
        parts.append(table(name.capitalize(), ("option", "value"), rows))
    again = "config.toml in the run folder holds the same for --config."
    return joined(
        [element("details", element("summary", "Show all options"), *parts), element("p", again, class_="note")]
    )


def _machine(history: History) -> Markup:
    begun = [entry for entry in history.times if "begun" in entry]
    if not begun:
        return element("p", "Was not noted.")
    rows = [
        (entry["at"].replace("T", " ").replace("+00:00", " UTC"), f"{entry['step']:,}", *map(", ".join, _facts(entry)))
        for entry in begun
    ]
    head = ("begun", "at step", "machine", "versions")
    return table("When the run was begun and continued, and on what", head, rows, {1})


def _facts(entry: Any) -> Iterator[list[str]]:
    for name in ("machine", "versions"):
        yield [f"{key} {value}" for key, value in entry.get(name, {}).items()]
