"""The warm ranks of one worker, seen from the supervisor: they live, render and die together."""

from __future__ import annotations

import os
import selectors
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from model_runtime.engine import LocalInputs
from model_runtime.messages import Ended, FromRank, Opened, OpenFailed, Progressed, Render, Stop, Tick
from model_runtime.rank_process import RankProcess
from model_runtime.waker import Waker
from schemas.errors import Permanent
from schemas.job import RenderRequest
from schemas.states import Ending

Sink = Callable[[memoryview], None]
"""Takes one whole rgb24 frame; the buffer is used again after the call."""


@dataclass(frozen=True, kw_only=True)
class GangPlan:
    """What to start, and how long to wait for it. Times are seconds."""

    engine: str
    model: str
    ranks: int = 1
    tick_timeout_s: float = 60.0
    """A rank that gives no sign of life for so long is stopped or dead."""
    open_timeout_s: float = 1800.0
    """Loading and compiling take minutes."""
    stop_timeout_s: float = 30.0
    """How long ranks may go on after a stop, or after one of them failed."""
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))


class GangLost(Exception):
    """A rank died or stopped, so none of the gang can go on; the message says which one and how."""

    def __init__(self, reason: str, ending: Ending = Ending.WORKER_FAULT) -> None:
        super().__init__(reason)
        self.ending = ending


class WarmGang(Protocol):
    """The ranks of one worker, as its main loop sees them; `RunningGang` says what each part does."""

    @property
    def plan(self) -> GangPlan: ...

    @property
    def opened(self) -> Opened | None: ...

    @property
    def progress(self) -> Progressed | None: ...

    @property
    def units(self) -> int: ...

    @property
    def is_alive(self) -> bool: ...

    @property
    def is_over(self) -> bool: ...

    def open(self, checkpoint: Callable[[], None]) -> Opened: ...

    def begin(self, request: RenderRequest, inputs: LocalInputs, sink: Sink) -> None: ...

    def turn(self, timeout_s: float) -> None: ...

    def stop(self) -> None: ...

    def outcome(self) -> Ended: ...

    def kill(self) -> None: ...

    def close(self, timeout_s: float = 5.0) -> None: ...


