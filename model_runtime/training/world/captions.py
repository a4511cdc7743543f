"""Scenes in the words of people: many phrasings of each value, in varying order; and the way back.

A caption names each attribute once; where it is terse it leaves out what holds by default (no hat, nothing held, head
and camera still). No word of a phrase can be read as another value: `read` proves it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import product

import numpy as np

from model_runtime.training.world.scene import Role, Scene
from model_runtime.training.world.vocabulary import (
    DEFAULTS,
    ROLE,
    Background,
    Camera,
    Clothes,
    Colour,
    Hat,
    Held,
    Motion,
)

COLOURS: Mapping[Colour, tuple[str, ...]] = {
    Colour.RED: ("red", "crimson", "scarlet", "bright red"),
    Colour.ORANGE: ("orange", "tangerine", "bright orange", "pumpkin-coloured"),
    Colour.YELLOW: ("yellow", "lemon-yellow", "sunny yellow", "canary-yellow"),
    Colour.GREEN: ("green", "emerald", "emerald green", "leaf-green"),
    Colour.BLUE: ("blue", "royal blue", "cobalt", "cobalt-blue"),
    Colour.PURPLE: ("purple", "violet", "plum-coloured", "deep purple"),
    Colour.WHITE: ("white", "ivory", "snow-white", "plain white"),
    Colour.BLACK: ("black", "jet-black", "charcoal", "plain black"),
}

CLOTHES: Mapping[Clothes, tuple[str, ...]] = {
    Clothes.JUMPER: ("roll-neck jumper", "jumper", "sweater", "turtleneck", "turtleneck sweater", "pullover"),
    Clothes.STRIPES: ("striped T-shirt", "striped shirt", "striped tee", "stripy top"),
    Clothes.DOTS: ("polka-dot shirt", "dotted shirt", "spotted blouse", "polka-dot blouse"),
    Clothes.SUIT: ("suit jacket", "suit", "suit with a tie", "blazer and tie"),
    Clothes.HOODIE: ("hoodie", "hooded sweatshirt", "hooded top"),
}

HATS: Mapping[Hat, tuple[str, ...]] = {
    Hat.CAP: ("a baseball cap", "a cap", "a peaked cap"),
    Hat.BEANIE: ("a woolly hat", "a bobble hat", "a beanie", "a knitted hat"),
    Hat.TOP_HAT: ("a top hat", "a tall hat", "a magician's hat"),
    Hat.STRAW: ("a straw hat", "a sun hat", "a wide straw hat"),
    Hat.CROWN: ("a crown", "a royal crown", "a king's crown"),
}
_ON_HEAD = ("wearing {}", "with {} on", "with {} on their head")
_BARE = ("wearing no hat", "without a hat", "bareheaded", "with nothing on their head")

HELD: Mapping[Held, tuple[str, ...]] = {
    Held.MUG: ("a mug", "a cup of coffee", "a cup", "a mug of tea"),
    Held.FLOWER: ("a flower", "a daisy", "a single flower", "a blossom"),
    Held.BOOK: ("a book", "a novel", "a closed book", "a hardback"),
    Held.BALL: ("a ball", "a basketball", "a small basketball"),
    Held.MICROPHONE: ("a microphone", "a mic", "a reporter's microphone"),
}
_IN_HAND = ("holding {}", "with {} in hand", "showing {}", "with {} in one hand")
_EMPTY = ("holding nothing", "empty-handed", "with empty hands", "with both hands free")

MOTIONS: Mapping[Motion, tuple[str, ...]] = {
    Motion.STILL: ("keeping their head still", "with a steady head", "with the head at rest"),
    Motion.NOD: ("nodding", "nodding along", "nodding their head", "with their head bobbing up and down"),
    Motion.SHAKE: (
        "shaking their head",
        "turning their head from side to side",
        "looking left and right in turn",
        "shaking their head in disagreement",
    ),
    Motion.TILT: (
        "tilting their head to and fro",
        "rocking their head",
        "tilting their head from shoulder to shoulder",
        "swaying their head",
    ),
}

BACKGROUNDS: Mapping[Background, tuple[str, ...]] = {
    Background.BEACH: ("on a beach", "by the sea", "on a sandy shore", "at the seaside"),
    Background.FOREST: ("in a forest", "among tall trees", "in the woods", "in a dark wood"),
    Background.CITY: (
        "in a city at night",
        "before a skyline at night",
        "downtown after dark",
        "among lit skyscrapers",
    ),
    Background.LIBRARY: ("in a library", "in front of bookshelves", "before a wall of books", "among rows of books"),
    Background.BRICKS: (
        "in front of a brick wall",
        "against a brick wall",
        "before bare bricks",
        "by a wall of bricks",
    ),
    Background.MOUNTAINS: (
        "in the mountains",
        "in front of snowy peaks",
        "before a range of mountains",
        "high in the Alps",
    ),
    Background.SUNSET: ("at sunset", "before a setting sun", "as the sun goes down", "under an evening sky"),
    Background.STUDIO: ("in a studio", "against a plain backdrop", "in a photo studio", "before a grey backdrop"),
    Background.CLASSROOM: ("in a classroom", "in front of a chalkboard", "before a blackboard", "at school"),
    Background.MEADOW: ("in a meadow", "in a field of grass", "on a grassy hill", "out in the countryside"),
}

CAMERAS: Mapping[Camera, tuple[str, ...]] = {
    Camera.STILL: ("the camera stays still", "static camera", "the camera does not move", "locked-off shot"),
    Camera.ZOOM_IN: ("the camera zooms in", "slow zoom in", "the camera moves closer", "the camera pushes in"),
    Camera.ZOOM_OUT: ("the camera zooms out", "slow zoom out", "the camera pulls back", "the camera moves away"),
    Camera.PAN_LEFT: ("the camera pans left", "slow pan to the left", "the camera pans to the left"),
    Camera.PAN_RIGHT: ("the camera pans right", "slow pan to the right", "the camera pans to the right"),
}

_ONE = ("a person", "someone", "a speaker", "a presenter", "one person")
_TALKS = ("is talking", "talks", "is speaking", "speaks", "is speaking to us")
_TALKING = ("talking", "speaking")
_LISTENS = ("is listening", "listens", "says nothing", "keeps quiet")
_TWO = ("two people", "a pair of people", "two friends", "two persons")
_STAND = ("are seen", "stand side by side", "are together", "stand")
_LEFT = ("the person on the left", "the one on the left", "on the left, one person", "the left one")
_RIGHT = ("the person on the right", "the one on the right", "on the right, one person", "the right one")


@dataclass(frozen=True)
class _Words:
    """A writer's choices."""

    rng: np.random.Generator
    terse: bool

    def one(self, options: Sequence[str]) -> str:
        return options[int(self.rng.integers(len(options)))]

    def shuffled(self, items: Sequence[str]) -> list[str]:
        return [items[k] for k in self.rng.permutation(len(items))]

    def unsaid(self, name: str, value: StrEnum) -> bool:
        return self.terse and DEFAULTS.get(name) is value


