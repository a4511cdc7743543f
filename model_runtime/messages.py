"""What the supervisor and a rank say to each other: one JSON object per line.

To a rank (its standard input): `Render`, `Stop`; the end of the stream means: finish and go.
From a rank (its control pipe): `Tick`, `Opened`, `OpenFailed`, `Progressed`, `Ended`.
Frames are no messages: rank 0 writes them as raw rgb24 into a pipe of their own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from model_runtime.engine import LocalInputs, RenderTask
from schemas.attempt import Failure
from schemas.job import RenderRequest
from schemas.object_ref import Value


class Render(Value):
    """Make one clip. `number` counts the clips of one gang; answers to another number are stale."""

    kind: Literal["render"] = "render"
    number: int
    request: RenderRequest
    images: tuple[Path, ...] = ()
    speech: Path | None = None

    @property
    def task(self) -> RenderTask:
        return RenderTask(request=self.request, inputs=LocalInputs(images=self.images, speech=self.speech))


class Stop(Value):
    """Give up clip `number` at the next frame or step."""

    kind: Literal["stop"] = "stop"
    number: int


class Tick(Value):
    """The rank's process runs; sent a few times per tick timeout, whatever the engine does."""

    kind: Literal["tick"] = "tick"


class Opened(Value):
    """The engine is warm."""

    kind: Literal["opened"] = "opened"
    model_digest: str
    engine_version: str


class OpenFailed(Value):
    """The engine cannot be opened. With `configuration` another try cannot help."""

    kind: Literal["open_failed"] = "open_failed"
    configuration: bool
    message: str
    fix: str = ""


class Progressed(Value):
    """`done` of `total` units of the engine's own phase."""

    kind: Literal["progressed"] = "progressed"
    number: int
    phase: str
    done: int
    total: int


class Ended(Value):
    """Clip `number` is over for this rank: well, stopped as asked, or failed. `frames` were written to the pipe."""

    kind: Literal["ended"] = "ended"
    number: int
    frames: int
    stopped: bool = False
    failure: Failure | None = None
    reusable: bool = True
    """False when the rank's process is not to be trusted with another clip."""


ToRank = Render | Stop
FromRank = Tick | Opened | OpenFailed | Progressed | Ended

_TO_RANK: TypeAdapter[ToRank] = TypeAdapter(Annotated[ToRank, Field(discriminator="kind")])
_FROM_RANK: TypeAdapter[FromRank] = TypeAdapter(Annotated[FromRank, Field(discriminator="kind")])


def encode(message: ToRank | FromRank) -> bytes:
    """One line, its end included."""
    return message.model_dump_json().encode() + b"\n"


def to_rank(line: bytes) -> ToRank:
    """Raises pydantic.ValidationError (a ValueError) for anything that is no message to a rank."""
    return _TO_RANK.validate_json(line)


def from_rank(line: bytes) -> FromRank:
    """Raises pydantic.ValidationError (a ValueError) for anything that is no message from a rank."""
    return _FROM_RANK.validate_json(line)
