"""Speech decides the mouth: through the spectrum, not through the level."""

from __future__ import annotations

import numpy as np
import pytest

from model_runtime.training.world.figures import hearing
from model_runtime.training.world.hearing import loudness
from model_runtime.training.world.speech import RATE, SAMPLES_PER_FRAME, VOWELS, Speech, speak
from model_runtime.training.world.streams import Streams


@pytest.fixture(scope="module")
def said() -> list[Speech]:
    return [speak(Streams((8, index)), 50) for index in range(60)]


def test_sound_and_mouth_are_in_step(said: list[Speech]) -> None:
    for speech in said:
        assert speech.audio.shape == (50 * SAMPLES_PER_FRAME,)
        assert speech.opening.shape == speech.width.shape == (50,)
        assert np.abs(speech.audio).max() < 1
        for track in (speech.opening, speech.width):
            assert track.min() >= -1e-6
            assert track.max() <= 1 + 1e-6


def test_segments_follow_each_other_and_cover_the_clip(said: list[Speech]) -> None:
    for speech in said:
        ends = [segment.end_s for segment in speech.segments]
        assert [segment.start_s for segment in speech.segments[1:]] == ends[:-1]
        assert speech.segments[0].start_s <= 0
        assert ends[-1] >= 50 / 25


def test_pauses_are_silent_and_the_mouth_is_shut(said: list[Speech]) -> None:
    """In the middle of a pause there is little sound and no opening; in a wide vowel there is."""
    shut, wide = [], []
    for speech in said:
        levels = loudness(speech.audio)[:, 0] - speech.voice.level_db
        for name, start, end in speech.segments:
            frame = int((start + end) / 2 * 25)
            if end - start > 0.15 and 0 <= frame < 50:
                if name == "_":
                    shut.append((speech.opening[frame], levels[frame]))
                elif name in VOWELS and VOWELS[name].opening > 0.7:
                    wide.append((speech.opening[frame], levels[frame]))
    assert len(shut) > 20
    assert len(wide) > 20
    assert np.max([opening for opening, _ in shut]) < 0.1
    assert np.min([opening for opening, _ in wide]) > 0.5
    assert np.median([level for _, level in wide]) - np.median([level for _, level in shut]) > 15


def test_a_level_meter_is_not_enough() -> None:
    """A linear fit on the spectrum explains most of opening and width; one on loudness far less."""
    r = hearing(seed=3, clips=60)
    assert r["opening, from the spectrum"] > 0.85
    assert r["lip width, from the spectrum"] > 0.8
    assert r["opening, from loudness"] < 0.7
    assert r["opening, from the spectrum"] ** 2 > 1.8 * r["opening, from loudness"] ** 2
    assert abs(r["lip width, from loudness"]) < 0.35


def test_loudness_is_drawn_by_itself(said: list[Speech]) -> None:
    """While there is voice, louder does not mean wider open."""
    opening = np.concatenate([speech.opening for speech in said])
    level = np.concatenate([loudness(speech.audio)[:, 0] - speech.voice.level_db for speech in said])
    open_frames = opening > 0.35
    assert abs(np.corrcoef(opening[open_frames], level[open_frames])[0, 1]) < 0.2


def test_vowels_have_their_formants() -> None:
    """In the middle of long vowels the spectrum's centre below 4 kHz lies higher for spread than for round lips."""
    centres: dict[str, list[float]] = {"i": [], "u": []}
    for index in range(50):
        speech = speak(Streams((9, index)), 50)
        for name, start, end in speech.segments:
            middle = int((start + end) / 2 * RATE)
            if name in centres and end - start > 0.12 and 800 <= middle < len(speech.audio) - 800:
                power = np.abs(np.fft.rfft(speech.audio[middle - 800 : middle + 800] * np.hanning(1600))) ** 2
                hertz = np.fft.rfftfreq(1600, 1 / RATE)
                band = (hertz > 600) & (hertz < 3500)
                centres[name].append(float((power * hertz)[band].sum() / power[band].sum()))
    assert min(map(len, centres.values())) > 6
    assert np.median(centres["i"]) > 1.5 * np.median(centres["u"])
