"""How an installation wants its queue ordered."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class LedgerOptions:
    """Seconds throughout; the defaults are those of `schemas.settings.Settings`."""

    head_start_s: float = 120.0
    """How far behind a job of the worker's warm bucket may be and still be taken first."""
    priority_bonus_s: float = 3600.0
    """Time in the queue that one step of priority is worth."""
