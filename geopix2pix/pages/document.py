"""A page of HTML in one file, to be opened in any browser without a network, and to be sent as it is."""

import base64
import hashlib
import io
from collections.abc import Iterable, Mapping
from importlib.resources import files
from string import Template

from PIL import Image

from geopix2pix.pages.markup import Markup, element, joined

JPEG_QUALITY = 85


def document(title: str, body: Iterable[str], *, style: str = "", script: str = "") -> bytes:
    """The page, in the style that all pages share and in its own.

    It is complete in itself and asks for nothing: its policy forbids browsers to fetch anything, and to obey any
    style or script but its own.
    """
    style = _template("css") + style
    page = Template(_template("html")).substitute(
        title=element("title", title),
        style=style,
        style_hash=_hash(style),
        script=script,
        script_hash=_hash(script),
        body=joined(body),
    )
    return page.encode(errors="replace")  # names of files need not be text


def masthead(kind: str, title: str, lead: str, figures: Iterable[tuple[str, str, str]]) -> Markup:
    """The head of a page: what it is about, and a few figures, each with its name before and a remark behind it."""
    key = (
        element("div", element("dt", name), element("dd", figure, element("small", of))) for name, figure, of in figures
    )
    return element(
        "header",
        element("p", kind, class_="eyebrow"),
        element("h1", title),
        element("p", lead, class_="lead"),
        element("dl", *key, class_="key"),
    )


def sections(parts: Mapping[str, Markup]) -> Markup:
    """The parts of a page by their titles, one after another."""
    return element(
        "main", *(element("section", element("h2", title), element("div", part)) for title, part in parts.items())
    )


def picture(image: Image.Image, alt: str) -> Markup:
    """A picture within the page: exact if it has few colours, as a JPEG otherwise."""
    with io.BytesIO() as file:
        if image.getcolors(256):
            kind = "png"
            image.convert("P", palette=Image.Palette.ADAPTIVE).save(file, "PNG")
        else:
            kind = "jpeg"
            image.save(file, "JPEG", quality=JPEG_QUALITY)
        data = f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"
    return element("img", src=data, alt=alt, width=image.width, height=image.height, loading="lazy")


def _template(kind: str) -> str:
    templates = files("geopix2pix.pages").joinpath("templates")
    return templates.joinpath(f"page.{kind}").read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """How a policy names a style or script that it allows."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
