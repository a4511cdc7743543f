"""A person may act on a campaign in Prefect or in the ledger: which side follows which.

The ledger is the truth; a run's state in Prefect is an intent of a person when it changed there, and a display
otherwise.
"""

from __future__ import annotations

from enum import StrEnum

from schemas.states import CAMPAIGN_CLAIMABLE, CAMPAIGN_ENDED, CampaignState


class Follow(StrEnum):
    """What to do so that both sides say the same."""

    NOTHING = "nothing"
    CANCEL = "cancel"
    PAUSE = "pause"
    RESUME = "resume"
    SHOW_PAUSED = "show paused"
    SHOW_RUNNING = "show running"
    REVIVE = "revive"
    """Prefect takes this living run for dead, or for one that is yet to start."""


def follow(*, run_before: str, run: str, ledger_before: CampaignState, ledger: CampaignState) -> Follow:
    """Decide from two looks; `run` is the type of the flow run's state in Prefect."""
    if run == "CANCELLING":
        stopped = ledger in CAMPAIGN_ENDED or ledger is CampaignState.CANCELLING
        return Follow.NOTHING if stopped else Follow.CANCEL
    if run == "PAUSED":
        return _paused(run_before, ledger_before, ledger)
    if run in ("CRASHED", "SCHEDULED", "PENDING"):
        was_paused = run_before == "PAUSED" and ledger is CampaignState.PAUSED
        return Follow.RESUME if was_paused else Follow.REVIVE
    if run == "RUNNING" and ledger is CampaignState.PAUSED:
        if run_before == "PAUSED":
            return Follow.RESUME
        return Follow.SHOW_PAUSED
    return Follow.NOTHING


def _paused(run_before: str, ledger_before: CampaignState, ledger: CampaignState) -> Follow:
    if ledger is CampaignState.PAUSED:
        return Follow.NOTHING
    if ledger in CAMPAIGN_CLAIMABLE and run_before != "PAUSED" and ledger_before is not CampaignState.PAUSED:
        return Follow.PAUSE
    if ledger in CAMPAIGN_CLAIMABLE and ledger_before is not CampaignState.PAUSED:
        return Follow.NOTHING
    # Resumed, cancelled or ended in the ledger: a run that is paused could not even end.
    return Follow.SHOW_RUNNING
