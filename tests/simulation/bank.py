"""The ledger's database in memory: the real SqlLedger on it, through doors that fail as the seed says."""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import psycopg
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import StaticPool

from schemas.errors import CallsheetError, LeaseLost, Retryable
from schemas.lease import Lease
from storage.ledger import schema
from storage.ledger.options import LedgerOptions
from storage.ledger.sql.database import Database, Tx
from storage.ledger.sql.ledger import SqlLedger
from storage.ledger.sql.trouble import Patience
from tests.simulation.fate import Fate
from tests.simulation.world import Call, Process, World

T = TypeVar("T")

KEPT = 60
"""How many commits back a copy of the database may be restored from."""


@cache
def _engine() -> tuple[sa.Engine, sqlite3.Connection, bytes]:
    """One engine for all schedules of this process, so that statements are compiled once; and an empty ledger."""
    connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA foreign_keys=ON")
    engine = sa.create_engine(
        "sqlite://", creator=lambda: connection, poolclass=StaticPool, pool_reset_on_return=None, hide_parameters=True
    )

    def begin(_raw: object) -> None:
        connection.execute("BEGIN IMMEDIATE")

    # By the shortest way: there are hundreds of transactions in a schedule.
    engine.dialect.do_begin = begin  # type: ignore[method-assign, assignment]
    schema.upgrade(engine)
    return engine, connection, connection.serialize()


class Bank:
    """The one database of a schedule, and the copies that were made of it."""

    def __init__(self, world: World) -> None:
        self.engine, self.raw, empty = _engine()
        self.raw.deserialize(empty)
        self.raw.execute("PRAGMA foreign_keys=ON")
        self._world = world
        self._copies: deque[tuple[str, bytes]] = deque(maxlen=KEPT)
        """After each commit: the verb, and all of the database."""
        self.keeps_copies = False
        self.on_commit: list[Callable[[Call], None]] = []
        self.on_restore: list[Callable[[], None]] = []

    def committed(self, call: Call) -> None:
        if self.keeps_copies:
            self._copies.append((call.verb, self.raw.serialize()))
        for tell in self.on_commit:
            tell(call)

    def since_a_claim(self) -> int:
        """How many commits are to be lost so that the last claim is among them; a claim without work counts not."""
        verbs = [verb for verb, _ in reversed(self._copies)]
        return verbs.index("claim") + 1 if "claim" in verbs else 1

    def lose(self, commits: int) -> None:
        """Put an older copy in place of the database, as after a disaster."""
        if commits < len(self._copies):
            for _ in range(commits):
                self._copies.pop()
            self.raw.deserialize(self._copies[-1][1])
            self.raw.execute("PRAGMA foreign_keys=ON")
            self._world.note("ledger", f"LOST its last {commits} commits")
            for tell in self.on_restore:
                tell()

    def in_force(self, lease: Lease) -> bool:
        """Whether the ledger's rows say that this lease holds, asked without any of the ledger's own code."""
        table, key = ("job", "job_id") if lease.kind == "render" else ("video", "video_id")
        found = self.raw.execute(
            f"SELECT 1 FROM {table} w JOIN attempt a ON a.attempt_id = w.attempt_id"
            f" WHERE w.{key} = ? AND w.epoch = ? AND a.attempt_id = ? AND a.epoch = w.epoch AND a.ended_at IS NULL",
            (lease.subject, lease.epoch, lease.attempt_id),
        )
        return found.fetchone() is not None

    def ended_by(self, lease: Lease) -> str | None:
        """The verb that ended the attempt of this very lease."""
        found = self.raw.execute(
            "SELECT ended_by FROM attempt WHERE attempt_id = ? AND epoch = ?", (lease.attempt_id, lease.epoch)
        ).fetchone()
        return found[0] if found else None


