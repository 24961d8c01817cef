"""Whether pictures can be read to their end: those of a run's pairs, before it begins."""

import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from geopix2pix.errors import PairsError, SceneWarning, UnreadableWarning
from geopix2pix.pair import Pair, PairSet, opened
from geopix2pix.progress import Event, Progress, silent

SHARE = 0.01  # of the pairs that a run may go without, or a single one: more is a fault of the set, not of a file
LARGEST = 2**24  # pixels of a picture that is read whole for this; the first crop from the rest of a larger one tells
READERS = 4
NAMED = 5


def sound(sets: Sequence[PairSet], progress: Progress = silent) -> list[PairSet]:
    """The sets without the pairs that cannot be read, of which a warning tells.

    Raises:
        PairsError: there are too many, or nothing is left to learn from.
    """
    pairs = [pair for s in sets for pair in (*s.train, *s.validation)]
    faults: dict[Pair, str] = {}
    with warnings.catch_warnings(), ThreadPoolExecutor(READERS) as readers:
        warnings.simplefilter("ignore", SceneWarning)  # what is doubtful was told when the pairs were opened
        for done, (pair, fault) in enumerate(zip(pairs, readers.map(_fault, pairs), strict=True), start=1):
            if fault:
                faults[pair] = fault
            progress(Event("check", done, len(pairs), "pairs"))
    if not faults:
        return list(sets)
    listed = "; ".join([*list(faults.values())[:NAMED], *(["and more"] if len(faults) > NAMED else [])])
    count = f"{len(faults)} of {len(pairs)} pairs cannot be read ({listed})"
    left = list(_without(sets, faults))
    if len(faults) > max(1, SHARE * len(pairs)) or not all(s.train for s in left):
        raise PairsError(f"{count}, more than {SHARE:.0%}; write them again, or delete them with their partners")
    warnings.warn(UnreadableWarning(f"{count}; the run goes without them"), stacklevel=3)
    return left


def _fault(pair: Pair) -> str | None:
    """Why a pair cannot be read; None if it can, or is too large to be looked at whole."""
    if pair.width * pair.height > LARGEST:
        return None
    files = [(pair.source, pair.source_window), (pair.target, pair.target_window)]
    if pair.classes is not None:
        files.append((pair.classes, pair.target_window))
    try:
        for path, window in files:
            with opened(path) as reader:
                reader.read(window)
    except PairsError as error:
        return str(error)
    return None


def _without(sets: Sequence[PairSet], faults: dict[Pair, str]) -> Iterator[PairSet]:
    for s in sets:
        train, validation = (tuple(pair for pair in part if pair not in faults) for part in (s.train, s.validation))
        yield replace(s, train=train, validation=validation)
