"""`callsheet up` on a real server, looked at with a real browser: sheets come in, videos go out, people interfere."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

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


@pytest.fixture
def visitor(browser: Browser) -> Iterator[Page]:
    """A page of Prefect's own UI, whose console is not ours to judge."""
    context = browser.new_context(viewport={"width": 1360, "height": 900})
    opened = context.new_page()
    opened.set_default_timeout(30_000)
    yield opened
    context.close()


def shoot(page: Page, name: str) -> None:
    if SHOTS:
        page.wait_for_timeout(1500)
        page.screenshot(path=str(Path(SHOTS) / f"prefect-{name}.jpg"), type="jpeg", quality=55)


def ended(up: Up, name: str, *states: str) -> dict[str, object]:
    def ask() -> dict[str, object] | None:
        found = up.campaign(name)
        return found if found and found["state"] in states else None

    return eventually(ask, within_s=150)


def final(up: Up, name: str) -> dict[str, object]:
    """The newest run of that name, once it is over."""

    def ask() -> dict[str, object] | None:
        runs = up.api.runs(name)
        return runs[0] if runs and runs[0]["end_time"] else None

    return eventually(ask)


def running(up: Up, name: str) -> str:
    def ask() -> str | None:
        runs = up.api.runs(name)
        return str(runs[0]["id"]) if runs and runs[0]["state_type"] == "RUNNING" else None

    return eventually(ask)


def test_a_sheet_in_the_inbox_becomes_videos(up: Up, visitor: Page) -> None:
    """Nobody touches anything: the browser finds the run by its name, 100 %, the tables, and plays a video."""
    up.drop("spring", silent_rows(6))
    campaign = ended(up, "spring", "done")
    run = final(up, "render spring")
    assert (run["state_type"], up.api.trackers(str(run["id"]))) == (
        "COMPLETED",
        dict.fromkeys(sorted(f"r{n:04d}" for n in range(6)), "COMPLETED"),
    )
    shown = up.api.artifacts(str(campaign["campaign_id"]))
    assert set(shown) == {"progress", "states", "failures", "workers", "gallery", "results", "report", "summary"}
    log = up.api.log(str(run["id"]))
    assert all(f"row r{n:04d}: published" in log for n in range(6))

    visitor.goto(f"{up.ui_url}/runs")
    visitor.get_by_text("render spring").first.click()
    expect(visitor.get_by_text("Completed").first).to_be_visible()
    expect(visitor.locator("code").first).to_contain_text("campaign spring is")
    shoot(visitor, "run")
    visitor.get_by_role("listitem").filter(has_text="Artifacts").first.click()
    expect(visitor.get_by_text(f"{campaign['campaign_id']}-progress").first).to_be_visible()
    shoot(visitor, "artifacts")
    for noun, words in {"progress": "100", "states": "published", "gallery": "gallery of spring"}.items():
        artifact = up.api.artifact_id(f"{campaign['campaign_id']}-{noun}")
        visitor.goto(f"{up.ui_url}/artifacts/artifact/{artifact}")
        expect(visitor.get_by_text(words).first).to_be_visible()
        shoot(visitor, noun)
    with visitor.context.expect_page() as opened:
        visitor.get_by_role("link", name="gallery of spring").first.click()
    gallery = opened.value
    gallery.wait_for_url(f"{up.files_url}/**")
    gallery.get_by_role("button", name="Play r0000", exact=True).click()
    until(gallery, "document.querySelector('video') && document.querySelector('video').currentTime > 0.1")
    shoot(gallery, "video")


def test_a_campaign_comes_from_the_form(up: Up, visitor: Page) -> None:
    """The deployment's form has a field for each parameter, with its description; what it submits is rendered."""
    folder = up.cli.folder / "elsewhere"
    write_picture(folder)
    (folder / "campaign.toml").write_text(TOML)
    sheet = write_sheet(folder, silent_rows(2), "by hand.csv")
    deployment = up.api.ask("/deployments/name/submit-campaign/callsheet", method="GET")
    visitor.goto(f"{up.ui_url}/deployments/deployment/{deployment['id']}/run")
    expect(visitor.get_by_text("The CSV: a path on the machine").first).to_be_visible()
    form = visitor.get_by_role("textbox")
    expect(form).to_have_count(5)
    form.nth(2).fill("summer")
    shoot(visitor, "form")
    form.nth(1).fill(str(sheet))
    visitor.get_by_role("button", name="Submit").last.click()
    ended(up, "summer", "done")
    assert final(up, "render summer")["state_type"] == "COMPLETED"


def test_cancel_in_the_ui_keeps_what_is_there(up: Up, visitor: Page) -> None:
    """Cancel stops the workers in the middle of a clip; what was published stays, and the log says so."""
    up.drop("autumn", silent_rows(12, duration=2, prompt="slowly [slow=0.06]"))
    run_id = running(up, "render autumn")
    visitor.goto(f"{up.ui_url}/runs/flow-run/{run_id}")
    eventually(lambda: (up.campaign("autumn") or {}).get("jobs", {}).get("rendered", 0) >= 1)
    visitor.get_by_role("button", name="Cancel").first.click()
    visitor.get_by_role("dialog").get_by_role("button", name="Confirm").click()
    campaign = ended(up, "autumn", "cancelled")
    jobs, videos = campaign["jobs"], campaign["videos"]
    assert isinstance(jobs, dict)
    assert isinstance(videos, dict)
    assert jobs.get("leased", 0) == 0
    assert jobs["rendered"] >= 1
    assert videos["cancelled"] >= 1
    run = eventually(lambda: up.api.run(run_id) if up.api.run(run_id)["state_type"] == "CANCELLED" else None)
    assert "are kept" in f"{up.api.log(run_id)} {run['state']['message']}"
    visitor.reload()
    expect(visitor.get_by_text("Cancelled").first).to_be_visible()
    shoot(visitor, "cancelled")


def test_pause_resume_and_retry(up: Up) -> None:
    """Pause and Resume reach the ledger, and come from there; Retry renders again only what failed."""
    rows = silent_rows(24, prompt="slowly [slow=0.1]")
    rows[2]["prompt"] = "no [fail=bad input]"
    up.drop("winter", rows)
    run_id = running(up, "render winter")
    up.api.set_state(run_id, "PAUSED")
    ended(up, "winter", "paused")
    up.api.ask(f"/flow_runs/{run_id}/resume", {})
    ended(up, "winter", "running", "stitching")
    up.cli("pause", "winter", "--yes")
    eventually(lambda: up.api.run(run_id)["state_type"] == "PAUSED")
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
    eventually(lambda: len(up.cli.json("explain", "winter", "r0002")["attempts"]) == 2)
    eventually(lambda: up.api.run(run_id)["run_count"] > begun and up.api.run(run_id)["end_time"])
    attempts = [row["attempts"] for row in up.cli.json("rows", "winter")]
    assert attempts == [1, 1, 2, *[1] * 21]
    assert "1 videos that failed or were cancelled are queued again" in up.api.log(run_id)
