"""`callsheet up` on a real server, looked at with a real browser: sheets come in, videos go out, people interfere."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from flows.deploy.automations import TROUBLE
from tests.support.browser import until
from tests.support.cli import silent_rows, write_picture, write_sheet
from tests.support.up import TOML, Up, eventually, serving

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SHOTS = os.environ.get("CALLSHEET_TEST_SHOTS", "")
"""Folder for the pictures of docs/prefect.md; empty: none are taken."""


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with serving(tmp_path_factory.mktemp("up")) as served:
        yield served


def shoot(page: Page, name: str, height: int = 900) -> None:
    if SHOTS:
        page.set_viewport_size({"width": 1360, "height": height})
        page.wait_for_timeout(2500)
        page.screenshot(path=str(Path(SHOTS) / f"prefect-{name}.jpg"), type="jpeg", quality=60)
        page.set_viewport_size({"width": 1360, "height": 900})


def ended(up: Up, name: str, *states: str) -> dict[str, Any]:
    def ask() -> dict[str, Any] | None:
        found = up.campaign(name)
        return found if found and found["state"] in states else None

    try:
        return eventually(ask, within_s=240, every_s=0.2)
    except AssertionError as error:
        # What stands in the way is mostly a run that failed, or that nobody began.
        runs = up.api.ask("/flow_runs/filter", {"sort": "EXPECTED_START_TIME_DESC", "limit": 30})
        told = [(run["name"], run["state_name"], (run["state"] or {}).get("message")) for run in runs]
        raise AssertionError(f"{name} is {up.campaign(name)}, expected {states}; runs: {told}") from error


def final(up: Up, name: str) -> dict[str, Any]:
    """The newest run of that name, once it is over."""

    def ask() -> dict[str, Any] | None:
        runs = up.api.runs(name)
        return runs[0] if runs and runs[0]["end_time"] else None

    return eventually(ask)


def running(up: Up, name: str) -> str:
    def ask() -> str | None:
        runs = up.api.runs(name)
        return str(runs[0]["id"]) if runs and runs[0]["state_type"] == "RUNNING" else None

    return eventually(ask)


PEOPLE = ["anna-01", "anna-02", "ben-01", "ben-02", "chris-01", "dora-01"]


def told(up: Up, campaign: dict[str, Any], event: str) -> list[dict[str, Any]]:
    """Events of that name about the campaign; the server writes down in batches what it hears."""
    resource = f"callsheet.campaign.{campaign['campaign_id']}"
    return eventually(lambda: [one for one in up.api.events(resource) if one["event"] == event])


def test_a_sheet_in_the_inbox_becomes_videos(up: Up, visitor: Page) -> None:
    """Nobody touches anything: the browser finds the run by its name, 100 %, the tables, and plays a video.

    Two schedules sweep at the same moments, and still there is one campaign, one run, one try at each clip.
    """
    sweeps = up.api.deployment("sweep-inbox")
    (schedule,) = up.api.ask(f"/deployments/{sweeps}/schedules", method="GET")
    twin = {"active": True, "schedule": schedule["schedule"]}
    up.api.ask(f"/deployments/{sweeps}/schedules", [twin])
    rows = silent_rows(6, duration=1)
    for row, person in zip(rows, PEOPLE, strict=True):
        row |= {"row_id": person, "prompt": f"{person[:-3].capitalize()} talks to the camera"}
    up.drop("spring", rows)
    campaign = ended(up, "spring", "done")
    run = final(up, "render spring")
    assert up.api.trackers(str(run["id"])) == dict.fromkeys(PEOPLE, "COMPLETED")
    assert run["state_type"] == "COMPLETED"
    shown = up.api.artifacts(str(campaign["campaign_id"]))
    assert set(shown) == {"progress", "states", "failures", "workers", "gallery", "results", "report", "summary"}
    log = up.api.log(str(run["id"]))
    assert all(f"row {person}: published" in log for person in PEOPLE)
    assert told(up, campaign, "callsheet.campaign.done")

    eventually(lambda: swept_twice(up, sweeps))
    for one in up.api.ask(f"/deployments/{sweeps}/schedules", method="GET"):
        if one["id"] != schedule["id"]:
            up.api.ask(f"/deployments/{sweeps}/schedules/{one['id']}", method="DELETE")
    # From here on sweeps are asked for: one every ten seconds costs as much as all the rest.
    up.api.ask(f"/deployments/{sweeps}/schedules/{schedule['id']}", {"active": False}, method="PATCH")
    assert len(up.api.runs("render spring")) == 1
    assert campaign["revision"] == 1
    assert [row["attempts"] for row in up.cli.json("rows", "spring")] == [1] * 6

    visitor.goto(f"{up.ui_url}/runs")
    visitor.get_by_text("render spring").first.click()
    expect(visitor.get_by_text("Completed").first).to_be_visible()
    expect(visitor.locator("code").first).to_contain_text("campaign spring is")
    shoot(visitor, "run", 1180)
    visitor.get_by_role("listitem").filter(has_text="Artifacts").first.click()
    expect(visitor.get_by_text(f"{campaign['campaign_id']}-progress").first).to_be_visible()
    shoot(visitor, "artifacts", 1240)
    pages = {"progress": "100%", "states": "published", "summary": "spring: done", "gallery": "gallery of spring"}
    for noun, words in pages.items():
        artifact = up.api.artifact_id(f"{campaign['campaign_id']}-{noun}")
        visitor.goto(f"{up.ui_url}/artifacts/artifact/{artifact}")
        expect(visitor.get_by_text(words).first).to_be_visible()
        shoot(visitor, noun, 700)
    with visitor.context.expect_page() as opened:
        visitor.get_by_role("link", name="gallery of spring").first.click()
    gallery = opened.value
    gallery.wait_for_url(f"{up.files_url}/**")
    gallery.get_by_role("button", name="Play anna-01", exact=True).click()
    until(gallery, "document.querySelector('video') && document.querySelector('video').currentTime > 0.1")
    shoot(gallery, "video")


def swept_twice(up: Up, sweeps: str) -> bool:
    """Whether two sweeps were wanted for one moment, and the moment has come for both."""
    runs = up.api.ask("/flow_runs/filter", {"flow_runs": {"deployment_id": {"any_": [sweeps]}}})
    times = [run["expected_start_time"] for run in runs if run["state_type"] != "SCHEDULED"]
    return len(times) > len(set(times))


def press_until_it_is_sent(up: Up, page: Page, deployment: str) -> None:
    """Press Submit as a person does: again where no run has come of it. The page does not retry what a busy server
    answered; whether that is why a run was once missing is a guess."""
    wanted = {"flow_runs": {"deployment_id": {"any_": [deployment]}}}

    def sent() -> bool:
        page.get_by_role("button", name="Submit").last.click(timeout=10_000)
        with suppress(AssertionError):
            return bool(eventually(lambda: up.api.ask("/flow_runs/filter", wanted), within_s=20))
        return False

    eventually(sent)


def test_a_campaign_comes_from_the_form(up: Up, visitor: Page) -> None:
    """The deployment's form has a field for each parameter, with its description; what it submits is rendered."""
    folder = up.cli.folder / "elsewhere"
    write_picture(folder)
    (folder / "campaign.toml").write_text(TOML)
    sheet = write_sheet(folder, silent_rows(2), "by hand.csv")
    visitor.goto(f"{up.ui_url}/deployments/deployment/{up.api.deployment('submit-campaign')}/run")
    expect(visitor.get_by_text("The CSV: a path on the machine").first).to_be_visible()
    form = visitor.get_by_role("textbox")
    expect(form).to_have_count(5)
    form.nth(2).fill("summer")
    form.nth(1).fill("s3://casting/summer/summer.csv")
    shoot(visitor, "form", 1020)
    form.nth(1).fill(str(sheet))
    press_until_it_is_sent(up, visitor, up.api.deployment("submit-campaign"))
    ended(up, "summer", "done")
    assert final(up, "submit by hand.csv")["state_type"] == "COMPLETED"
    assert final(up, "render summer")["state_type"] == "COMPLETED"

    up.api.start("export-campaign", campaign_id="summer", out=str(folder / "out"))
    assert final(up, "export summer")["state_type"] == "COMPLETED"
    assert {"index.html", "results.csv", "report.md", "videos"} <= {path.name for path in (folder / "out").iterdir()}


