"""Answers that come late: a claim's, later than its lease; and a sweep's, later than a heartbeat."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from schemas.lease import Progress
from storage.ledger.sql.database import Database, Tx
from storage.ledger.sql.engine import make_engine, parse_url
from storage.ledger.sql.ledger import SqlLedger
from storage.ledger.sql.trouble import Patience
from tests.support.ledgers import OPTIONS, TTL, Clock, claim, clip_of, fresh_sqlite, good_row, sql_ledger, started

T = TypeVar("T")


class Late(Database):
    """The answer of the next transaction takes its time, and others do something meanwhile; then the line may break."""

    def __init__(self, url: str, clock: Clock) -> None:
        now = sa.bindparam("now", callable_=clock, type_=sa.Double())
        super().__init__(make_engine(parse_url(url)), OPTIONS, now=now, patience=lambda: Patience(sleep=lambda _: None))
        self.meanwhile: Callable[[], None] | None = None
        self.breaks = True

    def _once(self, work: Callable[[Tx], T], reading: dict[str, Any] | None, *, keep: bool) -> T:
        answer = super()._once(work, reading, keep=keep)
        if self.meanwhile:
            meanwhile, self.meanwhile = self.meanwhile, None
            meanwhile()
            if not self.breaks:
                return answer
            raise OperationalError("COMMIT", {}, psycopg.OperationalError("server closed the connection unexpectedly"))
        return answer


def test_a_claim_whose_lease_ran_out_before_its_answer_claims_anew(empty_sqlite: Path, tmp_path: Path) -> None:
    """A worker never hears of a lease that was swept up before it knew of it: it gets the next one."""
    clock = Clock()
    url = fresh_sqlite(empty_sqlite, tmp_path)
    database = Late(url, clock)
    ledger, others = SqlLedger(database), sql_ledger(url, clock)

    def outage() -> None:
        clock.advance(TTL + 1)
        assert others.reap().requeued == 1
        clock.advance(TTL)  # past the backoff of what was lost

    started(ledger, good_row("a"))
    database.meanwhile = outage
    lease = claim(ledger)
    assert lease.epoch == 3
    ledger.complete(lease, clip_of(lease))
    ledger.close()
    others.close()


def test_a_sweep_spares_who_renewed_since_it_looked(empty_sqlite: Path, tmp_path: Path) -> None:
    """A lease that was renewed between the sweep's look and its write is not lost."""
    clock = Clock()
    url = fresh_sqlite(empty_sqlite, tmp_path)
    database = Late(url, clock)
    database.breaks = False
    sweeper, ledger = SqlLedger(database), sql_ledger(url, clock)
    started(ledger, good_row("a"))
    lease = claim(ledger)
    clock.advance(TTL + 1)

    def renew() -> None:
        ledger.heartbeat(lease, Progress(phase="render"))

    database.meanwhile = renew
    assert sweeper.reap().requeued == 0
    ledger.complete(lease, clip_of(lease))
    sweeper.close()
    ledger.close()
