"""A campaign rendered while its Prefect server is away: for seconds in a test, for ten minutes by hand."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.cli import Cli, silent_rows, write_picture, write_sheet
from tests.support.prefect_server import FallibleServer
from tests.support.up import QUICK, TOML, PrefectApi, eventually


def installation(folder: Path, server: FallibleServer, rows: list[dict[str, str]], **environ: str) -> Cli:
    """A sheet `spring.csv` and a command line that shows its runs on the server."""
    write_picture(folder)
    (folder / "campaign.toml").write_text(TOML)
    write_sheet(folder, rows, "spring.csv")
    return Cli(folder=folder, environ=QUICK | environ, prefect=server.api_url)


def rendered(cli: Cli) -> int:
    found = [one for one in cli.json("status") if one["name"] == "spring"]
    return int(found[0]["jobs"].get("rendered", 0)) if found else 0


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
    state = eventually(lambda: [s for s in cli.json("status") if s["state"] == "done"], within_s=120)
    time.sleep(max(0.0, away_s - (time.monotonic() - began)))
    server.start()
    _, errors = process.communicate(timeout=240)
    run = eventually(lambda: [r for r in api.runs("render spring") if r["end_time"]])[0]
    return Outage(
        run=run,
        trackers=api.trackers(str(run["id"])),
        progress=float(api.artifacts("spring")["progress"]),
        log=api.log(str(run["id"])),
        done_while_away=bool(state),
        code=process.returncode,
        errors=errors,
    )


def judge(seen: Outage, rows: int) -> None:
    """Rendering noticed nothing, and Prefect is right again."""
    assert seen.code == 0, seen.errors[-3000:]
    assert seen.done_while_away
    assert seen.run["state_type"] == "COMPLETED"
    assert seen.trackers == {f"r{n:04d}": "COMPLETED" for n in range(rows)}
    assert seen.progress == 100
    assert all(f"r{n:04d}" in seen.log for n in range(rows))
