"""The sound of one video: the shots' own speech, each padded to its shot's exact length, nothing between them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ffmpeg
import numpy as np

from media.ffmpeg import FfmpegFailed, file_url, guarded, run_ffmpeg
from media.files import unwritable
from media.resampling import Resampler
from media.sound import Samples, Sound, open_sound
from schemas.errors import InvalidMedia
from schemas.model_spec import FPS
from schemas.problem import Code

SOUND_RATE = 48_000
"""Samples per second of a finished video's sound."""

SAMPLES_PER_PICTURE = SOUND_RATE // FPS
"""1,920 samples of sound are one frame of picture."""

_TRUE_PEAK_DB = -1.5
_LOUDNESS_RANGE_LU = 20
"""The widest that loudnorm takes: speech within it is levelled by one gain, not compressed."""

_ANY_SIZE = 2**40
_PORTION = 1 << 16
_MOST_OPEN = 16


@dataclass(frozen=True, kw_only=True)
class ShotSound:
    """What is heard over one shot of `frames` frames: `speech`, or silence."""

    frames: int
    speech: Path | None = None
    samples: int = 0
    """Decoded length of `speech` when it was checked, at `sample_rate`."""
    sample_rate: int = 0


@dataclass(frozen=True, kw_only=True)
class Soundtrack:
    """Raw 32-bit float little-endian sound at 48 kHz, channels interleaved."""

    path: Path
    channels: int
    samples: int
    """Per channel."""


def write_soundtrack(shots: Sequence[ShotSound], path: Path) -> Soundtrack:
    """Write the sound of shots that follow each other: sum of frames x 1920 samples, exactly.

    It is stereo as soon as one speech has two channels; a speech with more is mixed down.

    Raises:
        InvalidMedia: a speech does not decode, or does not have the length that it was checked with.
        Retryable: `path` cannot be written.
    """
    try:
        with heard(shots) as sound, path.open("wb") as file:
            file.writelines(sound.portions())
    except OSError as error:
        raise unwritable(path, error) from error
    return Soundtrack(path=path, channels=sound.channels, samples=sound.samples)


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What is heard over shots that follow each other, to be decoded once."""

    shots: Sequence[ShotSound]
    channels: int
    """Two as soon as one speech has two, else one."""
    opened: Mapping[int, Sound]
    """The speeches that stand open, by their shots' numbers."""

    @property
    def samples(self) -> int:
        """Per channel, at 48 kHz."""
        return sum(shot.frames for shot in self.shots) * SAMPLES_PER_PICTURE

    def portions(self) -> Iterator[bytes]:
        """The bytes of a `Soundtrack` as they are decoded.

        Raises:
            InvalidMedia: a speech does not decode, or does not have the length that it was checked with.
        """
        for number, shot in enumerate(self.shots):
            missing = shot.frames * SAMPLES_PER_PICTURE
            for chunk in self._speech(number, shot):
                yield chunk[:missing].astype("<f4", copy=False).tobytes()
                missing -= min(missing, len(chunk))
            for length in _portions(missing):
                yield bytes(4 * self.channels * length)

    def _speech(self, number: int, shot: ShotSound) -> Iterator[Samples]:
        """A shot's speech at 48 kHz in pieces of [samples] or [samples, 2]."""
        if number in self.opened:
            yield from _resampled(self.opened[number], shot, self.channels)
        elif shot.speech is not None:
            with open_sound(shot.speech, max_bytes=_ANY_SIZE) as sound:
                yield from _resampled(sound, shot, self.channels)


@contextmanager
def heard(shots: Sequence[ShotSound]) -> Iterator[Heard]:
    """Look at every speech; those of the first shots stay open, so that they are not opened twice.

    Raises:
        InvalidMedia: a speech does not open.
    """
    channels = 1
    opened: dict[int, Sound] = {}
    with ExitStack() as stack:
        for number, shot in enumerate(shots):
            if shot.speech is None:
                continue
            with ExitStack() as passing:
                keeper = stack if len(opened) < _MOST_OPEN else passing
                sound = keeper.enter_context(open_sound(shot.speech, max_bytes=_ANY_SIZE))
                channels = max(channels, min(sound.channels, 2))
                if keeper is stack:
                    opened[number] = sound
        yield Heard(shots=shots, channels=channels, opened=opened)


