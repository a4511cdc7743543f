"""A checked sheet and what submitting it changes: tables for people, dictionaries for `--json`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flows.cli.console import duration, say, table
from schemas.planning import PlanSummary
from schemas.problem import RowProblem, group_problems
from schemas.submission import SubmitReport

if TYPE_CHECKING:
    from flows.campaign.intake import Checked

LISTED = 50
"""Problems listed one by one for a person; --json has all."""


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
