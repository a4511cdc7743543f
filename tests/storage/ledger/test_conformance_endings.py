"""How attempts end: completed, failed, released, lost; and who may still write."""

from __future__ import annotations

import pytest

from schemas.errors import LeaseLost, Permanent
from schemas.lease import Progress
from schemas.retry import Verdict
from schemas.states import Blame, CampaignState, Ending, JobState, VideoState
from storage.ledger.protocol import Ledger
from tests.support.ledgers import (
    PREEMPTED,
    Clock,
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
    started,
)


def lose(ledger: Ledger, clock: Clock, name: str) -> None:
    """One attempt of the next job that its worker does not survive."""
    clock.advance(400)
    claim(ledger, name, ttl=60.0)
    clock.advance(61)
    ledger.reap()


# -- complete ----------------------------------------------------------------------------------------------------------


def test_complete_commits_the_clip(ledger: Ledger) -> None:
    """Completing returns the clip that counts and brings the video to `stitching` with the last job."""
    campaign_id = started(ledger, good_row("a", clips=2))
    lease = claim(ledger)
    assert ledger.complete(lease, clip_of(lease), device_s=7.0) == clip_of(lease)
    assert ledger.counts(campaign_id).videos == {VideoState.RENDERING: 1}
    last = render(ledger)
    counts = ledger.counts(campaign_id)
    assert (counts.videos, counts.jobs) == ({VideoState.STITCHING: 1}, {JobState.RENDERED: 2})
    assert (counts.device_s, counts.wasted_device_s, counts.clip_frames_done) == (14.0, 0.0, 194)
    assert [job.clip_key for job in ledger.explain(campaign_id, "a").jobs] == [
        clip_of(lease).object.key,
        clip_of(last).object.key,
    ]
    assert ledger.referenced_keys() == sorted([clip_of(lease).object.key, clip_of(last).object.key])


def test_complete_again_answers_the_same(ledger: Ledger) -> None:
    """A complete whose answer got lost may be made again and answers as if it had been the first."""
    campaign_id = started(ledger, good_row("a"))
    lease = claim(ledger)
    first = ledger.complete(lease, clip_of(lease), device_s=7.0)
    before = ledger.counts(campaign_id)
    assert ledger.complete(lease, clip_of(lease), device_s=7.0) == first
    assert ledger.counts(campaign_id) == before
    join(ledger)
    assert ledger.complete(lease, clip_of(lease), device_s=7.0) == first


def test_a_completed_attempt_ends_no_other_way(ledger: Ledger) -> None:
    """After complete, the same lease fails, releases and renews nothing."""
    started(ledger, good_row("a"))
    lease = render(ledger)
    with pytest.raises(LeaseLost):
        ledger.fail(lease, failure())
    with pytest.raises(LeaseLost):
        ledger.release(lease, PREEMPTED)
    with pytest.raises(LeaseLost):
        ledger.heartbeat(lease, Progress(phase="x"))


def test_a_zombie_completes_nothing(ledger: Ledger, clock: Clock) -> None:
    """A worker that comes back after its lease was reaped is refused; the one that has the job now is not."""
    campaign_id = started(ledger, good_row("a"))
    zombie = claim(ledger, "w1", ttl=60.0)
    clock.advance(61)
    assert ledger.reap().requeued == 1
    with pytest.raises(LeaseLost, match="w1"):
        ledger.complete(zombie, clip_of(zombie))
    clock.advance(400)
    lease = claim(ledger, "w2")
    assert lease.epoch > zombie.epoch + 1
    with pytest.raises(LeaseLost):
        ledger.complete(zombie, clip_of(zombie))
    with pytest.raises(LeaseLost):
        ledger.fail(zombie, failure())
    with pytest.raises(LeaseLost):
        ledger.release(zombie, PREEMPTED)
    assert ledger.complete(lease, clip_of(lease)) == clip_of(lease)
    assert clip_of(zombie).object.key not in ledger.referenced_keys()
    assert ledger.counts(campaign_id).jobs == {JobState.RENDERED: 1}


