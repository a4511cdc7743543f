"""Inserts as one text per table and set of columns, compiled once and handed to the driver with its records.

SQLAlchemy would bind each record's values one by one, and compile its `ON CONFLICT` inserts anew each time: both cost
more than the insert itself. The ledger's columns hold text, numbers and booleans only, which every driver takes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Dialect, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.compiler import SQLCompiler

from storage.ledger.sql import driver

_NOTHING: Mapping[str, Any] = MappingProxyType({})


def insert(
    conn: Connection,
    table: Table,
    records: Sequence[Mapping[str, Any]],
    *,
    common: Mapping[str, Any] = _NOTHING,
    unless_there: bool = False,
) -> int:
    """Insert records that all have the same columns; how many were inserted.

    `common` is what all of them have besides, said once. With `unless_there` a record that breaks a unique constraint
    is left out: the first writer wins.
    """
    if not records:
        return 0
    columns = _Columns(common=tuple(common), own=tuple(records[0]))
    if conn.dialect.name == "sqlite":
        return _at_once(conn, table, columns, records, tuple(common.values()), unless_there=unless_there)
    if len(records) > 1 and not unless_there:
        said = tuple(common.values())
        values = (said + own for own in map(itemgetter(*columns.own), records))
        return driver.copy(conn, _copying(table, columns.names, conn.dialect), values)
    text = _compiled(table, columns.names, conn.dialect, unless_there).text
    whole = [{**common, **record} for record in records]
    many = len(whole) > 1
    return driver.tell(conn, text, whole if many else whole[0], many=many)


@dataclass(frozen=True)
class _Columns:
    common: tuple[str, ...]
    own: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return self.common + self.own


def _at_once(
    conn: Connection,
    table: Table,
    columns: _Columns,
    records: Sequence[Mapping[str, Any]],
    common: tuple[Any, ...],
    *,
    unless_there: bool,
) -> int:
    """Some dozens of records to a statement: half the price of one to a statement, or of thousands.

    The powers of two that make up their number need only a few different statements.
    """
    pick = itemgetter(*columns.own)
    inserted = start = 0
    while left := len(records) - start:
        size = min(_AT_ONCE, 1 << left.bit_length() - 1)
        values = (*common, *chain.from_iterable(map(pick, records[start : start + size])))
        inserted += driver.tell(conn, _numbered(table, columns, conn.dialect, unless_there, size), values)
        start += size
    return inserted


_AT_ONCE = 64
"""Records of one statement. Of the ledger's widest table they have less than a tenth of the values SQLite takes."""


@lru_cache(maxsize=256)
def _numbered(table: Table, columns: _Columns, dialect: Dialect, unless_there: bool, size: int) -> str:
    """SQLite's statement for so many records. Its values are numbered, so that the common ones are handed over once."""
    compiled = _compiled(table, columns.names, dialect, unless_there)
    into, values = compiled.text.split(" VALUES ")
    record, *conflict = values.partition(" ON CONFLICT")
    pieces = record.split("?")
    numbers = {name: number for number, name in enumerate(columns.names, 1)}
    records = []
    for index in range(size):
        shift = index * len(columns.own)
        places = [numbers[name] + (0 if name in columns.common else shift) for name in compiled.placed]
        records.append("".join(f"{piece}?{place}" for piece, place in zip(pieces, places, strict=False)) + pieces[-1])
    return f"{into} VALUES {', '.join(records)}{''.join(conflict)}"


@dataclass(frozen=True, kw_only=True)
class _Compiled:
    text: str
    placed: tuple[str, ...]
    """The columns in the order of the text's placeholders; empty where these are named."""


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
    return _Compiled(text=str(compiled), placed=tuple(compiled.positiontup or ()))


@lru_cache(maxsize=256)
def _copying(table: Table, names: tuple[str, ...], dialect: Dialect) -> str:
    """PostgreSQL's way in for many records at once: no statement for each of them."""
    quoted = dialect.identifier_preparer
    columns = ", ".join(quoted.format_column(table.c[name]) for name in names)
    return f"COPY {quoted.format_table(table)} ({columns}) FROM STDIN"
