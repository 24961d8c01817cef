"""The QGIS plugin of geopix2pix. It imports QGIS and the standard library only; the work is done by the command line."""

from typing import Any


def classFactory(iface: Any) -> Any:  # noqa: N802 - the name that QGIS calls
    """The plugin; `iface` is None without a window."""
    from .plugin import Plugin

    return Plugin(iface)
