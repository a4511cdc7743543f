"""A campaign rendered while its Prefect server is away: for seconds in a test, for ten minutes by hand."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.cli import Cli, silent_rows, write_picture, write_sheet
from tests.support.prefect_server import FallibleServer
from tests.support.up import QUICK, TOML, PrefectApi, eventually, standing


def installation(folder: Path, server: FallibleServer, rows: list[dict[str, str]], **environ: str) -> Cli:
    """A sheet `spring.csv` and a command line that shows its runs on the server."""
    write_picture(folder)
    (folder / "campaign.toml").write_text(TOML)
    write_sheet(folder, rows, "spring.csv")
    return Cli(folder=folder, environ=QUICK | environ, prefect=server.api_url)


def spring(cli: Cli) -> dict[str, Any]:
    """The campaign as the ledger has it; empty before it is there."""
    return standing(cli.folder / "home", "spring") or {}


def rendered(cli: Cli) -> int:
    return int(spring(cli).get("jobs", {}).get("rendered", 0))


@dataclass(frozen=True, kw_only=True)
class Outage:
    """What was seen."""

    run: dict[str, Any]
    trackers: dict[str, str]
    progress: float
    log: str
    done_while_away: bool
    code: int
    errors: str


def ride_out(folder: Path, server: FallibleServer, *, rows: int, away_s: float, prompt: str) -> Outage:
    """Kill the server in the middle, let the campaign end without it, and start it again."""
    cli = installation(folder, server, silent_rows(rows, prompt=prompt))
    api = PrefectApi(url=server.api_url)
    process = cli.start("run", "spring.csv", "--out", "out", "--yes", "--json")
    eventually(lambda: rendered(cli) >= 1)
    eventually(lambda: api.runs("render spring"))
    server.kill()
    began = time.monotonic()
    eventually(lambda: rendered(cli) == rows, within_s=120 + 10 * rows, every_s=1)
    done = eventually(lambda: spring(cli)["state"] == "done", within_s=120)
    time.sleep(max(0.0, away_s - (time.monotonic() - began)))
    server.start()
    _, errors = process.communicate(timeout=240)
    return _seen(cli, api, process.returncode, errors, done_while_away=done)


def hold(process: subprocess.Popen[str], cli: Cli) -> None:
    """Stop a flow, but not in the middle of a transaction: on SQLite all others would wait for it."""
    while True:
        os.kill(process.pid, signal.SIGSTOP)
        with closing(sqlite3.connect(cli.folder / "home" / "ledger.db", timeout=2, isolation_level=None)) as ledger:
            try:
                ledger.execute("BEGIN IMMEDIATE")
                ledger.execute("ROLLBACK")
            except sqlite3.OperationalError:
                os.kill(process.pid, signal.SIGCONT)
                time.sleep(0.1)
            else:
                return


def start_without(folder: Path, server: FallibleServer, *, rows: int) -> Outage:
    """Begin while the server is away; every clip is rendered before it is back, the campaign ends after."""
    cli = installation(folder, server, silent_rows(rows, prompt="alone"))
    server.kill()
    process = cli.start("run", "spring.csv", "--out", "out", "--yes")
    eventually(lambda: rendered(cli) >= 1)
    # The flow is held, its workers are not: a server takes its time to start.
    hold(process, cli)
    try:
        eventually(lambda: rendered(cli) == rows, within_s=120)
    finally:
        server.start()
        os.kill(process.pid, signal.SIGCONT)
    _, errors = process.communicate(timeout=240)
    return _seen(cli, PrefectApi(url=server.api_url), process.returncode, errors, done_while_away=True)


def _seen(cli: Cli, api: PrefectApi, code: int, errors: str, *, done_while_away: bool) -> Outage:
    run = eventually(lambda: [r for r in api.runs("render spring") if r["end_time"]])[0]
    return Outage(
        run=run,
        trackers=api.trackers(str(run["id"])),
        progress=float(api.artifacts(str(spring(cli)["campaign_id"]))["progress"]),
        log=api.log(str(run["id"])),
        done_while_away=done_while_away,
        code=code,
        errors=errors,
    )


def judge(seen: Outage, rows: int) -> None:
    """Rendering noticed nothing, and Prefect is right again."""
    assert seen.code == 0, seen.errors[-3000:]
    assert seen.done_while_away
    assert seen.run["state_type"] == "COMPLETED"
    assert seen.trackers == {f"r{n:04d}": "COMPLETED" for n in range(rows)}
    assert seen.progress == 100
    assert f"{rows} published" in seen.log
