"""Two ways to do the same thing, timed in turn: whatever else the machine does meets both alike."""

from __future__ import annotations

import gc
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median

from bench.progress import say


@dataclass
class Sample:
    """Seconds by the clock, and seconds of processor time of this process and of the children it has collected."""

    wall_s: float = 0.0
    cpu_s: float = 0.0


def _cpu_s() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


@contextmanager
def timed() -> Iterator[Sample]:
    """The sample is filled in when the block ends."""
    gc.collect()
    sample = Sample()
    with going_on(sample):
        yield sample


@contextmanager
def going_on(sample: Sample) -> Iterator[None]:
    """The block's time is added to the sample: for work in pieces."""
    cpu, wall = _cpu_s(), time.perf_counter()
    yield
    sample.wall_s += time.perf_counter() - wall
    sample.cpu_s += _cpu_s() - cpu


Act = Callable[[int], Sample]
"""Does its thing for the pair of that 0-based number and says how long the timed part took."""


@dataclass(frozen=True)
class Pairs:
    """What alternating measured."""

    ours: list[Sample] = field(default_factory=list)
    bare: list[Sample] = field(default_factory=list)

    @property
    def slowdown(self) -> float:
        """Median over the pairs of our wall time in units of the bare tool's."""
        return median(ours.wall_s / bare.wall_s for ours, bare in zip(self.ours, self.bare, strict=True))

    @property
    def cpu_slowdown(self) -> float:
        """The same in processor time: it holds on a busy machine where both sides work in this process alone."""
        return median(ours.cpu_s / bare.cpu_s for ours, bare in zip(self.ours, self.bare, strict=True))

    @property
    def ours_s(self) -> float:
        return median(sample.wall_s for sample in self.ours)

    @property
    def bare_s(self) -> float:
        return median(sample.wall_s for sample in self.bare)

    @property
    def ours_cpu_s(self) -> float:
        return median(sample.cpu_s for sample in self.ours)

    @property
    def bare_cpu_s(self) -> float:
        return median(sample.cpu_s for sample in self.bare)


def alternate(name: str, ours: Act, bare: Act, *, pairs: int) -> Pairs:
    """A B A B ...; the first pair warms caches up and is measured once more."""
    say(f"{name}: warming up")
    for act in (ours, bare):
        act(-1)
    found = Pairs()
    for number in range(pairs):
        say(f"{name}: pair {number + 1} of {pairs}")
        found.ours.append(ours(number))
        found.bare.append(bare(number))
    return found
