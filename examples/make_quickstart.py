"""Make the quickstart campaign: a sheet, drawn people and speech that says nothing.

    .venv/bin/python examples/make_quickstart.py [FOLDER]

People, pictures and voices are the procedural world's (docs/training.md), so they belong to nobody, and prompts are in
the words that its captions use. Everybody here is of a combination that training never sees. The result is
committed; run it again only after changing it.
"""

from __future__ import annotations

import csv
import io
import sys
from dataclasses import dataclass
from pathlib import Path

import soundfile
from PIL import Image

from model_runtime.training.world.acting import pose
from model_runtime.training.world.drawing import any_light, draw
from model_runtime.training.world.identity import Identity, Jitter
from model_runtime.training.world.references import Look
from model_runtime.training.world.scene import Role
from model_runtime.training.world.speech import FPS, RATE, speak
from model_runtime.training.world.streams import Streams
from model_runtime.training.world.vocabulary import (
    Background,
    Beard,
    Clothes,
    Colour,
    Eyes,
    FaceShape,
    Glasses,
    Hair,
    HairColour,
    Hat,
    Held,
    Motion,
    Skin,
)

HEIGHT = 512
"""Pixels of every picture; an upright one is three quarters as wide."""


@dataclass(frozen=True, kw_only=True)
class Sitter:
    """Somebody in a reference picture, as they came to the photographer."""

    identity: Identity
    colour: Colour
    clothes: Clothes
    background: Background | None
    is_upright: bool = False


def person(
    seed: int,
    shape: FaceShape,
    skin: Skin,
    hair: Hair,
    hair_colour: HairColour,
    glasses: Glasses,
    eyes: Eyes,
    beard: Beard = Beard.NONE,
) -> Identity:
    streams = Streams((seed,))
    jitter = Jitter(**{name: float(streams.of(name).uniform(-1, 1)) for name in Jitter.__dataclass_fields__})
    return Identity(
        shape=shape,
        skin=skin,
        hair=hair,
        hair_colour=hair_colour,
        glasses=glasses,
        eyes=eyes,
        beard=beard,
        jitter=jitter,
    )


SITTERS = {
    "mara": Sitter(
        identity=person(1, FaceShape.SQUARE, Skin.PEACH, Hair.BUN, HairColour.BROWN, Glasses.ROUND, Eyes.BLUE),
        colour=Colour.BLUE,
        clothes=Clothes.DOTS,
        background=Background.STUDIO,
    ),
    "tomas": Sitter(
        identity=person(
            2, FaceShape.SQUARE, Skin.EBONY, Hair.CROP, HairColour.BROWN, Glasses.NONE, Eyes.BROWN, Beard.FULL
        ),
        colour=Colour.ORANGE,
        clothes=Clothes.HOODIE,
        background=Background.FOREST,
    ),
    "leyla": Sitter(
        identity=person(3, FaceShape.LONG, Skin.PEACH, Hair.LONG, HairColour.BLACK, Glasses.NONE, Eyes.GREEN),
        colour=Colour.YELLOW,
        clothes=Clothes.JUMPER,
        background=Background.SUNSET,
    ),
    "ines": Sitter(
        identity=person(4, FaceShape.HEART, Skin.PORCELAIN, Hair.BOB, HairColour.GINGER, Glasses.NONE, Eyes.GREEN),
        colour=Colour.PURPLE,
        clothes=Clothes.STRIPES,
        background=None,
    ),
    "kenji": Sitter(
        identity=person(5, FaceShape.LONG, Skin.OLIVE, Hair.SPIKES, HairColour.BLACK, Glasses.NONE, Eyes.AMBER),
        colour=Colour.RED,
        clothes=Clothes.DOTS,
        background=Background.CLASSROOM,
    ),
    "ruth": Sitter(
        identity=person(6, FaceShape.HEART, Skin.EBONY, Hair.AFRO, HairColour.SILVER, Glasses.SQUARE, Eyes.BLUE),
        colour=Colour.GREEN,
        clothes=Clothes.SUIT,
        background=Background.CITY,
    ),
    "sami": Sitter(
        identity=person(
            7, FaceShape.LONG, Skin.BROWN, Hair.QUIFF, HairColour.BLACK, Glasses.SQUARE, Eyes.BLUE, Beard.FULL
        ),
        colour=Colour.WHITE,
        clothes=Clothes.JUMPER,
        background=Background.MEADOW,
        is_upright=True,
    ),
}

