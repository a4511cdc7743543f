"""docs/ledger.md names rights that are enough for a worker, and too few for anything else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import ProgrammingError

from schemas.lease import Progress
from schemas.states import CampaignState, JobState
from storage.ledger.open import open_ledger
from storage.ledger.sql.engine import make_engine, parse_url
from tests.support.ledgers import (
    OPTIONS,
    PREEMPTED,
    claim,
    failure,
    good_row,
    migrate,
    render,
    sheet,
    sql_ledger,
    started,
    worker,
)
from tests.support.postgres import PostgresServer

PAGE = Path(__file__).parents[3] / "docs" / "ledger.md"


def test_a_workers_role_renders_and_does_nothing_else(postgres: PostgresServer) -> None:
    """With the page's rights a worker does all its verbs; it can neither submit nor pause nor coordinate."""
    url = postgres.new_database()
    migrate(url)
    (grants,) = re.findall(r"```sql\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.S)
    owner = sql_ledger(url)
    rows = [good_row(f"r{n}") for n in range(5)]
    twin = good_row("twin", prompt="prompt of r3", seed=sum(b"r3"))
    campaign_id = started(owner, *rows, twin)
    engine = make_engine(parse_url(url))
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE ROLE callsheet_worker LOGIN"))
        connection.execute(sa.text(grants))
    engine.dispose()
    mine = open_ledger(url.replace("postgres@", "callsheet_worker@"), options=OPTIONS, create=False)
    mine.peek(worker())
    mine.fail(claim(mine), failure())
    mine.release(claim(mine), PREEMPTED)
    mine.heartbeat(claim(mine), Progress(phase="denoise"), device_s=1.0)
    mine.reap()
    for _ in range(3):
        render(mine)
    jobs = owner.counts(campaign_id).jobs
    assert jobs == {JobState.RENDERED: 4, JobState.LEASED: 1, JobState.QUEUED: 1}
    with pytest.raises(ProgrammingError, match="permission denied"):
        mine.submit(sheet(good_row("a"), name="mine"))
    with pytest.raises(ProgrammingError, match="permission denied"):
        mine.set_state(campaign_id, CampaignState.PAUSED)
    with pytest.raises(ProgrammingError, match="permission denied"):
        mine.coordinate(campaign_id, "me", ttl=60)
    owner.close()
