"""Slices and endings: what is shown of many videos with one question."""

from __future__ import annotations

from schemas.states import Ending, VideoState
from storage.ledger.protocol import Ledger
from tests.support.ledgers import Clock, bad_row, claim, failure, good_row, join, render, started


def test_slices_add_up_and_follow_the_sheet(ledger: Ledger) -> None:
    """Every video is in one slice, slices follow the sheet, and a film of several rows counts where it begins."""
    rows = [good_row(f"r{n}", video="film" if n in (1, 6) else "", place=n) for n in range(7)]
    campaign_id = started(ledger, *rows, bad_row("bad"))
    found = ledger.slices(campaign_id, 3)
    assert sum(one.videos for one in found) == ledger.counts(campaign_id).total_videos == 7
    sizes = {number: sum(one.videos for one in found if one.slice == number) for number in (1, 2, 3)}
    assert sizes == {1: 3, 2: 2, 3: 2}
    assert [(one.first, one.last) for one in found if one.slice == 1] == [(0, 6)]
    assert {one.state for one in found if one.slice == 3} == {VideoState.WAITING, VideoState.INVALID}


def test_more_parts_than_videos_give_one_slice_each(ledger: Ledger) -> None:
    """With parts to spare every video has its own slice, by name and in order."""
    campaign_id = started(ledger, good_row("a"), good_row("b"), good_row("c"))
    found = ledger.slices(campaign_id, 200)
    assert [(one.slice, one.video, one.videos) for one in found] == [(1, "a", 1), (2, "b", 1), (3, "c", 1)]
    assert ledger.slices("no such campaign", 5) == []


def test_endings_come_in_order_and_after_the_given_time(ledger: Ledger, clock: Clock) -> None:
    """What ended since the last look is told once, with its row and its error."""
    campaign_id = started(ledger, good_row("a"), good_row("b"))
    began = clock.now
    clock.advance(5)
    render(ledger)
    join(ledger)
    clock.advance(5)
    ledger.fail(claim(ledger), failure(Ending.BAD_INPUT))
    first, second = ledger.ended(campaign_id, after=began, limit=10)
    assert (first.row_id, first.state, first.error_code) == ("a", VideoState.PUBLISHED, "")
    assert (second.row_id, second.state, second.error_code) == ("b", VideoState.FAILED, "BAD_INPUT")
    assert ledger.ended(campaign_id, after=first.ended_at, limit=10) == [second]
    assert ledger.ended(campaign_id, after=began, limit=1) == [first]
    assert ledger.ended(campaign_id, after=second.ended_at, limit=10) == []
