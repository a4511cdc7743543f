"""A world on one thread: its own time, processes made of fibers, and an order of events that one seed decides.

A fiber runs real code until that code waits: for the ledger, for the store, for a clock. Then the world takes the next
event from its queue. Fibers are greenlets, so the code under test need not know that it is interrupted.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count

import greenlet  # type: ignore[import-untyped]  # the wheel ships no type information

from schemas.lease import Lease

EPOCH = 1_700_000_000.0
"""The ledger's clock when a schedule begins, in seconds since the epoch."""

MOST_EVENTS = 100_000
"""No schedule needs so many: somebody waits for no time at all, again and again."""


class Died(BaseException):
    """The process of the running fiber is dead; no handler on the way may do anything about it."""


class Fiber(greenlet.greenlet):  # type: ignore[misc]  # untyped base
    """One thread of a simulated process."""

    def __init__(self, process: Process, run: Callable[[], None], label: str) -> None:
        super().__init__(self._main, parent=process.world.hub)
        self.process = process
        self.label = label
        self.turn = 0
        """How often it was resumed: an older entry in the queue is stale."""
        self.ended = Bell(process.world)
        self._run_it = run

    def _main(self) -> None:
        world = self.process.world
        try:
            self._run_it()
        except Died:
            pass
        except BaseException as error:  # noqa: BLE001 - whatever ends a process unexpectedly is a finding
            who = f"{self.process.name}/{self.label}"
            world.blame("nobody_dies_of_a_surprise", f"{who} ended with {type(error).__name__}: {error}")
        finally:
            self.ended.set()


class Bell:
    """`threading.Event` on the world's clock."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rung = False
        self._waiting: list[tuple[Fiber, int]] = []

    def set(self) -> None:
        self._rung = True
        for fiber, turn in self._waiting:
            self._world.resume_at(self._world.now, fiber, turn)
        self._waiting.clear()

    def clear(self) -> None:
        self._rung = False

    def wait(self, timeout: float | None = None) -> bool:
        if not self._rung:
            self._world.suspend(timeout, bell=self._waiting)
        return self._rung


@dataclass(eq=False)
class Process:
    """A process of the simulated cluster; whatever stops it stops all its fibers."""

    world: World
    name: str
    clock_off: float = 0.0
    clock_rate: float = 1.0
    mortal: bool = True
    """Whether mishaps may kill or stop it: people are not processes."""
    alive: bool = True
    frozen_until: float = 0.0
    cut_off_until: float = 0.0
    """The ledger and the store do not answer it before."""
    excuses: list[float] = field(default_factory=list)
    """When something befell it that may cost it a lease."""
    fibers: list[Fiber] = field(default_factory=list)
    on_death: list[Callable[[], None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.world.processes.append(self)

    def clock(self) -> float:
        """Monotonic seconds; off by hours from everybody else's, and a little too fast or too slow."""
        return self.clock_off + self.world.now * self.clock_rate

    def sleep(self, seconds: float) -> None:
        """Wait for so long by its own clock."""
        self.world.suspend(seconds / self.clock_rate)

    def start(self, run: Callable[[], None], label: str = "main") -> Fiber:
        fiber = Fiber(self, run, label)
        self.fibers.append(fiber)
        self.world.resume_at(self.world.now, fiber, 0)
        return fiber

    def excuse(self, why: str) -> None:
        self.excuses.append(self.world.now)
        self.world.note(self.name, why)

    def freeze(self, seconds: float) -> None:
        self.excuse(f"STOPPED for {seconds:.0f} s")
        self.frozen_until = max(self.frozen_until, self.world.now + seconds)

    def cut_off(self, seconds: float) -> None:
        self.excuse(f"CUT OFF for {seconds:.0f} s")
        self.cut_off_until = max(self.cut_off_until, self.world.now + seconds)

    def kill(self) -> None:
        """SIGKILL; only from the world's own loop, never from a fiber."""
        if not self.alive:
            return
        self.excuse("KILLED")
        self.end()

    def end(self) -> None:
        """Unwind what is left of it. A dead process reaches neither ledger nor store nor clock any more."""
        self.alive = False
        for fiber in self.fibers:
            _unwind(fiber)
        for tell in self.on_death:
            tell()


def _unwind(fiber: Fiber) -> None:
    # A few `finally` blocks may want to wait on the way out; each try to is refused with Died.
    for _ in range(100):
        if fiber.dead:
            return
        try:
            fiber.throw(Died)
        except Died:  # it had not begun yet
            return
    raise AssertionError(f"{fiber.process.name}/{fiber.label} cannot be unwound")


def _forget(process: Process) -> None:
    # The collector does not look into greenlets: a world that its fibers remember would live for ever.
    for fiber in process.fibers:
        fiber.__dict__.clear()
    process.fibers.clear()


