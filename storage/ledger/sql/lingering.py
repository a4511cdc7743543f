"""A pool between none and many: a connection outlives its verb by a moment, not by an hour."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Any

from sqlalchemy.pool import ConnectionPoolEntry, Pool

LINGER_S = 1.0
"""Longer than the pause between the verbs that follow each other (complete, claim, peek; a coordinator's tick),
shorter than any between two heartbeats: of a thousand workers at work, a few dozen hold a connection."""


class LingeringPool(Pool):
    """Opens as many connections as are wanted at once; closes each that nobody wanted for `LINGER_S`.

    A new connection to PostgreSQL is a new process of the server: it costs more than the verb that it is for.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._idle: deque[tuple[float, ConnectionPoolEntry]] = deque()
        """When it was given back, oldest first; the youngest is taken again first."""
        self._lock = threading.Lock()
        self._is_swept = False

    def _do_get(self) -> ConnectionPoolEntry:
        with self._lock:
            if self._idle:
                return self._idle.pop()[1]
        return self._create_connection()

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        with self._lock:
            self._idle.append((time.monotonic(), record))
            if self._is_swept:
                return
            self._is_swept = True
        threading.Thread(target=self._sweep, name="idle-connections", daemon=True).start()

    def _sweep(self) -> None:
        """Close what is idle for too long, until nothing is idle."""
        wait = LINGER_S
        while wait:
            time.sleep(wait)
            expired, wait = self._expired(time.monotonic() - LINGER_S)
            for record in expired:
                record.close()

    def _expired(self, before: float) -> tuple[list[ConnectionPoolEntry], float]:
        """Idle connections given back `before`, and seconds until the next one expires; 0 where none is left."""
        expired = []
        with self._lock:
            while self._idle and self._idle[0][0] <= before:
                expired.append(self._idle.popleft()[1])
            self._is_swept = bool(self._idle)
            return expired, self._idle[0][0] - before if self._idle else 0.0

    def dispose(self) -> None:
        """Close what is idle now."""
        expired, _ = self._expired(float("inf"))
        for record in expired:
            record.close()

    def recreate(self) -> LingeringPool:
        return LingeringPool(
            self._creator,
            recycle=self._recycle,
            echo=self.echo,
            logging_name=self._orig_logging_name,
            reset_on_return=self._reset_on_return,
            pre_ping=self._pre_ping,
            _dispatch=self.dispatch,
            dialect=self._dialect,
        )

    def status(self) -> str:
        with self._lock:
            return f"LingeringPool, {len(self._idle)} idle"
