"""When a worker should give up on its device or node: decided from what happened, without looking at either."""

from __future__ import annotations

OPENS = 3
"""A gang that cannot be opened so often in a row will not open here."""

LOSSES = 5
"""A gang lost over so many different jobs, with no clip finished in between, is not those jobs' fault."""


class Health:
    def __init__(self) -> None:
        self._failed_opens = 0
        self._lost: set[str] = set()

    def opened(self) -> None:
        self._failed_opens = 0

    def open_failed(self) -> None:
        self._failed_opens += 1

    def gang_lost(self, subject: str) -> None:
        """One job that kills every gang counts once, however often it comes back."""
        self._lost.add(subject)

    def finished(self) -> None:
        self._lost.clear()

    @property
    def is_sick(self) -> bool:
        return self._failed_opens >= OPENS or len(self._lost) >= LOSSES
