"""Claims and counts stay quick at 100,000 rows: the databases' own plans use the indexes made for them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter, process_time

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine, Table
from sqlalchemy.sql.compiler import SQLCompiler

from schemas.lease import LeaseKind, Progress, WorkerIdentity
from schemas.states import JobState
from storage.ledger.sql import claims
from storage.ledger.sql.database import Tx
from storage.ledger.sql.engine import make_engine, parse_url
from storage.ledger.sql.ledger import SqlLedger
from storage.ledger.tables import job, video
from tests.support.ledgers import claim, emptied, fresh_sqlite, good_row, sheet, sql_ledger, started, worker

ROWS = 100_000
SLOW = re.compile(r"SCAN (job|video|twin)$|TEMP B-TREE|Seq Scan|\"Sort\"", re.MULTILINE)
WARM = "640x480x97/TIA"
INDEXED = {
    "of all": (worker(), ["job_next"]),
    "warm": (worker(bucket=WARM), ["job_next_warm"]),
    "of a campaign": (worker(campaign_id="big"), ["job_next_of_campaign", "job_next"]),
    "warm, of a campaign": (worker(bucket=WARM, campaign_id="big"), ["job_next_warm_of_campaign", "job_next_warm"]),
}


COUNTING = "WITH RECURSIVE number(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM number WHERE i < :copies) "


def multiply(engine: Engine, table: Table, fresh: dict[str, str]) -> None:
    """Copy every record of a table until there are `ROWS`; `fresh` says which columns of a copy differ, and how."""
    columns = [column.name for column in table.columns if column.name != "job_id"]
    taken = ", ".join(fresh.get(name, f"{table.name}.{name}") for name in columns)
    with engine.begin() as connection:
        count = connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
        connection.execute(
            sa.text(
                f"{COUNTING} INSERT INTO {table.name} ({', '.join(columns)})"
                f" SELECT {taken} FROM {table.name} CROSS JOIN number"
            ),
            {"copies": ROWS // count - 1},
        )


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def big(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SqlLedger, str]]:
    """A running campaign of 100,000 queued jobs in half a dozen buckets, and its id, on each database in turn."""
    if request.param == "sqlite":
        url = fresh_sqlite(request.getfixturevalue("empty_sqlite"), tmp_path_factory.mktemp("big"))
    else:
        url = emptied(request.getfixturevalue("shared_postgres"))
    ledger = sql_ledger(url)
    campaign_id = started(ledger, *(good_row(f"r{n}", width=640 + 32 * n) for n in range(6)))
    engine = make_engine(parse_url(url))
    multiply(engine, video, {"video_id": "video.video_id || '-' || number.i"})
    multiply(
        engine,
        job,
        {
            "video_id": "job.video_id || '-' || number.i",
            "render_key": "substr(job.render_key, 1, 40) || '-' || number.i",
            "order_key": "job.order_key + number.i",
        },
    )
    with engine.begin() as connection:
        connection.execute(sa.text("ANALYZE"))
    engine.dispose()
    yield ledger, campaign_id
    ledger.close()


def plan(ledger: SqlLedger, identity: WorkerIdentity | None) -> str:
    """What the database would do for a claim; for a join when no identity is given."""

    def work(tx: Tx) -> str:
        told = {"new_attempt": "f" * 32}
        if identity is None:
            asked, told = claims.join_statement(worker(pool="")), {**told, "tx_now": tx.now}
        else:
            asked, told = claims.claim_statement(identity), {**told, **claims.wishes(identity, tx)}
        compiled = asked.statement.compile(dialect=tx.conn.dialect)
        assert isinstance(compiled, SQLCompiler)
        bound = compiled.construct_params(told)
        if compiled.positiontup is not None:
            ordered = tuple(bound[name] for name in compiled.positiontup)
            rows = tx.conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", ordered).all()
            return "\n".join(str(row[-1]) for row in rows)
        return json.dumps(tx.conn.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {compiled}", bound).scalar_one())

    return ledger._database.write(work, keep=False)


@pytest.mark.parametrize("kind", INDEXED)
def test_claims_by_index(big: tuple[SqlLedger, str], kind: str) -> None:
    """Each choice looks at the head of an index made for it: no scan over the jobs, no sorting."""
    identity, indexes = INDEXED[kind]
    found = plan(big[0], identity)
    assert not SLOW.search(found), found
    assert any(index in found for index in indexes), found


def test_joins_by_index(big: tuple[SqlLedger, str]) -> None:
    """The next join stands at the head of an index."""
    found = plan(big[0], None)
    assert not SLOW.search(found), found
    assert "video_next" in found, found


def test_looks_are_quick(big: tuple[SqlLedger, str]) -> None:
    """At 100,000 rows counts, peeks, claims and heartbeats each take less than 200 ms."""
    ledger, campaign_id = big
    warm = worker(bucket=WARM)
    lease = claim(ledger, bucket=WARM)
    assert quickest(lambda: ledger.counts(campaign_id)) < 0.2
    assert quickest(lambda: ledger.peek(warm)) < 0.2
    assert quickest(lambda: ledger.claim(warm, LeaseKind.RENDER, ttl=60)) < 0.2
    assert quickest(lambda: ledger.heartbeat(lease, Progress(phase="denoise"))) < 0.2
    assert ledger.counts(campaign_id).jobs[JobState.LEASED] >= 6


def quickest(act: Callable[[], object]) -> float:
    """The best of five: what the work takes when nobody else wants the processor."""
    times = []
    for _ in range(5):
        began = perf_counter()
        act()
        times.append(perf_counter() - began)
    return min(times)


def test_ten_thousand_rows_are_submitted_in_seconds(empty_sqlite: Path, tmp_path: Path) -> None:
    """A sheet of 10,000 rows is stored within ten seconds, and the same again within five."""
    ledger = sql_ledger(fresh_sqlite(empty_sqlite, tmp_path))
    submission = sheet(*(good_row(f"r{n:05d}", seed=n) for n in range(10_000)))
    began = process_time()
    assert ledger.submit(submission).jobs_new == 10_000
    assert process_time() - began < 10
    began = process_time()
    assert ledger.submit(submission).changes_nothing
    assert process_time() - began < 5
    ledger.close()
