"""Frames from the gang to the encoder, until the clip is over or somebody says stop."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from media.output_gate import BadOutput
from model_runtime.engine import LocalInputs
from model_runtime.gang import GangLost, WarmGang
from schemas.attempt import Failure
from schemas.job import RenderRequest

TURN_S = 0.5
"""How often the overseer is asked when nothing happens."""

Overseer = Callable[[WarmGang, float], None]
"""Called after every turn with the gang and the seconds since the clip began; raises to end the clip."""


class FrameWriter(Protocol):
    """The encoder, as far as frames go."""

    def write(self, frame: memoryview) -> None: ...


class RenderFailed(Exception):
    """The engine gave the clip up and said why."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def render(
    gang: WarmGang,
    request: RenderRequest,
    inputs: LocalInputs,
    encoder: FrameWriter,
    overseer: Overseer,
    *,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Have the gang make one clip and encode the first `keep_frames` of it; the surplus is dropped.

    When anything else than the gang's own death ends it early, the ranks are told to stop and are waited for, so
    that the gang can make another clip. A gang that cannot is killed (`WarmGang.is_alive`).

    Raises:
        RenderFailed: the engine said why.
        BadOutput: another number of frames than asked for.
        GangLost: a rank died, stopped or would not end.
        Whatever the overseer or the encoder raises.
    """
    kept = 0
    came = 0

    def sink(frame: memoryview) -> None:
        nonlocal kept, came
        came += 1
        if kept < request.keep_frames:
            encoder.write(frame)
            kept += 1

    began = clock()
    gang.begin(request, inputs, sink)
    try:
        while not gang.is_over:
            gang.turn(TURN_S)
            overseer(gang, clock() - began)
    except GangLost:
        gang.kill()
        raise
    except Exception:
        _settle(gang)
        raise
    ended = gang.outcome()
    if not ended.reusable:
        gang.kill()
    if ended.failure:
        raise RenderFailed(ended.failure)
    if came != request.num_frames:
        raise BadOutput(f"the engine gave {came} frames, expected {request.num_frames}")


def _settle(gang: WarmGang) -> None:
    """Stop a clip and wait until its last frame is out of the pipe; a gang that will not stop is killed."""
    try:
        gang.stop()
        while not gang.is_over:
            gang.turn(TURN_S)
    except GangLost:
        gang.kill()
