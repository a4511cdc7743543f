"""One of twenty: known answers for readings that know everything, nothing, or all but the hair."""

from __future__ import annotations

from dataclasses import replace

import torch

from model_runtime.evaluation.attributes import EVERY, index_of
from model_runtime.evaluation.identification import candidates, is_first
from model_runtime.evaluation.metrics import CANDIDATES
from model_runtime.evaluation.reader import Reading
from model_runtime.training.world.identity import Identity, Split, split_of
from model_runtime.training.world.vocabulary import IDENTITY, Hair, Hat
from model_runtime.training.world.world import World

WORLD = World(duos=0.0)


def reading(identity: Identity | None, *, sure: float = 0.9) -> Reading:
    """Of somebody, or of nobody in particular."""
    attributes = {}
    for name, kind in EVERY.items():
        probabilities = torch.full((len(kind),), 1 / len(kind))
        if identity is not None and name in IDENTITY:
            probabilities = torch.full((len(kind),), (1 - sure) / (len(kind) - 1))
            probabilities[index_of(name, identity.attributes[name])] = sure
        attributes[name] = probabilities
    return Reading(attributes=attributes, opening=torch.zeros(3), width=torch.zeros(3))


def test_candidates_are_twenty_people_of_the_split() -> None:
    """The right one leads, no combination comes twice, all are reserved for testing, and they are always the same."""
    recipe = WORLD.recipe(3, Split.TEST)
    people = candidates(WORLD, recipe, 0)
    assert len(people) == CANDIDATES
    assert people[0] == recipe.identities[0]
    assert len({tuple(person.attributes.values()) for person in people}) == CANDIDATES
    assert {split_of(person.attributes) for person in people} == {Split.TEST}
    assert people == candidates(WORLD, recipe, 0)


def test_a_right_reading_knows_the_person_and_a_strangers_does_not() -> None:
    """Somebody else's face is recognised as somebody else."""
    for index in range(20):
        recipe = WORLD.recipe(index, Split.TEST)
        people = candidates(WORLD, recipe, 0)
        assert is_first(reading(people[0]), people, hat=Hat.NONE)
        assert not is_first(reading(people[7]), people, hat=Hat.NONE)


def test_a_reading_that_says_nothing_knows_nobody() -> None:
    """A tie is no answer."""
    people = candidates(WORLD, WORLD.recipe(0, Split.TEST), 0)
    assert not is_first(reading(None), people, hat=Hat.NONE)


def test_hair_under_a_hat_is_not_held_against_anybody() -> None:
    """Read as bald under a cap, a person with a crop is still the likeliest; with bare head that costs the match."""
    person = replace(WORLD.recipe(0, Split.TEST).identities[0], hair=Hair.CROP)
    bald, bob = replace(person, hair=Hair.BALD), replace(person, hair=Hair.BOB)
    assert is_first(reading(bald), [person, bob], hat=Hat.CAP)
    assert not is_first(reading(bald), [person, bald], hat=Hat.NONE)
