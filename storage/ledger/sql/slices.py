"""How far each slice of a campaign is, and what ended lately: what is shown of ten thousand videos at every look."""

from __future__ import annotations

import sqlalchemy as sa

from schemas.states import VideoState
from schemas.status import EndedVideo, SliceCount
from storage.ledger.sql.database import Tx
from storage.ledger.tables import live, row, video


def slices(tx: Tx, campaign_id: str, parts: int) -> list[SliceCount]:
    place = _places(campaign_id)
    cut = (
        sa.select(
            video.c.name,
            video.c.state,
            video.c.error_code,
            place.c.first,
            place.c.last,
            sa.func.ntile(parts).over(order_by=place.c.first).label("slice"),
        )
        .join(place, place.c.video_id == video.c.video_id)
        .where(live(video))
        .subquery()
    )
    found = tx.rows(
        sa.select(
            cut.c.slice,
            cut.c.state,
            cut.c.error_code,
            sa.func.count().label("videos"),
            sa.func.min(cut.c.first).label("first"),
            sa.func.max(cut.c.last).label("last"),
            sa.func.min(cut.c.name).label("video"),
        )
        .group_by(cut.c.slice, cut.c.state, cut.c.error_code)
        .order_by(cut.c.slice, cut.c.state, cut.c.error_code)
    )
    return [SliceCount(**{**record, "state": VideoState(record["state"])}) for record in found]


def ended(tx: Tx, campaign_id: str, *, after: float, limit: int) -> list[EndedVideo]:
    place = _places(campaign_id)
    found = tx.rows(
        sa.select(
            video.c.name.label("video"),
            row.c.row_id,
            row.c.line,
            video.c.state,
            video.c.error_code,
            video.c.error,
            video.c.ended_at,
        )
        .join(place, place.c.video_id == video.c.video_id)
        .join(row, sa.and_(row.c.campaign_id == campaign_id, row.c.position == place.c.first, live(row)))
        .where(live(video), video.c.ended_at > after)
        .order_by(video.c.ended_at, row.c.position)
        .limit(limit)
    )
    return [EndedVideo(**{**record, "state": VideoState(record["state"])}) for record in found]


def _places(campaign_id: str) -> sa.Subquery:
    """Where the rows of each video lie in the sheet."""
    return (
        sa.select(row.c.video_id, sa.func.min(row.c.position).label("first"), sa.func.max(row.c.position).label("last"))
        .where(row.c.campaign_id == campaign_id, live(row))
        .group_by(row.c.video_id)
        .subquery()
    )
