"""Work beside the main thread, which computes: what comes next is made ahead, what is finished is dealt with behind."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, TypeVar

T = TypeVar("T")


def ahead(items: Iterator[T]) -> Iterator[T]:
    """The items, each made in a thread while the one before it is used; what making one raises comes in its place."""
    with ThreadPoolExecutor(1, "geopix2pix-ahead") as pool:
        pending = pool.submit(_following, items)
        while following := pending.result():
            pending = pool.submit(_following, items)
            yield following[0]


def _following(items: Iterator[T]) -> tuple[T] | None:
    return _called(lambda: next(((item,) for item in items), None))


def _called(work: Callable[[], T]) -> T:
    """What `work` returns. What would end the program is a failure, for a thread has no say in that."""
    try:
        return work()
    except SystemExit as error:
        raise RuntimeError(f"a thread asked for the end of the program: {error}") from error


class Behind(Generic[T]):
    """Calls that a thread makes one after the other while the caller goes on; a context manager.

    When it is left, the call that is being made is finished; what waits then is not called any more.
    """

    def __init__(self, waiting: int) -> None:
        """At most so many calls wait: whoever hands in more has to wait, too."""
        self._waiting = waiting
        self._pool = ThreadPoolExecutor(1, "geopix2pix-behind")
        self._calls: deque[Future[T]] = deque()

    def call(self, work: Callable[[], T]) -> list[T]:
        """Have `work` called; what earlier calls returned, if it was not told yet.

        Raises what an earlier call raised.
        """
        self._calls.append(self._pool.submit(_called, work))
        return self._results(self._waiting)

    def rest(self) -> list[T]:
        """What the calls returned that were not told yet, once all are finished. Raises what one of them raised."""
        return self._results(0)

    def _results(self, unfinished: int) -> list[T]:
        results = []
        while self._calls and (len(self._calls) > unfinished or self._calls[0].done()):
            results.append(self._calls.popleft().result())
        return results

    def __enter__(self) -> "Behind[T]":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._pool.shutdown(cancel_futures=True)
