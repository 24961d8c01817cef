"""The log of a training run, `log.jsonl`: a JSON object a line, the same from run to run.

Lines hold the losses of a step, the figures of an epoch (`validation`), an alarm, or the shares of classes, and all of
them `step` and `epoch`.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NAME = "log.jsonl"


def append(run: Path, line: Mapping[str, object]) -> None:
    with (run / NAME).open("a", encoding="utf-8") as log:
        log.write(json.dumps(line) + "\n")


def entries(run: Path) -> list[dict[str, Any]]:
    """All lines of the log of a run that is at work in this process, oldest first."""
    return [json.loads(line) for line in (run / NAME).read_text(encoding="utf-8").splitlines()]


def cut(run: Path, step: int, epoch: int) -> None:
    """Drop what was logged after the moment from which a run goes on; `epoch` is the last one that was finished."""
    log = run / NAME
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    log.write_text("".join(f"{line}\n" for line in lines if _was_before(line, step, epoch)), encoding="utf-8")


def _was_before(line: str, step: int, epoch: int) -> bool:
    try:
        entry = json.loads(line)
        of_an_epoch = "validation" in entry or "alarm" in entry
        return bool(entry["epoch"] <= epoch if of_an_epoch else entry["step"] <= step)
    except (ValueError, KeyError, TypeError):  # a line that was being written when the run was killed, or not ours
        return False
