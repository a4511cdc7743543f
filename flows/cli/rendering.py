"""Rendering a campaign here and now, under Prefect where it can be reached."""

from __future__ import annotations

import os
from contextlib import closing

from flows.campaign.coordinator import Snapshot
from flows.cli.console import Bar, note
from flows.where import use_settings
from schemas.redaction import public_address
from schemas.settings import Settings
from storage.places import open_ledger_of


class TerminalView:
    """A campaign's progress on the terminal, in seconds of finished picture."""

    def __init__(self, shown: Bar) -> None:
        self._shown = shown

    def snapshot(self, snapshot: Snapshot) -> None:
        counts = snapshot.counts
        self._shown("rendering frames", counts.clip_frames_done, counts.clip_frames_total)
        self._shown("videos done", counts.ended_videos, counts.total_videos)


def render_here(campaign_id: str, settings: Settings, *, workers: int, observer: TerminalView) -> None:
    """Run the Prefect flow in this process; where no Prefect can be reached the campaign is rendered all the same."""
    from flows.prefect_guard import refuse_open_server
    from flows.prefect_home import is_reachable, prefect_api_url, use_prefect

    refuse_open_server(settings)
    use_settings(settings)
    use_prefect(settings)
    url = prefect_api_url(settings)
    if url and not is_reachable(url):
        note(f"Prefect does not answer at {public_address(url)}; rendering goes on without it")
        _render_alone(campaign_id, settings, workers=workers, observer=observer)
        if not is_reachable(url):
            return
        note("Prefect is back and is shown how the campaign ended")
    os.environ.setdefault("PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW", "ignore")
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
