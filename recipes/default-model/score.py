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
        scores = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        found[folder.name] = {name: value for name, value in scores.items() if name != "tiles"}
    return found


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    *reports, output = map(Path, sys.argv[1:])
    output.write_text(json.dumps(gathered(reports), indent=1) + "\n", encoding="utf-8")
