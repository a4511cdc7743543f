"""Verbs that look and change nothing: status, rows, watch, explain, workers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Any

import typer

from flows.cli import options as o
from flows.cli.console import bar, clean, duration, emit_json, say, table
from flows.cli.verb import add
from schemas.campaign import Campaign
from schemas.errors import InvalidInput
from schemas.states import CAMPAIGN_ENDED, VideoState
from schemas.status import Counts, Explanation, JobStatus, RowStatus
from storage.ledger.protocol import Ledger
from storage.places import open_ledger_of

SOME_FAILED = 1


def register(app: typer.Typer) -> None:
    add(app, status)
    add(app, rows)
    add(app, watch)
    add(app, explain)
    add(app, workers)


def status(
    campaign: Annotated[str, typer.Argument(help="Name or id; all campaigns when left out.")] = "",
    home: o.Home = None,
    as_json: o.Json = False,
) -> int:
    """How a campaign stands: counts by state, progress, what waits for what."""
    with closing(open_ledger_of(o.settings_from(home))) as ledger:
        if not campaign:
            return list_campaigns(ledger, as_json=as_json)
        found = ledger.campaign(campaign)
        counts = ledger.counts(found.campaign_id)
        waiting = ledger.waiting(found.campaign_id)
    if as_json:
        emit_json(status_as_dict(found, counts) | {"waiting": {str(k): n for k, n in waiting.items()}})
        return 0
    say(f"{found.name} ({found.campaign_id}) is {found.state}", style="bold")
    table(["videos", "count"], [(state.value, n) for state, n in counts.videos.items() if n])
    say()
    table(["clips", "count"], [(state.value, n) for state, n in counts.jobs.items() if n])
    if waiting:
        say()
        table(["waiting for", "clips"], [(str(reason), n) for reason, n in waiting.items()])
    say()
    say(progress_line(counts))
    return 0


def list_campaigns(ledger: Ledger, *, as_json: bool) -> int:
    campaigns = [(campaign, ledger.counts(campaign.campaign_id)) for campaign in ledger.campaigns()]
    if as_json:
        emit_json([status_as_dict(campaign, counts) for campaign, counts in campaigns])
        return 0
    if not campaigns:
        say("no campaigns yet; `callsheet run SHEET.csv --out DIR` makes one")
        return 0
    table(
        ["campaign", "state", "videos", "published", "updated"],
        [
            (
                campaign.name,
                campaign.state.value,
                counts.total_videos,
                counts.videos.get(VideoState.PUBLISHED, 0),
                moment(campaign.updated_at),
            )
            for campaign, counts in campaigns
        ],
    )
    return 0


def rows(
    campaign: o.CampaignName,
    state: Annotated[list[str] | None, typer.Option("--state", help="Only rows in this state; repeatable.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many rows.")] = 100,
    home: o.Home = None,
    as_json: o.Json = False,
) -> int:
    """The rows of a campaign with their state, in the sheet's order."""
    states = parse_states(state or ())
    with closing(open_ledger_of(o.settings_from(home))) as ledger:
        found = ledger.campaign(campaign)
        listed = list(islice(ledger.rows(found.campaign_id, states=states, limit=limit), limit))
    if as_json:
        emit_json([row_as_dict(row) for row in listed])
        return 0
    table(
        ["line", "row_id", "video", "state", "tries", "error"],
        [(row.line, row.row_id, row.video, row.state.value, row.attempts, row.error_code) for row in listed],
    )
    if len(listed) == limit:
        say(f"the first {limit} rows; --limit shows more, --state filters")
    return 0


def watch(
    campaign: o.CampaignName,
    every: Annotated[float, typer.Option(min=0.2, help="Seconds between looks.")] = 2.0,
    home: o.Home = None,
    as_json: o.Json = False,
) -> int:
    """Follow a campaign to its end; with --json one document per change."""
    with closing(open_ledger_of(o.settings_from(home))) as ledger, bar(quiet=as_json) as shown:
        campaign_id = ledger.campaign(campaign).campaign_id
        last: dict[str, Any] = {}
        while True:
            found, counts = ledger.campaign(campaign_id), ledger.counts(campaign_id)
            shown("rendering frames", counts.clip_frames_done, counts.clip_frames_total)
            shown("videos done", counts.ended_videos, counts.total_videos)
            now = status_as_dict(found, counts)
            if as_json and now != last:
                emit_json(now)
                last = now
            if found.state in CAMPAIGN_ENDED:
                break
            time.sleep(every)
    if not as_json:
        say(f"{found.name} is {found.state}: {progress_line(counts)}")
    return 0 if counts.videos.get(VideoState.PUBLISHED, 0) == counts.total_videos else SOME_FAILED


