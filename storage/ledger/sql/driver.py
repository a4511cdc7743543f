"""One statement by the shortest way: its text to the driver's own cursor, the driver's errors as SQLAlchemy's.

SQLAlchemy spends on each statement several times what the drivers do. Connections, pools and transactions stay its
own; what runs for every clip and every row goes this way.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.engine.interfaces import DBAPICursor, DBAPIModule
from sqlalchemy.exc import DBAPIError


def ask(conn: Connection, text: str, parameters: Any) -> Sequence[Any]:
    """The records that a statement answers with, as tuples.

    Parameters are what the driver takes: a tuple or a mapping.

    Raises:
        DBAPIError: as from SQLAlchemy's own `execute`. A connection that turns out to be gone is given up, and with it
            the idle ones of its pool: they were opened before it went.
    """
    cursor = conn.connection.cursor()
    try:
        cursor.execute(text, parameters)
        records = cursor.fetchall()
    except conn.dialect.loaded_dbapi.Error as error:
        raise _said(conn, cursor, text, error) from error
    except BaseException:
        conn.invalidate()  # interrupted in the middle of an answer: nobody knows what it would say next
        raise
    cursor.close()
    return records


def tell(conn: Connection, text: str, parameters: Any, *, many: bool = False) -> int:
    """How many records a statement touched; with `many`, once for each of a list of parameters. Raises as `ask`."""
    cursor = conn.connection.cursor()
    try:
        if many:
            cursor.executemany(text, parameters)
        else:
            cursor.execute(text, parameters)
        touched = cursor.rowcount
    except conn.dialect.loaded_dbapi.Error as error:
        raise _said(conn, cursor, text, error) from error
    except BaseException:
        conn.invalidate()  # interrupted in the middle of an answer: nobody knows what it would say next
        raise
    cursor.close()
    return touched


def copy(conn: Connection, text: str, records: Iterable[Sequence[Any]]) -> int:
    """Send records through a COPY of PostgreSQL's; how many. Raises as `ask`."""
    cursor: Any = conn.connection.cursor()
    try:
        with cursor.copy(text) as stream:
            for record in records:
                stream.write_row(record)
        touched: int = cursor.rowcount
    except conn.dialect.loaded_dbapi.Error as error:
        raise _said(conn, cursor, text, error) from error
    except BaseException:
        conn.invalidate()
        raise
    cursor.close()
    return touched


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
