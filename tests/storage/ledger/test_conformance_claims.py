"""Claiming and renewing: who gets what work, in which order, and for how long."""

from __future__ import annotations

import pytest

from schemas.attempt import Failure
from schemas.errors import LeaseLost
from schemas.lease import LeaseKind, Progress, Signal
from schemas.states import CampaignState, Ending, JobState, VideoState
from storage.ledger.protocol import Ledger
from tests.support.ledgers import (
    POOL,
    PREEMPTED,
    TTL,
    Clock,
    claim,
    claim_join,
    clip_of,
    failure,
    good_row,
    no_claim,
    no_join,
    render,
    sheet,
    started,
    worker,
)

WARM = "640x480x97/TIA"
"""The bucket of a row of width 640."""


def order(ledger: Ledger, count: int) -> list[str]:
    """Row ids in the order in which they are leased."""
    return [lease.job.row_id for lease in (claim(ledger) for _ in range(count)) if lease.job]


def test_a_lease_says_everything_a_worker_needs(ledger: Ledger, clock: Clock) -> None:
    """A render lease holds its job, a random attempt id, a raised epoch and its expiry on the ledger's clock."""
    campaign_id = started(ledger, good_row("a"))
    lease = claim(ledger, ttl=60.0)
    assert (lease.kind, lease.campaign_id, lease.worker) == (LeaseKind.RENDER, campaign_id, "w1")
    assert (lease.epoch, lease.ttl, lease.expires_at) == (1, 60.0, pytest.approx(clock.now + 60.0))
    assert lease.job == good_row("a").jobs[0]
    assert len(lease.attempt_id) == 32
    assert lease.video_id == ledger.explain(campaign_id, "a").row.video_id
    assert ledger.counts(campaign_id).jobs == {JobState.LEASED: 1}
    assert ledger.counts(campaign_id).videos == {VideoState.RENDERING: 1}


def test_a_job_is_leased_once(ledger: Ledger) -> None:
    """A leased job is nobody else's."""
    started(ledger, good_row("a"))
    claim(ledger, "w1")
    assert no_claim(ledger, "w2")


def test_jobs_come_in_the_order_of_the_sheet(ledger: Ledger) -> None:
    """Jobs of one submit come in manifest order, clip by clip."""
    started(ledger, good_row("b"), good_row("a", clips=2), good_row("c"))
    assert order(ledger, 4) == ["b", "a", "a", "c"]


def test_earlier_campaigns_come_first(ledger: Ledger, clock: Clock) -> None:
    """What was enqueued earlier is leased earlier, whichever campaign it is of."""
    started(ledger, good_row("a"), name="one")
    clock.advance(1)
    started(ledger, good_row("b"), name="two")
    assert order(ledger, 2) == ["a", "b"]


def test_priority_is_worth_a_bounded_time(ledger: Ledger, clock: Clock) -> None:
    """One step of priority is worth `priority_bonus_s` in the queue: no less, and no more."""
    started(ledger, good_row("old"), name="one")
    clock.advance(3599)
    started(ledger, good_row("urgent", priority=1), name="two")
    clock.advance(2)
    started(ledger, good_row("late", priority=1), name="three")
    assert order(ledger, 3) == ["urgent", "old", "late"]


def test_a_row_waits_for_its_date(ledger: Ledger, clock: Clock) -> None:
    """A job with `not_before` is passed over until then, and then stands in the queue as if enqueued there."""
    date = clock.now + 100
    started(ledger, good_row("dated", not_before=date), good_row("a"))
    assert order(ledger, 1) == ["a"]
    assert no_claim(ledger)
    clock.advance(50)
    ledger.submit(sheet(good_row("dated", not_before=date), good_row("a"), good_row("b")))
    clock.advance(50)
    assert order(ledger, 2) == ["b", "dated"]


def test_another_pools_jobs_are_passed_over(ledger: Ledger) -> None:
    """A worker gets jobs of its own pool only; the pool names engine, model and gang size."""
    started(ledger, good_row("a"), ranks=2)
    assert no_claim(ledger, pool=POOL)
    assert claim(ledger, pool="animatic/test/2").job is not None


def test_a_worker_of_one_campaign(ledger: Ledger) -> None:
    """A worker that names a campaign gets its jobs only, renders and joins."""
    one = started(ledger, good_row("a"), name="one")
    two = started(ledger, good_row("b"), name="two")
    assert claim(ledger, campaign_id=two).campaign_id == two
    assert no_claim(ledger, campaign_id=two)
    render(ledger, campaign_id=one)
    assert no_join(ledger, campaign_id=two)
    assert claim_join(ledger, campaign_id=one).campaign_id == one


