"""What is asked of an evaluation and what comes back: values between the flow and the processes that it starts."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field, model_validator

from schemas.digest import digest
from schemas.guidance import Chain
from schemas.mode import Mode
from schemas.object_ref import Value

VERSION = 1
"""Changes with whatever would score the same frames otherwise."""


class Subject(StrEnum):
    """Whose frames are judged."""

    MODEL = "model"
    TRUE_FRAMES = "true-frames"
    """The world's own: the upper bound."""
    ROUND_TRIP = "round-trip"
    """The world's own through the model's autoencoder and back: what any training on it can reach."""


class Condition(StrEnum):
    """What a clip is rendered from, against what it is judged by."""

    FULL = "full"
    NO_TEXT = "no-text"
    """The prompt is the negative prompt, which is what training gives where text is dropped."""
    OTHER_REFERENCE = "other-reference"
    """The people of another clip."""
    OTHER_SPEECH = "other-speech"
    """The speech of another clip."""


class Suite(Value):
    """Clips of the procedural world, always the same ones."""

    split: str = "test"
    start: int = Field(default=0, ge=0)
    count: int = Field(default=200, gt=0)
    world_seed: int = Field(default=0, ge=0)
    width: int = 64
    height: int = 64
    frames: int = Field(default=17, gt=0)
    duos: float = Field(default=0.0, ge=0, le=1)
    """Share of clips with two people and two references."""


class Scales(Value):
    """Guidance and steps; None is the model's own."""

    text: float | None = None
    audio: float | None = None
    image: float | None = None
    steps: int | None = Field(default=None, gt=0)
    shift: float | None = None
    chain: Chain | None = None


class Asked(Value):
    """One run over a suite."""

    subject: Subject = Subject.MODEL
    engine: str = ""
    model: str = ""
    mode: Mode = Mode.TIA
    condition: Condition = Condition.FULL
    scales: Scales = Scales()
    seed: int = 0
    suite: Suite = Suite()

    @model_validator(mode="after")
    def _is_whole(self) -> Asked:
        if self.subject is Subject.MODEL and not (self.engine and self.model):
            raise ValueError("frames of a model need the names of an engine and a model")
        if self.subject is Subject.ROUND_TRIP and not self.model:
            raise ValueError("a round trip needs the name of a model")
        return self

    @property
    def key(self) -> str:
        """SHA-256 of what is asked; the weights that answer are not part of it."""
        return digest([VERSION, self.as_json()])

    @property
    def title(self) -> str:
        """A name for people, without the suite."""
        if self.subject is not Subject.MODEL:
            return f"{self.subject.replace('-', ' ')}{f' of {self.model}' if self.model else ''}"
        scales = {name: value for name, value in self.scales.as_json().items() if value is not None}
        parts = [self.model or self.engine, self.mode.value]
        parts += [] if self.condition is Condition.FULL else [self.condition.replace("-", " ")]
        return ", ".join([*parts, *(_said(name, value) for name, value in scales.items())])


def _said(name: str, value: float | str) -> str:
    return f"{value} guidance" if isinstance(value, str) else f"{name} {value:g}"


class Gauge(Value):
    """What one thing that the reader reads must reach on true frames, and what it reached."""

    needed: float
    reached: float
    clips: int

    @property
    def is_passed(self) -> bool:
        return self.reached >= self.needed


class Gate(Value):
    """The reader on true frames of the validation split, by number of people and then by what is read."""

    reader: str
    """SHA-256 of its weights."""
    gauges: dict[int, dict[str, Gauge]]

    def passes(self, name: str, *, people: int) -> bool:
        gauge = self.gauges.get(people, {}).get(name)
        return gauge is not None and gauge.is_passed

    @property
    def not_judged(self) -> dict[int, list[str]]:
        """What failed, by number of people."""
        return {
            people: [name for name, gauge in found.items() if not gauge.is_passed]
            for people, found in self.gauges.items()
        }


class Tally(Value):
    """Of one clip: a sum over `count` things, so that clips with more to judge weigh as they should."""

    sum: float
    count: float


class ClipScores(Value):
    """Everything that was measured in one clip."""

    index: int
    people: int
    frames_key: str
    """Of the judged frames."""
    tallies: dict[str, Tally]
    """By metric, as `text/hat` or `quality/psnr`."""
    lags: dict[str, tuple[float, ...]] = Field(default_factory=dict)
    """By track: correlation with the speech at each lag of `ShardScores.lags`."""


class ShardScores(Value):
    """What the process that reads gives back for a range of clips."""

    asked: Asked
    weights: str
    """Digest of what rendered."""
    gate: Gate
    lags: tuple[int, ...]
    """Frames that the picture comes after the sound."""
    chances: dict[str, float]
    """By metric: what a guess reaches, where that can be said."""
    missing: dict[str, str] = Field(default_factory=dict)
    """Scores of the field that could not be taken, and what each needs."""
    clips: tuple[ClipScores, ...]
