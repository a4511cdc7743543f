"""What a render leaves (a clip) and what a join publishes (a video file)."""

from __future__ import annotations

from pydantic import Field

from schemas.object_ref import ObjectRef, Value


class Clip(Value):
    """What one job rendered: H.264 without sound. `frames` at `fps`; `width` and `height` in pixels."""

    render_key: str
    object: ObjectRef
    frames: int = Field(gt=0)
    fps: int
    width: int
    height: int
    attempt_id: str
    luma_mean: float | None = None
    """Mean brightness 0 to 255, for the report's eye."""


class Publication(Value):
    """The finished file of one video, with its pictures."""

    video: ObjectRef
    poster: ObjectRef
    stills: tuple[ObjectRef, ...] = ()
    """Three frames, at a sixth, a half and five sixths of the length."""
    frames: int = Field(gt=0)
    duration_s: float
    width: int
    height: int
    attempt_id: str
    warnings: tuple[str, ...] = ()