def test_a_late_complete_counts_when_nobody_took_the_job(ledger: Ledger, clock: Clock) -> None:
    """A lease that ran out unnoticed still completes: its epoch is the ledger's."""
    campaign_id = started(ledger, good_row("a"))
    lease = claim(ledger, ttl=60.0)
    clock.advance(3600)
    ledger.complete(lease, clip_of(lease))
    assert ledger.reap().requeued == 0
    assert ledger.counts(campaign_id).jobs == {JobState.RENDERED: 1}


def test_an_invented_epoch_completes_nothing(ledger: Ledger) -> None:
    """Neither another epoch nor another attempt id of the same job is a lease."""
    started(ledger, good_row("a"))
    lease = claim(ledger)
    for forged in (
        lease.model_copy(update={"epoch": lease.epoch + 1}),
        lease.model_copy(update={"attempt_id": "f" * 32}),
        lease.model_copy(update={"subject": "999"}),
    ):
        with pytest.raises(LeaseLost):
            ledger.complete(forged, clip_of(lease))
    ledger.complete(lease, clip_of(lease))


def test_a_clip_of_another_key_is_refused(ledger: Ledger) -> None:
    """A lease completes with a clip of its own job only."""
    started(ledger, good_row("a"))
    lease = claim(ledger)
    with pytest.raises(Permanent, match="render key"):
        ledger.complete(lease, clip_of(lease).model_copy(update={"render_key": "0" * 64}))


def test_twins_are_rendered_with_it(ledger: Ledger) -> None:
    """All queued twins of a completed job, in any campaign, become rendered with the same clip."""
    one = started(ledger, good_row("a", prompt="same", seed=1), name="one")
    two = started(ledger, good_row("b", prompt="same", seed=1), good_row("c"), name="two")
    three = started(ledger, good_row("d", prompt="same", seed=1), name="three")
    ledger.set_state(three, CampaignState.PAUSED)
    lease = render(ledger)
    assert ledger.counts(one).reused == 0
    assert ledger.counts(two).jobs == {JobState.RENDERED: 1, JobState.QUEUED: 1}
    assert ledger.counts(two).reused == 1
    assert ledger.counts(three).videos == {VideoState.STITCHING: 1}
    assert ledger.explain(two, "b").jobs[0].clip_key == clip_of(lease).object.key
    assert ledger.explain(two, "b").jobs[0].reused
    finish(ledger)
    assert ledger.counts(two).videos == {VideoState.PUBLISHED: 2}
    assert ledger.counts(three).videos == {VideoState.STITCHING: 1}


# -- fail --------------------------------------------------------------------------------------------------------------


def test_bad_input_fails_at_once(ledger: Ledger) -> None:
    """Bad input blamed on the row fails job and video at once; code, message and blame are kept."""
    campaign_id = started(ledger, good_row("a"))
    decision = ledger.fail(claim(ledger), failure(Ending.BAD_INPUT, "the picture is empty"), device_s=3.0)
    assert decision.verdict is Verdict.FAIL
    counts = ledger.counts(campaign_id)
    assert (counts.videos, counts.jobs) == ({VideoState.FAILED: 1}, {JobState.FAILED: 1})
    assert (counts.device_s, counts.wasted_device_s) == (3.0, 3.0)
    found = ledger.explain(campaign_id, "a")
    assert (found.row.error_code, found.row.error) == ("BAD_INPUT", "the picture is empty")
    assert found.row.ended_at == ledger.now()
    (attempt,) = found.attempts
    assert (attempt.ending, attempt.blame, attempt.phase) == (Ending.BAD_INPUT, Blame.ROW, "denoise")
    assert no_claim(ledger)


