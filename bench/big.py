"""A campaign with as many rows as a sheet may well have, made once per kind of database and run."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

from bench.databases import Databases
from bench.figure import Size
from bench.progress import say
from bench.sheets import sheet, submission
from schemas.states import CampaignState
from storage.ledger.open import open_ledger
from storage.ledger.options import LedgerOptions

ROWS = {Size.FULL: 100_000, Size.QUICK: 10_000, Size.TINY: 20}


@dataclass(frozen=True, kw_only=True)
class Campaign:
    url: str
    """Of a database that nobody may write to: copy it first."""
    campaign_id: str
    rows: int


class BigCampaigns:
    """Running campaigns of which nothing is rendered yet."""

    def __init__(self, size: Size) -> None:
        self._rows = ROWS[size]
        self._made: dict[str, Campaign] = {}

    def on(self, databases: Databases) -> Campaign:
        if databases.name not in self._made:
            self._made[databases.name] = self._make(databases)
        return self._made[databases.name]

    def _make(self, databases: Databases) -> Campaign:
        say(f"making a campaign of {self._rows:,} rows on {databases.name}")
        url = databases.new()
        with closing(open_ledger(url, options=LedgerOptions(), create=True)) as ledger:
            campaign_id = ledger.submit(submission(sheet(self._rows))).campaign_id
            ledger.set_state(campaign_id, CampaignState.RUNNING)
        return Campaign(url=url, campaign_id=campaign_id, rows=self._rows)
