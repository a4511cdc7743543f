"""One statement by the shortest way: its text to the driver's own cursor, the driver's errors as SQLAlchemy's.

SQLAlchemy spends on each statement several times what the drivers do. Connections, pools and transactions stay its
own; what runs for every clip and every row goes this way.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor, DBAPIModule
from sqlalchemy.exc import DBAPIError


def ask(conn: Connection, text: str, parameters: Any) -> Sequence[Any]:
    """The records that a statement answers with, as tuples.

    Parameters are what the driver takes: a tuple or a mapping.

    Raises:
        DBAPIError: as from SQLAlchemy's own `execute`. A connection that turns out to be gone is given up, and with it
            the idle ones of its pool: they were opened before it went.
    """
    cursor = _cursor(conn)
    try:
        cursor.execute(text, parameters)
        records = cursor.fetchall()
    except conn.dialect.loaded_dbapi.Error as error:
        raise _said(conn, cursor, text, error) from error
    cursor.close()
    return records


def tell(conn: Connection, text: str, parameters: Any, *, many: bool = False) -> int:
    """How many records a statement touched; with `many`, once for each of a list of parameters. Raises as `ask`."""
    cursor = _cursor(conn)
    try:
        if many:
            cursor.executemany(text, parameters)
        else:
            cursor.execute(text, parameters)
        touched = cursor.rowcount
    except conn.dialect.loaded_dbapi.Error as error:
        raise _said(conn, cursor, text, error) from error
    cursor.close()
    return touched


def copy(conn: Connection, text: str, records: Iterable[Sequence[Any]]) -> int:
    """Send records through a COPY of PostgreSQL's; how many. Raises as `ask`."""
    cursor: Any = _cursor(conn)
    try:
        with cursor.copy(text) as stream:
            for record in records:
                stream.write_row(record)
        touched: int = cursor.rowcount
    except conn.dialect.loaded_dbapi.Error as error:
        raise _said(conn, cursor, text, error) from error
    cursor.close()
    return touched


def _cursor(conn: Connection) -> DBAPICursor:
    """Of the driver's own connection: the pool's wrapper only hands the question on, once more for each statement."""
    raw = conn.connection.dbapi_connection
    assert raw is not None  # checked out
    return raw.cursor()


def abandon(conn: Connection, raw: DBAPIConnection | None) -> None:
    """Let go of a connection that was interrupted between any two instructions; what it had not committed is undone.

    SQLAlchemy's books may say by then that nothing is open on it, and its pool may have lent it to nobody: it is asked
    for nothing. `raw` is the driver's own connection.
    """
    if raw is not None:
        unlock(raw)
    with suppress(Exception):
        conn.invalidate()
    if raw is not None:
        raw.close()
    conn.engine.dispose()


def unlock(raw: object, *_: object) -> None:
    """To be done before a connection to SQLite is closed: it lives on, locks and all, while a cursor is not read."""
    if isinstance(raw, sqlite3.Connection):
        with suppress(sqlite3.Error):
            raw.rollback()


def _said(conn: Connection, cursor: DBAPICursor, text: str, error: DBAPIModule.Error) -> BaseException:
    gone = conn.dialect.is_disconnect(error, conn.connection, cursor)
    if gone:
        conn.invalidate(error)
        conn.engine.pool.dispose()
    else:
        cursor.close()
    return DBAPIError.instance(
        text,
        None,
        error,
        conn.dialect.loaded_dbapi.Error,
        hide_parameters=True,
        connection_invalidated=gone,
        dialect=conn.dialect,
    )
