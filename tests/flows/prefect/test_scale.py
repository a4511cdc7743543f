"""However many videos there are, Prefect holds a bounded picture of them."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.support.cli import ROOT, Cli
from tests.support.prefect_server import PrefectServer
from tests.support.up import PrefectApi

pytestmark = pytest.mark.slow

VIDEOS = 10_000
MIB = 2**20


@dataclass(frozen=True, kw_only=True)
class Thousands:
    """A campaign of many videos that was shown in Prefect from beginning to end."""

    api: PrefectApi
    run: dict[str, Any]
    runs: int
    """Flow and task runs that came with it."""
    grown: int
    """Bytes."""


def count(api: PrefectApi) -> int:
    """Runs that are or were; a schedule's wishes for later are none."""
    begun = {"flow_runs": {"state": {"type": {"not_any_": ["SCHEDULED"]}}}}
    return int(api.ask("/task_runs/count", {})) + int(api.ask("/flow_runs/count", begun))


def size(server: PrefectServer) -> int:
    return sum(path.stat().st_size for path in server.home.glob("prefect.db*"))


@pytest.fixture(scope="module")
def thousands(tmp_path_factory: pytest.TempPathFactory, prefect_server: PrefectServer) -> Thousands:
    folder = tmp_path_factory.mktemp("thousands")
    api = PrefectApi(url=prefect_server.api_url)
    before, runs = size(prefect_server), count(api)
    cli = Cli(folder=folder, environ={"CALLSHEET_PREFECT_EVERY_S": "0.5"}, prefect=prefect_server.api_url)
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.simulated_campaign", str(VIDEOS)],
        cwd=ROOT,
        env=cli.full_environ | {"TMPDIR": os.environ.get("TMPDIR", "/tmp")},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (run,) = api.runs("render thousands")
    return Thousands(api=api, run=run, runs=count(api) - runs, grown=size(prefect_server) - before)


def test_ten_thousand_videos_stay_small(thousands: Thousands) -> None:
    """200 trackers and less than 40 MB of database; the trackers' sums are the campaign."""
    trackers = thousands.api.trackers(str(thousands.run["id"]))
    assert len(trackers) == 200
    assert list(trackers.values()) == ["FAILED"] * 200  # every fiftieth video failed: one in each slice
    assert {"rows 1-50", "rows 9951-10000"} <= set(trackers)
    assert thousands.runs == 201
    assert thousands.grown < 40 * MIB
    print(f"{VIDEOS} videos: {thousands.runs} runs, {thousands.grown / MIB:.1f} MiB of Prefect's database")


def test_artifacts_are_patched(thousands: Thousands) -> None:
    """One set, none of them twice, brought up to date in place; the table of failures does not grow with them."""
    artifacts = thousands.api.artifacts("thousands")
    assert len(artifacts) <= 10
    assert artifacts["progress"] == 100
    assert '"error": "BAD_INPUT", "videos": 200' in artifacts["failures"]
    assert len(artifacts["failures"]) < 2_000
    wanted = {"artifacts": {"key": {"like_": "thousands-%-progress"}}}
    (progress,) = thousands.api.ask("/artifacts/filter", wanted)
    assert progress["updated"] > progress["created"]
    assert progress["description"].startswith("thousands: 9800 of 10000 videos published; 200 failed")


@pytest.mark.browser
def test_its_page_opens(thousands: Thousands, visitor: Page, prefect_server: PrefectServer) -> None:
    """A browser shows the run with its trackers, its log and its progress."""
    visitor.goto(f"{prefect_server.ui_url}/runs/flow-run/{thousands.run['id']}")
    expect(visitor.get_by_text("render thousands").first).to_be_visible(timeout=30_000)
    expect(visitor.get_by_text("200 Task runs").first).to_be_visible(timeout=30_000)
    expect(visitor.locator("code").first).to_contain_text("10000 rows, 10000 videos", timeout=30_000)
    visitor.get_by_role("listitem").filter(has_text="Task Runs").first.click()
    expect(visitor.get_by_text("rows 9951-10000").first).to_be_visible(timeout=30_000)
