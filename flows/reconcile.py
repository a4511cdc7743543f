"""Prefect put right by the ledger: runs of dead processes, campaigns without a run, runs nobody needs any more."""

from __future__ import annotations

import logging
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from prefect.states import Cancelled, Crashed

from flows.campaign.runs import is_of, prefect_client, render_runs, request_render
from flows.janitor import WANTS_A_FLOW
from schemas.campaign import Campaign
from schemas.errors import NotFound
from schemas.settings import Settings
from schemas.states import CampaignState
from storage.ledger.protocol import Ledger

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

log = logging.getLogger("callsheet.reconcile")

SILENT_BEATS = 4
"""So many signs of life missing in a row mean that a run is dead."""
YOUNG_S = 120.0
"""A run that was asked for so lately is about to start."""
ROUTINE = ("sweep-inbox", "janitor")
KEEP_ROUTINE = timedelta(days=1)


@dataclass(frozen=True, kw_only=True)
class Reconciled:
    crashed: tuple[str, ...]
    started: tuple[str, ...]
    pruned: int


def reconcile(ledger: Ledger, stalled: Sequence[Campaign], settings: Settings) -> Reconciled:
    """Both ways: a run RUNNING by a dead process becomes Crashed, a campaign without a live run gets a new one."""
    campaigns = {key: c for c in (*ledger.campaigns(), *stalled) for key in (c.campaign_id, c.name)}
    with prefect_client() as client:
        open_runs = list(render_runs(client, ["RUNNING", "PAUSED", "CANCELLING", "PENDING", "SCHEDULED"]))
        alive: list[FlowRun] = []
        crashed = []
        for run in open_runs:
            campaign = campaigns.get(str(run.parameters.get("campaign_id")))
            if _is_alive(client, run, campaign, stalled, settings):
                alive.append(run)
            else:
                _bury(client, ledger, run, campaign)
                crashed.append(run.name)
    started = []
    for campaign in stalled:
        now = ledger.campaign(campaign.campaign_id)
        wanted = now.state in WANTS_A_FLOW and not any(is_of(run, now) for run in alive)
        if wanted and request_render(now, "no living run had this campaign") is not None:
            started.append(now.name)
    return Reconciled(crashed=tuple(crashed), started=tuple(started), pruned=_prune(settings))


def _is_alive(
    client: SyncPrefectClient, run: FlowRun, campaign: Campaign | None, stalled: Sequence[Campaign], settings: Settings
) -> bool:
    if run.state_type is not None and run.state_type.value in ("PENDING", "SCHEDULED"):
        return _since(run) < YOUNG_S or run.state_type.value == "SCHEDULED"
    if campaign is not None and campaign.coordinator.endswith(f":{run.id}"):
        process = _process(campaign.coordinator)
        if process is not None:
            return process
        # Its right expires when it is silent in the ledger, which it needs more than Prefect.
        return campaign.campaign_id not in {one.campaign_id for one in stalled}
    silent = SILENT_BEATS * settings.heartbeat_s
    return _since(run) < silent or _has_beaten(client, run.id, silent)


def _process(owner: str) -> bool | None:
    """Whether the owner's process lives; None where it is another machine's."""
    host, _, rest = owner.partition(":")
    pid = rest.partition(":")[0]
    return _lives(int(pid)) if host == platform.node() and pid.isdigit() else None


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _since(run: FlowRun) -> float:
    changed = run.state.timestamp if run.state is not None else None
    return (datetime.now(UTC) - changed).total_seconds() if changed is not None else 0.0


def _has_beaten(client: SyncPrefectClient, run_id: UUID, within_s: float) -> bool:
    since = datetime.now(UTC) - timedelta(seconds=within_s)
    wanted = {
        "filter": {
            "occurred": {"since": since.isoformat(), "until": (datetime.now(UTC) + timedelta(minutes=1)).isoformat()},
            "event": {"name": ["prefect.flow-run.heartbeat"]},
            "resource": {"id": [f"prefect.flow-run.{run_id}"]},
        },
        "limit": 1,
    }
    answer = client._client.post("/events/filter", json=wanted)
    answer.raise_for_status()
    return bool(answer.json()["events"])


def _bury(client: SyncPrefectClient, ledger: Ledger, run: FlowRun, campaign: Campaign | None) -> None:
    if run.state_type is not None and run.state_type.value == "CANCELLING":
        # A person's cancel that its run did not live to write down.
        if campaign is not None and campaign.state in WANTS_A_FLOW | {CampaignState.PAUSED}:
            try:
                ledger.cancel(campaign.campaign_id)
                ledger.finish_cancel(campaign.campaign_id)
            except NotFound:
                log.warning("the campaign of the cancelled run %s is gone", run.name)
        client.set_flow_run_state(run.id, Cancelled(message="cancelled; its process had ended before"), force=True)
        return
    client.set_flow_run_state(run.id, Crashed(message="its process is dead; the campaign is in the ledger"), force=True)


def _prune(settings: Settings) -> int:
    """Delete yesterday's routine runs, and with `retention_days` all that ended before."""
    from prefect.client.schemas.filters import FlowFilter, FlowFilterName, FlowRunFilter
    from prefect.client.schemas.sorting import FlowRunSort

    count = 0
    spans = [(FlowFilter(name=FlowFilterName(any_=list(ROUTINE))), KEEP_ROUTINE)]
    if settings.retention_days:
        spans.append((FlowFilter(), timedelta(days=settings.retention_days)))
    with prefect_client() as client:
        for flows, age in spans:
            before = (datetime.now(UTC) - age).isoformat()
            wanted = FlowRunFilter.model_validate(
                {
                    "state": {"type": {"any_": ["COMPLETED", "CANCELLED", "FAILED", "CRASHED"]}},
                    "end_time": {"before_": before},
                }
            )
            for run in client.read_flow_runs(
                flow_filter=flows, flow_run_filter=wanted, sort=FlowRunSort.END_TIME_DESC, limit=200
            ):
                client.delete_flow_run(run.id)
                count += 1
    return count
