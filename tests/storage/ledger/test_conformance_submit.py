"""Submit: every implementation of the ledger makes a campaign what a sheet says, and says what changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from schemas.errors import InvalidManifest, LeaseLost, NotFound, Refused
from schemas.states import CampaignState, Ending, JobState, VideoState
from schemas.submission import PlannedRow, SubmitReport
from storage.ledger.protocol import Ledger
from tests.support.ledgers import (
    Clock,
    bad_row,
    claim,
    claim_join,
    clip_of,
    failure,
    finish,
    good_row,
    join,
    no_claim,
    no_join,
    publication_of,
    render,
    sheet,
    started,
)


def states(ledger: Ledger, campaign_id: str) -> dict[str, VideoState]:
    return {row.row_id: row.state for row in ledger.rows(campaign_id)}


def test_a_new_campaign_is_planned_and_its_jobs_are_held(ledger: Ledger, clock: Clock) -> None:
    """A first submit makes a planned campaign; nothing of it is leased before it runs."""
    report = ledger.submit(sheet(good_row("a", clips=2), good_row("b"), manifest="inputs/m"))
    assert report == SubmitReport(
        campaign_id=report.campaign_id, created=True, revision=1, added=2, jobs_new=3, added_rows=("a", "b")
    )
    campaign = ledger.campaign(report.campaign_id)
    assert (campaign.name, campaign.team, campaign.state) == ("spring", "default", CampaignState.PLANNED)
    assert (campaign.revision, campaign.created_at, campaign.coordinator_epoch) == (1, clock.now, 0)
    assert campaign.manifest is not None
    assert campaign.manifest.object.key == "inputs/m"
    assert no_claim(ledger)


def test_the_same_sheet_again_changes_nothing(ledger: Ledger, clock: Clock) -> None:
    """An unchanged sheet leaves every video, job, revision and time as it was, however often it comes."""
    campaign_id = started(ledger, good_row("a"), good_row("b"))
    render(ledger)
    before, counts = ledger.campaign(campaign_id), ledger.counts(campaign_id)
    clock.advance(5)
    report = ledger.submit(sheet(good_row("a"), good_row("b")))
    assert report.changes_nothing
    assert (report.unchanged, report.revision, report.jobs_new, report.jobs_reused) == (2, 1, 0, 0)
    assert ledger.campaign(campaign_id) == before
    assert ledger.counts(campaign_id) == counts


def test_a_published_video_stays_published(ledger: Ledger) -> None:
    """Submitting an unchanged published row keeps the pointer to its file."""
    campaign_id = started(ledger, good_row("a"))
    finish(ledger)
    before = next(ledger.rows(campaign_id))
    ledger.submit(sheet(good_row("a")))
    assert next(ledger.rows(campaign_id)) == before
    assert before.publication is not None


def test_reordered_rows_are_unchanged(ledger: Ledger) -> None:
    """Another order of rows moves their positions and byte ranges, and nothing is rendered again."""
    campaign_id = started(ledger, good_row("a"), good_row("b"))
    finish(ledger)
    report = ledger.submit(sheet(good_row("b"), good_row("a"), manifest="inputs/new"))
    assert (report.unchanged, report.changes_nothing) == (2, True)
    rows = list(ledger.rows(campaign_id))
    assert [(row.row_id, row.position, row.line, row.byte_start) for row in rows] == [("b", 0, 2, 0), ("a", 1, 3, 10)]
    assert {row.state for row in rows} == {VideoState.PUBLISHED}
    manifest = ledger.campaign(campaign_id).manifest
    assert manifest is not None
    assert manifest.object.key == "inputs/new"


def test_only_the_difference_becomes_new_jobs(ledger: Ledger) -> None:
    """Added, changed, unchanged and removed rows are counted, and only added and changed ones are rendered."""
    campaign_id = started(ledger, good_row("a"), good_row("b"), good_row("c"))
    finish(ledger)
    report = ledger.submit(sheet(good_row("a"), good_row("b", prompt="another"), good_row("d")))
    assert (report.added_rows, report.changed_rows, report.removed_rows) == (("d",), ("b",), ("c",))
    assert (report.added, report.changed, report.unchanged, report.removed) == (1, 1, 1, 1)
    assert (report.jobs_new, report.revision, report.created) == (2, 2, False)
    assert states(ledger, campaign_id) == {
        "a": VideoState.PUBLISHED,
        "b": VideoState.WAITING,
        "d": VideoState.WAITING,
    }
    assert ledger.counts(campaign_id).rows == 3
    with pytest.raises(NotFound):
        ledger.explain(campaign_id, "c")


def test_an_ended_campaign_with_new_work_is_planned_again(ledger: Ledger) -> None:
    """A campaign that was done waits for its start again when a sheet brings it new work."""
    campaign_id = started(ledger, good_row("a"))
    finish(ledger)
    ledger.set_state(campaign_id, CampaignState.DONE)
    ledger.submit(sheet(good_row("a")))
    assert ledger.campaign(campaign_id).state is CampaignState.DONE
    ledger.submit(sheet(good_row("a"), good_row("b")))
    assert ledger.campaign(campaign_id).state is CampaignState.PLANNED
    assert no_claim(ledger)


def test_removing_rows_wakes_nothing(ledger: Ledger) -> None:
    """A sheet that only lost rows leaves an ended campaign ended."""
    campaign_id = started(ledger, good_row("a"), good_row("b"))
    finish(ledger)
    ledger.set_state(campaign_id, CampaignState.DONE)
    ledger.submit(sheet(good_row("a")))
    assert ledger.campaign(campaign_id).state is CampaignState.DONE
    assert ledger.counts(campaign_id).videos == {VideoState.PUBLISHED: 1}


def test_a_stopped_campaign_stays_stopped(ledger: Ledger) -> None:
    """A campaign that a budget stopped is not started by a sheet."""
    campaign_id = started(ledger, good_row("a"))
    ledger.set_state(campaign_id, CampaignState.STOPPED_BUDGET)
    ledger.submit(sheet(good_row("a"), good_row("b")))
    assert ledger.campaign(campaign_id).state is CampaignState.STOPPED_BUDGET
    assert no_claim(ledger)


def test_new_rows_of_a_running_campaign_are_claimable_at_once(ledger: Ledger) -> None:
    """What a sheet adds to a running campaign runs."""
    started(ledger, good_row("a"))
    render(ledger)
    ledger.submit(sheet(good_row("a"), good_row("b")))
    assert claim(ledger).job == good_row("b").jobs[0]


def test_a_clip_of_the_same_key_is_reused(ledger: Ledger) -> None:
    """A job whose render key has a clip, from any campaign, is born rendered, and its video born `stitching`."""
    started(ledger, good_row("a", clips=2))
    finish(ledger)
    report = ledger.submit(sheet(good_row("a", clips=2), name="autumn"))
    assert (report.jobs_new, report.jobs_reused) == (0, 2)
    counts = ledger.counts(report.campaign_id)
    assert (counts.videos, counts.jobs) == ({VideoState.STITCHING: 1}, {JobState.RENDERED: 2})
    assert (counts.reused, counts.clip_frames_done, counts.clip_frames_total) == (2, 194, 194)
    assert no_join(ledger)
    ledger.set_state(report.campaign_id, CampaignState.RUNNING)
    join(ledger)
    assert states(ledger, report.campaign_id) == {"a": VideoState.PUBLISHED}


def test_a_changed_row_refuses_the_work_under_way(ledger: Ledger, clock: Clock) -> None:
    """A changed row raises the epoch of its old jobs: their workers write nothing any more."""
    campaign_id = started(ledger, good_row("a"))
    lease = claim(ledger)
    ledger.submit(sheet(good_row("a", prompt="another")))
    with pytest.raises(LeaseLost):
        ledger.complete(lease, clip_of(lease))
    clock.advance(1)
    fresh = claim(ledger)
    assert fresh.job == good_row("a", prompt="another").jobs[0]
    assert fresh.video_id == lease.video_id
    assert ledger.counts(campaign_id).jobs == {JobState.LEASED: 1}
    ended = ledger.explain(campaign_id, "a").attempts[0]
    assert (ended.attempt_id, ended.ending) == (lease.attempt_id, Ending.CANCELLED)


def test_a_changed_row_refuses_the_join_under_way(ledger: Ledger) -> None:
    """A video whose row changed while it was joined is not published with the old content."""
    campaign_id = started(ledger, good_row("a"))
    render(ledger)
    lease = claim_join(ledger)
    ledger.submit(sheet(good_row("a", prompt="another")))
    with pytest.raises(LeaseLost):
        ledger.publish(lease, publication_of(lease))
    assert states(ledger, campaign_id) == {"a": VideoState.WAITING}
    finish(ledger)
    assert states(ledger, campaign_id) == {"a": VideoState.PUBLISHED}


def test_a_removed_row_refuses_the_work_under_way(ledger: Ledger) -> None:
    """Work on a removed row is refused, and the row counts no more."""
    campaign_id = started(ledger, good_row("a"), good_row("b"))
    lease = claim(ledger)
    ledger.submit(sheet(good_row("b")))
    with pytest.raises(LeaseLost):
        ledger.complete(lease, clip_of(lease))
    assert states(ledger, campaign_id) == {"b": VideoState.WAITING}
    assert ledger.counts(campaign_id).jobs == {JobState.QUEUED: 1}


def test_a_removed_row_may_come_back(ledger: Ledger) -> None:
    """A row that comes back is an added one; epochs of its video go on rising and its clips are reused."""
    campaign_id = started(ledger, good_row("a"), good_row("b"))
    finish(ledger)
    ledger.submit(sheet(good_row("b")))
    report = ledger.submit(sheet(good_row("a"), good_row("b")))
    assert (report.added_rows, report.jobs_reused, report.jobs_new) == (("a",), 1, 0)
    assert states(ledger, campaign_id) == {"a": VideoState.STITCHING, "b": VideoState.PUBLISHED}
    assert claim_join(ledger).epoch > 2


def test_a_bad_row_makes_its_video_invalid(ledger: Ledger) -> None:
    """One bad row keeps its whole video out: good siblings get no jobs, and the problem is kept."""
    rows = (good_row("a", video="v"), bad_row("b", video="v"), good_row("c"), bad_row("d"))
    report = ledger.submit(sheet(*rows))
    assert (report.added, report.invalid, report.jobs_new) == (4, 2, 1)
    counts = ledger.counts(report.campaign_id)
    assert counts.videos == {VideoState.INVALID: 2, VideoState.WAITING: 1}
    assert counts.rows_by_video_state == {VideoState.INVALID: 3, VideoState.WAITING: 1}
    assert counts.jobs == {JobState.QUEUED: 1}
    good, bad, *_ = ledger.rows(report.campaign_id)
    assert (good.error_code, bad.error_code, bad.error) == ("PROMPT_MISSING", "PROMPT_MISSING", "prompt is empty")
    assert "row b" in good.error
    assert bad.problems[0].fix == "write one"
    assert (good.ended_at, good.shot is None) == (ledger.now(), False)


def test_an_invalid_row_again_is_unchanged(ledger: Ledger) -> None:
    """The same bad row again is no difference, and its siblings still get no jobs."""
    rows = (good_row("a", video="v"), bad_row("b", video="v"))
    campaign_id = started(ledger, *rows)
    report = ledger.submit(sheet(*rows))
    assert (report.changes_nothing, report.invalid, report.jobs_new) == (True, 0, 0)
    assert ledger.counts(campaign_id).jobs == {}
    assert no_claim(ledger)


def test_a_mended_row_lets_its_video_run(ledger: Ledger) -> None:
    """When the bad row is mended, its good siblings get their jobs although they did not change."""
    campaign_id = started(ledger, good_row("a", video="v"), bad_row("b", video="v"))
    report = ledger.submit(sheet(good_row("a", video="v"), good_row("b", video="v", place=1)))
    assert (report.changed_rows, report.unchanged, report.jobs_new) == (("b",), 1, 2)
    assert states(ledger, campaign_id) == dict.fromkeys("ab", VideoState.WAITING)
    assert ledger.explain(campaign_id, "a").row.error_code == ""


def test_a_row_that_turns_bad_takes_its_video_out(ledger: Ledger) -> None:
    """A good row that turns bad makes its video invalid and refuses all work on it."""
    campaign_id = started(ledger, good_row("a", video="v"), good_row("b", video="v", place=1))
    lease = claim(ledger)
    ledger.submit(sheet(good_row("a", video="v"), bad_row("b", video="v")))
    with pytest.raises(LeaseLost):
        ledger.complete(lease, clip_of(lease))
    counts = ledger.counts(campaign_id)
    assert (counts.videos, counts.jobs) == ({VideoState.INVALID: 1}, {})


def test_a_shot_added_to_a_published_video(ledger: Ledger) -> None:
    """A published video that gets another shot is joined again; its rendered clips are kept."""
    first = good_row("a", video="v", clips=2)
    campaign_id = started(ledger, first)
    finish(ledger)
    report = ledger.submit(sheet(first, good_row("b", video="v", place=1)))
    assert (report.added, report.unchanged, report.jobs_new) == (1, 1, 1)
    counts = ledger.counts(campaign_id)
    assert counts.jobs == {JobState.RENDERED: 2, JobState.QUEUED: 1}
    row = next(ledger.rows(campaign_id))
    assert (row.state, row.publication) == (VideoState.RENDERING, None)


def test_shots_in_another_order_are_joined_again(ledger: Ledger) -> None:
    """Another order of shots inside a video is a change; nothing is rendered for it."""
    campaign_id = started(ledger, good_row("a", video="v"), good_row("b", video="v", place=1))
    finish(ledger)
    report = ledger.submit(sheet(good_row("b", video="v"), good_row("a", video="v", place=1)))
    assert (report.changed, report.jobs_new) == (2, 0)
    assert states(ledger, campaign_id) == dict.fromkeys("ab", VideoState.STITCHING)
    assert [shot.row_id for shot in ledger.shots(claim_join(ledger))] == ["b", "a"]


def test_a_row_that_moves_to_another_video(ledger: Ledger) -> None:
    """A row with another `video` cell changes both videos; one that loses its last row is gone."""
    campaign_id = started(ledger, good_row("a", video="v"), good_row("b", video="w"), good_row("c", video="w", place=1))
    finish(ledger)
    report = ledger.submit(sheet(good_row("a", video="w"), good_row("b", video="w", place=1), good_row("c", video="x")))
    assert (report.changed, report.jobs_new, report.jobs_reused) == (3, 0, 2)
    rows = {row.row_id: (row.video, row.state) for row in ledger.rows(campaign_id)}
    assert rows == {
        "a": ("w", VideoState.STITCHING),
        "b": ("w", VideoState.STITCHING),
        "c": ("x", VideoState.STITCHING),
    }
    assert ledger.counts(campaign_id).total_videos == 2


def test_settings_that_change_the_picture_change_every_row(ledger: Ledger) -> None:
    """Other steps, guidance, model or sound make every row a changed one; other priorities or teams' limits do not."""
    campaign_id = started(ledger, good_row("a"))
    finish(ledger)
    assert ledger.submit(sheet(good_row("a"), max_attempts=2)).changes_nothing
    assert ledger.campaign(campaign_id).settings.max_attempts == 2
    report = ledger.submit(sheet(good_row("a"), loudness_lufs=-16.0))
    assert (report.changed, report.jobs_reused, report.jobs_new) == (1, 1, 0)
    assert states(ledger, campaign_id) == {"a": VideoState.STITCHING}


