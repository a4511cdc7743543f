"""What the flows do, without Prefect: submit a sheet, render a campaign here."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from uuid import uuid4

from flows.campaign.collector import collector_at_rest
from flows.campaign.coordinator import Coordinator, Snapshot
from flows.campaign.drive import Observer, drive
from flows.campaign.intake import (
    ManifestSource,
    Report,
    checked_manifest,
    silent,
    store_inputs,
    submitted_folders,
    to_submission,
)
from flows.campaign.local_workers import LocalWorkers
from flows.stages.executor import make_executor
from schemas.campaign import Campaign
from schemas.errors import InvalidManifest
from schemas.model_spec import find_model
from schemas.settings import Settings
from schemas.states import CAMPAIGN_ENDED, CampaignState, VideoState
from schemas.submission import SubmitReport
from storage.ledger.protocol import Ledger
from storage.places import open_ledger_of, open_store_of


def submit(
    source: ManifestSource,
    settings: Settings,
    *,
    valid_only: bool = False,
    dry_run: bool = False,
    report: Report = silent,
) -> SubmitReport:
    """Check a sheet, store its inputs, and make the ledger's campaign what the sheet says.

    Raises:
        InvalidManifest: there are problems and `valid_only` is not set; nothing was stored.
    """
    executor = make_executor(settings)
    try:
        known_folders = partial(submitted_folders, settings)
        with checked_manifest(source, settings, executor, report, known_folders=known_folders) as checked:
            if not checked.is_clean and not (valid_only and any(row.is_valid for row in checked.rows)):
                raise InvalidManifest(
                    f"{len(checked.problems)} problems in {source.path.name}; nothing was submitted",
                    fix="mend the rows, or submit the good ones alone (valid_only)",
                    problems=checked.problems,
                )
            with closing(open_ledger_of(settings)) as ledger:
                manifest = None if dry_run else store_inputs(checked, open_store_of(settings), executor, report)
                with collector_at_rest():
                    return ledger.submit(to_submission(checked, manifest), dry_run=dry_run)
    finally:
        executor.close()


def render(
    campaign: Campaign,
    ledger: Ledger,
    settings: Settings,
    *,
    workers: int,
    observers: Sequence[Observer],
    run: str = "",
) -> Snapshot:
    """Drive a campaign to its end in this process. `run` tells coordinators of one process apart."""
    ensure_running(ledger, campaign)
    executor = make_executor(settings)
    coordinator = Coordinator(
        ledger=ledger,
        executor=executor,
        settings=settings,
        campaign_id=campaign.campaign_id,
        owner=f"{platform.node()}:{os.getpid()}:{run or uuid4().hex[:8]}",
        worker=f"{platform.node()}-flow",
    )
    try:
        return drive(
            coordinator,
            workers=local_workers(campaign, settings, workers) if workers else None,
            observers=observers,
        )
    finally:
        executor.close()


def ensure_running(ledger: Ledger, campaign: Campaign) -> None:
    """A planned campaign runs; one that has ended or is paused stays as it is."""
    if campaign.state is CampaignState.PLANNED:
        ledger.set_state(campaign.campaign_id, CampaignState.RUNNING)


def retry_what_failed(ledger: Ledger, campaign: Campaign) -> int:
    """Queue again what failed or was cancelled in an ended campaign; how many videos that is."""
    if campaign.state not in CAMPAIGN_ENDED:
        return 0
    return ledger.retry(campaign.campaign_id, states=(VideoState.FAILED, VideoState.CANCELLED)).videos


def local_workers(campaign: Campaign, settings: Settings, count: int) -> LocalWorkers | None:
    """Worker processes for a campaign that has something left to render."""
    if campaign.state in CAMPAIGN_ENDED:
        return None
    model = find_model(campaign.settings.model)
    return LocalWorkers(
        settings=settings,
        engine=campaign.settings.engine or model.engine,
        model=model.name,
        ranks=campaign.settings.ranks,
        count=count,
        campaign_id=campaign.campaign_id,
        log_folder=Path(settings.home) / "logs",
    )
