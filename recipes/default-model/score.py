"""Gather what `geopix2pix evaluate` found on several sets of pairs: score.py REPORT ... SCORES.json.

Each REPORT is a folder that `evaluate` wrote; its figures stand under the folder's name, without those of single tiles.
"""

import json
import sys
from pathlib import Path
from typing import Any


def gathered(folders: list[Path]) -> dict[str, Any]:
    """The scores in each folder, by its name."""
    found = {}
    for folder in folders:
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        rows = {name: {k: v for k, v in row.items() if k != "tiles"} for name, row in report["rows"].items()}
        found[folder.name] = {"split": report["split"], "classes": report["classes"], "rows": rows}
    return found


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    *reports, output = map(Path, sys.argv[1:])
    output.write_text(json.dumps(gathered(reports), indent=1) + "\n", encoding="utf-8")
