"""What is registered: once, the same from either file, on time when clocks change."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
import yaml

from flows.deploy.automations import SILENT, automations
from flows.deploy.catalogue import NIGHTLY, catalogue
from flows.deploy.up import MOST_DEATHS, Deaths
from schemas.errors import InvalidSettings, Permanent
from schemas.settings import Settings
from tests.support.cli import NO_PREFECT, ROOT, Cli
from tests.support.prefect_server import PrefectServer
from tests.support.up import PrefectApi, eventually

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory, prefect_server: PrefectServer) -> tuple[Cli, PrefectApi]:
    environ = {"CALLSHEET_TIMEZONE": "Europe/Berlin"}
    cli = Cli(folder=tmp_path_factory.mktemp("deploy"), environ=environ, prefect=prefect_server.api_url)
    cli.json("deploy")
    return cli, PrefectApi(url=prefect_server.api_url)


def all_deployments(api: PrefectApi) -> dict[str, dict[str, Any]]:
    return {one["entrypoint"].rpartition(".")[2]: one for one in api.ask("/deployments/filter", {})}


def test_again_changes_nothing(deployed: tuple[Cli, PrefectApi]) -> None:
    """Five deployments and two automations, however often they are registered; a person's own action stays."""
    cli, api = deployed
    before = all_deployments(api)
    found = {one["name"]: one for one in api.ask("/automations/filter", {})}
    assert len(found) == 2
    trouble = found["callsheet: campaigns in trouble"]
    changed = {
        key: trouble[key]
        for key in ("name", "description", "enabled", "trigger", "actions_on_trigger", "actions_on_resolve")
    }
    deployment = before["export_campaign"]["id"]
    action = {"type": "run-deployment", "source": "selected", "deployment_id": deployment, "parameters": {}}
    api.ask(f"/automations/{trouble['id']}", changed | {"actions": [action]}, "PUT")
    cli.json("deploy")
    after = all_deployments(api)
    assert {name: one["id"] for name, one in after.items()} == {name: one["id"] for name, one in before.items()}
    assert [len(one["schedules"]) for one in after.values()] == [len(one["schedules"]) for one in before.values()]
    again = {one["name"]: one for one in api.ask("/automations/filter", {})}
    assert len(again) == len(found) == 2
    assert again[trouble["name"]]["actions"][0]["type"] == "run-deployment"


def test_silence_is_seen(deployed: tuple[Cli, PrefectApi]) -> None:
    """The server itself calls a run crashed that beat and then fell silent, and leaves one alone that ended."""
    _, api = deployed
    # Not too quick: a busy server may learn of an end some seconds after it.
    quick = Settings().model_copy(update={"heartbeat_s": 4})
    silent = next(one for one in automations(quick) if one.name == SILENT)
    quickly = api.ask("/automations/", silent.model_dump(mode="json") | {"name": "quickly silent"})
    flow = api.ask("/flows/", {"name": "render-campaign"})
    runs = [str(api.ask("/flow_runs/", {"flow_id": flow["id"], "state": {"type": "RUNNING"}})["id"]) for _ in range(2)]
    api.ask("/events", [_heartbeat(run, flow["id"]) for run in runs])
    time.sleep(2.0)  # the server may take events of one moment in any order
    api.set_state(runs[1], "COMPLETED")
    eventually(lambda: api.run(runs[0])["state_type"] == "CRASHED")
    api.ask(f"/automations/{quickly['id']}", method="DELETE")
    assert "no sign of life" in api.run(runs[0])["state"]["message"]
    assert api.run(runs[1])["state_type"] == "COMPLETED"


def _heartbeat(run: str, flow: str) -> dict[str, Any]:
    """As a flow's process sends it."""
    related = {"prefect.resource.id": f"prefect.flow.{flow}", "prefect.resource.role": "flow"}
    return {
        "id": str(uuid4()),
        "occurred": datetime.now(UTC).isoformat(),
        "event": "prefect.flow-run.heartbeat",
        "resource": {"prefect.resource.id": f"prefect.flow-run.{run}"},
        "related": [related | {"prefect.resource.name": "render-campaign"}],
    }


def test_forms_explain_themselves(deployed: tuple[Cli, PrefectApi]) -> None:
    """Every parameter of every deployment has a type and a sentence; choices are lists."""
    _, api = deployed
    for name, one in all_deployments(api).items():
        for parameter, schema in one["parameter_openapi_schema"]["properties"].items():
            assert schema.get("description"), f"{name}.{parameter}"
            assert schema.get("type") or schema.get("enum"), f"{name}.{parameter}"
    submit = all_deployments(api)["submit_campaign"]["parameter_openapi_schema"]
    assert submit["properties"]["bad_rows"]["enum"] == ["refuse the sheet", "leave their videos out"]
    assert submit["required"] == ["manifest"]


