"""Verbs that begin with a sheet: validate, plan, submit, run."""

from __future__ import annotations

import signal
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli import options as o
from flows.cli.console import bar, emit_json, say
from flows.cli.sheet_shown import (
    report_as_dict,
    sheet_as_dict,
    show_difference,
    show_plan,
    show_problems,
    show_sheet,
)
from flows.cli.verb import add
from schemas.planning import summarise
from schemas.states import VideoState
from storage.places import open_ledger_of, open_store_of

if TYPE_CHECKING:
    from flows.campaign.intake import Checked, ManifestSource

# What reads sheets and decodes media is imported where it is used: all other verbs start without it.

SOME_FAILED = 1
BAD_SHEET = 2


def register(app: typer.Typer) -> None:
    add(app, validate)
    add(app, plan)
    add(app, submit)
    add(app, run)


def source_of(
    manifest: Path, *, campaign: str, mapping: str, delimiter: str | None, **overrides: Any
) -> ManifestSource:
    from flows.campaign.intake import ManifestSource
    from schemas.manifest.columns import parse_mapping

    return ManifestSource(
        path=manifest,
        campaign=campaign,
        mapping=parse_mapping(mapping),
        delimiter=delimiter,
        overrides=o.overrides(**overrides),
    )


def validate(
    manifest: o.Manifest,
    mapping: o.MapOption = "",
    delimiter: o.Delimiter = None,
    engine: o.Engine = None,
    model: o.Model = None,
    home: o.Home = None,
    as_json: o.Json = False,
) -> int:
    """Find every problem of every row; nothing is stored and nothing is paid for."""
    from flows.cli.submitting import with_checked

    source = source_of(manifest, campaign="", mapping=mapping, delimiter=delimiter, engine=engine, model=model)
    settings = o.settings_from(home)

    def show(checked: Checked) -> int:
        summary = summarise(checked.rows)
        if as_json:
            emit_json({**sheet_as_dict(checked, summary), "problems": [p.as_dict() for p in checked.problems]})
        else:
            show_sheet(checked, summary)
            show_problems(checked.problems)
        return BAD_SHEET if checked.problems else 0

    return with_checked(source, settings, show, as_json=as_json)


def plan(
    manifest: o.Manifest,
    campaign: o.CampaignOption = "",
    mapping: o.MapOption = "",
    delimiter: o.Delimiter = None,
    engine: o.Engine = None,
    model: o.Model = None,
    ranks: o.Ranks = None,
    workers: Annotated[int, typer.Option(min=1, help="Workers to reckon the wall time with.")] = 1,
    home: o.Home = None,
    as_json: o.Json = False,
) -> int:
    """What a sheet would cost: videos, clips, lengths, device time, and the difference to what the ledger has."""
    from flows.campaign.intake import to_submission
    from flows.cli.submitting import with_checked

    source = source_of(
        manifest, campaign=campaign, mapping=mapping, delimiter=delimiter, engine=engine, model=model, ranks=ranks
    )
    settings = o.settings_from(home)

    def show(checked: Checked) -> int:
        summary = summarise(checked.rows)
        with closing(open_ledger_of(settings)) as ledger:
            report = ledger.submit(to_submission(checked, None), dry_run=True)
        if as_json:
            emit_json({**sheet_as_dict(checked, summary), **report_as_dict(report)})
        else:
            show_sheet(checked, summary)
            show_plan(checked, summary, report, workers)
            show_problems(checked.problems)
        return BAD_SHEET if checked.problems else 0

    return with_checked(source, settings, show, as_json=as_json)


def submit(
    manifest: o.Manifest,
    campaign: o.CampaignOption = "",
    mapping: o.MapOption = "",
    delimiter: o.Delimiter = None,
    engine: o.Engine = None,
    model: o.Model = None,
    ranks: o.Ranks = None,
    valid_only: o.ValidOnly = False,
    start: Annotated[bool, typer.Option("--start/--no-start", help="Let workers lease it at once.")] = True,
    dry_run: o.DryRun = False,
    yes: o.Yes = False,
    home: o.Home = None,
    as_json: o.Json = False,
) -> int:
    """Put a campaign into the ledger; only the difference to an earlier submit will be rendered."""
    from flows.cli.submitting import let_run, submit_sheet

    source = source_of(
        manifest, campaign=campaign, mapping=mapping, delimiter=delimiter, engine=engine, model=model, ranks=ranks
    )
    settings = o.settings_from(home)
    report, _ = submit_sheet(source, settings, valid_only=valid_only, dry_run=dry_run, yes=yes, quiet=as_json)
    if start and not dry_run:
        with closing(open_ledger_of(settings)) as ledger:
            let_run(ledger, ledger.campaign(report.campaign_id))
    if as_json:
        emit_json(report_as_dict(report))
    else:
        show_difference(report, dry_run=dry_run)
    return 0


def run(
    manifest: o.Manifest,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for videos, results, gallery and report; out/CAMPAIGN by default."),
    ] = None,
    campaign: o.CampaignOption = "",
    mapping: o.MapOption = "",
    delimiter: o.Delimiter = None,
    engine: o.Engine = None,
    model: o.Model = None,
    ranks: o.Ranks = None,
    workers: Annotated[int, typer.Option(min=1, help="Worker processes on this machine.")] = 1,
    valid_only: o.ValidOnly = False,
    dry_run: o.DryRun = False,
    yes: o.Yes = False,
    home: o.Home = None,
    as_json: o.Json = False,
) -> int:
    """Submit and render here and now; run it again with the same arguments to go on where it stopped."""
    from flows.cli.rendering import TerminalView, render_here
    from flows.cli.submitting import let_run, submit_sheet

    # A supervisor's SIGTERM deserves the same orderly end as Ctrl-C.
    signal.signal(signal.SIGTERM, _as_interrupt)
    source = source_of(
        manifest, campaign=campaign, mapping=mapping, delimiter=delimiter, engine=engine, model=model, ranks=ranks
    )
    settings = o.settings_from(home)
    out = out or Path("out") / source.name
    report, _ = submit_sheet(source, settings, valid_only=valid_only, dry_run=dry_run, yes=yes, quiet=as_json, out=out)
    if not as_json:
        show_difference(report, dry_run=dry_run)
    if dry_run:
        if as_json:
            emit_json(report_as_dict(report))
        return 0
    with closing(open_ledger_of(settings)) as ledger:
        let_run(ledger, ledger.campaign(report.campaign_id))
        with bar(quiet=as_json) as shown:
            render_here(report.campaign_id, settings, workers=workers, observer=TerminalView(shown, ledger))
        from flows.delivery import deliver

        with bar(quiet=as_json) as shown:
            delivery = deliver(ledger, open_store_of(settings), report.campaign_id, out, report=shown)
        counts = ledger.counts(report.campaign_id)
        state = ledger.campaign(report.campaign_id).state
    if as_json:
        emit_json({**report_as_dict(report), "state": state.value, **delivery.as_dict()})
    else:
        say(f"videos   {out / 'videos'}")
        say(f"gallery  {out / 'index.html'}")
        say(f"results  {out / 'results.csv'}")
        say(f"report   {out / 'report.md'}")
        if delivery.failed_rows:
            say(f"failed   {out / 'failed.csv'} (mend it and submit it again)")
        say(delivery.final_line)
    return 0 if counts.videos.get(VideoState.PUBLISHED, 0) == counts.total_videos else SOME_FAILED


def _as_interrupt(_signum: int, _frame: object) -> None:
    raise KeyboardInterrupt
