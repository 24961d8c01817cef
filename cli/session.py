"""One run of a command: how it is cancelled, where its warnings go, and with which code it ends."""

import os
import signal
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from types import FrameType
from typing import TextIO

from geopix2pix import __version__
from geopix2pix.errors import Cancelled, GeoPix2PixError, GeoPix2PixWarning

from .report import Mode, Report, sink

MENDABLE, BUG, CANCELLED = 1, 70, 130
ECHO = 0.1  # seconds; `timeout` and batch systems send a signal to a process and to its group, and mean one
FULL = ("torch", "segmentation_models_pytorch", "timm", "torchvision", "onnx", "onnxscript", "pyogrio", "PIL")
"""What the light installation is without: it translates with exported models, and does nothing else."""


@contextmanager
def session(command: str, mode: Mode = "none", *, stop_on_eof: bool = False, debug: bool = False) -> Iterator[Report]:
    """The report of a command that runs inside.

    Ctrl-C, SIGTERM and, on request, the end of standard input cancel it at its next step.

    Raises:
        SystemExit: whatever failed inside was reported.
    """
    with sink(mode) as where, _warnings_to(report := Report(where, mode), foreign=debug), _signals_to(report):
        if stop_on_eof:
            Thread(target=_cancel_at_eof, args=(report,), daemon=True).start()
        try:
            report.start(command, __version__)
            yield report
        except (Exception, KeyboardInterrupt) as error:
            if debug:
                traceback.print_exc()
            code, message = _verdict(error)
            report.error(message, code)
            raise SystemExit(code) from error


def _verdict(error: BaseException) -> tuple[int, str]:
    """The exit code for a failure, and what to tell."""
    match error:
        case Cancelled() | KeyboardInterrupt():
            return CANCELLED, str(error) or "cancelled"
        case GeoPix2PixError():
            return MENDABLE, str(error)
        case ModuleNotFoundError(name=str(name)) if name.partition(".")[0] in FULL:
            return MENDABLE, (
                f"this needs {name}, which is not installed; install geopix2pix with all that it needs "
                "(pip install geopix2pix), or see what works without: geopix2pix doctor"
            )
        case MemoryError():
            return MENDABLE, "the memory is not enough; give a smaller --batch, --window or --crop"
        case _:
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(place.filename).name}:{place.lineno}"
            return BUG, (
                f"a bug in geopix2pix {__version__}, {type(error).__name__} at {where}: {error}; "
                "please report it with what the same command shows with --debug"
            )


@contextmanager
def _warnings_to(report: Report, *, foreign: bool) -> Iterator[None]:
    """Our own warnings go to the report; those of other packages, which users cannot mend, only when debugging."""

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        ours = issubclass(category, GeoPix2PixWarning)
        report.warning(str(message) if ours else f"{Path(filename).name}:{lineno}: {category.__name__}: {message}")

    with warnings.catch_warnings():
        warnings.simplefilter("default" if foreign else "ignore")
        warnings.simplefilter("default", GeoPix2PixWarning)
        warnings.showwarning = show
        yield


@contextmanager
def _signals_to(report: Report) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM cancels; the second, unless it is an echo of the first, ends the process at once."""
    heard: set[int] = set()

    def cancel(number: int, frame: FrameType | None) -> None:
        if number in heard:
            return
        heard.add(number)
        report.cancel()
        time.sleep(ECHO)
        signal.signal(number, signal.SIG_DFL)

    before = {number: signal.signal(number, cancel) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _cancel_at_eof(report: Report) -> None:
    """Waits until whoever started us closes our standard input, by intent or by its own end."""
    try:
        # Not through sys.stdin: a thread that waits in it would block the end of the interpreter.
        while os.read(0, 4096):
            pass
    except OSError:
        pass
    report.cancel()
