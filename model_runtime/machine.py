"""What a worker takes from the machine it runs on: time, signals, threads, ranks, the encoder.

The default is the real machine. The simulation under tests/ gives another one, on which time passes only when it says
so; the worker's own code is the same on both.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from media.encode import ClipEncoder
from media.output_gate import ClipFacts, check_clip
from model_runtime.gang import GangPlan, RunningGang, WarmGang
from model_runtime.stopping import ProcessSignals, Signals
from model_runtime.waker import Waker


class Background(Protocol):
    """One function that runs beside the main loop; `threading.Thread` is one."""

    def start(self) -> None: ...

    def join(self, timeout: float | None = None) -> None: ...

    def is_alive(self) -> bool: ...


class Bell(Protocol):
    """Rung once; `threading.Event` is one."""

    def set(self) -> None: ...

    def wait(self, timeout: float | None = None) -> bool:
        """Whether it was rung, at the latest after `timeout` seconds."""
        ...


class ClipWriter(Protocol):
    """Makes one file out of frames; `media.encode.ClipEncoder` is one."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def write(self, frame: memoryview) -> None: ...

    def finish(self) -> None: ...


class MakeWriter(Protocol):
    def __call__(self, path: Path, *, width: int, height: int, fps: int, timeout_s: float) -> ClipWriter: ...


class CheckClip(Protocol):
    def __call__(
        self, path: Path, *, frames: int, width: int, height: int, fps: int, frozen_allowed: bool
    ) -> ClipFacts: ...


def thread(run: Callable[[], None], name: str) -> Background:
    """A thread that does not keep its process alive."""
    return threading.Thread(target=run, name=name, daemon=True)


@dataclass(frozen=True, kw_only=True)
class Machine:
    clock: Callable[[], float] = time.monotonic
    """Monotonic seconds; never compared with another machine's."""
    waker: Callable[[], Waker] = Waker
    signals: Signals = field(default_factory=ProcessSignals)
    background: Callable[[Callable[[], None], str], Background] = thread
    bell: Callable[[], Bell] = threading.Event
    gang: Callable[[GangPlan, Waker], WarmGang] = RunningGang
    encoder: MakeWriter = ClipEncoder
    check: CheckClip = check_clip
