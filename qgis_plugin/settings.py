"""What the plugin remembers, in the settings of the QGIS profile."""

from __future__ import annotations

import os
from pathlib import Path

from qgis.core import QgsApplication, QgsSettings

from .environment import interpreter_in

PYTHON = "geopix2pix/python"
"""The interpreter of the environment that does the work; empty = the plugin's own."""
VARIABLE = "GEOPIX2PIX_PYTHON"
"""The same for a process without a profile, such as a server; it goes before the setting."""


def environment_folder() -> Path:
    """Where the plugin's own environment lies: in the profile, beside its plugins."""
    return Path(QgsApplication.qgisSettingsDirPath()) / "geopix2pix" / "environment"


def python() -> Path:
    """The interpreter that does the work, whether it is there or not."""
    chosen = os.environ.get(VARIABLE) or chosen_python()
    return Path(chosen) if chosen else interpreter_in(environment_folder())


def chosen_python() -> str:
    """The environment that the user chose; "" = the plugin's own."""
    return str(QgsSettings().value(PYTHON, "") or "")


def choose_python(path: str) -> None:
    """Use another environment from now on; "" = the plugin's own."""
    QgsSettings().setValue(PYTHON, path)
