"""Secrets that give themselves away: one distinct word per secret setting, and eyes wherever it could turn up."""

from __future__ import annotations

import base64
import secrets
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg
from psycopg import sql

POLL_S = 0.05


def canary(name: str) -> str:
    """A word that stands nowhere else. Letters and digits only: it is the same in addresses and in shells."""
    return f"Canary{name}{secrets.token_hex(8)}"


@dataclass(frozen=True)
class Canaries:
    """The words by the names of what they are the secret of."""

    words: Mapping[str, str]

    def seen_in(self, data: bytes | str) -> set[str]:
        """The names of those that stand in `data`: plain, in an address, in base64 at any offset, in UTF-16."""
        raw = data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data
        return {name for name, word in self.words.items() if any(form in raw for form in _forms(word))}


def _forms(word: str) -> Iterator[bytes]:
    yield word.encode()
    yield quote(word).encode()
    yield word.encode("utf-16-le")
    for shift in range(3):
        # Three bytes make four characters: what is certain of the word lies behind the first and before the last.
        yield base64.b64encode(b"\0" * shift + word.encode())[4 if shift else 0 : -4]


@dataclass
class Eyes:
    """What was seen, by where."""

    canaries: Canaries
    seen: dict[str, set[str]] = field(default_factory=dict)

    def look(self, where: str, data: bytes | str) -> None:
        if found := self.canaries.seen_in(data):
            self.seen.setdefault(where, set()).update(found)

    def look_below(self, folder: Path, *, apart_from: Iterable[str] = ()) -> int:
        """Every file below a folder, databases and their journals too; how many."""
        files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name not in set(apart_from)]
        for path in files:
            self.look(str(path.relative_to(folder)), path.read_bytes())
            self.look(f"the name of {path.name}", str(path))
        return len(files)

    def look_into_postgres(self, url: str) -> int:
        """Every row of every table; how many."""
        rows = 0
        with psycopg.connect(url) as connection:
            tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
            for (table,) in tables:
                query = sql.SQL("SELECT t::text FROM {} AS t").format(sql.Identifier(table))
                for (row,) in connection.execute(query).fetchall():
                    self.look(f"the table {table}", row)
                    rows += 1
        return rows

    @contextmanager
    def on_processes_of(self, pid: int) -> Iterator[None]:
        """The command lines of a process and of all that it starts, again and again while the block runs."""
        done = threading.Event()

        def watch() -> None:
            while not done.wait(POLL_S):
                self._look_at_processes(pid)

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()

    def _look_at_processes(self, pid: int) -> None:
        try:
            family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        except psutil.NoSuchProcess:
            return
        for process in family:
            try:
                line = "\0".join(process.cmdline())
            except psutil.Error:
                continue
            self.look("a command line", line)
