"""What a database error means for the transaction that met it: again at once, again when it is back, or never."""

from __future__ import annotations

import secrets
import sqlite3
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, TypeGuard

from sqlalchemy.exc import DBAPIError

from schemas.errors import CallsheetError, Permanent, Retryable

if TYPE_CHECKING:
    import psycopg

_CONTENDED_STATES = frozenset({"40001", "40P01", "55P03"})  # serialisation, deadlock, lock not available
_CONTENDED_UNIQUE = frozenset({"job_leased_key", "campaign_pk", "campaign_team_name"})
"""Unique constraints that two racing transactions may both reach for; the loser looks again and finds a row."""
_SQLITE_CONTENDED = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_SQLITE_BROKEN = frozenset(
    {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}
)
_SQLITE_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class Trouble(StrEnum):
    CONTENDED = "contended"
    """Another transaction was in the way: the same one may succeed now."""
    AWAY = "away"
    """The connection is gone, or none can be had."""
    BROKEN = "broken"
    """The database answers, but cannot serve: disk full, read-only, shutting down."""
    DAMAGED = "damaged"
    """The file is not, or no longer, a database."""


def trouble_of(error: DBAPIError) -> Trouble | None:
    """None: the fault is in the statement, not in the database's condition."""
    origin = error.orig
    if isinstance(origin, sqlite3.Error):
        return _trouble_of_sqlite(origin)
    if _is_of_postgresql(origin):
        return _trouble_of_postgresql(origin, invalidated=error.connection_invalidated)
    return None


def _is_of_postgresql(origin: BaseException | None) -> TypeGuard[psycopg.Error]:
    # Its driver takes a tenth of the time in which a command starts; who never loaded it has no error of its.
    driver = sys.modules.get("psycopg")
    return driver is not None and isinstance(origin, driver.Error)


def _trouble_of_sqlite(origin: sqlite3.Error) -> Trouble | None:
    # The low byte is the primary code; the rest tells which lock or which file it was.
    code = getattr(origin, "sqlite_errorcode", 0) & 0xFF
    if code in _SQLITE_CONTENDED:
        return Trouble.CONTENDED
    if code in _SQLITE_DAMAGED:
        return Trouble.DAMAGED
    return Trouble.BROKEN if code in _SQLITE_BROKEN else None


def _trouble_of_postgresql(origin: psycopg.Error, *, invalidated: bool) -> Trouble | None:
    import psycopg

    state = origin.sqlstate or ""
    if state in _CONTENDED_STATES:
        return Trouble.CONTENDED
    if isinstance(origin, psycopg.errors.UniqueViolation):
        return Trouble.CONTENDED if origin.diag.constraint_name in _CONTENDED_UNIQUE else None
    # Class 08: connection; 57P0x: the server goes down or comes up; 53300: no connection left.
    if invalidated or state[:2] == "08" or state[:4] == "57P0" or state == "53300":
        return Trouble.AWAY
    if isinstance(origin, psycopg.OperationalError | psycopg.InterfaceError):
        return Trouble.BROKEN if state else Trouble.AWAY
    # 25006: a read-only standby answers after a failover.
    return Trouble.BROKEN if state == "25006" else None


@dataclass
class Patience:
    """How often one verb tries again. Waits are exponential with full jitter, so that a fleet does not march."""

    contended_tries: int = 12
    away_tries: int = 5
    sleep: Callable[[float], None] = time.sleep
    _tries: dict[Trouble, int] = field(default_factory=dict)

    def after(self, error: DBAPIError) -> None:
        """Wait before the next try.

        Raises:
            Retryable: the tries are used up, or trying at once cannot help.
            Permanent: the file is no database.
            DBAPIError: the error itself, when it is no condition of the database.
        """
        trouble = trouble_of(error)
        if trouble is None:
            raise error
        tries = self._tries[trouble] = self._tries.get(trouble, 0) + 1
        limits = {Trouble.CONTENDED: self.contended_tries, Trouble.AWAY: self.away_tries}
        if tries > limits.get(trouble, 0):
            raise _said(trouble, error) from error
        first, most = (0.01, 0.5) if trouble is Trouble.CONTENDED else (0.1, 2.0)
        self.sleep(min(most, first * 2**tries) * secrets.randbelow(1000) / 1000)


def _said(trouble: Trouble, error: DBAPIError) -> CallsheetError:
    cause = str(error.orig).strip().splitlines()
    said = cause[0] if cause else type(error.orig).__name__
    if trouble is Trouble.CONTENDED:
        return Retryable(
            f"the ledger is busy: {said}", fix="try again; if it stays so, use PostgreSQL for many workers"
        )
    if trouble is Trouble.AWAY:
        return Retryable(
            f"the ledger's database cannot be reached: {said}", fix="check that it runs; `callsheet doctor`"
        )
    if trouble is Trouble.DAMAGED:
        return Permanent(f"the ledger's file cannot be used: {said}", fix="name another file, or restore a backup")
    return Retryable(f"the ledger's database cannot serve: {said}", fix="check its disk and permissions")