def level(sound: Soundtrack, path: Path, lufs: float, *, timeout_s: float) -> tuple[Soundtrack, float | None]:
    """The sound at an integrated loudness of `lufs` (EBU R 128, two passes), and what it had before.

    Sound without any loudness, silence, is left as it is and has None.

    Raises:
        FfmpegFailed: a pass ended badly or not in time.
    """
    target: dict[str, float | str] = {"I": lufs, "TP": _TRUE_PEAK_DB, "LRA": _LOUDNESS_RANGE_LU}
    if sound.channels == 1:
        # One channel will be heard from two loudspeakers.
        target["dual_mono"] = "true"
    said = run_ffmpeg(
        _raw_file(sound).filter("loudnorm", **target, print_format="json").output("-", f="null").get_args(),
        timeout_s=timeout_s,
        loglevel="info",
    )
    first = _measured(said)
    if not all(math.isfinite(value) for value in first.values()):
        return sound, None
    second = {
        "measured_I": first["input_i"],
        "measured_TP": first["input_tp"],
        "measured_LRA": first["input_lra"],
        "measured_thresh": first["input_thresh"],
        "offset": first["target_offset"],
        "linear": "true",
    }
    levelled = (
        _raw_file(sound)
        .filter("loudnorm", **target, **second)
        # Where one gain cannot reach the target, loudnorm works at 192 kHz.
        .filter("aresample", SOUND_RATE)
        .filter("apad", whole_len=sound.samples)
        .filter("atrim", end_sample=sound.samples)
        .output(file_url(path), f="f32le", ar=SOUND_RATE, ac=sound.channels)
    )
    run_ffmpeg(levelled.get_args(), timeout_s=timeout_s)
    return Soundtrack(path=path, channels=sound.channels, samples=sound.samples), first["input_i"]


def _resampled(sound: Sound, shot: ShotSound, channels: int) -> Iterator[Samples]:
    resampler = Resampler(sound.sample_rate, SOUND_RATE, channels)
    count = 0
    for chunk in sound.chunks():
        count += len(chunk)
        yield resampler.feed(_mixed(chunk, channels))
    yield resampler.end()
    _check_length(sound, count, shot)


def _mixed(chunk: Samples, channels: int) -> Samples:
    """One or two channels of any number; more than two are mixed, because nobody says which one is the voice."""
    if channels == 1:
        return chunk[:, 0]
    if chunk.shape[1] == 2:
        return chunk
    return np.repeat(chunk.mean(axis=1, keepdims=True), 2, axis=1)


def _check_length(sound: Sound, count: int, shot: ShotSound) -> None:
    """Another length than at submit means another file, or a decoder that counts otherwise: lips would not match."""
    if not shot.samples:
        return
    expected = shot.samples / shot.sample_rate
    found = count / sound.sample_rate
    if abs(found - expected) * FPS > 1:
        raise InvalidMedia(
            Code.AUDIO_LENGTH_MISMATCH,
            f"{sound.name} holds {found:.3f} s of sound, {expected:.3f} s when it was checked",
            fix="submit the manifest again",
        )


def _portions(samples: int) -> Iterator[int]:
    while samples > 0:
        yield min(samples, _PORTION)
        samples -= _PORTION


def raw_input(url: str, channels: int, **options: int) -> Any:
    """Raw sound as an input node of ffmpeg-python, with further options of the input."""
    return ffmpeg.input(url, ar=SOUND_RATE, ac=channels, **options, **guarded("f32le"))


def _raw_file(sound: Soundtrack) -> Any:
    return raw_input(file_url(sound.path), sound.channels)


def _measured(said: str) -> dict[str, float]:
    """The numbers of loudnorm's report, which is the last JSON object in what ffmpeg said."""
    try:
        report = json.loads(said[said.rindex("{") : said.rindex("}") + 1])
        names = ("input_i", "input_tp", "input_lra", "input_thresh", "target_offset")
        return {name: float(report[name]) for name in names}
    except (ValueError, KeyError) as error:
        raise FfmpegFailed(f"loudnorm reported nothing that can be read: {error}", stderr=said[-500:]) from error
