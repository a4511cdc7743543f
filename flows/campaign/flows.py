"""The flows of a campaign. Each is re-runnable at any moment: every step is an `ensure`, and the ledger is the truth.

Import this module only after `flows.prefect_home.use_prefect`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any, Literal

from prefect import Flow, flow, get_run_logger
from prefect.client.schemas.objects import FlowRun, State
from prefect.context import FlowRunContext
from prefect.exceptions import TerminationSignal
from prefect.runtime import flow_run as this_run
from prefect.states import Cancelled, Completed, Failed
from pydantic import Field

from flows.campaign.closing import Closing
from flows.campaign.coordinator import Snapshot
from flows.campaign.drive import Observer
from flows.campaign.handover import hand_over, try_hand_over
from flows.campaign.intake import ManifestSource
from flows.campaign.prefect_view import PrefectView
from flows.campaign.remote_sheet import sheet_at
from flows.campaign.render import local_workers, render, retry_what_failed, submit
from flows.campaign.runs import prefect_client, request_render
from flows.campaign.story import kept
from flows.where import settings_now
from schemas.campaign import Campaign
from schemas.errors import CallsheetError, InvalidManifest, Retryable
from schemas.problem import group_problems
from schemas.states import CampaignState, VideoState
from storage.ledger.protocol import Ledger
from storage.places import open_ledger_of

__all__ = ["LOOKING_ON", "export_campaign", "local_workers", "render", "render_campaign", "submit", "submit_campaign"]

LOOKING_ON: ContextVar[Sequence[Observer]] = ContextVar("LOOKING_ON", default=())
"""Observers of this process, such as the terminal's progress bar: no parameter of a flow, which must be JSON."""

CANCEL_WITHIN_S = 20.0
KILLED_AFTER_S = 27.0
"""A runner kills a cancelled run after half a minute; by then its workers and Prefect have been told."""

_STOPPED = {CampaignState.STOPPED_BUDGET: "StoppedBudget", CampaignState.STOPPED_FAILURES: "StoppedFailures"}


def _name_of_submit() -> str:
    """`submit spring.csv`: the folders before it only fill the page."""
    return f"submit {str(this_run.parameters.get('manifest', '')).rpartition('/')[2]}"


@flow(name="submit-campaign", flow_run_name=_name_of_submit, persist_result=False)
def submit_campaign(
    manifest: Annotated[str, Field(min_length=1)],
    *,
    campaign: str = "",
    engine: str = "",
    model: str = "",
    bad_rows: Literal["refuse the sheet", "leave their videos out"] = "refuse the sheet",
    start: bool = True,
) -> str:
    """Make a campaign out of a sheet, or bring it up to date; its id.

    Args:
        manifest: The CSV: a path on the machine that runs the flow, or s3://bucket/folder/sheet.csv
        campaign: Name of the campaign; the file's stem when left empty
        engine: What renders; the model's own engine when left empty
        model: Model whose limits hold; what campaign.toml beside the sheet says when left empty
        bad_rows: What becomes of a sheet with bad rows; refused, nothing of it is stored
        start: Render it at once
    """
    logger, settings = get_run_logger(), settings_now()
    overrides = {"engine": engine or None, "model": model or None}
    with sheet_at(manifest, settings) as place:
        source = ManifestSource(path=place.path, campaign=campaign, overrides=overrides, base=place.base)
        try:
            report = submit(source, settings, valid_only=bad_rows != "refuse the sheet")
        except InvalidManifest as error:
            for group in group_problems(error.problems):
                logger.warning("%s", group)
            raise
    logger.info(
        "campaign %s: %d rows added, %d changed, %d unchanged, %d removed, %d bad; %d clips to render",
        report.campaign_id,
        report.added,
        report.changed,
        report.unchanged,
        report.removed,
        report.invalid,
        report.jobs_new,
    )
    if start:
        with closing(open_ledger_of(settings)) as ledger:
            run_id = request_render(ledger.campaign(report.campaign_id), "its sheet was submitted")
        logger.info("render run %s", run_id or "not asked for: the deployment is not registered (callsheet deploy)")
    return report.campaign_id


def _name_of_render() -> str:
    """`render spring` instead of an id; an id while the ledger is away."""
    named = str(this_run.parameters.get("campaign_id", ""))
    with suppress(CallsheetError), closing(open_ledger_of(settings_now(), create=False)) as ledger:
        return f"render {ledger.campaign(named).name}"
    return f"render {named}"


