"""Who is it? The right person among twenty, by what the reader read."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import count

import torch

from model_runtime.evaluation.attributes import alike, index_of
from model_runtime.evaluation.metrics import CANDIDATES
from model_runtime.evaluation.reader import Reading
from model_runtime.training.world.clip import Clip, Recipe
from model_runtime.training.world.identity import Identity, Split
from model_runtime.training.world.vocabulary import IDENTITY, Hat
from model_runtime.training.world.world import World

_LEAST = 1e-4
"""Probability that is left to what the reader rules out: one wrong attribute is not the end."""


def candidates(world: World, recipe: Recipe, place: int, *, amount: int = CANDIDATES) -> list[Identity]:
    """The right person first, then others of the split, of the clips that follow; no two of one combination."""
    found = {_combination(recipe.identities[place]): recipe.identities[place]}
    for index in count(recipe.index + 1):
        if len(found) >= amount:
            return list(found.values())[:amount]
        for other in _recipe(world, recipe.split, index).identities:
            found.setdefault(_combination(other), other)
    raise AssertionError("the world has no last clip")


@lru_cache(maxsize=2048)
def _recipe(world: World, split: Split, index: int) -> Recipe:
    """Neighbours share most of their candidates."""
    return world.recipe(index, split)


def _combination(identity: Identity) -> tuple[str, ...]:
    return tuple(str(value) for value in identity.attributes.values())


def is_recognised(world: World, reading: Reading, true: Clip, place: int) -> bool:
    """Whether the right one of twenty is likelier than every other."""
    hat = true.recipe.scene.roles[place].hat
    return is_first(reading, candidates(world, true.recipe, place), hat=hat)


def is_first(reading: Reading, people: Sequence[Identity], *, hat: Hat) -> bool:
    """Whether the reading makes the first likelier than each other; `hat` is what the clip's person should wear.

    The reader gives a probability to each value of each attribute; an identity's is their product. What the reader is
    not sure of weighs little: an attribute that is not judged by itself may help here, and this has its own gauge. A
    tie is not recognised: a reader that says nothing knows nobody.
    """
    first, *others = (_likelihood(reading, person, hat) for person in people)
    return all(first > other for other in others)


def _likelihood(reading: Reading, identity: Identity, hat: Hat) -> float:
    logs = torch.zeros(())
    for name in IDENTITY:
        values = alike(hat, identity.hair) if name == "hair" else (index_of(name, identity.attributes[name]),)
        logs = logs + reading.attributes[name][list(values)].sum().clamp(min=_LEAST).log()
    return float(logs)