def test_failed_and_cancelled_rows_stay_so(ledger: Ledger) -> None:
    """An unchanged row that failed is not tried again by a submit: that is what retry is for."""
    campaign_id = started(ledger, good_row("a"), good_row("b"))
    lease = claim(ledger)
    ledger.fail(lease, failure(Ending.BAD_INPUT))
    ledger.cancel(campaign_id)
    ledger.finish_cancel(campaign_id)
    report = ledger.submit(sheet(good_row("a"), good_row("b")))
    assert report.changes_nothing
    assert states(ledger, campaign_id) == {"a": VideoState.FAILED, "b": VideoState.CANCELLED}
    assert ledger.campaign(campaign_id).state is CampaignState.CANCELLED


def test_a_changed_row_brings_its_cancelled_siblings_back(ledger: Ledger) -> None:
    """When the row that lost a video is changed, siblings that were cancelled with it are queued again."""
    campaign_id = started(ledger, good_row("a", video="v"), good_row("b", video="v", place=1))
    ledger.fail(claim(ledger), failure(Ending.BAD_INPUT))
    assert ledger.counts(campaign_id).jobs == {JobState.FAILED: 1, JobState.CANCELLED: 1}
    report = ledger.submit(sheet(good_row("a", video="v", prompt="mended"), good_row("b", video="v", place=1)))
    assert (report.changed, report.unchanged, report.jobs_new) == (1, 1, 2)
    assert ledger.counts(campaign_id).jobs == {JobState.QUEUED: 2}
    assert states(ledger, campaign_id) == dict.fromkeys("ab", VideoState.WAITING)