def cancel_in_ledger(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:  # noqa: ARG001 - Prefect's names
    """A runner's hook for a run that it had to kill: writes down the cancel that the run could not.

    A runner that shuts down calls it too, and that cancels nothing: what counts is the state that a person set.
    """
    with prefect_client() as client:
        now = client.read_flow_run(flow_run.id).state
    if now is not None and now.is_cancelling():
        with closing(open_ledger_of(settings_now())) as ledger:
            campaign = ledger.campaign(str(flow_run.parameters["campaign_id"]))
            ledger.cancel(campaign.campaign_id)
            ledger.finish_cancel(campaign.campaign_id)


@flow(
    name="render-campaign",
    flow_run_name=_name_of_render,
    on_cancellation=[cancel_in_ledger],
    persist_result=False,
)
def render_campaign(
    campaign_id: Annotated[str, Field(min_length=1)],
    workers: Annotated[int, Field(ge=0, le=64)] = 0,
    retry_failed: bool = False,
    deliver: bool = True,
) -> State[Any]:
    """Bring a campaign to its end. Rows come from the ledger, never from the sheet.

    A second run for the same campaign looks on. Cancel stops the workers at their next batch of frames and keeps what
    is published; Pause and Resume hold and go on; Retry renders again only what failed.

    Args:
        campaign_id: Name or id of a submitted campaign
        workers: Worker processes to start beside this run; 0 where workers run already
        retry_failed: First queue again what failed or was cancelled, and only that
        deliver: Write results, report and gallery when the campaign ends
    """
    settings = settings_now()
    with closing(_opened_ledger()) as ledger:
        campaign = ledger.campaign(campaign_id)
        if retry_failed or _is_retried():
            videos = retry_what_failed(ledger, campaign)
            get_run_logger().info("%d videos that failed or were cancelled are queued again", videos)
            campaign = ledger.campaign(campaign_id)
        with PrefectView(campaign, settings, since=ledger.now()) as view:
            observers = (view, *LOOKING_ON.get())
            run = str(view.run_id)
            try:
                end = render(campaign, ledger, settings, workers=workers, observers=observers, run=run)
            except TerminationSignal:
                # SIGTERM alone cancels nothing; a person in the UI does.
                told_at = time.monotonic()
                if view.obey():
                    _wait_for_cancel(ledger, campaign.campaign_id)
                    view.allow(KILLED_AFTER_S - (time.monotonic() - told_at))
                raise
            last = Closing()
            if deliver and not end.observing:
                last = try_hand_over(ledger, end.campaign, settings)
            view.close(last)
            return _said_once(_final_state(end, last))


def _said_once(state: State[Any]) -> State[Any]:
    """A final state that is not Completed is an answer, not a fault: no traceback ends the story."""
    if not state.is_completed():
        runs = logging.getLogger("prefect.flow_runs")
        runs.addFilter(lambda record: "exited with unexpected exception" not in record.getMessage())
    return state


def _opened_ledger() -> Ledger:
    """A ledger that is away when a run begins is waited for, as it is later on."""
    wait_s = 1.0
    while True:
        try:
            return open_ledger_of(settings_now())
        except Retryable as error:
            get_run_logger().warning("the ledger is away (%s); trying again in %.0f s", error.message, wait_s)
            time.sleep(wait_s)
            wait_s = min(30.0, wait_s * 2)


def _is_retried() -> bool:
    context = FlowRunContext.get()
    return bool(context and context.flow_run and context.flow_run.run_count > 1)


def _wait_for_cancel(ledger: Ledger, campaign_id: str) -> None:
    deadline = time.monotonic() + CANCEL_WITHIN_S
    while time.monotonic() < deadline:
        ledger.reap()
        if ledger.finish_cancel(campaign_id):
            get_run_logger().info("%s", kept(ledger.counts(campaign_id)))
            return
        time.sleep(0.5)
    get_run_logger().info("workers are still stopping; the janitor ends the campaign")


def _final_state(end: Snapshot, last: Closing) -> State[Any]:
    """A campaign with failures is a failed run, so that it is red, can be retried, and wakes automations."""
    videos = end.counts.videos
    words = last.final_line or ", ".join(f"{n} {state}" for state, n in videos.items() if n)
    match end.campaign.state:
        case CampaignState.DONE:
            return Completed(message=words)
        case CampaignState.CANCELLED:
            return Cancelled(message=kept(end.counts))
        case CampaignState.DONE_WITH_ERRORS:
            if videos.get(VideoState.FAILED) or videos.get(VideoState.INVALID):
                return Failed(name="DoneWithErrors", message=words)
            return Completed(name="DoneWithGaps", message=words)
        case stopped:
            return Failed(name=_STOPPED.get(stopped, "Stopped"), message=words)


@flow(name="export-campaign", flow_run_name="export {campaign_id}", persist_result=False)
def export_campaign(campaign_id: Annotated[str, Field(min_length=1)], out: str = "") -> dict[str, str]:
    """Write videos, results, report and gallery of a campaign as it stands now; the addresses of the pages.

    Args:
        campaign_id: Name or id of a campaign
        out: Folder on the machine that runs the flow; the installation's own when left empty
    """
    settings = settings_now()
    with closing(open_ledger_of(settings)) as ledger:
        campaign: Campaign = ledger.campaign(campaign_id)
        delivery, last = hand_over(ledger, campaign, settings, out=Path(out) if out else None)
    get_run_logger().info("%s: %s", delivery.out, delivery.final_line)
    return dict(last.links)
