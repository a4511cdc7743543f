"""What is heard, and the mouth that goes with it: phoneme-like segments through a formant synthesiser.

Opening decides the first formant and lip width the second, as with people; loudness goes its own way. So the mouth is
in the spectrum, and a level meter alone finds little of it. Harmonics are summed under the magnitude of a cascade of
resonators, after D. H. Klatt, "Software for a cascade/parallel formant synthesizer", J. Acoust. Soc. Am. 67 (1980).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model_runtime.training.world.streams import Streams

RATE = 16_000
FPS = 25
SAMPLES_PER_FRAME = RATE // FPS
"""640: sound and picture stay in step exactly."""

STEP = 80
"""Samples between two settings of the synthesiser: 5 ms, eight to a frame."""
STEPS_PER_FRAME = SAMPLES_PER_FRAME // STEP

F1_HZ = (260.0, 560.0)
"""First formant: closed, and what full opening adds."""
F2_HZ = (720.0, 1550.0)
"""Second formant: fully rounded, and what full width adds."""
_HIGHER_HZ = (2750.0, 3600.0)
_BANDWIDTHS_HZ = (70.0, 110.0, 170.0, 250.0)
_TOP_HZ = 4200.0

Floats = NDArray[np.float64]
Track = NDArray[np.float32]


class Sound(NamedTuple):
    """A kind of segment."""

    opening: float
    width: float
    shortest_s: float
    longest_s: float
    voiced: float = 1.0
    """Level of the voice, 0 to 1."""
    hiss: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Levels of noise at 1.2-7 kHz, 2-4.5 kHz and 4.2-7.8 kHz."""
    nasal: bool = False


_HISS_HZ = ((1200.0, 7000.0), (2000.0, 4500.0), (4200.0, 7800.0))

VOWELS = {
    "i": Sound(0.22, 0.95, 0.08, 0.20),
    "I": Sound(0.36, 0.78, 0.07, 0.14),
    "e": Sound(0.50, 0.86, 0.08, 0.18),
    "ae": Sound(0.82, 0.74, 0.09, 0.20),
    "a": Sound(0.97, 0.48, 0.09, 0.22),
    "V": Sound(0.70, 0.42, 0.07, 0.14),
    "O": Sound(0.66, 0.18, 0.09, 0.20),
    "o": Sound(0.45, 0.10, 0.09, 0.20),
    "u": Sound(0.20, 0.04, 0.08, 0.20),
    "y": Sound(0.24, 0.30, 0.08, 0.18),
    "@": Sound(0.45, 0.52, 0.05, 0.11),
}
CONSONANTS = {
    "m": Sound(0.0, 0.45, 0.07, 0.13, voiced=0.75, nasal=True),
    "b": Sound(0.0, 0.45, 0.06, 0.11, voiced=0.12),
    "p": Sound(0.0, 0.45, 0.07, 0.12, voiced=0.0),
    "n": Sound(0.16, 0.55, 0.06, 0.11, voiced=0.7, nasal=True),
    "t": Sound(0.14, 0.55, 0.05, 0.08, voiced=0.0, hiss=(0.0, 0.05, 0.12)),
    "s": Sound(0.10, 0.80, 0.08, 0.14, voiced=0.0, hiss=(0.0, 0.0, 0.55)),
    "S": Sound(0.18, 0.15, 0.08, 0.14, voiced=0.0, hiss=(0.0, 0.6, 0.1)),
    "f": Sound(0.05, 0.55, 0.07, 0.12, voiced=0.0, hiss=(0.22, 0.0, 0.0)),
    "v": Sound(0.06, 0.55, 0.05, 0.09, voiced=0.5, hiss=(0.12, 0.0, 0.0)),
    "w": Sound(0.10, 0.0, 0.06, 0.10, voiced=0.8),
    "l": Sound(0.32, 0.60, 0.05, 0.09, voiced=0.8),
}
PAUSE = Sound(0.0, 0.45, 0.12, 0.36, voiced=0.0)
SOUNDS = {**VOWELS, **CONSONANTS, "_": PAUSE}


class Segment(NamedTuple):
    """One sound as it was said; times in seconds from the clip's start, the first may begin before it."""

    name: str
    start_s: float
    end_s: float


