"""The steps of progressive training, in order."""

from __future__ import annotations

from enum import StrEnum


class Stage(StrEnum):
    """What is learned, each from the weights of the one before (paper, progressive training)."""

    BASE = "base"
    """Text to video. The paper starts from Wan 2.1 instead."""
    STAGE1 = "stage1"
    """Pictures: who."""
    STAGE2 = "stage2"
    """Speech: the mouth, without forgetting who."""

    @property
    def has_pictures(self) -> bool:
        return self is not Stage.BASE

    @property
    def has_speech(self) -> bool:
        return self is Stage.STAGE2
