"""Which store keys somebody points to: one row per holder and key, so that the collector of orphans can page."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from storage.ledger.sql.database import CHUNK, Tx, chunks
from storage.ledger.tables import reference


def inputs_holder(campaign_id: str) -> str:
    """Of what the rows of a campaign are made of: many rows show the same face."""
    return f"inputs/{campaign_id}"


def manifest_holder(campaign_id: str) -> str:
    return f"manifest/{campaign_id}"


def clip_holder(render_key: str) -> str:
    return f"clip/{render_key}"


def video_holder(video_id: str) -> str:
    return f"video/{video_id}"


def refer(tx: Tx, holder: str, keys: Iterable[str]) -> None:
    """Let a holder point to these keys as well."""
    tx.insert_new(reference, [{"holder": holder, "key": key} for key in sorted(set(keys))])


def forget(tx: Tx, holders: Iterable[str]) -> None:
    """Let holders point to nothing."""
    for some in chunks(holders, CHUNK):
        tx.run(sa.delete(reference).where(reference.c.holder.in_(some)))


def keys_of(tx: Tx, holder: str) -> set[str]:
    return set(tx.conn.scalars(sa.select(reference.c.key).where(reference.c.holder == holder)))


def leave(tx: Tx, holder: str, keys: Iterable[str]) -> None:
    """Let a holder point to these keys no more."""
    for some in chunks(keys, CHUNK):
        tx.run(sa.delete(reference).where(reference.c.holder == holder, reference.c.key.in_(some)))


def referenced_keys(tx: Tx, *, after: str, limit: int) -> list[str]:
    above = sa.select(reference.c.key).where(reference.c.key > after).distinct()
    return list(tx.conn.scalars(above.order_by(reference.c.key).limit(limit)))
