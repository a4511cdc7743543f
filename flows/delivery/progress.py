"""How a delivery tells how far it is."""

from __future__ import annotations

from collections.abc import Callable

Report = Callable[[str, int, int], None]
"""Told `(phase, done, total)` as the work goes on."""


def silent(phase: str, done: int, total: int) -> None:
    """A report for nobody."""
