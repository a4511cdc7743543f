"""Worker processes: the real Supervisor with all it calls, on a machine whose ranks and signals are the world's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from model_runtime.engine import LocalInputs
from model_runtime.gang import GangLost, GangPlan, Sink
from model_runtime.machine import Background, Machine
from model_runtime.messages import Ended, Opened, Progressed
from model_runtime.phases import Patience, Step
from model_runtime.stopping import StopNow
from model_runtime.supervisor import Supervisor, WorkerPlan
from model_runtime.waker import Waker
from schemas.attempt import Failure
from schemas.edge import Edge
from schemas.job import RenderRequest
from schemas.model_spec import HUMO_1_7B, PATTERN, engine_digest
from schemas.states import Ending
from schemas.worker_exit import WorkerExit
from tests.simulation.bank import Bank, Teller
from tests.simulation.fate import Fate
from tests.simulation.film import LineEncoder, check_clip, frame
from tests.simulation.warehouse import Shelf, Warehouse
from tests.simulation.world import Bell, Fiber, Process

POISON = "poison"
"""A prompt with this word in it kills every worker that renders it."""

GRACE_S = 6.0
UNITS = 4
"""Steps of one render."""


class _Waker(Waker):
    """Rung by fibers and signals instead of a pipe."""

    def __init__(self, process: Process) -> None:  # the pipe of the base is not wanted
        self._bell = Bell(process.world)
        self._process = process

    def wake(self) -> None:
        self._bell.set()

    def wait(self, seconds: float) -> None:
        self._bell.wait(seconds / self._process.clock_rate)
        self._bell.clear()

    def drain(self) -> None:
        self._bell.clear()


class _Fiber:
    """`threading.Thread` as a fiber."""

    def __init__(self, process: Process, run: Callable[[], None], name: str) -> None:
        self._process = process
        self._run = run
        self._name = name
        self._fiber: Fiber | None = None

    def start(self) -> None:
        if self._name == "prefetch":
            # It shares a lock with the main loop, which on one thread must not be waited for.
            self._process.world.in_one_piece(self._run)
        else:
            self._fiber = self._process.start(self._run, self._name)

    def join(self, timeout: float | None = None) -> None:
        if self._fiber is not None and not self._fiber.dead:
            self._fiber.ended.wait(timeout)

    def is_alive(self) -> bool:
        return self._fiber is not None and not self._fiber.dead


class _Signals:
    """SIGTERM and the alarm, delivered where the main fiber waits; a stopped process gets them when it goes on."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._alarm = 0
        self._waker: Waker | None = None
        self._told: Callable[[], None] = lambda: None
        self._too_late: Callable[[], None] = lambda: None

    def install(self, *, waker: Waker, told: Callable[[], None], too_late: Callable[[], None]) -> None:
        self._waker, self._told, self._too_late = waker, told, too_late

    def alarm(self, seconds: float) -> None:
        self._alarm += 1
        if seconds > 0:
            mine = self._alarm
            world = self._process.world
            world.call_at(world.now + seconds, lambda: self._deliver(self._too_late) if mine == self._alarm else None)

    def terminate(self) -> None:
        self._deliver(self._told)

    def _deliver(self, handler: Callable[[], None]) -> None:
        process, world = self._process, self._process.world
        main = process.fibers[0]
        if not process.alive or main.dead or self._waker is None:
            return
        if process.frozen_until > world.now:
            world.call_at(process.frozen_until, lambda: self._deliver(handler))
            return
        try:
            handler()
            self._waker.wake()
        except StopNow as error:
            world.wake(main, error)


