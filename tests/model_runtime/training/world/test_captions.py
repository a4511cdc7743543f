"""A caption says the scene, all of it, once, in words of people."""

from __future__ import annotations

from collections import Counter

import pytest

from model_runtime.training.world import captions
from model_runtime.training.world.scene import Scene, draw_scene
from model_runtime.training.world.streams import Streams
from model_runtime.training.world.vocabulary import DEFAULTS, ROLE, SCENE


def told(index: int, *, people: int, terse: bool) -> tuple[Scene, str]:
    streams = Streams((11, index))
    scene = draw_scene(streams, people)
    return scene, captions.write(scene, streams.of("words"), terse=terse)


@pytest.mark.parametrize("people", [1, 2])
@pytest.mark.parametrize("terse", [False, True])
def test_a_caption_can_be_read_back(people: int, terse: bool) -> None:
    """No words contradict each other or can be taken for another value: the text alone gives the scene."""
    for index in range(250):
        scene, text = told(index, people=people, terse=terse)
        assert captions.read(text) == scene, text


@pytest.mark.parametrize("people", [1, 2])
def test_full_captions_name_each_attribute_once(people: int) -> None:
    for index in range(200):
        scene, text = told(index, people=people, terse=False)
        names = Counter(name for name, _ in captions.mentions(text))
        assert names == {**dict.fromkeys(SCENE, 1), **dict.fromkeys(ROLE, people)}, text
        assert Counter(captions.mentions(text)) == Counter(
            (name.split("/")[-1], value) for name, value in scene.attributes.items()
        )


def test_terse_captions_leave_out_what_holds_by_default() -> None:
    """And nothing else; full and terse captions of the same scene differ only so."""
    shorter = 0
    for index in range(200):
        scene, text = told(index, people=1, terse=True)
        said = captions.mentions(text)
        wanted = {(name.split("/")[-1], value) for name, value in scene.attributes.items()}
        assert set(said) == {(name, value) for name, value in wanted if DEFAULTS.get(name) is not value}
        shorter += len(said) < 7
    assert shorter > 100


def test_words_and_their_order_vary() -> None:
    """One scene is told in many ways; every phrase of the tables is used."""
    scene = draw_scene(Streams((3,)), 1)
    ways = {captions.write(scene, Streams((4, k)).of("words")) for k in range(300)}
    assert len(ways) > 290
    openings = {text.split()[0] for text in ways}
    assert len(openings) > 6
    text = "\n".join(told(k, people=1, terse=False)[1] for k in range(1000)).lower()
    assert [phrase for _, _, phrase in captions.phrases() if phrase.lower() not in text] == []


def test_no_phrase_means_two_things() -> None:
    phrases = [phrase.lower() for _, _, phrase in captions.phrases()]
    assert len(set(phrases)) == len(phrases)
    for name, value, phrase in captions.phrases():
        assert captions.mentions(f"someone, {phrase}.") == [(name, value)]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("A person talks on a beach, wearing a red blue hoodie.", "colour is said 2 times"),
        ("A person talks, wearing a red hoodie.", "no background"),
        ("A person talks on a beach.", "colour and clothes not said"),
        ("A person listens on a beach, wearing a red hoodie.", "0 people speak"),
        ("A person talks on a beach, wearing a red hoodie, with a top hat on and a cap on.", "hat is said 2 times"),
        ("The person on the left talks on a beach, wearing a red hoodie.", "only one side"),
    ],
)
def test_what_is_not_one_scene_is_refused(text: str, why: str) -> None:
    with pytest.raises(captions.Unreadable, match=why):
        captions.read(text)
