"""docs/job_states.md says what schemas/states.py says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

import pytest

from schemas.states import (
    CAMPAIGN_ENDED,
    CAMPAIGN_TRANSITIONS,
    JOB_TERMINAL,
    JOB_TRANSITIONS,
    VIDEO_TERMINAL,
    VIDEO_TRANSITIONS,
    Ending,
    JobState,
    VideoState,
    WaitingReason,
    video_state_from_jobs,
)

PAGE = (Path(__file__).parents[2] / "docs" / "job_states.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


@pytest.mark.parametrize(
    ("title", "table"),
    [("Campaign", CAMPAIGN_TRANSITIONS), ("Video", VIDEO_TRANSITIONS), ("Job", JOB_TRANSITIONS)],
)
def test_tables_are_the_codes(title: str, table: Mapping[StrEnum, frozenset[StrEnum]]) -> None:
    """Each table of the page lists exactly the transitions that the code allows."""
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", section(title), flags=re.M)
    page = {source: set(re.findall(r"`(\w+)`", targets)) for source, targets in rows}
    assert page == {source.value: {target.value for target in targets} for source, targets in table.items()}


@pytest.mark.parametrize(
    ("title", "table"),
    [("Campaign", CAMPAIGN_TRANSITIONS), ("Video", VIDEO_TRANSITIONS), ("Job", JOB_TRANSITIONS)],
)
def test_diagrams_draw_only_allowed_transitions(title: str, table: Mapping[StrEnum, frozenset[StrEnum]]) -> None:
    """No arrow of a diagram is missing in the table below it."""
    allowed = {(s.value, t.value) for s, targets in table.items() for t in targets}
    drawn = set(re.findall(r"^    (\w+) --> (\w+)", section(title), flags=re.M))
    assert drawn
    assert drawn <= allowed


def test_closed_lists_are_complete() -> None:
    """Every reason and every ending stands on the page."""
    assert set(re.findall(r"^- `(\w+)`$", section("Why something waits"), flags=re.M)) == set(WaitingReason)
    assert set(re.findall(r"`(\w+)`", section("How an attempt ends"))) >= set(Ending)


@pytest.mark.parametrize("table", [CAMPAIGN_TRANSITIONS, VIDEO_TRANSITIONS, JOB_TRANSITIONS])
def test_every_state_has_a_row_and_a_way_out_or_back(table: Mapping[StrEnum, frozenset[StrEnum]]) -> None:
    """No state is a trap: an ended thing can always be asked for again."""
    kind = type(next(iter(table)))
    assert set(table) == set(kind)
    assert all(table.values())


def test_ended_campaigns_can_run_again() -> None:
    """Every ended state leads back to running, directly or by way of planned."""
    for state in CAMPAIGN_ENDED:
        assert any(target.value in {"running", "planned"} for target in CAMPAIGN_TRANSITIONS[state])


@pytest.mark.parametrize(
    ("jobs", "state"),
    [
        ({JobState.QUEUED: 3}, VideoState.WAITING),
        ({JobState.QUEUED: 2, JobState.LEASED: 1}, VideoState.RENDERING),
        ({JobState.QUEUED: 2, JobState.RENDERED: 1}, VideoState.RENDERING),
        ({JobState.RENDERED: 3}, VideoState.STITCHING),
        ({JobState.RENDERED: 2, JobState.FAILED: 1}, VideoState.FAILED),
        ({JobState.QUARANTINED: 1, JobState.CANCELLED: 2}, VideoState.FAILED),
        ({JobState.CANCELLED: 2, JobState.RENDERED: 1}, VideoState.CANCELLED),
    ],
)
def test_a_videos_state_follows_from_its_jobs(jobs: dict[JobState, int], state: VideoState) -> None:
    """Counts of jobs by state decide the state of a video whose join has not begun."""
    assert video_state_from_jobs(jobs) is state
    assert state in VIDEO_TERMINAL or not all(job in JOB_TERMINAL for job in jobs) or state is VideoState.STITCHING
