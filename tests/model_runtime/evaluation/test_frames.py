"""Where judged frames come from, what they were given, and that nothing is made twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from model_runtime.evaluation.frames import make_all, open_source, shrunk
from model_runtime.evaluation.store import Store
from model_runtime.evaluation.suite import Writer, donor, recipes, world_of
from model_runtime.training.world.identity import Split
from schemas.errors import InvalidInput
from schemas.evaluation import Asked, Condition, Scales, Subject, Suite
from schemas.guidance import Chain
from schemas.mode import Mode
from schemas.model_spec import HUMO, TINY_RANDOM, ModelSpec

SUITE = Suite(count=2, frames=5)
TINY = Asked(engine="humo", model=TINY_RANDOM.name, suite=SUITE)


def silent(_done: int, _total: int) -> None:
    pass


def make(asked: Asked, folder: Path) -> int:
    return make_all(asked, Store(folder), start=0, amount=100, told=silent)


def frames_of(asked: Asked, folder: Path, scratch: Path) -> list[np.ndarray]:
    source = open_source(asked, scratch)
    found = [Store(folder).frames(source.key(recipe)) for recipe in recipes(asked.suite)]
    source.close()
    assert all(frames is not None for frames in found)
    return [frames for frames in found if frames is not None]


def test_true_frames_are_made_once_and_mended(tmp_path: Path) -> None:
    """What is there is not made again; what is damaged counts as not there."""
    asked = Asked(subject=Subject.TRUE_FRAMES, suite=SUITE)
    assert make(asked, tmp_path) == 2
    assert make(asked, tmp_path) == 0
    one = sorted(tmp_path.rglob("*.npz"))[0]
    one.write_bytes(one.read_bytes()[:-40])
    assert make(asked, tmp_path) == 1
    world = world_of(SUITE)
    for recipe, frames in zip(recipes(SUITE), frames_of(asked, tmp_path, tmp_path), strict=True):
        assert np.array_equal(frames, world.draw(recipe).frames)
    assert not list(tmp_path.rglob(".*"))


def test_a_range_is_a_part_of_the_suite() -> None:
    suite = Suite(count=5, start=40)
    assert [recipe.index for recipe in recipes(suite)] == [40, 41, 42, 43, 44]
    assert [recipe.index for recipe in recipes(suite, start=3, amount=9)] == [43, 44]
    assert {recipe.split for recipe in recipes(suite)} == {Split.TEST}


def test_humo_renders_the_suite(tiny_weights: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A random model's frames are noise of the right shape, the same ones under the same key; another scale is another
    key.
    """
    monkeypatch.setenv("CALLSHEET_WEIGHTS", str(tiny_weights[TINY_RANDOM.name]))
    monkeypatch.setenv("CALLSHEET_HOME", str(tmp_path / "home"))
    assert make(TINY, tmp_path / "a") == 2
    assert make(TINY, tmp_path / "a") == 0
    first = frames_of(TINY, tmp_path / "a", tmp_path)
    assert [frames.shape for frames in first] == [(5, 64, 64, 3)] * 2
    assert not np.array_equal(first[0], first[1])
    louder = TINY.model_copy(update={"scales": Scales(audio=1.0), "suite": Suite(count=1, frames=5)})
    assert make(louder, tmp_path / "a") == 1
    constant = louder.model_copy(update={"scales": Scales(audio=1.0, chain=Chain.CONSTANT)})
    assert make(constant, tmp_path / "a") == 1
    assert not np.array_equal(*(frames_of(asked, tmp_path / "a", tmp_path)[0] for asked in (louder, constant)))
    trip = Asked(subject=Subject.ROUND_TRIP, model=TINY_RANDOM.name, suite=Suite(count=1, frames=5))
    assert make(trip, tmp_path / "a") == 1
    (through,) = frames_of(trip, tmp_path / "a", tmp_path)
    assert through.shape == (5, 64, 64, 3)
    assert not np.array_equal(through, first[0])


def test_an_engine_without_guidance_has_no_chain(tmp_path: Path) -> None:
    asked = Asked(engine="pattern", model=TINY_RANDOM.name, scales=Scales(chain=Chain.CONSTANT), suite=SUITE)
    with pytest.raises(InvalidInput, match="'pattern' has no constant guidance"):
        make(asked, tmp_path)