@dataclass(frozen=True, kw_only=True)
class Voice:
    """What tells one voice from another; it says nothing about the mouth."""

    pitch_hz: float
    tract: float
    """Scales all formants: above 1 for a short vocal tract."""
    melody: float
    breath: float
    level_db: float
    """Of a plain vowel's RMS, below full scale."""


@dataclass(frozen=True, kw_only=True)
class Speech:
    """Sound and mouth, in step: frame k is heard in samples 640k to 640(k+1)."""

    audio: Track
    """[frames * 640], mono, full scale at 1."""
    opening: Track
    """[frames], 0 closed to 1 wide open; the mean over the frame's 40 ms."""
    width: Track
    """[frames], 0 rounded to 1 spread."""
    segments: tuple[Segment, ...]
    voice: Voice


def speak(streams: Streams, frames: int) -> Speech:
    """Speech of `frames` frames in a voice of its own."""
    voice = _voice(streams.of("speech/voice"))
    steps = frames * STEPS_PER_FRAME + 1
    segments = _sentence(streams.of("speech/segments"), steps)
    score = _Score.of(segments, steps, streams.of("speech/manner"))
    sound = _voiced(score, voice, streams.of("speech/pitch")) + _hissed(score, voice, streams.of("speech/noise"))
    by_frame = (frames, STEPS_PER_FRAME)
    return Speech(
        audio=np.clip(sound * 10 ** (voice.level_db / 20), -1, 1).astype(np.float32),
        opening=score.opening[:-1].reshape(by_frame).mean(1).astype(np.float32),
        width=score.width[:-1].reshape(by_frame).mean(1).astype(np.float32),
        segments=tuple(Segment(name, start * STEP / RATE, end * STEP / RATE) for name, start, end in segments),
        voice=voice,
    )


def _voice(rng: np.random.Generator) -> Voice:
    pitch = float(np.exp(rng.uniform(math.log(90), math.log(230))))
    # High voices come with short tracts, as in people; the rest is chance.
    tract = 0.92 + 0.16 * (pitch - 90) / 140 + float(rng.uniform(-0.04, 0.04))
    return Voice(
        pitch_hz=pitch,
        tract=tract,
        melody=float(rng.uniform(0.06, 0.18)),
        breath=float(rng.uniform(0.002, 0.008)),
        level_db=float(rng.uniform(-26, -17)),
    )


def _sentence(rng: np.random.Generator, steps: int) -> list[tuple[str, int, int]]:
    """Syllables and pauses that cover all steps; the first begins before the clip."""
    found: list[tuple[str, int, int]] = []
    at = -int(rng.integers(0, 50))
    vowels, consonants = list(VOWELS), list(CONSONANTS)
    while at < steps:
        said = ["_"] if rng.random() < 0.12 else []
        if rng.random() < 0.8:
            said.append(consonants[int(rng.integers(len(consonants)))])
        said.append(vowels[int(rng.integers(len(vowels)))])
        if rng.random() < 0.3:
            said.append(consonants[int(rng.integers(len(consonants)))])
        for name in said:
            sound = SOUNDS[name]
            length = max(1, round(float(rng.uniform(sound.shortest_s, sound.longest_s)) * RATE / STEP))
            found.append((name, at, at + length))
            at += length
    return [(name, start, end) for name, start, end in found if end > 0 and start < steps]


@dataclass(frozen=True, kw_only=True)
class _Score:
    """Settings of the synthesiser, each [steps] at 200 Hz."""

    opening: Floats
    width: Floats
    voiced: Floats
    nasal: Floats
    hiss: Floats
    """[3, steps]."""

    @classmethod
    def of(cls, segments: list[tuple[str, int, int]], steps: int, rng: np.random.Generator) -> _Score:
        tracks = np.zeros((7, steps))
        for name, start, end in segments:
            sound = SOUNDS[name]
            opening, width = rng.uniform(-0.1, 0.1, 2)
            # How loud a sound is said is drawn by itself: a wide vowel may be whispered, a hum may be loud.
            gain = 10 ** (float(rng.uniform(-10, 5)) / 20)
            is_vowel = name in VOWELS
            lo, hi = max(start, 0), min(end, steps)
            tracks[:, lo:hi] = np.array(
                [
                    np.clip(sound.opening + is_vowel * opening, 0, 1),
                    np.clip(sound.width + is_vowel * width, 0, 1),
                    sound.voiced * gain,
                    float(sound.nasal),
                    *(level * gain for level in sound.hiss),
                ]
            )[:, None]
        slow, quick = _bell(13), _bell(7)
        return cls(
            opening=_smooth(tracks[0], slow),
            width=_smooth(tracks[1], slow),
            voiced=_smooth(tracks[2], quick),
            nasal=_smooth(tracks[3], quick),
            hiss=np.stack([_smooth(track, quick) for track in tracks[4:]]),
        )


