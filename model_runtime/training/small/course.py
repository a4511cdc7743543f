"""The order in which the small model's transformer is trained."""

from __future__ import annotations

from enum import StrEnum

from model_runtime.training.stage import Stage


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
