"""Which maps of a set lie beside their images, and what that says of each tile."""

import math
from collections.abc import Sequence

from geopix2pix.journal import Line
from geopix2pix.registration import CONFIDENT, Offset, pooled
from geopix2pix.tilesets.crew import Shift
from geopix2pix.tilesets.tileindex import ORIGINS


def common_offsets(lines: Sequence[Line]) -> dict[str, Offset]:
    """The offset that the kept tiles of each source file have in common, where it is confident.

    A tile in which several files show counts for the one on top. The offset of a single tile is often wrong: what the
    tiles of a file say together is not (docs/decisions/008-pairs-that-fit.md).
    """
    by_file: dict[str, list[Offset]] = {}
    for line in lines:
        if "skipped" not in line:
            by_file.setdefault(file_of(line), []).append(Offset(*line["offset"]))
    common = {file: pooled(offsets) for file, offsets in by_file.items()}
    return {file: found for file, found in common.items() if found.confidence >= CONFIDENT}


def too_far(offsets: dict[str, Offset], limit: float) -> dict[str, Shift]:
    """The source files beside which the target lies by more than `limit` pixels, and where it lies."""
    shifts = {file: (offset.cols, offset.rows) for file, offset in offsets.items()}
    return {file: shift for file, shift in shifts.items() if math.hypot(*shift) > limit}


def file_of(line: Line) -> str:
    """The source file on top in a tile that was kept."""
    return str(line["origin"]).partition(ORIGINS)[0]


def told(shifts: dict[str, Shift]) -> str:
    """Where the target lies, in words, of the three that lie furthest off."""
    furthest = sorted(shifts, key=lambda file: (-math.hypot(*shifts[file]), file))
    some = "; ".join(f"{shifts[file][0]:+.1f} and {shifts[file][1]:+.1f} from {file}" for file in furthest[:3])
    others = f" and {len(shifts) - 3} more files" if len(shifts) > 3 else ""
    return f"the target lies to the right and below by pixels: {some}{others}"
