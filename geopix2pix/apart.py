"""Apart: the scenes of a batch are worked on in a process of their own, so that a file that ends it costs itself alone.

The two processes talk through one pipe. This one sends scenes; the other one answers each with what became of it, and
before that with events, which wait until they are answered, and with warnings, which do not.
"""

import os
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from multiprocessing import get_context
from multiprocessing.connection import Connection
from threading import Lock
from types import TracebackType
from typing import Any, Generic, NamedTuple, TextIO, TypeVar

from geopix2pix.batch import Batch
from geopix2pix.child import ASKING, bind, ending, unasked
from geopix2pix.errors import Cancelled, ConfigError, RasterError
from geopix2pix.inventory import Entry
from geopix2pix.progress import Event, Progress, silent

Answer = TypeVar("Answer")
Worker = Callable[[Entry, Progress], Answer]


class Heard(NamedTuple):
    """A warning."""

    message: str
    category: type[Warning]
    filename: str
    lineno: int


class Apart(Generic[Answer]):
    """What works on the scenes of a batch, in another process; a context manager.

    That process is started anew when a scene has ended it.
    """

    def __init__(self, worker: Callable[[Batch], Worker[Answer]], batch: Batch) -> None:
        """Start the process, and make the worker in it: a class or function that a module has by its name.

        Raises:
            ConfigError: the process could not be started, or ended meanwhile.
            And whatever `worker` raises.
        """
        self._request = worker, replace(batch, entries=())
        self._begin()

    def __call__(self, entry: Entry, progress: Progress) -> Answer:
        """What the worker answers.

        Raises:
            RasterError: the process has ended.
            ConfigError: it had to be started anew, which failed.
            And whatever the worker or `progress` raises, once the work has stopped.
        """
        if not self._process.is_alive():
            self._end()
            self._begin()
        try:
            answer: Answer = self._answer(entry, progress)
        except _Ended as found:
            raise RasterError(_told(entry.source, str(found))) from None
        return answer

    def __enter__(self) -> "Apart[Answer]":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end()

    def _begin(self) -> None:
        # A fresh interpreter: neither GDAL nor torch survive a fork in every state.
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs,))
        try:
            with unasked():
                self._process.start()
        except OSError as error:
            raise ConfigError(
                f"the process that is to translate cannot be started ({error.strerror or error}); see that there is "
                "memory, and that no limit to processes is reached"
            ) from error
        theirs.close()
        try:
            self._answer(self._request, silent)
        except BaseException as error:
            self._end()
            if isinstance(error, _Ended):
                raise ConfigError(
                    f"the process that was to translate ended ({error}) before it could begin; see that there is "
                    "memory for the engine, and in a Python script, that what starts the work stands below "
                    "`if __name__ == '__main__':`"
                ) from None
            raise

    def _end(self) -> None:
        """Wait for the end of the process, which stops at its next event if it is at work."""
        self._pipe.close()
        self._process.join()

    def _answer(self, question: object, progress: Progress) -> Any:
        """What the process answers at last. Raises what it raised, or `progress` did, or that it has ended."""
        stop: BaseException | None = None
        try:
            self._pipe.send(question)
            while True:
                message = self._pipe.recv()
                if isinstance(message, Heard):
                    warnings.warn_explicit(*message)
                elif isinstance(message, Event):
                    try:
                        if stop is None:
                            progress(message)
                    except BaseException as error:
                        stop = error
                    self._pipe.send(stop is None)
                else:
                    break
        except (EOFError, OSError):  # of the pipe; others do not come to this place
            self._process.join()
            message = _Ended(ending(self._process.exitcode))
        if stop is not None:
            raise stop
        if isinstance(message, BaseException):
            raise message
        return message


class _Ended(Exception):
    """The process has ended, in the way that is told."""


def _told(source: str, how: str) -> str:
    if how == "SIGKILL":
        return (
            f"{source}: the process that worked on it was killed ({how}), as systems do that run out of memory; leave "
            "it more, or give a smaller --batch or --window"
        )
    return (
        f"{source}: ended the process that worked on it ({how}), as damaged files may; check it with "
        "`gdalinfo -checksum`, and copy it anew or leave it out"
    )


def _work(pipe: Connection) -> None:
    """Answer what comes through the pipe, a worker with its batch and then scenes; this is the other process."""
    bind(*ASKING)
    with suppress(OSError):
        os.dup2(2, 1)  # standard output belongs to whoever started the work, whatever libraries print
    lock = Lock()  # warnings come from the threads that read, too

    def say(message: object) -> None:
        with lock, suppress(ConnectionError):  # nobody is there any more: that is noticed when the answer is read
            pipe.send(message)

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        say(Heard(str(message), category, filename, lineno))

    def told(event: Event) -> None:
        say(event)
        with suppress(EOFError, ConnectionError):
            if pipe.recv():
                return
        raise Cancelled("stopped by the process that began this one")

    warnings.simplefilter("default")  # the other process knows which are to be shown
    warnings.showwarning = show
    with suppress(EOFError, ConnectionError):
        try:
            make, batch = pipe.recv()
            worker = make(batch)
        except Exception as error:
            say(error)
            return
        say(None)
        while True:
            entry = pipe.recv()
            try:
                say(worker(entry, told))
            except Exception as error:
                say(error)
