"""Kills in bulk, on both databases at once: `make chaos` runs the same with more of everything."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from model_runtime.phases import Step
from tests.support.chaos_arena import Arena, audited
from tests.support.chaos_fight import Forces, fight, shuffled
from tests.support.chaos_points import CrashPoint, Victim, crash_points
from tests.support.postgres import PostgresServer

SEED = 20260301
KILLS = 120


@pytest.mark.slow
def test_nothing_is_lost_or_published_twice(tmp_path: Path, postgres: PostgresServer) -> None:
    """Killed at every point there is, on SQLite and on PostgreSQL, a campaign ends with every video published once.

    Every attempt and every kill is accounted for, no object is left that nothing points to, no process outlives its
    parent.
    """
    everywhere = crash_points()
    others = [point for point in everywhere if _differs_by_database(point)]
    hands = {
        Arena(folder=tmp_path / "sqlite", lease_ttl_s=1.5): shuffled(everywhere, seed=SEED),
        Arena(folder=tmp_path / "postgres", lease_ttl_s=1.5, database_url=postgres.new_database()): shuffled(
            others, seed=SEED + 1
        ),
    }
    with ThreadPoolExecutor(len(hands)) as both:
        told = list(both.map(lambda pair: fight(*pair, Forces()), hands.items()))
    for arena, chronicle in zip(hands, told, strict=True):
        found = audited(arena, chronicle)
        assert found.violations == []
        assert chronicle.left == 0
        assert set(found.videos) == {"published"}
    kills = [str(kill["point"]) for chronicle in told for kill in chronicle.kills]
    assert len(kills) >= KILLS
    assert set(kills) == {point.name for point in everywhere}


def _differs_by_database(point: CrashPoint) -> bool:
    """Whether its victim talks to the ledger; the others are killed on one of the two, or where they work."""
    return point.victim in (Victim.WORKER, Victim.FLOW) or point.step is Step.RENDER or point.step is Step.ENCODE