def test_fail_again_answers_the_same(ledger: Ledger) -> None:
    """A fail whose answer got lost may be made again: same decision, one attempt."""
    campaign_id = started(ledger, good_row("a"))
    lease = claim(ledger)
    first = ledger.fail(lease, failure())
    assert ledger.fail(lease, failure()) == first
    assert ledger.explain(campaign_id, "a").row.attempts == 1
    assert ledger.counts(campaign_id).jobs == {JobState.QUEUED: 1}


def test_three_workers_quarantine_a_job(ledger: Ledger, clock: Clock) -> None:
    """Failing on three different workers quarantines the job and fails its video."""
    campaign_id = started(ledger, good_row("a"))
    verdicts = []
    for name in ("w1", "w1", "w2", "w3"):
        verdicts.append(ledger.fail(claim(ledger, name), failure(Ending.BAD_OUTPUT)).verdict)
        clock.advance(400)
    assert verdicts == [Verdict.RETRY, Verdict.RETRY, Verdict.RETRY, Verdict.QUARANTINE]
    assert ledger.counts(campaign_id).jobs == {JobState.QUARANTINED: 1}
    assert ledger.explain(campaign_id, "a").row.error_code == "BAD_OUTPUT"


def test_one_workers_tries_are_bounded(ledger: Ledger, clock: Clock) -> None:
    """Where there is only one worker, the campaign's `max_attempts` bounds the tries."""
    campaign_id = started(ledger, good_row("a"), max_attempts=2)
    ledger.fail(claim(ledger), failure())
    clock.advance(400)
    assert ledger.fail(claim(ledger), failure()).verdict is Verdict.QUARANTINE
    assert ledger.counts(campaign_id).videos == {VideoState.FAILED: 1}


def test_a_lost_video_wastes_no_more_device_time(ledger: Ledger) -> None:
    """When one job is lost for good, its queued siblings are cancelled at once."""
    campaign_id = started(ledger, good_row("a", clips=3), good_row("b"))
    ledger.fail(claim(ledger), failure(Ending.BAD_INPUT))
    counts = ledger.counts(campaign_id)
    assert counts.jobs == {JobState.FAILED: 1, JobState.CANCELLED: 2, JobState.QUEUED: 1}
    assert counts.videos == {VideoState.FAILED: 1, VideoState.WAITING: 1}
    assert claim(ledger).job == good_row("b").jobs[0]


@pytest.mark.parametrize("last", ["complete", "fail", "release", "lost"])
def test_a_leased_sibling_ends_first(ledger: Ledger, clock: Clock, last: str) -> None:
    """A video with a lost job fails once no sibling is leased, however that one ends."""
    campaign_id = started(ledger, good_row("a", clips=3))
    first, second = claim(ledger), claim(ledger)
    ledger.fail(first, failure(Ending.BAD_INPUT, "the first"))
    assert ledger.counts(campaign_id).videos == {VideoState.RENDERING: 1}
    assert no_claim(ledger)
    if last == "complete":
        ledger.complete(second, clip_of(second))
    elif last == "fail":
        ledger.fail(second, failure(Ending.HUNG))
    elif last == "release":
        ledger.release(second, PREEMPTED)
    else:
        clock.advance(61)
        ledger.reap()
    counts = ledger.counts(campaign_id)
    assert counts.videos == {VideoState.FAILED: 1}
    assert counts.jobs.get(JobState.QUEUED, 0) == 0
    assert ledger.explain(campaign_id, "a").row.error == "the first"


# -- release -----------------------------------------------------------------------------------------------------------


def test_release_uses_up_no_attempt(ledger: Ledger) -> None:
    """Interruptions never use up an attempt, however often they come."""
    campaign_id = started(ledger, good_row("a"), max_attempts=1)
    for n in range(6):
        ledger.release(claim(ledger, f"w{n}"), PREEMPTED, device_s=1.0)
    assert ledger.counts(campaign_id).jobs == {JobState.QUEUED: 1}
    assert ledger.counts(campaign_id).videos == {VideoState.WAITING: 1}
    assert ledger.counts(campaign_id).wasted_device_s == 6.0
    assert render(ledger).epoch == 7


