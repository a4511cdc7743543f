"""One clip of at most the model's length: the unit of GPU work."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from schemas.digest import digest
from schemas.mode import Mode
from schemas.object_ref import ObjectRef, Value


class RenderRequest(Value):
    """Everything an engine needs to make one clip, and nothing else: equal requests give equal clips.

    `start_sample` and `end_sample` count mono 16 kHz samples of the normalised speech; `start_frame`,
    `keep_frames` and `num_frames` count frames at 25 fps. The engine renders `num_frames` (of the form 4n+1)
    and the worker keeps the first `keep_frames`.
    """

    engine: str
    engine_version: str
    model: str
    model_digest: str
    """Digest of the weights, or of the engine where it has none."""
    mode: Mode
    prompt: str
    negative_prompt: str
    images: tuple[ObjectRef, ...] = ()
    speech: ObjectRef | None = None
    """The normalised speech."""
    start_sample: int = 0
    end_sample: int = 0
    start_frame: int = Field(ge=0)
    keep_frames: int = Field(gt=0)
    num_frames: int = Field(gt=0)
    seed: int
    width: int
    height: int
    num_inference_steps: int
    shift: float
    guidance_text: float
    guidance_audio: float
    guidance_image: float

    @property
    def render_key(self) -> str:
        """SHA-256 of the content: same key = same clip, in any campaign.

        Storage keys are left out (the hashes say what the inputs are), so a moved bucket changes nothing.
        """
        return digest(self._content())

    def _content(self) -> dict[str, Any]:
        content = self.__dict__.copy()  # as dict(self), which asks for each field by itself
        content["images"] = [image.sha256 for image in self.images]
        content["speech"] = self.speech.sha256 if self.speech else None
        return content

    @property
    def bucket(self) -> str:
        """Jobs of one bucket need the same warmed-up shapes."""
        return f"{self.width}x{self.height}x{self.num_frames}/{self.mode}"


class RenderJob(Value):
    """A render request in its place: which clip of which shot of which video."""

    row_id: str
    index: int = Field(ge=0)
    """0-based number of the clip inside its shot."""
    clips: int = Field(gt=0)
    """How many clips the shot has."""
    lead_frames: int = Field(default=0, ge=0)
    """Frames at the clip's head that overlap the clip before it, for a crossfade; 0 for a hard cut."""
    request: RenderRequest
    estimated_s: float = Field(default=0.0, ge=0)

    @property
    def render_key(self) -> str:
        return self.request.render_key


def pool_name(*, engine: str, model: str, ranks: int = 1) -> str:
    """The pool of warm workers that serves jobs of this engine, model and gang size."""
    return f"{engine}/{model}/{ranks}"
