"""What Prefect is told is decided without Prefect: trackers, story, tables, and who follows whom."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.campaign.story import EXAMPLES, Facts, FailureBook, chapter, opening, states_table, summary
from flows.campaign.trackers import TrackerState, trackers
from flows.campaign.two_ways import Follow, follow
from schemas.campaign import Campaign, CampaignSettings
from schemas.states import CAMPAIGN_ENDED, VIDEO_TERMINAL, CampaignState, JobState, VideoState
from schemas.status import Counts, EndedVideo, SliceCount

_C, _V = CampaignState, VideoState


def part(number: int, state: VideoState, videos: int = 1, code: str = "") -> SliceCount:
    first = (number - 1) * 50
    return SliceCount(
        slice=number, state=state, error_code=code, videos=videos, first=first, last=first + 49, video=f"v{number}"
    )


def facts(state: CampaignState = _C.RUNNING, **videos: int) -> Facts:
    counted = {VideoState(name): n for name, n in videos.items()}
    campaign = Campaign(
        campaign_id="spring-1",
        name="spring",
        team="default",
        state=state,
        settings=CampaignSettings(),
        manifest=None,
        revision=1,
        created_at=0,
        updated_at=0,
    )
    total = sum(counted.values())
    done = counted.get(_V.PUBLISHED, 0)
    counts = Counts(
        rows=total,
        videos=counted,
        rows_by_video_state=counted,
        jobs={JobState.RENDERED: done},
        clip_frames_done=done,
        clip_frames_total=total,
    )
    return Facts(campaign=campaign, counts=counts)


def ended(row: str, state: VideoState = _V.PUBLISHED, code: str = "", error: str = "") -> EndedVideo:
    return EndedVideo(video=row, row_id=row, line=2, state=state, error_code=code, error=error, ended_at=1.0)


@given(st.lists(st.tuples(st.integers(1, 5), st.sampled_from(VideoState), st.integers(1, 9)), min_size=1))
def test_a_tracker_fails_if_a_video_in_it_fails(drawn: list[tuple[int, VideoState, int]]) -> None:
    """One tracker per slice; done only when all of it is, failed when one of it is, never done early."""
    found = trackers([part(*one) for one in drawn], _C.RUNNING)
    for tracker in found:
        states = {state for number, state, _ in drawn if str(number) == tracker.key}
        if not states <= VIDEO_TERMINAL:
            assert tracker.state in (TrackerState.PENDING, TrackerState.RUNNING)
        elif states & {_V.FAILED, _V.INVALID}:
            assert tracker.state is TrackerState.FAILED
        else:
            assert tracker.state in (TrackerState.COMPLETED, TrackerState.CANCELLED)


def test_trackers_are_named_by_what_they_follow() -> None:
    """One video gives its name, a slice its rows; the message counts and names the errors."""
    one, many = trackers([part(1, _V.FAILED, code="HUNG"), part(2, _V.PUBLISHED, 40), part(2, _V.FAILED, 10)], _C.DONE)
    assert (one.name, one.message) == ("v1", "failed; HUNG")
    assert (many.name, many.message) == ("rows 51-100", "50 videos: 40 published, 10 failed")
    assert trackers([part(1, _V.WAITING)], _C.CANCELLED)[0].state is TrackerState.CANCELLED


def test_the_story_names_its_rows() -> None:
    """Each ending is a line with its row; many at once share one that still names them all."""
    before = facts(waiting=30)
    failed = ended("r9", _V.FAILED, "BAD_INPUT", "no\nface")
    few = replace(facts(waiting=29, published=1), ended=(ended("r1"), failed))
    lines = [line.text for line in chapter(before, few)]
    assert lines == ["row r1: published", "row r9 (line 2): failed: BAD_INPUT no face"]
    many = replace(facts(published=30), ended=tuple(ended(f"r{n}") for n in range(30)))
    first = chapter(before, many)[0].text
    assert first.startswith("30 videos published: rows r0, ")
    assert first.endswith(", r29")
    gone = replace(facts(cancelled=3), ended=tuple(ended(f"r{n}", _V.CANCELLED) for n in range(3)))
    assert chapter(before, gone)[0].text == "3 videos cancelled: rows r0, r1, r2"
    assert opening(before)[0].text == "campaign spring is running: 30 rows, 30 videos, 0 clips"


def test_failures_are_grouped_and_capped() -> None:
    """A thousand failures of one kind are one line with a few rows."""
    book = FailureBook()
    book.add(ended(f"r{n}", _V.FAILED, "HUNG", "x" * 5000) for n in range(1000))
    slices = (part(1, _V.FAILED, 1000, "HUNG"), part(2, _V.FAILED, 2, "BAD_INPUT"), part(3, _V.INVALID, 3))
    table = book.table(replace(facts(failed=1002, invalid=3), slices=slices))
    assert [(row["error"], row["videos"]) for row in table] == [("HUNG", 1000), ("BAD_ROW", 3), ("BAD_INPUT", 2)]
    assert str(table[0]["for example"]).count(",") == EXAMPLES - 1
    assert len(str(table)) < 1_500
    assert states_table(facts(published=2, failed=1))[-1] == {"state": "all", "videos": 3, "rows": 3}


def test_a_strangers_name_is_no_markdown() -> None:
    """A campaign's name cannot draw in the summary."""
    hostile = facts(_C.DONE_WITH_ERRORS, failed=1)
    named = replace(hostile, campaign=hostile.campaign.model_copy(update={"name": "[x](javascript:1) <b>"}))
    page = summary(named, "", {})
    assert "](" not in page
    assert "<b>" not in page


