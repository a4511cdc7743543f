"""The media stage: one reference of the sheet in, what stands behind it out, or the problem with it.

The file is fetched under limits, decoded completely, and hashed before anything is stored or paid for.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

from media.sandbox import Sandbox
from media.speech import envelope
from schemas.digest import sha256_stream
from schemas.errors import InvalidMedia
from schemas.object_ref import ObjectRef
from schemas.problem import Code
from schemas.settings import Limits, Settings
from schemas.shot import Picture, Speech
from storage.fetcher import FetchedFile, Fetcher, make_fetcher
from storage.fetcher.refusals import shown
from storage.objects import layout
from storage.objects.verified import put_input
from storage.places import open_store_of


class Kind(StrEnum):
    IMAGE = "image"
    AUDIO = "audio"


class MediaQuestion(NamedTuple):
    """One distinct reference; many rows may ask the same one."""

    kind: Kind
    reference: str
    base: str = ""


@dataclass(frozen=True, kw_only=True)
class MediaAnswer:
    """What stands behind a reference; either the content or a problem."""

    picture: Picture | None = None
    speech: Speech | None = None
    envelope: tuple[float, ...] = ()
    code: Code | None = None
    message: str = ""
    fix: str = ""


@dataclass(frozen=True, kw_only=True)
class MediaDesk:
    """Where references start from and where fetched files wait until the sheet is accepted."""

    root: Path
    """The manifest's folder."""
    roots: tuple[Path, ...] = ()
    """Further folders that a row's `_base` may name."""
    inbox: Path
    """Private folder of this intake; holds files by their SHA-256."""
    settings: Settings


@lru_cache(maxsize=1)
def _sandbox(limits_json: str) -> Sandbox:
    """One limited child per process of the stage, kept for all files; it ends with its parent."""
    return Sandbox(Limits.model_validate_json(limits_json))


def _limited(desk: MediaDesk) -> Sandbox:
    return _sandbox(desk.settings.limits.model_dump_json())


def check_reference(desk: MediaDesk, question: MediaQuestion) -> MediaAnswer:
    """Fetch and decode one reference; whatever is wrong with it comes back as a value."""
    try:
        fetched = _fetch(desk, question)
    except InvalidMedia as error:
        return _refusal(error, error.message)
    try:
        if question.kind is Kind.IMAGE:
            return MediaAnswer(picture=_check_picture(desk, fetched))
        speech, levels = _check_speech(desk, fetched)
        return MediaAnswer(speech=speech, envelope=levels)
    except InvalidMedia as error:
        # The author knows the reference; the name of our private copy tells nobody anything.
        return _refusal(error, error.message.replace(fetched.path.name, shown(question.reference)))


def _refusal(error: InvalidMedia, message: str) -> MediaAnswer:
    return MediaAnswer(code=error.code, message=message, fix=error.fix)


def store_input(desk: MediaDesk, ref: ObjectRef) -> None:
    """Put one checked file into the store under its content hash; the same content is stored once.

    Raises:
        Retryable: the store is away.
    """
    put_input(open_store_of(desk.settings), desk.inbox / ref.sha256, media_type=ref.media_type)


def _fetch(desk: MediaDesk, question: MediaQuestion) -> FetchedFile:
    limits = desk.settings.limits
    fetcher: Fetcher = make_fetcher(desk.settings, root=desk.root, roots=desk.roots, scratch=desk.inbox)
    cap = limits.image_bytes if question.kind is Kind.IMAGE else limits.audio_bytes
    return fetcher.for_base(question.base).fetch(question.reference, kind=question.kind.value, max_bytes=cap)


def _keep(desk: MediaDesk, path: Path, sha256: str) -> Path:
    """Let the file wait under its hash; another task may have brought the same content already."""
    target = desk.inbox / sha256
    path.replace(target)
    return target


def _ref(path: Path, sha256: str, media_type: str) -> ObjectRef:
    return ObjectRef(key=layout.input_key(sha256), sha256=sha256, size=path.stat().st_size, media_type=media_type)


def _check_picture(desk: MediaDesk, fetched: FetchedFile) -> Picture:
    facts = _limited(desk).check_picture(fetched.path)
    path = _keep(desk, fetched.path, fetched.sha256)
    return Picture(object=_ref(path, fetched.sha256, facts.media_type), width=facts.width, height=facts.height)


def _check_speech(desk: MediaDesk, fetched: FetchedFile) -> tuple[Speech, tuple[float, ...]]:
    facts = _limited(desk).check_speech(fetched.path)
    wave = fetched.path.with_name(f"{fetched.path.name}.wav")
    _limited(desk).normalise_speech(fetched.path, wave)
    levels = tuple(round(float(level), 1) for level in envelope(wave))
    with wave.open("rb") as stream:
        wave_sha = sha256_stream(stream)
    original = _keep(desk, fetched.path, fetched.sha256)
    normalised = _keep(desk, wave, wave_sha)
    speech = Speech(
        original=_ref(original, fetched.sha256, facts.media_type),
        normalised=_ref(normalised, wave_sha, "audio/wav"),
        samples=facts.samples,
        sample_rate=facts.sample_rate,
    )
    return speech, levels


def checker(desk: MediaDesk) -> partial[MediaAnswer]:
    return partial(check_reference, desk)


def storer(desk: MediaDesk) -> partial[None]:
    return partial(store_input, desk)
