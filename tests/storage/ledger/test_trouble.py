"""When the database breaks off, is busy or full: verbs try again, bounded, and never do their work twice."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError, OperationalError

from schemas.errors import Retryable
from schemas.states import CampaignState, JobState, VideoState
from storage.ledger.sql.database import Database, Tx
from storage.ledger.sql.engine import make_engine, parse_url
from storage.ledger.sql.ledger import SqlLedger
from storage.ledger.sql.trouble import Patience
from storage.ledger.tables import clip, job
from tests.support.ledgers import (
    OPTIONS,
    PREEMPTED,
    bad_row,
    claim,
    claim_join,
    clip_of,
    emptied,
    failure,
    fresh_sqlite,
    good_row,
    no_claim,
    publication_of,
    render,
    sheet,
    sql_ledger,
    started,
)
from tests.support.postgres import PostgresServer

T = TypeVar("T")


class Forgetful(Database):
    """Commits, and then loses the answer: what a server that restarts at the wrong moment does."""

    def __init__(self, url: str) -> None:
        super().__init__(make_engine(parse_url(url)), OPTIONS, patience=lambda: Patience(sleep=lambda _: None))
        self.forgets = 0

    def _once(self, work: Callable[[Tx], T], reading: dict[str, Any] | None, *, keep: bool) -> T:
        answer = super()._once(work, reading, keep=keep)
        if reading is None and self.forgets:
            self.forgets -= 1
            raise OperationalError("COMMIT", {}, psycopg.OperationalError("server closed the connection unexpectedly"))
        return answer


@dataclass(frozen=True, kw_only=True)
class Line:
    """A ledger whose line breaks when told."""

    ledger: SqlLedger
    database: Forgetful

    def breaks(self, act: Callable[[], T]) -> T:
        """Do something while the first answer gets lost."""
        self.database.forgets = 1
        answer = act()
        assert self.database.forgets == 0
        return answer


@pytest.fixture
def line(sql_url: str) -> Iterator[Line]:
    database = Forgetful(sql_url)
    ledger = SqlLedger(database)
    yield Line(ledger=ledger, database=database)
    ledger.close()


def test_a_claim_whose_answer_got_lost_leaves_no_orphan(line: Line) -> None:
    """The repeated claim answers with the lease that the first one made."""
    campaign_id = started(line.ledger, good_row("a"), good_row("b"))
    lease = line.breaks(lambda: claim(line.ledger))
    assert (lease.epoch, lease.job) == (1, good_row("a").jobs[0])
    assert line.ledger.counts(campaign_id).jobs == {JobState.LEASED: 1, JobState.QUEUED: 1}
    line.ledger.complete(lease, clip_of(lease))
    render(line.ledger)
    join_lease = line.breaks(lambda: claim_join(line.ledger))
    assert len(line.ledger.workers()) == 1
    line.ledger.checking(join_lease)


def test_endings_whose_answers_got_lost(line: Line) -> None:
    """Complete, fail, release, checking, publish and clip_vanished do their work once and answer as the first time."""
    ledger = line.ledger
    campaign_id = started(ledger, good_row("a"))
    first = claim(ledger)
    line.breaks(lambda: ledger.release(first, PREEMPTED))
    lease = claim(ledger)
    assert line.breaks(lambda: ledger.complete(lease, clip_of(lease), device_s=2.0)) == clip_of(lease)
    joining = claim_join(ledger)
    assert lease.job is not None
    key = lease.job.render_key
    line.breaks(lambda: ledger.clip_vanished(joining, key))
    again = claim(ledger)
    decision = line.breaks(lambda: ledger.fail(again, failure(), device_s=1.0))
    assert decision.wait_s > 0
    assert ledger.explain(campaign_id, "a").row.attempts == 3
    ledger.submit(sheet(good_row("b")))
    render(ledger)
    last = claim_join(ledger)
    line.breaks(lambda: ledger.checking(last))
    line.breaks(lambda: ledger.publish(last, publication_of(last)))
    assert ledger.counts(campaign_id).videos == {VideoState.PUBLISHED: 1}


def test_operators_whose_answers_got_lost(line: Line) -> None:
    """Submit, states, coordination, cancel, reap and retry leave the same ledger when they run twice."""
    ledger = line.ledger
    report = line.breaks(lambda: ledger.submit(sheet(good_row("a"), good_row("b"), bad_row("c"))))
    campaign_id = report.campaign_id
    line.breaks(lambda: ledger.set_state(campaign_id, CampaignState.RUNNING))
    assert line.breaks(lambda: ledger.coordinate(campaign_id, "me", ttl=60)) == 1
    line.breaks(lambda: ledger.cancel(campaign_id))
    assert line.breaks(lambda: ledger.finish_cancel(campaign_id))
    line.breaks(lambda: ledger.retry(campaign_id, states=[VideoState.CANCELLED]))
    line.breaks(lambda: ledger.resign(campaign_id, "me"))
    counts = ledger.counts(campaign_id)
    assert counts.videos == {VideoState.WAITING: 2, VideoState.INVALID: 1}
    assert counts.jobs == {JobState.QUEUED: 2}
    assert ledger.campaign(campaign_id).revision == 1
    assert claim(ledger).epoch == 3


def test_rows_that_stream_cannot_be_read_twice(line: Line) -> None:
    """When the line breaks after rows streamed in once, submit says so instead of storing an empty sheet."""

    line.database.forgets = 1
    with pytest.raises(Retryable, match="streamed") as caught:
        line.ledger.submit(replace(sheet(), rows=iter(sheet(good_row("a")).rows)))
    assert "submit again" in caught.value.fix
    assert line.ledger.counts(line.ledger.campaign("spring").campaign_id).rows == 1


def test_an_outage_ends_in_retryable(line: Line) -> None:
    """A database that stays away is reported after a bounded number of tries."""
    line.database.forgets = 1000
    with pytest.raises(Retryable, match="cannot be reached"):
        line.ledger.submit(sheet(good_row("a")))
    assert line.database.forgets == 1000 - 6


def test_a_cut_connection_is_made_again(shared_postgres: str) -> None:
    """A server that cuts a verb's connection in the middle costs a reconnect and nothing else."""
    url = emptied(shared_postgres)
    database = Database(make_engine(parse_url(url)), OPTIONS)
    tries = []

    def work(tx: Tx) -> int:
        tries.append(tx.now)
        tx.insert_new(clip, [{"render_key": "0" * 64, "clip": "{}", "committed_at": tx.now}])
        if len(tries) == 1:
            tx.run(sa.select(sa.func.pg_terminate_backend(sa.func.pg_backend_pid())))
        return len(tries)

    assert database.write(work) == 2
    assert database.read(lambda tx: tx.scalar(sa.select(sa.func.count()).select_from(clip))) == 1


