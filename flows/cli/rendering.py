"""Rendering a campaign here and now, under Prefect where it can be reached."""

from __future__ import annotations

from contextlib import closing

from flows.campaign.coordinator import Snapshot
from flows.cli.console import Bar, note
from schemas.errors import Retryable
from schemas.settings import Settings
from storage.ledger.protocol import Ledger
from storage.places import open_ledger_of

_MOST_WORKERS = 8
"""A terminal has room for so many more bars."""


class TerminalView:
    """A campaign's progress on the terminal: its frames, its videos, and the step that each worker is at."""

    def __init__(self, shown: Bar, ledger: Ledger) -> None:
        self._shown = shown
        self._ledger = ledger

    def snapshot(self, snapshot: Snapshot) -> None:
        counts = snapshot.counts
        self._shown("rendering frames", counts.clip_frames_done, counts.clip_frames_total)
        self._shown("videos done", counts.ended_videos, counts.total_videos)
        if not self._shown.quiet:
            self._shown.slots({} if snapshot.ended else self._at_work(snapshot.campaign.campaign_id))

    def _at_work(self, campaign_id: str) -> dict[str, tuple[str, int, int]]:
        try:
            workers = self._ledger.workers(campaign_id)
        except Retryable:
            # Who only looks on stops nothing; the coordinator's own tick waits until the ledger is back.
            return {}
        counting = sorted((worker for worker in workers if worker.total), key=lambda worker: worker.worker)
        return {w.worker: (f"{w.row_id}: {w.phase}", w.done, w.total) for w in counting[:_MOST_WORKERS]}


def render_here(campaign_id: str, settings: Settings, *, workers: int, observer: TerminalView) -> None:
    """Run the Prefect flow in this process; where no Prefect can be reached the campaign is rendered all the same."""
    from flows.prefect_home import is_reachable, prefect_api_url
    from flows.under_prefect import require_prefect

    try:
        require_prefect(settings)
    except Retryable as error:
        note(f"{error.message}; rendering goes on without it")
        _render_alone(campaign_id, settings, workers=workers, observer=observer)
        if not is_reachable(prefect_api_url(settings)):
            return
        note("Prefect is back and is shown how the campaign ended")
    from flows.campaign.flows import LOOKING_ON, render_campaign

    token = LOOKING_ON.set((observer,))
    try:
        render_campaign(campaign_id, workers=workers, deliver=False, return_state=True)
    finally:
        LOOKING_ON.reset(token)


def _render_alone(campaign_id: str, settings: Settings, *, workers: int, observer: TerminalView) -> None:
    from flows.campaign.render import render

    with closing(open_ledger_of(settings)) as ledger:
        render(ledger.campaign(campaign_id), ledger, settings, workers=workers, observers=(observer,))