class _Door(Database):
    """One process's way to the bank: slow, refused, unanswered or cut off."""

    def __init__(self, bank: Bank, process: Process, fate: Fate, options: LedgerOptions) -> None:
        world = bank._world
        super().__init__(
            bank.engine,
            options,
            now=sa.bindparam("now", callable_=world.ledger_clock, type_=sa.Double()),
            patience=lambda: Patience(sleep=lambda _s: process.sleep(world.random.uniform(0.05, 2.0))),
        )
        self._bank = bank
        self._process = process
        self._fate = fate
        self._world = world

    def _once(self, work: Callable[[Tx], T], options: dict[str, Any], *, keep: bool) -> T:
        call = self._world.call
        verb = call.verb
        self._on_the_way()
        if self._fate.strikes("refused") or (verb == "heartbeat" and self._fate.strikes("heartbeat_lost")):
            self._world.note(self._process.name, f"{verb}: refused")
            raise _away()
        result = self._commit(work, options, keep=keep, call=call)
        if self._fate.strikes("unanswered"):
            self._world.note(self._process.name, f"{verb}: done, but unanswered")
            self._on_the_way()
            raise _away()
        self._on_the_way()
        return result

    def _on_the_way(self) -> None:
        self._fate.pass_by(self._process)
        self._world.suspend(self._fate.delay() + self._fate.dawdle(self._process))
        if not self._process.alive:
            raise AssertionError("a dead process reached the ledger")
        if self._process.cut_off_until > self._world.now:
            self._world.suspend(1.0)
            raise _away()

    def _commit(self, work: Callable[[Tx], T], options: dict[str, Any], *, keep: bool, call: Call) -> T:
        lease, who = call.lease, f"{call.verb} of {self._process.name}"
        holds = lease is None or self._bank.in_force(lease)
        before = self._bank.raw.total_changes
        try:
            result = super()._once(work, options, keep=keep)
        except LeaseLost:
            if lease is not None and holds:
                self._world.blame("a_lease_in_force_is_honoured", f"{who} was told that its lease is lost")
            raise
        if self._bank.raw.total_changes != before and keep:
            if not holds:
                self._world.blame("a_late_write_changes_nothing", f"{who} wrote under a lease that was lost")
            self._bank.committed(call)
        return result


def _away() -> OperationalError:
    return OperationalError("a verb", None, psycopg.OperationalError("server closed the connection unexpectedly"))


class Teller:
    """The ledger as one process knows it. What it answers is held against what stands in the rows."""

    def __init__(self, bank: Bank, process: Process, fate: Fate, *, options: LedgerOptions | None = None) -> None:
        self._bank = bank
        self._process = process
        self._world = bank._world
        self._door = _Door(bank, process, fate, options or LedgerOptions())
        self._ledger = SqlLedger(self._door, new_id=lambda: f"{self._world.random.getrandbits(128):032x}")

    def __getattr__(self, verb: str) -> Callable[..., Any]:
        method = getattr(self._ledger, verb)

        def call(*args: Any, **kw: Any) -> Any:
            lease = args[0] if args and isinstance(args[0], Lease) else None
            try:
                with self._world.calling(Call(verb, lease, kw.get("coordinator_epoch"))):
                    answer = method(*args, **kw)
            except LeaseLost as error:
                self._answered_lost(verb, lease)
                self._say(verb, lease, "lease lost:", error.message)
                raise
            except Retryable as error:
                self._process.excuse(f"{verb}: given up: {error.message}")
                raise
            except CallsheetError as error:
                self._say(verb, lease, type(error).__name__, error.message)
                raise
            except Exception as error:
                said = f"{verb} of {self._process.name} raised {type(error).__name__}: {error}"
                self._world.blame("a_verb_raises_what_it_says", said)
                raise
            except BaseException as error:
                # Told to go at once, in the middle of a call: what the ledger did of it, nobody heard.
                self._process.excuse(f"{verb}: broken off by {type(error).__name__}")
                raise
            self._say(verb, lease, *(answer if isinstance(answer, tuple) else (answer,)))
            return answer

        return call

    def _answered_lost(self, verb: str, lease: Lease | None) -> None:
        if lease is not None and self._bank.ended_by(lease) == verb:
            said = f"{verb} ended attempt {lease.attempt_id[:8]}, but when asked again knew nothing of it"
            self._world.blame("asked_again_it_answers_the_same", said)

    def _say(self, verb: str, lease: Lease | None, *answer: object) -> None:
        of = (_Told(lease),) if lease else ()
        self._world.note(
            self._process.name, verb, *of, "->", *(_Told(a) if isinstance(a, Lease) else a for a in answer)
        )


class _Told:
    """A lease in a trace."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease

    def __str__(self) -> str:
        lease = self._lease
        return f"{lease.kind.value} {lease.subject[:8]} epoch {lease.epoch} attempt {lease.attempt_id[:8]}"
