"""Witness: a small process that tells what ended this one if it was a library in C, which leaves no time for words."""

import faulthandler
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import PIPE, Popen

from .report import Mode, error_line

FATAL = {
    "Segmentation fault": "SIGSEGV",
    "Aborted": "SIGABRT",
    "Bus error": "SIGBUS",
    "Floating": "SIGFPE",
    "Illegal instruction": "SIGILL",
}
"""The signals by which libraries fail, by the words that Python's faulthandler begins with."""
# The other process. It is given lines by such words, and says the one for what it has read when nobody writes any more:
# before that, other threads may tell of their progress yet.
WITNESS = """
import contextlib, json, os, sys
lines, stream = json.loads(sys.argv[1]), int(sys.argv[2])
first, _ = sys.stdin.buffer.readline(), sys.stdin.buffer.read()
with contextlib.suppress(OSError):
    for words, line in lines.items():
        if words.encode() in first:
            os.write(stream, line.encode("utf-8", "backslashreplace"))
"""


@contextmanager
def witnessed(source: str, mode: Mode) -> Iterator[None]:
    """A context in which one line, an error as any other, tells that reading `source` has ended this process.

    It ends by its signal as ever, for which Python's own handler first writes into a pipe what happens. Nothing is told
    on Windows, if no process can be started, or where that handler is in use already and writes elsewhere.
    """
    if os.name != "posix" or faulthandler.is_enabled():
        yield
        return
    lines = {words: error_line(*_told(source, name), mode) for words, name in FATAL.items()}
    command = [sys.executable, "-I", "-S", "-c", WITNESS, json.dumps(lines), "1" if mode == "json" else "2"]
    try:  # in a session of its own: what asks all processes of the command to stop must not end it first
        witness = Popen(command, stdin=PIPE, start_new_session=True)  # noqa: S603 - our own interpreter
    except OSError:
        yield
        return
    with witness:
        assert witness.stdin is not None, "a pipe was asked for"
        faulthandler.enable(witness.stdin, all_threads=False)
        try:
            yield
        finally:
            faulthandler.disable()
            witness.kill()


def _told(source: str, name: str) -> tuple[str, int]:
    """What to tell, and the exit code as shells show it."""
    return (
        f"{source}: ended this process ({name}), as damaged files may; check it with `gdalinfo -checksum`, and copy it "
        "anew; finished rows are kept"
    ), 128 + signal.Signals[name]
