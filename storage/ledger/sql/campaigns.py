"""Campaigns: finding them, moving them along, and who coordinates them."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import BindParameter

from schemas.campaign import Campaign
from schemas.errors import CoordinatorLost, NotFound
from schemas.states import VIDEO_TERMINAL, CampaignState
from storage.ledger import gate, rules
from storage.ledger.sql.database import Tx
from storage.ledger.sql.prepared import Record
from storage.ledger.sql.records import to_campaign
from storage.ledger.tables import campaign, job, live, video

_MINE: BindParameter[str] = sa.bindparam("its_id")
_NAMED: BindParameter[str] = sa.bindparam("name_or_id")
_FOUND = sa.select(campaign).where(sa.or_(campaign.c.campaign_id == _NAMED, campaign.c.name == _NAMED))


def find(tx: Tx, name_or_id: str) -> Campaign:
    """By id, else by name. Raises NotFound, naming the campaigns that exist."""
    found = tx.rows(_FOUND, name_or_id=name_or_id)
    by_id = [record for record in found if record["campaign_id"] == name_or_id]
    if by_id or len(found) == 1:
        return to_campaign((by_id or found)[0])
    if found:
        ids = ", ".join(sorted(record["campaign_id"] for record in found))
        raise NotFound(f"{len(found)} teams have a campaign {name_or_id!r}", fix=f"name it by id: {ids}")
    raise unknown(name_or_id, [record["name"] for record in tx.rows(sa.select(campaign.c.name))])


def unknown(name_or_id: str, names: list[str]) -> NotFound:
    if not names:
        return NotFound(f"there is no campaign {name_or_id!r}, nor any other", fix="submit one first")
    shown = ", ".join(sorted(names)[:20])
    return NotFound(f"there is no campaign {name_or_id!r}", fix=f"choose from {shown}")


def newest_first(tx: Tx) -> list[Campaign]:
    order = (campaign.c.created_at.desc(), campaign.c.campaign_id)
    return [to_campaign(record) for record in tx.rows(sa.select(campaign).order_by(*order))]


_LOCKED = sa.select(campaign).where(campaign.c.campaign_id == _MINE).with_for_update(key_share=True)


def lock(tx: Tx, campaign_id: str) -> Record:
    """The campaign's record, locked against every other writer. Raises NotFound."""
    found = tx.first(_LOCKED, its_id=campaign_id)
    if found is None:
        raise unknown(campaign_id, list(tx.conn.scalars(sa.select(campaign.c.campaign_id))))
    return found


def require_coordinator(record: Record, epoch: int | None) -> None:
    if epoch is not None and epoch != record["coordinator_epoch"]:
        raise CoordinatorLost(
            f"{record['coordinator'] or 'nobody'} coordinates {record['name']} under epoch"
            f" {record['coordinator_epoch']}; this flow's is {epoch}",
            fix="look on; do not write",
        )


def move(tx: Tx, record: Record, target: CampaignState) -> None:
    """Move a locked campaign through the gate and hold its work back, or let it go, in the same transaction."""
    source = CampaignState(record["state"])
    gate.campaign_step(source, target)
    gate.campaign_end(target, _unfinished(tx, record["campaign_id"]))
    tx.run(
        sa.update(campaign)
        .where(campaign.c.campaign_id == record["campaign_id"])
        .values(state=target.value, updated_at=tx.now)
    )
    held = rules.is_held(target)
    if held != rules.is_held(source):
        for table in (job, video):
            mine = (table.c.campaign_id == record["campaign_id"], table.c.held != held)
            tx.run(sa.update(table).where(*mine).values(held=held))


def _unfinished(tx: Tx, campaign_id: str) -> int:
    """How many of its videos have not ended; while the campaign is locked none begins again."""
    ended = [state.value for state in VIDEO_TERMINAL]
    mine = (video.c.campaign_id == campaign_id, live(video), video.c.state.not_in(ended))
    count: int = tx.scalar(sa.select(sa.func.count()).where(*mine))
    return count


_OWNER: BindParameter[str] = sa.bindparam("new_owner")
_IS_FREE = sa.or_(
    campaign.c.coordinator == "",
    campaign.c.coordinator == _OWNER,
    campaign.c.coordinator_expires_at <= sa.bindparam("tx_now"),
)
_COORDINATED = (
    sa.update(campaign)
    .where(campaign.c.campaign_id == _MINE, _IS_FREE)
    .values(
        coordinator=_OWNER,
        coordinator_epoch=campaign.c.coordinator_epoch + sa.case((campaign.c.coordinator == _OWNER, 0), else_=1),
        coordinator_expires_at=sa.bindparam("new_expiry"),
    )
    .returning(campaign.c.coordinator_epoch)
)


def coordinate(tx: Tx, campaign_id: str, owner: str, *, ttl: float) -> int | None:
    """One statement decides, so that of two flows at the same moment one becomes the observer."""
    epoch: int | None = tx.scalar(
        _COORDINATED, its_id=campaign_id, new_owner=owner, tx_now=tx.now, new_expiry=tx.now + ttl
    )
    if epoch is None:
        find(tx, campaign_id)
    return epoch


def resign(tx: Tx, campaign_id: str, owner: str) -> None:
    tx.run(
        sa.update(campaign)
        .where(campaign.c.campaign_id == campaign_id, campaign.c.coordinator == owner)
        .values(coordinator="", coordinator_expires_at=0.0)
    )
