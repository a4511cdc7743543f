"""`python -m tests.support.simulated_campaign VIDEOS`: a campaign whose progress is written into the ledger by hand,
shown in Prefect as a rendering one would be. The settings come from the environment."""

from __future__ import annotations

import sys
import time
from contextlib import closing

import sqlalchemy as sa

from flows.prefect_home import use_prefect
from flows.where import settings_now
from schemas.states import CampaignState
from storage.ledger.protocol import Ledger
from storage.places import ledger_url, open_ledger_of
from tests.support.ledgers import good_row, sheet

STEPS = 20


def advance(engine: sa.Engine, ledger: Ledger, campaign_id: str, share: float, failing: int) -> None:
    """Publish the sheet's first part; every `failing`-th video fails."""
    now = ledger.now()
    rows = "SELECT video_id FROM manifest_row WHERE campaign_id = :c AND position < :upto AND position % :n {} 0"
    values = {"c": campaign_id, "n": failing, "now": now, "upto": round(share)}
    with engine.begin() as connection:
        for state, code, sign in (("published", "", "<>"), ("failed", "BAD_INPUT", "=")):
            connection.execute(
                sa.text(
                    "UPDATE video SET state = :state, error_code = :code, error = :code, ended_at = :now "
                    f"WHERE state = 'waiting' AND video_id IN ({rows.format(sign)})"
                ),
                values | {"state": state, "code": code},
            )
            connection.execute(
                sa.text(f"UPDATE job SET state = :state WHERE state = 'queued' AND video_id IN ({rows.format(sign)})"),
                values | {"state": "rendered" if state == "published" else "failed"},
            )


def main() -> None:
    videos = int(sys.argv[1])
    settings = settings_now()
    use_prefect(settings)
    from prefect import flow

    from flows.campaign.coordinator import Snapshot
    from flows.campaign.prefect_view import PrefectView

    with closing(open_ledger_of(settings)) as ledger:
        rows = (good_row(f"r{n:05d}", prompt=f"scene {n}") for n in range(videos))
        campaign_id = ledger.submit(sheet(*rows, name="thousands")).campaign_id
        ledger.set_state(campaign_id, CampaignState.RUNNING)
        engine = sa.create_engine(ledger_url(settings))

        @flow(name="render-campaign", flow_run_name="render thousands", persist_result=False)
        def simulated() -> None:
            def round_done() -> None:
                now = ledger.campaign(campaign_id)
                view.snapshot(Snapshot(campaign=now, counts=ledger.counts(campaign_id), observing=False, joining=0))

            with PrefectView(ledger.campaign(campaign_id), settings, since=ledger.now()) as view:
                for step in range(1, STEPS + 1):
                    advance(engine, ledger, campaign_id, videos * step / STEPS, failing=50)
                    round_done()
                    time.sleep(settings.prefect_every_s)
                ledger.set_state(campaign_id, CampaignState.DONE_WITH_ERRORS)
                view.close()

        simulated()
        engine.dispose()


if __name__ == "__main__":
    main()
