"""Tasks and dropped conditions come in exact numbers."""

from __future__ import annotations

from collections import Counter

import pytest

from model_runtime.humo.config import Family
from model_runtime.humo.guidance import Scales, guidance
from model_runtime.training.mixing import Dropout, Given, Mixing, TaskMix
from model_runtime.training.stage import Stage
from schemas.errors import InvalidInput
from schemas.mode import Mode


@pytest.mark.parametrize("seed", [0, 7])
def test_each_hundred_drops_its_exact_numbers(seed: int) -> None:
    """Of every hundred samples 15 lose speech, 12 text, 10 pictures, whichever hundred and seed."""
    for hundred in range(3):
        kept = [Dropout().keeps(seed, 100 * hundred + place) for place in range(100)]
        assert sum(not given.speech for given in kept) == 15
        assert sum(not given.text for given in kept) == 12
        assert sum(not given.image for given in kept) == 10


def test_conditions_are_dropped_independently() -> None:
    """What loses its text loses its pictures no more often than others do."""
    kept = [Dropout(audio=50, text=50, image=50).keeps(3, sample) for sample in range(800)]
    pairs = Counter((given.text, given.image, given.speech) for given in kept)
    assert len(pairs) == 8
    assert all(60 < count < 140 for count in pairs.values())


def test_seeds_and_hundreds_differ() -> None:
    """Another seed or another hundred drops other samples."""
    rows = {tuple(Dropout(text=50).keeps(seed, sample).text for sample in range(100)) for seed in range(4)}
    rows |= {tuple(Dropout(text=50).keeps(0, 100 + sample).text for sample in range(100))}
    assert len(rows) == 5


@pytest.mark.parametrize("total", [1, 10, 1000, 997])
def test_the_task_mix_climbs_from_20_to_50_percent(total: int) -> None:
    """Every prefix of the stage holds the ramp's number of speech samples, rounded down; over all it is 35 %."""
    mix = TaskMix()
    count = 0
    for sample in range(total):
        assert count == int((20 * sample + 30 * sample * sample / (2 * total)) / 100 + 1e-9)
        count += mix.has_speech(sample, total)
    assert count == int(0.35 * total)


def test_the_ends_of_the_ramp() -> None:
    """The first hundredth of a long stage has 20 % speech, the last 50 %."""
    mix, total = TaskMix(), 100_000
    assert sum(mix.has_speech(sample, total) for sample in range(1000)) in (200, 201, 202)
    assert sum(mix.has_speech(sample, total) for sample in range(total - 1000, total)) in (498, 499, 500)


def test_a_constant_mix() -> None:
    """Equal ends give a constant share: the ablation without progressive mixing."""
    assert sum(TaskMix(start=50, end=50).has_speech(sample, 400) for sample in range(100)) == 50


def test_stages_give_their_conditions() -> None:
    """The base is never given pictures or speech, stage 1 never speech, stage 2 all."""
    givens = {
        stage: {Mixing().given(stage, seed=1, sample=sample, total=400) for sample in range(400)} for stage in Stage
    }
    assert givens[Stage.BASE] == {Given(text, image=False, speech=False) for text in (True, False)}
    assert not any(given.speech for given in givens[Stage.STAGE1])
    assert {given.image for given in givens[Stage.STAGE1]} == {True, False}
    assert Given(text=True, image=True, speech=True) in givens[Stage.STAGE2]


@pytest.mark.parametrize("family", list(Family))
def test_every_guidance_branch_is_trained(family: Family) -> None:
    """All forward passes that guidance combines are among what stage 2 is given."""
    trained = {Mixing().given(Stage.STAGE2, seed=0, sample=sample, total=1000).branch for sample in range(1000)}
    for mode in Mode:
        for step in (999, 500):
            assert set(guidance(family, mode, Scales(text=5, audio=5), step).branches) <= trained


def test_impossible_percentages_are_refused() -> None:
    """A percentage is 0 to 100."""
    with pytest.raises(InvalidInput, match="text is dropped 101"):
        Dropout(text=101)
    with pytest.raises(InvalidInput, match="-1 of a hundred"):
        TaskMix(start=-1)
