"""Clips and pictures of the procedural world as raw material, with what is true of each, some spoilt on request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from media.picture import letterbox
from model_runtime.dataset.films import PER_FRAME
from model_runtime.dataset.seams import Pixels, Vector
from model_runtime.training.world.acting import Acting
from model_runtime.training.world.clip import Recipe
from model_runtime.training.world.drawing import draw
from model_runtime.training.world.identity import Identity, Jitter, Split
from model_runtime.training.world.masks import Masks
from model_runtime.training.world.streams import Streams
from model_runtime.training.world.vocabulary import IDENTITY, Background, Clothes, Colour, HairColour, Hat, Held
from model_runtime.training.world.world import World
from schemas.dataset import DatasetOrder, Spoils, WorldSource

_HEAD = 16.0
"""Radius of a head in units: a turn of so many units is an angle of asin(units / radius)."""
_NOISE = 0.05
_ELSEWHERE = 10_000_019
"""Whose sound a clip with another's is given: no clip of any set that is made."""
_SHIFTS = (5, 6, 7, 8)


_Spoil = TypeVar("_Spoil", bound=StrEnum)


class ClipSpoil(StrEnum):
    """What may be wrong with a clip's sound."""

    NONE = ""
    OFFSET = "offset"
    VOICE = "voice"


class PictureSpoil(StrEnum):
    """What may be wrong with a picture of the pool."""

    NONE = ""
    SAME_PICTURE = "same_picture"
    SAME_CLOTHES = "same_clothes"
    LOOKALIKE = "lookalike"


@dataclass(frozen=True, kw_only=True)
class WorldClip:
    """One clip, drawn."""

    key: str
    frames: Pixels
    sound: Vector
    """As it is heard, spoilt or not."""
    facts: dict[str, Any]
    arrays: dict[str, NDArray[Any]]


@dataclass(frozen=True, kw_only=True)
class WorldPicture:
    """One picture of the pool."""

    key: str
    pixels: Pixels
    facts: dict[str, Any]
    arrays: dict[str, NDArray[Any]]