@dataclass(frozen=True, slots=True)
class Note:
    """One line of a trace; its parts become text only when somebody reads it."""

    at: float
    who: str
    what: tuple[object, ...]

    def __str__(self) -> str:
        return f"{self.at:9.3f}  {self.who:<12} {' '.join(str(part) for part in self.what)[:200]}"


@dataclass(frozen=True, slots=True)
class Fault:
    """A broken promise: which one (`invariants.PROMISES` says it in words), and what was seen."""

    promise: str
    what: str

    def __str__(self) -> str:
        return f"{self.promise}: {self.what}"


@dataclass(frozen=True, slots=True)
class Call:
    """A verb of the ledger with what it was given, as far as invariants ask for it."""

    verb: str
    lease: Lease | None = None
    coordinator_epoch: int | None = None


class World:
    """Time, the queue of events, and what was seen."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = random.Random(seed)
        self.now = 0.0
        self.hub = greenlet.getcurrent()
        self.notes: list[Note] = []
        self.faults: list[Fault] = []
        """What was found wrong; one is enough to end a schedule."""
        self.events = 0
        self.after_event: list[Callable[[], None]] = []
        self.processes: list[Process] = []
        self._queue: list[tuple[float, int, Fiber | Callable[[], None], int]] = []
        self._order = count()
        self._calls: dict[Fiber | None, Call] = {}
        self._in_one_piece = False

    def close(self) -> None:
        """End every process, and let all of it go."""
        for process in self.processes:
            process.end()
        for process in self.processes:
            _forget(process)
        self._queue.clear()

    # -- what happens ------------------------------------------------------------------------------------------

    def ledger_clock(self) -> float:
        return EPOCH + self.now

    def note(self, who: str, *what: object) -> None:
        self.notes.append(Note(self.now, who, what))

    def blame(self, promise: str, what: str) -> None:
        fault = Fault(promise, what)
        self.faults.append(fault)
        self.note("!", fault)

    def call_at(self, when: float, call: Callable[[], None]) -> None:
        """Have the world do something between two events."""
        heapq.heappush(self._queue, (when, next(self._order), call, 0))

    def resume_at(self, when: float, fiber: Fiber, turn: int) -> None:
        heapq.heappush(self._queue, (when, next(self._order), fiber, turn))

    # -- the running fiber -------------------------------------------------------------------------------------

    @property
    def running(self) -> Fiber | None:
        current = greenlet.getcurrent()
        return current if isinstance(current, Fiber) else None

    def suspend(self, seconds: float | None, *, bell: list[tuple[Fiber, int]] | None = None) -> None:
        """Let the running fiber wait, for ever with None, and others run meanwhile."""
        fiber = self.running
        if fiber is None or self._in_one_piece:
            return
        if not fiber.process.alive:
            raise Died
        if seconds is not None:
            self.resume_at(self.now + max(0.0, seconds), fiber, fiber.turn)
        if bell is not None:
            bell.append((fiber, fiber.turn))
        self.hub.switch()

    def in_one_piece(self, run: Callable[[], None]) -> None:
        """Run something that nothing may interrupt."""
        before, self._in_one_piece = self._in_one_piece, True
        try:
            run()
        finally:
            self._in_one_piece = before

    @contextmanager
    def calling(self, call: Call) -> Iterator[None]:
        """The running fiber calls a verb of the ledger."""
        fiber = self.running
        before = self._calls.get(fiber)
        self._calls[fiber] = call
        try:
            yield
        finally:
            if before is None:
                self._calls.pop(fiber, None)
            else:
                self._calls[fiber] = before

    @property
    def call(self) -> Call:
        """The call of the ledger that the running fiber is in."""
        return self._calls[self.running]

    # -- the loop ----------------------------------------------------------------------------------------------

    def run(self, *, until: float, is_over: Callable[[], bool]) -> bool:
        """Take one event after the other; whether it was over in time and nothing was wrong."""
        while self._queue and not self.faults:
            if is_over():
                return True
            self.events += 1
            if self.events > MOST_EVENTS:
                self.blame("everything_ends", f"more than {MOST_EVENTS} events: somebody turns in circles")
            when, _, what, turn = heapq.heappop(self._queue)
            if when > until:
                return False
            if not isinstance(what, Fiber):
                self.now = max(self.now, when)
                what()
            elif what.turn == turn and not what.dead:
                if what.process.frozen_until > when:
                    self.resume_at(what.process.frozen_until, what, turn)
                    continue
                self.now = max(self.now, when)
                self.wake(what)
            for look in self.after_event:
                look()
        return False

    def wake(self, fiber: Fiber, error: BaseException | None = None) -> None:
        """Let a fiber go on, or meet an error where it waits."""
        fiber.turn += 1
        if error is None:
            fiber.switch()
        else:
            fiber.throw(error)
