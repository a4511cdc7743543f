"""The janitor: the real rounds over the ledger and the real sweep of orphans, now and then, as a timer starts them."""

from __future__ import annotations

from collections.abc import Callable

from flows.janitor import remove_orphans, sweep_ledger
from schemas.errors import CallsheetError
from storage.objects.orphans import MIN_AGE_S
from storage.objects.protocol import ObjectStore
from tests.simulation.bank import Bank, Teller
from tests.simulation.fate import Fate
from tests.simulation.warehouse import Shelf, Warehouse
from tests.simulation.world import Process


def start_janitor(process: Process, *, bank: Bank, warehouse: Warehouse, fate: Fate) -> None:
    """A janitor that makes its rounds for ever. It may die in one; the next one is another's, or nobody's."""
    world = process.world

    def run() -> None:
        ledger, store = Teller(bank, process, fate), Shelf(warehouse, process, fate)
        while True:
            process.sleep(world.random.uniform(5.0, 60.0))
            try:
                sweep_ledger(ledger)
                sweep_orphans(ledger, store, clock=world.ledger_clock)
            except CallsheetError as error:
                world.note(process.name, "a round broken off:", error.message)

    process.start(run)


def sweep_orphans(ledger: Teller, store: ObjectStore, *, clock: Callable[[], float]) -> int:
    """As the janitor does, with the least age that it may ask for."""
    return remove_orphans(ledger, store, older_than_s=MIN_AGE_S, clock=clock)
