"""SIGTERM: stop leasing, finish what fits into the grace period, give the rest back. A second one: at once."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import Protocol

from model_runtime.waker import Waker

TAIL_S = 2.0
"""What encoding, checking and committing a clip take after its last frame."""


class StopNow(BaseException):
    """The grace period is over, or a second signal came. Not an Exception: no handler on the way may swallow it."""


class Signals(Protocol):
    """How a process is told to go."""

    def install(self, *, waker: Waker, told: Callable[[], None], too_late: Callable[[], None]) -> None:
        """From now on `told` is called when the process is told to go, and `too_late` when an alarm rings."""
        ...

    def alarm(self, seconds: float) -> None:
        """Ring after so long; 0 takes an earlier alarm back."""
        ...


class ProcessSignals:
    """SIGTERM, SIGINT and SIGALRM of this process; only from its main thread."""

    def install(self, *, waker: Waker, told: Callable[[], None], too_late: Callable[[], None]) -> None:
        def on_signal(number: int, _frame: FrameType | None) -> None:
            (too_late if number == signal.SIGALRM else told)()

        signal.set_wakeup_fd(waker.write_fd, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
            signal.signal(number, on_signal)

    def alarm(self, seconds: float) -> None:
        signal.setitimer(signal.ITIMER_REAL, seconds)


class Stopping:
    """Whether this worker was told to go, and how long it may still take."""

    def __init__(
        self,
        grace_s: float,
        waker: Waker,
        *,
        signals: Signals | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._grace_s = grace_s
        self._waker = waker
        self._signals = signals or ProcessSignals()
        self._clock = clock
        self._asked_at: float | None = None
        self._final = False

    def install(self) -> None:
        """Listen from now on."""
        self._signals.install(waker=self._waker, told=self._told, too_late=self._too_late)

    def finalise(self) -> None:
        """From here on nothing interrupts: the last words to the ledger are being said."""
        self._final = True
        self._signals.alarm(0)

    def _told(self) -> None:
        if self._asked_at is not None:
            self._too_late()
        else:
            self._asked_at = self._clock()
            # The alarm also ends a call into a store or a ledger that would outlast the grace period.
            self._signals.alarm(max(0.001, self._grace_s))

    def _too_late(self) -> None:
        if not self._final:
            self._final = True
            raise StopNow

    @property
    def is_asked(self) -> bool:
        return self._asked_at is not None

    def allows(self, remaining_s: float) -> bool:
        """False when told to go and `remaining_s` more seconds do not fit into the grace period."""
        return self._asked_at is None or self._clock() + remaining_s <= self._asked_at + self._grace_s

    def wait(self, seconds: float) -> None:
        """Sleep, but not through a signal."""
        self._waker.wait(seconds)


def remaining(*, estimated_s: float, elapsed_s: float = 0.0, done: int = 0, total: int = 0) -> float:
    """Seconds until a clip is committed: from its own pace where that is known, else from the plan's estimate."""
    rest = elapsed_s * (total - done) / done if 0 < done <= total else max(0.0, estimated_s - elapsed_s)
    return rest + TAIL_S