def test_a_warm_bucket_has_a_head_start(ledger: Ledger, clock: Clock) -> None:
    """A job of the warm bucket goes first while it is no more than the head start behind."""
    started(ledger, good_row("cold"), name="one")
    clock.advance(120)
    started(ledger, good_row("warm", width=640), name="two")
    assert claim(ledger, bucket=WARM).job == good_row("warm", width=640).jobs[0]


def test_the_head_start_is_bounded(ledger: Ledger, clock: Clock) -> None:
    """A job of the warm bucket that is further behind waits its turn: warmth is no monopoly."""
    started(ledger, good_row("cold"), name="one")
    clock.advance(121)
    started(ledger, good_row("warm", width=640), name="two")
    assert claim(ledger, bucket=WARM).job == good_row("cold").jobs[0]
    assert claim(ledger, bucket=WARM).job == good_row("warm", width=640).jobs[0]


def test_warmth_looks_at_one_campaign(ledger: Ledger) -> None:
    """The head start holds among the jobs of the campaign that a worker serves."""
    started(ledger, good_row("warm", width=640), name="one")
    two = started(ledger, good_row("a"), good_row("b", width=640), name="two")
    assert claim(ledger, bucket=WARM, campaign_id=two).job == good_row("b", width=640).jobs[0]
    assert claim(ledger, bucket=WARM, campaign_id=two).job == good_row("a").jobs[0]


def test_a_leased_twin_is_waited_for(ledger: Ledger) -> None:
    """A job whose twin, of the same render key, is leased is passed over, in any campaign."""
    twin = good_row("a", prompt="same", seed=1)
    started(ledger, twin, name="one")
    started(ledger, good_row("z", prompt="same", seed=1), good_row("b"), name="two")
    lease = claim(ledger)
    assert claim(ledger).job == good_row("b").jobs[0]
    assert no_claim(ledger)
    ledger.release(lease, PREEMPTED)
    assert claim(ledger).job is not None


@pytest.mark.parametrize("state", [CampaignState.PAUSED, CampaignState.STOPPED_BUDGET, CampaignState.STOPPED_FAILURES])
def test_a_held_campaigns_work_is_not_leased(ledger: Ledger, state: CampaignState) -> None:
    """A campaign that may not run gives no render and no join, and goes on where it was."""
    campaign_id = started(ledger, good_row("a"), good_row("b"))
    render(ledger)
    ledger.set_state(campaign_id, state)
    assert no_claim(ledger)
    assert no_join(ledger)
    ledger.set_state(campaign_id, CampaignState.RUNNING)
    assert claim(ledger).job == good_row("b").jobs[0]
    assert claim_join(ledger).kind is LeaseKind.JOIN


def test_work_released_into_a_paused_campaign_stays(ledger: Ledger) -> None:
    """Work that comes back while its campaign is paused waits with the rest."""
    campaign_id = started(ledger, good_row("a"))
    lease = claim(ledger)
    ledger.set_state(campaign_id, CampaignState.PAUSED)
    ledger.release(lease, PREEMPTED)
    assert no_claim(ledger)


def test_peek_leases_nothing(ledger: Ledger) -> None:
    """Peek names the job that the next claim gives, with the same preferences, and changes nothing."""
    campaign_id = started(ledger, good_row("a"), good_row("b", width=640))
    assert ledger.peek(worker()) == good_row("a").jobs[0]
    assert ledger.peek(worker(bucket=WARM)) == good_row("b", width=640).jobs[0]
    assert ledger.counts(campaign_id).jobs == {JobState.QUEUED: 2}
    assert claim(ledger).job == good_row("a").jobs[0]
    assert ledger.peek(worker()) == good_row("b", width=640).jobs[0]
    assert ledger.peek(worker(pool="other/pool/1")) is None


def test_a_backing_off_job_is_passed_over(ledger: Ledger, clock: Clock) -> None:
    """After a failure a job waits as long as was decided; others go on."""
    started(ledger, good_row("a"), good_row("b"))
    decision = ledger.fail(claim(ledger), failure())
    assert decision.wait_s > 0
    assert claim(ledger).job == good_row("b").jobs[0]
    assert no_claim(ledger)
    clock.advance(decision.wait_s + 0.01)
    assert claim(ledger).job == good_row("a").jobs[0]


def test_a_join_comes_when_all_clips_are_rendered(ledger: Ledger) -> None:
    """A video is joined once every job of every shot is rendered."""
    campaign_id = started(ledger, good_row("a", video="v", clips=2), good_row("b", video="v", place=1))
    for left in (2, 1, 0):
        assert no_join(ledger)
        render(ledger)
        assert ledger.counts(campaign_id).jobs.get(JobState.QUEUED, 0) == left
    lease = claim_join(ledger)
    assert (lease.kind, lease.subject, lease.job) == (LeaseKind.JOIN, lease.video_id, None)
    assert no_join(ledger)


