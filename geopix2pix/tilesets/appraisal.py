"""What is known of a pair of tiles, and whether it is worth keeping."""

from typing import Any

import numpy as np
import numpy.typing as npt

from geopix2pix import labels
from geopix2pix.registration import offset
from geopix2pix.tilesets.cutting import Legend, Pair


def skipped(pair: Pair, inside: npt.NDArray[np.bool_], coverage: float) -> str:
    """Why a pair is not worth keeping; "" if it is."""
    if not inside.any():
        return "outside the region"
    if not pair.source.valid.any():
        return "source without data"
    if not pair.target.valid.any():
        return "target without data"
    if pair.known.mean() < coverage:
        return "coverage too small"
    values = pair.source.data[:, pair.known]
    return "constant source" if (values == values[:, :1]).all() else ""


def facts(pair: Pair, legend: Legend | None) -> dict[str, Any]:
    """What the index says of a pair, as JSON values."""
    known = pair.known
    values = pair.source.data[:, known].astype(np.float64)
    target = pair.target.data if pair.labels is None else pair.labels[None]
    seen = target[:, known]
    found = offset(pair.source.data, target, known)
    return {
        "coverage": float(known.mean()),
        "offset": list(found),
        "constant_target": bool((seen == seen[:, :1]).all()),
        "shares": labels.shares(pair.labels, legend.palette, known) if pair.labels is not None and legend else {},
        "means": values.mean(axis=1).tolist(),
        "deviations": values.std(axis=1).tolist(),
    }
