"""Small render requests and jobs with good defaults."""

from __future__ import annotations

from typing import Any

from schemas.job import RenderJob, RenderRequest
from schemas.mode import Mode
from schemas.model_spec import HUMO_1_7B, engine_digest, find_engine


def make_request(prompt: str = "a person speaks", *, engine: str = "pattern", **changes: Any) -> RenderRequest:
    """64x64, 9 frames of which 8 are kept, without inputs."""
    spec = find_engine(engine)
    values: dict[str, Any] = {
        "engine": engine,
        "engine_version": spec.version,
        "model": HUMO_1_7B.name,
        "model_digest": engine_digest(spec, HUMO_1_7B),
        "mode": Mode.TI,
        "prompt": prompt,
        "negative_prompt": "",
        "start_frame": 0,
        "keep_frames": 8,
        "num_frames": 9,
        "seed": 7,
        "width": 64,
        "height": 64,
        "num_inference_steps": 4,
        "shift": 5.0,
        "guidance_text": 5.0,
        "guidance_audio": 5.0,
        "guidance_image": 5.0,
    }
    return RenderRequest(**(values | changes))


def make_job(row_id: str = "row-1", prompt: str = "a person speaks", **changes: Any) -> RenderJob:
    """The only clip of its shot."""
    estimated_s = changes.pop("estimated_s", 0.0)
    return RenderJob(row_id=row_id, index=0, clips=1, request=make_request(prompt, **changes), estimated_s=estimated_s)
