"""Drive one campaign to its end: ticks of the coordinator, workers kept alive, observers told.

This loop is the same under a Prefect flow, in a test, or alone; it needs no Prefect.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from flows.campaign.coordinator import Coordinator, Snapshot
from flows.campaign.local_workers import LocalWorkers
from schemas.errors import Retryable

log = logging.getLogger("callsheet.drive")

PUMP_S = 0.05
OUTAGE_FIRST_S = 1.0
OUTAGE_MAX_S = 30.0


class Observer(Protocol):
    """Somebody who looks on: a terminal, Prefect. It decides nothing, and a fault of it stops nothing."""

    def snapshot(self, snapshot: Snapshot) -> None: ...


def drive(
    coordinator: Coordinator,
    *,
    workers: LocalWorkers | None = None,
    observers: Sequence[Observer] = (),
    tick_s: float = 0.5,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Snapshot:
    """Tick until the campaign ends or pauses; the ledger being away is waited out.

    Local workers are stopped and what the coordinator holds is given back on every way out, Ctrl-C included.

    Raises:
        Permanent: the local workers cannot work.
    """
    wait_s = OUTAGE_FIRST_S
    with _running(workers), _closing(coordinator):
        while True:
            try:
                snapshot = coordinator.tick()
            except Retryable as error:
                log.warning("the ledger or the store is away (%s); trying again in %.0f s", error.message, wait_s)
                sleep(wait_s)
                wait_s = min(OUTAGE_MAX_S, wait_s * 2)
                continue
            wait_s = OUTAGE_FIRST_S
            for observer in observers:
                observer.snapshot(snapshot)
            if snapshot.ended:
                return snapshot
            if workers is not None:
                workers.watch()
            _until_next_tick(coordinator, tick_s, sleep, clock)


def _until_next_tick(
    coordinator: Coordinator, tick_s: float, sleep: Callable[[float], None], clock: Callable[[], float]
) -> None:
    """Sleep, but keep the joining processes fed while there are joins."""
    until = clock() + tick_s
    while (left := until - clock()) > 0:
        try:
            joining = coordinator.pump()
        except Retryable:
            joining = False  # the next tick says so and waits
        sleep(min(left, PUMP_S) if joining else left)


class _closing(AbstractContextManager[None]):  # noqa: N801 - reads as a statement
    def __init__(self, coordinator: Coordinator) -> None:
        self._coordinator = coordinator

    def __exit__(self, *exc: object) -> None:
        try:
            self._coordinator.close()
        except Retryable as error:
            # The right expires by itself; another flow takes over after its ttl.
            log.warning("could not give the coordinator's right back: %s", error.message)


class _stopping(AbstractContextManager[None]):  # noqa: N801 - reads as a statement
    def __init__(self, workers: LocalWorkers) -> None:
        self._workers = workers

    def __enter__(self) -> None:
        self._workers.start()

    def __exit__(self, *exc: object) -> None:
        self._workers.stop()


def _running(workers: LocalWorkers | None) -> AbstractContextManager[None]:
    return _stopping(workers) if workers is not None else nullcontext()
