"""A campaign told for people: lines as things happen, tables as things stand. No Prefect in here."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from flows.delivery.summary import clock
from schemas.campaign import Campaign
from schemas.states import CAMPAIGN_CLAIMABLE, CAMPAIGN_ENDED, VIDEO_TERMINAL, VideoState
from schemas.status import Counts, EndedVideo, SliceCount, WorkerStatus

LISTED_APART = 20
"""More videos published between two looks share a line."""
_TOGETHER = {VideoState.PUBLISHED: LISTED_APART, VideoState.CANCELLED: 1, VideoState.SKIPPED: 1}
"""States of endings that share a line, when there are more than so many."""
EXAMPLES = 5
MOST_GROUPS = 50
MOST_WORKERS = 100
_LONGEST = 400
_PACE_PERCENT = 1.0
"""Less progress than this says nothing about pace."""
_WORTH_SAYING = VIDEO_TERMINAL - {VideoState.PUBLISHED} | {VideoState.NEEDS_REVIEW}


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the ledger said at one look."""

    campaign: Campaign
    counts: Counts
    slices: tuple[SliceCount, ...] = ()
    workers: tuple[WorkerStatus, ...] = ()
    ended: tuple[EndedVideo, ...] = ()
    """Since the look before, the earliest first."""
    now: float = 0.0

    @property
    def percent(self) -> float:
        """Joining is the last tenth, so that 100 % means that nothing is left to do."""
        if self.campaign.state in CAMPAIGN_ENDED:
            return 100.0
        frames = max(1, self.counts.clip_frames_total)
        videos = max(1, self.counts.total_videos)
        share = 90.0 * self.counts.clip_frames_done / frames + 10.0 * self.counts.ended_videos / videos
        return round(min(99.9, share), 1)


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of the flow run's log."""

    text: str
    level: int = logging.INFO


def opening(facts: Facts, failed: Sequence[EndedVideo] = ()) -> list[Line]:
    """What a run begins with; `failed` are videos that had failed before it, `facts.ended` those since it began."""
    counts = facts.counts
    jobs = sum(counts.jobs.values())
    said = f"campaign {facts.campaign.name} is {facts.campaign.state}: {counts.rows} rows, "
    said += f"{counts.total_videos} videos, {jobs} clips"
    if counts.reused:
        said += f", {counts.reused} of them rendered before"
    lines = [Line(text=said)]
    already = counts.ended_videos - len(facts.ended)
    if already > 0:
        words = f"{already} videos" if facts.ended else _words(counts.videos, ended=True)
        lines.append(Line(text=f"already at their end: {words}"))
    return [*lines, *(_ending(one) for one in failed[:LISTED_APART]), *_endings(facts.ended)]


