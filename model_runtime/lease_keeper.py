"""Renews one lease from a thread of its own, for as long as the step under way may take."""

from __future__ import annotations

import random
import threading

from model_runtime import log
from model_runtime.machine import Machine
from model_runtime.phases import Patience, Step
from model_runtime.waker import Waker
from schemas.errors import CallsheetError, LeaseLost
from schemas.lease import Lease, Progress, Signal
from storage.ledger.protocol import Ledger


class LeaseKeeper:
    """A context: renewing begins on entry and ends on exit.

    The lease is renewed every quarter of its ttl while the deadline of the current step has not passed. A worker
    whose render hangs therefore loses its lease even if nothing else notices.
    """

    def __init__(
        self, ledger: Ledger, lease: Lease, *, patience: Patience, waker: Waker, machine: Machine | None = None
    ) -> None:
        machine = machine or Machine()
        self.lease = lease
        self._ledger = ledger
        self._patience = patience
        self._waker = waker
        self._clock = machine.clock
        self._lock = threading.Lock()
        self._progress = Progress(phase=Step.LEASE)
        self._deadline = self._clock() + patience.deadline(Step.LEASE, 0.0)
        self._stall_at = self._deadline
        self._busy_since: float | None = None
        self._busy_s = 0.0
        self._ranks = 1
        self._closed = machine.bell()
        self._lost: LeaseLost | None = None
        self.is_cancelled = False
        self.has_missed = False
        """A renewal failed because the ledger was away."""
        self._thread = machine.background(self._run, "lease-keeper")

    def __enter__(self) -> LeaseKeeper:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._thread.join(timeout=5.0)

    # -- told by the main loop ---------------------------------------------------------------------------------

    def enter(self, step: Step, expected_s: float = 0.0) -> float:
        """A new step begins; its deadline, as a monotonic time."""
        with self._lock:
            self._progress = Progress(phase=step)
            self._deadline = self._stall_at = self._clock() + self._patience.deadline(step, expected_s)
            return self._deadline

    def note(self, progress: Progress, stall_s: float) -> None:
        """The step moves on, and must do so again within `stall_s` seconds."""
        with self._lock:
            self._progress = progress
            self._stall_at = self._clock() + stall_s

    def device(self, *, busy: bool, ranks: int = 1) -> None:
        """Begin or end to count device seconds, of `ranks` devices."""
        with self._lock:
            now = self._clock()
            if busy:
                self._busy_since, self._ranks = now, ranks
            elif self._busy_since is not None:
                self._busy_s += (now - self._busy_since) * self._ranks
                self._busy_since = None

    # -- asked by the main loop --------------------------------------------------------------------------------

    @property
    def is_overdue(self) -> bool:
        return self._clock() > min(self._deadline, self._stall_at)

    @property
    def device_s(self) -> float:
        """Seconds that devices were busy with this attempt."""
        running = 0.0 if self._busy_since is None else (self._clock() - self._busy_since) * self._ranks
        return self._busy_s + running

    def check(self) -> None:
        """Raises LeaseLost once a heartbeat said so."""
        if self._lost:
            raise self._lost

    # -- the thread --------------------------------------------------------------------------------------------

    def _run(self) -> None:
        pause = self._quarter()
        while not self._closed.wait(pause):
            pause = self._quarter()
            if self.is_overdue:
                self._waker.wake()
                continue
            try:
                self._renew()
            except LeaseLost as error:
                self._lost = error
                self._waker.wake()
                return
            except CallsheetError as error:
                log.heartbeat_missed(self.lease, error)
                self.has_missed = True
                pause = min(1.0, pause)
            except Exception as error:  # noqa: BLE001 - a keeper that dies of a surprise would lose the lease unsaid
                log.heartbeat_missed(self.lease, error)

    def _renew(self) -> None:
        with self._lock:
            progress, device_s = self._progress, self.device_s
        self.lease, signal = self._ledger.heartbeat(self.lease, progress, device_s=device_s)
        if signal is Signal.CANCEL and not self.is_cancelled:
            self.is_cancelled = True
            self._waker.wake()

    def _quarter(self) -> float:
        return self.lease.ttl / 4 * random.uniform(0.8, 1.0)  # noqa: S311 - spreads a fleet's heartbeats
