"""Who: what a reference picture decides. Which combinations training may see is fixed here, once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum

from model_runtime.training.world.streams import Streams
from model_runtime.training.world.vocabulary import (
    ALIKE_UNDER_A_HAT,
    COVERING_HATS,
    IDENTITY,
    Beard,
    Eyes,
    FaceShape,
    Glasses,
    Hair,
    HairColour,
    Hat,
    Skin,
)


class Split(StrEnum):
    """Which identity combinations a clip may show."""

    TRAIN = "train"
    VAL = "val"
    TEST = "test"


TEST_PERCENT = 5
VAL_PERCENT = 5


@dataclass(frozen=True, kw_only=True)
class Jitter:
    """What makes two people of one combination look a little different; each -1 to 1."""

    width: float
    height: float
    eye_gap: float
    brows: float
    nose: float
    mouth: float
    tone: float


@dataclass(frozen=True, kw_only=True)
class Identity:
    """One person."""

    shape: FaceShape
    skin: Skin
    hair: Hair
    hair_colour: HairColour
    glasses: Glasses
    eyes: Eyes
    beard: Beard
    jitter: Jitter

    @property
    def attributes(self) -> dict[str, StrEnum]:
        """The closed attributes, in the order of the vocabulary."""
        return {name: getattr(self, name) for name in IDENTITY}

    @property
    def split(self) -> Split:
        """Where this combination belongs, whatever the jitter."""
        return split_of(self.attributes)

    def seen_with(self, hat: Hat) -> frozenset[str]:
        """The attributes that a picture with this hat shows: a covering hat hides which short style is below."""
        hidden = {"hair"} if hat in COVERING_HATS and self.hair in ALIKE_UNDER_A_HAT else set()
        return frozenset(IDENTITY) - hidden


def split_of(attributes: dict[str, StrEnum]) -> Split:
    """The split of a combination: SHA-256 of its names and values modulo 100; below 5 test, below 10 validation.

    It depends on no seed, so that nothing that was ever trained on a `train` split has seen a `test` combination.
    """
    text = "|".join(f"{name}={attributes[name]}" for name in IDENTITY)
    bucket = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") % 100
    if bucket < TEST_PERCENT:
        return Split.TEST
    return Split.VAL if bucket < TEST_PERCENT + VAL_PERCENT else Split.TRAIN


def draw_identity(streams: Streams, name: str, split: Split) -> Identity:
    """A person of `split`, each of its combinations as likely. `name` is the prefix of the streams that decide."""
    choices = {key: (streams.of(f"{name}/{key}"), list(kind)) for key, kind in IDENTITY.items()}
    while True:
        attributes = {key: options[int(rng.integers(len(options)))] for key, (rng, options) in choices.items()}
        if split_of(attributes) is split:
            return Identity(**attributes, jitter=_jitter(streams, name))  # type: ignore[arg-type]


def _jitter(streams: Streams, name: str) -> Jitter:
    return Jitter(
        **{field: float(streams.of(f"{name}/jitter/{field}").uniform(-1, 1)) for field in Jitter.__dataclass_fields__}
    )