def _bell(steps: int) -> Floats:
    bell = np.hanning(steps + 2)[1:-1]
    return np.asarray(bell / bell.sum(), np.float64)


def _smooth(track: Floats, kernel: Floats) -> Floats:
    return np.convolve(np.pad(track, len(kernel) // 2, mode="edge"), kernel, "valid")


def _voiced(score: _Score, voice: Voice, rng: np.random.Generator) -> Floats:
    """Harmonics of the pitch under the formants, at the score's level whatever the formants are."""
    steps = len(score.opening)
    time = np.arange(steps) * STEP / RATE
    turns = rng.uniform(0, 2 * math.pi, 2)
    melody = np.sin(2 * math.pi * rng.uniform(0.8, 2.2) * time + turns[0]) + 0.12 * np.sin(
        2 * math.pi * 5.5 * time + turns[1]
    )
    pitch = voice.pitch_hz * (1 + voice.melody * melody)
    amplitudes = _harmonics(score, voice, pitch)
    phase = np.cumsum(_to_samples(pitch)) * (2 * math.pi / RATE)
    before, now, twice = np.zeros_like(phase), np.sin(phase), 2 * np.cos(phase)
    sound = np.zeros_like(phase)
    for amplitude in amplitudes:
        sound += _to_samples(amplitude) * now
        # sin((k+1)p) = 2 cos(p) sin(kp) - sin((k-1)p): two sines serve all harmonics.
        before, now = now, twice * now - before
    return sound


def _harmonics(score: _Score, voice: Voice, pitch: Floats) -> Floats:
    """Amplitudes [harmonics, steps], of RMS `score.voiced` at every step."""
    number = np.arange(1, int(_TOP_HZ / pitch.min()) + 1)[:, None]
    hertz = number * pitch
    first = F1_HZ[0] + F1_HZ[1] * score.opening
    second = F2_HZ[0] + F2_HZ[1] * score.width
    formants = (first, second, *(np.full_like(first, hz) for hz in _HIGHER_HZ))
    shape = 1.0 / number * (hertz < _TOP_HZ)
    for k, (formant, band) in enumerate(zip(formants, _BANDWIDTHS_HZ, strict=True)):
        centre = formant * voice.tract
        resonance = centre**2 / np.sqrt((centre**2 - hertz**2) ** 2 + (band * hertz) ** 2)
        # With the lips or the tongue closed, the way through the nose keeps the lowest resonance only.
        shape = shape * (resonance if k == 0 else resonance ** (1 - 0.6 * score.nasal))
    rms = np.sqrt((shape**2).sum(0) / 2)
    return np.asarray(shape / rms * score.voiced, np.float64)


def _hissed(score: _Score, voice: Voice, rng: np.random.Generator) -> Floats:
    samples = (len(score.opening) - 1) * STEP
    noise = rng.standard_normal(samples)
    spectrum, hertz = np.fft.rfft(noise), np.fft.rfftfreq(samples, 1 / RATE)
    sound = voice.breath * noise
    for (low, high), level in zip(_HISS_HZ, score.hiss, strict=True):
        if level.any():
            band = np.fft.irfft(spectrum * ((hertz > low) & (hertz < high)), samples)
            sound += _to_samples(level) * band / math.sqrt((high - low) * 2 / RATE)
    return sound


def _to_samples(track: Floats) -> Floats:
    """[steps] to [(steps - 1) * 80], straight lines between."""
    ramp = np.arange(STEP) / STEP
    return (track[:-1, None] + np.diff(track)[:, None] * ramp).reshape(-1)
