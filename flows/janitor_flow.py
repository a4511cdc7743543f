"""The scheduled flow that looks after what nobody looks after."""

from __future__ import annotations

from contextlib import closing

from prefect import flow, get_run_logger

from flows.janitor import apply_retention, quietly, remove_orphans, sweep_ledger
from flows.reconcile import reconcile
from flows.where import settings_now
from schemas.errors import Retryable
from storage.places import open_ledger_of, open_store_of


@flow(name="janitor", flow_run_name="janitor", persist_result=False)
def janitor(orphans: bool = False) -> dict[str, int]:
    """End expired leases, start successors of flows that died, put Prefect right, and tidy up.

    Args:
        orphans: Also delete stored objects that nothing has pointed to for two days
    """
    logger, settings = get_run_logger(), settings_now()
    try:
        with closing(open_ledger_of(settings)) as ledger:
            rounds = sweep_ledger(ledger)
            put_right = reconcile(ledger, rounds.stalled, settings)
            done = {
                "leases_expired": rounds.reaped.requeued + rounds.reaped.quarantined + rounds.reaped.joins,
                "runs_started": len(put_right.started),
                "runs_crashed": len(put_right.crashed),
                "runs_pruned": put_right.pruned,
                "cancels_finished": len(rounds.cancelled),
                "orphans_removed": quietly("orphans", lambda: remove_orphans(ledger, open_store_of(settings)))
                if orphans
                else 0,
                "folders_removed": quietly("retention", lambda: apply_retention(settings)),
            }
    except Retryable as error:
        logger.warning("the ledger is away: %s", error.message)
        return {}
    for name in put_right.started:
        logger.warning("campaign %s had no living run; a new one is asked for", name)
    for name in put_right.crashed:
        logger.warning("%s was shown as running by a process that is dead", name)
    logger.info("%s", ", ".join(f"{n} {what.replace('_', ' ')}" for what, n in done.items() if n) or "nothing to do")
    return done