def test_a_deadlock_is_run_again(shared_postgres: str) -> None:
    """Of two transactions that lock each other out, the one that PostgreSQL ends runs again as a whole."""
    url = emptied(shared_postgres)
    ledger = sql_ledger(url)
    started(ledger, good_row("a"), good_row("b"))
    database = Database(make_engine(parse_url(url)), OPTIONS)
    both_hold_one = threading.Barrier(2)
    runs: list[str] = []

    def lock(order: tuple[int, int]) -> Callable[[Tx], None]:
        def work(tx: Tx) -> None:
            runs.append(str(order))
            for step, job_id in enumerate(order):
                tx.run(sa.update(job).where(job.c.job_id == job_id).values(round=job.c.round + 1))
                if step == 0 and runs.count(str(order)) == 1:
                    both_hold_one.wait(30)

        return work

    threads = [threading.Thread(target=database.write, args=[lock(order)]) for order in ((1, 2), (2, 1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(runs.count(name) for name in ("(1, 2)", "(2, 1)")) == [1, 2]
    rounds = database.read(lambda tx: list(tx.conn.scalars(sa.select(job.c.round).order_by(job.c.job_id))))
    assert rounds == [2, 2]


def test_a_locked_file_is_waited_for(empty_sqlite: Path, tmp_path: Path) -> None:
    """Another writer's transaction is waited out."""
    url = fresh_sqlite(empty_sqlite, tmp_path)
    other = sqlite3.connect(parse_url(url).database or "", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(0.2, other.execute, ["COMMIT"])
    timer.start()
    ledger = sql_ledger(url)
    assert ledger.submit(sheet(good_row("a"))).added == 1
    timer.join()
    other.close()
    ledger.close()


def test_a_file_that_stays_locked_is_reported(empty_sqlite: Path, tmp_path: Path) -> None:
    """A file that another writer never lets go ends in `Retryable`, with what to do; reading goes on meanwhile."""
    url = fresh_sqlite(empty_sqlite, tmp_path)
    engine = make_engine(parse_url(url))
    event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout=1"))
    waits: list[float] = []
    ledger = SqlLedger(Database(engine, OPTIONS, patience=lambda: Patience(sleep=waits.append)))
    other = sqlite3.connect(parse_url(url).database or "", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Retryable, match="busy") as caught:
        ledger.submit(sheet(good_row("a")))
    assert "PostgreSQL" in caught.value.fix
    assert len(waits) == Patience().contended_tries
    assert ledger.campaigns() == []
    other.close()
    ledger.close()


def test_a_full_disk_stops_and_loses_nothing(empty_sqlite: Path, tmp_path: Path) -> None:
    """A database that cannot grow answers `Retryable` at once and keeps what it had; with room it goes on."""
    url = fresh_sqlite(empty_sqlite, tmp_path)
    engine = make_engine(parse_url(url))
    ledger = SqlLedger(Database(engine, OPTIONS))
    campaign_id = started(ledger, good_row("a"))
    most_pages = [1]  # SQLite takes it for as many as there are
    limit = "PRAGMA max_page_count={}".format
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(limit(*most_pages)))
    with pytest.raises(Retryable, match="full"):
        ledger.submit(sheet(*(good_row(f"r{n}") for n in range(500))))
    assert ledger.counts(campaign_id).rows == 1
    most_pages[0] = 100_000
    ledger.submit(sheet(*(good_row(f"r{n}") for n in range(500))))
    assert ledger.counts(campaign_id).rows == 500
    ledger.close()


def test_a_commit_that_fails_leaves_nothing_locked(sql_url: str) -> None:
    """What is only checked at the end of a transaction ends it: the same ledger, and another one, write at once."""
    ledger, other = sql_ledger(sql_url), Database(make_engine(parse_url(sql_url)), OPTIONS)
    campaign_id = started(ledger, good_row("a"))

    def orphaned(tx: Tx) -> None:
        tx.run(sa.update(job).values(video_id="nobody's"))

    with pytest.raises(IntegrityError):
        ledger._database.write(orphaned)
    began = time.monotonic()
    other.write(lambda tx: tx.run(sa.update(job).values(priority=1)))
    assert render(ledger)
    assert ledger.counts(campaign_id).jobs[JobState.RENDERED] == 1
    assert time.monotonic() - began < 3.0, "a locked file is waited for for five seconds"
    other.close()
    ledger.close()


def test_sqlite_keeps_what_it_acknowledged(empty_sqlite: Path, tmp_path: Path) -> None:
    """Every connection writes ahead and waits for the disk: an acknowledged commit survives a power cut."""
    engine = make_engine(parse_url(fresh_sqlite(empty_sqlite, tmp_path)))
    with engine.connect() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "busy_timeout", "foreign_keys")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "busy_timeout": 5000, "foreign_keys": 1}
    engine.dispose()


def test_a_clip_that_came_between_is_used(sql_url: str) -> None:
    """A job submitted while its twin's clip was being committed is not rendered again: its claim finds the clip."""
    ledger = sql_ledger(sql_url)
    started(ledger, good_row("z"), name="other")
    lease = render(ledger)
    campaign_id = started(ledger, good_row("a"), good_row("b"))
    key = good_row("a").jobs[0].render_key
    engine = make_engine(parse_url(sql_url))
    with engine.begin() as connection:
        ready = clip_of(lease).model_copy(update={"render_key": key}).model_dump_json()
        connection.execute(sa.insert(clip).values(render_key=key, clip=ready, committed_at=0.0))
    engine.dispose()
    assert claim(ledger).job == good_row("b").jobs[0]
    counts = ledger.counts(campaign_id)
    assert counts.videos == {VideoState.STITCHING: 1, VideoState.RENDERING: 1}
    assert counts.reused == 1
    assert no_claim(ledger)
    ledger.close()


def test_no_connection_is_held_at_rest(postgres: PostgresServer, shared_postgres: str) -> None:
    """A thousand workers are not a thousand idle connections: a ledger soon holds none when nothing is asked of it."""
    ledger = sql_ledger(emptied(shared_postgres))
    started(ledger, good_row("a"))
    claim(ledger)
    assert postgres.comes_to_rest(shared_postgres)


def test_errors_show_neither_prompts_nor_statements(line: Line) -> None:
    """What a fault of a statement says holds no parameters: prompts do not reach a log this way."""
    with pytest.raises(sa.exc.DBAPIError) as caught:
        line.database.write(lambda tx: tx.run(sa.text("INSERT INTO nowhere VALUES (:x)").bindparams(x="secret prompt")))
    assert "secret prompt" not in str(caught.value)
