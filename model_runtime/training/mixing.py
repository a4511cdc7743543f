"""What each training sample is given: its task, and which conditions are dropped from it.

Counts are exact, not expected: what is dropped is a shuffled hundred of fixed make-up, and the tasks follow a ramp
whose every prefix is within one sample of what it should be. Both are functions of the sample's number alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from model_runtime.humo.guidance import Branch
from model_runtime.training.stage import Stage
from model_runtime.training.world.streams import Streams
from schemas.errors import InvalidInput

_HUNDRED = 100


@dataclass(frozen=True)
class Given:
    """The conditions that one sample keeps."""

    text: bool
    image: bool
    speech: bool

    @property
    def branch(self) -> Branch | None:
        """The guidance branch that this sample trains; None for speech without text, which guidance never asks for."""
        name = "".join(letter for letter, has in zip("tia", (self.text, self.image, self.speech), strict=True) if has)
        return Branch(name) if name in set(Branch) else None if name else Branch.NULL


@dataclass(frozen=True, kw_only=True)
class Dropout:
    """Of every hundred samples in a row, so many lose a condition that their task has; whole percents.

    Raises:
        InvalidInput: a percentage beyond 0 to 100.
    """

    audio: int = 15
    text: int = 12
    image: int = 10

    def __post_init__(self) -> None:
        for name in ("audio", "text", "image"):
            if not 0 <= getattr(self, name) <= _HUNDRED:
                raise InvalidInput(f"{name} is dropped {getattr(self, name)} times in a hundred, expected 0 to 100")

    def keeps(self, seed: int, sample: int) -> Given:
        """What sample `sample` keeps; each condition is shuffled by itself."""
        hundred, place = divmod(sample, _HUNDRED)
        streams = Streams((seed, hundred))

        def is_kept(name: str, percent: int) -> bool:
            return bool(streams.of(f"dropout/{name}").permutation(_HUNDRED)[place] >= percent)

        return Given(
            text=is_kept("text", self.text),
            image=is_kept("image", self.image),
            speech=is_kept("audio", self.audio),
        )


@dataclass(frozen=True, kw_only=True)
class TaskMix:
    """Percentage of stage 2's samples that learn speech (TIA); the rest keep who it is (TI).

    The paper goes from 20 to 50 and does not say how: here on a straight line over the stage. Equal numbers give a
    constant mix.

    Raises:
        InvalidInput: a percentage beyond 0 to 100.
    """

    start: int = 20
    end: int = 50

    def __post_init__(self) -> None:
        for percent in (self.start, self.end):
            if not 0 <= percent <= _HUNDRED:
                raise InvalidInput(f"{percent} of a hundred samples learn speech, expected 0 to 100")

    def with_speech_before(self, sample: int, total: int) -> int:
        """How many of the samples before `sample` of `total` learn speech: the area under the ramp, rounded down."""
        reached = min(sample, total)
        ramp = Fraction(self.end - self.start) * reached * reached / (2 * total)
        rest = (sample - reached) * self.end
        return int((self.start * reached + ramp + rest) / _HUNDRED)

    def has_speech(self, sample: int, total: int) -> bool:
        return self.with_speech_before(sample + 1, total) > self.with_speech_before(sample, total)


@dataclass(frozen=True, kw_only=True)
class Mixing:
    """All of it."""

    dropout: Dropout = Dropout()
    tasks: TaskMix = TaskMix()

    def given(self, stage: Stage, *, seed: int, sample: int, total: int) -> Given:
        """What sample `sample` of a stage of `total` samples is given."""
        kept = self.dropout.keeps(seed, sample)
        return Given(
            text=kept.text,
            image=stage.has_pictures and kept.image,
            speech=stage.has_speech and kept.speech and self.tasks.has_speech(sample, total),
        )
