"""The ledger behind a pooler that lends a server's connection for one transaction only."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import pytest

from schemas.states import JobState, VideoState
from storage.ledger.options import LedgerOptions
from storage.ledger.sql.database import CHUNK
from tests.support.ledger_fleet import Order, run_fleet
from tests.support.ledgers import emptied, good_row, sheet, sql_ledger, started
from tests.support.pooler import SERVER_CONNECTIONS, Pooler, pooler_before
from tests.support.postgres import PostgresServer

pytestmark = pytest.mark.pgbouncer

WORKERS = 6
ROWS = 100
CLIPS = 2


@pytest.fixture(scope="module")
def pooler(postgres: PostgresServer) -> Iterator[Pooler]:
    with pooler_before(postgres.base) as found:
        yield found


@pytest.fixture
def url(pooler: Pooler, shared_postgres: str) -> str:
    """Of an empty ledger, by way of the pooler."""
    emptied(shared_postgres)
    return pooler.url(shared_postgres)


def test_a_big_sheet_goes_in_and_comes_out(url: str, shared_postgres: str, postgres: PostgresServer) -> None:
    """Made, compared and made again in transactions of any connection; no more of them than the pooler lends."""
    ledger = sql_ledger(url, options=LedgerOptions())
    rows = [good_row(f"r{number}", prompt=f"世界 {number}") for number in range(CHUNK + 10)]
    campaign_id = ledger.submit(sheet(*rows)).campaign_id
    again = ledger.submit(sheet(*rows[:-1], good_row("new")))
    assert (again.added, again.changed, again.unchanged, again.removed) == (1, 0, len(rows) - 1, 1)
    prompts = [row.shot.prompt for row in ledger.rows(campaign_id) if row.shot]
    assert prompts == [*(f"世界 {number}" for number in range(CHUNK + 9)), "prompt of new"]
    assert 1 <= postgres.connections(shared_postgres) <= SERVER_CONNECTIONS
    ledger.close()


@pytest.mark.parametrize("killed", [False, True])
def test_every_job_is_completed_once(url: str, pooler: Pooler, killed: bool) -> None:
    """By processes that share fewer connections than they are; also when the pooler is killed again and again."""
    ledger = sql_ledger(url)
    campaign_id = started(ledger, *(good_row(f"r{number}", clips=CLIPS) for number in range(ROWS)))
    orders = [Order(url=url, campaign_id=campaign_id, name=f"w{n}", releases_every=7) for n in range(WORKERS)]
    with _killed_now_and_then(pooler) if killed else nullcontext([]) as kills:
        records = run_fleet(orders)
    assert len(kills) >= 2 * killed
    rendered = [subject for record in records for subject in record.rendered]
    published = [subject for record in records for subject in record.published]
    assert len(records) == WORKERS
    assert (len(rendered), len(set(rendered))) == (ROWS * CLIPS, ROWS * CLIPS)
    assert (len(published), len(set(published))) == (ROWS, ROWS)
    counts = ledger.counts(campaign_id)
    assert (counts.jobs, counts.videos) == ({JobState.RENDERED: ROWS * CLIPS}, {VideoState.PUBLISHED: ROWS})
    ledger.close()


@contextmanager
def _killed_now_and_then(pooler: Pooler) -> Iterator[list[float]]:
    """The pooler dies every 0.4 s and is back at once; when it did, by the clock of this process."""
    kills: list[float] = []
    over = threading.Event()

    def go_on() -> None:
        while not over.wait(0.4):
            kills.append(time.monotonic())
            pooler.kill()
            pooler.start()

    killer = threading.Thread(target=go_on)
    killer.start()
    try:
        yield kills
    finally:
        over.set()
        killer.join()
