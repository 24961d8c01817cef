"""The command line of geopix2pix in a process of its own. Standard library only."""

from __future__ import annotations

import json
import queue
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

Record = Mapping[str, Any]
"""An `event` (start, progress, metric, warning, text, result or error) and its values."""

FOREIGN = ("PYTHON", "GDAL_", "CPL_", "PROJ_", "QT_", "LD_LIBRARY_PATH", "LD_PRELOAD", "DYLD_", "OSGEO4W", "GISBASE")
"""Beginnings of the variables that QGIS sets for itself: with them rasterio finds another PROJ, or Python other
modules, which is the best-known cause of broken plugins."""
MODULE = "geopix2pix_cli"
NO_WINDOW: int = getattr(subprocess, "CREATE_NO_WINDOW", 0)  # on Windows a console would flash
TURN = 0.1  # seconds between two looks at whether to cancel
GRACE = 1.0  # seconds that a child has to stop by itself: its output is journalled, so killing it is safe
TAIL = 20  # lines of standard error that are kept for a message


class CommandError(Exception):
    """The command did not do what was asked; the message is what it told."""


class CommandCancelled(Exception):
    """The command was stopped on request."""


def cleaned(variables: Mapping[str, str]) -> dict[str, str]:
    """The environment for a child: without what belongs to the Python, GDAL, PROJ and Qt of QGIS."""
    return {name: value for name, value in variables.items() if not name.upper().startswith(FOREIGN)}


def run(
    python: str | Path,
    arguments: Sequence[str],
    variables: Mapping[str, str],
    *,
    told: Callable[[Record], None],
    cancelled: Callable[[], bool],
) -> Record:
    """Run a command that works for long, and its result record.

    `python` is the interpreter of the environment with geopix2pix, `variables` the environment of this process. `told`
    gets each record; `cancelled` is asked ten times a second, also while the child is silent.

    Raises:
        CommandError: the environment cannot be started, or the command failed.
        CommandCancelled: `cancelled` said so; what is finished is kept for the next run.
    """
    line = [*_start(python), *arguments, "--progress", "json", "--stop-on-eof"]
    result: Record | None = None
    complaint = ""
    with _child(line, variables) as (child, tail):
        for record in _records(child, cancelled):
            told(record)
            if record["event"] == "result":
                result = record
            elif record["event"] == "error":
                complaint = str(record.get("message", ""))
    if child.returncode == 0 and result is not None:
        return result
    raise CommandError(complaint or _ending(python, child.returncode, tail))


def ask(python: str | Path, arguments: Sequence[str], variables: Mapping[str, str], seconds: float = 120) -> Any:
    """The JSON document that a short command prints with `--json`; its exit code does not matter.

    Raises:
        CommandError: it cannot be started, takes longer, or prints something else.
    """
    line = [*_start(python), *arguments, "--json"]
    try:
        done = subprocess.run(  # noqa: S603 - a list, no shell, and an interpreter that the user chose
            line, env=cleaned(variables), stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds,
            creationflags=NO_WINDOW, check=False,
        )  # fmt: skip
        return json.loads(done.stdout)
    except OSError as error:
        raise CommandError(_missing(python, error)) from error
    except subprocess.TimeoutExpired as error:
        raise CommandError(f"{python}: did not answer within {seconds:.0f} seconds") from error
    except ValueError as error:
        tail = deque(done.stderr.decode(errors="replace").splitlines(), TAIL)
        raise CommandError(_ending(python, done.returncode, tail)) from error


def _start(python: str | Path) -> list[str]:
    return [str(python), "-I", "-m", MODULE]  # isolated: no PYTHON* variable and no current folder counts


@contextmanager
def _child(line: Sequence[str], variables: Mapping[str, str]) -> Iterator[tuple[subprocess.Popen[bytes], deque[str]]]:
    """A running child and the last lines of its standard error. Afterwards it has ended, whatever happened."""
    try:
        child = subprocess.Popen(  # noqa: S603 - a list, no shell, and an interpreter that the user chose
            line, env=cleaned(variables), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            creationflags=NO_WINDOW,
        )  # fmt: skip
    except OSError as error:
        raise CommandError(_missing(line[0], error)) from error
    tail: deque[str] = deque(maxlen=TAIL)
    assert child.stdin and child.stderr
    drain = threading.Thread(target=_keep, args=(child.stderr, tail), daemon=True)
    with child:
        drain.start()
        try:
            yield child, tail
        finally:
            child.stdin.close()  # with --stop-on-eof the child stops, as it does when this process is gone
            try:
                child.wait(GRACE)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            drain.join(GRACE)


def _records(child: subprocess.Popen[bytes], cancelled: Callable[[], bool]) -> Iterator[Record]:
    """What the child tells until it closes its standard output."""
    for line in lines_of(child, cancelled):
        try:
            record = json.loads(line)
        except ValueError:  # something printed past the protocol
            continue
        if isinstance(record, dict) and isinstance(record.get("event"), str):
            yield record


def lines_of(child: subprocess.Popen[bytes], cancelled: Callable[[], bool]) -> Iterator[bytes]:
    """The lines on the standard output of a child, until it closes it and ends.

    Raises:
        CommandCancelled: `cancelled`, which is asked ten times a second, said so. The child goes on meanwhile.
    """
    lines: queue.Queue[bytes | None] = queue.Queue()
    assert child.stdout
    threading.Thread(target=_forward, args=(child.stdout, lines), daemon=True).start()
    while True:
        if cancelled():
            raise CommandCancelled("cancelled")
        try:
            line = lines.get(timeout=TURN)
        except queue.Empty:
            continue
        if line is None:
            child.wait()
            return
        yield line


def _forward(stream: IO[bytes], lines: queue.Queue[bytes | None]) -> None:
    try:
        for line in stream:
            lines.put(line)
    except ValueError:  # closed meanwhile
        pass
    finally:
        lines.put(None)


def _keep(stream: IO[bytes], tail: deque[str]) -> None:
    for line in stream:
        tail.append(line.decode(errors="replace").rstrip())


def _missing(python: str | Path, error: OSError) -> str:
    return f"{python}: cannot be started ({error.strerror or error}); set up the environment, or choose another one"


def _ending(python: str | Path, code: int, tail: Sequence[str]) -> str:
    last = next((line for line in reversed(tail) if line.strip()), "it said nothing")
    if "No module named" in last and MODULE.partition("_")[0] in last:
        return f"{python}: has no geopix2pix; set up the environment, or choose another one"
    return f"the command line ended with code {code}: {last}"
