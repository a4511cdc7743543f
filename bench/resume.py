"""How long a campaign stands still after its flow and its worker were killed and the flow was started again."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from statistics import median

import psutil

from bench.bench import Bench
from bench.databases import SqliteFiles
from bench.figure import Figure, Size, at_most
from bench.progress import say
from bench.sheets import file_of
from schemas.settings import Settings, environment

ROUNDS = {Size.FULL: 3, Size.QUICK: 1, Size.TINY: 1}
WITHIN_S = 120.0

_FLOW = """
import sys
from schemas.settings import Settings
from flows.prefect_home import use_prefect
settings = Settings(home=sys.argv[1])
use_prefect(settings)
from flows.campaign.flows import render
from storage.places import open_ledger_of
ledger = open_ledger_of(settings)
render(ledger.campaign(sys.argv[2]), ledger, settings, workers=1, observers=())
"""
"""What the flow run of a campaign does, in a process of its own, as a Prefect worker starts it."""


def run(bench: Bench) -> Iterator[Figure]:
    files = next(databases for databases in bench.databases if isinstance(databases, SqliteFiles))
    origin = bench.campaigns.on(files)
    home = bench.folder / "resume"
    home.mkdir()
    file_of(files.copy(origin.url)).rename(home / "ledger.db")
    _until_killed(home, origin.campaign_id)
    waits = [_until_killed(home, origin.campaign_id) for _ in range(ROUNDS[bench.size])]
    yield Figure(
        name=f"resume_s.{origin.rows}",
        value=median(waits),
        unit="s",
        target=at_most(5),
        meaning="from starting the flow again after SIGKILL of flow and worker to the first new lease",
        parts={"slowest_s": max(waits)},
    )


def _until_killed(home: Path, campaign_id: str) -> float:
    """Start the flow, wait for a new lease, kill flow and worker; seconds until the lease."""
    say("resume: waiting for the first lease")
    before = _attempts(home)
    environ = {key: value for key, value in os.environ.items() if not key.startswith("CALLSHEET_")}
    with (home / "flow.log").open("ab") as log:
        began = time.monotonic()
        flow = subprocess.Popen(
            [sys.executable, "-c", _FLOW, str(home), campaign_id],
            env=environ | environment(Settings(home=str(home))),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        while _attempts(home) == before:
            if flow.poll() is not None or time.monotonic() - began > WITHIN_S:
                raise RuntimeError(f"no lease came; the flow's log:\n{(home / 'flow.log').read_text()}")
            time.sleep(0.02)
        return time.monotonic() - began
    finally:
        _kill(flow)


def _attempts(home: Path) -> int:
    with closing(sqlite3.connect(home / "ledger.db")) as connection:
        return int(connection.execute("SELECT count(*) FROM attempt").fetchone()[0])


def _kill(flow: subprocess.Popen[bytes]) -> None:
    """SIGKILL to the flow and all that it started."""
    family = psutil.Process(flow.pid).children(recursive=True)
    with suppress(ProcessLookupError):
        os.killpg(flow.pid, signal.SIGKILL)
    for child in family:
        with suppress(psutil.NoSuchProcess):
            child.kill()
    flow.wait()
    psutil.wait_procs(family, timeout=10)