def explain(campaign: o.CampaignName, row_id: str, home: o.Home = None, as_json: o.Json = False) -> int:
    """Why a row is where it is: its clips, every attempt, whom it blames, what it waits for."""
    with closing(open_ledger_of(o.settings_from(home))) as ledger:
        found = ledger.explain(ledger.campaign(campaign).campaign_id, row_id)
    if as_json:
        emit_json(explanation_as_dict(found))
        return 0
    row = found.row
    say(f"{row.row_id} (line {row.line}, video {clean(row.video)}) is {row.state}", style="bold")
    for problem in row.problems:
        say(f"  {problem.code}: {clean(problem.message)}; fix: {problem.fix}")
    if row.error:
        say(f"  {row.error_code}: {clean(row.error)}")
    if found.reason:
        until = f" until {moment(found.until)}" if found.until else ""
        say(f"  waits for {found.reason}{until}; {found.ahead} clips are ahead of it")
    if row.publication:
        say(f"  published as {row.publication.video.key}")
    if found.jobs:
        say()
        table(["clip", "state", "frames", "from", "phase", "worker"], [job_cells(job) for job in found.jobs])
    if found.attempts:
        say()
        table(
            ["began", "took", "worker", "ended", "blame", "why"],
            [
                (
                    moment(a.started_at),
                    duration(a.ended_at - a.started_at) if a.ended_at else "",
                    a.worker,
                    a.ending.value if a.ending else "under way",
                    a.blame.value if a.blame else "",
                    a.message,
                )
                for a in found.attempts
            ],
        )
    return 0


def workers(
    campaign: Annotated[str, typer.Option("--campaign", help="Only those at work for this campaign.")] = "",
    home: o.Home = None,
    as_json: o.Json = False,
) -> int:
    """Workers that hold a lease now, and how far they are."""
    with closing(open_ledger_of(o.settings_from(home))) as ledger:
        found = ledger.workers(ledger.campaign(campaign).campaign_id if campaign else None)
        now = ledger.now()
    if as_json:
        emit_json([worker.__dict__ for worker in found])
        return 0
    if not found:
        say("no worker holds a lease")
        return 0
    table(
        ["worker", "row", "phase", "done", "seen", "lease ends"],
        [
            (
                w.worker,
                w.row_id,
                w.phase,
                f"{w.done}/{w.total}" if w.total else "",
                f"{duration(now - w.seen_at)} ago",
                f"in {duration(max(0.0, w.expires_at - now))}",
            )
            for w in found
        ],
    )
    return 0


# -- shared --------------------------------------------------------------------------------------------------------


def parse_states(words: Sequence[str]) -> tuple[VideoState, ...]:
    """Raises InvalidInput for a word that is no video state, naming the known ones."""
    known = {state.value: state for state in VideoState}
    unknown = [word for word in words if word not in known]
    if unknown:
        raise InvalidInput(f"no state {', '.join(unknown)}", fix=f"choose from {', '.join(known)}")
    return tuple(known[word] for word in words)


def moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def progress_line(counts: Counts) -> str:
    share = 100 * counts.clip_frames_done / counts.clip_frames_total if counts.clip_frames_total else 100.0
    return (
        f"{counts.ended_videos} of {counts.total_videos} videos ended, {share:.0f} % of frames rendered, "
        f"{counts.reused} clips reused, {duration(counts.device_s)} of device time"
    )


def status_as_dict(campaign: Campaign, counts: Counts) -> dict[str, Any]:
    return {
        "campaign_id": campaign.campaign_id,
        "name": campaign.name,
        "team": campaign.team,
        "state": campaign.state.value,
        "revision": campaign.revision,
        "created_at": campaign.created_at,
        "updated_at": campaign.updated_at,
        "rows": counts.rows,
        "total_videos": counts.total_videos,
        "videos": {state.value: counts.videos.get(state, 0) for state in VideoState},
        "jobs": {state.value: n for state, n in counts.jobs.items()},
        "clip_frames_done": counts.clip_frames_done,
        "clip_frames_total": counts.clip_frames_total,
        "reused": counts.reused,
        "device_s": counts.device_s,
        "wasted_device_s": counts.wasted_device_s,
    }


def row_as_dict(row: RowStatus) -> dict[str, Any]:
    return {
        "row_id": row.row_id,
        "line": row.line,
        "video": row.video,
        "state": row.state.value,
        "seed": row.seed,
        "attempts": row.attempts,
        "device_s": row.device_s,
        "error_code": row.error_code,
        "error": row.error,
        "problems": [problem.as_dict() for problem in row.problems],
        "video_key": row.publication.video.key if row.publication else "",
    }


def job_cells(job: JobStatus) -> tuple[object, ...]:
    request = job.job.request
    phase = f"{job.phase} {job.done}/{job.total}" if job.total else job.phase
    state = f"{job.state} (reused)" if job.reused else job.state.value
    return (job.job.index + 1, state, request.keep_frames, request.start_frame, phase, job.worker)


def explanation_as_dict(found: Explanation) -> dict[str, Any]:
    return {
        **row_as_dict(found.row),
        "campaign_id": found.campaign.campaign_id,
        "campaign_state": found.campaign.state.value,
        "reason": found.reason.value if found.reason else None,
        "until": found.until,
        "ahead": found.ahead,
        "jobs": [
            {
                "job_id": job.job_id,
                "index": job.job.index,
                "state": job.state.value,
                "epoch": job.epoch,
                "worker": job.worker,
                "phase": job.phase,
                "done": job.done,
                "total": job.total,
                "reused": job.reused,
                "clip_key": job.clip_key,
                "render_key": job.job.render_key,
            }
            for job in found.jobs
        ],
        "attempts": [attempt.as_json() for attempt in found.attempts],
    }
