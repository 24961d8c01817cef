"""The QGIS plugin of geopix2pix. It imports QGIS and the standard library only; the command line does the work."""

from typing import Any


def classFactory(iface: Any) -> Any:
    """The plugin; `iface` is None without a window."""
    from .plugin import Plugin

    return Plugin(iface)
