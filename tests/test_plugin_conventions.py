"""What keeps the plugin loadable: in any QGIS from 3.22 to 4, with Qt 5 and 6, beside any other packages."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.translate import translate

ROOT = Path(__file__).parents[1] / "qgis_plugin"
FILES = sorted(ROOT.rglob("*.py"))
ENUMS = {"Behavior", "MapSettingsFlag", "SourceType", "Type"}
"""Enums that are given a short name before their members are used."""
REMOVED = {"exec_", "QRegExp", "QDesktopWidget", "QStringList", "QSignalMapper", "toPyDateTime", "fromSecsSinceEpoch"}
"""Names that PyQt 6 or QGIS 4 no longer has."""
PROTOCOL = {"--progress", "--stop-on-eof", "--debug"}
"""Options by which the plugin and the command line understand each other."""


def faults(code: str) -> Iterator[str]:
    """What would fail with Qt 6, or needs more than QGIS and the standard library."""
    tree = ast.parse(code)
    ours, called, inner = set[str](), set[int](), set[int]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if not _is_there(alias.name))
        elif isinstance(node, ast.ImportFrom) and not node.level:
            if not _is_there(node.module or ""):
                yield node.module or ""
            if (node.module or "").startswith("qgis."):
                ours |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Call):
            called.add(id(node.func))
        elif isinstance(node, ast.Attribute):
            inner.add(id(node.value))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name) and ast.unparse(node).rpartition(".")[2] in REMOVED:
            yield ast.unparse(node)
        if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name) or node.value.id not in ours:
            continue
        # Class.Member alone; members of PyQt 6 are Class.Enum.Member, and classes within classes are called.
        if node.attr[0].isupper() and not {id(node)} & (called | inner) and node.attr not in ENUMS:
            yield ast.unparse(node)


def _is_there(module: str) -> bool:
    package = module.partition(".")[0]
    return package in ("qgis", "processing") or package in sys.stdlib_module_names


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_suits_qt_6_and_needs_nothing_else(path: Path) -> None:
    assert list(faults(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("import numpy", "numpy"),
        ("from PyQt5.QtCore import Qt", "PyQt5.QtCore"),
        ("from osgeo import gdal", "osgeo"),
        ("from qgis.core import Qgis\nlevel = Qgis.Warning", "Qgis.Warning"),
        ("from qgis.PyQt.QtCore import Qt\nf(Qt.AlignLeft)", "Qt.AlignLeft"),
        ("dialog.exec_()", "dialog.exec_"),
    ],
)
def test_what_would_not_do_is_seen(code: str, fault: str) -> None:
    assert fault in list(faults(code))


def test_what_does_is_left_alone() -> None:
    code = "from qgis.core import Qgis, QgsX\nimport json\nQgis.MessageLevel.Warning\nQgsX.Options()\nQgsX.instance()"
    assert list(faults(code)) == []


def offered() -> Iterator[str]:
    """The options that the algorithm `translate` gives: by `options(...)`, and those settled before."""
    for node in ast.walk(ast.parse((ROOT / "algorithms" / "translate.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "options":
            yield from ("--" + keyword.arg.replace("_", "-") for keyword in node.keywords if keyword.arg)
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "self._settled":
            assert isinstance(node.value, ast.Dict)
            yield from ("--" + ast.literal_eval(key) for key in node.value.keys if key)


def test_each_option_of_translate_is_offered_or_named_as_left_out() -> None:
    page = (ROOT.parent / "docs" / "qgis.md").read_text(encoding="utf-8")
    (paragraph,) = (part for part in page.split("\n\n") if part.startswith("Only the command line has"))
    left_out = set(re.findall(r"`(--[a-z-]+)`", paragraph))
    there = {name for parameter in translate.params for name in parameter.opts if name.startswith("--")}
    assert there - PROTOCOL == left_out | set(offered()) and not left_out & set(offered())