def writer(folder: Path, *, model: ModelSpec = TINY_RANDOM, **changes: object) -> Writer:
    folder.mkdir(exist_ok=True)
    asked = TINY.model_copy(update=changes)
    return Writer(asked=asked, engine=HUMO, model=model, weights="0" * 64, folder=folder)


def test_each_control_takes_one_condition_away(tmp_path: Path) -> None:
    """Without text, with other people, with another speech: that input changes, the others and the noise do not."""
    world, recipe = world_of(SUITE), next(recipes(SUITE))
    other = donor(world, recipe)
    full = writer(tmp_path / "full").task(recipe)
    tasks = {
        condition: writer(tmp_path / condition, condition=condition).task(recipe)
        for condition in Condition
        if condition is not Condition.FULL
    }
    assert full.request.prompt == recipe.caption
    assert tasks[Condition.NO_TEXT].request.prompt == TINY_RANDOM.negative_prompt
    for condition, task in tasks.items():
        request = task.request
        assert (request.prompt == recipe.caption) is (condition is not Condition.NO_TEXT)
        assert (request.images == full.request.images) is (condition is not Condition.OTHER_REFERENCE)
        assert (request.speech == full.request.speech) is (condition is not Condition.OTHER_SPEECH)
        assert request.seed == full.request.seed
    shown = np.asarray(Image.open(tasks[Condition.OTHER_REFERENCE].inputs.images[0]))
    assert np.array_equal(shown, world.reference(other))
    heard, rate = soundfile.read(str(tasks[Condition.OTHER_SPEECH].inputs.speech), dtype="float32")
    assert rate == 16_000
    assert np.abs(heard - world.speech(other).audio).max() < 1e-3


def test_a_mode_leaves_its_input_out(tmp_path: Path) -> None:
    """TI has no speech, TA no pictures; two people have two references."""
    recipe = next(recipes(SUITE))
    silent_task = writer(tmp_path / "ti", mode=Mode.TI).task(recipe)
    faceless = writer(tmp_path / "ta", mode=Mode.TA).task(recipe)
    assert (silent_task.inputs.speech, silent_task.request.end_sample) == (None, 0)
    assert (faceless.inputs.images, faceless.request.end_sample) == ((), 5 * 640)
    pair = Suite(count=1, frames=5, duos=1.0)
    assert len(writer(tmp_path / "duo", suite=pair).task(next(recipes(pair))).inputs.images) == 2


def test_a_donor_has_nothing_to_do_with_the_clip() -> None:
    """As many people, another clip, always the same one."""
    world = world_of(Suite(duos=0.5))
    for recipe in recipes(Suite(count=6, duos=0.5)):
        other = donor(world, recipe)
        assert other.index != recipe.index
        assert len(other.identities) == len(recipe.identities)
        assert other == donor(world, recipe)


def test_what_was_enlarged_is_shrunk_to_what_was_drawn() -> None:
    """Frames that were enlarged six times come back within a grey level on the mean."""
    (recipe,) = recipes(Suite(count=1, frames=2))
    frames = world_of(Suite(frames=2)).draw(recipe).frames
    large = np.stack([np.asarray(Image.fromarray(f).resize((384, 384), Image.Resampling.LANCZOS)) for f in frames])
    assert np.abs(shrunk(large, width=64, height=64).astype(int) - frames).mean() < 1
    assert shrunk(frames, width=64, height=64) is frames


def test_what_cannot_be_rendered_is_refused(tmp_path: Path) -> None:
    """Lengths that the model has not, splits and engines that there are not."""
    with pytest.raises(InvalidInput, match="4n \\+ 1"):
        writer(tmp_path, suite=Suite(count=1, frames=6)).task(next(recipes(Suite(frames=6))))
    with pytest.raises(InvalidInput, match="unknown split"):
        next(recipes(Suite(split="tset")))
    with pytest.raises(InvalidInput, match="unknown engine"):
        open_source(TINY.model_copy(update={"engine": "lumo"}), tmp_path)
