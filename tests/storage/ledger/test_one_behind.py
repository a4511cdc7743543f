"""One item is written while the next is made; nobody leaves while something is being written."""

from __future__ import annotations

import threading
import time

import pytest

from storage.ledger.sql.one_behind import OneBehind


def test_every_item_is_done_once_and_in_order() -> None:
    """What came of each is heard one item later, the last one's at the end."""
    done: list[int] = []

    def work(item: int) -> int:
        done.append(item)
        return item * item

    with OneBehind(work) as behind:
        heard = [behind.give(item) for item in range(5)]
        assert [*heard, behind.last(), behind.last()] == [None, 0, 1, 4, 9, 16, None]
    assert done == [0, 1, 2, 3, 4]


def test_the_next_item_is_made_meanwhile() -> None:
    """The caller goes on while an item is worked on, and waits before a second one is."""
    may_end = threading.Event()
    with OneBehind(lambda _: may_end.wait(10)) as behind:
        assert behind.give(1) is None
        may_end.set()
        assert behind.give(2) is True
        assert behind.last() is True


def test_what_the_work_raises_is_raised() -> None:
    """With the next item that is given, or at the end."""

    def work(item: int) -> None:
        raise LookupError(item)

    with OneBehind(work) as behind:
        behind.give(1)
        with pytest.raises(LookupError, match="1"):
            behind.give(2)
        behind.give(3)
        with pytest.raises(LookupError, match="3"):
            behind.last()


def test_nobody_leaves_before_the_item_under_way_is_done() -> None:
    """An exception of the caller's waits for the work: it may be using a connection that is about to be closed."""
    ended: list[int] = []

    def work(item: int) -> None:
        time.sleep(0.2)
        ended.append(item)

    def leave() -> None:
        with OneBehind(work) as behind:
            behind.give(1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        leave()
    assert ended == [1]
