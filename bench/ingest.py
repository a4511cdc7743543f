"""From a sheet to the ledger, against a bulk insert of the same rows into an equal table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import sqlalchemy as sa
from sqlalchemy.types import TypeEngine

from bench.bench import Bench
from bench.databases import Databases
from bench.figure import Figure, Size, at_least
from bench.pairs import Pairs, Sample, alternate, timed
from bench.sheets import sheet, submission
from flows.campaign.collector import collector_at_rest, collector_back
from storage.ledger.open import open_ledger
from storage.ledger.options import LedgerOptions
from storage.ledger.sql.engine import parse_url
from storage.ledger.tables import row as row_table

ROWS = {Size.FULL: (10_000, 100_000), Size.QUICK: (5_000,), Size.TINY: (50,)}
PAIRS = {10_000: 3, 100_000: 2}


def run(bench: Bench) -> Iterator[Figure]:
    for rows in ROWS[bench.size]:
        for databases in bench.databases:
            yield from _measure(databases, rows)


def _measure(databases: Databases, rows: int) -> list[Figure]:
    data = sheet(rows)
    records = _records(databases, data)
    name = f"{databases.name}.{rows}"
    pairs = alternate(
        f"ingest.{name}",
        lambda _: _ingest(databases.new(), data),
        lambda _: _insert(databases.new(), records),
        pairs=PAIRS.get(rows, 1),
    )
    return _figures(name, pairs, rows)


def _figures(name: str, pairs: Pairs, rows: int) -> list[Figure]:
    parts = {
        "ours_s": pairs.ours_s,
        "ours_cpu_s": pairs.ours_cpu_s,
        "bare_s": pairs.bare_s,
        "bare_cpu_s": pairs.bare_cpu_s,
    }
    return [
        Figure(
            name=f"ingest.ratio.{name}",
            value=1 / pairs.slowdown,
            unit="of the speed of a bulk insert",
            target=at_least(0.15),
            meaning="parse, check, plan and submit a sheet; bare: executemany of its rows into an equal table",
            parts=parts,
        ),
        Figure(
            name=f"ingest.rows_per_s.{name}",
            value=rows / pairs.ours_s,
            unit="rows/s",
            target=at_least(10_000),
            meaning="the same, in rows per second of wall time",
            parts=parts,
        ),
    ]


def _ingest(url: str, data: bytes) -> Sample:
    with closing(open_ledger(url, options=LedgerOptions(), create=True)) as ledger:
        with timed() as sample:
            given = submission(data)
            with collector_at_rest():  # as `callsheet submit` does
                ledger.submit(given)
        collector_back()
    return sample


def _insert(url: str, records: list[dict[str, Any]]) -> Sample:
    equal = _equal_table()
    engine = sa.create_engine(parse_url(url))
    try:
        with engine.begin() as connection:
            equal.create(connection)
        with timed() as sample, engine.begin() as connection:
            connection.execute(sa.insert(equal), records)
    finally:
        engine.dispose()
    return sample


def _equal_table() -> sa.Table:
    """The ledger's table of rows with its columns, key and indexes, but on its own."""
    columns = [
        sa.Column(c.name, _plain(c.type), primary_key=c.primary_key, nullable=c.nullable) for c in row_table.columns
    ]
    indexes = [sa.Index(index.name, *(c.name for c in index.columns)) for index in row_table.indexes]
    return sa.Table("equal", sa.MetaData(), *columns, *indexes)


def _plain(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    """Texts are texts here: how the ledger hands them over is its own affair."""
    return sa.Text() if isinstance(kind, sa.Text) else kind


def _records(databases: Databases, data: bytes) -> list[dict[str, Any]]:
    """The sheet's rows as the ledger has them."""
    url = databases.new()
    with closing(open_ledger(url, options=LedgerOptions(), create=True)) as ledger:
        ledger.submit(submission(data))
    engine = sa.create_engine(parse_url(url))
    try:
        with engine.connect() as connection:
            return [dict(record) for record in connection.execute(sa.select(row_table)).mappings()]
    finally:
        engine.dispose()