def test_a_failed_sibling_keeps_the_video_failed(ledger: Ledger) -> None:
    """Changing another row of a failed video renders nothing while the failed row stays as it is."""
    campaign_id = started(ledger, good_row("a", video="v"), good_row("b", video="v", place=1))
    ledger.fail(claim(ledger), failure(Ending.BAD_INPUT))
    report = ledger.submit(sheet(good_row("a", video="v"), good_row("b", video="v", place=1, prompt="other")))
    assert (report.changed, report.jobs_new) == (1, 0)
    assert states(ledger, campaign_id) == dict.fromkeys("ab", VideoState.FAILED)
    assert no_claim(ledger)


def test_a_dry_run_writes_nothing(ledger: Ledger) -> None:
    """A dry run reports what a submit would, and leaves no trace."""
    dry = ledger.submit(sheet(good_row("a"), bad_row("b")), dry_run=True)
    assert ledger.campaigns() == []
    real = ledger.submit(sheet(good_row("a"), bad_row("b")))
    assert dry == real
    ledger.set_state(real.campaign_id, CampaignState.RUNNING)
    lease = claim(ledger)
    again = ledger.submit(sheet(good_row("a", prompt="other")), dry_run=True)
    assert (again.changed, again.removed, again.jobs_new) == (1, 1, 1)
    ledger.complete(lease, clip_of(lease))