class WorldClips:
    """The clips that an order asks for. Which ones are spoilt is a function of seed and index alone."""

    def __init__(self, order: DatasetOrder) -> None:
        assert isinstance(order.source, WorldSource)
        self._source = order.source
        self._spoils: Spoils = order.source.spoils
        self._split = Split(order.source.split)
        self._sparse = order.rules.sparse_every
        self.world = World(
            seed=order.source.seed,
            width=order.width,
            height=order.height,
            frames=order.frames,
            duos=order.source.duos,
        )

    def clip_spoil(self, index: int) -> ClipSpoil:
        spoils = {ClipSpoil.OFFSET: self._spoils.offset, ClipSpoil.VOICE: self._spoils.voice}
        return _chosen(spoils, self._chance(index, "clip"), ClipSpoil.NONE)

    def is_noisy(self, index: int) -> bool:
        return self._chance(index, "noise") < self._spoils.noise

    def picture_spoil(self, index: int, place: int, variant: int) -> PictureSpoil:
        spoils = {
            PictureSpoil.SAME_PICTURE: self._spoils.same_picture,
            PictureSpoil.SAME_CLOTHES: self._spoils.same_clothes,
            PictureSpoil.LOOKALIKE: self._spoils.lookalike,
        }
        return _chosen(spoils, self._chance(index, f"picture/{place}/{variant}"), PictureSpoil.NONE)

    def _streams(self, index: int) -> Streams:
        return Streams((self._source.seed, list(Split).index(self._split), index))

    def _chance(self, index: int, name: str) -> float:
        return float(self._streams(index).of(f"spoil/{name}").random())

    def clip(self, index: int) -> WorldClip:
        """Clip `index` with its truth: who, what they wear, how they stand, their masks, the mouth shown and heard."""
        world = self.world
        clip = world.clip(index, self._split)
        sound, opening = clip.audio, clip.speech.opening
        match self.clip_spoil(index):
            case ClipSpoil.OFFSET:
                rng = self._streams(index).of("spoil/shift")
                late = int(rng.choice(_SHIFTS)) * (1 if rng.random() < 0.5 else -1)
                sound, opening = np.roll(sound, late * PER_FRAME), np.roll(opening, late)
            case ClipSpoil.VOICE:
                other = world.speech(world.recipe(index + _ELSEWHERE, self._split))
                sound, opening = other.audio, other.opening
        clean = sound
        if self.is_noisy(index):
            hiss = self._streams(index).of("spoil/hiss").standard_normal(len(sound)) * _NOISE
            sound = (sound + hiss).astype(np.float32)
        arrays: dict[str, NDArray[Any]] = {
            "faces": clip.masks.faces,
            "mouths": clip.masks.mouths,
            "poses": np.stack([_pose(acting) for acting in clip.acting]).astype(np.float32),
            "shown": clip.speech.opening,
            "heard": opening.astype(np.float32),
            "clean": np.clip(np.rint(clean * 32768.0), -32768, 32767).astype(np.int16),
        }
        facts = {
            "people": [
                _person(clip.recipe.identities[place], role.clothes, role.colour, clip.recipe.scene.background)
                for place, role in enumerate(clip.recipe.scene.roles)
            ],
            "speaker": clip.recipe.scene.speaker,
            "attributes": clip.truth,
            "caption": clip.caption,
        }
        return WorldClip(key=self.key(index), frames=clip.frames, sound=sound, facts=facts, arrays=arrays)

    def key(self, index: int) -> str:
        return f"{self._split}-{index:08d}"

    def clips(self, indices: Sequence[int]) -> Iterator[WorldClip]:
        for index in indices:
            yield self.clip(index)

    def pictures(self, index: int) -> Iterator[WorldPicture]:
        """The pool's pictures of everybody in clip `index`."""
        recipe = self.world.recipe(index, self._split)
        for place in range(len(recipe.identities)):
            for variant in range(self._source.variants):
                spoil = self.picture_spoil(index, place, variant)
                key = f"{self.key(index)}-{place}-{variant}"
                if spoil is PictureSpoil.SAME_PICTURE:
                    yield self._own_frame(key, recipe, place)
                else:
                    yield self._picture(key, recipe, place, variant, spoil)

    def _own_frame(self, key: str, recipe: Recipe, place: int) -> WorldPicture:
        clip = self.world.draw(recipe)
        # One that is looked at for faces, near the middle.
        at = (self.world.frames // 2) // self._sparse * self._sparse
        role = recipe.scene.roles[place]
        return WorldPicture(
            key=key,
            pixels=clip.frames[at],
            facts={"people": [_person(recipe.identities[place], role.clothes, role.colour, recipe.scene.background)]},
            arrays={
                "faces": clip.masks.faces[place : place + 1, at : at + 1],
                "poses": _pose(clip.acting[place])[None, at : at + 1].astype(np.float32),
            },
        )

    def _picture(self, key: str, recipe: Recipe, place: int, variant: int, spoil: PictureSpoil) -> WorldPicture:
        look = self.world.look(recipe, place, variant)
        streams = self._streams(recipe.index)
        if spoil is PictureSpoil.LOOKALIKE:
            look = replace(look, identity=_lookalike(look.identity, streams, f"{place}/{variant}"))
        if spoil is PictureSpoil.SAME_CLOTHES:
            role = replace(recipe.scene.roles[place], hat=Hat.NONE, held=Held.NONE)
            look = replace(look, role=role, background=recipe.scene.background)
        shot = look.shot(self.world.height, self.world.width)
        pictures, labels = draw(shot, streams.of(f"pool/{place}/{variant}"), supersample=self.world.supersample)
        face = Masks.of(labels, 1).faces[0, 0]
        framed = np.zeros((self.world.height, self.world.width), np.bool_)
        left = (self.world.width - face.shape[1]) // 2
        framed[:, left : left + face.shape[1]] = face
        return WorldPicture(
            key=key,
            pixels=np.asarray(letterbox(Image.fromarray(pictures[0]), self.world.width, self.world.height)),
            facts={"people": [_person(look.identity, look.role.clothes, look.role.colour, look.background)]},
            arrays={"faces": framed[None, None], "poses": _pose(look.acting)[None].astype(np.float32)},
        )


def _chosen(shares: dict[_Spoil, float], chance: float, nothing: _Spoil) -> _Spoil:
    for value, share in shares.items():
        if chance < share:
            return value
        chance -= share
    return nothing


def _pose(acting: Acting) -> NDArray[np.float64]:
    """[frames, 3]: yaw, pitch, roll in degrees."""
    turned = np.degrees(np.arcsin(np.clip(acting.turn / _HEAD, -1, 1)))
    return np.concatenate([turned, np.degrees(acting.roll)[:, None]], axis=1)


def _person(identity: Identity, clothes: Clothes, colour: Colour, background: Background | None) -> dict[str, Any]:
    return {
        "identity": {name: str(value) for name, value in identity.attributes.items()},
        "jitter": [getattr(identity.jitter, field.name) for field in fields(Jitter)],
        "clothes": str(clothes),
        "colour": str(colour),
        "background": str(background) if background else "",
    }


def _lookalike(identity: Identity, streams: Streams, name: str) -> Identity:
    """Somebody who differs in the colour of the hair."""
    others = [colour for colour in HairColour if colour is not identity.hair_colour]
    return replace(identity, hair_colour=streams.pick(f"lookalike/{name}", others))


FEATURES: dict[str, list[str]] = {name: [str(value) for value in kind] for name, kind in IDENTITY.items()}
"""What an identity is told by, in the vocabulary's order."""
