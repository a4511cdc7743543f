"""What stages ask of others: describe, find people, tell them apart, hear whether lips fit, clean speech.

Each is a protocol of one verb. `truth` is what the procedural world knows of a sample; on films it is None.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Vector = NDArray[np.float32]
Truth = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class About:
    """Which adapter made something: part of a shard's name. The version holds the weights' fingerprint."""

    name: str
    version: str

    def as_list(self) -> list[str]:
        return [self.name, self.version]


class Box(NamedTuple):
    """Pixels; right and bottom are outside."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def area(self) -> float:
        return max(0.0, self.right - self.left) * max(0.0, self.bottom - self.top)


@dataclass(frozen=True, kw_only=True)
class Film:
    """A clip as adapters see it."""

    frames: Pixels
    """[frames, h, w, 3], 25 per second."""
    sound: Vector | None
    """[frames * 640], mono, 16 kHz, full scale at 1; None where there is none."""
    truth: Truth | None = None
    sidecar: str = ""
    """Text that lay beside the video."""
    boxes: NDArray[np.float32] | None = None
    """[people, frames, 4] of their faces, once they are known."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One picture or frame."""

    pixels: Pixels
    """[h, w, 3]."""
    truth: Truth | None = None


@dataclass(frozen=True, kw_only=True)
class Person:
    """Somebody in a picture."""

    face: Box
    shown: Box
    """What of the picture to show as a reference."""
    score: float
    pose: tuple[float, float, float] | None
    """Yaw, pitch, roll in degrees; None where nobody measured it."""
    clothes: Vector
    """Descriptor; the cosine of two says how alike they are."""
    background: Vector
    points: NDArray[np.float32] | None = None
    """[5, 2]: eyes, nose, corners of the mouth, as ArcFace aligns them."""
    place: int = 0
    """Which of the truth's people."""


class SyncScore(NamedTuple):
    """How sound and lips fit."""

    offset: int
    """Frames that the sound comes late; below 0 early."""
    confidence: float


class Captioner(Protocol):
    about: About

    def caption(self, film: Film) -> str:
        """One dense description; empty when there is none."""
        ...


class Detector(Protocol):
    about: About

    def people(self, picture: Picture) -> tuple[Person, ...]:
        """Everybody whose face is seen."""
        ...


class FaceEmbedder(Protocol):
    about: About
    same_person: float
    """Cosine from which two are one person, unless the rules say otherwise."""

    def embed(self, picture: Picture, person: Person) -> Vector:
        """[n], of length 1."""
        ...


class SyncScorer(Protocol):
    about: About
    min_confidence: float
    """From which a clip is in sync, unless the rules say otherwise."""

    def score(self, film: Film) -> SyncScore: ...


class SpeechEnhancer(Protocol):
    about: About

    def enhance(self, sound: Vector, truth: Truth | None) -> Vector:
        """Speech without what is not speech; as many samples."""
        ...


@dataclass(frozen=True, kw_only=True)
class Team:
    """One of each."""

    captioner: Captioner
    detector: Detector
    embedder: FaceEmbedder
    scorer: SyncScorer
    enhancer: SpeechEnhancer
