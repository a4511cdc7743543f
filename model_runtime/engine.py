"""The seam between a request and its frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from schemas.job import RenderRequest
from schemas.model_spec import EngineSpec, ModelSpec

Frame = NDArray[np.uint8]
"""One RGB picture, [height, width, 3]."""


@dataclass(frozen=True, kw_only=True)
class LocalInputs:
    """The request's inputs as local files, in the request's order; `speech` is mono 16 kHz 16-bit WAV."""

    images: tuple[Path, ...] = ()
    speech: Path | None = None


@dataclass(frozen=True, kw_only=True)
class RenderTask:
    """One clip to make: the request, where its inputs lie, and what is shown but decides nothing."""

    request: RenderRequest
    inputs: LocalInputs
    caption: str = ""


@dataclass(frozen=True, kw_only=True)
class Gang:
    """This process's place among the ranks that render one clip together."""

    rank: int = 0
    world: int = 1
    master_port: int = 0


class Cancelled(Exception):
    """Raised inside `render` when the supervisor asked to stop."""


class RenderContext(Protocol):
    """What an engine may tell and ask while it renders."""

    def progress(self, phase: str, done: int, total: int) -> None:
        """Say how far a phase is; also the place where a cancellation is noticed.

        Raises:
            Cancelled: the supervisor asked to stop.
        """
        ...

    def frame(self, frame: Frame) -> None:
        """Hand over the next frame, in order; only rank 0's frames count. Blocks while the encoder is busy.

        Raises:
            Cancelled: the supervisor asked to stop.
        """
        ...


class Engine(Protocol):
    """Turns a request into frames. Constructed with no argument; heavy imports happen in `open`.

    Errors: `InvalidMedia` blames the row, `FloatingPointError` means a picture that is not a number, `MemoryError` (or
    torch's `OutOfMemoryError`) out of (device) memory, `Permanent` the platform, anything else the worker. From `open`,
    an `ImportError` and any error of `schemas.errors` but `Retryable` mean a configuration that no other try mends.
    """

    spec: EngineSpec

    def digest(self, model: ModelSpec) -> str:
        """What identifies the weights (or the engine, where it has none)."""
        ...

    def open(self, model: ModelSpec, gang: Gang) -> None:
        """Load and warm up. Called once, before the first render."""
        ...

    def render(self, task: RenderTask, context: RenderContext) -> None:
        """Give exactly `request.num_frames` frames of `request.width` x `request.height`."""
        ...

    def close(self) -> None: ...


EngineFactory = Callable[[], Engine]
