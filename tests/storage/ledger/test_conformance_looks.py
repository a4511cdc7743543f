"""What those who look see: counts add up, every waiting thing has a reason, rows stream in order."""

from __future__ import annotations

import pytest

from schemas.errors import NotFound
from schemas.states import CampaignState, Ending, JobState, VideoState, WaitingReason
from schemas.status import Change
from storage.ledger.protocol import Ledger
from tests.support.ledgers import (
    PREEMPTED,
    Clock,
    bad_row,
    claim,
    claim_join,
    failure,
    good_row,
    join,
    render,
    sheet,
    started,
)


def test_counts_add_up(ledger: Ledger) -> None:
    """Videos, rows and jobs are counted by state, and each list adds up to its total."""
    campaign_id = started(
        ledger, good_row("a"), good_row("b", video="v"), good_row("c", video="v", place=1), bad_row("d"), good_row("e")
    )
    render(ledger)
    join(ledger)
    claim(ledger)
    counts = ledger.counts(campaign_id)
    assert counts.videos == {
        VideoState.PUBLISHED: 1,
        VideoState.RENDERING: 1,
        VideoState.INVALID: 1,
        VideoState.WAITING: 1,
    }
    assert counts.rows_by_video_state == counts.videos | {VideoState.RENDERING: 2}
    assert (counts.rows, counts.total_videos, counts.ended_videos) == (5, 4, 2)
    assert counts.jobs == {JobState.RENDERED: 1, JobState.LEASED: 1, JobState.QUEUED: 2}
    assert (counts.clip_frames_done, counts.clip_frames_total) == (97, 4 * 97)


def test_counts_of_nothing(ledger: Ledger) -> None:
    """A campaign without rows counts nothing."""
    counts = ledger.counts(ledger.submit(sheet()).campaign_id)
    assert (counts.rows, counts.videos, counts.jobs, counts.device_s) == (0, {}, {}, 0.0)


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (CampaignState.PLANNED, WaitingReason.AWAITING_APPROVAL),
        (CampaignState.AWAITING_APPROVAL, WaitingReason.AWAITING_APPROVAL),
        (CampaignState.PAUSED, WaitingReason.PAUSED),
        (CampaignState.RUNNING, WaitingReason.CAPACITY),
    ],
)
def test_a_held_campaign_is_the_reason(ledger: Ledger, state: CampaignState, reason: WaitingReason) -> None:
    """What waits because its campaign does not run says so."""
    campaign_id = ledger.submit(sheet(good_row("a"), good_row("b"))).campaign_id
    if state is not CampaignState.PLANNED:
        ledger.set_state(campaign_id, state)
    assert ledger.waiting(campaign_id) == {reason: 2}
    assert ledger.explain(campaign_id, "a").reason is reason


def test_a_stopped_budget_is_the_reason(ledger: Ledger) -> None:
    """What waits because the budget is spent says so."""
    campaign_id = started(ledger, good_row("a"))
    ledger.set_state(campaign_id, CampaignState.STOPPED_BUDGET)
    assert ledger.waiting(campaign_id) == {WaitingReason.BUDGET: 1}


def test_every_queued_job_has_one_reason(ledger: Ledger, clock: Clock) -> None:
    """Reasons add up to the queued jobs: backoff, date, twin and capacity are told apart."""
    date = clock.now + 5000
    campaign_id = started(
        ledger,
        good_row("fails"),
        good_row("leased", prompt="same", seed=1),
        good_row("twin", prompt="same", seed=1),
        good_row("dated", not_before=date),
        good_row("next"),
    )
    decision = ledger.fail(claim(ledger), failure())
    claim(ledger)
    assert ledger.waiting(campaign_id) == {
        WaitingReason.BACKOFF: 1,
        WaitingReason.DEPENDENCY: 1,
        WaitingReason.NOT_BEFORE: 1,
        WaitingReason.CAPACITY: 1,
    }
    found = {row: ledger.explain(campaign_id, row) for row in ("fails", "leased", "twin", "dated", "next")}
    assert {row: e.reason for row, e in found.items()} == {
        "fails": WaitingReason.BACKOFF,
        "leased": None,
        "twin": WaitingReason.DEPENDENCY,
        "dated": WaitingReason.NOT_BEFORE,
        "next": WaitingReason.CAPACITY,
    }
    assert found["fails"].until == pytest.approx(clock.now + decision.wait_s)
    assert found["dated"].until == date
    assert found["next"].until is None


def test_explain_counts_who_goes_before(ledger: Ledger) -> None:
    """`ahead` is how many jobs of the pool are leased before the row's next one."""
    one = started(ledger, good_row("a"), good_row("b"), name="one")
    two = started(ledger, good_row("c"), name="two")
    started(ledger, good_row("d"), name="three", ranks=2)
    assert ledger.explain(two, "c").ahead == 2
    ledger.set_state(one, CampaignState.PAUSED)
    assert ledger.explain(two, "c").ahead == 0


def test_explain_tells_the_whole_story(ledger: Ledger, clock: Clock) -> None:
    """A row's jobs and all attempts at its clips and its video's joins are told in the order they began."""
    campaign_id = started(ledger, good_row("a", clips=2), max_attempts=3)
    ledger.release(claim(ledger, "w1"), PREEMPTED)
    clock.advance(1)
    render(ledger, "w2")
    clock.advance(1)
    render(ledger, "w3")
    clock.advance(1)
    ledger.fail(claim_join(ledger, "j1"), failure(Ending.BAD_OUTPUT))
    found = ledger.explain(campaign_id, "a")
    assert [(a.worker, a.ending) for a in found.attempts] == [
        ("w1", Ending.PREEMPTED),
        ("w2", Ending.OK),
        ("w3", Ending.OK),
        ("j1", Ending.BAD_OUTPUT),
    ]
    assert [(job.job.index, job.state, job.reused) for job in found.jobs] == [
        (0, JobState.RENDERED, False),
        (1, JobState.RENDERED, False),
    ]
    assert found.reason is WaitingReason.BACKOFF
    assert (found.row.attempts, found.row.device_s) == (3, 14.0)
    assert found.campaign == ledger.campaign(campaign_id)
    clock.advance(1000)
    assert ledger.explain(campaign_id, "a").reason is WaitingReason.CAPACITY
    join(ledger)
    assert ledger.explain(campaign_id, "a").reason is None


