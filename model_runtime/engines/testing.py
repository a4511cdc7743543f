"""An engine for tests of everything around an engine: quick moving pictures, and faults on demand.

Directives in the prompt, several if wanted:

    [slow=0.05]           seconds to sleep before each frame
    [fail=bad_input]      raise what ends the attempt so: bad_input, bad_output, worker_fault
    [oom] [nan]           run out of memory; notice a picture that is not a number
    [black] [frozen]      a picture that is black; one that does not move
    [noise]               pictures that no encoder makes small
    [short] [long]        one frame too few; one too many
    [crash] [hang]        die by SIGKILL, or wait for ever, in the middle of the clip
    [stop]                stop the whole process (SIGSTOP) in the middle of the clip
    [print]               print to standard output, as libraries do

`[crash=1]`, `[hang=1]` and `[stop=1]` befall rank 1 only; without a number every rank does it.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Mapping

import numpy as np

from model_runtime.engine import Frame, Gang, RenderContext, RenderTask
from schemas.errors import InvalidMedia
from schemas.job import RenderRequest
from schemas.model_spec import PATTERN, ModelSpec, engine_digest
from schemas.problem import Code

_DIRECTIVE = re.compile(r"\[([a-z_]+)(?:=([^\]]*))?\]")


def directives(prompt: str) -> dict[str, str]:
    """What the prompt asks for, by name; an empty value where none is given."""
    # A sheet's prompt is cleaned as the model's is: its underscores arrive as spaces.
    return {name: (value or "").replace(" ", "_") for name, value in _DIRECTIVE.findall(prompt)}


class PatternEngine:
    """Diagonal stripes that wander one pixel per frame, coloured by the seed."""

    spec = PATTERN

    def __init__(self) -> None:
        self._gang = Gang()

    def digest(self, model: ModelSpec) -> str:
        return engine_digest(self.spec, model)

    def open(self, model: ModelSpec, gang: Gang) -> None:  # noqa: ARG002 - the seam's signature
        self._gang = gang

    def render(self, task: RenderTask, context: RenderContext) -> None:
        request, asked = task.request, directives(task.request.prompt)
        if "print" in asked:
            sys.stdout.write("an engine's print\n")
            sys.stdout.flush()
            os.write(1, b"a library's print\n")
        fail_if_asked(asked)
        stripes = _stripes(request)
        count = request.num_frames + ("long" in asked) - ("short" in asked)
        for index in range(count):
            context.progress("paint", index, request.num_frames)
            time.sleep(float(asked.get("slow", 0)))
            if index == count // 2:
                self._befall(asked)
            moved = 0 if "frozen" in asked else request.start_frame + index
            context.frame(_frame(request, stripes, moved, asked))

    def close(self) -> None:
        pass

    def _befall(self, asked: Mapping[str, str]) -> None:
        mine = {name for name, rank in asked.items() if rank in ("", str(self._gang.rank))}
        if "crash" in mine:
            os.kill(os.getpid(), signal.SIGKILL)
        if "stop" in mine:
            os.kill(os.getpid(), signal.SIGSTOP)
        while "hang" in mine:
            time.sleep(1)


def fail_if_asked(asked: Mapping[str, str]) -> None:
    """Raise what the directives `fail`, `oom` and `nan` stand for."""
    match asked.get("fail"):
        case "bad_input":
            raise InvalidMedia(Code.IMAGE_CORRUPT, "the picture cannot be used, as the prompt asked")
        case "bad_output":
            raise FloatingPointError("the picture is not a number, as the prompt asked")
        case "worker_fault":
            raise RuntimeError("the device failed, as the prompt asked")
    if "oom" in asked:
        raise MemoryError("out of memory, as the prompt asked")
    if "nan" in asked:
        raise FloatingPointError("the picture is not a number, as the prompt asked")


def _stripes(request: RenderRequest) -> Frame:
    """[height, 2 x width, 3]: wide enough that every frame is a window into it."""
    across = np.arange(2 * request.width)[None, :] + np.arange(request.height)[:, None]
    wave = (across * 8 % 256).astype(np.uint8)
    tint = np.array([request.seed % 128, request.seed // 128 % 128, 127], dtype=np.uint8)
    return wave[..., None] // 2 + tint


def _frame(request: RenderRequest, stripes: Frame, moved: int, asked: Mapping[str, str]) -> Frame:
    if "black" in asked:
        return np.zeros((request.height, request.width, 3), dtype=np.uint8)
    if "noise" in asked:
        return np.random.default_rng(moved).integers(256, size=(request.height, request.width, 3), dtype=np.uint8)
    left = moved % request.width
    return stripes[:, left : left + request.width]
