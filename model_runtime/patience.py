"""Waiting for a service that is away: exponential, with full jitter, never for ever."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from itertools import count
from typing import TypeVar

from schemas.errors import Corrupted, Retryable

T = TypeVar("T")

FIRST_S, LONGEST_S = 0.5, 30.0


def backoff(failures: int, *, first_s: float = FIRST_S, longest_s: float = LONGEST_S) -> float:
    """Seconds to wait after so many failures in a row: anything between nothing and an exponential ceiling."""
    return random.uniform(0, min(longest_s, first_s * 2.0 ** min(failures - 1, 30)))  # noqa: S311 - not a secret


def patiently(
    call: Callable[[], T],
    *,
    until: float,
    wait: Callable[[float], None],
    say: Callable[[Retryable, float], None],
    clock: Callable[[], float] = time.monotonic,
) -> T:
    """Call until it does not raise Retryable, at most until the time `until` of the monotonic `clock`.

    Raises:
        Corrupted: at once; the store was read several times before it was said.
        Retryable: the last one, when the next try would be too late.
    """
    for failures in count(1):
        try:
            return call()
        except Corrupted:
            raise
        except Retryable as error:
            pause = backoff(failures)
            if clock() + pause > until:
                raise
            say(error, pause)
            wait(pause)
    raise AssertionError("unreachable")
