"""Reading a stranger's speech: is it usable, how loud is it where, and the form of it that engines read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from media.files import replacing, unwritable
from media.loudness import SILENCE_DB, Levels, Meter
from media.resampling import Resampler, fit
from media.sound import Samples, Sound, open_sound
from schemas.errors import InvalidMedia
from schemas.model_spec import FPS, SPEECH_RATE
from schemas.problem import Code
from schemas.settings import Limits

_MISMATCH = 0.01
_CODEC_SLACK_S = 0.1
"""Lossy codecs add delay and padding that some headers count and others do not."""


@dataclass(frozen=True, kw_only=True)
class SpeechFacts:
    """What a checked speech file is. Loudness is that of the channels' mean: it is what the model hears."""

    media_type: str
    samples: int
    """Decoded samples per channel, not claimed ones."""
    sample_rate: int
    channels: int
    peak: float
    """Largest absolute value; full scale is 1."""
    envelope: tuple[float, ...]
    """RMS in dB relative to full scale, one value per 25-fps frame, -100 for silence."""


def check_speech(path: Path, limits: Limits) -> SpeechFacts:
    """Decode a speech file fully, bounded by the allowed length, and say what it is.

    Raises:
        InvalidMedia: one of the AUDIO_* codes, or a REFERENCE_* code when it is no regular file of allowed size.
    """
    with open_sound(path, max_bytes=limits.audio_bytes) as sound:
        _check_header(sound, limits)
        meter = Meter(sound.sample_rate)
        for mono in _bounded(sound, limits):
            meter.add(mono)
        _check_length(sound, meter.samples, limits)
        _check_loudness(sound, meter, limits)
        return SpeechFacts(
            media_type=sound.type.media_type,
            samples=meter.samples,
            sample_rate=sound.sample_rate,
            channels=sound.channels,
            peak=round(meter.peak, 6),
            envelope=meter.frames.levels(meter.samples),
        )


def normalise_speech(path: Path, out: Path, *, limits: Limits | None = None) -> int:
    """Write the speech as mono 16 kHz 16-bit WAV and return its length in samples.

    The length is round(samples x 16000 / rate). Equal input gives equal bytes. Sound beyond full scale is scaled
    down as a whole instead of clipped.

    Raises:
        InvalidMedia: as `check_speech`, except for its loudness.
        Retryable: `out` cannot be written.
    """
    limits = limits or Limits()
    with open_sound(path, max_bytes=limits.audio_bytes) as sound:
        _check_header(sound, limits)
        source, pieces = 0, []
        resampler = Resampler(sound.sample_rate, SPEECH_RATE)
        for mono in _bounded(sound, limits):
            source += len(mono)
            pieces.append(resampler.feed(mono))
        pieces.append(resampler.end())
        _check_length(sound, source, limits)
        wanted = (2 * source * SPEECH_RATE + sound.sample_rate) // (2 * sound.sample_rate)
    speech = fit(np.concatenate(pieces), wanted)
    try:
        with replacing(out) as part:
            soundfile.write(part, _as_int16(speech), SPEECH_RATE, subtype="PCM_16", format="WAV")
    except (OSError, soundfile.LibsndfileError) as error:
        raise unwritable(out, error) from error
    return wanted


def envelope(wav16k: Path) -> NDArray[np.float64]:
    """RMS in dB relative to full scale of a normalised speech, one value per 25-fps frame (640 samples).

    Raises:
        InvalidMedia: AUDIO_CORRUPT, it is not what `normalise_speech` writes.
    """
    try:
        samples, rate = soundfile.read(wav16k, dtype="float32")
    except soundfile.LibsndfileError as error:
        raise _not_normalised(wav16k, str(error)) from error
    if rate != SPEECH_RATE or samples.ndim != 1:
        raise _not_normalised(wav16k, f"it has {rate} Hz and shape {samples.shape}")
    levels = Levels(rate, FPS)
    levels.add(samples, 0)
    return np.asarray(levels.levels(len(samples)))


def _check_header(sound: Sound, limits: Limits) -> None:
    if not limits.audio_min_rate <= sound.sample_rate <= limits.audio_max_rate:
        raise InvalidMedia(
            Code.AUDIO_RATE,
            f"{sound.name} has {sound.sample_rate} Hz, "
            f"allowed are {limits.audio_min_rate} to {limits.audio_max_rate} Hz",
            fix="export it with 16, 44.1 or 48 kHz",
        )
    if not 1 <= sound.channels <= limits.audio_max_channels:
        raise InvalidMedia(
            Code.AUDIO_CHANNELS,
            f"{sound.name} has {sound.channels} channels, allowed are 1 to {limits.audio_max_channels}",
            fix="export it as mono or stereo",
        )


def _bounded(sound: Sound, limits: Limits) -> Iterator[Samples]:
    """The mean of the channels, chunk by chunk, refused as soon as it is longer than allowed."""
    allowed, count = limits.audio_max_s * sound.sample_rate, 0
    for chunk in sound.chunks():
        count += len(chunk)
        if count > allowed:
            raise InvalidMedia(
                Code.AUDIO_TOO_LONG,
                f"{sound.name} is longer than the {limits.audio_max_s:g} s that are allowed",
                fix="cut it into several rows of one video",
            )
        yield chunk.mean(axis=1)


def _check_length(sound: Sound, samples: int, limits: Limits) -> None:
    claimed, rate = sound.claimed_samples, sound.sample_rate
    slack = 0.0 if sound.type.media_type in {"audio/wav", "audio/flac"} else _CODEC_SLACK_S * rate
    if claimed is not None and abs(samples - claimed) > max(_MISMATCH * max(claimed, samples), slack):
        raise InvalidMedia(
            Code.AUDIO_LENGTH_MISMATCH,
            f"{sound.name} says it is {claimed / rate:.2f} s long and holds {samples / rate:.2f} s of sound",
            fix="export the sound again; the file was cut off or its header is wrong",
        )
    if samples < limits.audio_min_s * rate:
        raise InvalidMedia(
            Code.AUDIO_TOO_SHORT,
            f"{sound.name} holds {samples / rate:.3f} s of sound, expected {limits.audio_min_s:g} s or more",
            fix="give a longer recording",
        )


def _check_loudness(sound: Sound, meter: Meter, limits: Limits) -> None:
    loudest = max(meter.windows.levels(meter.samples), default=SILENCE_DB)
    if loudest < limits.audio_silent_dbfs:
        raise InvalidMedia(
            Code.AUDIO_SILENT,
            f"{sound.name}: its loudest 100 ms, all channels mixed, have {loudest:.1f} dB, "
            f"expected {limits.audio_silent_dbfs:g} dB or more",
            fix="give a recording with audible speech",
        )


def _as_int16(samples: Samples) -> NDArray[np.int16]:
    loudest = max(1.0, float(np.abs(samples).max(initial=0.0)))
    scaled = np.rint(samples.astype(np.float64) * (32768 / loudest))
    return np.clip(scaled, -32768, 32767).astype(np.int16)


def _not_normalised(path: Path, why: str) -> InvalidMedia:
    return InvalidMedia(
        Code.AUDIO_CORRUPT, f"{path.name} is no mono 16 kHz WAV: {why}", fix="normalise the speech first"
    )
