"""An append-only file of JSON lines that survives a kill at any moment: what is in it has happened."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Line = dict[str, Any]


def read_journal(path: Path) -> list[Line]:
    """All complete lines; none if there is no such file. A torn last line, as a kill leaves it, does not count."""
    if not path.exists():
        return []
    complete = path.read_bytes().split(b"\n")[:-1]
    lines = []
    for text in complete:
        try:
            line = json.loads(text)
        except ValueError:
            break
        if not isinstance(line, dict):
            break
        lines.append(line)
    return lines


def start_journal(path: Path, lines: list[Line]) -> None:
    """Replace the journal by one that holds just these lines."""
    unnamed = path.with_suffix(".new")
    _write(unnamed, "wb", lines)
    unnamed.replace(path)


def append_line(path: Path, line: Line) -> None:
    """Add a line; it has reached the disk when this returns."""
    _write(path, "ab", [line])


def differences(old: Line, new: Line) -> list[str]:
    """What a new line says otherwise than an old one, one text for each value: `spec.dtype was "uint8", is "int16"`."""
    before, now = dict(_leaves("", old)), dict(_leaves("", new))
    return [
        f"{name} was {before.get(name, 'absent')}, is {now.get(name, 'absent')}"
        for name in sorted(before | now)
        if before.get(name) != now.get(name)
    ]


def _leaves(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """The values in a JSON value, each with its path in it."""
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves(f"{name}.{key}" if name else str(key), inner)
    else:
        yield name, json.dumps(value)


def _write(path: Path, mode: str, lines: list[Line]) -> None:
    with path.open(mode) as file:
        file.write(b"".join(json.dumps(line, sort_keys=True).encode() + b"\n" for line in lines))
        file.flush()
        os.fsync(file.fileno())
