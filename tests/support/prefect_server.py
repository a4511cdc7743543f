"""A real Prefect server with its UI on a free port of the loopback, one per test session."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from flows.prefect_home import is_reachable
from tests.support.prefect_database import place_database


@dataclass(frozen=True, kw_only=True)
class PrefectServer:
    api_url: str
    ui_url: str
    home: Path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def serve_prefect(home: Path, *, start_s: float = 120) -> Iterator[PrefectServer]:
    port = free_port()
    place_database(home)
    server = PrefectServer(api_url=f"http://127.0.0.1:{port}/api", ui_url=f"http://127.0.0.1:{port}", home=home)
    environ = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    environ |= {
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        # On another port than 4200 the UI calls 4200 unless it is told before the server starts.
        "PREFECT_UI_API_URL": server.api_url,
    }
    with (home / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            deadline = time.monotonic() + start_s
            while not is_reachable(server.api_url):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"Prefect did not start: {(home / 'server.log').read_text()[-2000:]}")
                time.sleep(0.2)
            yield server
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrefectServer]:
    yield from serve_prefect(tmp_path_factory.mktemp("prefect"))


@dataclass
class FallibleServer:
    """A server that can be killed and started again on the same port, with what it knew."""

    home: Path
    port: int
    environ: dict[str, str]
    process: subprocess.Popen[bytes] | None = None

    @property
    def ui_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def api_url(self) -> str:
        return f"{self.ui_url}/api"

    def start(self, *, start_s: float = 150) -> None:
        clean = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
        mine = {"PREFECT_HOME": str(self.home), "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}
        command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(self.port)]
        with (self.home / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                env=clean | mine | {"PREFECT_UI_API_URL": self.api_url} | self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + start_s
        while not is_reachable(self.api_url):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Prefect did not start: {(self.home / 'server.log').read_text()[-2000:]}")
            time.sleep(0.2)

    def kill(self) -> None:
        """As a node dies: at once, with everything it started."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


@contextmanager
def fallible_server(home: Path, **environ: str) -> Iterator[FallibleServer]:
    place_database(home)
    server = FallibleServer(home=home, port=free_port(), environ=environ)
    server.start()
    try:
        yield server
    finally:
        server.kill()
