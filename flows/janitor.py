"""What goes on when nobody looks: leases that expired, campaigns whose flow died, runs that Prefect has wrong.

Every step is safe to do twice, and two janitors at once do no harm. What is alive is decided by the ledger: whoever
coordinates holds a right that expires.
"""

from __future__ import annotations

import logging
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from flows.campaign.handover import deliveries_folder
from schemas.campaign import Campaign
from schemas.errors import CallsheetError
from schemas.settings import Settings
from schemas.states import CAMPAIGN_CLAIMABLE, CampaignState
from schemas.status import ReapReport
from storage.ledger.protocol import Ledger
from storage.objects.orphans import find_orphans
from storage.objects.protocol import ObjectStore

log = logging.getLogger("callsheet.janitor")

WANTS_A_FLOW = CAMPAIGN_CLAIMABLE | {CampaignState.CANCELLING}
ORPHAN_AGE_S = 2 * 86_400.0
_PROBE_TTL_S = 5.0
DAY_S = 86_400.0


@dataclass(kw_only=True)
class Rounds:
    """What one round did."""

    reaped: ReapReport = field(default_factory=ReapReport)
    stalled: list[Campaign] = field(default_factory=list)
    """Campaigns that want a flow and have no coordinator, each with the one that it had last."""
    cancelled: list[str] = field(default_factory=list)


def sweep_ledger(ledger: Ledger) -> Rounds:
    """End expired leases, finish cancels whose flow died, and find campaigns that nobody coordinates.

    Raises:
        Retryable: the ledger is away.
    """
    rounds = Rounds(reaped=ledger.reap())
    for campaign in ledger.campaigns():
        if campaign.state is CampaignState.CANCELLING and ledger.finish_cancel(campaign.campaign_id):
            rounds.cancelled.append(campaign.name)
        elif campaign.state in WANTS_A_FLOW and not is_coordinated(ledger, campaign):
            rounds.stalled.append(campaign)
    return rounds


def is_coordinated(ledger: Ledger, campaign: Campaign) -> bool:
    """Whether somebody's right is alive. Found out by asking for it; what is got is given back."""
    me = f"{platform.node()}:{os.getpid()}:janitor-{uuid4().hex[:8]}"
    if ledger.coordinate(campaign.campaign_id, me, ttl=_PROBE_TTL_S) is None:
        return True
    ledger.resign(campaign.campaign_id, me)
    return False


def remove_orphans(
    ledger: Ledger,
    store: ObjectStore,
    *,
    older_than_s: float = ORPHAN_AGE_S,
    clock: Callable[[], float] = time.time,
) -> int:
    """Delete stored objects that nothing points to and that are older than two days; how many.

    Raises:
        Permanent: store or ledger answer out of order; nothing more is deleted.
    """
    count = 0
    for found in find_orphans(store, _keys(ledger), older_than_s=older_than_s, now=clock()):
        store.delete(found.key)
        count += 1
    return count


def _keys(ledger: Ledger) -> Iterator[str]:
    after = ""
    while page := ledger.referenced_keys(after=after):
        yield from page
        after = page[-1]


def apply_retention(settings: Settings, *, clock: Callable[[], float] = time.time) -> int:
    """Remove swept sheets and exported deliverables older than `retention_days`; how many. Off by default.

    What the ledger points to is never touched.
    """
    if not settings.retention_days:
        return 0
    before = clock() - settings.retention_days * DAY_S
    count = 0
    for folder in _kept_folders(settings):
        for entry in sorted(folder.iterdir()) if folder.is_dir() else ():
            if entry.is_dir() and not entry.is_symlink() and entry.stat().st_mtime < before:
                shutil.rmtree(entry, ignore_errors=True)
                count += 1
    return count


def _kept_folders(settings: Settings) -> list[Path]:
    from urllib.parse import unquote, urlsplit

    from flows.inbox.drop import DONE, FAILED
    from flows.inbox.place import inbox_url

    found = [deliveries_folder(settings)]
    address = urlsplit(inbox_url(settings))
    if address.scheme == "file":
        found += [Path(unquote(address.path)) / name for name in (DONE, FAILED)]
    return found


def quietly(what: str, act: Callable[[], int]) -> int:
    """One step whose trouble must not stop the others."""
    try:
        return act()
    except CallsheetError as error:
        log.warning("%s: %s", what, error.message)
        return 0