def write(scene: Scene, rng: np.random.Generator, *, terse: bool = False) -> str:
    """A caption of the scene; `rng` chooses the words, `terse` leaves out what holds by default."""
    words = _Words(rng, terse)
    told = _tell_one(scene, words) if len(scene.roles) == 1 else _tell_two(scene, words)
    if not words.unsaid("camera", scene.camera):
        view = words.one(CAMERAS[scene.camera])
        told.insert(0 if rng.random() < 0.3 else len(told), view)
    return " ".join(_sentence(part) for part in told)


def _tell_one(scene: Scene, words: _Words) -> list[str]:
    place, details = words.one(BACKGROUNDS[scene.background]), _details(scene.roles[0], words)
    subject, talks = words.one(_ONE), words.one(_TALKS)
    match int(words.rng.integers(5)):
        case 0:
            return [f"{subject} {talks} {place}, {_listed(details)}"]
        case 1:
            return [f"{place}, {subject} {talks}, {_listed(details)}"]
        case 2:
            cut = 1 + int(words.rng.integers(len(details)))
            rest = f", {_listed(details[cut:])}" if details[cut:] else ""
            return [f"{subject} {_listed(details[:cut])} {talks} {place}{rest}"]
        case 3:
            return [f"{subject} {talks} {place}", f"they are {_listed(details)}"]
        case _:
            return [f"{words.one(_TALKING)} {place}: {subject}, {_listed(details)}"]


def _tell_two(scene: Scene, words: _Words) -> list[str]:
    place = words.one(BACKGROUNDS[scene.background])
    told = [f"{words.one(_TWO)} {words.one(_STAND)} {place}"]
    for index, (role, sides) in enumerate(zip(scene.roles, (_LEFT, _RIGHT), strict=True)):
        does = words.one(_TALKS if index == scene.speaker else _LISTENS)
        told.append(f"{words.one(sides)} {does}, {_listed(_details(role, words))}")
    return told


def _details(role: Role, words: _Words) -> list[str]:
    dressed = f"{words.one(COLOURS[role.colour])} {words.one(CLOTHES[role.clothes])}"
    said = [words.one(("wearing {}", "in {}", "dressed in {}")).format(_with_article(dressed))]
    if not words.unsaid("hat", role.hat):
        said.append(_carried(words, HATS.get(role.hat), _ON_HEAD, _BARE))
    if not words.unsaid("held", role.held):
        said.append(_carried(words, HELD.get(role.held), _IN_HAND, _EMPTY))
    if not words.unsaid("motion", role.motion):
        said.append(words.one(MOTIONS[role.motion]))
    # Clothes come first more often than not, as people write.
    return [said[0], *words.shuffled(said[1:])] if words.rng.random() < 0.6 else words.shuffled(said)


