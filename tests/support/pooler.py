"""A real PgBouncer between the ledger and PostgreSQL, in transaction mode: nothing of a session outlives a commit."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

UP_WITHIN_S = 20.0

SERVER_CONNECTIONS = 3
"""Fewer than its clients have: each transaction gets another one."""

_INI = """\
[databases]
* = host={server}
[pgbouncer]
pool_mode = transaction
default_pool_size = {connections}
max_client_conn = 200
listen_addr =
unix_socket_dir = {folder}
auth_type = trust
auth_file = {folder}/users
"""


@dataclass
class Pooler:
    """PgBouncer before one server; it can be killed and started again."""

    server: Path
    """Where the server's socket lies."""
    folder: Path
    port: int = 6432
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def url(self, url: str) -> str:
        """The same database by way of the pooler."""
        return f"{url.split('?', maxsplit=1)[0]}?host={self.folder}&port={self.port}"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        (self.folder / "users").write_text('"postgres" ""\n', encoding="utf-8")
        ini = self.folder / "pgbouncer.ini"
        ini.write_text(
            _INI.format(server=self.server, folder=self.folder, connections=SERVER_CONNECTIONS), encoding="utf-8"
        )
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["pgbouncer", *self._as_somebody(), str(ini)], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + UP_WITHIN_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                pytest.fail((self.folder / "log").read_text(encoding="utf-8"))
            time.sleep(0.02)

    def kill(self) -> None:
        """Without a word to its clients."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def _as_somebody(self) -> list[str]:
        """It refuses to work as root; the server had to find somebody else, too."""
        if os.geteuid() != 0:
            return []
        owner = self.server.owner()
        shutil.chown(self.folder, owner)
        return ["-u", owner]

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as line:
            return line.connect_ex(str(self.folder / f".s.PGSQL.{self.port}")) == 0


@contextmanager
def pooler_before(server: Path) -> Iterator[Pooler]:
    """A running pooler before the server whose socket lies in that folder."""
    if shutil.which("pgbouncer") is None:
        pytest.skip("pgbouncer is not installed")
    # A short path: the socket's own has 107 bytes at most.
    with tempfile.TemporaryDirectory(prefix="pooler-") as folder:
        pooler = Pooler(server=server, folder=Path(folder))
        pooler.start()
        try:
            yield pooler
        finally:
            pooler.kill()
