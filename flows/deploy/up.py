"""`callsheet up`: server with UI, runner with schedules, workers and files, on one machine, ended in order."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

from flows.campaign.handover import deliveries_folder
from flows.child_process import end
from flows.deploy.file_server import FileServer
from flows.deploy.local_pool import LocalPool
from flows.deploy.server import LocalServer, start_server
from flows.inbox.place import inbox_url, open_inbox, place_of
from flows.prefect_guard import refuse_open_server
from flows.prefect_home import prefect_api_url, use_prefect
from flows.where import use_settings
from schemas.errors import Permanent
from schemas.settings import Settings
from storage.places import home_folder, open_ledger_of

log = logging.getLogger("callsheet.up")

TICK_S = 1.0
MOST_DEATHS, LATELY_S = 10, 600.0
"""A part that died so often within so many seconds is not started again."""
RUNNER_GRACE_S = 20.0
FLOW_GRACE_S = 30.0


def up(settings: Settings, *, port: int, workers: int, say: Callable[[str], None]) -> None:
    """Serve until interrupted. With a configured Prefect server none is started.

    Raises:
        Refused: the profile is production and the server would be open to anybody.
        Permanent: a part does not start.
    """
    refuse_open_server(settings)
    with ExitStack() as started, _said(say):
        files = None
        if not settings.deliveries_url:
            files = FileServer(deliveries_folder(settings), port + 1)
            started.callback(files.stop)
            settings = settings.model_copy(update={"deliveries_url": files.url})
        use_settings(settings)
        ui = prefect_api_url(settings).removesuffix("/api")
        server = None
        if not ui:
            say(f"starting Prefect on port {port}; its log is {home_folder(settings) / 'logs'}")
            server, settings = _serve_prefect(settings, port, started)
            ui = server.ui_url
        use_prefect(settings)
        open_inbox(settings)
        ledger = started.enter_context(closing(open_ledger_of(settings)))
        logs = home_folder(settings) / "logs"
        pool = LocalPool(settings=settings, count=workers, log_folder=logs)
        started.callback(pool.stop)
        runner = _Runner(logs / "runner.log")
        started.callback(runner.stop)
        say(f"Prefect  {ui}")
        say(f"inbox    {place_of(inbox_url(settings))}")
        say(f"results  {settings.deliveries_url}")
        say("Ctrl-C ends all of it; what is under way is given back")
        deaths = Deaths("the Prefect server")
        while True:
            if server is not None and server.process.poll() is not None:
                deaths.note(server.process.returncode, server.log)
                server.start_again()
            runner.watch()
            pool.tick(ledger)
            time.sleep(TICK_S)


@contextmanager
def _said(say: Callable[[str], None]) -> Iterator[None]:
    """An orderly end takes its time: nobody should wait for it in silence."""
    try:
        yield
    except KeyboardInterrupt:
        say("ending; what is under way is given back")
        raise


def _serve_prefect(settings: Settings, port: int, started: ExitStack) -> tuple[LocalServer, Settings]:
    use_prefect(settings)
    server = start_server(settings, port)
    started.callback(server.stop)
    server.wait()
    settings = settings.model_copy(update={"prefect_api_url": server.api_url})
    os.environ["PREFECT_API_URL"] = server.api_url
    use_settings(settings)
    return server, settings


class Deaths:
    """How often a part died lately: one that cannot live is not started for ever."""

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._name, self._clock = name, clock
        self._at: deque[float] = deque(maxlen=MOST_DEATHS)

    def note(self, code: int, logfile: Path) -> None:
        """Raises Permanent when it died too often within a few minutes."""
        self._at.append(self._clock())
        if len(self._at) == MOST_DEATHS and self._at[-1] - self._at[0] < LATELY_S:
            raise Permanent(f"{self._name} ended {MOST_DEATHS} times in a row", fix=f"read {logfile}")
        log.warning("%s ended with exit code %d; started again", self._name, code)


class _Runner:
    """The process that runs flows; started again when it dies."""

    def __init__(self, logfile: Path) -> None:
        logfile.parent.mkdir(parents=True, exist_ok=True)
        self._logfile = logfile
        self._deaths = Deaths("the runner")
        self._process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        environ = {"PREFECT_RUNNER_POLL_FREQUENCY": "3"} | dict(os.environ)
        with self._logfile.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "flows.deploy.serve"],
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def watch(self) -> None:
        """Raises Permanent when it cannot stay up."""
        code = self._process.poll()
        if code is None:
            return
        self._deaths.note(code, self._logfile)
        self._process = self._start()

    def stop(self) -> None:
        """Flows first, each as if its machine went away: they give back what they hold. Then the runner.

        Prefect's runner would call them cancelled, and a person's cancel is another thing.
        """
        flows = children(self._process.pid)
        for pid in flows:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + FLOW_GRACE_S
        while set(flows) & set(children(self._process.pid)) and time.monotonic() < deadline:
            time.sleep(0.1)
        end(self._process, RUNNER_GRACE_S, signal.SIGINT)


def children(pid: int) -> list[int]:
    """Processes that `pid` started and that run, as Linux's /proc has them."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # The name, in parentheses, may hold anything.
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            if int(parent) == pid and state != "Z":
                found.append(int(stat.parent.name))
    return found
