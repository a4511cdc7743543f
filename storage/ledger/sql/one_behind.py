"""Work in two places at once: one item is written while the next is still being made."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, Self, TypeVar

S = TypeVar("S")
T = TypeVar("T")


class OneBehind(Generic[S, T]):
    """Does `work` on one item after the other, in a thread of its own and never on two at once.

    What `work` spends in a database, or in its driver, the caller spends on the next item: Python's lock is free for
    that long. Left by an exception, a signal's too, it waits for the item under way first: nobody takes a connection
    away from under `work`.
    """

    def __init__(self, work: Callable[[S], T]) -> None:
        self._work = work
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="one-behind")
        self._under_way: Future[T] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._thread.shutdown()

    def give(self, item: S) -> T | None:
        """Hand an item over; what came of the one before it, None where there was none. Raises what `work` raised."""
        done = self.last()
        self._under_way = self._thread.submit(self._work, item)
        return done

    def last(self) -> T | None:
        """What came of the item under way, when it is done."""
        under_way, self._under_way = self._under_way, None
        return under_way.result() if under_way is not None else None
