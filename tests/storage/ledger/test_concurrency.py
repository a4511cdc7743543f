"""Many processes on one ledger: every job is completed once, whoever dies, and twins are rendered once."""

from __future__ import annotations

import threading

import pytest

from schemas.lease import Lease, LeaseKind
from schemas.states import Ending, JobState, VideoState
from storage.ledger.identity import new_attempt_id
from storage.ledger.sql import claims
from storage.ledger.sql.database import Database, Tx
from storage.ledger.sql.engine import make_engine, parse_url
from tests.support.ledger_fleet import Order, Record, run_fleet
from tests.support.ledgers import OPTIONS, PREEMPTED, emptied, good_row, sql_ledger, started, worker


def all_of(records: list[Record], kind: str) -> list[str]:
    return [subject for record in records for subject in getattr(record, kind)]


def test_every_job_is_completed_once(sql_url: str) -> None:
    """Eight processes complete 400 jobs and publish 100 videos: each exactly once, none left, none twice."""
    ledger = sql_ledger(sql_url)
    campaign_id = started(ledger, *(good_row(f"r{n:03d}", clips=4) for n in range(100)))
    orders = [Order(url=sql_url, campaign_id=campaign_id, name=f"w{n}", releases_every=7) for n in range(8)]
    records = run_fleet(orders)
    assert len(records) == 8
    rendered, published = all_of(records, "rendered"), all_of(records, "published")
    assert (len(rendered), len(set(rendered))) == (400, 400)
    assert (len(published), len(set(published))) == (100, 100)
    counts = ledger.counts(campaign_id)
    assert counts.jobs == {JobState.RENDERED: 400}
    assert counts.videos == {VideoState.PUBLISHED: 100}
    assert counts.device_s - counts.wasted_device_s == 400.0
    ledger.close()


def test_whoever_dies_everything_is_done(sql_url: str) -> None:
    """Processes that die holding a lease cost a lease's time and nothing else."""
    ledger = sql_ledger(sql_url)
    campaign_id = started(ledger, *(good_row(f"r{n:03d}", clips=2) for n in range(20)))
    order = Order(url=sql_url, campaign_id=campaign_id, name="", ttl=2.0)
    doomed = [Order(**{**order.__dict__, "name": f"d{n}", "dies_at": n + 1}) for n in range(3)]
    living = [Order(**{**order.__dict__, "name": f"w{n}"}) for n in range(2)]
    records = run_fleet([*doomed, *living])
    assert 2 <= len(records) < 5, "some died, the living came back"
    rendered = all_of(records, "rendered")
    assert len(rendered) == len(set(rendered)) <= 40
    counts = ledger.counts(campaign_id)
    assert counts.jobs == {JobState.RENDERED: 40}
    assert counts.videos == {VideoState.PUBLISHED: 20}
    lost = [a for n in range(20) for a in ledger.explain(campaign_id, f"r{n:03d}").attempts if a.ending is Ending.LOST]
    assert len(lost) >= 5 - len(records)
    ledger.close()


@pytest.fixture
def database(shared_postgres: str) -> Database:
    return Database(make_engine(parse_url(emptied(shared_postgres))), OPTIONS)


def test_two_claims_of_twins_at_once(database: Database, shared_postgres: str) -> None:
    """Of two workers that claim twins in the same moment, one gets its job and the other sees it leased."""
    ledger = sql_ledger(shared_postgres)
    started(ledger, good_row("a", prompt="same", seed=1), good_row("b", prompt="same", seed=1))
    claimed, may_commit = threading.Event(), threading.Event()
    found: dict[str, Lease | None] = {}

    def first(tx: Tx) -> None:
        found["first"] = claims.claim(tx, worker("w1"), LeaseKind.RENDER, ttl=60, attempt_id=new_attempt_id())
        claimed.set()
        assert may_commit.wait(30)

    def second() -> None:
        found["second"] = ledger.claim(worker("w2"), LeaseKind.RENDER, ttl=60)

    holder = threading.Thread(target=lambda: database.write(first))
    holder.start()
    assert claimed.wait(30)
    racer = threading.Thread(target=second)
    racer.start()
    racer.join(0.3)
    assert racer.is_alive(), "the second claim waits for the first one's commit"
    may_commit.set()
    holder.join()
    racer.join()
    assert found["first"] is not None
    assert found["second"] is None
    ledger.release(found["first"], PREEMPTED)
    assert ledger.claim(worker("w2"), LeaseKind.RENDER, ttl=60) is not None


def test_a_locked_job_is_skipped(database: Database, shared_postgres: str) -> None:
    """A worker does not wait for a job that another is just claiming: it gets the next one."""
    ledger = sql_ledger(shared_postgres)
    started(ledger, good_row("a"), good_row("b"))

    def first(tx: Tx) -> Lease | None:
        mine = claims.claim(tx, worker("w1"), LeaseKind.RENDER, ttl=60, attempt_id=new_attempt_id())
        other = ledger.claim(worker("w2"), LeaseKind.RENDER, ttl=60)
        assert other is not None
        assert other.job == good_row("b").jobs[0]
        return mine

    lease = database.write(first)
    assert lease is not None
    assert lease.job == good_row("a").jobs[0]
