"""The world as a whole: the same numbers give the same clips, and nothing else decides."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from model_runtime.training.world.clip import Clip
from model_runtime.training.world.identity import Split
from model_runtime.training.world.streams import Streams
from model_runtime.training.world.world import World
from schemas.errors import InvalidInput

PROGRAM = """
from model_runtime.training.world.identity import Split
from model_runtime.training.world.world import World
world = World(seed=5, frames=5, duos=0.5)
print(*(world.clip(index, Split.VAL).digest() for index in (0, 1, 12345678901)))
"""


def test_a_clip_is_the_same_in_every_process() -> None:
    """Digests agree between two interpreters with different hash seeds, whatever was drawn before."""
    world = World(seed=5, frames=5, duos=0.5)
    world.clip(99)
    here = [world.clip(index, Split.VAL).digest() for index in (0, 1, 12345678901)]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=120,
        env={"PYTHONHASHSEED": "77", "PYTHONPATH": "."},
    )  # fmt: skip
    assert done.stdout.split() == here


def test_a_version_stands_for_its_decisions() -> None:
    """What recipes say is pinned: whoever changes it changes `VERSION`, or trained weights meet another world."""
    world = World(duos=0.5)
    told = [world.recipe(index, split).caption for split in Split for index in range(20)]
    who = [str(one.attributes) for index in range(20) for one in world.recipe(index).identities]
    assert hashlib.sha256("\n".join(told + who).encode()).hexdigest()[:16] == "64d33370ac27014f"


def test_everything_that_is_configured_goes_into_the_digest() -> None:
    plain = World()
    others = [
        World(seed=1), World(width=96), World(height=96), World(frames=33), World(duos=0.5), World(terse=0.5),
        World(supersample=3),
    ]  # fmt: skip
    assert len({plain.digest, *(other.digest for other in others)}) == len(others) + 1
    assert World().digest == plain.digest


def test_different_numbers_give_different_clips() -> None:
    """Index, split and seed each make another clip."""
    world = World(frames=3)
    found = {
        world.clip(0).digest(),
        world.clip(1).digest(),
        world.clip(0, Split.TEST).digest(),
        World(frames=3, seed=1).clip(0).digest(),
    }
    assert len(found) == 4


def test_a_digest_sees_every_part(clips: list[Clip]) -> None:
    """One changed pixel, sample or word is another digest."""
    clip = clips[0]
    frames, audio = clip.frames.copy(), clip.audio.copy()
    frames[-1, -1, -1, -1] ^= 1
    audio[-1] += 1e-3
    changed = [
        replace(clip, frames=frames),
        replace(clip, speech=replace(clip.speech, audio=audio)),
        replace(clip, recipe=replace(clip.recipe, caption="Something else.")),
        replace(clip, references=(np.flip(clip.references[0], 0),)),
    ]
    assert len({clip.digest(), *(other.digest() for other in changed)}) == 5


def test_streams_do_not_disturb_each_other() -> None:
    """A stream's values depend on its name alone, not on what was drawn before or beside it."""
    streams = Streams((1, 2))
    first = streams.of("hat").random(3).tolist()
    streams.of("something new").random(100)
    assert streams.of("hat").random(3).tolist() == first
    assert streams.of("held").random(3).tolist() != first
    assert Streams((1, 3)).of("hat").random(3).tolist() != first


@pytest.mark.parametrize(("width", "height"), [(64, 64), (96, 96), (96, 64), (48, 80)])
def test_sizes(width: int, height: int) -> None:
    """Every multiple of 16 can be drawn; the same index is the same scene at every size and length."""
    world = World(width=width, height=height, frames=5, duos=0.5)
    clip = world.clip(3)
    assert clip.frames.shape == (5, height, width, 3)
    assert clip.frames.dtype == np.uint8
    assert clip.audio.shape == (5 * 640,)
    assert clip.audio.dtype == np.float32
    people = len(clip.recipe.identities)
    assert clip.masks.people.shape == clip.masks.faces.shape == clip.masks.mouths.shape == (people, 5, height, width)
    assert [reference.shape for reference in clip.references] == [(height, width, 3)] * people
    assert clip.masks.mouths.any((2, 3)).all()
    assert clip.recipe == World(duos=0.5).recipe(3)


def test_one_or_two_people() -> None:
    """About as many clips of two as asked for, with one reference, one identity and one role each."""
    world = World(duos=0.3)
    counts = [len(world.recipe(index).identities) for index in range(200)]
    assert 0.2 < counts.count(2) / 200 < 0.4
    assert all(len(world.recipe(index).scene.roles) == count for index, count in enumerate(counts))


def test_the_truth_names_every_attribute(duos: list[Clip]) -> None:
    truth = duos[0].truth
    assert len(truth) == 2 + 2 * (5 + 7) + 1
    assert truth["1/identity/skin"] == duos[0].recipe.identities[1].skin
    assert truth["0/hat"] == duos[0].recipe.scene.roles[0].hat


@pytest.mark.parametrize(
    "wrong",
    [{"width": 60}, {"height": 16}, {"frames": 0}, {"seed": -1}, {"duos": 1.5}, {"version": 99}, {"supersample": 0}],
)
def test_worlds_that_cannot_be(wrong: dict[str, int]) -> None:
    with pytest.raises(InvalidInput):
        World(**wrong)  # type: ignore[arg-type]


def test_no_clip_before_the_first() -> None:
    with pytest.raises(InvalidInput):
        World().recipe(-1)
