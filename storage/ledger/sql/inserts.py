"""Inserts as one text per table and set of columns, compiled once and handed to the driver with its records.

SQLAlchemy would bind each record's values one by one, and compile its `ON CONFLICT` inserts anew each time: both cost
more than the insert itself. The ledger's columns hold text, numbers and booleans only, which every driver takes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
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
    if conn.dialect.name == "sqlite":
        return _at_once(conn, _compiled(table, names, conn.dialect, unless_there), records)
    if len(records) > 1 and not unless_there:
        return driver.copy(conn, _copying(table, names, conn.dialect), map(itemgetter(*names), records))
    compiled = _compiled(table, names, conn.dialect, unless_there)
    many = len(records) > 1
    return driver.tell(conn, compiled.text, records if many else records[0], many=many)


def _at_once(conn: Connection, compiled: _Compiled, records: Sequence[Mapping[str, Any]]) -> int:
    """Some dozens of records to a statement: half the price of one to a statement, or of thousands.

    The powers of two that make up their number need only a few different statements.
    """
    pick = compiled.pick
    if len(records) == 1:
        return driver.tell(conn, compiled.text, pick(records[0]))
    inserted = start = 0
    while left := len(records) - start:
        size = min(_AT_ONCE, 1 << left.bit_length() - 1)
        values = tuple(chain.from_iterable(map(pick, records[start : start + size])))
        inserted += driver.tell(conn, _repeated(compiled, size), values)
        start += size
    return inserted


_AT_ONCE = 64
"""Records of one statement. Of the ledger's widest table they have less than a tenth of the values SQLite takes."""


@dataclass(frozen=True, kw_only=True)
class _Compiled:
    text: str
    placed: tuple[str, ...]
    """In the order of the text's placeholders; empty where these are named."""
    pick: Callable[[Mapping[str, Any]], tuple[Any, ...]]
    """A record's values in that order."""


@lru_cache(maxsize=256)
def _repeated(compiled: _Compiled, size: int) -> str:
    """The statement for so many records."""
    into, values = compiled.text.split(" VALUES ")
    one, *conflict = values.partition(" ON CONFLICT")
    return f"{into} VALUES {', '.join([one] * size)}{''.join(conflict)}"


@lru_cache(maxsize=256)
def _compiled(table: Table, names: tuple[str, ...], dialect: Dialect, unless_there: bool) -> _Compiled:
    statement = sa.insert(table)
    if unless_there:
        make = postgresql.insert if dialect.name == "postgresql" else sqlite.insert
        statement = make(table).on_conflict_do_nothing()
    else:
        # Whoever gets an error here gives the transaction up: SQLite need not be able to undo half of a statement.
        statement = statement.prefix_with("OR FAIL", dialect="sqlite")
    compiled = statement.compile(dialect=dialect, column_keys=list(names))
    assert isinstance(compiled, SQLCompiler)
    placed = tuple(compiled.positiontup or ())
    return _Compiled(text=str(compiled), placed=placed, pick=itemgetter(*(placed or names)))


@lru_cache(maxsize=256)
def _copying(table: Table, names: tuple[str, ...], dialect: Dialect) -> str:
    """PostgreSQL's way in for many records at once: no statement for each of them."""
    quoted = dialect.identifier_preparer
    columns = ", ".join(quoted.format_column(table.c[name]) for name in names)
    return f"COPY {quoted.format_table(table)} ({columns}) FROM STDIN"
