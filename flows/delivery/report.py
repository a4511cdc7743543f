"""report.md: counts, speed, device time, what went wrong, what was slow."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from flows.delivery.collect import Collected, DeliveredVideo, error_groups
from flows.delivery.summary import (
    WORDS,
    clock,
    final_line,
    percent,
    percentile,
    size_text,
    times,
    wasted_share,
)
from flows.delivery.templating import render
from media.poster import contact_sheet
from schemas.states import VideoState
from storage.objects.protocol import ObjectStore
from storage.objects.verified import get_verified

SLOWEST = 10
ON_THE_SHEET = 24
"""Pictures on the contact sheet."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    label: str
    value: str


def report(collected: Collected, *, picture: str) -> str:
    """The page as Markdown; `picture` is the contact sheet's file name, empty for none."""
    return render(
        "report.md.j2",
        campaign=collected.campaign,
        collected=collected,
        line=final_line(collected),
        written=datetime.fromtimestamp(collected.collected_at, tz=UTC).strftime("%Y-%m-%d %H:%M UTC"),
        states=[(word, collected.states[state]) for state, word in WORDS.items() if collected.states.get(state)],
        rows=len(collected.rows),
        figures=figures(collected),
        groups=error_groups(collected),
        slowest=slowest(collected),
        picture=picture,
    )


def figures(collected: Collected) -> list[Figure]:
    """Speed and cost; what is not known yet is left out."""
    counts, took = collected.counts, times(collected)
    found = [Figure(label="Clips rendered for another campaign or row and reused", value=f"{counts.reused:,}")]
    published = [video.publication for video in collected.videos.values() if video.publication]
    seconds = sum(publication.duration_s for publication in published)
    if published:
        found.append(Figure(label="Finished video", value=f"{clock(seconds)}, {size_text(_bytes(collected))}"))
    elapsed = _elapsed(collected)
    if elapsed and took:
        rate = f"{3600 * len(took) / elapsed:,.0f} videos an hour over {clock(elapsed)}"
        found.append(Figure(label="Throughput", value=rate))
    if counts.device_s:
        found.append(Figure(label="GPU time spent", value=clock(counts.device_s)))
        wasted = (
            f"{clock(counts.wasted_device_s)} ({percent(wasted_share(collected))})"
            if wasted_share(collected)
            else "none"
        )
        found.append(Figure(label="of it wasted", value=wasted))
        if seconds:
            cost = f"{counts.device_s / seconds:.1f} s"
            found.append(Figure(label="GPU time for a second of video", value=cost))
    if took:
        spread = (
            f"{clock(percentile(took, 0.5))} (p50), {clock(percentile(took, 0.95))} (p95), {clock(took[-1])} (longest)"
        )
        found.append(Figure(label="Time for a video", value=spread))
    return found


def _bytes(collected: Collected) -> int:
    return sum(video.publication.video.size for video in collected.videos.values() if video.publication)


def _elapsed(collected: Collected) -> float:
    """From the first attempt of any video to the latest end."""
    started = [video.started_at for video in collected.videos.values() if video.started_at is not None]
    ended = [video.ended_at for video in collected.videos.values() if video.took_s is not None and video.ended_at]
    return max(0.0, max(ended) - min(started)) if started and ended else 0.0


def slowest(collected: Collected) -> list[DeliveredVideo]:
    timed = [video for video in collected.videos.values() if video.took_s is not None]
    return sorted(timed, key=lambda video: -(video.took_s or 0.0))[:SLOWEST]


def write_contact_sheet(collected: Collected, store: ObjectStore, stems: dict[str, str], out: Path) -> bool:
    """Posters of videos from all over the sheet on one picture; False when there is none yet."""
    chosen = _spread([video for video in collected.videos.values() if video.state is VideoState.PUBLISHED])
    if not chosen:
        return False
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number, video in enumerate(chosen):
            path = Path(folder) / f"{number}.jpg"
            if video.publication:
                get_verified(store, video.publication.poster, path)
            paths.append(path)
        contact_sheet(paths, out, columns=6 if len(paths) > 12 else 4, labels=[stems[v.video_id] for v in chosen])
    return True


def _spread(videos: Sequence[DeliveredVideo]) -> list[DeliveredVideo]:
    if len(videos) <= ON_THE_SHEET:
        return list(videos)
    return [videos[number * len(videos) // ON_THE_SHEET] for number in range(ON_THE_SHEET)]
