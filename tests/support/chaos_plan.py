"""What one run of the keeper is told, and what it tells afterwards. Plain data, as JSON between processes."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from schemas.settings import Settings


class Role(StrEnum):
    WORKER = "worker"
    FLOW = "flow"


class Slot(BaseModel):
    """One place that is always filled: when its process dies, another is started. Times are seconds."""

    model_config = ConfigDict(frozen=True)

    name: str
    role: Role
    deck: str
    """Path; a missing file is a deck without cards."""
    campaign_id: str = ""
    ranks: int = 1
    grace_s: float = 2.0
    tick_timeout_s: float = 60.0
    tick_s: float = 0.2
    processes: int = 0
    """Of a flow, for its joins; 0: as its next card says."""
    clock_off_s: float = 0.0


class Strike(BaseModel):
    """A signal to whoever fills a slot `at` seconds after the start; STOP is followed by CONT."""

    model_config = ConfigDict(frozen=True)

    at_s: float
    slot: str
    signal: str
    for_s: float = 0.0


class Plan(BaseModel):
    """`settings` as variables, secrets included."""

    model_config = ConfigDict(frozen=True)

    folder: str
    settings: dict[str, str]
    slots: list[Slot]
    strikes: list[Strike] = []
    deadline_s: float = 300.0


@dataclass(frozen=True, kw_only=True)
class Life:
    """One process that filled a slot. `status` is as `subprocess` gives it: negative for a signal."""

    slot: str
    number: int
    pid: int
    began: float
    ended: float
    status: int


@dataclass(frozen=True, kw_only=True)
class Chronicle:
    """What happened: lives of processes, kills as decks noted them, strikes, and when the database was away."""

    lives: list[Life]
    kills: list[dict[str, str | float]]
    strikes: list[dict[str, str | float]]
    left: int
    """Cards that never fired."""
    logs: dict[str, str]
    outages: list[tuple[float, float]] = field(default_factory=list)
    ended: bool = True
    """Every flow came to its end before the deadline."""


def settings_of(plan: Plan) -> Settings:
    from schemas.settings import resolve

    return resolve(environ=plan.settings).settings


def log_path(folder: Path, slot: str) -> Path:
    return folder / f"{slot}.log"
