"""However many videos there are, Prefect holds a bounded picture of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cli import ROOT, Cli
from tests.support.prefect_server import PrefectServer
from tests.support.up import PrefectApi

VIDEOS = 10_000
MIB = 2**20


def size(home: Path) -> int:
    return sum(path.stat().st_size for path in home.glob("prefect.db*"))


@pytest.mark.slow
def test_ten_thousand_videos_stay_small(tmp_path: Path, prefect_server: PrefectServer) -> None:
    """200 trackers, one set of artifacts and less than 40 MB of database; the trackers' sums are the campaign."""
    api = PrefectApi(url=prefect_server.api_url)
    before = size(prefect_server.home)
    cli = Cli(folder=tmp_path, environ={"CALLSHEET_PREFECT_EVERY_S": "0.5"}, prefect=prefect_server.api_url)
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.simulated_campaign", str(VIDEOS)],
        cwd=ROOT,
        env=cli.full_environ | {"CALLSHEET_HOME": str(tmp_path / "home"), "TMPDIR": os.environ.get("TMPDIR", "/tmp")},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (run,) = api.runs("render thousands")
    trackers = api.trackers(str(run["id"]))
    assert len(trackers) == 200
    assert list(trackers.values()) == ["FAILED"] * 200  # every fiftieth video failed: one in each slice
    assert {"rows 1-50", "rows 9951-10000"} <= set(trackers)
    artifacts = api.artifacts("thousands")
    assert len(artifacts) <= 10
    assert artifacts["progress"] == 100
    assert '"error": "BAD_INPUT", "videos": 200' in artifacts["failures"]
    assert len(artifacts["failures"]) < 2_000
    assert api.ask("/task_runs/count", {}) + api.ask("/flow_runs/count", {}) <= 1_000
    grown = size(prefect_server.home) - before
    assert grown < 40 * MIB
    print(f"{VIDEOS} videos: {grown / MIB:.1f} MiB of Prefect's database")
