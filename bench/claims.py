"""Claim and complete, against the very same statements sent as raw SQL over one open connection.

The statements are recorded once, with their parameters, on a copy of the database; the raw side sends the recording
to a second copy, the ledger works on a third. All three begin alike, so both sides do the same work.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import sqlalchemy as sa

from bench.bench import Bench
from bench.databases import Databases
from bench.figure import Figure, Size, at_least
from bench.pairs import Pairs, Sample, alternate, going_on, timed
from bench.sheets import SETUP, file_of, sheet, submission
from schemas.clip import Clip
from schemas.digest import sha256_hex
from schemas.lease import Lease, LeaseKind, WorkerIdentity
from schemas.object_ref import ObjectRef
from schemas.states import CampaignState
from storage.ledger.open import open_ledger
from storage.ledger.options import LedgerOptions
from storage.ledger.protocol import Ledger
from storage.ledger.sql.database import Database
from storage.ledger.sql.engine import make_engine, parse_url
from storage.ledger.sql.ledger import SqlLedger
from storage.objects.layout import clip_key

WORKER = WorkerIdentity(worker="bench-0", pool=SETUP.pool)


@dataclass(frozen=True, kw_only=True)
class Amount:
    rows: int
    pairs: int
    jobs_per_block: int


AMOUNTS = {
    Size.FULL: Amount(rows=5_000, pairs=15, jobs_per_block=20),
    Size.QUICK: Amount(rows=1_000, pairs=5, jobs_per_block=20),
    Size.TINY: Amount(rows=10, pairs=1, jobs_per_block=2),
}


def run(bench: Bench) -> Iterator[Figure]:
    for databases in bench.databases:
        yield _measure(databases, AMOUNTS[bench.size])


def _measure(databases: Databases, amount: Amount) -> Figure:
    origin = databases.new()
    with closing(open_ledger(origin, options=LedgerOptions(), create=True)) as ledger:
        campaign_id = ledger.submit(submission(sheet(amount.rows))).campaign_id
        ledger.set_state(campaign_id, CampaignState.RUNNING)
    blocks = amount.pairs + 1
    recording = _record(databases.copy(origin), blocks=blocks, jobs=amount.jobs_per_block)
    with closing(_open(databases.copy(origin))) as ledger, _raw(databases.copy(origin)) as send:
        pairs = alternate(
            f"claim_complete.{databases.name}",
            lambda _: _complete_some(ledger, amount.jobs_per_block),
            lambda number: _send_all(send, recording[number + 1]),
            pairs=amount.pairs,
        )
    return _figure(databases.name, pairs, amount.jobs_per_block, recording)


def _figure(name: str, pairs: Pairs, jobs: int, recording: Sequence[Sequence[Sent]]) -> Figure:
    return Figure(
        name=f"claim_complete.{name}",
        value=1 / pairs.slowdown,
        unit="of the speed of raw SQL",
        target=at_least(0.7),
        meaning="claim a job and complete it; bare: the same statements, recorded, through the driver",
        parts={
            "ours_ms_per_job": 1e3 * pairs.ours_s / jobs,
            "ours_cpu_ms_per_job": 1e3 * pairs.ours_cpu_s / jobs,
            "bare_ms_per_job": 1e3 * pairs.bare_s / jobs,
            "bare_cpu_ms_per_job": 1e3 * pairs.bare_cpu_s / jobs,
            "statements_per_job": len(recording[-1]) / jobs,
        },
    )


# -- the ledger's side -------------------------------------------------------------------------------------------------


def _complete_some(ledger: Ledger, jobs: int) -> Sample:
    sample = Sample()
    for _ in range(jobs):
        with going_on(sample):
            lease = ledger.claim(WORKER, LeaseKind.RENDER, ttl=90)
        assert lease is not None
        clip = clip_of(lease)
        with going_on(sample):
            ledger.complete(lease, clip, device_s=1.0)
    return sample


def clip_of(lease: Lease) -> Clip:
    """What a worker would hand in; its object is nowhere."""
    assert lease.job is not None
    request = lease.job.request
    return Clip(
        render_key=lease.job.render_key,
        object=ObjectRef(key=clip_key(lease.job.render_key, lease), sha256=sha256_hex(b"clip"), size=1_000_000),
        frames=request.keep_frames,
        fps=25,
        width=request.width,
        height=request.height,
        attempt_id=lease.attempt_id,
    )


def _open(url: str) -> SqlLedger:
    ledger = open_ledger(url, options=LedgerOptions(), create=False)
    assert isinstance(ledger, SqlLedger)
    return ledger


# -- the raw side ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sent:
    """One thing said to the database: a statement with its parameters, or the end of a transaction."""

    text: str
    parameters: Any = ()
    many: bool = False


COMMIT = "COMMIT"
Send = Callable[[Sent], None]


def _record(url: str, *, blocks: int, jobs: int) -> list[list[Sent]]:
    """What the ledger sends for each of `blocks` blocks of claims and completions."""
    said: list[Sent] = []
    engine = make_engine(parse_url(url))
    listen = _listening_to_sqlite(said) if url.startswith("sqlite") else _listening_to_postgresql(said)
    sa.event.listen(engine, "do_connect", lambda _d, _r, _a, parameters: parameters.update(listen))
    sa.event.listen(engine, "commit", lambda _: said.append(Sent(COMMIT)))
    recorded = []
    with closing(SqlLedger(Database(engine, LedgerOptions()))) as ledger:
        ledger.now()
        said.clear()
        for _ in range(blocks):
            _complete_some(ledger, jobs)
            recorded.append(said.copy())
            said.clear()
    return recorded


def _listening_to_sqlite(said: list[Sent]) -> dict[str, Any]:
    """Parameters of a connection whose cursors write down what they are told."""

    class Listening(sqlite3.Cursor):
        def execute(self, text: str, parameters: Any = (), /) -> Listening:
            said.append(Sent(text, parameters))
            return super().execute(text, parameters)

        def executemany(self, text: str, parameters: Any, /) -> Listening:
            said.append(Sent(text, parameters, many=True))
            return super().executemany(text, parameters)

    class Line(sqlite3.Connection):
        def cursor(self, factory: Any = Listening) -> Any:
            return super().cursor(factory)

    return {"factory": Line}


def _listening_to_postgresql(said: list[Sent]) -> dict[str, Any]:
    class Listening(psycopg.Cursor[Any]):
        def execute(self, query: Any, params: Any = None, **kw: Any) -> Listening:
            said.append(Sent(query, params))
            return super().execute(query, params, **kw)

        def executemany(self, query: Any, params_seq: Any, **kw: Any) -> None:
            said.append(Sent(query, params_seq, many=True))
            super().executemany(query, params_seq, **kw)

    return {"cursor_factory": Listening}


def _send_all(send: Send, recording: Sequence[Sent]) -> Sample:
    with timed() as sample:
        for sent in recording:
            send(sent)
    return sample


@contextmanager
def _raw(url: str) -> Iterator[Send]:
    with _raw_sqlite(url) if url.startswith("sqlite") else _raw_postgresql(url) as send:
        yield send


@contextmanager
def _raw_sqlite(url: str) -> Iterator[Send]:
    with closing(sqlite3.connect(file_of(url), isolation_level=None)) as connection:
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")

        def send(sent: Sent) -> None:
            execute = connection.executemany if sent.many else connection.execute
            execute(sent.text, sent.parameters).fetchall()

        yield send


@contextmanager
def _raw_postgresql(url: str) -> Iterator[Send]:
    # Prepared statements off, as in the ledger: they do not survive a pooler.
    with psycopg.connect(url, prepare_threshold=None) as connection:

        def send(sent: Sent) -> None:
            if sent.text == COMMIT:
                connection.commit()
                return
            with connection.cursor() as cursor:
                if sent.many:
                    cursor.executemany(sent.text, sent.parameters)
                    return
                cursor.execute(sent.text, sent.parameters)
                if cursor.description:
                    cursor.fetchall()

        yield send