def test_released_work_keeps_its_place(ledger: Ledger) -> None:
    """Work given back is the next again, at once."""
    started(ledger, good_row("a"), good_row("b"))
    ledger.release(claim(ledger), PREEMPTED)
    assert claim(ledger).job == good_row("a").jobs[0]


def test_release_again_answers_the_same(ledger: Ledger) -> None:
    """A release whose answer got lost may be made again, even when somebody has the work by then."""
    campaign_id = started(ledger, good_row("a"))
    lease = claim(ledger, "w1")
    ledger.release(lease, PREEMPTED)
    other = claim(ledger, "w2")
    ledger.release(lease, PREEMPTED)
    assert ledger.counts(campaign_id).jobs == {JobState.LEASED: 1}
    ledger.complete(other, clip_of(other))


def test_release_is_for_interruptions_only(ledger: Ledger) -> None:
    """A failure cannot be smuggled past the count of attempts by releasing it."""
    started(ledger, good_row("a"))
    lease = claim(ledger)
    with pytest.raises(Permanent, match="bad_output"):
        ledger.release(lease, failure(Ending.BAD_OUTPUT))
    ledger.release(lease, PREEMPTED)


# -- join --------------------------------------------------------------------------------------------------------------


def test_a_join_gets_shots_and_clips_in_order(ledger: Ledger) -> None:
    """A join reads the video's shots in their order and every job with its clip, in shot and clip order."""
    second, first = good_row("b", video="v", place=1, clips=2), good_row("z", video="v", clips=2)
    started(ledger, second, first)
    done = [render(ledger) for _ in range(4)]
    lease = claim_join(ledger)
    assert [shot.row_id for shot in ledger.shots(lease)] == ["z", "b"]
    assert ledger.shots(lease)[0] == first.shot
    found = ledger.clips(lease)
    assert [(job.row_id, job.index) for job, _ in found] == [("z", 0), ("z", 1), ("b", 0), ("b", 1)]
    by_key = {one.job.render_key: clip_of(one) for one in done if one.job}
    assert [clip for _, clip in found] == [by_key[job.render_key] for job, _ in found]


def test_publish_commits_the_pointer(ledger: Ledger, clock: Clock) -> None:
    """Publishing after the check is what publishes, and what the keys of the files hang on."""
    campaign_id = started(ledger, good_row("a"))
    began = clock.now
    render(ledger)
    clock.advance(5)
    lease = claim_join(ledger)
    ledger.checking(lease)
    assert ledger.counts(campaign_id).videos == {VideoState.CHECKING: 1}
    ledger.checking(lease)
    publication = publication_of(lease)
    ledger.publish(lease, publication)
    (row,) = ledger.rows(campaign_id)
    assert (row.state, row.publication) == (VideoState.PUBLISHED, publication)
    assert (row.started_at, row.ended_at) == (pytest.approx(began), pytest.approx(clock.now))
    assert set(ledger.referenced_keys(after="videos")) == {
        publication.video.key,
        publication.poster.key,
        publication.stills[0].key,
    }
    assert no_join(ledger)


def test_publish_again_answers_the_same(ledger: Ledger) -> None:
    """A publish whose answer got lost may be made again; the pointer stays."""
    campaign_id = started(ledger, good_row("a"))
    render(ledger)
    lease = join(ledger)
    ledger.publish(lease, publication_of(lease))
    assert next(ledger.rows(campaign_id)).publication == publication_of(lease)


