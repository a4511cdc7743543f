"""Services that go away under a campaign: the database, the object store, disks; and clocks that are wrong."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.support.chaos_arena import Arena, Running, clips
from tests.support.chaos_postgres import RestartablePostgres, serve_postgres
from tests.support.chaos_roles import MAX_PAGES
from tests.support.chaos_scenes import Scene, played, scene, story
from tests.support.s3 import S3Server
from tests.support.s3_proxy import BUSY, FINE, FLIPPED, LOST_ANSWER, RESET, Fault, cut_after, proxy_to

SEED = 7
ALL_AT_FIRST_TRY = {"render.ok", "join.ok"}


def begun(arena: Arena, count: int, *, prompt: str = "a person waits", processes: int = 0) -> Running:
    """Two workers and a flow on that many clips."""
    campaign_id = arena.submit(clips(count, pairs=count // 4, prompt=prompt))
    return arena.start([arena.worker(0), arena.worker(1), arena.flow(0, campaign_id, processes=processes)])


def restarts(server: RestartablePostgres, folder: Path) -> Scene:
    chance = random.Random(SEED)
    arena = Arena(folder=folder, database_url=server.new_database(), lease_ttl_s=15.0, outages=server.outages)
    running = begun(arena, 24)
    with server.restarted(lambda: chance.uniform(0.5, 2.0), lambda: chance.uniform(0.0, 0.8)):
        chronicle = story(running)
    return scene(arena, chronicle)


def long_outage(server: RestartablePostgres, folder: Path) -> Scene:
    arena = Arena(folder=folder, database_url=server.new_database(), lease_ttl_s=2.0, outages=server.outages)
    running = begun(arena, 6, prompt="[slow=0.1]")
    running.until(lambda: running.log("worker-0").count("claimed") >= 2)
    server.restart("immediate", away_s=6.0)
    return scene(arena, story(running))


def full_ledger(folder: Path) -> Scene:
    arena = Arena(folder=folder, lease_ttl_s=30.0)
    full = arena.folder / "home" / MAX_PAGES
    running = begun(arena, 12)
    running.until(lambda: "rendered" in running.log("worker-0"))
    began = time.time()
    full.touch()
    for who in ("worker-0", "flow-0"):
        running.until(lambda who=who: "database or disk is full" in running.log(who))
    full.unlink()
    arena.outages.append((began, time.time()))
    return scene(arena, story(running))


def bad_store(server: S3Server, folder: Path) -> Scene:
    with proxy_to(server) as proxy:
        arena = Arena(folder=folder, lease_ttl_s=15.0, store=dict(proxy.server.variables()))
        chance = random.Random(SEED)
        faults = (BUSY, RESET, LOST_ANSWER, FLIPPED, cut_after(50), Fault(forward=True, delay_s=0.5))

        def misbehave(method: str, path: str, count: int) -> Fault:
            return chance.choice(faults) if chance.random() < 0.2 else FINE

        running = begun(arena, 10, processes=1)
        proxy.script = misbehave
        running.until(lambda: "rendered" in running.log("worker-0"))
        began = time.time()
        proxy.script = lambda method, path, count: RESET
        time.sleep(2.0)
        proxy.script = misbehave
        arena.outages.append((began, time.time()))
        chronicle = story(running)
        proxy.script = lambda method, path, count: FINE
        return scene(arena, chronicle)


def wrong_clocks(folder: Path) -> Scene:
    arena = Arena(folder=folder, lease_ttl_s=10.0)
    campaign_id = arena.submit(clips(8))
    slots = [arena.worker(number, clock_off_s=off) for number, off in enumerate((-3600.0, 3600.0))]
    return scene(arena, story(arena.start([*slots, arena.flow(0, campaign_id, clock_off_s=1800.0)])))


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory, rclone_s3: S3Server) -> Iterator[Callable[[str], Scene]]:
    with serve_postgres() as often, serve_postgres() as long:
        plays = {
            "restarts": partial(restarts, often),
            "long-outage": partial(long_outage, long),
            "full-ledger": full_ledger,
            "bad-store": partial(bad_store, rclone_s3),
            "wrong-clocks": wrong_clocks,
        }
        with played(tmp_path_factory.mktemp("outages"), plays) as found:
            yield found


@pytest.mark.slow
def test_a_database_that_restarts_again_and_again(scenes: Callable[[str], Scene]) -> None:
    """Crashed or restarted under a campaign every second or two: nobody dies, and it costs no failure."""
    seen = scenes("restarts")
    assert seen.troubles == []
    assert len(seen.chronicle.outages) >= 4
    assert set(seen.found.endings) == ALL_AT_FIRST_TRY


def test_a_database_that_is_away_for_longer_than_a_lease(scenes: Callable[[str], Scene]) -> None:
    """Everybody waits; when it is back, the work under way is finished, not lost and begun again."""
    seen = scenes("long-outage")
    assert seen.troubles == []
    assert set(seen.found.endings) == ALL_AT_FIRST_TRY
    assert "service_away" in seen.chronicle.logs["worker-0"] + seen.chronicle.logs["worker-1"]


def test_a_ledger_whose_disk_is_full(scenes: Callable[[str], Scene]) -> None:
    """While the SQLite file cannot grow, nothing is committed and nobody gives up; then all of it is."""
    seen = scenes("full-ledger")
    assert seen.troubles == []
    assert set(seen.found.endings) == ALL_AT_FIRST_TRY


def test_a_store_that_misbehaves(scenes: Callable[[str], Scene]) -> None:
    """Busy, slow, cutting, lying, losing answers, one request in five, and then gone: what is published is right."""
    seen = scenes("bad-store")
    assert seen.troubles == []


def test_clocks_that_are_wrong(scenes: Callable[[str], Scene]) -> None:
    """An hour before or behind, nobody loses a lease or takes another's: time is the database's."""
    seen = scenes("wrong-clocks")
    assert seen.troubles == []
    assert set(seen.found.endings) == ALL_AT_FIRST_TRY
    assert all("rendered" in seen.chronicle.logs[f"worker-{number}"] for number in (0, 1))
