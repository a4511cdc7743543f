"""Python's cycle collector steps aside while a sheet becomes objects."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_at_rest() -> Iterator[None]:
    """A block that makes a great many objects, none of them garbage, none in a cycle.

    The collector would walk over all of them again and again: at 100,000 rows that is half the time of a plan. What
    there is at the end of the block is set aside for as long as `collector_back` is not called.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()


def collector_back() -> None:
    """What was set aside is looked at again when its time comes."""
    gc.unfreeze()
