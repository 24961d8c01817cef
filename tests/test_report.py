"""What commands tell: people get one line per message, programs one JSON object per line."""

import io
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.report import Mode, Record, Report, sink
from geopix2pix.errors import Cancelled
from geopix2pix.progress import Event

STEP = Event("train", 3, 10, "steps", {"l1": 0.25, "score": float("nan")})
HALF = Event("translate", 1, 2, "windows")


class Stream(io.TextIOWrapper):
    """A standard stream that is kept."""

    def __init__(self, *, terminal: bool = False) -> None:
        super().__init__(io.BytesIO(), "utf-8", write_through=True)
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal

    @property
    def text(self) -> str:
        return self.buffer.getvalue().decode()


def told(mode: Mode, *, terminal: bool = False, message: str = "m", path: str = "out.tif") -> tuple[str, str]:
    """Standard output and standard error of a command that tells something of every kind."""
    streams = sys.stdout, sys.stderr
    out, err = Stream(), Stream(terminal=terminal)
    try:
        sys.stdout, sys.stderr = out, err
        with sink(mode) as where:
            report = Report(where)
            report.start("train", "0.1.0")
            report(STEP)
            report(HALF)
            report.warning(message)
            print("a library that prints")
            report.error(message, 1)
            report.result(path)
    finally:
        sys.stdout, sys.stderr = streams
    return out.text, err.text


@given(text=st.text())
def test_programs_get_back_what_was_told(text: str) -> None:
    out, _ = told("json", message=text, path=text)
    assert [json.loads(line) for line in out.splitlines()] == [
        {"event": "start", "command": "train", "version": "0.1.0"},
        {"event": "progress", "stage": "train", "done": 3, "total": 10, "unit": "steps"},
        {"event": "metric", "stage": "train", "done": 3, "values": {"l1": 0.25, "score": None}},
        {"event": "progress", "stage": "translate", "done": 1, "total": 2, "unit": "windows"},
        {"event": "warning", "message": text},
        {"event": "error", "message": text, "code": 1},
        {"event": "result", "path": text},
    ]
    assert out.isascii(), "readable whatever encoding the reader expects"


@given(text=st.text(alphabet=st.characters()))
def test_people_get_one_line_for_each_message(text: str) -> None:
    """Names of files may hold line breaks and terminal codes; they must neither split lines nor reach the terminal."""
    _, err = told("none", message=text)
    lines = err.split("\n")
    assert [line.partition(": ")[0] for line in lines] == ["warning", "error", ""]
    assert all(line.isprintable() for line in lines)


def test_results_alone_are_on_standard_output() -> None:
    out, err = told("none", path="näme\udcff.tif")
    assert out == "a library that prints\nnäme\\udcff.tif\n"
    assert err == "warning: m\nerror: m\n"


def test_what_a_library_prints_does_not_come_between_the_lines() -> None:
    out, err = told("json")
    assert "a library" not in out
    assert "a library" in err


def test_bar_only_on_a_terminal() -> None:
    assert told("bar") == told("none")


def test_bar_shows_how_far_each_stage_is() -> None:
    out, err = told("bar", terminal=True)
    assert out == "a library that prints\nout.tif\n"
    for shown in ("3 of 10 steps", "1 of 2 windows", "l1 0.25", "warning: m", "error: m"):
        assert shown in err
    assert "nan" not in err


def test_bar_of_unknown_length() -> None:
    terminal, before = Stream(terminal=True), sys.stderr
    try:
        sys.stderr = terminal
        with sink("bar") as where:
            Report(where)(Event("read", 7, 0, "pictures"))
    finally:
        sys.stderr = before
    assert "7 pictures" in terminal.text


@pytest.mark.parametrize("mode", get_args(Mode))
def test_cancelled_at_the_next_event(mode: Mode) -> None:
    with sink(mode) as where:
        report = Report(where)
        report(HALF)
        report.cancel()
        with pytest.raises(Cancelled, match="give the same command again"):
            report(HALF)


def test_nobody_reads_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first line that cannot be delivered cancels the work at its next event, as if it had been asked to."""
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as nobody:
        monkeypatch.setattr(sys, "stdout", nobody)
        with sink("json") as where:
            report = Report(where)
            report(HALF)
            with pytest.raises(Cancelled):
                report(HALF)
            report.error("is not delivered either", 130)


def test_events_are_whole_under_many_threads() -> None:
    records: list[dict[str, Any]] = []

    def slow(record: Record) -> None:
        records.append({})
        time.sleep(0.001)  # another thread that came between would put its values into ours
        records[-1].update(record)

    report = Report(slow)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(report.warning, map(str, range(100))))
    assert sorted(int(record["message"]) for record in records) == list(range(100))
