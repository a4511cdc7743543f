"""Speech that says nothing: a small formant synthesiser, so that the quickstart has voices that belong to nobody.

A glottal source and noise go through three moving resonators; syllables, words and pauses are drawn from a seeded
generator. Times are seconds, frequencies Hz. After D. H. Klatt, "Software for a cascade/parallel formant
synthesizer", J. Acoust. Soc. Am. 67 (1980).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

RATE = 16_000
STEP = 80
"""Samples between two settings of the resonators: 5 ms."""

Samples = NDArray[np.float64]

VOWELS = {
    "a": (730.0, 1200.0, 2500.0),
    "e": (530.0, 1840.0, 2480.0),
    "i": (290.0, 2250.0, 2950.0),
    "o": (500.0, 900.0, 2450.0),
    "u": (320.0, 870.0, 2250.0),
    "y": (390.0, 1990.0, 2550.0),
    "@": (500.0, 1450.0, 2450.0),
}
HISS = {"s": 5400.0, "sh": 3100.0, "f": 4300.0, "t": 4200.0, "k": 2200.0, "p": 1200.0}
MURMUR = {
    "m": (250.0, 1050.0, 2200.0),
    "n": (250.0, 1550.0, 2500.0),
    "l": (360.0, 1200.0, 2800.0),
    "w": (300.0, 700.0, 2200.0),
}
BANDWIDTHS = (80.0, 110.0, 170.0)


@dataclass(frozen=True, kw_only=True)
class Voice:
    """What tells one voice from another."""

    pitch: float
    tract: float = 1.0
    """Scales all formants: above 1 for a short vocal tract."""
    syllable: float = 0.19
    """Mean length of a syllable."""
    breath: float = 0.02
    melody: float = 0.14
    """How far the pitch moves, as a share of itself."""


@dataclass
class _Score:
    """Settings of the synthesiser, one entry per 5 ms."""

    voiced: list[float] = field(default_factory=list)
    noise: list[float] = field(default_factory=list)
    hiss: list[float] = field(default_factory=list)
    pitch: list[float] = field(default_factory=list)
    formants: list[tuple[float, float, float]] = field(default_factory=list)

    def hold(
        self,
        seconds: float,
        *,
        voiced: float,
        formants: tuple[float, float, float],
        pitch: float,
        noise: float = 0.0,
        hiss: float = 3000.0,
    ) -> None:
        for _ in range(max(1, round(seconds * RATE / STEP))):
            self.voiced.append(voiced)
            self.noise.append(noise)
            self.hiss.append(hiss)
            self.pitch.append(pitch)
            self.formants.append(formants)

    @property
    def seconds(self) -> float:
        return len(self.voiced) * STEP / RATE


def speak(voice: Voice, seconds: float, *, seed: int) -> Samples:
    """Mono samples at 16 kHz in -1..1, exactly `seconds` long, that begin and end with a breath of silence."""
    chance = np.random.default_rng(seed)
    score = _Score()
    score.hold(0.12, voiced=0, formants=VOWELS["@"], pitch=voice.pitch)
    last = seconds - 0.25
    while score.seconds + voice.syllable <= last:
        _phrase(score, voice, chance, until=last)
    total = round(seconds * RATE)
    score.hold(max(0.0, seconds - score.seconds) + 0.05, voiced=0, formants=VOWELS["@"], pitch=voice.pitch * 0.8)
    return _render(score, voice, chance)[:total]


def _phrase(score: _Score, voice: Voice, chance: np.random.Generator, *, until: float) -> None:
    words = int(chance.integers(3, 7))
    for word in range(words):
        fall = 1 + voice.melody * (0.7 - 1.5 * word / words)
        for _ in range(int(chance.integers(1, 4))):
            if score.seconds + voice.syllable > until:
                return
            _syllable(score, voice, chance, voice.pitch * fall * float(chance.uniform(0.94, 1.08)))
        _silence(score, voice, float(chance.uniform(0.03, 0.08)))
    _silence(score, voice, float(chance.uniform(0.24, 0.42)))


def _silence(score: _Score, voice: Voice, seconds: float) -> None:
    score.hold(seconds, voiced=0, formants=score.formants[-1], pitch=voice.pitch)


def _syllable(score: _Score, voice: Voice, chance: np.random.Generator, pitch: float) -> None:
    vowel = VOWELS[str(chance.choice(list(VOWELS)))]
    kind = float(chance.uniform())
    if kind < 0.4:
        name = str(chance.choice(list(HISS)))
        stop = name in {"t", "k", "p"}
        if stop:
            score.hold(0.045, voiced=0, formants=vowel, pitch=pitch)
        score.hold(
            0.02 if stop else 0.085, voiced=0, noise=0.75 if stop else 0.4, hiss=HISS[name], formants=vowel, pitch=pitch
        )
    elif kind < 0.85:
        murmur = MURMUR[str(chance.choice(list(MURMUR)))]
        score.hold(0.06, voiced=0.45, formants=murmur, pitch=pitch)
    length = voice.syllable * float(chance.uniform(0.55, 1.1))
    score.hold(length * 0.6, voiced=1.0, formants=vowel, pitch=pitch)
    score.hold(length * 0.4, voiced=0.8, formants=vowel, pitch=pitch * 0.97)


def _glide(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """A moving mean: the mouth takes time."""
    padded = np.pad(values, ((width, width), (0, 0)), mode="edge")
    kernel = np.hanning(2 * width + 1)
    kernel /= kernel.sum()
    return np.stack([np.convolve(column, kernel, mode="valid") for column in padded.T], axis=1)


def _render(score: _Score, voice: Voice, chance: np.random.Generator) -> Samples:
    tracks = _glide(np.array([score.voiced, score.noise, score.pitch]).T, 4)
    formants = _glide(np.array(score.formants) * voice.tract, 8)
    ticks = np.arange(len(score.voiced))
    grid = np.arange(len(ticks) * STEP) / STEP
    voiced, noise, pitch = (np.interp(grid, ticks, track) for track in tracks.T)
    wobble = (
        1
        + 0.012 * np.sin(2 * np.pi * 5.1 * grid * STEP / RATE)
        + 0.006 * chance.standard_normal(len(grid)).cumsum() / 90
    )
    phase = np.cumsum(pitch * wobble / RATE) % 1.0
    source = np.diff(_glottis(phase), prepend=0.0) * 9 + voice.breath * chance.standard_normal(len(grid))
    speech = source * voiced
    for k, bandwidth in enumerate(BANDWIDTHS):
        speech = _resonate(speech, formants[:, k], bandwidth)
    speech = _resonate(speech, np.full(len(ticks), 3500.0 * voice.tract), 250.0)
    speech = speech - 0.8 * np.roll(speech, 1)  # as bright as a voice near the microphone
    air = _resonate(chance.standard_normal(len(grid)) * noise, np.array(score.hiss), 900.0)
    mixed = speech / np.abs(speech).max() + 0.3 * air / max(1e-9, np.abs(air).max())
    samples: Samples = 0.72 * mixed / np.abs(mixed).max()
    return samples


def _glottis(phase: Samples) -> Samples:
    """Rosenberg's pulse: opening over 40 % of the period, closing over 16 %."""
    opening = 0.5 * (1 - np.cos(np.pi * phase / 0.4))
    closing = np.cos(np.pi * (phase - 0.4) / 0.32)
    pulse: Samples = np.where(phase < 0.4, opening, np.where(phase < 0.56, closing, 0.0))
    return pulse


def _resonate(samples: Samples, frequencies: NDArray[np.float64], bandwidth: float) -> Samples:
    """Klatt's digital resonator, y[n] = A x[n] + B y[n-1] + C y[n-2], set anew every 5 ms."""
    out = samples.tolist()
    y1 = y2 = 0.0
    radius = math.exp(-math.pi * bandwidth / RATE)
    c = -radius * radius
    for tick, frequency in enumerate(frequencies):
        b = 2 * radius * math.cos(2 * math.pi * min(float(frequency), 0.46 * RATE) / RATE)
        a = 1 - b - c
        for n in range(tick * STEP, (tick + 1) * STEP):
            y = a * out[n] + b * y1 + c * y2
            out[n] = y
            y1, y2 = y, y1
    return np.array(out)
