"""The processes that are killed: a worker and a flow as they ship, built by hand so that a listener can be given."""

from __future__ import annotations

import logging
import os
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import psutil
import sqlalchemy as sa
from sqlalchemy import event

from flows.campaign.coordinator import Coordinator
from flows.campaign.drive import drive
from flows.stages.executor import Executor, InlineExecutor, ProcessExecutor
from model_runtime import log as worker_log
from model_runtime.gang import GangPlan
from model_runtime.patience import patiently
from model_runtime.supervisor import Supervisor, WorkerPlan
from schemas.settings import Settings
from storage.ledger.protocol import Ledger
from storage.places import open_ledger_of, open_store_of, scratch_folder
from tests.support.chaos_deck import Assassin, Deck, JoinAssassin
from tests.support.chaos_plan import Role, Slot

START_S = 60.0
MAX_PAGES = "max_pages"
"""While this file lies in the home folder, the SQLite ledger cannot grow: its disk is full."""


def play(slot: Slot, settings: Settings) -> int:
    """Be the process of that slot until the end; its exit code."""
    if slot.clock_off_s:
        _shift_clock(slot.clock_off_s)
    worker_log.configure("INFO")
    if slot.role is Role.WORKER:
        return _work(slot, settings)
    return _coordinate(slot, settings)


def _shift_clock(seconds: float) -> None:
    right = time.time
    time.time = lambda: right() + seconds


def _open_ledger(settings: Settings) -> Ledger:
    ledger = patiently(
        lambda: open_ledger_of(settings),
        until=time.monotonic() + START_S,
        wait=time.sleep,
        say=worker_log.away_at_start,
    )
    _let_its_disk_be_full(ledger, Path(settings.home) / MAX_PAGES)
    return ledger


def _let_its_disk_be_full(ledger: Any, mark: Path) -> None:
    engine: sa.Engine = ledger._database.engine
    if engine.dialect.name != "sqlite":
        return

    def limit(connection: sa.Connection) -> None:
        pages = 1 if mark.exists() else 1 << 30  # never fewer than it has
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

    event.listen(engine, "begin", limit)


# -- worker ----------------------------------------------------------------------------------------------------------


class UnderWay(logging.Handler):
    """Reads off the worker's own log which attempt it is at."""

    OPENS, CLOSES = "claimed", frozenset({"rendered", "failed", "given_back", "lease_lost", "left_to_expire"})

    def __init__(self) -> None:
        super().__init__()
        self.attempt = ""

    def emit(self, record: logging.LogRecord) -> None:
        name = getattr(record, "event", "")
        if name == self.OPENS:
            self.attempt = record.fields["attempt"]  # type: ignore[attr-defined]  # given as `extra`
        elif name in self.CLOSES:
            self.attempt = ""


def _work(slot: Slot, settings: Settings) -> int:
    under_way = UnderWay()
    worker_log.logger.addHandler(under_way)
    plan = WorkerPlan(
        name=slot.name,
        gang=GangPlan(engine="pattern", model="humo-1.7B", ranks=slot.ranks, tick_timeout_s=slot.tick_timeout_s),
        scratch=scratch_folder(settings),
        lease_ttl_s=settings.lease_ttl_s,
        grace_s=slot.grace_s,
    )
    deck = Deck(Path(slot.deck))
    listener = Assassin(deck, _find, lambda: {"worker": slot.name, "attempt": under_way.attempt})
    ledger = _open_ledger(settings)
    return Supervisor(plan, ledger=ledger, store=open_store_of(settings), listener=listener).run()


def _find(victim: str) -> int | None:
    if victim == "worker":
        return os.getpid()
    mark = {"rank": "rank", "encoder": "rawvideo"}[victim]
    for child in psutil.Process().children():
        try:
            if mark in child.cmdline():
                return int(child.pid)
        except psutil.NoSuchProcess:
            continue
    return None


# -- flow ------------------------------------------------------------------------------------------------------------


def _coordinate(slot: Slot, settings: Settings) -> int:
    ledger = _open_ledger(settings)
    executor = _executor(slot)
    coordinator = Coordinator(
        ledger=ledger,
        executor=executor,
        settings=settings,
        campaign_id=slot.campaign_id,
        owner=f"{slot.name}:{os.getpid()}:{uuid.uuid4().hex[:8]}",
        worker=slot.name,
        listener=JoinAssassin(Path(slot.deck), os.getpid(), slot.name),
    )
    try:
        drive(coordinator, tick_s=slot.tick_s)
    finally:
        executor.close()
        ledger.close()
    return 0


def _executor(slot: Slot) -> Executor:
    if slot.processes:
        return ProcessExecutor(slot.processes)
    armed = Deck(Path(slot.deck)).armed()
    return ProcessExecutor(1) if armed and armed[1].in_process else InlineExecutor()


def redirect(path: Path) -> None:
    """Everything this process says goes to the end of that file."""
    sys.stdout.flush()
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    quiet = os.open(os.devnull, os.O_RDONLY)
    os.dup2(quiet, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    os.close(quiet)
