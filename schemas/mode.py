"""Which conditions a shot gives the model."""

from __future__ import annotations

from enum import StrEnum


class Mode(StrEnum):
    """T = text, I = reference images, A = speech. The names are HuMo's."""

    TIA = "TIA"
    TA = "TA"
    TI = "TI"

    @property
    def has_images(self) -> bool:
        return "I" in self.value

    @property
    def has_speech(self) -> bool:
        return "A" in self.value


def mode_of(*, images: int, speech: bool) -> Mode | None:
    """The mode that the filled cells mean; None when there is neither picture nor speech."""
    if images and speech:
        return Mode.TIA
    if speech:
        return Mode.TA
    return Mode.TI if images else None