def test_a_row_waits_for_its_siblings(ledger: Ledger) -> None:
    """A row whose clips are done waits for the other shots of its video."""
    campaign_id = started(ledger, good_row("a", video="v"), good_row("b", video="v", place=1))
    render(ledger)
    assert ledger.explain(campaign_id, "a").reason is WaitingReason.DEPENDENCY
    assert ledger.explain(campaign_id, "b").reason is WaitingReason.CAPACITY


def test_explain_of_nobody(ledger: Ledger) -> None:
    """An unknown row is not found."""
    campaign_id = started(ledger, good_row("a"))
    with pytest.raises(NotFound, match="nobody"):
        ledger.explain(campaign_id, "nobody")


def test_rows_stream_in_manifest_order(ledger: Ledger) -> None:
    """Rows come by position, above `after`, at most `limit`, of the states asked for."""
    campaign_id = started(ledger, *(good_row(f"r{n}") for n in range(6)), bad_row("bad"))
    rows = list(ledger.rows(campaign_id))
    assert [row.position for row in rows] == list(range(7))
    assert [row.row_id for row in ledger.rows(campaign_id, after=3)] == ["r4", "r5", "bad"]
    assert [row.row_id for row in ledger.rows(campaign_id, after=1, limit=2)] == ["r2", "r3"]
    assert [row.row_id for row in ledger.rows(campaign_id, states=[VideoState.INVALID])] == ["bad"]
    assert list(ledger.rows(campaign_id, limit=0)) == []
    assert list(ledger.rows("nobody")) == []


def test_a_row_says_what_its_author_wrote(ledger: Ledger) -> None:
    """A row's status carries line, bytes, shot and seed, and what it cost."""
    planned = good_row("a", image="inputs/i", speech="inputs/s", priority=2)
    campaign_id = started(ledger, planned)
    render(ledger, device_s=3.5)
    (row,) = ledger.rows(campaign_id)
    assert (row.line, row.byte_start, row.byte_end, row.video) == (2, 0, 9, "a")
    assert planned.shot is not None
    assert (row.shot, row.seed, row.attempts, row.device_s) == (planned.shot, planned.shot.seed, 1, 3.5)
    assert (row.ended_at, row.error_code, row.problems) == (None, "", ())


def test_rows_are_paged_without_loss(ledger: Ledger) -> None:
    """More rows than a page come once each, while others write between the pages."""
    campaign_id = started(ledger, *(good_row(f"r{n:04d}") for n in range(1203)))
    stream = ledger.rows(campaign_id)
    first = [next(stream) for _ in range(600)]
    render(ledger)
    assert [row.row_id for row in (*first, *stream)] == [f"r{n:04d}" for n in range(1203)]


def test_pending_is_what_is_left(ledger: Ledger) -> None:
    """What is left: videos not ended, clips not rendered, and the device time that they are expected to take."""
    campaign_id = started(ledger, good_row("a"), good_row("b", clips=2), good_row("c"), bad_row("d"))
    render(ledger)
    join(ledger)
    claim(ledger)
    assert ledger.pending(campaign_id) == Change(rows=2, videos=2, jobs=3, device_s=30.0, row_ids=("b", "c"))


def test_a_change_names_its_first_hundred_rows(ledger: Ledger) -> None:
    """A change names the first 100 rows in manifest order, and counts all."""
    campaign_id = started(ledger, *(good_row(f"r{n:03d}") for n in range(150)))
    change = ledger.pending(campaign_id)
    assert (change.rows, change.row_ids) == (150, tuple(f"r{n:03d}" for n in range(100)))


def test_workers_are_those_that_hold_a_lease(ledger: Ledger) -> None:
    """Workers are listed by name, render and join alike, per campaign when asked."""
    one = started(ledger, good_row("a"), name="one")
    two = started(ledger, good_row("b"), name="two")
    render(ledger, "w9", campaign_id=one)
    claim_join(ledger, "j1")
    claim(ledger, "w2")
    assert [(w.worker, w.campaign_id, w.row_id) for w in ledger.workers()] == [("j1", one, ""), ("w2", two, "b")]
    assert [w.worker for w in ledger.workers(two)] == ["w2"]


def test_referenced_keys_come_in_pages(ledger: Ledger) -> None:
    """Keys come once each, in byte order, in pages above `after`."""
    started(ledger, *(good_row(f"r{n}", image=f"inputs/{c}") for n, c in enumerate("bBaZ_9")))
    render(ledger)
    everything = ledger.referenced_keys()
    assert everything == sorted(everything)
    assert len(everything) == 7
    paged: list[str] = []
    while page := ledger.referenced_keys(after=paged[-1] if paged else "", limit=2):
        paged += page
    assert paged == everything


def test_now_is_the_ledgers_clock(ledger: Ledger, clock: Clock) -> None:
    """`now` is the clock that leases are kept on."""
    assert ledger.now() == pytest.approx(clock.now)
    clock.advance(10)
    assert ledger.now() == pytest.approx(clock.now)
