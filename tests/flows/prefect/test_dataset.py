"""A build of a training set in Prefect: a run named after it, task runs for its shards, counts, and Cancel."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flows.campaign.trackers import MOST_TRACKERS, TrackerState
from flows.dataset_build import story
from flows.dataset_build.prefect_view import trackers
from flows.dataset_build.progress import Progress, ShardState, StepProgress
from schemas.dataset import Step
from tests.support.cli import Cli
from tests.support.prefect_server import PrefectServer

PATIENCE_S = 180.0


def ask(server: PrefectServer, path: str, body: object) -> Any:
    request = urllib.request.Request(
        f"{server.api_url}/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())


def eventually(question: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if found := question():
            return found
        time.sleep(0.3)
    raise AssertionError("it did not happen")


def runs(server: PrefectServer, name: str) -> list[Any]:
    wanted = {"flow_runs": {"name": {"any_": [name]}}}
    found: list[Any] = ask(server, "flow_runs/filter", wanted)
    return found


def test_a_build_is_seen_and_cancelled_in_prefect(prefect_server: PrefectServer, tmp_path: Path) -> None:
    """The run is named after the dataset, its shards are task runs, the stages are a table; Cancel ends it in order."""
    out = tmp_path / "set"
    cli = Cli(folder=tmp_path, prefect=prefect_server.api_url, environ={"CALLSHEET_PREFECT_EVERY_S": "0.3"})
    words = ("--frames", 5, "--clips", 400, "--per-shard", 1, "--name", "seen-here")
    process = cli.start("dataset", "build", "world", *words, "--out", out)
    try:
        (run,) = eventually(lambda: runs(prefect_server, "dataset seen-here"))
        mine = {"flow_runs": {"id": {"any_": [run["id"]]}}}

        def made() -> list[Any]:
            tasks = ask(prefect_server, "task_runs/filter", mine)
            return tasks if any(task["state_type"] == "RUNNING" for task in tasks) else []

        tasks = eventually(made)
        assert 0 < len(tasks) <= MOST_TRACKERS // len(Step)
        assert {task["name"].partition(":")[0] for task in tasks} == {"clips"}
        state = {"state": {"type": "CANCELLING"}, "force": True}
        ask(prefect_server, f"flow_runs/{run['id']}/set_state", state)
        _, said = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130, said
    assert "the build was cancelled" in said
    (run,) = runs(prefect_server, "dataset seen-here")
    assert run["state_type"] == "CANCELLED"
    ended = ask(prefect_server, "task_runs/filter", mine)
    assert {task["state_type"] for task in ended} <= {"COMPLETED", "CANCELLED"}
    artifacts = {one["key"]: one for one in ask(prefect_server, "artifacts/latest/filter", {})}
    rows = json.loads(artifacts["dataset-seen-here-stages"]["data"])
    assert rows[0]["step"] == "clips with captions"
    assert "of 400 shards" in rows[0]["why"]
    assert "cancelled" in artifacts["dataset-seen-here-summary"]["data"]
    assert list((out / ".scratch").iterdir()) == []


def progress_of(*states: ShardState) -> Progress:
    shards = {str(number): state for number, state in enumerate(states)}
    return Progress(steps={Step.CLIPS: StepProgress(step=Step.CLIPS, shards=shards)})


def test_task_runs_never_become_too_many() -> None:
    """However many shards there are, a step has at most its share of 200, each named by what it follows."""
    many = trackers(progress_of(*[ShardState.MADE] * 5001), is_last=False)
    assert len(many) <= MOST_TRACKERS // len(Step)
    assert many[0].name == "clips: shards 1-101 of 5001"
    assert many[-1].name.endswith("-5001 of 5001")
    assert {one.state for one in many} == {TrackerState.COMPLETED}


def test_a_task_run_says_what_became_of_its_shards() -> None:
    """Failed if one of them failed, done only when all are, cancelled if the build ended before."""
    states = [ShardState.FAILED, ShardState.MADE, ShardState.MAKING, ShardState.WAITING, ShardState.HERE]
    running = [one.state for one in trackers(progress_of(*states), is_last=False)]
    state = TrackerState
    assert running == [state.FAILED, state.COMPLETED, state.RUNNING, state.PENDING, state.COMPLETED]
    ended = [one.state for one in trackers(progress_of(*states), is_last=True)]
    assert ended == [state.FAILED, state.COMPLETED, state.CANCELLED, state.CANCELLED, state.COMPLETED]


def test_the_story_counts_what_was_dropped_and_why() -> None:
    """One row per step on the terminal, in the table and on the page."""
    manifest = {
        "stage": 2,
        "step": "speech",
        "came": 9,
        "samples": 6,
        "dropped": {"lips do not fit": 1, "out of sync": 2},
        "looked": {"pool: pictures": 4},
        "shards": [{"bytes": 2**20}],
    }
    assert story.rows([manifest]) == [
        (2, "speech in sync", 9, 6, 3, "1 lips do not fit, 2 out of sync, (pool: 4 pictures)")
    ]
    page = story.summary("mine", "/out", [manifest])
    assert "| 2 | speech in sync | 9 | 6 | 3 |" in page
    assert "6 samples in 1 shards, 1.0 MiB." in page
    assert "**why**" in story.summary("mine", "/out", [manifest], "why")
