"""One valid prompt / image / audio triple with the hashes of its content."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from pydantic import AwareDatetime, Field

from schemas.digest import digest
from schemas.mode import Mode
from schemas.model_spec import FPS
from schemas.object_ref import ObjectRef, Value


class Picture(Value):
    """A reference image as its author gave it, checked and stored under its content hash."""

    object: ObjectRef
    width: int
    height: int


class Speech(Value):
    """A speech file as its author gave it, and the mono 16 kHz form that engines read.

    `samples / sample_rate` is the decoded length of the original, exactly.
    """

    original: ObjectRef
    normalised: ObjectRef
    """16-bit mono WAV at 16 kHz of the same content."""
    samples: int = Field(gt=0)
    sample_rate: int = Field(gt=0)

    @property
    def seconds(self) -> Fraction:
        return Fraction(self.samples, self.sample_rate)

    @property
    def frames(self) -> int:
        """ceil(seconds x 25): the picture is never shorter than the sound."""
        return -(-self.samples * FPS // self.sample_rate)


class Shot(Value):
    """What one valid row says, with everything resolved that a render needs."""

    row_id: str
    video: str
    """Name of the video it belongs to; the row's own id unless the sheet says otherwise."""
    position: int
    """0-based order of the shot inside its video."""
    mode: Mode
    prompt: str
    negative_prompt: str
    seed: int = Field(ge=0, lt=2**63)
    width: int
    height: int
    frames: int = Field(gt=0)
    """Frames to keep, at 25 fps."""
    images: tuple[Picture, ...] = ()
    speech: Speech | None = None
    priority: int = 0
    not_before: AwareDatetime | None = None
    consent_ref: str = ""

    def content(self) -> dict[str, Any]:
        """What decides the picture and the sound: neither line nor priority nor pass-through columns."""
        return {
            "mode": self.mode.value,
            "prompt": self.prompt,
            "negative_prompt": self.negative_prompt,
            "seed": self.seed,
            "width": self.width,
            "height": self.height,
            "frames": self.frames,
            "images": [picture.object.sha256 for picture in self.images],
            "speech": self.speech.original.sha256 if self.speech else None,
        }

    @property
    def content_hash(self) -> str:
        return digest(self.content())


def default_seed(row_id: str) -> int:
    """A hash of the row's id, shared by all clips of the shot: stable when rows are added or sorted."""
    return int(digest(["seed", row_id])[:16], 16) % 2**63
