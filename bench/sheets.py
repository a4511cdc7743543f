"""Sheets of any length whose media are known already, and the way from such a sheet to a submission."""

from __future__ import annotations

import random
from pathlib import Path

from flows.campaign.collector import collector_at_rest
from flows.campaign.intake import row_media, row_questions
from flows.stages.media_check import Kind, MediaAnswer, MediaQuestion
from schemas.campaign import CampaignSettings
from schemas.digest import sha256_hex
from schemas.manifest.parse import parse_manifest
from schemas.manifest.rows import check_rows
from schemas.model_spec import HUMO_1_7B, PATTERN, SPEECH_RATE, engine_digest
from schemas.object_ref import ObjectRef
from schemas.planning import RenderSetup, plan_rows
from schemas.settings import Limits
from schemas.shot import Picture, Speech
from schemas.submission import Submission
from storage.objects.layout import input_key

FILES = 100
"""Different pictures, and as many speeches; rows take them in turn."""

SPEECH_S = 3.5
"""One clip per row."""

SETTINGS = CampaignSettings(model=HUMO_1_7B.name, engine=PATTERN.name)
SETUP = RenderSetup(settings=SETTINGS, model=HUMO_1_7B, engine=PATTERN, model_digest=engine_digest(PATTERN, HUMO_1_7B))

_WORDS = ("a person", "looks up", "smiles", "turns to", "the window", "speaks", "slowly", "in warm", "evening light")


def sheet(rows: int) -> bytes:
    """A CSV of text+image+audio rows with prompts of 14 to 60 words and one column of the author's own."""
    draw = random.Random(1)
    lines = ["row_id,prompt,image,audio,shelf"]
    for number in range(rows):
        prompt = " ".join(draw.choices(_WORDS, k=draw.randint(8, 35)))
        lines.append(f'row-{number:06d},"{prompt}, take {number}",face-{number % FILES}.png,'
                     f"line-{number % FILES}.wav,shelf {number % 7}")  # fmt: skip
    return "\n".join(lines).encode()


def submission(data: bytes, name: str = "bench") -> Submission:
    """Parsed, checked and planned as `checked_manifest` does it, with the answers about media at hand."""
    limits = Limits()
    with collector_at_rest():
        parsed = parse_manifest(data, name=f"{name}.csv", limits=limits)
        found = check_rows(parsed, settings=SETTINGS, model=HUMO_1_7B, limits=limits)
        asked = {row.position: row_questions(row) for row in found.rows}
    answers = {question: _answer(question) for own in asked.values() for _, question in own}
    with collector_at_rest():
        media = {row.position: row_media(row, asked[row.position], answers) for row in found.rows}
        rows = plan_rows(found.rows, media, SETUP)
    return Submission(name=name, settings=SETTINGS, manifest=None, rows=rows)


_ANSWERS: dict[MediaQuestion, MediaAnswer] = {}


def _answer(question: MediaQuestion) -> MediaAnswer:
    if question not in _ANSWERS:
        _ANSWERS[question] = _answers_at_hand(question)
    return _ANSWERS[question]


def _answers_at_hand(question: MediaQuestion) -> MediaAnswer:
    if question.kind is Kind.IMAGE:
        picture = Picture(object=_ref(question.reference, "image/png"), width=832, height=480)
        return MediaAnswer(picture=picture)
    speech = Speech(
        original=_ref(question.reference, "audio/wav"),
        normalised=_ref(f"{question.reference} at 16 kHz", "audio/wav"),
        samples=int(SPEECH_S * SPEECH_RATE),
        sample_rate=SPEECH_RATE,
    )
    envelope = tuple(-30.0 - number % 7 for number in range(speech.frames))
    return MediaAnswer(speech=speech, envelope=envelope)


def _ref(name: str, media_type: str) -> ObjectRef:
    sha256 = sha256_hex(name.encode())
    return ObjectRef(key=input_key(sha256), sha256=sha256, size=100_000, media_type=media_type)


def file_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))
