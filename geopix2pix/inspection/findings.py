"""What is odd about a tile set and its tiles, in words."""

import math

from geopix2pix.inspection.summary import Summary, length
from geopix2pix.pages.phrases import many, percent
from geopix2pix.registration import Offset
from geopix2pix.tilesets.splits import shifted
from geopix2pix.tilesets.tileindex import Tile

MAX_ORIGINS = 3  # that are told of by name
MIN_COVERAGE = 0.5  # below, most of a tile teaches nothing


def findings(summary: Summary) -> list[str]:
    """What should be known before a model is trained on the set, a phrase each; empty where nothing is odd."""
    offsets, few = summary.offsets, sum(summary.coverage[: round(MIN_COVERAGE * 10)])
    found = {
        "no tile is for validation, so that no model can be judged": "validation" not in summary.parts,
        f"{many(offsets.beyond, 'target')} more than {offsets.limit:g} pixels beside the source": offsets.beyond > 0,
        f"offsets are known with confidence in {offsets.confident:,} of {many(offsets.measured, 'tile')} only": (
            2 * offsets.confident < offsets.measured
        ),
        f"{many(few, 'tile')} less than {percent(MIN_COVERAGE)} known": few > 0,
    }
    noted = [f"{many(count, 'tile')} noted: {kind}" for kind, count in sorted(summary.notes.items())]
    shares = {split: part.shares for split, part in summary.parts.items()}
    return [*(text for text, right in found.items() if right), *_beside(summary), *noted, *shifted(shares)]


def _beside(summary: Summary) -> list[str]:
    """The sources whose targets have an offset above the limit in common, the furthest first."""
    limit = summary.offsets.limit
    common = [(name, origin.common) for name, origin in summary.origins.items() if origin.common is not None]
    far = [(name, offset) for name, offset in common if math.hypot(offset.cols, offset.rows) > limit]
    far.sort(key=lambda pair: -math.hypot(pair[1].cols, pair[1].rows))
    told = [f"the targets of {name or 'the source'} lie beside it: {direction(offset)}" for name, offset in far]
    more = [f"so do those of {many(len(far) - MAX_ORIGINS, 'more source')}"] if len(far) > MAX_ORIGINS else []
    return told[:MAX_ORIGINS] + more


def doubts(tile: Tile, limit: float) -> list[str]:
    """Why a tile should be looked at, in a few words each: its note, an offset above `limit` pixels, few known ones."""
    offset = length(tile.offset)
    found = [
        (tile.note, bool(tile.note)),
        (f"offset of {offset or 0:.1f} pixels", offset is not None and offset > limit),
        (f"{percent(tile.coverage)} known", tile.coverage < MIN_COVERAGE),
    ]
    return [why for why, right in found if right]


def caption(tile: Tile) -> str:
    """What is known of a tile, in one line."""
    offset = length(tile.offset)
    measured = "offset unsure" if offset is None else f"offset {offset:.1f} px"
    parts = (tile.split, f"{percent(tile.coverage)} known", measured if tile.offset else "", tile.note)
    return " · ".join(part for part in parts if part)


def direction(offset: Offset) -> str:
    """An offset as people say it: "1.2 pixels right, 0.3 below"."""
    across, down = "right" if offset.cols >= 0 else "left", "below" if offset.rows >= 0 else "above"
    return f"{abs(offset.cols):.1f} pixels {across}, {abs(offset.rows):.1f} {down}"
