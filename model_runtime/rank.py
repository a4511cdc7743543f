"""One rank: a process that opens an engine and renders what it is told to. It knows no ledger and no store.

Control is JSON lines on standard input and on what was standard output; frames leave rank 0 through a pipe of their
own. An engine's prints go to standard error, where they cannot be taken for messages.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np

from model_runtime.endings import describe, failure_of
from model_runtime.engine import Cancelled, Engine, Frame, Gang
from model_runtime.engines.registry import open_engine
from model_runtime.messages import Ended, FromRank, Opened, OpenFailed, Progressed, Render, Tick, encode, to_rank
from schemas.errors import CallsheetError, Retryable
from schemas.job import RenderRequest
from schemas.model_spec import find_model
from schemas.states import Ending

_PR_SET_PDEATHSIG = 1


def main(argv: Sequence[str]) -> int:
    arguments = _parser().parse_args(argv)
    _die_with(arguments.parent)
    control = Control(_keep_stdout())
    gang = Gang(rank=arguments.rank, world=arguments.world, master_port=arguments.master_port)
    inbox = Inbox(sys.stdin.buffer)
    control.tick_every(arguments.tick)
    engine = _open(arguments.engine, arguments.model, gang, control)
    if engine is None:
        return 1
    frames = FramePipe(arguments.frame_fd)
    while (render := inbox.next()) is not None:
        control.send(render_clip(engine, render, Context(render, control, inbox, frames)))
    engine.close()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m model_runtime rank", description="internal: started by a worker")
    parser.add_argument("--engine", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--rank", type=int, default=0)
    parser.add_argument("--world", type=int, default=1)
    parser.add_argument("--master-port", type=int, default=0)
    parser.add_argument("--frame-fd", type=int, default=-1, help="where raw frames go; -1: nowhere")
    parser.add_argument("--tick", type=float, default=5.0, help="seconds between signs of life")
    parser.add_argument("--parent", type=int, required=True, help="process id of the supervisor")
    return parser


def _die_with(parent: int) -> None:
    """Be killed by the kernel when the supervisor dies, even while a device call holds every lock there is."""
    # A terminal's Ctrl-C and a pod's SIGTERM are for the supervisor, which ends its ranks in order.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the call above
        os._exit(1)


def _keep_stdout() -> int:
    """The real standard output for ourselves; whatever else writes to descriptor 1 lands in standard error."""
    sys.stdout.flush()
    control = os.dup(1)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return control


def _open(name: str, model: str, gang: Gang, control: Control) -> Engine | None:
    try:
        spec = find_model(model)
        engine = open_engine(name, spec, gang)
        control.send(Opened(model_digest=engine.digest(spec), engine_version=engine.spec.version))
    except Exception as error:  # noqa: BLE001 - whatever an engine raises becomes a message to the supervisor
        traceback.print_exc()
        fix = error.fix if isinstance(error, CallsheetError) else ""
        control.send(OpenFailed(configuration=_is_configuration(error), message=describe(error), fix=fix))
        return None
    return engine


def _is_configuration(error: Exception) -> bool:
    """Weights, names and packages are as they are: another start finds the same."""
    return isinstance(error, ImportError) or (isinstance(error, CallsheetError) and not isinstance(error, Retryable))


class Control:
    """The way out for messages; safe to use from several threads."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lock = threading.Lock()

    def send(self, message: FromRank) -> None:
        data = memoryview(encode(message))
        with self._lock:
            while data:
                try:
                    data = data[os.write(self._fd, data) :]
                except BrokenPipeError:
                    os._exit(1)  # nobody is there to render for

    def tick_every(self, seconds: float) -> None:
        def run() -> None:
            never = threading.Event()
            while not never.wait(seconds):
                self.send(Tick())

        threading.Thread(target=run, name="tick", daemon=True).start()


class Inbox:
    """What the supervisor says, read by a thread so that a stop is seen while the engine works."""

    def __init__(self, stream: BinaryIO) -> None:
        self._renders: queue.SimpleQueue[Render | None] = queue.SimpleQueue()
        self._stopped = 0
        self._busy = False
        threading.Thread(target=self._read, args=(stream,), name="inbox", daemon=True).start()

    def _read(self, stream: BinaryIO) -> None:
        for line in stream:
            message = to_rank(line)
            if isinstance(message, Render):
                self._renders.put(message)
            else:
                self._stopped = max(self._stopped, message.number)
        if self._busy:
            os._exit(1)  # the supervisor is gone or wants us gone; nobody reads what is being made
        self._renders.put(None)

    def next(self) -> Render | None:
        """The next clip to make; None when there will be no more."""
        self._busy = False
        render = self._renders.get()
        self._busy = render is not None
        return render

    def is_stopped(self, number: int) -> bool:
        return self._stopped >= number


class FramePipe:
    """Whole frames of raw rgb24, rank 0 only."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def write(self, frame: Frame) -> bool:
        """False when this rank's frames do not count."""
        if self._fd < 0:
            return False
        data = np.ascontiguousarray(frame).reshape(-1).data
        while data:
            data = data[os.write(self._fd, data) :]
        return True


class Context:
    """What the engine tells and asks while it makes one clip."""

    def __init__(self, render: Render, control: Control, inbox: Inbox, pipe: FramePipe) -> None:
        self._number = render.number
        self._total = render.request.num_frames
        self._shape = (render.request.height, render.request.width, 3)
        self._control, self._inbox, self._pipe = control, inbox, pipe
        self.frames = 0

    def progress(self, phase: str, done: int, total: int) -> None:
        self._check()
        self._control.send(Progressed(number=self._number, phase=phase, done=done, total=total))

    def frame(self, frame: Frame) -> None:
        self._check()
        if frame.shape != self._shape or frame.dtype != np.uint8:
            raise ValueError(f"a frame is {frame.dtype} {frame.shape}, expected uint8 {self._shape}")
        if self.frames == self._total:
            raise ValueError(f"more than the {self._total} frames that were asked for")
        if self._pipe.write(frame):
            self.frames += 1

    def _check(self) -> None:
        if self._inbox.is_stopped(self._number):
            raise Cancelled


_TRUSTED = frozenset({Ending.BAD_INPUT, Ending.BAD_OUTPUT})
"""After these the process is as good as before; a device that ran out of memory or failed is not."""


def render_clip(engine: Engine, render: Render, context: Context) -> Ended:
    """Let the engine make one clip; whatever happens becomes one message."""
    request: RenderRequest = render.request
    try:
        engine.render(render.task, context)
    except Cancelled:
        return Ended(number=render.number, frames=context.frames, stopped=True)
    except Exception as error:  # noqa: BLE001 - whatever an engine raises becomes a message to the supervisor
        failure = failure_of(error, "render")
        if failure.ending not in _TRUSTED:
            with contextlib.suppress(Exception):
                traceback.print_exc()
        return Ended(
            number=render.number,
            frames=context.frames,
            failure=failure.model_copy(update={"message": f"{request.engine}: {failure.message}"[:4000]}),
            reusable=failure.ending in _TRUSTED,
        )
    return Ended(number=render.number, frames=context.frames)
