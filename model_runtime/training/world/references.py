"""Cross-pair references: how the same person looks in a picture that has nothing else in common with the clip."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from model_runtime.training.world.acting import Acting, pose, views
from model_runtime.training.world.drawing import UNITS, Actor, Light, Place, Shot, any_light
from model_runtime.training.world.identity import Identity
from model_runtime.training.world.scene import Role
from model_runtime.training.world.streams import E
from model_runtime.training.world.vocabulary import Background, Camera, Clothes, Colour, Hat, Held, Motion

_ASPECTS = (0.75, 0.8, 1.0, 1.0)
"""Width over height: portraits are letterboxed on white, as the product does."""
_CUT_OUTS = 0.35
"""Share of pictures that show the person on white instead of somewhere."""


@dataclass(frozen=True)
class Look:
    """One reference picture before it is drawn."""

    identity: Identity
    role: Role
    """Other clothes in another colour; no hat and empty hands, so that all of the identity is seen."""
    background: Background | None
    """Another one than the clip's, or white paper."""
    aspect: float
    x: float
    y: float
    scale: float
    acting: Acting
    opening: float
    width: float
    light: Light

    def shot(self, height: int, widest: int) -> Shot:
        """To be drawn as high as the clip, and at most as wide."""
        width = min(widest, max(UNITS // 2, round(height * self.aspect)))
        tall = max(1.0, height / width)
        # A narrow picture shows the face as large as a wide one does, and a little higher.
        place = Place(self.x, self.y - 0.1 * UNITS * (tall - 1), self.scale * min(1.25, tall), (0.0, 0.0))
        mouth = np.full(1, self.opening), np.full(1, self.width)
        actor = Actor(self.identity, self.role, place, self.acting, *mouth)
        return Shot(width, height, self.background, (actor,), views(Camera.STILL, 1), self.light)


def another_look(identity: Identity, role: Role, background: Background, rng: np.random.Generator) -> Look:
    """The person of `role` elsewhere: another pose, light, clothes, colour and background."""
    aspect = _ASPECTS[int(rng.integers(len(_ASPECTS)))]
    x, y, scale = (float(value) for value in rng.uniform((-2, -2.5, 0.96), (2, 0.5, 1.1)))
    return Look(
        identity=identity,
        role=Role(
            colour=_other(rng, Colour, role.colour),
            clothes=_other(rng, Clothes, role.clothes),
            hat=Hat.NONE,
            held=Held.NONE,
            motion=Motion.STILL,
        ),
        background=None if rng.random() < _CUT_OUTS else _other(rng, Background, background),
        aspect=aspect,
        x=x,
        y=y,
        scale=scale,
        acting=pose(rng),
        opening=float(rng.uniform(0, 0.3)),
        width=float(rng.uniform(0.2, 0.9)),
        light=any_light(rng, 1.0),
    )


def _other(rng: np.random.Generator, kind: type[E], taken: E) -> E:
    options = [value for value in kind if value is not taken]
    return options[int(rng.integers(len(options)))]
