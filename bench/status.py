"""The query behind every progress bar: counts and reasons of a campaign half done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from statistics import median

import sqlalchemy as sa

from bench.bench import Bench
from bench.databases import Databases
from bench.figure import Figure, at_most
from bench.pairs import Sample, timed
from bench.progress import say
from storage.ledger.open import open_ledger
from storage.ledger.options import LedgerOptions
from storage.ledger.protocol import Ledger
from storage.ledger.sql.engine import parse_url

CALLS = 7

_ATTEMPTS = """
INSERT INTO attempt (attempt_id, kind, subject, campaign_id, video_id, row_id, worker, pool, epoch, round, started_at,
    expires_at, seen_at, ttl, phase, done, total, device_s, ended_at, ended_by, ending, message, wait_s, reason)
SELECT 'a' || job_id, 'render', job_id, campaign_id, video_id, row_id, 'w', pool, 1, 0, 1,
    91, 2, 90, 'render', 1, 1, 30, 60, 'complete', 'ok', '', 0, '' FROM job WHERE job_id % 10 < 5
"""
_HALF_DONE = (
    "UPDATE job SET state = 'rendered' WHERE job_id % 10 < 5",
    "UPDATE job SET state = 'leased', attempt_id = 'a' || job_id WHERE job_id % 1000 = 7",
    "UPDATE job SET due_at = due_at + 1e10 WHERE job_id % 10 = 8",
    "UPDATE video SET state = 'published' WHERE video_id IN (SELECT video_id FROM job WHERE job_id % 10 < 4)",
    "UPDATE video SET state = 'stitching' WHERE video_id IN (SELECT video_id FROM job WHERE job_id % 10 = 4)",
    _ATTEMPTS,
)
"""Half of the jobs rendered with an attempt each, most of their videos published, some jobs leased or backing off."""


def run(bench: Bench) -> Iterator[Figure]:
    for databases in bench.databases:
        yield _measure(bench, databases)


def _measure(bench: Bench, databases: Databases) -> Figure:
    origin = bench.campaigns.on(databases)
    url = databases.copy(origin.url)
    say(f"status of {origin.rows:,} rows on {databases.name}: rendering half of them")
    _advance(url)
    before = _looks(url, origin.campaign_id)
    _vacuum(url)
    samples = _looks(url, origin.campaign_id)
    return Figure(
        name=f"status_ms.{databases.name}.{origin.rows}",
        value=1e3 * median(sample.wall_s for sample in samples),
        unit="ms",
        target=at_most(200),
        meaning="ledger.counts and ledger.waiting of a campaign of that many rows, half of them done",
        parts={
            "fastest_ms": 1e3 * min(sample.wall_s for sample in samples),
            "before_vacuum_ms": 1e3 * median(sample.wall_s for sample in before),
        },
    )


def _advance(url: str) -> None:
    engine = sa.create_engine(parse_url(url))
    try:
        with engine.begin() as connection:
            for statement in _HALF_DONE:
                connection.execute(sa.text(statement))
    finally:
        engine.dispose()


def _vacuum(url: str) -> None:
    """What PostgreSQL's own daemon does within a minute: here half a campaign was written in seconds."""
    if not url.startswith("postgresql"):
        return
    engine = sa.create_engine(parse_url(url), isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.execute(sa.text("VACUUM (ANALYZE)"))
    finally:
        engine.dispose()


def _looks(url: str, campaign_id: str) -> list[Sample]:
    with closing(open_ledger(url, options=LedgerOptions(), create=False)) as ledger:
        return [_look(ledger, campaign_id) for _ in range(CALLS + 1)][1:]


def _look(ledger: Ledger, campaign_id: str) -> Sample:
    with timed() as sample:
        ledger.counts(campaign_id)
        ledger.waiting(campaign_id)
    return sample
