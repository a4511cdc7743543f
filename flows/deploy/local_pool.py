"""Workers of this machine for whatever campaigns there are: as many as were asked for, of the pools in demand."""

from __future__ import annotations

import logging
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from flows.child_process import end
from schemas.errors import CallsheetError, Retryable
from schemas.model_spec import find_model
from schemas.settings import Settings, environment
from schemas.states import CAMPAIGN_CLAIMABLE, JobState
from schemas.worker_exit import WorkerExit
from storage.ledger.protocol import Ledger

log = logging.getLogger("callsheet.pool")

IDLE_EXIT_S = 20
REFUSED_FOR_S = 60.0
"""A pool whose workers refuse their configuration is not tried again before."""


@dataclass(frozen=True, kw_only=True)
class PoolKind:
    """What a worker must be to serve a campaign."""

    engine: str
    model: str
    ranks: int


def demand(ledger: Ledger) -> list[PoolKind]:
    """Pools with clips to render, those of the oldest campaign first."""
    found: dict[PoolKind, None] = {}
    for campaign in reversed(ledger.campaigns()):
        if campaign.state not in CAMPAIGN_CLAIMABLE or not ledger.counts(campaign.campaign_id).jobs.get(
            JobState.QUEUED
        ):
            continue
        try:
            model = find_model(campaign.settings.model)
        except CallsheetError as error:
            log.warning("campaign %s cannot be rendered here: %s", campaign.name, error.message)
            continue
        engine = campaign.settings.engine or model.engine
        found[PoolKind(engine=engine, model=model.name, ranks=campaign.settings.ranks)] = None
    return list(found)


@dataclass
class _Slot:
    number: int
    process: subprocess.Popen[bytes] | None = None
    kind: PoolKind | None = None


@dataclass(kw_only=True)
class LocalPool:
    """Call `tick` every second or two, then `stop`. A worker without work ends by itself and makes room."""

    settings: Settings
    count: int
    log_folder: Path
    clock: Callable[[], float] = time.monotonic
    _slots: list[_Slot] = field(default_factory=list)
    _refused: dict[PoolKind, float] = field(default_factory=dict)
    _turn: int = 0

    def tick(self, ledger: Ledger) -> None:
        """Start workers where a slot is free and a pool is in demand."""
        if not self._slots:
            self.log_folder.mkdir(parents=True, exist_ok=True)
            self._slots = [_Slot(number) for number in range(self.count)]
        free = [slot for slot in self._slots if self._is_free(slot)]
        if not free:
            return
        try:
            wanted = demand(ledger)
        except Retryable as error:
            log.warning("the ledger is away: %s", error.message)
            return
        wanted = [kind for kind in wanted if self._refused.get(kind, 0.0) <= self.clock()]
        for slot in free if wanted else ():
            self._start(slot, wanted[self._turn % len(wanted)])
            self._turn += 1

    def _is_free(self, slot: _Slot) -> bool:
        if slot.process is None:
            return True
        code = slot.process.poll()
        if code is None:
            return False
        if code in (WorkerExit.BAD_CONFIGURATION, WorkerExit.SICK) and slot.kind is not None:
            log.error("workers of %s end with exit code %d: read %s", slot.kind, code, self._log(slot))
            self._refused[slot.kind] = self.clock() + REFUSED_FOR_S
        slot.process = None
        return True

    def _log(self, slot: _Slot) -> Path:
        return self.log_folder / f"pool-worker-{slot.number}.log"

    def _start(self, slot: _Slot, kind: PoolKind) -> None:
        command = [sys.executable, "-m", "model_runtime", "worker", "--engine", kind.engine, "--model", kind.model]
        command += ["--ranks", str(kind.ranks), "--name", f"{platform.node()}-{slot.number}", "--with-parent"]
        command += ["--idle-exit", str(IDLE_EXIT_S), "--grace", "10"]
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("CALLSHEET_", "PREFECT_"))}
        with self._log(slot).open("ab") as output:
            slot.process = subprocess.Popen(
                command,
                env=inherited | environment(self.settings),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        slot.kind = kind

    @property
    def alive(self) -> int:
        return sum(slot.process is not None and slot.process.poll() is None for slot in self._slots)

    def stop(self) -> None:
        """All at once are told to give their work back."""
        for slot in self._slots:
            if slot.process is not None and slot.process.poll() is None:
                slot.process.terminate()
        for slot in self._slots:
            if slot.process is not None:
                end(slot.process, 20.0)
