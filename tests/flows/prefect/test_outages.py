"""Prefect goes away, processes die, verdicts are wrong: rendering notices nothing, and the UI is right afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.support.cli import ROOT, Cli, silent_rows
from tests.support.outage import hold, installation, judge, rendered, spring, start_without
from tests.support.prefect_server import FallibleServer, fallible_server
from tests.support.up import PrefectApi, eventually

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FallibleServer]:
    with fallible_server(tmp_path_factory.mktemp("prefect")) as running:
        yield running


def run_janitor(cli: Cli, api_url: str) -> None:
    code = (
        "from flows.prefect_home import use_prefect\nfrom flows.where import settings_now\n"
        "use_prefect(settings_now())\nfrom flows.janitor_flow import janitor\njanitor()\n"
    )
    environ = cli.full_environ | {"PREFECT_API_URL": api_url, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], cwd=cli.folder, env=environ, check=True, timeout=120)


def newest(api: PrefectApi) -> dict[str, object]:
    return eventually(lambda: api.runs("render spring"))[0]


def test_the_server_dies_in_the_middle_and_comes_back() -> None:
    """The campaign ends while the server is away; afterwards its run, trackers, progress and log are right.

    By the command that takes ten minutes for it otherwise.
    """
    command = [sys.executable, "-m", "tests.flows.prefect.long_outage", "0", "--rows", "6", "--slow", "0.05"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=480)
    assert (done.returncode, done.stdout) == (0, "0 s without Prefect: 6 videos published, run Completed\n"), (
        done.stderr
    )


def test_the_server_is_away_at_the_start(tmp_path: Path, server: FallibleServer) -> None:
    """The campaign begins without Prefect; Prefect, back before its end, shows it as if it had been there."""
    judge(start_without(tmp_path, server, rows=6), 6)


def test_a_killed_flow_is_shown_as_crashed_and_another_takes_over(tmp_path: Path, server: FallibleServer) -> None:
    """A run left RUNNING by a dead process is called Crashed by the janitor; the next run ends the campaign."""
    cli = installation(tmp_path, server, silent_rows(8, prompt="slow [slow=0.05]"))
    api = PrefectApi(url=server.api_url)
    known = {run["id"] for run in api.runs("render spring")}
    process = cli.start("run", "spring.csv", "--out", "out", "--yes")
    first = eventually(lambda: [r for r in api.runs("render spring") if r["id"] not in known])[0]
    eventually(lambda: rendered(cli) >= 1)
    # The block closes the pipes that the dead process leaves open.
    with process:
        os.killpg(process.pid, signal.SIGKILL)
    assert api.run(str(first["id"]))["state_type"] == "RUNNING"

    def crashed() -> bool:
        run_janitor(cli, server.api_url)
        return bool(api.run(str(first["id"]))["state_type"] == "CRASHED")

    eventually(crashed, every_s=2)
    done = cli("run", "spring.csv", "--out", "out", "--yes")
    assert done.returncode == 0, done.stderr[-2000:]
    second = newest(api)
    assert (second["id"] != first["id"], second["state_type"]) == (True, "COMPLETED")
    assert [row["state"] for row in cli.json("rows", "spring")] == ["published"] * 8


def test_a_false_verdict_on_a_living_run_is_taken_back(tmp_path: Path, server: FallibleServer) -> None:
    """A run that Prefect calls Crashed while it lives is RUNNING again at its next look, and ends Completed."""
    cli = installation(tmp_path, server, silent_rows(6, prompt="alive [slow=0.1]"))
    api = PrefectApi(url=server.api_url)
    known = {run["id"] for run in api.runs("render spring")}
    process = cli.start("run", "spring.csv", "--out", "out", "--yes")
    run = eventually(lambda: [r for r in api.runs("render spring") if r["id"] not in known])[0]
    run_id = str(run["id"])
    eventually(lambda: api.trackers(run_id))
    state = {"type": "CRASHED", "name": "Crashed", "message": "a network said so"}
    api.ask(f"/flow_runs/{run_id}/set_state", {"state": state, "force": True})
    eventually(lambda: api.run(run_id)["state_type"] == "RUNNING")
    process.communicate(timeout=240)
    assert process.returncode == 0
    assert api.run(run_id)["state_type"] == "COMPLETED"
    assert "it is alive" in api.log(run_id)


def test_what_is_old_is_removed(tmp_path: Path, server: FallibleServer) -> None:
    """With `retention_days` the janitor removes ended runs, swept sheets and exports that are older, and only those."""
    day_ago = {"CALLSHEET_RETENTION_DAYS": "1"}
    moment_ago = {"CALLSHEET_RETENTION_DAYS": "0.00001"}
    api = PrefectApi(url=server.api_url)
    old = {"flow_runs": {"end_time": {"before_": datetime.now(UTC).isoformat()}}}
    folders = [tmp_path / "home" / name for name in ("deliveries", "inbox/done", "inbox/failed")]
    for folder in folders:
        for name, age_s in (("old", 2 * 86_400), ("young", 3600)):
            (folder / name).mkdir(parents=True)
            os.utime(folder / name, (time.time() - age_s,) * 2)
    assert api.ask("/flow_runs/count", old) > 0
    run_janitor(Cli(folder=tmp_path, environ=day_ago), server.api_url)
    assert [sorted(path.name for path in folder.iterdir()) for folder in folders] == [["young"]] * 3
    assert api.ask("/flow_runs/count", old) > 0
    run_janitor(Cli(folder=tmp_path, environ=moment_ago), server.api_url)
    assert api.ask("/flow_runs/count", old) == 0


def test_the_first_of_two_runs_becomes_an_observer(tmp_path: Path, server: FallibleServer) -> None:
    """One coordinates, the other looks on; when the first falls silent the second takes over, and the first, alive
    again, looks on. Nothing is rendered twice and the artifacts are one set."""
    cli = installation(tmp_path, server, silent_rows(12, prompt="twice [slow=0.3]"))
    api = PrefectApi(url=server.api_url)
    known = {run["id"] for run in api.runs("render spring")}
    with cli.start("run", "spring.csv", "--out", "out1", "--yes") as first:
        began = eventually(lambda: [r for r in api.runs("render spring") if r["id"] not in known])[0]
        before = eventually(lambda: rendered(cli) >= 1 and spring(cli)["coordinator"])
        hold(first, cli)
        with cli.start("run", "spring.csv", "--out", "out2", "--yes") as second:
            eventually(lambda: spring(cli)["coordinator"] not in (before, ""), every_s=0.1)
            os.kill(first.pid, signal.SIGCONT)
            for process in (first, second):
                _, errors = process.communicate(timeout=240)
                assert process.returncode == 0, errors[-2000:]
    assert [row["attempts"] for row in cli.json("rows", "spring")] == [1] * 12
    runs = [run for run in api.runs("render spring") if run["id"] not in known]
    assert [run["state_type"] for run in runs] == ["COMPLETED"] * 2
    assert "this run looks on" in api.log(str(began["id"]))
    assert len(api.artifacts(str(spring(cli)["campaign_id"]))) <= 10
