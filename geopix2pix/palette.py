"""Map classes: their names, the colours they are trained with and the colours they are shown in.

A pixel of a target is described by the *set of classes that it may be*, kept as a bit mask (bit k = class k): one bit
where the class is named, all but the named classes where a partial source says "none of mine", all bits where nothing
is known.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geopix2pix.errors import ConfigError

RGB = tuple[int, int, int]
MAX_CLASSES = 32  # the sets of classes are bit masks of 32 bits


@dataclass(frozen=True, slots=True, kw_only=True)
class MapClass:
    """One class of a map."""

    name: str
    color: RGB
    """The training colour, in which losses see the class; well apart from all others."""
    display: RGB
    """The colour in finished maps."""
    target: RGB
    """The colour that means this class in the target pictures."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Palette:
    """The classes of a map, in the order of their indices, and what one source of targets knows of them."""

    classes: tuple[MapClass, ...]
    knows: tuple[str, ...]
    """The classes that this source of targets can name; all of them for complete labels."""
    other: tuple[RGB, ...] = ()
    """Target colours that mean "none of the classes in `knows`"."""
    unlabelled: tuple[RGB, ...] = ()
    """Target colours that mean "nothing is known"."""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(c.name for c in self.classes)

    @property
    def colors(self) -> npt.NDArray[np.uint8]:
        """The training colours, shape (classes, 3)."""
        return np.array([c.color for c in self.classes], dtype=np.uint8)

    @property
    def display(self) -> npt.NDArray[np.uint8]:
        """The display colours, shape (classes, 3)."""
        return np.array([c.display for c in self.classes], dtype=np.uint8)

    @property
    def everything(self) -> int:
        """The set of all classes, which says nothing."""
        return int(2 ** len(self.classes) - 1)

    def allowed(self, picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
        """The set of classes that each pixel of a target picture may be.

        `picture` has shape (3, rows, cols); the answer, shape (rows, cols), is a bit mask per pixel. Each pixel takes
        the meaning of the nearest listed colour (squared distance in RGB, the first listed wins a tie), since JPEG
        targets never hit their colours exactly.
        """
        known = [i for i, c in enumerate(self.classes) if c.name in self.knows]
        none_of_them = self.everything & ~sum(1 << i for i in known)
        meanings = [
            *((self.classes[i].target, 1 << i) for i in known),
            *((color, none_of_them) for color in self.other),
            *((color, self.everything) for color in self.unlabelled),
        ]
        pixels = picture.astype(np.int32)
        best = np.full(picture.shape[1:], np.iinfo(np.int32).max, dtype=np.int32)
        sets = np.zeros(picture.shape[1:], dtype=np.int64)
        for color, meaning in meanings:
            distance = sum((pixels[b] - color[b]) ** 2 for b in range(3))
            nearer = distance < best
            best = np.where(nearer, distance, best)
            sets[nearer] = meaning
        return sets

    def to_json(self) -> dict[str, Any]:
        return {
            "classes": [
                {"name": c.name, "color": _hex(c.color), "display": _hex(c.display), "target": _hex(c.target)}
                for c in self.classes
            ],
            "knows": list(self.knows),
            "other": [_hex(color) for color in self.other],
            "unlabelled": [_hex(color) for color in self.unlabelled],
        }

    @classmethod
    def from_json(cls, data: Any, where: str) -> "Palette":
        """The palette in a parsed JSON document; `where` names the document in error messages.

        `display` and `target` default to `color`, `knows` to all classes.

        Raises:
            ConfigError: a field is missing, of the wrong type, or contradicts another; the message names it.
        """
        if not isinstance(data, Mapping):
            raise ConfigError(
                f"{where}: a palette is a JSON object with a list of `classes`, found {type(data).__name__}"
            )
        entries = data.get("classes")
        if not isinstance(entries, Sequence) or isinstance(entries, str) or not 2 <= len(entries) <= MAX_CLASSES:
            raise ConfigError(f"{where}: `classes` must be a list of 2 to {MAX_CLASSES} classes")
        classes = tuple(_map_class(entry, f"{where}: classes[{i}]") for i, entry in enumerate(entries))
        names = [c.name for c in classes]
        for what, values in (("name", names), ("color", [c.color for c in classes])):
            if len(set(values)) < len(values):
                raise ConfigError(f"{where}: two classes have the same `{what}`; every class needs its own")
        knows = data.get("knows", names)
        if not isinstance(knows, list) or not knows or not all(name in names for name in knows):
            raise ConfigError(f"{where}: `knows` must list some of the classes {names}, found {knows!r}")
        other, unlabelled = (_colors(data.get(field, []), f"{where}: {field}") for field in ("other", "unlabelled"))
        if bool(other) != (len(set(knows)) < len(classes)):
            raise ConfigError(
                f"{where}: `knows` names {len(set(knows))} of {len(classes)} classes and `other` lists {len(other)} "
                "colours; a source that knows only some classes needs the colours that mean none of them, a complete "
                "one must not have any"
            )
        meanings = [*(c.target for c in classes if c.name in knows), *other, *unlabelled]
        if len(set(meanings)) < len(meanings):
            raise ConfigError(f"{where}: a target colour has two meanings; every class and list needs its own")
        return cls(classes=classes, knows=tuple(knows), other=other, unlabelled=unlabelled)

    @classmethod
    def load(cls, path: Path) -> "Palette":
        """The palette in the JSON file at `path`.

        Raises:
            ConfigError: the file cannot be read or is no valid palette.
        """
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(f"{path}: no readable palette ({error}); see the README for its form") from error
        return cls.from_json(data, str(path))


def _map_class(entry: Any, where: str) -> MapClass:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str) or "color" not in entry:
        raise ConfigError(f"{where}: a class is an object with a `name` and a `color`, found {entry!r}")
    color = _rgb(entry["color"], f"{where}.color")
    return MapClass(
        name=entry["name"],
        color=color,
        display=_rgb(entry.get("display", entry["color"]), f"{where}.display"),
        target=_rgb(entry.get("target", entry["color"]), f"{where}.target"),
    )


def _colors(texts: Any, where: str) -> tuple[RGB, ...]:
    if not isinstance(texts, list):
        raise ConfigError(f"{where}: a list of colours is needed, found {texts!r}")
    return tuple(_rgb(text, where) for text in texts)


def _rgb(text: Any, where: str) -> RGB:
    digits = text.removeprefix("#") if isinstance(text, str) else ""
    try:
        red, green, blue = bytes.fromhex(digits)
    except ValueError:
        raise ConfigError(f"{where}: a colour is six hexadecimal digits such as F2EFE9, found {text!r}") from None
    return red, green, blue


def _hex(color: RGB) -> str:
    return bytes(color).hex().upper()
