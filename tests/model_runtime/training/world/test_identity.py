"""Who may be seen by training, and who is kept for the test."""

from __future__ import annotations

from collections import defaultdict
from itertools import product

from model_runtime.training.world.figures import combinations
from model_runtime.training.world.identity import Split, split_of
from model_runtime.training.world.vocabulary import IDENTITIES, IDENTITY, Hair, Hat
from model_runtime.training.world.world import World


def test_every_combination_has_one_split() -> None:
    """More than ten thousand combinations; about a twentieth each is kept for validation and for the test."""
    counted = combinations()
    assert sum(counted.values()) == IDENTITIES > 10_000
    assert all(0.04 < counted[split] / IDENTITIES < 0.06 for split in (Split.VAL, Split.TEST))


def test_splits_show_only_their_own_people() -> None:
    """What a split draws belongs to it, at any seed, so that no two splits share a combination."""
    seen: dict[Split, set[str]] = defaultdict(set)
    for split, seed, index in product(Split, (0, 7), range(30)):
        for identity in World(seed=seed, duos=0.5).recipe(index, split).identities:
            assert identity.split is split
            seen[split].add(str(identity.attributes))
    assert not seen[Split.TRAIN] & seen[Split.TEST]
    assert not seen[Split.TRAIN] & seen[Split.VAL]
    assert not seen[Split.VAL] & seen[Split.TEST]


def test_training_sees_every_value() -> None:
    """Only combinations are reserved: each skin, each style and so on is met in training and in the test."""
    world = World()
    for split in (Split.TRAIN, Split.TEST):
        met = {
            (name, value) for k in range(120) for name, value in world.recipe(k, split).identities[0].attributes.items()
        }
        assert met == {(name, value) for name, kind in IDENTITY.items() for value in kind}


def test_the_split_is_a_fact_of_the_combination() -> None:
    """Pinned: a change of the rule would show test people to training."""
    first = {name: next(iter(kind)) for name, kind in IDENTITY.items()}
    last = {name: list(kind)[-1] for name, kind in IDENTITY.items()}
    assert (split_of(first), split_of(last)) == (Split.TRAIN, Split.TRAIN)
    assert combinations() == {Split.TRAIN: 37_444, Split.VAL: 1_999, Split.TEST: 2_029}


def test_hats_hide_hair() -> None:
    """What a hat covers is not asked of a picture; a crown covers nothing, and long hair is seen under any hat."""
    world = World()
    short = next(one for k in range(99) for one in world.recipe(k).identities if one.hair is Hair.BUN)
    long = next(one for k in range(99) for one in world.recipe(k).identities if one.hair is Hair.LONG)
    assert "hair" not in short.seen_with(Hat.BEANIE)
    assert "hair" in short.seen_with(Hat.CROWN)
    assert short.seen_with(Hat.NONE) == long.seen_with(Hat.BEANIE) == frozenset(IDENTITY)