def _carried(words: _Words, things: Sequence[str] | None, ways: Sequence[str], without: Sequence[str]) -> str:
    return words.one(without) if things is None else words.one(ways).format(words.one(things))


def _with_article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _listed(items: Sequence[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


# ------------------------------------------------------------------------------------------------ the way back
class Unreadable(ValueError):
    """A text that does not describe exactly one scene; the message says what is missing or said twice."""


def phrases() -> Iterator[tuple[str, StrEnum, str]]:
    """All words for values: (attribute, value, phrase), nouns without their carriers."""
    tables: dict[str, Iterable[tuple[StrEnum, Sequence[str]]]] = {
        "background": BACKGROUNDS.items(),
        "camera": CAMERAS.items(),
        "colour": COLOURS.items(),
        "clothes": CLOTHES.items(),
        "hat": [*HATS.items(), (Hat.NONE, _BARE)],
        "held": [*HELD.items(), (Held.NONE, _EMPTY)],
        "motion": MOTIONS.items(),
    }
    for name, table in tables.items():
        for value, texts in table:
            yield from ((name, value, text) for text in texts)


def mentions(text: str) -> list[tuple[str, StrEnum]]:
    """Every attribute that the text names with its value, in order, as often as it names it."""
    return [(name, value) for _, name, value in _consume(text)[1]]


def read(text: str) -> Scene:
    """The scene that a caption describes. Only what `write` can say is understood.

    Raises:
        Unreadable: an attribute without a default is missing, one is said twice, or nobody or everybody speaks.
    """
    clean, found = _consume(text)
    bounds = _people(clean)
    roles = [_role({name: value for at, name, value in found if lo <= at < hi and name in ROLE}) for lo, hi in bounds]
    for (lo, hi), name in product(bounds, ROLE):
        _at_most_once([value for at, found_name, value in found if lo <= at < hi and found_name == name], name)
    once = {name: [value for _, found_name, value in found if found_name == name] for name in ("background", "camera")}
    for name, values in once.items():
        _at_most_once(values, name)
    if not once["background"]:
        raise Unreadable(f"no background in {text!r}")
    speaking = [bool(re.search(r"\b(?:talk|speak)(?:s|ing)\b", clean[lo:hi], re.IGNORECASE)) for lo, hi in bounds]
    if sum(speaking) != 1:
        raise Unreadable(f"{sum(speaking)} people speak in {text!r}")
    return Scene(
        background=Background(once["background"][0]),
        camera=Camera((once["camera"] or [DEFAULTS["camera"]])[0]),
        roles=tuple(roles),
        speaker=speaking.index(True),
    )


_BY_PHRASE = {phrase.lower(): (name, value) for name, value, phrase in phrases()}
_ANY_PHRASE = re.compile(
    "|".join(rf"\b{re.escape(phrase)}\b" for phrase in sorted(_BY_PHRASE, key=len, reverse=True)), re.IGNORECASE
)
_SIDE = re.compile(r"\b(?:on the (left|right)|the (left|right) one)\b", re.IGNORECASE)


def _consume(text: str) -> tuple[str, list[tuple[int, str, StrEnum]]]:
    """Everything that names a value, with its place, and the text with blanks where it stood: the longest first."""
    found = [(match.start(), *_BY_PHRASE[match[0].lower()]) for match in _ANY_PHRASE.finditer(text)]
    return _ANY_PHRASE.sub(lambda match: " " * len(match[0]), text), found


def _people(clean: str) -> list[tuple[int, int]]:
    """Where the text speaks of each person, from left to right."""
    sides = {(match[1] or match[2]).lower(): match.start() for match in _SIDE.finditer(clean)}
    if not sides:
        return [(0, len(clean))]
    if set(sides) != {"left", "right"}:
        raise Unreadable(f"only one side is described: {sides}")
    left, right = sides["left"], sides["right"]
    return [(left, right if right > left else len(clean)), (right, left if left > right else len(clean))]


def _role(said: Mapping[str, StrEnum]) -> Role:
    missing = [name for name in ("colour", "clothes") if name not in said]
    if missing:
        raise Unreadable(f"{' and '.join(missing)} not said")
    return Role(**{name: said.get(name, DEFAULTS.get(name)) for name in ROLE})  # type: ignore[arg-type]


def _at_most_once(values: Sequence[StrEnum], name: str) -> None:
    if len(values) > 1:
        raise Unreadable(f"{name} is said {len(values)} times: {', '.join(values)}")
