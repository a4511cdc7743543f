"""Every closed list of the procedural world, in one place: what can be asked for, and by which condition.

The words people use for these values are in `captions`; how they look is in the drawing modules. Order counts: an
index into these lists is what a reader of attributes learns, so values are only ever added at the end.
"""

from __future__ import annotations

import math
from enum import StrEnum


class Background(StrEnum):
    BEACH = "beach"
    FOREST = "forest"
    CITY = "city at night"
    LIBRARY = "library"
    BRICKS = "brick wall"
    MOUNTAINS = "mountains"
    SUNSET = "sunset"
    STUDIO = "studio"
    CLASSROOM = "classroom"
    MEADOW = "meadow"


class Colour(StrEnum):
    """Of clothes."""

    RED = "red"
    ORANGE = "orange"
    YELLOW = "yellow"
    GREEN = "green"
    BLUE = "blue"
    PURPLE = "purple"
    WHITE = "white"
    BLACK = "black"


class Clothes(StrEnum):
    JUMPER = "roll-neck jumper"
    STRIPES = "striped T-shirt"
    DOTS = "polka-dot shirt"
    SUIT = "suit jacket"
    HOODIE = "hoodie"


class Hat(StrEnum):
    NONE = "none"
    CAP = "baseball cap"
    BEANIE = "woolly hat"
    TOP_HAT = "top hat"
    STRAW = "straw hat"
    CROWN = "crown"


class Held(StrEnum):
    NONE = "nothing"
    MUG = "mug"
    FLOWER = "flower"
    BOOK = "book"
    BALL = "ball"
    MICROPHONE = "microphone"


class Motion(StrEnum):
    """Of the head."""

    STILL = "still"
    NOD = "nodding"
    SHAKE = "shaking"
    TILT = "tilting"


class Camera(StrEnum):
    STILL = "still"
    ZOOM_IN = "zoom in"
    ZOOM_OUT = "zoom out"
    PAN_LEFT = "pan left"
    PAN_RIGHT = "pan right"


class FaceShape(StrEnum):
    ROUND = "round"
    LONG = "long"
    SQUARE = "square"
    HEART = "heart"


class Skin(StrEnum):
    PORCELAIN = "porcelain"
    PEACH = "peach"
    OLIVE = "olive"
    TAN = "tan"
    BROWN = "brown"
    EBONY = "ebony"


class HairColour(StrEnum):
    BLACK = "black"
    BROWN = "brown"
    BLOND = "blond"
    GINGER = "ginger"
    SILVER = "silver"
    TEAL = "teal"


class Hair(StrEnum):
    BALD = "bald"
    CROP = "crop"
    QUIFF = "quiff"
    LONG = "long"
    BOB = "bob"
    AFRO = "afro"
    BUN = "bun"
    SPIKES = "spikes"


class Glasses(StrEnum):
    NONE = "none"
    ROUND = "round"
    SQUARE = "square"


class Eyes(StrEnum):
    BROWN = "brown"
    BLUE = "blue"
    GREEN = "green"
    AMBER = "amber"


class Beard(StrEnum):
    NONE = "none"
    MOUSTACHE = "moustache"
    FULL = "full"


SCENE: dict[str, type[StrEnum]] = {"background": Background, "camera": Camera}
"""What the prompt decides once per clip, by the field of `scene.Scene`."""

ROLE: dict[str, type[StrEnum]] = {"colour": Colour, "clothes": Clothes, "hat": Hat, "held": Held, "motion": Motion}
"""What the prompt decides for each person, by the field of `scene.Role`."""

IDENTITY: dict[str, type[StrEnum]] = {
    "shape": FaceShape,
    "skin": Skin,
    "hair": Hair,
    "hair_colour": HairColour,
    "glasses": Glasses,
    "eyes": Eyes,
    "beard": Beard,
}
"""What a reference picture decides, by the field of `identity.Identity`."""

DEFAULTS: dict[str, StrEnum] = {
    "camera": Camera.STILL,
    "hat": Hat.NONE,
    "held": Held.NONE,
    "motion": Motion.STILL,
}
"""What holds when a caption is silent about it. A caption is never silent about anything else."""

COVERING_HATS = frozenset({Hat.CAP, Hat.BEANIE, Hat.TOP_HAT, Hat.STRAW})
"""Hats over the top of the head: what grows there cannot be seen. A crown leaves it open."""

ALIKE_UNDER_A_HAT = frozenset({Hair.BALD, Hair.CROP, Hair.QUIFF, Hair.BUN, Hair.SPIKES})
"""Styles that cannot be told apart under a covering hat."""

SCENES = math.prod(len(kind) for kind in (*SCENE.values(), *ROLE.values()))
"""Prompts of one person: 288,000."""

IDENTITIES = math.prod(len(kind) for kind in IDENTITY.values())
"""Combinations of identity attributes: 41,472."""
