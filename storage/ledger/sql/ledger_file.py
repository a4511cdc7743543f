"""The file of a SQLite ledger: whether it is still there, and still the one that a connection writes to.

SQLite goes on with a file that was deleted, moved away or replaced by a backup, and says that all is well. What a
worker commits then is seen by nobody, and what others say is not seen by it.
"""

from __future__ import annotations

import os
from typing import Any

from sqlalchemy import Connection, Engine

from schemas.errors import Retryable

_FILE = "callsheet_file"
"""In a connection's own notes: which file it has open."""

Identity = tuple[int, int]
"""Device and inode: no other file has them while a connection holds this one open."""


class LedgerFile:
    """One path, and the file that lies there now."""

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(path)  # noqa: PTH100 - a str: asked before every verb, and cheaper than a Path

    @classmethod
    def of(cls, engine: Engine) -> LedgerFile | None:
        """None for a server, and for what is in memory only."""
        path = engine.url.database if engine.dialect.name == "sqlite" else None
        return cls(path) if path else None

    def remember(self, _connection: object, record: Any) -> None:
        """Note which file a connection has just opened; to be told by the engine's pool."""
        record.info[_FILE] = self.identity()

    @staticmethod
    def opened_by(conn: Connection) -> Identity:
        found: Identity = conn.info[_FILE]
        return found

    def identity(self) -> Identity:
        """Of the file that lies there now. To be asked before connecting, too: SQLite would make a file.

        Raises:
            Retryable: there is none.
        """
        try:
            found = os.stat(self.path)  # noqa: PTH116
        except OSError as error:
            raise Retryable(
                f"the ledger's file {self.path} is gone: {error.strerror}",
                fix="put it back where it was; what runs goes on then",
            ) from error
        return found.st_dev, found.st_ino
