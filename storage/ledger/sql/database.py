"""Transactions: a verb is one function of a transaction, run again as a whole when the database says so."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Connection, Engine, Executable, RowMapping, Table
from sqlalchemy.exc import DBAPIError

from storage.ledger.clock import database_now
from storage.ledger.options import LedgerOptions
from storage.ledger.sql.engine import WRITE
from storage.ledger.sql.inserts import insert
from storage.ledger.sql.trouble import Patience

T = TypeVar("T")

CHUNK = 500
"""Ids per IN list and rows per bulk insert: far below every driver's limit of parameters."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tx:
    """One transaction: its connection and the database's clock when it began.

    What every clip needs is asked by statements that are built once, as constants with `bindparam`s, and given their
    values as `bound`: building a statement costs several times what running it does.
    """

    conn: Connection
    now: float
    options: LedgerOptions

    def rows(self, statement: Executable, **bound: Any) -> Sequence[RowMapping]:
        return self.conn.execute(statement, bound).mappings().all()

    def first(self, statement: Executable, **bound: Any) -> RowMapping | None:
        return self.conn.execute(statement, bound).mappings().first()

    def scalar(self, statement: Executable, **bound: Any) -> Any:
        return self.conn.execute(statement, bound).scalar()

    def run(self, statement: Executable, **bound: Any) -> int:
        """How many rows the statement touched."""
        return self.conn.execute(statement, bound).rowcount

    def insert(self, table: Table, records: Sequence[Mapping[str, Any]]) -> None:
        insert(self.conn, table, records)

    def insert_new(self, table: Table, records: Sequence[Mapping[str, Any]]) -> int:
        """Insert what is not there yet; the first writer wins. How many were inserted."""
        return insert(self.conn, table, records, unless_there=True)


def chunks(items: Iterable[T], size: int = CHUNK) -> Iterator[list[T]]:
    stream = iter(items)
    while chunk := list(islice(stream, size)):
        yield chunk


class Database:
    """Runs functions of a transaction; `work` may run more than once and must keep nothing between runs.

    Raises:
        Retryable: the database is away, busy or cannot serve, after bounded tries.
    """

    def __init__(
        self,
        engine: Engine,
        options: LedgerOptions,
        *,
        now: ColumnElement[float] | None = None,
        patience: Callable[[], Patience] = Patience,
    ) -> None:
        self.engine = engine
        self._options = options
        self._now = sa.select(database_now() if now is None else now)
        self._patience = patience

    def read(self, work: Callable[[Tx], T]) -> T:
        """Run `work` on one consistent snapshot."""
        options: dict[str, Any] = {}
        if self.engine.dialect.name == "postgresql":
            options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        return self._run(work, options, keep=False)

    def write(self, work: Callable[[Tx], T], *, keep: bool = True) -> T:
        """Run `work` and commit, or with `keep=False` roll everything back."""
        return self._run(work, {WRITE: True}, keep=keep)

    def close(self) -> None:
        self.engine.dispose()

    def _run(self, work: Callable[[Tx], T], options: dict[str, Any], *, keep: bool) -> T:
        patience = self._patience()
        while True:
            try:
                return self._once(work, options, keep=keep)
            except DBAPIError as error:
                patience.after(error)

    def _once(self, work: Callable[[Tx], T], options: dict[str, Any], *, keep: bool) -> T:
        with self.engine.connect() as connection:
            conn = connection.execution_options(**options)
            with conn.begin() as transaction:
                now = float(conn.execute(self._now).scalar_one())
                result = work(Tx(conn=conn, now=now, options=self._options))
                if not keep:
                    transaction.rollback()
            return result
