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


def insert(conn: Connection, table: Table, records: Sequence[Mapping[str, Any]], *, unless_there: bool = False) -> int:
    """Insert records that all have the same columns; how many were inserted.

    With `unless_there` a record that breaks a unique constraint is left out: the first writer wins.
    """
    if not records:
        return 0
    compiled = _compiled(table, tuple(records[0]), conn.dialect, unless_there)
    return conn.exec_driver_sql(compiled.text, compiled.parameters(records)).rowcount


@dataclass(frozen=True, kw_only=True)
class _Compiled:
    text: str
    names: tuple[str, ...] | None
    """In the order of the text's placeholders; None where they are named."""

    def parameters(self, records: Sequence[Mapping[str, Any]]) -> Any:
        if self.names is None:
            return list(records) if len(records) > 1 else records[0]
        values = list(map(itemgetter(*self.names), records))
        return values if len(values) > 1 else values[0]


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
