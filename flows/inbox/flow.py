"""The scheduled flow that sweeps the inbox."""

from __future__ import annotations

from contextlib import closing

from prefect import flow, get_run_logger

from flows.campaign.runs import request_render
from flows.inbox.place import open_inbox
from flows.inbox.sweep import Fate, sweep
from flows.where import settings_now
from schemas.errors import Retryable
from schemas.redaction import Redactor
from schemas.states import CampaignState
from schemas.submission import SubmitReport
from storage.places import open_ledger_of


@flow(name="sweep-inbox", flow_run_name="sweep the inbox", persist_result=False)
def sweep_inbox() -> dict[str, int]:
    """Make campaigns of the sheets in the inbox; how many were submitted, refused, put back, and wait.

    A sheet waits while it or its files are still being written, and for a while for files that it names.
    """
    logger, settings = get_run_logger(), settings_now()
    clean = Redactor.of(settings)

    def submitted(report: SubmitReport) -> None:
        with closing(open_ledger_of(settings)) as ledger:
            campaign = ledger.campaign(report.campaign_id)
            if campaign.state is CampaignState.PLANNED:
                ledger.set_state(campaign.campaign_id, CampaignState.RUNNING)
            if not report.changes_nothing:
                request_render(ledger.campaign(report.campaign_id), "a sheet came into the inbox")

    counts = dict.fromkeys((fate.value for fate in Fate), 0)
    try:
        outcomes = sweep(open_inbox(settings), settings, submitted=submitted)
    except Retryable as error:
        logger.warning("the inbox is away: %s", clean(error.message))
        return counts
    for one in outcomes:
        counts[one.fate.value] += 1
        if one.report is not None:
            said = f"{one.report.campaign_id}: {one.report.added} rows added, {one.report.jobs_new} clips to render"
        else:
            said = one.why
        logger.info("%s %s: %s", one.name, one.fate.value, clean(said))
    return counts