def test_cancel_in_the_ui_keeps_what_is_there(up: Up, visitor: Page) -> None:
    """Cancel stops the workers in the middle of a clip; what was published stays, and the log says so."""
    up.drop("autumn", silent_rows(16, duration=2, prompt="slowly [slow=0.06]"))
    up.api.start("sweep-inbox")
    run_id = running(up, "render autumn")
    visitor.goto(f"{up.ui_url}/runs/flow-run/{run_id}")
    eventually(lambda: (up.campaign("autumn") or {}).get("videos", {}).get("published", 0) >= 1)
    visitor.get_by_role("button", name="Cancel").first.click()
    visitor.get_by_role("dialog").get_by_role("button", name="Confirm").click()
    campaign = ended(up, "autumn", "cancelled")
    assert campaign["jobs"].get("leased", 0) == 0
    assert campaign["videos"]["published"] >= 1
    assert campaign["videos"]["cancelled"] >= 1
    run = eventually(lambda: up.api.run(run_id) if up.api.run(run_id)["state_type"] == "CANCELLED" else None)
    assert "are kept" in f"{up.api.log(run_id)} {run['state']['message']}"
    visitor.reload()
    expect(visitor.get_by_text("Cancelled").first).to_be_visible()
    shoot(visitor, "cancelled", 1330)


