"""Clips that several tests look at, drawn once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from model_runtime.training.world.clip import Clip, Recipe
from model_runtime.training.world.scene import Role, Scene
from model_runtime.training.world.vocabulary import Background, Camera, Clothes, Colour, Hat, Held, Motion
from model_runtime.training.world.world import World

PLAIN = Role(colour=Colour.BLUE, clothes=Clothes.JUMPER, hat=Hat.NONE, held=Held.NONE, motion=Motion.STILL)


@pytest.fixture(scope="session")
def world() -> World:
    return World(seed=5, frames=13, duos=0.0)


@pytest.fixture(scope="session")
def clips(world: World) -> list[Clip]:
    """Twelve clips of one person."""
    return [world.clip(index) for index in range(12)]


@pytest.fixture(scope="session")
def duos() -> list[Clip]:
    """Six clips of two people."""
    return [World(seed=5, frames=9, duos=1.0).clip(index) for index in range(6)]


@pytest.fixture(scope="session")
def staged(world: World) -> Callable[..., Recipe]:
    """Recipe `index` in a plain scene: still camera, still head, bare head, empty hands, except what is given."""

    def stage(index: int = 0, **given: object) -> Recipe:
        scene = Scene(background=Background.STUDIO, camera=Camera.STILL, roles=(PLAIN,))
        for name, value in given.items():
            if name in {"background", "camera"}:
                scene = replace(scene, **{name: value})  # type: ignore[arg-type]
            else:
                scene = replace(scene, roles=(replace(scene.roles[0], **{name: value}),))  # type: ignore[arg-type]
        return replace(world.recipe(index), scene=scene)

    return stage
