"""Transactions: a verb is one function of a transaction, run again as a whole when the database says so."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import ColumnElement, Connection, Engine, Executable, Table
from sqlalchemy.exc import DBAPIError

from storage.ledger.clock import database_now
from storage.ledger.options import LedgerOptions
from storage.ledger.sql import driver
from storage.ledger.sql.engine import to_write
from storage.ledger.sql.inserts import insert
from storage.ledger.sql.ledger_file import LedgerFile
from storage.ledger.sql.prepared import Prepared, Record
from storage.ledger.sql.trouble import Patience

T = TypeVar("T")

_NOW = Prepared(sa.select(database_now()))

CHUNK = 512
"""Ids per IN list and rows per bulk insert: far below every driver's limit of parameters."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tx:
    """One transaction: its connection and the database's clock when it began.

    What every clip needs is asked by statements that are prepared, as constants with `bindparam`s, and given their
    values as `bound`: building and compiling a statement costs many times what running it does.
    """

    conn: Connection
    now: float
    options: LedgerOptions

    def rows(self, statement: Executable | Prepared, **bound: Any) -> Sequence[Record]:
        if isinstance(statement, Prepared):
            return statement.rows(self.conn, bound)
        answer = self.conn.execute(statement, bound)
        names = tuple(answer.keys())
        return [dict(zip(names, values, strict=True)) for values in answer]

    def first(self, statement: Executable | Prepared, **bound: Any) -> Record | None:
        found = statement.rows(self.conn, bound) if isinstance(statement, Prepared) else self.rows(statement, **bound)
        return found[0] if found else None

    def scalar(self, statement: Executable | Prepared, **bound: Any) -> Any:
        """The first value of the first record; None without one."""
        record = self.first(statement, **bound)
        return next(iter(record.values())) if record is not None else None

    def run(self, statement: Executable | Prepared, **bound: Any) -> int:
        """How many rows the statement touched."""
        if isinstance(statement, Prepared):
            return statement.run(self.conn, bound)
        return self.conn.execute(statement, bound).rowcount

    def insert(self, table: Table, records: Sequence[Mapping[str, Any]], **common: Any) -> None:
        """Insert records; `common` is what all of them have besides."""
        insert(self.conn, table, records, common=common)

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
        self._now = _NOW if now is None else Prepared(sa.select(now))
        self._patience = patience
        # A server's connections are wanted by others, and its pool has them. A file's would only be given back to be
        # taken again, which costs a short verb an eighth of its time.
        self._keeps_connections = engine.dialect.name == "sqlite"
        self._file = LedgerFile.of(engine)
        self._idle: deque[Connection] = deque()

    def read(self, work: Callable[[Tx], T]) -> T:
        """Run `work` on one consistent snapshot."""
        options: dict[str, Any] = {}
        if self.engine.dialect.name == "postgresql":
            options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        return self._run(work, options, keep=False)

    def write(self, work: Callable[[Tx], T], *, keep: bool = True) -> T:
        """Run `work` and commit, or with `keep=False` roll everything back."""
        return self._run(work, None, keep=keep)

    def close(self) -> None:
        while self._idle:
            _discard(self._idle.pop())
        self.engine.dispose()

    def _run(self, work: Callable[[Tx], T], reading: dict[str, Any] | None, *, keep: bool) -> T:
        patience: Patience | None = None
        while True:
            try:
                return self._once(work, reading, keep=keep)
            except DBAPIError as error:
                patience = patience or self._patience()
                patience.after(error)

    def _once(self, work: Callable[[Tx], T], reading: dict[str, Any] | None, *, keep: bool) -> T:
        """One try; `reading` is None for a transaction that writes, else the options of its connection."""
        conn = self._connection()
        raw = conn.connection.dbapi_connection
        try:
            transaction = (to_write(conn) if reading is None else conn.execution_options(**reading)).begin()
            now = next(iter(self._now.rows(conn, {})[0].values()))
            result = work(Tx(conn=conn, now=float(now), options=self._options))
            if keep:
                transaction.commit()
            else:
                transaction.rollback()
        except Exception:
            # What is open when the connection is closed is rolled back; but SQLAlchemy takes a transaction whose
            # COMMIT failed for ended, which SQLite's is not.
            driver.unlock(raw)
            conn.close()
            raise
        except BaseException:
            # A signal's handler raises between any two instructions, of SQLAlchemy's too. Left alone, the ledger
            # might stay locked: for others, and for our own last word.
            driver.abandon(conn, raw)
            raise
        self._give_back(conn)
        return result

    def _connection(self) -> Connection:
        if self._file is None:
            return self._any_connection()
        lies_there = self._file.identity()
        conn = self._any_connection()
        if self._file.opened_by(conn) == lies_there:
            return conn
        _discard(conn)
        self.close()  # the others, too, have another file open
        return self.engine.connect()

    def _any_connection(self) -> Connection:
        try:
            return self._idle.pop()
        except IndexError:
            return self.engine.connect()

    def _give_back(self, conn: Connection) -> None:
        if self._keeps_connections:
            self._idle.append(conn)
        else:
            conn.close()


def _discard(conn: Connection) -> None:
    conn.invalidate()  # the engine may have made its pool anew since
    conn.close()
