"""Redirects: where a server sends a request, and whether it may go there."""

import re


def joined(url: str, location: str) -> str:
    """Where a redirect leads that was sent by `url`."""
    from urllib3.util import parse_url

    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", location):
        return location
    here = parse_url(url)
    if location.startswith("//"):
        return f"{here.scheme}:{location}"
    folder = "" if location.startswith("/") else (here.path or "/").rpartition("/")[0] + "/"
    return f"{here.scheme}://{here.netloc}{folder}{location}"


def is_safe(url: str, target: str) -> bool:
    """Whether a redirect from `url` to `target` stays on the web, and encrypted where it was."""
    return re.match("https://" if url.startswith("https://") else "https?://", target) is not None