def test_a_campaign_being_cancelled_refuses(ledger: Ledger) -> None:
    """Nothing is submitted into a campaign that is being cancelled."""
    campaign_id = started(ledger, good_row("a"))
    ledger.cancel(campaign_id)
    with pytest.raises(Refused, match="being cancelled"):
        ledger.submit(sheet(good_row("a"), good_row("b")))
    assert ledger.counts(campaign_id).rows == 1


def test_a_change_after_a_cancel_runs_again(ledger: Ledger) -> None:
    """A cancelled campaign that gets a difference is planned; only the difference is queued."""
    campaign_id = started(ledger, good_row("a"), good_row("b"))
    ledger.cancel(campaign_id)
    ledger.finish_cancel(campaign_id)
    ledger.submit(sheet(good_row("a"), good_row("b", prompt="other")))
    assert ledger.campaign(campaign_id).state is CampaignState.PLANNED
    assert states(ledger, campaign_id) == {"a": VideoState.CANCELLED, "b": VideoState.WAITING}


def test_a_row_id_twice_is_refused_whole(ledger: Ledger) -> None:
    """Two rows of one id are an invalid manifest; nothing of it is stored."""
    with pytest.raises(InvalidManifest, match="twice"):
        ledger.submit(sheet(good_row("a"), good_row("a")))
    assert ledger.campaigns() == []


