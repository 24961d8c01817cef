"""A process that another one of ours has started: it leaves signals to that one, and ends with it."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import parent_process
from multiprocessing.connection import wait
from threading import Thread

ASKING = (signal.SIGINT, signal.SIGTERM)
"""Signals that ask to stop. Terminals, batch systems and `timeout` send them to all processes of a command at once."""
DEADLY: signal.Signals = getattr(signal, "SIGKILL", signal.SIGTERM)  # Windows has the latter, which is as sure there


@contextmanager
def unasked() -> Iterator[None]:
    """A context to start processes in that no signal asks to stop, not even before their first line has run."""
    if os.name != "posix":
        yield
        return
    from multiprocessing.resource_tracker import ensure_running

    ensure_running()  # a process of Python's own, whose start would end the blocking
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ASKING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def bind(*ignored: signal.Signals) -> None:
    """Leave some signals to the process that started this one, and end at once when that one has ended."""
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)
    if os.name == "posix":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ASKING)  # which `unasked` has left blocked
    Thread(target=_end_with_parent, daemon=True).start()


def leave_group(number: int = 0) -> None:
    """Leave the processes of a command, which are asked to stop all at once: who has started this one ends it.

    For processes that a library starts, which tells them a `number`.
    """
    if os.name == "posix":
        os.setpgid(0, 0)


def ending(code: int | None) -> str:
    """How a process ended, by its exit code: the name of a signal, or the code."""
    names = {-number: number.name for number in signal.Signals}
    return f"exit code {code}" if code is None else names.get(code, f"exit code {code}")


def _end_with_parent() -> None:
    """End this process when the one that started it has been killed: it would wait for work for ever."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), DEADLY)
