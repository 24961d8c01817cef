"""What a command tells: a bar and plain lines for people, one JSON object per line for programs."""

import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from functools import partial
from pathlib import Path
from threading import Event as Flag
from threading import RLock
from typing import TYPE_CHECKING, Any, Literal, TextIO

from geopix2pix.errors import Cancelled
from geopix2pix.progress import Event

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

Mode = Literal["bar", "json", "none"]
Record = Mapping[str, Any]
"""An `event` (start, progress, metric, warning, text, result or error) and its values."""
Sink = Callable[[Record], None]


class Report:
    """The `Progress` callback of a command, and the way for everything else that it tells.

    Once `cancel` was called, or when nobody reads the output any more, the next event raises `Cancelled`.
    """

    def __init__(self, sink: Sink, mode: Mode = "none") -> None:
        self.mode = mode
        self._sink = sink
        self._called: dict[str, str] = {}
        self._stop = Flag()
        self._lock = RLock()  # warnings come from the threads that read, too

    def __call__(self, event: Event) -> None:
        if self._stop.is_set():
            raise Cancelled("cancelled; give the same command again to go on")
        self._send("progress", stage=event.stage, done=event.done, total=event.total, unit=event.unit)
        if event.values:
            values = {name: value if math.isfinite(value) else None for name, value in event.values.items()}
            self._send("metric", stage=event.stage, done=event.done, values=values)

    def cancel(self) -> None:
        self._stop.set()

    def call(self, path: Path, words: str) -> None:
        """Call a path that users do not know by words that they gave, whatever is told from now on."""
        self._called[str(path)] = words

    def start(self, command: str, version: str) -> None:
        self._send("start", command=command, version=version)

    def warning(self, message: str) -> None:
        self._send("warning", message=message)

    def text(self, value: str) -> None:
        """What people should read before the result; programs find all of it elsewhere."""
        self._send("text", text=value)

    def result(self, value: Path | str, **facts: Any) -> None:
        """The path of what was written, or the text that was asked for; `facts` are for programs alone.

        Raises:
            Cancelled: it could not be delivered.
        """
        if not self._send("result", path=str(value), **facts):
            raise Cancelled("the work is done, but its result cannot be told: standard output is closed or full")

    def plan(self, text: str, facts: Mapping[str, Any]) -> None:
        """What would be done, in words and in JSON values, in place of a result: nothing was written.

        Raises:
            Cancelled: it could not be delivered.
        """
        if not self._send("result", path=None, text=text, plan=facts):
            raise Cancelled("the plan cannot be told: standard output is closed or full")

    def error(self, message: str, code: int) -> None:
        self._send("error", message=message, code=code)

    def _send(self, event: str, **values: Any) -> bool:
        """Whether it was delivered; if not, the work is cancelled too, but never from within a warning."""
        try:
            with self._lock:
                self._sink({"event": event, **{name: self.named(value) for name, value in values.items()}})
        except OSError:
            self.cancel()
            return False
        return True

    def named(self, value: Any) -> Any:
        """A text, or a mapping that holds texts, with the words of `call` in place of paths."""
        if isinstance(value, str):
            for path, words in self._called.items():
                value = value.replace(path, words)
        elif isinstance(value, Mapping) and self._called:
            return {name: self.named(part) for name, part in value.items()}
        return value


@contextmanager
def sink(mode: Mode) -> Iterator[Sink]:
    """Where the records of a command go; a bar is drawn only where standard error is a terminal."""
    if mode == "json":
        lines = sys.stdout
        with redirect_stdout(sys.stderr):  # nothing that a library prints may come between the lines
            yield lambda record: _print(json.dumps(record), lines)
    elif mode == "bar" and _is_terminal():
        with _bar() as bar:
            yield partial(_draw, bar)
    else:
        yield _say


def error_line(message: str, code: int, mode: Mode) -> str:
    """An error as it is told in a mode, with the end of its line; for when the bars cannot be stopped any more."""
    record = {"event": "error", "message": message, "code": code}
    if mode == "json":
        return json.dumps(record) + "\n"
    shows_cursor = "\x1b[?25h\n" if mode == "bar" and _is_terminal() else ""
    return f"{shows_cursor}{_message(record)}\n"


def _say(record: Record) -> None:
    """Results on standard output; warnings and errors, one line each, on standard error."""
    match record["event"]:
        case "text":
            _print(record["text"], sys.stdout)
        case "result":
            _print(record["path"] or record["text"], sys.stdout)
        case "warning" | "error":
            _print(_message(record), sys.stderr)


def _bar() -> "RichProgress":
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
    from rich.table import Column
    from rich.text import Text

    class Speed(ProgressColumn):
        """How many units a second; of slow work, how many seconds for one."""

        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text("" if not speed else f"{speed:.3g}/s" if speed >= 1 else f"{1 / speed:.3g} s each")

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[count]}"),
        Speed(),
        TimeRemainingColumn(elapsed_when_finished=True),
        TextColumn("{task.fields[figures]}", table_column=Column(ratio=1)),
        console=Console(stderr=True),
        redirect_stdout=False,
    )


def _draw(bar: "RichProgress", record: Record) -> None:
    """A bar for each stage of the work, with its figures behind it; all else is said as without a bar."""
    task = next((task.id for task in bar.tasks if task.description == record.get("stage")), None)
    match record["event"]:
        case "progress":
            done, total = record["done"], record["total"] or None
            count = f"{done} of {total} {record['unit']}" if total else f"{done} {record['unit']}"
            if task is None:  # what was done before this run is part of the bar, but not of its speed
                task = bar.add_task(record["stage"], completed=done, total=total, count=count, figures="")
            bar.update(task, completed=done, total=total, count=count)
        case "metric" if task is not None:
            known = ((name, value) for name, value in record["values"].items() if value is not None)
            bar.update(task, figures=" ".join(f"{name} {value:.4g}" for name, value in known))
        case "warning":  # above the bars
            bar.console.print(_message(record), markup=False, highlight=False, soft_wrap=True)
        case "text" | "result" | "error":
            bar.stop()
            _say(record)


def _is_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


def _print(text: str, stream: TextIO | None) -> None:
    if stream is None:  # whoever starts us with a stream closed wants to hear nothing there
        return
    try:
        coded = text.encode(stream.encoding, "backslashreplace").decode(stream.encoding)
        print(f"{coded}\n", end="", file=stream, flush=True)  # at once, even unbuffered: what kills cuts no line
    except OSError:  # a closed pipe, a full disk
        # The interpreter flushes once more when it ends; that must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        raise


def _message(record: Record) -> str:
    """A warning or an error as one line, without the line breaks and terminal codes that file names may hold."""
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in record["message"])
    return f"{record['event']}: {text}"