def test_rows_may_stream_in(ledger: Ledger) -> None:
    """Rows may come from a generator that is read once; an error in it leaves nothing behind."""

    def rows(broken: bool) -> Iterator[PlannedRow]:
        yield from sheet(good_row("a"), good_row("b")).rows
        if broken:
            raise ValueError("the sheet broke off")

    with pytest.raises(ValueError, match="broke off"):
        ledger.submit(replace(sheet(), rows=rows(True)))
    assert ledger.campaigns() == []
    assert ledger.submit(replace(sheet(), rows=rows(False))).added == 2


def test_teams_have_campaigns_of_their_own(ledger: Ledger) -> None:
    """The same name in two teams is two campaigns, told apart by id."""
    one = ledger.submit(sheet(good_row("a"), team="film"))
    two = ledger.submit(sheet(good_row("a"), team="news"))
    assert one.campaign_id != two.campaign_id
    assert ledger.campaign(one.campaign_id).team == "film"
    with pytest.raises(NotFound, match="spring") as caught:
        ledger.campaign("spring")
    assert two.campaign_id in caught.value.fix


def test_a_changed_priority_moves_queued_jobs(ledger: Ledger, clock: Clock) -> None:
    """An unchanged row with another priority or date keeps its jobs; they move in the queue."""
    campaign_id = started(ledger, good_row("a"), good_row("b"))
    report = ledger.submit(sheet(good_row("a"), good_row("b", priority=1)))
    assert report.changes_nothing
    lease = claim(ledger)
    assert lease.job == good_row("b").jobs[0]
    later = clock.now + 100
    ledger.submit(sheet(good_row("a", not_before=later), good_row("b", priority=1)))
    assert no_claim(ledger)
    assert ledger.explain(campaign_id, "a").until == later
    clock.advance(100)
    assert claim(ledger).job == good_row("a").jobs[0]