def test_pause_resume_and_retry(up: Up) -> None:
    """Pause and Resume reach the ledger, and come from there; Retry renders again only what failed."""
    rows = silent_rows(10, prompt="slowly [slow=0.15]")
    rows[2]["prompt"] = "no [fail=bad input]"
    folder = up.cli.folder / "winter"
    write_picture(folder)
    (folder / "campaign.toml").write_text(TOML)
    assert up.cli("submit", write_sheet(folder, rows, "winter.csv"), "--yes").returncode == 0
    up.cli("pause", "winter", "--yes")
    run_id = up.api.start("render-campaign", campaign_id="winter")
    eventually(lambda: up.api.run(run_id)["state_type"] == "PAUSED")
    up.api.ask(f"/flow_runs/{run_id}/resume", {})
    campaign = ended(up, "winter", "running", "stitching")
    up.api.set_state(run_id, "PAUSED")
    ended(up, "winter", "paused")
    up.cli("resume", "winter", "--yes")
    eventually(lambda: up.api.run(run_id)["state_type"] == "RUNNING")
    ended(up, "winter", "done_with_errors")
    run = eventually(lambda: up.api.run(run_id) if up.api.run(run_id)["end_time"] else None)
    assert (run["state_type"], run["state_name"]) == ("FAILED", "DoneWithErrors")
    assert up.api.trackers(run_id)["r0002"] == "FAILED"
    assert "row r0002 (line 4): failed: BAD_INPUT" in up.api.log(run_id)
    assert "Traceback" not in up.api.log(run_id)

    # Prefect counts every RUNNING, those after a pause too.
    begun = run["run_count"]
    up.api.set_state(run_id, "SCHEDULED", "AwaitingRetry")
    eventually(lambda: up.api.run(run_id)["run_count"] > begun and up.api.run(run_id)["end_time"])
    attempts = [row["attempts"] for row in up.cli.json("rows", "winter")]
    assert attempts == [1, 1, 2, *[1] * 7]
    assert "1 videos that failed or were cancelled are queued again" in up.api.log(run_id)

    # Automations hear of it: each failed video, and a campaign in trouble.
    failed = [one["payload"] for one in told(up, campaign, "callsheet.video.failed")]
    assert {(one["row_id"], one["line"], one["code"]) for one in failed} == {("r0002", 4, "BAD_INPUT")}
    assert told(up, campaign, "callsheet.campaign.done_with_errors")
    trouble = next(one for one in up.api.ask("/automations/filter", {}) if one["name"] == TROUBLE)
    eventually(
        lambda: (
            "prefect.automation.triggered"
            in {one["event"] for one in up.api.events(f"prefect.automation.{trouble['id']}")}
        )
    )


def test_what_dies_is_replaced(up: Up) -> None:
    """A flow is killed: the janitor asks for a successor. The server is killed: it is started again. Rendering goes
    on through both, and nothing is rendered twice."""
    up.drop("monsoon", silent_rows(12, prompt="in the rain [slow=0.15]"))
    up.api.start("sweep-inbox")
    first = running(up, "render monsoon")
    eventually(lambda: (up.campaign("monsoon") or {}).get("videos", {}).get("published", 0) >= 1)
    (runner,) = up.processes(up.process.pid, "flows.deploy.serve")
    (flow,) = up.processes(runner, first)
    os.kill(flow, signal.SIGKILL)
    eventually(lambda: up.api.run(first)["state_type"] == "CRASHED")

    def successor() -> str | None:
        up.api.start("janitor")
        return next((str(run["id"]) for run in up.api.runs("render monsoon") if run["id"] != first), None)

    second = eventually(successor, every_s=3)
    eventually(lambda: up.api.trackers(second))
    (server,) = up.processes(up.process.pid, "server", "start")
    os.killpg(server, signal.SIGKILL)
    campaign = ended(up, "monsoon", "done")
    assert campaign["videos"] == {"published": 12}
    run = eventually(lambda: up.api.run(second) if up.api.run(second)["end_time"] else None)
    assert run["state_type"] == "COMPLETED"
    assert set(up.api.trackers(second).values()) == {"COMPLETED"}
    assert [row["attempts"] for row in up.cli.json("rows", "monsoon")] == [1] * 12
