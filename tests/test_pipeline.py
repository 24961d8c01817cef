"""Work beside the main thread: everything in its order, no more ahead than allowed, and no failure lost."""

import sys
import threading
from collections.abc import Iterator

import pytest

from geopix2pix.pipeline import Behind, ahead


def test_items_made_ahead_come_in_their_order_and_one_at_a_time() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for item in range(50):
            assert threading.current_thread() is not threading.main_thread()
            made.append(item)
            yield item

    for wanted, item in enumerate(ahead(items())):
        assert item == wanted
        assert len(made) <= item + 2, "at most one is made ahead"
    assert made == list(range(50))


def test_a_failure_ahead_comes_in_the_place_of_its_item() -> None:
    def items() -> Iterator[int]:
        yield from (0, 1)
        raise OSError("the third")

    seen = []
    with pytest.raises(OSError, match="the third"):
        for item in ahead(items()):
            seen.append(item)
    assert seen == [0, 1]


def test_nothing_is_made_any_more_once_the_rest_is_not_wanted() -> None:
    threads = threading.active_count()
    found = ahead(iter(range(100)))
    assert next(found) == 0
    found.close()
    assert threading.active_count() == threads


def test_calls_behind_are_made_in_their_order_and_told_once() -> None:
    told: list[int] = []
    with Behind[int](2) as behind:
        for number in range(50):
            told += behind.call(lambda number=number: number)
            assert len(told) >= number + 1 - 2, "the caller waits when more than two wait"
        told += behind.rest()
    assert told == list(range(50))


def test_a_failure_behind_is_told_and_ends_what_waits() -> None:
    begun, may_fail, called = threading.Event(), threading.Event(), []

    def fail() -> None:
        begun.set()
        may_fail.wait()
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="disk is full"), Behind[None](3) as behind:
        behind.call(fail)
        begun.wait()
        may_fail.set()
        behind.call(lambda: called.append("after"))
        behind.rest()
    assert called in ([], ["after"]), "what had begun is finished"


def test_what_waits_is_not_called_when_the_caller_fails() -> None:
    begun, may_end, called = threading.Event(), threading.Event(), []

    def slow() -> None:
        begun.set()
        may_end.wait()
        called.append("slow")

    with pytest.raises(KeyboardInterrupt), Behind[None](3) as behind:
        behind.call(slow)
        behind.call(lambda: called.append("never"))
        begun.wait()
        threading.Timer(0.05, may_end.set).start()
        raise KeyboardInterrupt
    assert called == ["slow"]


def test_no_thread_ends_the_program() -> None:
    def leave() -> Iterator[int]:
        raise SystemExit(0)
        yield

    with pytest.raises(RuntimeError, match="asked for the end"):
        next(ahead(leave()))
    with pytest.raises(RuntimeError, match="asked for the end"), Behind[None](1) as behind:
        behind.call(lambda: sys.exit(3))
        behind.rest()
