"""The order in which the small model's transformer is trained."""

from __future__ import annotations

from enum import StrEnum

from model_runtime.training.mixing import Mixing, TaskMix
from model_runtime.training.stage import Stage

_SPEECH_IN_FINETUNE = 70
"""Percent. Stage 2 ends at 50, so as not to forget pictures and text; here these are trained with it, and a mouth is
learned slowest."""


class Course(StrEnum):
    """The paper's stages; then, for a model this small, all weights together once more (docs/training.md says why)."""

    BASE = "base"
    STAGE1 = "stage1"
    STAGE2 = "stage2"
    FINETUNE = "finetune"

    @property
    def stage(self) -> Stage:
        """What samples are given: as in that stage of the paper."""
        return Stage.STAGE2 if self is Course.FINETUNE else Stage(self.value)

    @property
    def before(self) -> Course | None:
        """Whose weights it starts from."""
        courses = list(Course)
        place = courses.index(self)
        return courses[place - 1] if place else None

    @property
    def mixing(self) -> Mixing | None:
        """What its samples are given; None for what the variant says."""
        if self is not Course.FINETUNE:
            return None
        return Mixing(tasks=TaskMix(start=_SPEECH_IN_FINETUNE, end=_SPEECH_IN_FINETUNE))
