"""Patches: what windows show, or what a network answers, as one array (n, bands, rows, cols)."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Patches = npt.NDArray[np.float32]


def joined(parts: Sequence[Patches]) -> Patches:
    """All patches of some arrays in one; of a single array without a copy, which on a CPU is the rule."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