def test_prefect_yaml_says_the_same() -> None:
    """`prefect deploy --all` and `callsheet deploy` register the same with default settings."""
    said = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))["deployments"]
    for written, meant in zip(said, catalogue(Settings()), strict=True):
        assert written["entrypoint"] == meant.entrypoint
        assert written["name"] == meant.name
        assert written["description"] == meant.description
        assert tuple(written["tags"]) == meant.tags
        assert written["concurrency_limit"] == {"limit": meant.limit, "collision_strategy": meant.collision.value}
        schedules = [
            (one.get("interval"), one.get("cron"), one["timezone"], one["slug"], one.get("parameters", {}))
            for one in written.get("schedules", [])
        ]
        assert schedules == [(s.interval_s, s.cron, s.timezone, s.slug, s.parameters) for s in meant.schedules]


@pytest.mark.parametrize("day", ["2027-03-28", "2027-10-31"])
def test_a_night_with_a_clock_change_has_one_round(deployed: tuple[Cli, PrefectApi], day: str) -> None:
    """The server plans the nightly round once on the days when clocks in its zone go forward or back."""
    _, api = deployed
    zone = ZoneInfo("Europe/Berlin")
    begin = datetime.fromisoformat(day).replace(tzinfo=zone)
    end = datetime.combine(date.fromisoformat(day) + timedelta(days=1), begin.time(), zone)
    janitor = all_deployments(api)["janitor"]["id"]
    # The last moment counts as within.
    last = end - timedelta(seconds=1)
    span = {"start_time": begin.isoformat(), "end_time": last.isoformat(), "min_runs": 1, "max_runs": 800}
    for _ in range(2):
        api.ask(f"/deployments/{janitor}/schedule", span)
    between = {"after_": begin.isoformat(), "before_": last.isoformat()}
    found: list[dict[str, Any]] = []
    while page := api.ask(
        "/flow_runs/filter",
        {
            "flow_runs": {"expected_start_time": between, "deployment_id": {"any_": [janitor]}},
            "limit": 200,
            "offset": len(found),
        },
    ):
        found += page
    nightly = [run for run in found if run["parameters"].get("orphans")]
    assert [datetime.fromisoformat(run["expected_start_time"]).astimezone(zone).hour for run in nightly] == [4]
    rounds = [run["expected_start_time"] for run in found if not run["parameters"].get("orphans")]
    assert len(rounds) == len(set(rounds)) > 0


def test_the_nightly_minute_exists_once_in_every_zone() -> None:
    """In no IANA zone do clocks jump over 04:17, or show it twice, in the coming years."""
    minute, hour, *_ = (int(part) if part.isdigit() else part for part in NIGHTLY.split())
    from zoneinfo import available_timezones

    for name in sorted(available_timezones()):
        zone = ZoneInfo(name)
        for n in range(3 * 366):
            local = datetime(2026, 1, 1, int(hour), int(minute), tzinfo=zone) + timedelta(days=n)
            assert local.utcoffset() == local.replace(fold=1).utcoffset(), (name, local)


def test_a_taken_port_is_said(tmp_path: Path, prefect_server: PrefectServer) -> None:
    """Neither `up` nor `ui` takes a server that happens to be there for its own."""
    taken = int(prefect_server.ui_url.rpartition(":")[2])
    cli = Cli(folder=tmp_path, prefect="")
    for command in (("up", "--port", taken), ("up", "--port", taken - 1), ("ui", "--no-browser", "--port", taken)):
        done = cli(*command)
        assert (done.returncode, f"port {taken} cannot be had" in done.stderr) == (1, True)


def test_a_part_that_cannot_live_is_given_up() -> None:
    """Ten deaths within ten minutes are too many; ten in a night are not."""
    now = 0.0
    slowly, quickly = (Deaths("a part", clock=lambda: now) for _ in range(2))
    for _ in range(30):
        now += 3600
        slowly.note(1, Path("its.log"))
    for _ in range(MOST_DEATHS - 1):
        now += 1
        quickly.note(1, Path("its.log"))
    with pytest.raises(Permanent, match="a part ended 10 times"):
        quickly.note(1, Path("its.log"))


def test_deploy_says_what_is_missing(tmp_path: Path) -> None:
    """Without a server, or without one that answers, it says what to do; a wrong zone is named."""
    none = Cli(folder=tmp_path, prefect="")("deploy")
    assert (none.returncode, "callsheet up" in none.stderr) == (2, True)
    away = Cli(folder=tmp_path, prefect=NO_PREFECT)("deploy")
    assert (away.returncode, "no Prefect server answers" in away.stderr) == (1, True)
    with pytest.raises(InvalidSettings, match="Middle/Earth"):
        catalogue(Settings(timezone="Middle/Earth"))