def test_a_zombie_publishes_nothing(ledger: Ledger, clock: Clock) -> None:
    """A joiner that comes back after its lease was reaped reads and publishes nothing; its successor does."""
    campaign_id = started(ledger, good_row("a"))
    render(ledger)
    zombie = claim_join(ledger, "j1", ttl=60.0)
    ledger.checking(zombie)
    clock.advance(61)
    assert ledger.reap().joins == 1
    assert ledger.counts(campaign_id).videos == {VideoState.STITCHING: 1}
    clock.advance(400)
    lease = claim_join(ledger, "j2")
    for act in (
        lambda: ledger.publish(zombie, publication_of(zombie)),
        lambda: ledger.checking(zombie),
        lambda: ledger.shots(zombie),
        lambda: ledger.clips(zombie),
        lambda: ledger.clip_vanished(zombie, "0" * 64),
    ):
        with pytest.raises(LeaseLost):
            act()
    ledger.checking(lease)
    ledger.publish(lease, publication_of(lease))
    assert next(ledger.rows(campaign_id)).publication == publication_of(lease)


def test_nothing_is_published_unchecked(ledger: Ledger) -> None:
    """A join that was not checked cannot publish."""
    from schemas.errors import Refused

    started(ledger, good_row("a"))
    render(ledger)
    lease = claim_join(ledger)
    with pytest.raises(Refused, match="stitching"):
        ledger.publish(lease, publication_of(lease))
    ledger.checking(lease)
    ledger.publish(lease, publication_of(lease))


def test_a_failed_join_is_tried_again_and_then_fails_the_video(ledger: Ledger, clock: Clock) -> None:
    """Joins fail by the same policy as renders; clips stay, and the video ends failed."""
    campaign_id = started(ledger, good_row("a"), max_attempts=2)
    render(ledger)
    lease = claim_join(ledger)
    ledger.checking(lease)
    decision = ledger.fail(lease, failure(Ending.BAD_OUTPUT, "too short"))
    assert decision.verdict is Verdict.RETRY
    assert no_join(ledger)
    clock.advance(decision.wait_s + 0.01)
    last = claim_join(ledger)
    assert ledger.fail(last, failure(Ending.BAD_OUTPUT, "too short")).verdict is Verdict.QUARANTINE
    counts = ledger.counts(campaign_id)
    assert (counts.videos, counts.jobs) == ({VideoState.FAILED: 1}, {JobState.RENDERED: 1})
    row = next(ledger.rows(campaign_id))
    assert (row.error_code, row.error, row.attempts) == ("BAD_OUTPUT", "too short", 1)


def test_a_released_join_is_joined_again(ledger: Ledger) -> None:
    """A join given back is `stitching` again, at once, and again for whoever asks."""
    campaign_id = started(ledger, good_row("a"))
    render(ledger)
    lease = claim_join(ledger)
    ledger.checking(lease)
    ledger.release(lease, PREEMPTED)
    ledger.release(lease, PREEMPTED)
    assert ledger.counts(campaign_id).videos == {VideoState.STITCHING: 1}
    join(ledger)
    assert ledger.counts(campaign_id).videos == {VideoState.PUBLISHED: 1}


def test_a_vanished_clip_is_rendered_again(ledger: Ledger) -> None:
    """A clip whose object is gone is forgotten, its jobs are queued again, and the join comes back after them."""
    campaign_id = started(ledger, good_row("a", clips=2))
    gone = render(ledger)
    render(ledger)
    lease = claim_join(ledger)
    assert gone.job is not None
    ledger.clip_vanished(lease, gone.job.render_key)
    ledger.clip_vanished(lease, gone.job.render_key)
    counts = ledger.counts(campaign_id)
    assert counts.jobs == {JobState.QUEUED: 1, JobState.RENDERED: 1}
    assert counts.videos == {VideoState.RENDERING: 1}
    assert clip_of(gone).object.key not in ledger.referenced_keys()
    with pytest.raises(LeaseLost):
        ledger.publish(lease, publication_of(lease))
    again = claim(ledger)
    assert again.job == gone.job
    assert again.epoch > gone.epoch
    assert ledger.complete(again, clip_of(again)) == clip_of(again)
    join(ledger)