PICTURES = {
    "mara.png": "mara",
    "tomas.jpg": "tomas",
    "ines.png": "ines",
    "kenji.png": "kenji",
    "ruth.png": "ruth",
    "leyla.webp": "leyla",
    "sami.png": "sami",
}

SPEECH = {
    "mara-hello.wav": (3.62, 24),
    "tomas-tour.flac": (4.75, 15),
    "leyla-goodbye.flac": (3.1, 31),
    "ines-keynote.ogg": (13.4, 20),
    "kenji-launch.flac": (4.37, 27),
    "ruth-garden.ogg": (5.24, 13),
    "mara-interview.ogg": (4.18, 25),
    "sami-story.flac": (4.06, 32),
    "narrator.ogg": (3.9, 19),
}
"""Seconds, and the seed of voice and syllables."""

COLUMNS = (
    "row_id", "video", "shot", "prompt", "image", "audio", "duration", "width", "height", "client", "place",
)  # fmt: skip

SHEET: tuple[dict[str, str], ...] = (
    {
        "row_id": "welcome-1",
        "video": "welcome",
        "shot": "1",
        "prompt": "Someone talks {{place}}, wearing a green jumper, with a book in hand and nodding. {{view}}",
        "image": "images/mara.png",
        "audio": "audio/mara-hello.wav",
        "client": "City Library",
        "place": "in a library",
    },
    {
        "row_id": "welcome-2",
        "video": "welcome",
        "shot": "2",
        "prompt": "A person speaks {{place}}, in a red striped T-shirt, with a mug of tea in hand. {{view}}",
        "image": "images/tomas.jpg",
        "audio": "audio/tomas-tour.flac",
        "client": "City Library",
        "place": "in front of a brick wall",
    },
    {
        "row_id": "welcome-3",
        "video": "welcome",
        "shot": "3",
        "prompt": "Someone dressed in a purple hoodie talks {{place}}, with a flower in hand. {{view}}",
        "image": "images/leyla.webp",
        "audio": "audio/leyla-goodbye.flac",
        "client": "City Library",
        "place": "in a library",
    },
    {
        "row_id": "keynote",
        "prompt": "A speaker talks {{place}}, in a blue suit jacket, with a microphone in hand. {{view}}",
        "image": "images/ines.png",
        "audio": "audio/ines-keynote.ogg",
        "client": "Northwind",
        "place": "in a photo studio",
    },
    {
        "row_id": "launch",
        "prompt": "Someone speaks {{place}}, in a yellow hoodie, with a baseball cap on. {{view}}",
        "image": "images/kenji.png",
        "audio": "audio/kenji-launch.flac",
        "client": "Northwind",
        "place": "in a city at night",
    },
    {
        "row_id": "garden",
        "prompt": "In a meadow, someone is talking,\nin a white polka-dot shirt, wearing a straw hat. {{view}}",
        "image": "images/ruth.png",
        "audio": "audio/ruth-garden.ogg",
        "client": "Rose & Daughters",
        "place": "",
    },
    {
        "row_id": "interview",
        "prompt": "Two people stand {{place}}. The one on the left talks, wearing a green jumper. "
        "The one on the right listens, in a black suit jacket, nodding. {{view}}",
        "image": "images/mara.png|images/kenji.png",
        "audio": "audio/mara-interview.ogg",
        "client": "City Library",
        "place": "in a library",
    },
    {
        "row_id": "story",
        "prompt": "Someone talks {{place}}, in an orange striped T-shirt, shaking their head. {{view}}",
        "image": "images/sami.png",
        "audio": "audio/sami-story.flac",
        "width": "384",
        "height": "576",
        "client": "Studio Sami",
        "place": "on a beach",
    },
    {
        "row_id": "narrator",
        "prompt": "A person talks {{place}}, in a red suit jacket, wearing a top hat. {{view}}",
        "audio": "audio/narrator.ogg",
        "client": "Rose & Daughters",
        "place": "in a forest",
    },
    {
        "row_id": "title",
        "prompt": "A person talks {{place}}, in a blue jumper, with a ball in hand and rocking their head. {{view}}",
        "image": "images/tomas.jpg",
        "duration": "3",
        "client": "City Library",
        "place": "in the mountains",
    },
)

