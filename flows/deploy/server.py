"""A Prefect server with its UI on this machine, its state under the home folder."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flows.child_process import end
from flows.prefect_home import is_reachable
from schemas.errors import Permanent
from schemas.settings import Settings
from storage.places import home_folder

START_S = 120.0
HOST = "127.0.0.1"


@dataclass(kw_only=True)
class LocalServer:
    """Listens on the loopback only."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path
    environ: Mapping[str, str]

    @property
    def ui_url(self) -> str:
        return f"http://{HOST}:{self.port}"

    @property
    def api_url(self) -> str:
        return f"{self.ui_url}/api"

    def wait(self, timeout_s: float = START_S) -> None:
        """Until it answers.

        Raises:
            Permanent: it does not.
        """
        deadline = time.monotonic() + timeout_s
        while not is_reachable(self.api_url):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise Permanent(
                    f"the Prefect server did not start on port {self.port}",
                    fix=f"read {self.log}; if the port is taken, choose another with --port",
                )
            time.sleep(0.2)

    def start_again(self) -> None:
        """On the same port, with what it knew; not yet answering."""
        self.process = _spawn(self.port, self.log, self.environ)

    def stop(self) -> None:
        end(self.process, 15.0)


def refuse_taken(port: int) -> None:
    """A server of somebody else would answer in the place of ours.

    Raises:
        Permanent: something listens there.
    """
    with socket.socket() as probe:
        # As servers do: what a server left behind a moment ago is in nobody's way.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise Permanent(
                f"port {port} cannot be had: {error.strerror}",
                fix="choose another with --port; the next one is used too",
            ) from error


def start_server(settings: Settings, port: int) -> LocalServer:
    """Started, not yet answering.

    Raises:
        Permanent: something else listens on that port.
    """
    refuse_taken(port)
    home = home_folder(settings) / "prefect"
    logs = home_folder(settings) / "logs"
    for folder in (home, logs):
        folder.mkdir(parents=True, exist_ok=True)
    log = logs / "prefect-server.log"
    environ = dict(os.environ)
    environ.pop("PREFECT_API_URL", None)
    environ |= {
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        # On another port than 4200 the UI calls 4200 unless it is told before the server starts.
        "PREFECT_UI_API_URL": f"http://{HOST}:{port}/api",
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        # A busy machine holds connections longer than the default of 15 lasts.
        "PREFECT_SERVER_DATABASE_SQLALCHEMY_POOL_SIZE": "20",
        "PREFECT_SERVER_DATABASE_SQLALCHEMY_MAX_OVERFLOW": "40",
        # An hour of sweeps written down in advance is work for nothing.
        "PREFECT_SERVER_SERVICES_SCHEDULER_MIN_SCHEDULED_TIME": "PT5M",
    }
    return LocalServer(port=port, process=_spawn(port, log, environ), log=log, environ=environ)


def _spawn(port: int, log: Path, environ: Mapping[str, str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", str(port)]
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Ctrl-C reaches `callsheet` alone, which ends its children in order.
            start_new_session=True,
        )
