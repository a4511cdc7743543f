"""Flow processes: the real drive loop and Coordinator; joins run in processes of their own, as on an executor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from flows.campaign.coordinator import Coordinator
from flows.campaign.drive import drive
from flows.stages.join import JoinOrder, make_video, run_join
from flows.stages.phases import JoinStep
from schemas.edge import Edge
from schemas.errors import Retryable
from schemas.settings import Settings
from tests.simulation.bank import Bank, Teller
from tests.simulation.fate import Fate
from tests.simulation.film import TOOLS
from tests.simulation.warehouse import Shelf, Warehouse
from tests.simulation.world import Process

TICK_S = 6.0


class _Joining:
    """One join under way in a process of its own; a `Task`."""

    def __init__(self, process: Process, run: Callable[[], Any]) -> None:
        self.process = process
        self._answer: Any = None
        self._error: Exception | None = None
        self._fiber = process.start(lambda: self._take(run), "join")

    def _take(self, run: Callable[[], Any]) -> None:
        try:
            self._answer = run()
        except Exception as error:  # noqa: BLE001 - handed to whoever asks for the result
            self._error = error

    def done(self) -> bool:
        return bool(self._fiber.dead)

    def result(self) -> Any:
        if self._error is not None:
            raise self._error
        if self._answer is None:
            raise Retryable("a process of the CPU stages died in the middle of a task")
        return self._answer


class _Executor:
    """Takes two joins at a time; its processes outlive the flow when it is killed, as Dask's do."""

    slots = 2

    def __init__(self, flow: Process, warehouse: Warehouse, fate: Fate, scratch: Path) -> None:
        self._flow = flow
        self._warehouse = warehouse
        self._fate = fate
        self._scratch = scratch

    def submit(self, function: Callable[..., Any], *args: Any) -> _Joining:
        assert function is run_join
        order: JoinOrder = args[0]
        world = self._flow.world
        process = Process(world, f"{self._flow.name}.join-{len(world.processes)}")

        def listener(step: JoinStep, edge: Edge) -> None:
            world.note(process.name, f"{edge.value} {step.value} of {order.lease.video_id[:8]}")
            if self._fate.strikes("join_dies"):
                world.call_at(world.now, process.kill)
                world.suspend(None)
            self._fate.pass_by(process)
            if step is JoinStep.JOIN and edge is Edge.BEFORE:
                process.sleep(world.random.uniform(0.2, 6.0))

        def run() -> Any:
            store = Shelf(self._warehouse, process, self._fate)
            with TemporaryDirectory(dir=self._scratch, ignore_cleanup_errors=True) as folder:
                return make_video(order, store, Path(folder), TOOLS, listener)

        return _Joining(process, run)

    def close(self) -> None:
        pass


def start_flow(
    process: Process, *, bank: Bank, warehouse: Warehouse, fate: Fate, scratch: Path, ttl: float, campaign_id: str
) -> None:
    """A flow that drives its campaign to the end."""
    world = process.world

    def listener(_step: JoinStep, _edge: Edge) -> None:
        fate.pass_by(process)

    def run() -> None:
        coordinator = Coordinator(
            ledger=Teller(bank, process, fate),
            executor=_Executor(process, warehouse, fate, scratch),
            settings=Settings(home=str(scratch), lease_ttl_s=ttl),
            campaign_id=campaign_id,
            owner=process.name,
            clock=process.clock,
            listener=listener,
        )
        end = drive(coordinator, tick_s=TICK_S, sleep=process.sleep, clock=process.clock)
        world.note(process.name, f"saw the end: {end.campaign.state}")
        world.call_at(world.now, process.end)

    process.start(run)