def test_joins_come_first_ready_first(ledger: Ledger, clock: Clock) -> None:
    """Joins come in the order in which their videos became ready, urgent ones earlier."""
    started(ledger, good_row("a"), good_row("b"), good_row("c", priority=1))
    first, second, third = (claim(ledger) for _ in range(3))
    for lease in (third, second, first):
        ledger.complete(lease, clip_of(lease))
        clock.advance(1)
    joined = [claim_join(ledger).video_id for _ in range(3)]
    assert joined == [first.video_id, third.video_id, second.video_id]


def test_a_heartbeat_renews_for_the_leases_own_ttl(ledger: Ledger, clock: Clock) -> None:
    """A heartbeat moves the expiry to now + ttl and keeps epoch and attempt."""
    started(ledger, good_row("a"))
    lease = claim(ledger, ttl=60.0)
    clock.advance(20)
    renewed, signal = ledger.heartbeat(lease, Progress(phase="denoise", done=3, total=50))
    assert signal is Signal.CONTINUE
    assert renewed.expires_at == pytest.approx(clock.now + 60.0)
    assert renewed.model_copy(update={"expires_at": lease.expires_at}) == lease


def test_a_heartbeat_notes_how_far_the_work_is(ledger: Ledger, clock: Clock) -> None:
    """Phase, progress and device time of a heartbeat are what workers, rows and counts show."""
    campaign_id = started(ledger, good_row("a"))
    lease = claim(ledger)
    clock.advance(5)
    ledger.heartbeat(lease, Progress(phase="denoise", done=3, total=50), device_s=4.5)
    (status,) = ledger.workers()
    assert (status.worker, status.pool, status.lease_subject) == ("w1", POOL, lease.subject)
    assert (status.campaign_id, status.row_id) == (campaign_id, "a")
    assert (status.phase, status.done, status.total) == ("denoise", 3, 50)
    assert (status.seen_at, status.expires_at) == (pytest.approx(clock.now), pytest.approx(clock.now + TTL))
    assert ledger.counts(campaign_id).device_s == 4.5
    (job,) = ledger.explain(campaign_id, "a").jobs
    assert (job.worker, job.phase, job.done, job.total) == ("w1", "denoise", 3, 50)


def test_a_late_heartbeat_renews_what_nobody_took(ledger: Ledger, clock: Clock) -> None:
    """A lease that ran out but was not taken is renewed; one that was reaped is lost."""
    started(ledger, good_row("a"))
    lease = claim(ledger, ttl=60.0)
    clock.advance(61)
    ledger.heartbeat(lease, Progress(phase="denoise"))
    clock.advance(61)
    ledger.reap()
    with pytest.raises(LeaseLost):
        ledger.heartbeat(lease, Progress(phase="denoise"))


def test_a_heartbeat_tells_of_a_cancel(ledger: Ledger) -> None:
    """The holder of a lease hears of a cancel at its next heartbeat, and may still renew until it stops."""
    campaign_id = started(ledger, good_row("a"), good_row("b"))
    render(ledger)
    leases = [claim(ledger), claim_join(ledger)]
    ledger.cancel(campaign_id)
    assert [ledger.heartbeat(lease, Progress(phase="x"))[1] for lease in leases] == [Signal.CANCEL, Signal.CANCEL]


def test_a_join_lease_is_renewed_like_any_other(ledger: Ledger, clock: Clock) -> None:
    """A join's heartbeat renews it and is refused once it was reaped."""
    started(ledger, good_row("a"))
    render(ledger)
    lease = claim_join(ledger, ttl=60.0)
    clock.advance(40)
    lease, _ = ledger.heartbeat(lease, Progress(phase="join"))
    clock.advance(40)
    assert ledger.reap().joins == 0
    clock.advance(21)
    assert ledger.reap().joins == 1
    with pytest.raises(LeaseLost):
        ledger.heartbeat(lease, Progress(phase="join"))


def test_an_epoch_rises_with_every_claim(ledger: Ledger) -> None:
    """Each claim of the same work has a higher epoch and another attempt id."""
    started(ledger, good_row("a"))
    seen = []
    for _ in range(3):
        lease = claim(ledger)
        seen.append(lease)
        ledger.release(lease, Failure.of(Ending.PREEMPTED, "drain"))
    assert [lease.epoch for lease in seen] == sorted({lease.epoch for lease in seen})
    assert len({lease.attempt_id for lease in seen}) == 3
