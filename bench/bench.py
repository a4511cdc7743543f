"""What the benchmarks of one run share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench.big import BigCampaigns
from bench.databases import Databases
from bench.figure import Size


@dataclass(frozen=True, kw_only=True)
class Bench:
    size: Size
    folder: Path
    """Private to this run and removed with it."""
    databases: list[Databases]
    campaigns: BigCampaigns
