"""How a lease ended, told to the ledger: patiently, because a lease that nobody ends uses up an attempt."""

from __future__ import annotations

from collections.abc import Callable

from model_runtime import log
from model_runtime.lease_keeper import LeaseKeeper
from model_runtime.machine import Machine
from model_runtime.patience import patiently
from model_runtime.phases import Step, deadline
from model_runtime.stopping import Stopping
from schemas.attempt import Failure
from schemas.errors import CallsheetError, LeaseLost
from storage.ledger.protocol import Ledger

_HURRIED_S = 3.0
"""How long a worker that was told to go waits for a ledger that is away."""


class LastWord:
    """Says `fail` or `release` for the keeper's lease; a lease that was lost meanwhile is let go of."""

    def __init__(
        self, ledger: Ledger, keeper: LeaseKeeper, stopping: Stopping, *, machine: Machine | None = None
    ) -> None:
        self._ledger = ledger
        self._keeper = keeper
        self._stopping = stopping
        self._clock = (machine or Machine()).clock

    def fail(self, failure: Failure) -> None:
        def say() -> None:
            lease = self._keeper.lease
            log.failed(lease, failure, self._ledger.fail(lease, failure, device_s=self._keeper.device_s))

        self._say(say)

    def give_back(self, failure: Failure) -> None:
        def say() -> None:
            self._ledger.release(self._keeper.lease, failure, device_s=self._keeper.device_s)
            log.given_back(self._keeper.lease, failure)

        self._say(say)

    def _say(self, call: Callable[[], None]) -> None:
        self._keeper.enter(Step.COMMIT)
        patience_s = _HURRIED_S if self._stopping.is_asked else deadline(Step.COMMIT, 0.0)
        try:
            patiently(
                call,
                until=self._clock() + patience_s,
                wait=self._wait,
                say=lambda error, pause: log.away("last_word", error, pause),
                clock=self._clock,
            )
        except LeaseLost:
            log.lease_lost(self._keeper.lease, Step.COMMIT)
        except CallsheetError as error:
            log.left_to_expire(self._keeper.lease, error)

    def _wait(self, seconds: float) -> None:
        self._stopping.wait(seconds)
        self._keeper.check()