CAMPAIGN = """\
# Defaults of every row in campaign.csv; a filled cell of a row wins.
# A small size, so that a laptop renders the quickstart in minutes.
width = 384
height = 384

# What {{name}} means in prompts when the sheet has no column of that name.
[placeholders]
view = "The camera stays still."
"""


def sheet_text() -> str:
    """The CSV: commas, LF, quoted only where needed."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(SHEET)
    return text.getvalue()


def make(folder: Path) -> None:
    """Write sheet, settings, pictures and speech below `folder`."""
    for name in ("images", "audio"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "campaign.csv").write_text(sheet_text(), encoding="utf-8", newline="")
    (folder / "campaign.toml").write_text(CAMPAIGN, encoding="utf-8", newline="")
    for seed, (name, sitter) in enumerate(PICTURES.items()):
        portrait(SITTERS[sitter], seed).save(folder / "images" / name, quality=88, optimize=True)
    for name, (seconds, seed) in SPEECH.items():
        path = folder / "audio" / name
        samples = speak(Streams((seed,)), int(seconds * FPS) + 1).audio[: int(seconds * RATE)]
        soundfile.write(path, samples, RATE)
        if path.suffix == ".ogg":
            path.write_bytes(with_serial(path.read_bytes(), seed))


def portrait(sitter: Sitter, seed: int) -> Image.Image:
    streams = Streams((seed,))
    look = Look(
        identity=sitter.identity,
        role=Role(colour=sitter.colour, clothes=sitter.clothes, hat=Hat.NONE, held=Held.NONE, motion=Motion.STILL),
        background=sitter.background,
        aspect=0.75 if sitter.is_upright else 1.0,
        x=0.0,
        y=-1.0,
        scale=1.03,
        acting=pose(streams.of("pose")),
        opening=0.12,
        width=0.6,
        light=any_light(streams.of("light"), 0.6),
    )
    pixels, _ = draw(look.shot(HEIGHT, HEIGHT), streams.of("background"), supersample=2)
    return Image.fromarray(pixels[0])


def with_serial(data: bytes, serial: int) -> bytes:
    """An Ogg file with this stream number instead of a random one, so that two runs write the same bytes (RFC 3533)."""
    pages, start = [], 0
    while start < len(data):
        segments = data[start + 26]
        end = start + 27 + segments + sum(data[start + 27 : start + 27 + segments])
        page = bytearray(data[start:end])
        page[14:18] = serial.to_bytes(4, "little")
        page[22:26] = bytes(4)
        page[22:26] = _ogg_crc(page).to_bytes(4, "little")
        pages.append(bytes(page))
        start = end
    return b"".join(pages)


def _ogg_crc(page: bytes | bytearray) -> int:
    crc = 0
    for byte in page:
        crc ^= byte << 24
        for _ in range(8):
            crc = ((crc << 1) ^ 0x04C11DB7 if crc & 0x80000000 else crc << 1) & 0xFFFFFFFF
    return crc


if __name__ == "__main__":
    make(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "quickstart")