class RunningGang:
    """Started on construction; `open` waits until every rank is warm. Not safe to use from several threads."""

    def __init__(self, plan: GangPlan, waker: Waker) -> None:
        self.plan = plan
        self.opened: Opened | None = None
        self.progress: Progressed | None = None
        self.units = 0
        """Messages and frames of this clip that say it moves on."""
        self.is_alive = True
        self._number = 0
        self._ended: dict[int, Ended] = {}
        self._ending_since = 0.0
        self._sink: Sink | None = None
        self._frame = memoryview(bytearray())
        self._filled = 0
        self._frames = 0
        self._warm: set[int] = set()
        self._selector = selectors.DefaultSelector()
        self._selector.register(waker.read_fd, selectors.EVENT_READ, waker.drain)
        port = _free_port() if plan.ranks > 1 else 0
        self._ranks = [self._start(rank, port) for rank in range(plan.ranks)]
        self._frame_fd = self._ranks[0].frame_fd
        self._selector.register(self._frame_fd, selectors.EVENT_READ, self._read_frames)

    def _start(self, number: int, port: int) -> RankProcess:
        plan = self.plan
        rank = RankProcess(
            {
                "engine": plan.engine,
                "model": plan.model,
                "rank": number,
                "world": plan.ranks,
                "master-port": port,
                "tick": min(5.0, plan.tick_timeout_s / 4),
            },
            number=number,
            environment=plan.environment,
        )
        self._selector.register(rank.control_fd, selectors.EVENT_READ, lambda: self._read_control(rank))
        self._selector.register(rank.pid_fd, selectors.EVENT_READ, lambda: self._buried(rank))
        return rank

    # -- life --------------------------------------------------------------------------------------------------

    def open(self, checkpoint: Callable[[], None]) -> Opened:
        """Wait until every rank is warm; `checkpoint` is called often and may raise to give up.

        Raises:
            Permanent: another start finds the same (unknown names, missing or damaged weights or packages).
            GangLost: a rank failed to open, died, stopped, or took longer than the open timeout.
        """
        deadline = time.monotonic() + self.plan.open_timeout_s
        while len(self._warm) < self.plan.ranks:
            checkpoint()
            self.turn(1.0)
            if time.monotonic() > deadline:
                raise GangLost(f"not warm after {self.plan.open_timeout_s:.0f} s", Ending.HUNG)
        assert self.opened is not None
        return self.opened

    def close(self, timeout_s: float = 5.0) -> None:
        """Let the ranks finish by themselves, for so long; then kill them."""
        for rank in self._ranks:
            rank.close_input()
        deadline = time.monotonic() + timeout_s
        for rank in self._ranks:
            rank.wait(deadline - time.monotonic())
        self.kill()

    def kill(self) -> None:
        """End every rank and whatever it started, now. Idempotent."""
        self.is_alive = False
        for rank in self._ranks:
            rank.kill()
        self._selector.close()

    @property
    def pids(self) -> tuple[int, ...]:
        return tuple(rank.pid for rank in self._ranks)

    # -- one clip ----------------------------------------------------------------------------------------------

    def begin(self, request: RenderRequest, inputs: LocalInputs, sink: Sink) -> None:
        """Tell all ranks to make a clip; `turn` until it `is_over`."""
        self._number += 1
        self._ended.clear()
        self._sink = sink
        self._ending_since = 0.0
        self.progress, self.units, self._frames, self._filled = None, 0, 0, 0
        size = request.width * request.height * 3
        if len(self._frame) != size:
            self._frame = memoryview(bytearray(size))
        message = Render(number=self._number, request=request, images=inputs.images, speech=inputs.speech)
        for rank in self._ranks:
            rank.send(message)

    def stop(self) -> None:
        """Ask all ranks to give the clip up at their next frame or step; what still comes is dropped."""
        self._sink = None
        if not self._ending_since:
            self._ending_since = time.monotonic()
        for rank in self._ranks:
            rank.send(Stop(number=self._number))

    @property
    def is_over(self) -> bool:
        """Every rank has ended this clip and all its frames are read."""
        return len(self._ended) == len(self._ranks) and self._frames >= self._ended[0].frames

    def outcome(self) -> Ended:
        """How the clip that is over ended: a failure of any rank, else a stop, else rank 0's own word."""
        ended = [self._ended[rank] for rank in sorted(self._ended)]
        reusable = all(one.reusable for one in ended)
        failed = next((one for one in ended if one.failure), None)
        stopped = next((one for one in ended if one.stopped), None)
        return (failed or stopped or ended[0]).model_copy(
            update={"reusable": reusable, "frames": self._ended[0].frames}
        )

    def turn(self, timeout_s: float) -> None:
        """Wait at most so long for anything to happen, and take it in.

        Raises:
            Permanent, GangLost: as `open`.
        """
        for key, _ in self._selector.select(timeout_s):
            key.data()
        now = time.monotonic()
        for rank in self._ranks:
            if now - rank.seen_at > self.plan.tick_timeout_s:
                raise GangLost(f"{rank} gave no sign of life for {now - rank.seen_at:.0f} s", Ending.HUNG)
        if self._ending_since and now - self._ending_since > self.plan.stop_timeout_s and not self.is_over:
            raise GangLost(self._unfinished(), Ending.HUNG)

    def _unfinished(self) -> str:
        failure = next((one.failure for one in self._ended.values() if one.failure), None)
        why = f"after a rank failed ({failure.message})" if failure else "after a stop"
        missing = ", ".join(str(rank) for rank in self._ranks if rank.number not in self._ended) or "frames"
        return f"{missing} did not end within {self.plan.stop_timeout_s:.0f} s {why}"

    # -- what comes in -----------------------------------------------------------------------------------------

    def _read_control(self, rank: RankProcess) -> None:
        for message in rank.receive():
            self._take(rank, message)
        if rank.control_ended and rank.control_fd in self._selector.get_map():
            self._selector.unregister(rank.control_fd)

    def _take(self, rank: RankProcess, message: FromRank) -> None:
        match message:
            case Tick():
                pass
            case Opened():
                self._warm.add(rank.number)
                if rank.number == 0:
                    self.opened = message
            case OpenFailed(configuration=True):
                raise Permanent(f"{rank} cannot open the engine: {message.message}", fix=message.fix)
            case OpenFailed():
                raise GangLost(f"{rank} cannot open the engine: {message.message}")
            case Progressed():
                if rank.number == 0 and message.number == self._number:
                    self.progress = message
                    self.units += 1
            case Ended():
                if message.number == self._number:
                    self._ended[rank.number] = message
                    if message.failure:
                        self.stop()  # the others would wait for it for ever

    def _read_frames(self) -> None:
        if not len(self._frame):
            return
        count = os.readv(self._frame_fd, [self._frame[self._filled :]])
        if not count:
            self._selector.unregister(self._frame_fd)
            return
        self._ranks[0].seen_at = time.monotonic()
        self._filled += count
        if self._filled == len(self._frame):
            self._filled = 0
            self._frames += 1
            self.units += 1
            if self._sink:
                self._sink(self._frame)

    def _buried(self, rank: RankProcess) -> None:
        self._read_control(rank)  # its last words
        raise GangLost(f"{rank} {rank.how_it_died()}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
