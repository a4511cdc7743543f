"""Who is struck by what, when: every decision about a mishap is made here, from the schedule's one source of chance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.simulation.mishaps import Mishaps
from tests.simulation.world import Process, World


@dataclass
class Fate:
    """Mishaps end at `until`, so that a schedule can show that everything comes to its end after them."""

    world: World
    mishaps: Mishaps
    until: float
    ttl: float
    terminate: dict[str, Callable[[], None]] = field(default_factory=dict)
    """By process: SIGTERM."""
    hung: set[str] = field(default_factory=set)
    struck: Counter[str] = field(default_factory=Counter)
    """How often each kind of mishap happened."""

    def strikes(self, kind: str) -> bool:
        chance: float = getattr(self.mishaps, kind)
        strikes = chance > 0 and self.world.now < self.until and self.world.random.random() < chance
        if strikes:
            self.struck[kind] += 1
        return strikes

    def pass_by(self, process: Process) -> None:
        """A point at which a process may be killed, stopped, told to go or cut off."""
        if not process.mortal:
            return
        if self.strikes("kill"):
            self.world.call_at(self.world.now, process.kill)
            self.world.suspend(None)
        if self.strikes("stop"):
            process.freeze(self._span(0.2, 3.0))
            self.world.suspend(0.0)
        if self.strikes("cut_off"):
            process.cut_off(self._span(0.1, 2.0))
        if self.strikes("sigterm") and process.name in self.terminate:
            process.excuse("SIGTERM")
            self.world.call_at(self.world.now, self.terminate[process.name])

    def hang(self, process: Process) -> None:
        process.excuse("HANGS for ever")
        self.hung.add(process.name)
        self.world.suspend(None)

    def delay(self) -> float:
        """Seconds on the way to a server or back: mostly some milliseconds, now and then seconds."""
        draw = self.world.random.random()
        return 0.002 + 0.03 * draw if draw < 0.95 else 60.0 * (draw - 0.95)

    def dawdle(self, process: Process) -> float:
        """Seconds that the way to the ledger or back takes now and then: what was read is old when it is used."""
        if not self.strikes("dawdle"):
            return 0.0
        process.excuse("DAWDLES")
        return self.world.random.uniform(1.0, 0.8 * self.ttl)

    def _span(self, least: float, most: float) -> float:
        return min(self.world.random.uniform(least, most) * self.ttl, max(0.0, self.until - self.world.now))
