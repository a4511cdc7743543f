"""What operators and coordinators do: states, cancel, retry, and one coordinator at a time."""

from __future__ import annotations

import pytest

from schemas.errors import CoordinatorLost, LeaseLost, NotFound, Refused
from schemas.retry import Verdict
from schemas.states import CAMPAIGN_TRANSITIONS, CampaignState, Ending, JobState, VideoState
from schemas.status import Change
from storage.ledger.protocol import Ledger
from tests.support.ledgers import (
    PREEMPTED,
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

# -- campaigns ---------------------------------------------------------------------------------------------------------


def test_a_campaign_is_found_by_name_and_id(ledger: Ledger) -> None:
    """Name and id find the same campaign; an unknown one is told which exist."""
    campaign_id = started(ledger, good_row("a"))
    assert ledger.campaign("spring") == ledger.campaign(campaign_id)
    with pytest.raises(NotFound) as caught:
        ledger.campaign("summer")
    assert "spring" in caught.value.fix


def test_an_empty_ledger_says_so(ledger: Ledger) -> None:
    """Where there is no campaign at all, the message says that too."""
    with pytest.raises(NotFound, match="spring"):
        ledger.campaign("spring")
    assert ledger.campaigns() == []


def test_campaigns_come_newest_first(ledger: Ledger, clock: Clock) -> None:
    """The newest campaign is the first of the list."""
    for name in ("one", "two", "three"):
        ledger.submit(sheet(good_row("a"), name=name))
        clock.advance(1)
    assert [campaign.name for campaign in ledger.campaigns()] == ["three", "two", "one"]


def test_a_state_is_set_once(ledger: Ledger, clock: Clock) -> None:
    """Setting a state answers True, setting it again False; the time of the change is kept."""
    campaign_id = ledger.submit(sheet(good_row("a"))).campaign_id
    clock.advance(7)
    assert ledger.set_state(campaign_id, CampaignState.RUNNING)
    assert not ledger.set_state(campaign_id, CampaignState.RUNNING)
    assert ledger.campaign(campaign_id).updated_at == pytest.approx(clock.now)


def test_a_step_that_is_not_in_the_table_is_refused(ledger: Ledger) -> None:
    """Every step of a campaign is one of CAMPAIGN_TRANSITIONS; any other changes nothing."""
    campaign_id = ledger.submit(sheet(good_row("a"))).campaign_id
    for target in set(CampaignState) - CAMPAIGN_TRANSITIONS[CampaignState.PLANNED] - {CampaignState.PLANNED}:
        with pytest.raises(Refused):
            ledger.set_state(campaign_id, target)
    assert ledger.campaign(campaign_id).state is CampaignState.PLANNED
    with pytest.raises(NotFound):
        ledger.set_state("nobody", CampaignState.RUNNING)


def test_setting_cancelling_is_a_cancel(ledger: Ledger) -> None:
    """A campaign set to `cancelling` and `cancelled` is cancelled like by the verbs."""
    campaign_id = started(ledger, good_row("a"))
    lease = claim(ledger)
    assert ledger.set_state(campaign_id, CampaignState.CANCELLING)
    with pytest.raises(Refused, match="alive"):
        ledger.set_state(campaign_id, CampaignState.CANCELLED)
    ledger.release(lease, PREEMPTED)
    assert ledger.set_state(campaign_id, CampaignState.CANCELLED)
    assert ledger.counts(campaign_id).videos == {VideoState.CANCELLED: 1}


# -- coordinators ------------------------------------------------------------------------------------------------------


def test_one_coordinator_at_a_time(ledger: Ledger, clock: Clock) -> None:
    """While one owner's right has not expired, another gets None; the owner renews under the same epoch."""
    campaign_id = started(ledger, good_row("a"))
    epoch = ledger.coordinate(campaign_id, "one", ttl=60)
    assert epoch == 1
    assert ledger.coordinate(campaign_id, "two", ttl=60) is None
    clock.advance(50)
    assert ledger.coordinate(campaign_id, "one", ttl=60) == epoch
    clock.advance(50)
    assert ledger.coordinate(campaign_id, "two", ttl=60) is None
    assert (ledger.campaign(campaign_id).coordinator, ledger.campaign(campaign_id).coordinator_epoch) == ("one", 1)


def test_a_successor_raises_the_epoch(ledger: Ledger, clock: Clock) -> None:
    """A change of owner raises the epoch; what the former owner writes under the old one is refused."""
    campaign_id = started(ledger, good_row("a"))
    first = ledger.coordinate(campaign_id, "one", ttl=60)
    clock.advance(61)
    second = ledger.coordinate(campaign_id, "two", ttl=60)
    assert (first, second) == (1, 2)
    with pytest.raises(CoordinatorLost):
        ledger.set_state(campaign_id, CampaignState.PAUSED, coordinator_epoch=first)
    assert ledger.set_state(campaign_id, CampaignState.PAUSED, coordinator_epoch=second)
    with pytest.raises(CoordinatorLost):
        ledger.set_state(campaign_id, CampaignState.PAUSED, coordinator_epoch=first)
    assert ledger.coordinate(campaign_id, "one", ttl=60) is None


def test_a_coordinator_ends_no_pause(ledger: Ledger) -> None:
    """Whoever looked before a person paused the campaign is refused; the person who paused it lets it run again."""
    campaign_id = started(ledger, good_row("a"))
    epoch = ledger.coordinate(campaign_id, "one", ttl=60)
    ledger.set_state(campaign_id, CampaignState.PAUSED)
    with pytest.raises(Refused, match="people"):
        ledger.set_state(campaign_id, CampaignState.RUNNING, coordinator_epoch=epoch)
    assert ledger.set_state(campaign_id, CampaignState.RUNNING)
    assert ledger.set_state(campaign_id, CampaignState.STITCHING, coordinator_epoch=epoch)


def test_an_owner_that_nobody_replaced_goes_on(ledger: Ledger, clock: Clock) -> None:
    """An owner whose right expired unnoticed renews under the same epoch."""
    campaign_id = started(ledger, good_row("a"))
    first = ledger.coordinate(campaign_id, "one", ttl=60)
    clock.advance(1000)
    assert ledger.coordinate(campaign_id, "one", ttl=60) == first


def test_resigning_frees_the_right(ledger: Ledger) -> None:
    """After resigning another may coordinate at once; who does not own the right resigns nothing."""
    campaign_id = started(ledger, good_row("a"))
    ledger.coordinate(campaign_id, "one", ttl=60)
    ledger.resign(campaign_id, "two")
    assert ledger.coordinate(campaign_id, "two", ttl=60) is None
    ledger.resign(campaign_id, "one")
    ledger.resign(campaign_id, "one")
    assert ledger.coordinate(campaign_id, "two", ttl=60) == 2
    ledger.resign("nobody", "one")
    with pytest.raises(NotFound):
        ledger.coordinate("nobody", "one", ttl=60)


# -- cancel ------------------------------------------------------------------------------------------------------------


def test_cancel_stops_what_has_not_begun(ledger: Ledger) -> None:
    """Queued jobs and unstarted videos are cancelled at once, leased work goes on; the change says how much."""
    campaign_id = started(ledger, good_row("a", clips=2), good_row("b"), good_row("c"))
    lease = claim(ledger)
    dry = ledger.cancel(campaign_id, dry_run=True)
    assert ledger.campaign(campaign_id).state is CampaignState.RUNNING
    change = ledger.cancel(campaign_id)
    assert change == dry == Change(rows=3, videos=3, jobs=4, device_s=40.0, row_ids=("a", "b", "c"))
    counts = ledger.counts(campaign_id)
    assert counts.videos == {VideoState.RENDERING: 1, VideoState.CANCELLED: 2}
    assert counts.jobs == {JobState.LEASED: 1, JobState.CANCELLED: 3}
    assert ledger.campaign(campaign_id).state is CampaignState.CANCELLING
    assert ledger.cancel(campaign_id) == Change()
    assert not ledger.finish_cancel(campaign_id)
    ledger.release(lease, PREEMPTED)
    assert ledger.counts(campaign_id).videos == {VideoState.CANCELLED: 3}
    assert ledger.finish_cancel(campaign_id)
    assert ledger.finish_cancel(campaign_id)
    assert ledger.campaign(campaign_id).state is CampaignState.CANCELLED
    assert ledger.cancel(campaign_id) == Change()


@pytest.mark.parametrize("moment", ["queued", "leased", "rendered", "joining", "checking", "published"])
@pytest.mark.parametrize("end", ["complete", "release", "fail", "lost"])
def test_cancel_at_every_point(ledger: Ledger, clock: Clock, moment: str, end: str) -> None:
    """Whenever a cancel comes and however work under way ends, nothing is published after it, nothing hangs."""
    campaign_id = started(ledger, good_row("a"))
    lease = None
    if moment != "queued":
        lease = claim(ledger, ttl=60.0)
    if lease and moment not in ("queued", "leased"):
        ledger.complete(lease, clip_of(lease))
        lease = claim_join(ledger, ttl=60.0) if moment != "rendered" else None
    if lease and moment in ("checking", "published"):
        ledger.checking(lease)
    if lease and moment == "published":
        ledger.publish(lease, publication_of(lease))
        lease = None
    ledger.cancel(campaign_id)
    if lease is None:
        pass
    elif end == "release":
        ledger.release(lease, PREEMPTED)
    elif end == "fail":
        ledger.fail(lease, failure())
    elif end == "lost":
        clock.advance(61)
    elif lease.job is not None:
        ledger.complete(lease, clip_of(lease))
    else:
        ledger.checking(lease)
        with pytest.raises(LeaseLost, match="cancelled"):
            ledger.publish(lease, publication_of(lease))
    assert no_claim(ledger)
    assert no_join(ledger)
    assert ledger.finish_cancel(campaign_id)
    expected = VideoState.PUBLISHED if moment == "published" else VideoState.CANCELLED
    counts = ledger.counts(campaign_id)
    assert counts.videos == {expected: 1}
    assert not counts.jobs.keys() & {JobState.QUEUED, JobState.LEASED}


@pytest.mark.parametrize("end", [CampaignState.DONE, CampaignState.DONE_WITH_ERRORS])
def test_a_campaign_is_not_done_before_its_videos(ledger: Ledger, end: CampaignState) -> None:
    """Whoever counted before a retry or a new sheet is refused; nobody's work is left behind in an ended campaign."""
    campaign_id = started(ledger, good_row("a"))
    finish(ledger)
    assert ledger.counts(campaign_id).videos == {VideoState.PUBLISHED: 1}
    ledger.submit(sheet(good_row("a"), good_row("b")))
    with pytest.raises(Refused, match="1 videos that have not ended"):
        ledger.set_state(campaign_id, end)
    assert ledger.campaign(campaign_id).state is CampaignState.RUNNING
    finish(ledger)
    assert ledger.set_state(campaign_id, end)


def test_a_done_campaign_is_not_cancelled(ledger: Ledger) -> None:
    """An ended campaign has nothing to cancel, and says so."""
    campaign_id = started(ledger, good_row("a"))
    finish(ledger)
    ledger.set_state(campaign_id, CampaignState.DONE)
    with pytest.raises(Refused, match="done"):
        ledger.cancel(campaign_id)
    assert not ledger.finish_cancel(campaign_id)


def test_cancel_touches_no_other_campaign(ledger: Ledger) -> None:
    """Cancelling one campaign leaves jobs, leases and joins of others alone."""
    one = started(ledger, good_row("a"), name="one")
    two = started(ledger, good_row("b"), good_row("c"), name="two")
    lease = claim(ledger, campaign_id=two)
    ledger.cancel(one)
    ledger.complete(lease, clip_of(lease))
    assert claim(ledger).campaign_id == two
    assert ledger.counts(two).videos == {VideoState.STITCHING: 1, VideoState.RENDERING: 1}


# -- retry -------------------------------------------------------------------------------------------------------------


def test_retry_queues_what_failed_in_a_new_round(ledger: Ledger, clock: Clock) -> None:
    """Retried jobs begin a new round: earlier attempts are kept and count no more; epochs go on rising."""
    campaign_id = started(ledger, good_row("a", clips=2), good_row("b"), max_attempts=1)
    kept = render(ledger)
    lost = claim(ledger)
    ledger.fail(lost, failure(Ending.HUNG), device_s=2.0)
    finish(ledger)
    ledger.set_state(campaign_id, CampaignState.DONE_WITH_ERRORS)
    dry = ledger.retry(campaign_id, dry_run=True)
    assert ledger.counts(campaign_id).videos == {VideoState.FAILED: 1, VideoState.PUBLISHED: 1}
    change = ledger.retry(campaign_id)
    assert change == dry == Change(rows=1, videos=1, jobs=1, device_s=10.0, row_ids=("a",))
    assert ledger.campaign(campaign_id).state is CampaignState.RUNNING
    row = ledger.explain(campaign_id, "a").row
    assert (row.state, row.error_code, row.error, row.ended_at) == (VideoState.RENDERING, "", "", None)
    again = claim(ledger)
    assert again.job == lost.job
    assert again.epoch > lost.epoch + 1
    assert ledger.fail(again, failure(Ending.HUNG)).verdict is Verdict.QUARANTINE
    ledger.retry(campaign_id)
    render(ledger)
    join(ledger)
    found = ledger.explain(campaign_id, "a")
    assert [(a.round, a.ending) for a in found.attempts if a.subject == lost.subject] == [
        (0, Ending.HUNG),
        (1, Ending.HUNG),
        (2, Ending.OK),
    ]
    assert found.jobs[0].clip_key == clip_of(kept).object.key
    assert ledger.counts(campaign_id).wasted_device_s == 2.0


def test_retry_gives_three_fresh_workers(ledger: Ledger, clock: Clock) -> None:
    """In a new round workers that failed before may fail again without quarantining at once."""
    campaign_id = started(ledger, good_row("a"))
    for name in ("w1", "w2", "w3"):
        ledger.fail(claim(ledger, name), failure())
        clock.advance(400)
    ledger.retry(campaign_id)
    assert ledger.fail(claim(ledger, "w1"), failure()).verdict is Verdict.RETRY


def test_retry_of_named_rows(ledger: Ledger) -> None:
    """Named rows are retried when their video is in one of the states; unknown ones are named in the refusal."""
    campaign_id = started(ledger, good_row("a"), good_row("b"), good_row("c"))
    for _ in range(2):
        ledger.fail(claim(ledger), failure(Ending.BAD_INPUT))
    assert ledger.retry(campaign_id, row_ids=["a", "c"]).row_ids == ("a",)
    assert ledger.counts(campaign_id).videos == {VideoState.WAITING: 2, VideoState.FAILED: 1}
    with pytest.raises(NotFound, match="nobody"):
        ledger.retry(campaign_id, row_ids=["b", "nobody"])
    assert ledger.counts(campaign_id).videos == {VideoState.WAITING: 2, VideoState.FAILED: 1}


def test_retry_of_a_cancelled_campaign(ledger: Ledger) -> None:
    """What was cancelled runs again when asked for by state, with the clips it has."""
    campaign_id = started(ledger, good_row("a", clips=2), good_row("b"))
    render(ledger)
    ledger.cancel(campaign_id)
    with pytest.raises(Refused, match="being cancelled"):
        ledger.retry(campaign_id, states=[VideoState.CANCELLED])
    ledger.finish_cancel(campaign_id)
    assert ledger.retry(campaign_id) == Change()
    assert ledger.campaign(campaign_id).state is CampaignState.CANCELLED
    change = ledger.retry(campaign_id, states=[VideoState.CANCELLED])
    assert (change.rows, change.videos, change.jobs) == (2, 2, 2)
    assert ledger.counts(campaign_id).videos == {VideoState.RENDERING: 1, VideoState.WAITING: 1}
    finish(ledger)
    assert ledger.counts(campaign_id).videos == {VideoState.PUBLISHED: 2}


def test_retry_of_a_failed_join(ledger: Ledger) -> None:
    """A video whose join failed keeps its clips and is joined again in a new round."""
    campaign_id = started(ledger, good_row("a"), max_attempts=1)
    render(ledger)
    ledger.fail(claim_join(ledger), failure(Ending.BAD_OUTPUT))
    change = ledger.retry(campaign_id)
    assert (change.videos, change.jobs) == (1, 0)
    assert ledger.fail(claim_join(ledger), failure(Ending.BAD_OUTPUT)).verdict is Verdict.QUARANTINE
    ledger.retry(campaign_id)
    join(ledger)
    assert ledger.counts(campaign_id).videos == {VideoState.PUBLISHED: 1}


def test_retry_of_a_published_video(ledger: Ledger) -> None:
    """A published video that is asked for is joined again; until then it has no pointer."""
    campaign_id = started(ledger, good_row("a"))
    finish(ledger)
    ledger.retry(campaign_id, states=[VideoState.PUBLISHED])
    row = next(ledger.rows(campaign_id))
    assert (row.state, row.publication) == (VideoState.STITCHING, None)
    assert ledger.referenced_keys(after="videos") == []
    finish(ledger)
    assert ledger.counts(campaign_id).videos == {VideoState.PUBLISHED: 1}


def test_retry_renders_what_vanished_meanwhile(ledger: Ledger) -> None:
    """A rendered job whose clip was forgotten is queued again when its video is retried."""
    same = good_row("a", prompt="same", seed=1, clips=2)
    one = started(ledger, same, name="one", max_attempts=1)
    kept = render(ledger)
    ledger.fail(claim(ledger), failure(Ending.HUNG))
    two = started(ledger, good_row("b", prompt="same", seed=1, clips=2), name="two")
    render(ledger)
    assert kept.job is not None
    ledger.clip_vanished(claim_join(ledger, campaign_id=two), kept.job.render_key)
    assert ledger.counts(one).jobs == {JobState.RENDERED: 1, JobState.QUARANTINED: 1}
    assert ledger.retry(one).jobs == 1
    assert ledger.counts(one).jobs == {JobState.RENDERED: 1, JobState.QUEUED: 1}
    again = claim(ledger, campaign_id=one)
    assert again.job is not None
    assert again.job.render_key == kept.job.render_key
    ledger.complete(again, clip_of(again))
    finish(ledger)
    assert ledger.counts(one).videos == {VideoState.PUBLISHED: 1}


def test_an_invalid_row_cannot_be_retried(ledger: Ledger) -> None:
    """A bad row is mended in the sheet; a retry of it does nothing."""
    campaign_id = started(ledger, bad_row("a"))
    assert ledger.retry(campaign_id, states=list(VideoState)) == Change()
    assert ledger.counts(campaign_id).videos == {VideoState.INVALID: 1}


def test_a_paused_campaign_stays_paused(ledger: Ledger) -> None:
    """Retrying rows of a campaign that has not ended queues them and starts nothing."""
    campaign_id = started(ledger, good_row("a"))
    ledger.fail(claim(ledger), failure(Ending.BAD_INPUT))
    ledger.set_state(campaign_id, CampaignState.PAUSED)
    assert ledger.retry(campaign_id).jobs == 1
    assert ledger.campaign(campaign_id).state is CampaignState.PAUSED
    assert no_claim(ledger)
