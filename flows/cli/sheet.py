"""Verbs that begin with a sheet: validate, plan, submit, run."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.campaign.coordinator import Snapshot
from flows.campaign.intake import (
    Checked,
    ManifestSource,
    checked_manifest,
    store_inputs,
    submitted_folders,
    to_submission,
)
from flows.cli import options as o
from flows.cli.console import Bar, bar, confirm, duration, emit_json, note, say, table
from flows.cli.verb import add
from flows.stages.executor import Executor, make_executor
from flows.where import use_settings
from schemas.campaign import Campaign
from schemas.errors import InvalidManifest
from schemas.manifest.columns import parse_mapping
from schemas.planning import PlanSummary, summarise
from schemas.problem import RowProblem, group_problems
from schemas.redaction import public_address
from schemas.settings import Settings
from schemas.states import CampaignState, VideoState
from schemas.submission import SubmitReport
from storage.ledger.protocol import Ledger
from storage.places import open_ledger_of, open_store_of

LISTED = 50
"""Problems listed one by one for a person; --json has all."""

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
    # A supervisor's SIGTERM deserves the same orderly end as Ctrl-C.
    signal.signal(signal.SIGTERM, _as_interrupt)
    source = source_of(
        manifest, campaign=campaign, mapping=mapping, delimiter=delimiter, engine=engine, model=model, ranks=ranks
    )
    settings = o.settings_from(home)
    out = out or Path("out") / source.name
    report, _ = submit_sheet(source, settings, valid_only=valid_only, dry_run=dry_run, yes=yes, quiet=as_json)
    if not as_json:
        show_difference(report, dry_run=dry_run)
    if dry_run:
        if as_json:
            emit_json(report_as_dict(report))
        return 0
    with closing(open_ledger_of(settings)) as ledger:
        let_run(ledger, ledger.campaign(report.campaign_id))
        with bar(quiet=as_json) as shown:
            render_here(report.campaign_id, settings, workers=workers, observer=TerminalView(shown))
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


# -- shared by the verbs above -------------------------------------------------------------------------------------


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
    source: ManifestSource, settings: Settings, *, valid_only: bool, dry_run: bool, yes: bool, quiet: bool
) -> tuple[SubmitReport, PlanSummary]:
    """Check, say what it touches, ask, store, and submit.

    Raises:
        InvalidManifest: there are problems and `valid_only` is not set; nothing was stored.
    """
    executor = make_executor(settings)
    try:
        with bar(quiet=quiet) as shown, check(source, settings, executor, shown) as checked:
            shown.__exit__()
            refuse_bad_rows(checked, valid_only=valid_only)
            summary = summarise(checked.rows)
            with closing(open_ledger_of(settings)) as ledger:
                report = ledger.submit(to_submission(checked, None), dry_run=True)
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
        return
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


def show_sheet(checked: Checked, summary: PlanSummary) -> None:
    say(f"{checked.source.path.name}: {summary.rows} rows, {summary.videos} videos")
    for sentence in checked.parsed.assumed:
        say(f"  {sentence}")


def show_plan(checked: Checked, summary: PlanSummary, report: SubmitReport, workers: int) -> None:
    setup = checked.setup
    sizes = ", ".join(f"{size} x{n}" for size, n in summary.sizes.items())
    modes = ", ".join(f"{mode} x{n}" for mode, n in summary.modes.items())
    table(
        ["plan", ""],
        [
            ("campaign", checked.source.name),
            ("engine, model", f"{setup.engine.name}, {setup.model.name}"),
            ("videos", f"{summary.valid_videos} of {summary.videos}"),
            ("rows", f"{summary.valid_rows} of {summary.rows}"),
            ("modes", modes),
            ("sizes", sizes),
            ("clips", f"{summary.clips}: {report.jobs_new} to render, {report.jobs_reused} rendered before"),
            ("length", f"{duration(summary.seconds)} in all, longest video {duration(summary.longest_video_s)}"),
            ("device time", f"about {duration(summary.device_s)} for the whole sheet"),
            ("wall time", f"about {duration(summary.device_s / workers)} with {workers} workers"),
        ],
    )
    show_difference(report, dry_run=True)


def show_difference(report: SubmitReport, *, dry_run: bool) -> None:
    if report.changes_nothing:
        say(f"campaign {report.campaign_id}: nothing new, {report.unchanged} rows unchanged")
        return
    counted = [(report.added, "added"), (report.changed, "changed"), (report.removed, "removed")]
    counted += [(report.unchanged, "unchanged"), (report.invalid, "invalid")]
    parts = ", ".join(f"{n} {word}" for n, word in counted if n)
    verb = "would be" if dry_run else "are"
    say(f"campaign {report.campaign_id}: rows {verb} {parts}; clips to render: {report.jobs_new}")


def show_problems(problems: tuple[RowProblem, ...]) -> None:
    if not problems:
        say("no problems")
        return
    say()
    for group in group_problems(problems):
        say(str(group))
    say()
    table(
        ["line", "row_id", "column", "problem"],
        [(p.line, p.row_id, p.column, f"{p.code}: {p.message}") for p in problems[:LISTED]],
    )
    if len(problems) > LISTED:
        say(f"... and {len(problems) - LISTED} more; --json lists all")


def sheet_as_dict(checked: Checked, summary: PlanSummary) -> dict[str, Any]:
    return {
        "valid": checked.is_clean,
        "manifest": str(checked.source.path),
        "campaign": checked.source.name,
        "assumed": list(checked.parsed.assumed),
        "engine": checked.setup.engine.name,
        "model": checked.setup.model.name,
        "rows": summary.rows,
        "valid_rows": summary.valid_rows,
        "videos": summary.videos,
        "valid_videos": summary.valid_videos,
        "clips": summary.clips,
        "seconds": summary.seconds,
        "device_s": summary.device_s,
        "modes": summary.modes,
        "sizes": summary.sizes,
        "groups": [
            {"code": g.code.value, "rows": g.rows, "first_line": g.first_line, "fix": g.fix}
            for g in group_problems(checked.problems)
        ],
    }


def report_as_dict(report: SubmitReport) -> dict[str, Any]:
    return {
        "campaign_id": report.campaign_id,
        "created": report.created,
        "revision": report.revision,
        "added": report.added,
        "changed": report.changed,
        "unchanged": report.unchanged,
        "removed": report.removed,
        "invalid": report.invalid,
        "jobs_new": report.jobs_new,
        "jobs_reused": report.jobs_reused,
    }
