"""A Prefect server for one run, without its UI: started on a port of its own, ended with the process that started it.

Prefect would start one itself, but starts it again without end where its database is damaged, and outlives a run that
is killed.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from flows.child_process import end
from flows.prefect_home import is_reachable
from schemas.errors import Retryable
from schemas.settings import Settings
from storage.places import home_folder

START_S = 90.0
_TRIES = 2
"""Of two first runs at the same time one finds the database half made by the other, and ends."""
_GRACE_S = 5.0
_HOST = "127.0.0.1"
_PR_SET_PDEATHSIG = 1


def start_embedded(settings: Settings, *, timeout_s: float = START_S) -> None:
    """Start it, wait until it answers, and point this process at it; to be called by the main thread.

    Raises:
        Retryable: it does not answer.
    """
    log = home_folder(settings) / "logs" / "prefect-embedded.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + timeout_s
    with socket.socket() as listening:
        listening.bind((_HOST, 0))
        listening.listen(128)
        url = f"http://{_HOST}:{listening.getsockname()[1]}/api"
        for _ in range(_TRIES):
            process = _spawn(listening, log)
            # Before Prefect's own: what it still has to say at the end is said to a living server.
            atexit.register(end, process, _GRACE_S)
            os.environ["PREFECT_API_URL"] = url
            import prefect  # noqa: F401 - for seconds, as the server starts: both at the same time

            while process.poll() is None and time.monotonic() < deadline:
                if is_reachable(url):
                    return
                time.sleep(0.1)
            end(process, _GRACE_S)
            del os.environ["PREFECT_API_URL"]
    raise Retryable(
        f"Prefect's own server does not start ({log} says why)",
        fix=f"a damaged database of past runs is mended by deleting {os.environ['PREFECT_HOME']}",
    )


def _spawn(listening: socket.socket, log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", __name__, str(listening.fileno()), str(os.getpid())],
            env=os.environ | {"PREFECT_UI_ENABLED": "false"},
            pass_fds=(listening.fileno(),),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Ctrl-C reaches `callsheet` alone, which ends its children in order.
            start_new_session=True,
        )


def _serve(descriptor: int, parent: int) -> int:
    """Serve on a socket that listens already, until told to end or the parent dies."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before the call above
        return 1
    import uvicorn
    from prefect.server.api.server import create_app

    config = uvicorn.Config(create_app(ephemeral=True, final=True), log_level="error", lifespan="on")
    server = uvicorn.Server(config)
    server.run(sockets=[socket.socket(fileno=descriptor)])
    return 0 if server.started else 1


if __name__ == "__main__":
    sys.exit(_serve(*map(int, sys.argv[1:])))
