"""Where long work is, and how to stop it.

The library never prints. Long work calls a `Progress` callback with an `Event` after each step; a callback that wants
the work to stop raises `errors.Cancelled`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class Event:
    """One step of long work."""

    stage: str
    """What is being done, in one lower-case word: "translate", "assemble", "train", "validate", ..."""
    done: int
    """Units finished in this stage."""
    total: int
    """Units in this stage; 0 where it is unknown."""
    unit: str
    """What is counted, as a plural: "windows", "steps", "images"."""
    values: Mapping[str, float] = field(default_factory=dict)
    """Figures that belong to this step, such as losses and scores."""


Progress = Callable[[Event], None]


def silent(event: Event) -> None:
    """A `Progress` that shows nothing and never stops the work."""


def repeated(progress: Progress, stage: str, number: int, of: int) -> Progress:
    """A `Progress` for run `number`, from 0, of the `of` equal ones that make up a stage: they are told as one."""

    def tell(event: Event) -> None:
        if event.stage == stage:
            event = replace(event, done=number * event.total + event.done, total=of * event.total)
        progress(event)

    return tell
