"""Inserts as one text per table and set of columns, compiled once and handed to the driver with its records.

SQLAlchemy would bind each record's values one by one, and compile its `ON CONFLICT` inserts anew each time: both cost
more than the insert itself. The ledger's columns hold text, numbers and booleans only, which every driver takes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Dialect, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.compiler import SQLCompiler

from storage.ledger.sql import driver


def insert(conn: Connection, table: Table, records: Sequence[Mapping[str, Any]], *, unless_there: bool = False) -> int:
    """Insert records that all have the same columns; how many were inserted.

    With `unless_there` a record that breaks a unique constraint is left out: the first writer wins.
    """
    if not records:
        return 0
    names = tuple(records[0])
    if len(records) > 1 and conn.dialect.name == "postgresql" and not unless_there:
        return driver.copy(conn, _copying(table, names, conn.dialect), map(itemgetter(*names), records))
    compiled = _compiled(table, names, conn.dialect, unless_there)
    many = len(records) > 1
    return driver.tell(conn, compiled.text, compiled.parameters(records, many=many), many=many)


@dataclass(frozen=True, kw_only=True)
class _Compiled:
    text: str
    names: tuple[str, ...] | None
    """In the order of the text's placeholders; None where they are named."""

    def parameters(self, records: Sequence[Mapping[str, Any]], *, many: bool) -> Any:
        values = records if self.names is None else list(map(itemgetter(*self.names), records))
        return values if many else values[0]


@lru_cache(maxsize=256)
def _compiled(table: Table, names: tuple[str, ...], dialect: Dialect, unless_there: bool) -> _Compiled:
    statement = sa.insert(table)
    if unless_there:
        make = postgresql.insert if dialect.name == "postgresql" else sqlite.insert
        statement = make(table).on_conflict_do_nothing()
    compiled = statement.compile(dialect=dialect, column_keys=list(names))
    assert isinstance(compiled, SQLCompiler)
    return _Compiled(
        text=str(compiled), names=tuple(compiled.positiontup) if compiled.positiontup is not None else None
    )


@lru_cache(maxsize=256)
def _copying(table: Table, names: tuple[str, ...], dialect: Dialect) -> str:
    """PostgreSQL's way in for many records at once: no statement for each of them."""
    quoted = dialect.identifier_preparer
    columns = ", ".join(quoted.format_column(table.c[name]) for name in names)
    return f"COPY {quoted.format_table(table)} ({columns}) FROM STDIN"