class _Gang:
    """Ranks that render in steps of time; `WarmGang` for the supervisor."""

    def __init__(self, plan: GangPlan, waker: Waker, process: Process, fate: Fate) -> None:
        self.plan = plan
        self.opened: Opened | None = None
        self.progress: Progressed | None = None
        self.units = 0
        self.is_alive = True
        self._waker = waker
        self._process = process
        self._world = process.world
        self._fate = fate
        self._number = 0
        self._ended: Ended | None = None
        self._hangs = False
        self._stopping_since: float | None = None

    def open(self, checkpoint: Callable[[], None]) -> Opened:
        self._process.sleep(self._world.random.uniform(0.1, 2.0))
        checkpoint()
        if self._fate.strikes("gang_dies"):
            raise GangLost("the gang died while it opened")
        self.opened = Opened(model_digest=engine_digest(PATTERN, HUMO_1_7B), engine_version=PATTERN.version)
        return self.opened

    def begin(self, request: RenderRequest, inputs: LocalInputs, sink: Sink) -> None:
        assert all(path.is_file() for path in inputs.images)
        chance = self._world.random
        self._number += 1
        self.progress, self.units, self._ended, self._stopping_since = None, 0, None, None
        self._request, self._sink = request, sink
        self._take = f"{chance.getrandbits(64):016x}"
        self._unit_s = chance.uniform(0.5, 4.0)
        self._next_at = self._process.clock() + self._unit_s
        self._hangs = self._fate.strikes("gang_hangs")
        self._dies = self._fate.strikes("gang_dies")
        self._fails = self._fate.strikes("bad_frames")
        if POISON in request.prompt:
            self._process.excuse("renders a poisonous row")
            self._world.call_at(self._world.now + chance.uniform(0.1, 5.0), self._process.kill)

    @property
    def is_over(self) -> bool:
        return self._ended is not None

    def turn(self, timeout_s: float) -> None:
        now = self._process.clock()
        busy = self._number > 0 and self._ended is None and not self._hangs
        self._waker.wait(max(0.0, min(timeout_s, self._next_at - now)) if busy else timeout_s)
        if not self.is_alive:
            raise GangLost("the gang is dead")
        if self._stopping_since is not None and not self._hangs and self._ended is None:
            self._ended = Ended(number=self._number, frames=0, stopped=True)
        if self._stopping_since is not None and self._process.clock() - self._stopping_since > self.plan.stop_timeout_s:
            raise GangLost("did not stop", Ending.HUNG)
        if busy and self._ended is None and self._process.clock() >= self._next_at:
            self._step()

    def _step(self) -> None:
        self._next_at = self._process.clock() + self._unit_s
        self.units += 1
        self.progress = Progressed(number=self._number, phase="denoise", done=min(self.units, UNITS), total=UNITS)
        if self.units < UNITS:
            return
        if self._dies:
            raise GangLost("rank 0 was killed by signal 9")
        if self._fails:
            failure = Failure.of(Ending.BAD_OUTPUT, "not a number", phase="denoise")
            self._ended = Ended(number=self._number, frames=0, failure=failure)
            return
        for number in range(self._request.num_frames):
            self._sink(memoryview(frame(self._request.render_key, self._take, number)))
        self._ended = Ended(number=self._number, frames=self._request.num_frames)

    def stop(self) -> None:
        if self._stopping_since is None:
            self._stopping_since = self._process.clock()

    def outcome(self) -> Ended:
        assert self._ended is not None
        return self._ended

    def kill(self) -> None:
        self.is_alive = False

    def close(self, timeout_s: float = 5.0) -> None:
        self.kill()


def start_worker(process: Process, *, bank: Bank, warehouse: Warehouse, fate: Fate, scratch: Path, ttl: float) -> None:
    """A worker that works until it is told to go, and notes its exit code."""
    world = process.world
    signals = _Signals(process)
    fate.terminate[process.name] = signals.terminate

    def listener(step: Step, edge: Edge) -> None:
        if step is not Step.LEASE or edge is Edge.AFTER:
            world.note(process.name, f"{edge.value} {step.value}")
        fate.pass_by(process)

    def background(run: Callable[[], None], name: str) -> Background:
        return _Fiber(process, run, name)

    plan = WorkerPlan(
        name=process.name,
        gang=GangPlan(
            engine=PATTERN.name, model=HUMO_1_7B.name, stop_timeout_s=5.0, environment={}, tick_timeout_s=10.0
        ),
        scratch=scratch,
        lease_ttl_s=ttl,
        grace_s=GRACE_S,
        patience=Patience(render_s=3 * ttl, stall_s=1.5 * ttl),
    )
    machine = Machine(
        clock=process.clock,
        waker=lambda: _Waker(process),
        signals=signals,
        background=background,
        bell=lambda: Bell(world),
        gang=lambda gang_plan, waker: _Gang(gang_plan, waker, process, fate),
        encoder=LineEncoder,
        check=check_clip,
    )

    def run() -> None:
        ledger = Teller(bank, process, fate)
        store = Shelf(warehouse, process, fate)
        code = Supervisor(plan, ledger=ledger, store=store, listener=listener, machine=machine).run()
        world.note(process.name, f"exit {code.name}")
        if code is WorkerExit.BAD_CONFIGURATION:
            world.blame("nobody_dies_of_a_surprise", f"{process.name} says that its configuration is bad")
        world.call_at(world.now, process.end)

    process.start(run)
