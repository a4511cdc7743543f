"""From a URL to a SQLAlchemy engine that keeps the ledger's promises on its database."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy import URL, Engine, PoolProxiedConnection, event
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.exc import ArgumentError

from schemas.errors import InvalidSettings
from storage.ledger.sql import driver
from storage.ledger.sql.ledger_file import LedgerFile
from storage.ledger.sql.lingering import LingeringPool

if TYPE_CHECKING:
    import psycopg

_DIALECT = "callsheet"
"""What SQLAlchemy knows our kind of SQLite by."""

_WRITES = "callsheet_writes"
"""In a connection's own notes: its next transaction writes."""

_FIX = "use sqlite:///path/to/ledger.db, postgresql://user:password@host/database or memory:"
_POSTGRESQL = frozenset({"postgresql", "postgres", "postgresql+psycopg"})
_BUSY_MS = 5_000
LOG_BYTES = 64 << 20
"""How large SQLite's log stays between big transactions."""


def parse_url(url: str) -> URL:
    """The URL with the driver named that is used for its database.

    Raises:
        InvalidSettings: it is no URL, or of a database that the ledger does not speak. The message never holds
            the URL's password.
    """
    try:
        parsed = sa.make_url(url)
    except (ArgumentError, ValueError):
        raise InvalidSettings("the ledger's database URL cannot be read", fix=_FIX) from None
    if parsed.drivername in _POSTGRESQL:
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername != "sqlite":
        raise InvalidSettings(f"the ledger cannot be kept in {parsed.drivername!r}", fix=_FIX)
    if parsed.database in (None, "", ":memory:"):
        raise InvalidSettings("a SQLite ledger needs a file", fix=_FIX)
    return parsed


def sqlite_file(url: URL) -> Path | None:
    """The file of a SQLite URL; None for a server."""
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


def make_engine(url: URL) -> Engine:
    """An engine; nothing is connected yet. Errors of it never show parameters (prompts) or the password."""
    if url.get_backend_name() == "sqlite":
        # As many connections as threads ask at once: a pool that is all lent out would make the next one give up.
        engine = sa.create_engine(url.set(drivername=f"sqlite+{_DIALECT}"), hide_parameters=True, max_overflow=-1)
        event.listen(engine, "connect", _prepare_sqlite)
        if file := LedgerFile.of(engine):
            event.listen(engine, "connect", file.remember)
        event.listen(engine, "close", driver.unlock)
        return engine
    engine = sa.create_engine(
        url,
        hide_parameters=True,
        isolation_level="READ COMMITTED",
        # A thousand workers must not mean a thousand idle connections.
        poolclass=LingeringPool,
        connect_args={
            "connect_timeout": 10,
            "application_name": "callsheet",
            # Prepared statements do not survive a pooler between us and the server.
            "prepare_threshold": None,
            # Whatever the server keeps texts in, and PGCLIENTENCODING says: ours are handed over as UTF-8.
            "client_encoding": "utf8",
        },
    )
    event.listen(engine, "connect", _prepare_postgresql)
    return engine


def _prepare_postgresql(connection: psycopg.Connection[Any], _record: Any) -> None:
    from storage.ledger.sql.utf8 import TextDumper  # a ledger on SQLite loads no driver of PostgreSQL's

    connection.adapters.register_dumper(bytes, TextDumper)


def _prepare_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    # The driver's own BEGIN is deferred and comes late; the dialect says when and how a transaction begins.
    connection.isolation_level = None
    for pragma in (
        f"busy_timeout={_BUSY_MS}",
        "journal_mode=WAL",
        # What was acknowledged survives a power cut; NORMAL may lose the last commits.
        "synchronous=FULL",
        # In KiB. A big sheet writes in the order of random ids: the indexes must fit, or each row costs a page.
        "cache_size=-65536",
        "foreign_keys=ON",
        # A big sheet leaves a log of its own size; cut back at the next commit after it was read into the file.
        f"journal_size_limit={LOG_BYTES}",
    ):
        connection.execute(f"PRAGMA {pragma}")


def to_write(connection: sa.Connection) -> sa.Connection:
    """Say that the connection's next transaction, and that one alone, will write; the connection.

    A transaction that reads first and writes later can only fail where another wrote in between. An execution option
    of an engine would say the same, but makes each event of each transaction dear.
    """
    if connection.dialect.name == "sqlite":
        connection.info[_WRITES] = True
    return connection


class _Sqlite(SQLiteDialect_pysqlite):
    """Begins transactions itself, and for those that write at once with the lock.

    A listener to an engine's `begin` could do so too, but would make each connection dearer; one to `connect` does not.
    """

    supports_statement_cache = True

    def do_begin(self, dbapi_connection: PoolProxiedConnection) -> None:
        raw = dbapi_connection.dbapi_connection
        assert raw is not None  # checked out
        raw.cursor().execute("BEGIN IMMEDIATE" if dbapi_connection.info.pop(_WRITES, False) else "BEGIN")


registry.register(f"sqlite.{_DIALECT}", __name__, _Sqlite.__name__)
