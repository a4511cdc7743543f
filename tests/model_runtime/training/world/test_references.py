"""Cross pairs: the person of the clip, and nothing else of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from model_runtime.training.world.clip import Clip
from model_runtime.training.world.vocabulary import Background, Hat, Held, Skin
from model_runtime.training.world.world import World


def test_references_share_the_person_and_nothing_else() -> None:
    """Same identity to the last jitter; other clothes, colour, background; bare head, empty hands."""
    world = World(duos=0.5)
    for index in range(150):
        recipe = world.recipe(index)
        for place, identity in enumerate(recipe.identities):
            look, role = world.look(recipe, place), recipe.scene.roles[place]
            assert look.identity == identity
            assert look.role.colour is not role.colour
            assert look.role.clothes is not role.clothes
            assert look.background is not recipe.scene.background
            assert (look.role.hat, look.role.held) == (Hat.NONE, Held.NONE)


def test_variants_differ() -> None:
    """Any number of pictures can be had of one person, each in another pose; the clip's own is the first."""
    world = World(frames=1)
    recipe = world.recipe(0)
    pictures = [world.reference(recipe, variant=variant) for variant in range(5)]
    assert len({picture.tobytes() for picture in pictures}) == 5
    poses = [world.look(recipe, variant=variant).acting.turn for variant in range(5)]
    assert len({pose.tobytes() for pose in poses}) == 5
    assert np.array_equal(world.clip(0).references[0], pictures[0])


def test_a_reference_shows_its_person(world: World) -> None:
    """Another skin in the identity is another skin in the picture; what the scene says does not reach it."""
    recipe = world.recipe(0)
    here = world.reference(recipe)
    other_skin = Skin.EBONY if recipe.identities[0].skin is not Skin.EBONY else Skin.PEACH
    somebody = replace(recipe, identities=(replace(recipe.identities[0], skin=other_skin),))
    assert np.abs(here.astype(int) - world.reference(somebody)).mean() > 3
    role = replace(recipe.scene.roles[0], hat=Hat.CROWN, held=Held.BALL)
    dressed_up = replace(recipe, scene=replace(recipe.scene, roles=(role,)))
    assert np.array_equal(world.reference(dressed_up), here)


def test_white_ground(world: World) -> None:
    """Portraits stand between white bars, and people who were cut out on white paper; others fill the picture."""
    bars = paper = full = 0
    for index in range(60):
        recipe = world.recipe(index)
        look, picture = world.look(recipe), world.reference(recipe)
        left, top = picture[:, 0], picture[0]
        if look.aspect < 1:
            assert (left == 255).all()
            bars += 1
        elif look.background is None:
            assert (top == 255).mean() > 0.5
            paper += 1
        else:
            assert not (left == 255).all()
            full += 1
    assert min(bars, paper, full) > 3


def test_two_people_two_references(duos: list[Clip]) -> None:
    """From left to right, each shows its own person."""
    for clip in duos:
        assert len(clip.references) == 2
        assert not np.array_equal(*clip.references)


def test_backgrounds_of_references_vary() -> None:
    world = World()
    found = {world.look(world.recipe(index)).background for index in range(120)}
    assert found == {*Background, None}
