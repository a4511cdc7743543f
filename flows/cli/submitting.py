"""From a sheet's path to a campaign in the ledger, as a person at a terminal goes through it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from functools import partial
from pathlib import Path

from flows.campaign.intake import (
    Checked,
    ManifestSource,
    checked_manifest,
    store_inputs,
    submitted_folders,
    to_submission,
)
from flows.cli.console import Bar, bar, confirm, duration, note
from flows.stages.executor import Executor, make_executor
from schemas.campaign import Campaign
from schemas.errors import InvalidManifest
from schemas.planning import PlanSummary, summarise
from schemas.settings import Settings
from schemas.states import CampaignState
from schemas.submission import SubmitReport
from storage.ledger.protocol import Ledger
from storage.places import open_ledger_of, open_store_of


def check(
    source: ManifestSource, settings: Settings, executor: Executor, shown: Bar
) -> AbstractContextManager[Checked]:
    """The sheet checked, its rows allowed to start from folders that were submitted from before."""
    return checked_manifest(source, settings, executor, shown, known_folders=partial(submitted_folders, settings))


def with_checked(source: ManifestSource, settings: Settings, show: Callable[[Checked], int], *, as_json: bool) -> int:
    """Check the sheet under a progress bar and hand it to `show`."""
    executor = make_executor(settings)
    try:
        with bar(quiet=as_json) as shown, check(source, settings, executor, shown) as checked:
            shown.__exit__()
            return show(checked)
    finally:
        executor.close()


def submit_sheet(
    source: ManifestSource,
    settings: Settings,
    *,
    valid_only: bool,
    dry_run: bool,
    yes: bool,
    quiet: bool,
    out: Path | None = None,
) -> tuple[SubmitReport, PlanSummary]:
    """Check, say what it touches, ask, store, and submit. `out` is where the campaign will be delivered to, if here.

    Raises:
        InvalidManifest: there are problems and `valid_only` is not set; nothing was stored.
        InvalidInput, Refused: nothing could be delivered to `out`; nothing was stored.
    """
    executor = make_executor(settings)
    try:
        with bar(quiet=quiet) as shown, check(source, settings, executor, shown) as checked:
            shown.__exit__()
            refuse_bad_rows(checked, valid_only=valid_only)
            summary = summarise(checked.rows)
            with closing(open_ledger_of(settings)) as ledger:
                report = ledger.submit(to_submission(checked, None), dry_run=True)
                if out is not None:
                    from flows.delivery.folder import require_room  # who only submits draws no gallery

                    require_room(out, report.campaign_id)
                if dry_run:
                    return report, summary
                if not report.changes_nothing:
                    ask(report, summary, yes=yes, quiet=quiet)
                return _store_and_submit(checked, ledger, settings, executor, quiet=quiet), summary
    finally:
        executor.close()


def _store_and_submit(
    checked: Checked, ledger: Ledger, settings: Settings, executor: Executor, *, quiet: bool
) -> SubmitReport:
    with bar(quiet=quiet) as shown:
        manifest = store_inputs(checked, open_store_of(settings), executor, shown)
    return ledger.submit(to_submission(checked, manifest))


def refuse_bad_rows(checked: Checked, *, valid_only: bool) -> None:
    if checked.is_clean or (valid_only and any(row.is_valid for row in checked.rows)):
        return
    raise InvalidManifest(
        f"{len(checked.problems)} problems in {checked.source.path.name}; nothing was submitted",
        fix=f"mend the rows (callsheet validate {checked.source.path} lists them), or leave them out with --valid-only",
        problems=checked.problems,
    )


def ask(report: SubmitReport, summary: PlanSummary, *, yes: bool, quiet: bool) -> None:
    if not quiet:
        note(
            f"{report.added} rows added, {report.changed} changed, {report.removed} removed: "
            f"{report.jobs_new} clips to render, about {duration(summary.device_s)} on one device for the whole sheet"
        )
    confirm("submit?", yes=yes)


def let_run(ledger: Ledger, campaign: Campaign) -> None:
    if campaign.state is CampaignState.PLANNED:
        ledger.set_state(campaign.campaign_id, CampaignState.RUNNING)