def test_progress_is_whole_only_at_the_end() -> None:
    """100 % means that nothing is left to do."""
    assert facts(published=10).percent == 99.9
    assert facts(_C.DONE, published=10).percent == 100
    assert facts(waiting=10).percent == 0


@pytest.mark.parametrize(
    ("run_before", "run", "ledger_before", "ledger", "expected"),
    [
        ("RUNNING", "RUNNING", _C.RUNNING, _C.RUNNING, Follow.NOTHING),
        ("RUNNING", "CANCELLING", _C.RUNNING, _C.RUNNING, Follow.CANCEL),
        ("RUNNING", "CANCELLING", _C.RUNNING, _C.PAUSED, Follow.CANCEL),
        ("RUNNING", "CANCELLING", _C.CANCELLING, _C.CANCELLING, Follow.NOTHING),
        ("RUNNING", "PAUSED", _C.RUNNING, _C.RUNNING, Follow.PAUSE),
        ("PAUSED", "PAUSED", _C.PAUSED, _C.PAUSED, Follow.NOTHING),
        ("PAUSED", "RUNNING", _C.PAUSED, _C.PAUSED, Follow.RESUME),
        ("PAUSED", "SCHEDULED", _C.PAUSED, _C.PAUSED, Follow.RESUME),
        ("PAUSED", "PAUSED", _C.PAUSED, _C.RUNNING, Follow.SHOW_RUNNING),
        ("RUNNING", "RUNNING", _C.RUNNING, _C.PAUSED, Follow.SHOW_PAUSED),
        ("RUNNING", "CRASHED", _C.RUNNING, _C.RUNNING, Follow.REVIVE),
        ("RUNNING", "PENDING", _C.RUNNING, _C.RUNNING, Follow.REVIVE),
        ("PAUSED", "PAUSED", _C.PAUSED, _C.CANCELLING, Follow.SHOW_RUNNING),
    ],
)
def test_who_follows_whom(
    run_before: str, run: str, ledger_before: CampaignState, ledger: CampaignState, expected: Follow
) -> None:
    """What changed last is a person's wish; the other side follows it."""
    assert follow(run_before=run_before, run=run, ledger_before=ledger_before, ledger=ledger) is expected


@given(
    st.sampled_from(["RUNNING", "PAUSED"]),
    st.sampled_from(["RUNNING", "PAUSED", "CRASHED", "COMPLETED", "FAILED"]),
    st.sampled_from(CampaignState),
    st.sampled_from(CampaignState),
)
def test_only_a_persons_cancel_cancels(
    run_before: str, run: str, ledger_before: CampaignState, ledger: CampaignState
) -> None:
    """No verdict of Prefect about a run, nor its death, cancels a campaign; and what ended is not touched."""
    decided = follow(run_before=run_before, run=run, ledger_before=ledger_before, ledger=ledger)
    assert decided is not Follow.CANCEL
    if ledger in CAMPAIGN_ENDED:
        assert decided not in (Follow.PAUSE, Follow.RESUME)
