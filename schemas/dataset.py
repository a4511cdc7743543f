"""What a training set is to be made of: one value that the flow sends and the processes that make it read."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from schemas.errors import InvalidInput


class Step(StrEnum):
    """In this order. Clips are the paper's stage 0, faces and references its stage 1, speech its stage 2."""

    CLIPS = "clips"
    FACES = "faces"
    REFERENCES = "references"
    SPEECH = "speech"

    @property
    def stage(self) -> int:
        return _STAGE[self]


_STAGE = {Step.CLIPS: 0, Step.FACES: 1, Step.REFERENCES: 1, Step.SPEECH: 2}


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Spoils(_Value):
    """Which share of the procedural world is spoilt on purpose, so that the filters have something to find."""

    offset: float = Field(default=0.0, ge=0, le=1)
    """Clips whose sound comes 5 to 8 frames early or late."""
    voice: float = Field(default=0.0, ge=0, le=1)
    """Clips with another clip's sound."""
    noise: float = Field(default=0.0, ge=0, le=1)
    """Clips with noise over the sound."""
    same_picture: float = Field(default=0.0, ge=0, le=1)
    """Pictures that are a frame of the clip itself."""
    same_clothes: float = Field(default=0.0, ge=0, le=1)
    """Pictures in the clip's clothes before the clip's background."""
    lookalike: float = Field(default=0.0, ge=0, le=1)
    """Pictures of somebody who differs in one feature."""

    @model_validator(mode="after")
    def _sums(self) -> Self:
        for names in (("offset", "voice"), ("same_picture", "same_clothes", "lookalike")):
            if sum(getattr(self, name) for name in names) > 1:
                raise ValueError(f"{' and '.join(names)} are shares of one whole, together at most 1")
        return self


class WorldSource(_Value):
    """Clips of the procedural world (docs/training.md)."""

    kind: Literal["world"] = "world"
    clips: int = Field(default=64, ge=1)
    seed: int = Field(default=0, ge=0)
    split: Literal["train", "val", "test"] = "train"
    duos: float = Field(default=0.2, ge=0, le=1)
    """Share of clips with two people."""
    variants: int = Field(default=4, ge=1, le=32)
    """Pictures of each person in the pool."""
    spoils: Spoils = Spoils()


class FolderSource(_Value):
    """Videos below a folder, and pictures to find references in."""

    kind: Literal["folder"] = "folder"
    videos: str
    """Absolute path."""
    pictures: str = ""
    """Absolute path; empty: references come from the other videos alone."""


class Adapters(_Value):
    """Who does what, by registered name."""

    captioner: str
    detector: str
    embedder: str
    scorer: str
    enhancer: str


class Rules(_Value):
    """What is kept."""

    scene_change: float = Field(default=0.16, gt=0, le=1)
    """Mean change of luma between two frames, of full scale, that counts as a cut."""
    sparse_every: int = Field(default=8, ge=1)
    """Frames between two that are looked at for faces."""
    most_people: int = Field(default=4, ge=1, le=8)
    seen_share: float = Field(default=0.5, gt=0, le=1)
    """Share of the sparse frames that somebody must be seen in to be one of the clip's people."""
    same_person: float | None = Field(default=None, ge=-1, le=1)
    """Cosine of two embeddings from which they are one person; None: the embedder's own."""
    proposals: int = Field(default=16, ge=1)
    """Nearest pictures of the pool that are looked at for each person."""
    references: int = Field(default=4, ge=1, le=12)
    """Most references kept per person."""
    same_picture: float = Field(default=8.0, ge=0)
    """Mean difference of two thumbnails, in levels of 255, up to which they show one picture."""
    differ: tuple[Literal["clothes", "background", "pose"], ...] = ("clothes", "background", "pose")
    """What a reference must show otherwise than the clip."""
    alike: float = Field(default=0.9, gt=0, le=1)
    """Cosine of two descriptors of clothes or background from which they are the same."""
    turn_deg: float = Field(default=3.0, ge=0)
    """Two heads that differ by less about every axis are in one pose."""
    quiet_dbfs: float = Field(default=-50.0, lt=0)
    """Speech whose loudest frame stays below is none."""
    max_offset: int = Field(default=1, ge=0)
    """Frames that the sound may be early or late."""
    min_confidence: float | None = None
    """Of the sync scorer; None: the scorer's own."""


class DatasetOrder(_Value):
    """A whole dataset."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")
    source: WorldSource | FolderSource = Field(discriminator="kind")
    frames: int = Field(default=97, ge=5)
    """Of each clip, 4n+1 as the autoencoder takes them, at 25 per second."""
    width: int = Field(default=832, ge=32, le=4096)
    height: int = Field(default=480, ge=32, le=4096)
    per_shard: int = Field(default=64, ge=1)
    """World clips, videos or pictures that share a shard."""
    adapters: Adapters
    rules: Rules = Rules()
    weights: str = "weights"
    """Folder of the adapters' weights, absolute; their content goes into the shards' names, not this path."""
    device: str = "cpu"
    """Of the adapters that need one; not part of any name."""

    @field_validator("frames")
    @classmethod
    def _fits(cls, frames: int) -> int:
        if frames % 4 != 1:
            raise ValueError(f"{frames} frames; the autoencoder takes 4n+1, such as {frames // 4 * 4 + 1}")
        return frames

    @field_validator("width", "height")
    @classmethod
    def _on_grid(cls, side: int) -> int:
        if side % 16:
            raise ValueError(f"{side} pixels; a side is a multiple of 16, such as {max(32, side // 16 * 16)}")
        return side


def read_order(data: object) -> DatasetOrder:
    """An order out of plain values.

    Raises:
        InvalidInput: naming every value that cannot be used.
    """
    try:
        return DatasetOrder.model_validate(data)
    except ValidationError as error:
        faults = [
            f"{'.'.join(str(part) for part in fault['loc']) or 'the order'}: {fault['msg']}"
            for fault in error.errors(include_input=False, include_url=False)
        ]
        raise InvalidInput(
            "such a dataset cannot be made:\n  " + "\n  ".join(faults),
            fix="docs/dataset.md lists what can be asked for",
        ) from None
