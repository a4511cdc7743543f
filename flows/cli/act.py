"""Verbs of an operator on a campaign: pause, resume, cancel, retry. Each says first what it touches."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated

import typer

from flows.cli import options as o
from flows.cli.console import announce, change_as_dict, confirm, emit_json, say
from flows.cli.look import parse_states
from flows.cli.verb import add
from schemas.states import CampaignState, VideoState
from storage.places import open_ledger_of


def register(app: typer.Typer) -> None:
    add(app, pause)
    add(app, resume)
    add(app, cancel)
    add(app, retry)


def pause(
    campaign: o.CampaignName,
    dry_run: o.DryRun = False,
    yes: o.Yes = False,
    home: o.Home = None,
    as_json: o.Json = False,
) -> int:
    """Lease no more work of a campaign; what is under way is finished."""
    return _set_state(campaign, CampaignState.PAUSED, dry_run=dry_run, yes=yes, home=home, as_json=as_json)


def resume(
    campaign: o.CampaignName,
    dry_run: o.DryRun = False,
    yes: o.Yes = False,
    home: o.Home = None,
    as_json: o.Json = False,
) -> int:
    """Let a paused or stopped campaign go on."""
    return _set_state(campaign, CampaignState.RUNNING, dry_run=dry_run, yes=yes, home=home, as_json=as_json)


def _set_state(
    campaign: str, state: CampaignState, *, dry_run: bool, yes: bool, home: str | None, as_json: bool
) -> int:
    with closing(open_ledger_of(o.settings_from(home))) as ledger:
        found = ledger.campaign(campaign)
        change = ledger.pending(found.campaign_id)
        if not as_json:
            announce(f"{found.name}: {found.state} -> {state}", change)
        if not dry_run:
            confirm("go on?", yes=yes)
            ledger.set_state(found.campaign_id, state)
        after = ledger.campaign(found.campaign_id)
    if as_json:
        emit_json(change_as_dict(change, state=after.state.value, dry_run=dry_run))
    elif not dry_run:
        say(f"{after.name} is {after.state}")
    return 0


def cancel(
    campaign: o.CampaignName,
    dry_run: o.DryRun = False,
    yes: o.Yes = False,
    home: o.Home = None,
    as_json: o.Json = False,
) -> int:
    """Stop a campaign; workers stop at the next frame batch, what is published stays."""
    with closing(open_ledger_of(o.settings_from(home))) as ledger:
        found = ledger.campaign(campaign)
        change = ledger.cancel(found.campaign_id, dry_run=True)
        if not as_json:
            announce(f"cancel {found.name}", change)
        if not dry_run:
            confirm("cancel it?", yes=yes)
            change = ledger.cancel(found.campaign_id)
            ledger.finish_cancel(found.campaign_id)
        after = ledger.campaign(found.campaign_id)
        kept = ledger.counts(found.campaign_id).videos.get(VideoState.PUBLISHED, 0)
    if as_json:
        emit_json(change_as_dict(change, state=after.state.value, published=kept, dry_run=dry_run))
    elif not dry_run:
        say(f"{after.name} is {after.state}; {kept} published videos are kept")
    return 0


def retry(
    campaign: o.CampaignName,
    row: Annotated[list[str] | None, typer.Option("--row", help="Only this row; repeatable.")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="All rows of failed videos (the default).")] = False,
    state: Annotated[list[str] | None, typer.Option("--state", help="Rows in this state; repeatable.")] = None,
    dry_run: o.DryRun = False,
    yes: o.Yes = False,
    home: o.Home = None,
    as_json: o.Json = False,
) -> int:
    """Render again what failed; clips that were rendered are kept."""
    states = parse_states(state or ())
    if failed or not states:
        states = tuple(dict.fromkeys((*states, VideoState.FAILED)))
    with closing(open_ledger_of(o.settings_from(home))) as ledger:
        found = ledger.campaign(campaign)
        change = ledger.retry(found.campaign_id, row_ids=row or (), states=states, dry_run=True)
        if not as_json:
            announce(f"retry {found.name}", change)
        if change.rows and not dry_run:
            confirm("retry them?", yes=yes)
            change = ledger.retry(found.campaign_id, row_ids=row or (), states=states)
        after = ledger.campaign(found.campaign_id)
    if as_json:
        emit_json(change_as_dict(change, state=after.state.value, dry_run=dry_run))
    elif not change.rows:
        say("nothing to retry")
    elif not dry_run:
        say(f"{change.jobs} clips queued again; {after.name} is {after.state}")
    return 0