def test_an_input_stays_while_one_row_points_to_it(ledger: Ledger) -> None:
    """Rows share their pictures: the last one that shows a face decides, a removed row counts, another campaign too."""
    ledger.submit(sheet(*(good_row(name, image="inputs/face") for name in "abc"), good_row("d", image="inputs/other")))
    assert ledger.referenced_keys() == ["inputs/face", "inputs/other"]
    ledger.submit(sheet(good_row("a", image="inputs/new"), good_row("b", image="inputs/face")))
    assert ledger.referenced_keys() == ["inputs/face", "inputs/new", "inputs/other"]
    ledger.submit(sheet(good_row("a", image="inputs/new"), good_row("b", image="inputs/new")))
    assert ledger.referenced_keys() == ["inputs/face", "inputs/new", "inputs/other"], "c and d were removed with theirs"
    ledger.submit(sheet(*(good_row(name, image="inputs/new") for name in "abcd")))
    assert ledger.referenced_keys() == ["inputs/new"]
    ledger.submit(sheet(good_row("e", image="inputs/new"), name="another"))
    ledger.submit(sheet(*(good_row(name, image="inputs/last") for name in "abcd")))
    assert ledger.referenced_keys() == ["inputs/last", "inputs/new"]


def test_inputs_of_rows_are_referenced(ledger: Ledger) -> None:
    """Keys of pictures, speech and manifest are referenced while a row, removed ones included, points to them."""
    ledger.submit(sheet(good_row("a", image="inputs/i", speech="inputs/s"), good_row("b", image="inputs/j")))
    assert ledger.referenced_keys() == ["inputs/i", "inputs/j", "inputs/s", "inputs/s.16k"]
    ledger.submit(sheet(good_row("a", image="inputs/k"), manifest="inputs/m"))
    assert ledger.referenced_keys() == ["inputs/j", "inputs/k", "inputs/m"]
