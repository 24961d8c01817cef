"""What the plugin says, ready for other languages."""

from __future__ import annotations

from qgis.PyQt.QtCore import QCoreApplication


def tr(text: str) -> str:
    """The text in the language of QGIS."""
    return str(QCoreApplication.translate("geopix2pix", text))


def duration(seconds: float) -> str:
    """A time that is left, in words."""
    if seconds < 90:
        return tr("{} s").format(round(seconds))
    return tr("{} min").format(round(seconds / 60)) if seconds < 5400 else tr("{:.1f} h").format(seconds / 3600)
