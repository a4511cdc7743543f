"""Doing a thing again after it broke off.

Full jitter (a pause drawn evenly between zero and an exponentially growing cap) spreads a fleet that was refused at
the same moment: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from schemas.errors import Retryable

T = TypeVar("T")


class BrokenOff(Retryable):
    """An exchange ended half-way for no fault of the request: the same may be asked again at once.

    A store that raises another Retryable has given up after its own attempts.
    """


def full_jitter(attempt: int, *, base_s: float, cap_s: float, draw: Callable[[], float] = random.random) -> float:
    """Seconds to pause after the 0-based `attempt`; `draw` gives a number in [0, 1)."""
    return draw() * min(cap_s, base_s * 2.0**attempt)


def again(act: Callable[[], T], *, on: tuple[type[Exception], ...], tries: int, pause: Callable[[int], float]) -> T:
    """What `act` gives, after at most `tries` tries; the last one's error is raised.

    Errors `on` which it is done again are followed by `pause(attempt)` seconds, the first attempt being 0.
    """
    for attempt in range(tries - 1):
        try:
            return act()
        except on:
            time.sleep(pause(attempt))
    return act()
