"""Hand an ended campaign over: its deliverables in a folder of its own, and the addresses they are found at."""

from __future__ import annotations

import logging
from pathlib import Path
from urllib.parse import quote

from flows.campaign.closing import Closing
from flows.delivery import Delivery, Report, deliver, silent
from schemas.campaign import Campaign
from schemas.errors import CallsheetError
from schemas.settings import Settings
from storage.ledger.protocol import Ledger
from storage.places import home_folder, open_store_of

log = logging.getLogger("callsheet.handover")

PAGES = {"gallery": "index.html", "results": "results.csv", "report": "report.md"}


def deliveries_folder(settings: Settings) -> Path:
    """Where flows put deliverables: one folder below it for each campaign."""
    named = Path(settings.deliveries).expanduser().absolute() if settings.deliveries else None
    return named or home_folder(settings) / "deliveries"


def hand_over(
    ledger: Ledger, campaign: Campaign, settings: Settings, *, out: Path | None = None, report: Report = silent
) -> tuple[Delivery, Closing]:
    """Write the deliverables as they stand now, and say where they are.

    Raises:
        CallsheetError: they cannot be written, or a stored file is not what the ledger says.
    """
    folder = out or deliveries_folder(settings) / campaign.campaign_id
    delivery = deliver(ledger, open_store_of(settings), campaign.campaign_id, folder, report=report)
    served = settings.deliveries_url if out is None else ""
    base = f"{served.rstrip('/')}/{quote(campaign.campaign_id)}" if served else folder.absolute().as_uri()
    links = {name: f"{base}/{page}" for name, page in PAGES.items() if (folder / page).is_file()}
    return delivery, Closing(final_line=delivery.final_line, links=links)


def try_hand_over(ledger: Ledger, campaign: Campaign, settings: Settings) -> Closing:
    """The same for a flow whose campaign is at its end already: what cannot be written is said, and that is all."""
    try:
        return hand_over(ledger, campaign, settings)[1]
    except CallsheetError as error:
        log.warning("the deliverables of %s were not written: %s", campaign.name, error)
        return Closing(final_line=f"the deliverables were not written: {error.message}")
