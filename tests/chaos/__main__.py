"""`python -m tests.chaos`: the kills, stops and outages of the tests at length, on both databases at once.

It ends with 1 when a promise was broken, and writes what it saw as JSON. The same seed deals the same cards; when
they fire depends on the machine.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.chaos_arena import Arena, audited, clips
from tests.support.chaos_audit import Finding
from tests.support.chaos_fight import Forces, fight, shuffled, sleeping, sleepy_points
from tests.support.chaos_points import crash_points, point_of
from tests.support.chaos_postgres import RestartablePostgres, serve_postgres
from tests.support.chaos_scenes import Scene, scene, story

CLIPS_OF_A_VIDEO = 50


@dataclass
class Toll:
    """What has been counted so far."""

    began: float = field(default_factory=time.monotonic)
    passes: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    by_database: Counter[str] = field(default_factory=Counter)
    stops: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    restarts: int = 0
    videos: Counter[str] = field(default_factory=Counter)
    endings: Counter[str] = field(default_factory=Counter)
    late: int = 0
    orphans: int = 0
    violations: list[str] = field(default_factory=list)

    def take(self, found: Finding, database: str) -> None:
        self.kills += found.kills
        self.by_database[database] += found.kills.total()
        self.stops += found.stops
        self.videos += found.videos
        self.endings += found.endings
        self.refused += found.refused
        self.late += found.late
        self.orphans += found.orphans
        said = [f"{database}: {one}" for one in found.violations]
        self.violations += said
        for one in said:
            print(f"violation: {one}", flush=True)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    def say(self, what: str) -> None:
        print(
            f"{self.seconds:6.0f} s  {what}: {self.kills.total()} kills, {self.stops.total()} stops, "
            f"{self.restarts} restarts, {self.videos['published']} videos published, "
            f"{len(self.violations)} violations",
            flush=True,
        )

    def summary(self, arguments: argparse.Namespace) -> dict[str, Any]:
        victims: Counter[str] = Counter()
        for point, count in self.kills.items():
            victims[point_of(point).victim] += count
        return {
            "seconds": round(self.seconds),
            "arguments": vars(arguments) | {"out": str(arguments.out)},
            "violations": self.violations,
            "kills": self.kills.total(),
            "kills_by_victim": dict(victims),
            "kills_by_database": dict(self.by_database),
            "kills_by_point": {point.name: self.kills[point.name] for point in crash_points()},
            "fewest_at_a_point": min(self.kills[point.name] for point in crash_points()),
            "stops": self.stops.total(),
            "stops_refused": self.refused,
            "restarts": self.restarts,
            "videos": dict(self.videos),
            "attempts": dict(self.endings),
            "late_leases": self.late,
            "orphans_swept": self.orphans,
        }


class Run:
    def __init__(self, arguments: argparse.Namespace, server: RestartablePostgres, folder: Path) -> None:
        self._arguments = arguments
        self._server = server
        self._folder = folder
        self._seeds = random.Random(arguments.seed)
        self.toll = Toll()

    def kill(self) -> None:
        """Passes over all points, one on each database at a time, until there were enough of them."""
        wanted = self._arguments
        while not self._is_late() and (
            self.toll.kills.total() < wanted.kills
            or any(self.toll.kills[point.name] < wanted.each for point in crash_points())
        ):
            self._both(self._one_pass)
            self.toll.say("kills")

    def _one_pass(self, database: str, url: str, folder: Path, seed: int) -> Finding:
        arena = Arena(folder=folder, database_url=url, lease_ttl_s=1.5)
        ranks = 2 if seed % 4 == 0 else 1
        dealt = shuffled(crash_points(), seed=seed, processes=0.25)
        return audited(arena, fight(arena, dealt, Forces(ranks=ranks)))

    def stop(self) -> None:
        while not self._is_late() and self.toll.stops.total() < self._arguments.stops:
            self._both(lambda _, url, folder, __: sleeping(folder, sleepy_points(), database_url=url).found)
            self.toll.say("stops")

    def restart(self) -> None:
        """One campaign of many clips under a server that is restarted all the time."""
        if not self._arguments.clips or self._is_late():
            return
        chance = random.Random(self._arguments.seed)
        found = self._restarted(self._folder / "restarts", chance).found
        self.toll.take(found, "postgresql")
        self.toll.restarts = len(self._server.outages)
        self.toll.say("restarts")

    def _restarted(self, folder: Path, chance: random.Random) -> Scene:
        arena = Arena(
            folder=folder,
            database_url=self._server.new_database(),
            lease_ttl_s=20.0,
            outages=self._server.outages,
        )
        rows = clips(self._arguments.clips, prompt="under restarts")
        for number, row in enumerate(rows):
            row["video"] = f"video-{number // CLIPS_OF_A_VIDEO:04d}"
        campaign_id = arena.submit(rows)
        slots = [arena.worker(0), arena.worker(1), arena.flow(0, campaign_id, processes=1)]
        running = arena.start(slots, deadline_s=3600.0 + self._arguments.clips)
        shortest, longest = self._arguments.restart_every
        with self._server.restarted(lambda: chance.uniform(shortest, longest), lambda: chance.uniform(0.0, 2.0)):
            chronicle = story(running)
        return scene(arena, chronicle)

    def _both(self, one: Callable[[str, str, Path, int], Finding]) -> None:
        self.toll.passes += 1
        arenas = [
            (database, url, self._folder / f"{database}-{self.toll.passes}", self._seeds.randrange(2**31))
            for database, url in (("sqlite", ""), ("postgresql", self._server.new_database()))
        ]
        with ThreadPoolExecutor(len(arenas)) as both:
            found = list(both.map(lambda arena: one(*arena), arenas))
        for arena, seen in zip(arenas, found, strict=True):
            self.toll.take(seen, arena[0])
            if not seen.violations:
                shutil.rmtree(arena[2], ignore_errors=True)

    def _is_late(self) -> bool:
        return bool(self._arguments.minutes) and self.toll.seconds > 60 * self._arguments.minutes


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    add = found.add_argument
    add("--kills", type=int, default=1000, metavar="N", help="at least so many kills")
    add("--each", type=int, default=25, metavar="N", help="and so many at each point, over both databases")
    add("--stops", type=int, default=50, metavar="N", help="at least so many SIGSTOPs that outlast a lease")
    add("--clips", type=int, default=5000, metavar="N", help="clips of the campaign under restarts; 0: none")
    add("--restart-every", type=float, nargs=2, default=(5.0, 40.0), metavar="SECONDS", help="shortest, longest pause")
    add("--minutes", type=float, default=0.0, help="begin nothing new after so long; 0: no limit")
    add("--seed", type=int, default=1)
    add("--out", type=Path, default=Path("out/chaos.json"), metavar="FILE")
    return found


def main() -> int:
    arguments = parser().parse_args()
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    with serve_postgres() as server:
        run = Run(arguments, server, folder)
        try:
            run.kill()
            run.stop()
            run.restart()
        finally:
            arguments.out.parent.mkdir(parents=True, exist_ok=True)
            arguments.out.write_text(json.dumps(run.toll.summary(arguments), indent=2) + "\n")
    for said in run.toll.violations:
        print(f"violation: {said}")
    if run.toll.violations:
        print(f"{arguments.out}; logs and ledgers of the runs with violations are in {folder}")
        return 1
    print(f"{arguments.out}; every promise was kept")
    shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
