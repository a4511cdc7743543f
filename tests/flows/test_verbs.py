"""Verbs on a campaign that waits: what they say, what they change, and that asking twice changes nothing more."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.cli import Cli, silent_rows, write_picture, write_sheet


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    folder = tmp_path_factory.mktemp("verbs") / "with a space"
    write_picture(folder)
    write_sheet(folder, silent_rows(4))
    return Cli(folder=folder)


def submit(cli: Cli, name: str) -> None:
    cli.json("submit", "sheet.csv", "--engine", "pattern", "--campaign", name)


def test_plan_says_what_it_would_cost_and_changes_nothing(cli: Cli) -> None:
    """Counts, lengths and the difference are known before anything is stored."""
    planned = cli.json("plan", "sheet.csv", "--engine", "pattern", "--campaign", "planned-only")
    assert (planned["rows"], planned["videos"], planned["clips"], planned["added"]) == (4, 4, 4, 4)
    assert planned["seconds"] == pytest.approx(1.6)
    assert planned["device_s"] > 0
    assert "planned-only" not in {c["name"] for c in cli.json("status")}
    shown = cli("plan", "sheet.csv", "--engine", "pattern")
    assert "4: 4 to render, 0 rendered before" in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 80


def test_a_dry_run_of_submit_changes_nothing(cli: Cli) -> None:
    """The report is the same as the real one's, the ledger is not."""
    dry = cli.json("submit", "sheet.csv", "--engine", "pattern", "--campaign", "dry", "--dry-run")
    assert (dry["added"], dry["jobs_new"]) == (4, 4)
    assert "dry" not in {c["name"] for c in cli.json("status")}


def test_submit_twice_is_submit_once(cli: Cli) -> None:
    """The same sheet again adds nothing and makes no new revision."""
    submit(cli, "twice")
    again = cli.json("submit", "sheet.csv", "--engine", "pattern", "--campaign", "twice")
    assert (again["added"], again["changed"], again["unchanged"], again["revision"]) == (0, 0, 4, 1)


def test_pause_and_resume(cli: Cli) -> None:
    """A paused campaign says that its clips wait for `paused`; pausing twice is pausing once."""
    submit(cli, "pausing")
    for _ in range(2):
        assert cli.json("pause", "pausing")["state"] == "paused"
    status = cli.json("status", "pausing")
    assert status["waiting"] == {"paused": 4}
    explained = cli.json("explain", "pausing", "r0001")
    assert explained["reason"] == "paused"
    assert cli.json("resume", "pausing")["state"] == "running"
    assert cli.json("status", "pausing")["waiting"] == {"capacity": 4}


def test_cancel_says_what_it_touches_and_is_idempotent(cli: Cli) -> None:
    """A dry run counts and changes nothing; the real one ends the campaign; a second one is no error."""
    submit(cli, "cancelling")
    dry = cli.json("cancel", "cancelling", "--dry-run")
    assert (dry["rows"], dry["videos"], dry["jobs"], dry["state"]) == (4, 4, 4, "running")
    assert cli.json("cancel", "cancelling")["state"] == "cancelled"
    assert cli.json("cancel", "cancelling")["state"] == "cancelled"
    status = cli.json("status", "cancelling")
    assert (status["videos"]["cancelled"], status["jobs"]["cancelled"]) == (4, 4)
    shown = cli("cancel", "pausing-that-is-not-there")
    assert shown.returncode == 2
    assert "there is no campaign" in shown.stderr


def test_cancelled_rows_can_be_retried(cli: Cli) -> None:
    """`retry --state cancelled` queues them again and the campaign runs."""
    submit(cli, "second-thoughts")
    cli.json("cancel", "second-thoughts")
    retried = cli.json("retry", "second-thoughts", "--state", "cancelled")
    assert (retried["rows"], retried["jobs"], retried["state"]) == (4, 4, "running")


def test_rows_filter_by_state_and_refuse_unknown_ones(cli: Cli) -> None:
    """A mistyped state answers with the known ones."""
    submit(cli, "listing")
    assert len(cli.json("rows", "listing", "--state", "waiting")) == 4
    assert cli.json("rows", "listing", "--state", "failed") == []
    refused = cli("rows", "listing", "--state", "wating")
    assert refused.returncode == 2
    assert "waiting" in refused.stderr


def test_export_of_an_unfinished_campaign_counts_all_rows(cli: Cli, tmp_path: Path) -> None:
    """Results come for every row, whatever became of it; a duration that is none is refused."""
    submit(cli, "early")
    exported = cli.json("export", "early", "--out", tmp_path / "early")
    assert exported["rows"] == 4
    text = (tmp_path / "early" / "results.csv").read_text(encoding="utf-8").splitlines()
    assert len(text) == 5
    assert cli("export", "early", "--out", tmp_path / "links", "--presign", "a week").returncode == 2


def test_doctor_names_each_part_and_where_settings_come_from(cli: Cli) -> None:
    """Every part has its line; values that are not default say which source gave them."""
    found = json.loads(cli("doctor", "--json").stdout)
    checks = {check["name"]: check for check in found["checks"]}
    assert {"database", "object store", "ffmpeg", "Prefect", "models", "GPU", "cluster", "scratch"} <= set(checks)
    assert checks["database"]["ok"]
    assert checks["object store"]["ok"]
    # Nothing listens where this installation's Prefect should be: a finding with its fix, not a crash.
    assert not checks["Prefect"]["ok"]
    assert checks["Prefect"]["fix"]
    home = next(s for s in found["settings"] if s["setting"] == "home")
    assert home["from"] == "CALLSHEET_HOME"


def test_unknown_settings_are_errors(cli: Cli) -> None:
    """A misspelt variable stops every verb, with the near miss."""
    misspelt = Cli(folder=cli.folder, environ={"CALLSHEET_LEASE_TTL": "5"})
    refused = misspelt("status")
    assert refused.returncode == 2
    assert "CALLSHEET_LEASE_TTL_S" in refused.stderr


def test_usage_errors_and_help(cli: Cli) -> None:
    """A mistyped verb or option ends with 2 and a hint; every verb explains itself."""
    wrong = cli("validat", "sheet.csv")
    assert wrong.returncode == 2
    assert "Did you mean 'validate'" in wrong.stderr
    assert cli("rows").returncode == 2
    assert "usage" in cli("worker", "--help").stdout.lower()
