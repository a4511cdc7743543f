"""Inserts as one text per table and set of columns, compiled once and handed to the driver with its records.

SQLAlchemy would bind each record's values one by one, and compile its `ON CONFLICT` inserts anew each time: both cost
more than the insert itself. The ledger's columns hold text, numbers and booleans only, which every driver takes; a long
text may come as UTF-8 (`tables.py` and `utf8.py` say how it becomes text).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Dialect, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.compiler import SQLCompiler

from storage.ledger.sql import driver
from storage.ledger.sql.prepared import in_order

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
    assert not common.keys() & records[0].keys()
    names = (*common, *records[0])
    if len(records) > 1 and conn.dialect.name == "sqlite":
        return _at_once(conn, _compiled(table, names, conn.dialect, unless_there), records, common)
    if len(records) > 1 and not unless_there:
        said = tuple(common.values())
        values = (said + own for own in map(in_order(tuple(records[0])), records))
        return driver.copy(conn, _copying(table, names, conn.dialect), values)
    compiled = _compiled(table, names, conn.dialect, unless_there)
    whole = [{**common, **record} for record in records] if common else records
    if len(whole) > 1:
        return driver.tell(conn, compiled.text, whole, many=True)
    return driver.tell(conn, compiled.text, compiled.pick(whole[0]) if compiled.placed else whole[0])


def _at_once(
    conn: Connection, compiled: _Compiled, records: Sequence[Mapping[str, Any]], common: Mapping[str, Any]
) -> int:
    """Some dozens of records to a statement: half the price of one to a statement, or of thousands.

    The powers of two that make up their number need only a few different statements.
    """
    shared, own = tuple(common), tuple(records[0])
    pick = in_order(own)
    inserted = start = 0
    while left := len(records) - start:
        size = min(_AT_ONCE, 1 << left.bit_length() - 1)
        values = (*common.values(), *chain.from_iterable(map(pick, records[start : start + size])))
        inserted += driver.tell(conn, _numbered(compiled, shared, own, size), values)
        start += size
    return inserted


_AT_ONCE = 64
"""Records of one statement. Of the ledger's widest table they have less than a tenth of the values SQLite takes."""


@lru_cache(maxsize=256)
def _numbered(compiled: _Compiled, shared: tuple[str, ...], own: tuple[str, ...], size: int) -> str:
    """SQLite's statement for so many records. Its values are numbered, so that shared ones are handed over once."""
    into, values = compiled.text.split(" VALUES ")
    record, *conflict = values.partition(" ON CONFLICT")
    *before, after = record.split("?")
    numbers = {name: number for number, name in enumerate(shared + own, 1)}
    records = []
    for index in range(size):
        places = [numbers[name] + (0 if name in shared else index * len(own)) for name in compiled.placed]
        records.append("".join(f"{text}?{place}" for text, place in zip(before, places, strict=True)) + after)
    return f"{into} VALUES {', '.join(records)}{''.join(conflict)}"


@dataclass(frozen=True, kw_only=True)
class _Compiled:
    text: str
    placed: tuple[str, ...]
    """The columns in the order of the text's placeholders; empty where these are named."""
    pick: Callable[[Mapping[str, Any]], tuple[Any, ...]]
    """A record's values in that order."""


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
    return _Compiled(text=str(compiled), placed=placed, pick=in_order(placed or names))


@lru_cache(maxsize=256)
def _copying(table: Table, names: tuple[str, ...], dialect: Dialect) -> str:
    """PostgreSQL's way in for many records at once: no statement for each of them."""
    quoted = dialect.identifier_preparer
    columns = ", ".join(quoted.format_column(table.c[name]) for name in names)
    return f"COPY {quoted.format_table(table)} ({columns}) FROM STDIN"