def test_a_vanished_clip_concerns_all_who_still_need_it(ledger: Ledger) -> None:
    """Other videos that wait for the clip render it again; published ones stay, joins under way are taken back."""
    same = {"prompt": "same", "seed": 1}
    published = started(ledger, good_row("a", **same), name="one")  # type: ignore[arg-type]
    finish(ledger)
    two = started(ledger, good_row("b", **same), name="two")  # type: ignore[arg-type]
    three = started(ledger, good_row("c", **same), name="three")  # type: ignore[arg-type]
    mine, other = claim_join(ledger, campaign_id=two), claim_join(ledger, campaign_id=three)
    key = good_row("a", **same).jobs[0].render_key  # type: ignore[arg-type]
    ledger.clip_vanished(mine, key)
    assert ledger.counts(published).videos == {VideoState.PUBLISHED: 1}
    assert ledger.counts(two).videos == ledger.counts(three).videos == {VideoState.WAITING: 1}
    with pytest.raises(LeaseLost):
        ledger.clips(other)
    render(ledger)
    assert ledger.counts(two).videos == ledger.counts(three).videos == {VideoState.STITCHING: 1}


# -- reap --------------------------------------------------------------------------------------------------------------


def test_reap_ends_what_expired(ledger: Ledger, clock: Clock) -> None:
    """Expired attempts end as `lost`, blaming the worker; their work is queued again, others go on."""
    campaign_id = started(ledger, good_row("a"), good_row("b"))
    claim(ledger, "w1", ttl=60.0)
    claim(ledger, "w2", ttl=120.0)
    clock.advance(61)
    report = ledger.reap()
    assert (report.requeued, report.quarantined, report.joins) == (1, 0, 0)
    (lost,) = ledger.explain(campaign_id, "a").attempts
    assert (lost.ending, lost.blame, lost.worker) == (Ending.LOST, Blame.WORKER, "w1")
    assert "w1" in lost.message
    assert ledger.counts(campaign_id).jobs == {JobState.QUEUED: 1, JobState.LEASED: 1}
    assert ledger.reap().requeued == 0
    assert [status.worker for status in ledger.workers()] == ["w2"]


def test_a_row_that_kills_its_workers_is_quarantined(ledger: Ledger, clock: Clock) -> None:
    """Three losses on different workers quarantine the job: a row that kills its host is poison."""
    campaign_id = started(ledger, good_row("a"))
    for name in ("w1", "w2", "w3"):
        lose(ledger, clock, name)
    assert ledger.counts(campaign_id).jobs == {JobState.QUARANTINED: 1}
    assert next(ledger.rows(campaign_id)).error_code == "LOST"


def test_reaped_work_of_a_cancelled_campaign_is_cancelled(ledger: Ledger, clock: Clock) -> None:
    """Work lost while its campaign is being cancelled is not queued again."""
    campaign_id = started(ledger, good_row("a"), good_row("b"))
    render(ledger)
    claim_join(ledger, ttl=60.0)
    claim(ledger, ttl=60.0)
    ledger.cancel(campaign_id)
    clock.advance(61)
    report = ledger.reap()
    assert (report.requeued, report.joins) == (0, 1)
    counts = ledger.counts(campaign_id)
    assert counts.videos == {VideoState.CANCELLED: 2}
    assert counts.jobs == {JobState.RENDERED: 1, JobState.CANCELLED: 1}


def test_device_time_of_a_lost_attempt_is_wasted(ledger: Ledger, clock: Clock) -> None:
    """What a lost worker had told of its device time is counted as wasted."""
    campaign_id = started(ledger, good_row("a"))
    lease = claim(ledger, ttl=60.0)
    ledger.heartbeat(lease, Progress(phase="denoise"), device_s=12.0)
    clock.advance(61)
    ledger.reap()
    counts = ledger.counts(campaign_id)
    assert (counts.device_s, counts.wasted_device_s) == (12.0, 12.0)
