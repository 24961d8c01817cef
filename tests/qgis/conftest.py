"""Tests of the plugin run in the Python of QGIS, without a screen: `make test-qgis`."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def python() -> Path:
    """The interpreter of the environment whose command line the plugin runs."""
    chosen = os.environ.get("GEOPIX2PIX_PYTHON")
    if not chosen:
        pytest.skip("GEOPIX2PIX_PYTHON names no environment with geopix2pix; `make test-qgis` sets it")
    return Path(chosen)


@pytest.fixture(scope="session")
def sample(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The synthetic region that `geopix2pix sample` makes."""
    from qgis_plugin import command

    folder = tmp_path_factory.mktemp("region") / "sample"
    command.run(python, ["sample", str(folder)], os.environ, told=lambda record: None, cancelled=lambda: False)
    return folder
