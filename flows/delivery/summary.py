"""A delivery in one line and in figures."""

from __future__ import annotations

import math
from collections.abc import Sequence

from flows.delivery.collect import Collected, error_groups
from schemas.states import VideoState

WORDS = {
    VideoState.PUBLISHED: "published",
    VideoState.FAILED: "failed",
    VideoState.INVALID: "invalid",
    VideoState.NEEDS_REVIEW: "review",
    VideoState.CANCELLED: "cancelled",
    VideoState.SKIPPED: "skipped",
    VideoState.CHECKING: "checking",
    VideoState.STITCHING: "stitching",
    VideoState.RENDERING: "rendering",
    VideoState.WAITING: "waiting",
}
"""Every state in the order that a summary names them."""

CODES_NAMED = 5


def final_line(collected: Collected) -> str:
    """`10000 videos: 9971 published, 21 failed, 8 review; 412 reused; 1.8 % GPU time wasted; p50 9m12s p95 14m40s;
    AUDIO_SILENT x6`; what is zero or unknown is left out, `published` never."""
    counts, videos = collected.counts, len(collected.videos)
    states = ", ".join(
        f"{collected.states.get(state, 0)} {word}"
        for state, word in WORDS.items()
        if collected.states.get(state, 0) or state is VideoState.PUBLISHED
    )
    parts = [f"{videos} {'video' if videos == 1 else 'videos'}: {states}"]
    if counts.reused:
        parts.append(f"{counts.reused} reused")
    if wasted := wasted_share(collected):
        parts.append(f"{percent(wasted)} GPU time wasted")
    if took := times(collected):
        parts.append(f"p50 {clock(percentile(took, 0.5))} p95 {clock(percentile(took, 0.95))}")
    groups = error_groups(collected)
    if groups:
        named = [f"{group.code} x{group.rows}" for group in groups[:CODES_NAMED]]
        more = len(groups) - CODES_NAMED
        parts.append(", ".join([*named, *([f"{more} more codes"] if more > 0 else [])]))
    return "; ".join(parts)


def wasted_share(collected: Collected) -> float:
    """Device time of attempts that did not end well, as a share of all."""
    counts = collected.counts
    return counts.wasted_device_s / counts.device_s if counts.device_s else 0.0


def times(collected: Collected) -> list[float]:
    """Seconds from first attempt to publication of every published video that was rendered for it, shortest first."""
    return sorted(
        video.took_s
        for video in collected.videos.values()
        if video.state is VideoState.PUBLISHED and video.took_s is not None
    )


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of the values do not exceed (nearest rank)."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def percent(share: float) -> str:
    """`1.8 %`; what would read as zero but is not reads as `<0.1 %`."""
    return "<0.1 %" if share < 0.0005 else f"{100 * share:.1f} %"


def clock(seconds: float) -> str:
    """`0.4s`, `41s`, `9m12s`, `3h05m`, `2d04h`."""
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86_400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86_400}d{whole % 86_400 // 3600:02d}h"


def size_text(size: int) -> str:
    """Bytes for people, in powers of 1000."""
    if size < 1000:
        return f"{size} B"
    power = min(4, int(math.log10(size) / 3 + 1e-9))
    value, unit = size / 1000**power, ("B", "kB", "MB", "GB", "TB")[power]
    return f"{value:.0f} {unit}" if value >= 10 else f"{value:.1f} {unit}"
