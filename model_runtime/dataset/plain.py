"""Adapters that need no weights."""

from __future__ import annotations

from model_runtime.dataset.seams import About, Film, Truth, Vector
from schemas.dataset import DatasetOrder


class SidecarCaptioner:
    """What stands in the text beside the video: `talk.txt` of `talk.mp4`; one text for all clips of a video."""

    about = About(name="sidecar", version="1")

    def __init__(self, _order: DatasetOrder) -> None:
        """Needs nothing."""

    def caption(self, film: Film) -> str:
        return film.sidecar


class NoEnhancer:
    """The sound as it is: for recordings that are clean already."""

    about = About(name="none", version="1")

    def __init__(self, _order: DatasetOrder) -> None:
        """Needs nothing."""

    def enhance(self, sound: Vector, truth: Truth | None) -> Vector:  # noqa: ARG002 - the seam's
        return sound
