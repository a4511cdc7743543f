"""Slices and endings of MemoryLedger: `storage.ledger.sql.slices`, word for word, without SQL."""

from __future__ import annotations

from collections import Counter

from schemas.states import VideoState
from schemas.status import EndedVideo, SliceCount
from storage.ledger.memory.state import RowEntry, State, VideoEntry


def slices(state: State, campaign_id: str, parts: int) -> list[SliceCount]:
    order = list(_rows_by_video(state, campaign_id).items())
    found: dict[tuple[int, VideoState, str], list[tuple[VideoEntry, list[RowEntry]]]] = {}
    for (video_id, rows), number in zip(order, _ntile(len(order), parts), strict=True):
        video = state.videos[video_id]
        found.setdefault((number, video.state, video.error_code), []).append((video, rows))
    return [
        SliceCount(
            slice=number,
            state=kind,
            error_code=code,
            videos=len(held),
            first=min(rows[0].position for _, rows in held),
            last=max(rows[-1].position for _, rows in held),
            video=min(video.name for video, _ in held),
        )
        for (number, kind, code), held in sorted(found.items())
    ]


def ended(state: State, campaign_id: str, *, after: float, limit: int) -> list[EndedVideo]:
    found = []
    for video_id, rows in _rows_by_video(state, campaign_id).items():
        video = state.videos[video_id]
        if video.ended_at is not None and video.ended_at > after:
            found.append(
                EndedVideo(
                    video=video.name,
                    row_id=rows[0].row_id,
                    line=rows[0].line,
                    state=video.state,
                    error_code=video.error_code,
                    error=video.error,
                    ended_at=video.ended_at,
                )
            )
    return sorted(found, key=lambda one: (one.ended_at, one.line))[:limit]


def _rows_by_video(state: State, campaign_id: str) -> dict[str, list[RowEntry]]:
    """In the order of first rows."""
    found: dict[str, list[RowEntry]] = {}
    for row in state.campaign_rows(campaign_id):
        found.setdefault(row.video_id, []).append(row)
    return found


def _ntile(count: int, parts: int) -> list[int]:
    """SQL's NTILE: the first slices hold one more where it does not divide."""
    sizes = Counter(number % parts for number in range(count))
    return [number + 1 for number in sorted(sizes) for _ in range(sizes[number])]
