"""Make the quickstart campaign: a sheet, drawn people and speech that says nothing.

    python examples/make_quickstart.py [FOLDER]

Everything is drawn and synthesised here, so the pictures and voices belong to nobody. Needs numpy, Pillow and
soundfile. The result is committed; run it again only after changing it.
"""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path

import soundfile
from drawn_faces import PEOPLE, portrait
from spoken_babble import RATE, Voice, speak

LANDSCAPE, PORTRAIT = (704, 400), (400, 704)

PICTURES = {
    "mara.png": ("mara", LANDSCAPE),
    "tomas.jpg": ("tomas", LANDSCAPE),
    "ines.png": ("ines", LANDSCAPE),
    "kenji.png": ("kenji", LANDSCAPE),
    "ruth.png": ("ruth", LANDSCAPE),
    "leyla.webp": ("leyla", LANDSCAPE),
    "sami.png": ("sami", PORTRAIT),
}

VOICES = {
    "mara": Voice(pitch=205, tract=1.14, melody=0.18),
    "tomas": Voice(pitch=112, tract=0.98, syllable=0.2),
    "ines": Voice(pitch=188, tract=1.1, melody=0.22, syllable=0.18),
    "kenji": Voice(pitch=132, tract=1.02, syllable=0.16),
    "ruth": Voice(pitch=178, tract=1.12, syllable=0.22, breath=0.05),
    "leyla": Voice(pitch=222, tract=1.17, melody=0.16),
    "sami": Voice(pitch=96, tract=0.94, syllable=0.21, breath=0.03),
    "narrator": Voice(pitch=118, tract=0.97, syllable=0.23, melody=0.1),
}

SPEECH = {
    "mara-hello.wav": ("mara", 3.62, 11),
    "tomas-tour.flac": ("tomas", 4.75, 12),
    "leyla-goodbye.flac": ("leyla", 3.1, 13),
    "ines-keynote.ogg": ("ines", 13.4, 14),
    "kenji-launch.flac": ("kenji", 4.37, 15),
    "ruth-garden.ogg": ("ruth", 5.24, 16),
    "mara-interview.ogg": ("mara", 4.18, 17),
    "sami-story.flac": ("sami", 4.06, 18),
    "narrator.ogg": ("narrator", 3.9, 19),
}

COLUMNS = ("row_id", "video", "shot", "prompt", "image", "audio", "duration", "width", "height", "client", "city")

SHEET: tuple[dict[str, str], ...] = (
    {
        "row_id": "welcome-1",
        "video": "welcome",
        "shot": "1",
        "prompt": "A librarian with round glasses smiles and greets the camera, {{style}}.",
        "image": "images/mara.png",
        "audio": "audio/mara-hello.wav",
        "client": "City Library",
        "city": "Porto",
    },
    {
        "row_id": "welcome-2",
        "video": "welcome",
        "shot": "2",
        "prompt": 'A carpenter in a green checked shirt shows his workshop and says "come in", {{style}}.',
        "image": "images/tomas.jpg",
        "audio": "audio/tomas-tour.flac",
        "client": "City Library",
        "city": "Porto",
    },
    {
        "row_id": "welcome-3",
        "video": "welcome",
        "shot": "3",
        "prompt": "A woman in a teal headscarf says goodbye from the kitchen of the café, {{style}}.",
        "image": "images/leyla.webp",
        "audio": "audio/leyla-goodbye.flac",
        "client": "City Library",
        "city": "Porto",
    },
    {
        "row_id": "keynote",
        "prompt": "A speaker in a coral blazer opens the {{client}} conference in {{city}}, {{style}}.",
        "image": "images/ines.png",
        "audio": "audio/ines-keynote.ogg",
        "client": "Northwind",
        "city": "Lyon",
    },
    {
        "row_id": "launch",
        "prompt": "A young man in a blue hoodie presents the {{client}} app, {{city}} at dusk behind him, {{style}}.",
        "image": "images/kenji.png",
        "audio": "audio/kenji-launch.flac",
        "client": "Northwind",
        "city": "Osaka",
    },
    {
        "row_id": "garden",
        "prompt": "A grandmother tells a story among her roses,\nleaves moving in the wind, {{style}}.",
        "image": "images/ruth.png",
        "audio": "audio/ruth-garden.ogg",
        "client": "Rose & Daughters",
        "city": "Bath",
    },
    {
        "row_id": "interview",
        "prompt": "Two people side by side; the woman talks, the young man listens and nods, {{style}}.",
        "image": "images/mara.png|images/kenji.png",
        "audio": "audio/mara-interview.ogg",
        "client": "City Library",
        "city": "Porto",
    },
    {
        "row_id": "story",
        "prompt": "A bearded man with square glasses speaks to his phone, upright format, {{style}}.",
        "image": "images/sami.png",
        "audio": "audio/sami-story.flac",
        "width": "272",
        "height": "480",
        "client": "Studio Sami",
        "city": "Tunis",
    },
    {
        "row_id": "narrator",
        "prompt": "A warm voice speaks over an empty theatre in {{city}} as the curtain opens, {{style}}.",
        "audio": "audio/narrator.ogg",
        "client": "Rose & Daughters",
        "city": "Bath",
    },
    {
        "row_id": "title",
        "prompt": "The carpenter looks up from his bench and smiles without a word, {{style}}.",
        "image": "images/tomas.jpg",
        "duration": "3",
        "client": "City Library",
        "city": "Porto",
    },
)

CAMPAIGN = """\
# Defaults of every row in campaign.csv; a filled cell of a row wins.
# A small size, so that a laptop renders the quickstart in about a minute.
width = 480
height = 272

# What {{name}} means in prompts when the sheet has no column of that name.
[placeholders]
style = "soft light, shallow depth of field"
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
    for name, (person, (width, height)) in PICTURES.items():
        portrait(PEOPLE[person], width, height).save(folder / "images" / name, quality=88, optimize=True)
    for name, (voice, seconds, seed) in SPEECH.items():
        path = folder / "audio" / name
        soundfile.write(path, speak(VOICES[voice], seconds, seed=seed), RATE)
        if path.suffix == ".ogg":
            path.write_bytes(with_serial(path.read_bytes(), seed))


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
