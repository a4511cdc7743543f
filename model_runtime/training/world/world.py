"""The world itself: a few numbers that decide an endless row of clips."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

import numpy as np
from PIL import Image

from media.picture import letterbox
from model_runtime.training.world import captions
from model_runtime.training.world.acting import Floats, act, views
from model_runtime.training.world.clip import Clip, Pixels, Recipe
from model_runtime.training.world.drawing import UNITS, Actor, Place, Shot, any_light, draw
from model_runtime.training.world.identity import Identity, Split, draw_identity
from model_runtime.training.world.masks import Masks
from model_runtime.training.world.references import Look, another_look
from model_runtime.training.world.scene import Scene, draw_scene
from model_runtime.training.world.speech import PAUSE, Speech, speak
from model_runtime.training.world.streams import Streams
from schemas.errors import InvalidInput

VERSION = 1
"""Changes whenever the same numbers would draw other pixels, sounds or words."""

_GRID = 16


@dataclass(frozen=True, kw_only=True)
class World:
    """Configuration; equal worlds give equal clips.

    Raises:
        InvalidInput: a side is not a multiple of 16, or a number makes no sense.
    """

    version: int = VERSION
    seed: int = 0
    width: int = 64
    height: int = 64
    frames: int = 17
    duos: float = 0.2
    """Share of clips with two people."""
    terse: float = 0.3
    """Share of captions that leave out what holds by default."""
    supersample: int = 4
    """Every edge is drawn this many times as large and averaged down."""

    def __post_init__(self) -> None:
        if self.version != VERSION:
            raise InvalidInput(f"world version is {self.version}, this code draws version {VERSION}")
        for side in (self.width, self.height):
            if side < UNITS // 2 or side % _GRID:
                raise InvalidInput(f"a side is {side}, expected a multiple of {_GRID}, at least {UNITS // 2}")
        if self.frames < 1 or self.supersample < 1 or self.seed < 0:
            raise InvalidInput("frames and supersample are at least 1, seed at least 0")
        if not (0 <= self.duos <= 1 and 0 <= self.terse <= 1):
            raise InvalidInput("duos and terse are shares, 0 to 1")

    @property
    def digest(self) -> str:
        """SHA-256 of the configuration."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def recipe(self, index: int, split: Split = Split.TRAIN) -> Recipe:
        """What clip `index` of a split shows; any non-negative integer is an index."""
        if index < 0:
            raise InvalidInput(f"index is {index}, expected 0 or more")
        streams = self._streams(split, index)
        people = 2 if streams.of("people").random() < self.duos else 1
        scene = draw_scene(streams, people)
        terse = bool(streams.of("caption/terse").random() < self.terse)
        return Recipe(
            split=split,
            index=index,
            scene=scene,
            identities=tuple(draw_identity(streams, f"identity/{place}", split) for place in range(people)),
            caption=captions.write(scene, streams.of("caption/words"), terse=terse),
        )

    def clip(self, index: int, split: Split = Split.TRAIN) -> Clip:
        """Clip `index` of a split, drawn."""
        return self.draw(self.recipe(index, split))

    def clips(self, split: Split = Split.TRAIN, start: int = 0) -> Iterator[Clip]:
        """All clips from `start` on; there is no last one."""
        while True:
            yield self.clip(start, split)
            start += 1

    def speech(self, recipe: Recipe) -> Speech:
        return speak(self._streams(recipe.split, recipe.index), self.frames)

    def draw(self, recipe: Recipe, speech: Speech | None = None) -> Clip:
        """A recipe to pixels. One that was changed (another hat, another person, another speech) keeps all the rest."""
        streams = self._streams(recipe.split, recipe.index)
        speech = speech or self.speech(recipe)
        frames = len(speech.opening)
        people = len(recipe.identities)
        places = self._places(streams, people)
        acting = tuple(
            act(role.motion, frames, streams.of(f"acting/{place}")) for place, role in enumerate(recipe.scene.roles)
        )
        actors = tuple(
            Actor(
                recipe.identities[k],
                recipe.scene.roles[k],
                places[k],
                acting[k],
                *_mouth(speech, speaks=k == recipe.scene.speaker),
            )
            for k in range(people)
        )
        shot = Shot(
            width=self.width,
            height=self.height,
            background=recipe.scene.background,
            actors=actors,
            views=views(recipe.scene.camera, frames),
            light=any_light(streams.of("light"), 0.5),
        )
        pictures, labels = draw(shot, streams.of("background"), supersample=self.supersample)
        return Clip(
            world=self.digest,
            recipe=recipe,
            frames=pictures,
            masks=Masks.of(labels, people),
            references=tuple(self.reference(recipe, place) for place in range(people)),
            speech=speech,
            acting=acting,
        )

    def look(self, recipe: Recipe, place: int = 0, variant: int = 0) -> Look:
        """What reference picture `variant` of the person at `place` shows; any number of variants can be had."""
        rng = self._streams(recipe.split, recipe.index).of(f"reference/{place}/{variant}")
        return another_look(recipe.identities[place], recipe.scene.roles[place], recipe.scene.background, rng)

    def reference(self, recipe: Recipe, place: int = 0, variant: int = 0) -> Pixels:
        """That picture, [h, w, 3], framed by the product's own letterbox."""
        details = self._streams(recipe.split, recipe.index).of(f"reference/{place}/{variant}/background")
        shot = self.look(recipe, place, variant).shot(self.height, self.width)
        picture, _ = draw(shot, details, supersample=self.supersample)
        return np.asarray(letterbox(Image.fromarray(picture[0]), self.width, self.height))

    def with_identity(self, recipe: Recipe, place: int, identity: Identity) -> Recipe:
        """The same scene played by somebody else."""
        identities = (*recipe.identities[:place], identity, *recipe.identities[place + 1 :])
        return replace(recipe, identities=identities)

    def with_scene(self, recipe: Recipe, scene: Scene) -> Recipe:
        """Another scene played by the same people, with its caption."""
        words = self._streams(recipe.split, recipe.index).of("caption/words")
        return replace(recipe, scene=scene, caption=captions.write(scene, words))

    def _streams(self, split: Split, index: int) -> Streams:
        # Neither size nor length: the same index is the same scene at every resolution.
        return Streams((self.version, self.seed, list(Split).index(split), index))

    def _places(self, streams: Streams, people: int) -> list[Place]:
        wide, high = (side / min(self.width, self.height) * UNITS for side in (self.width, self.height))
        found = []
        for place in range(people):
            x, y, scale = (float(v) for v in streams.of(f"place/{place}").uniform((-1.3, -0.8, 0.96), (1.3, 0.8, 1.04)))
            drop = -0.1 * (high - UNITS)
            if people == 1:
                found.append(Place(x, -1.6 + y + drop, 1.07 * scale, (16.6, 19.6)))
                continue
            side = -1 if place == 0 else 1
            smaller = min(0.95, 0.7 * wide / UNITS)
            found.append(Place(side * wide * 0.244 + x / 2, 3.0 + y + drop, scale * smaller, (side * 9.0, 23.5)))
        return found


def _mouth(speech: Speech, *, speaks: bool) -> tuple[Floats, Floats]:
    if speaks:
        return speech.opening.astype(np.float64), speech.width.astype(np.float64)
    return np.zeros(len(speech.opening)), np.full(len(speech.width), PAUSE.width)