def chapter(before: Facts, after: Facts) -> list[Line]:
    """What happened between two looks, each line with the rows it is about."""
    lines = [*_endings(after.ended), *_workers(before.workers, after.workers)]
    if before.campaign.revision != after.campaign.revision:
        lines.append(Line(text=f"the sheet was submitted again: {after.counts.rows} rows now"))
    if before.campaign.state is not after.campaign.state:
        words = _words(after.counts.videos)
        lines.append(Line(text=f"campaign {after.campaign.name} is {after.campaign.state}: {words}"))
    elif int(before.percent // 10) < int(after.percent // 10):
        lines.append(Line(text=f"{after.percent:.0f} %: {_words(after.counts.videos)}"))
    return lines


def _endings(ended: Sequence[EndedVideo]) -> list[Line]:
    """What nobody has to look into shares lines when there is much of it; every failure has its own."""
    lines = []
    for state, most in _TOGETHER.items():
        alike = [one for one in ended if one.state is state]
        if len(alike) > most:
            rows = ", ".join(one.row_id for one in alike)
            lines.append(Line(text=f"{len(alike)} videos {state}: rows {rows}"))
        else:
            lines += [_ending(one) for one in alike]
    return [*lines, *(_ending(one) for one in ended if one.state not in _TOGETHER)]


def _ending(one: EndedVideo) -> Line:
    film = "" if one.video == one.row_id else f" (video {one.video})"
    if one.state is VideoState.PUBLISHED:
        return Line(text=f"row {one.row_id}{film}: published")
    why = f": {one.error_code} {shorten(one.error)}".rstrip() if one.error_code or one.error else ""
    level = logging.WARNING if one.state in (VideoState.FAILED, VideoState.NEEDS_REVIEW) else logging.INFO
    return Line(text=f"row {one.row_id}{film} (line {one.line}): {one.state}{why}", level=level)


def _workers(before: Iterable[WorkerStatus], after: Iterable[WorkerStatus]) -> list[Line]:
    known = {worker.worker for worker in before}
    new = {worker.worker: worker for worker in after if worker.worker not in known and worker.pool}
    return [Line(text=f"worker {name} took row {worker.row_id}") for name, worker in sorted(new.items())][:10]


def _words(videos: dict[VideoState, int], *, ended: bool = False) -> str:
    return ", ".join(f"{n} {state}" for state, n in videos.items() if n and (not ended or state in VIDEO_TERMINAL))


def shorten(text: str) -> str:
    """One line of bounded length."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"


COORDINATES = Line(text="this run coordinates the campaign now")


def looks_on(coordinator: str) -> Line:
    """What a run says when another one coordinates."""
    return Line(text=f"{coordinator} coordinates this campaign; this run looks on")


def headline(facts: Facts, first: Facts | None = None) -> str:
    """The campaign in one sentence; `first` is the look that time left is reckoned from."""
    counts = facts.counts
    said = f"{facts.campaign.name}: {counts.videos.get(VideoState.PUBLISHED, 0)} of {counts.total_videos} videos"
    parts = [f"{said} published"]
    parts += [f"{n} {state}" for state, n in counts.videos.items() if n and state in _WORTH_SAYING]
    left = _time_left(first, facts)
    if left is not None:
        parts.append(f"about {clock(left)} left")
    if counts.device_s:
        wasted = f", {100 * counts.wasted_device_s / counts.device_s:.1f} % wasted" if counts.wasted_device_s else ""
        parts.append(f"GPU time {clock(counts.device_s)}{wasted}")
    return "; ".join(parts)


def _time_left(first: Facts | None, facts: Facts) -> float | None:
    """Seconds at the pace since `first`; None while it cannot be told."""
    if first is None or facts.campaign.state not in CAMPAIGN_CLAIMABLE:
        return None
    made, took = facts.percent - first.percent, facts.now - first.now
    return (100 - facts.percent) * took / made if made >= _PACE_PERCENT and took > 0 else None


# -- tables --------------------------------------------------------------------------------------------------------


def states_table(facts: Facts) -> list[dict[str, object]]:
    """Videos and rows by state; the sums are the campaign."""
    counts = facts.counts
    rows: list[dict[str, object]] = [
        {"state": state.value, "videos": counts.videos[state], "rows": counts.rows_by_video_state.get(state, 0)}
        for state in VideoState
        if counts.videos.get(state)
    ]
    return [*rows, {"state": "all", "videos": counts.total_videos, "rows": counts.rows}]


class FailureBook:
    """Failures by error code with a few examples each; grows as videos end, never with their number."""

    def __init__(self) -> None:
        self._examples: dict[str, dict[str, str]] = {}

    def add(self, ended: Iterable[EndedVideo]) -> None:
        for one in ended:
            if one.state in (VideoState.FAILED, VideoState.INVALID):
                held = self._examples.setdefault(_code(one.state, one.error_code), {})
                if len(held) < EXAMPLES:
                    held[one.row_id] = shorten(one.error)

    def table(self, facts: Facts) -> list[dict[str, object]]:
        """The most frequent first; only what is failed now counts."""
        groups: dict[str, int] = {}
        for part in facts.slices:
            if part.state in (VideoState.FAILED, VideoState.INVALID):
                code = _code(part.state, part.error_code)
                groups[code] = groups.get(code, 0) + part.videos
        ordered = sorted(groups.items(), key=lambda group: (-group[1], group[0]))[:MOST_GROUPS]
        return [
            {
                "error": code,
                "videos": videos,
                "for example": ", ".join(self._examples.get(code, {})),
                "message": next(iter(self._examples.get(code, {}).values()), ""),
            }
            for code, videos in ordered
        ]


def _code(state: VideoState, code: str) -> str:
    return code or ("BAD_ROW" if state is VideoState.INVALID else "UNKNOWN")


def workers_table(facts: Facts) -> list[dict[str, object]]:
    """Who holds a lease now."""
    return [
        {
            "worker": worker.worker,
            "row": worker.row_id,
            "does": f"{worker.phase} {worker.done}/{worker.total}" if worker.total else worker.phase,
            "seen": datetime.fromtimestamp(worker.seen_at, tz=UTC).strftime("%H:%M:%S UTC"),
        }
        for worker in facts.workers[:MOST_WORKERS]
    ]


def summary(facts: Facts, final_line: str, links: dict[str, str]) -> str:
    """The page that a finished campaign leaves, as Markdown."""
    counts = facts.counts
    lines = [f"# {_plain(facts.campaign.name)}: {facts.campaign.state}", "", final_line or _words(counts.videos), ""]
    lines += ["| state | videos |", "|---|---:|"]
    lines += [f"| {state} | {n} |" for state, n in counts.videos.items() if n]
    if links:
        lines += ["", *(f"- [{name}]({link})" for name, link in links.items())]
    failed = counts.videos.get(VideoState.FAILED, 0)
    if failed:
        lines += [
            "",
            f"{failed} videos failed: **Retry** this run, or `callsheet retry {_plain(facts.campaign.name)}`.",
        ]
    return "\n".join(lines)


def kept(counts: Counts) -> str:
    """What a cancelled campaign leaves."""
    published = counts.videos.get(VideoState.PUBLISHED, 0)
    clips = sum(n for state, n in counts.jobs.items() if state == "rendered")
    dropped = counts.videos.get(VideoState.CANCELLED, 0)
    return (
        f"cancelled: {published} published videos and {clips} rendered clips are kept, {dropped} videos were not made"
    )


def _plain(text: str) -> str:
    """A stranger's name without Markdown's signs."""
    return "".join(c if c.isalnum() or c in " ._-" else "_" for c in text)
