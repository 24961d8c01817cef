"""HTML and SVG elements. Whatever is not markup already is escaped, since names of files and classes may be hostile."""

from collections.abc import Container, Iterable, Sequence
from html import escape

VOID = frozenset({"img", "input", "meta"})


class Markup(str):
    """Text that is HTML already: made by `element` and `joined`, or written by us."""

    __slots__ = ()


def element(name: str, /, *children: str, **attributes: str | float | None) -> Markup:
    """The element `name` with its children; those that are not `Markup` are shown as plain text.

    In the names of attributes a final underscore is dropped and others become hyphens. An attribute of None is left
    out, numbers are written with up to six digits.

    >>> element("td", "a < b", class_="n")
    '<td class="n">a &lt; b</td>'
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_text(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{written}>" if name in VOID else f"<{name}{written}>{joined(children)}</{name}>")


def joined(parts: Iterable[str]) -> Markup:
    """The parts one after another; those that are not `Markup` are shown as plain text."""
    return Markup("".join(part if isinstance(part, Markup) else escape(part) for part in parts))


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]], numbers: Container[int] = ()) -> Markup:
    """A table that scrolls by itself where it is too wide; the columns with these `numbers` are set to the right."""
    kind = {column: "n" if column in numbers else None for column in range(len(head))}
    lines = (
        element("tr", *(element("td", cell, class_=kind[column]) for column, cell in enumerate(row))) for row in rows
    )
    names = (element("th", name, scope="col", class_=kind[column]) for column, name in enumerate(head))
    content = (element("caption", caption), element("thead", element("tr", *names)), element("tbody", *lines))
    return element("div", element("table", *content), class_="scroll", tabindex="0", role="group", aria_label=caption)


def _text(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.6g}"
