"""Speech: what is accepted, counted, heard and handed to the engines."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from media.loudness import SILENCE_DB
from media.speech import check_speech, envelope, normalise_speech
from schemas.errors import InvalidMedia
from schemas.problem import Code
from schemas.settings import Limits
from tests.support.media_files import best_lag, noise, wav_bytes, write_sound

LIMITS = Limits()

KINDS = {
    "wav": ("", "", "audio/wav"),
    "flac": ("", "", "audio/flac"),
    "ogg": ("", "", "audio/ogg"),
    "mp3": ("libmp3lame", "mp3", "audio/mpeg"),
    "m4a": ("aac", "ipod", "audio/mp4"),
    "aac": ("aac", "adts", "audio/aac"),
    "opus.ogg": ("libopus", "ogg", "audio/ogg"),
}
EXACT = {"wav", "flac", "ogg", "mp3"}
"""What these hold is known to the sample; the others pad to whole codec frames."""


def code_of(path: Path, limits: Limits = LIMITS) -> Code:
    with pytest.raises(InvalidMedia) as refused:
        check_speech(path, limits)
    assert refused.value.fix
    return refused.value.code


@pytest.mark.parametrize("suffix", KINDS)
@pytest.mark.parametrize("channels", [1, 2])
def test_each_type_is_decoded_and_counted(tmp_path: Path, suffix: str, channels: int) -> None:
    """Type, rate, channels and decoded length are right; lossless files count to the sample."""
    codec, container, media_type = KINDS[suffix]
    samples = noise(1.5, 48_000)
    shaped = samples if channels == 1 else np.stack([samples, samples], axis=1)
    path = write_sound(tmp_path / f"speech.{suffix}", shaped, 48_000, codec=codec, kind=container)
    facts = check_speech(path, LIMITS)
    assert (facts.media_type, facts.sample_rate, facts.channels) == (media_type, 48_000, channels)
    assert abs(facts.samples - 72_000) <= (0 if suffix in EXACT else 3 * 1024)
    assert len(facts.envelope) == -(-facts.samples * 25 // 48_000)
    assert facts.envelope[10] == pytest.approx(-14, abs=4)


@pytest.mark.parametrize("suffix", KINDS)
@pytest.mark.parametrize("rate", [44_100, 24_000])
def test_normalised_speech_has_its_exact_length_and_the_same_bytes_each_time(
    tmp_path: Path, suffix: str, rate: int
) -> None:
    """Mono, 16 kHz, 16 bit, round(samples x 16000 / rate) long, deterministic."""
    if suffix == "opus.ogg" and rate == 44_100:
        rate = 48_000
    codec, container, _ = KINDS[suffix]
    path = write_sound(tmp_path / f"s.{suffix}", noise(1.237, rate), rate, codec=codec, kind=container)
    facts = check_speech(path, LIMITS)
    first, second = tmp_path / "1.wav", tmp_path / "2.wav"
    length = normalise_speech(path, first)
    normalise_speech(path, second)
    info = soundfile.info(first)
    assert (info.channels, info.samplerate, info.subtype) == (1, 16_000, "PCM_16")
    assert info.frames == length == round(facts.samples * 16_000 / facts.sample_rate)
    assert hashlib.sha256(first.read_bytes()).digest() == hashlib.sha256(second.read_bytes()).digest()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rate=st.sampled_from([8_000, 11_025, 12_345, 16_000, 22_050, 96_000, 192_000]), extra=st.integers(0, 700))
def test_the_length_is_rounded_at_any_rate(tmp_path: Path, rate: int, extra: int) -> None:
    """No sample is lost or invented by resampling."""
    samples = noise(0.5, rate)
    path = write_sound(tmp_path / "s.wav", np.concatenate([samples, samples[:extra]]), rate)
    wanted = (2 * (len(samples) + min(extra, len(samples))) * 16_000 + rate) // (2 * rate)
    assert normalise_speech(path, tmp_path / "n.wav") == wanted
    assert soundfile.info(tmp_path / "n.wav").frames == wanted


def test_normalising_shifts_nothing(tmp_path: Path) -> None:
    """A click stays at its time after resampling."""
    samples = np.zeros(48_000, np.float32)
    samples[24_000] = 0.9
    normalise_speech(write_sound(tmp_path / "s.wav", samples, 48_000), tmp_path / "n.wav")
    heard, _ = soundfile.read(tmp_path / "n.wav")
    assert int(np.abs(heard).argmax()) == 8_000


def test_sound_that_is_normal_already_is_kept_to_the_bit(tmp_path: Path) -> None:
    """Mono 16 kHz 16-bit WAV in, the same samples out."""
    path = write_sound(tmp_path / "s.wav", noise(1.0), 16_000)
    normalise_speech(path, tmp_path / "n.wav")
    before, _ = soundfile.read(path, dtype="int16")
    after, _ = soundfile.read(tmp_path / "n.wav", dtype="int16")
    assert np.array_equal(before, after)


def test_sound_beyond_full_scale_is_scaled_and_not_clipped(tmp_path: Path) -> None:
    """A float WAV with a peak of 2 keeps its shape."""
    samples = np.sin(np.arange(16_000) * 0.05).astype(np.float32) * 2
    soundfile.write(tmp_path / "s.wav", samples, 16_000, subtype="FLOAT")
    normalise_speech(tmp_path / "s.wav", tmp_path / "n.wav")
    heard, _ = soundfile.read(tmp_path / "n.wav")
    assert np.abs(heard - samples / np.abs(samples).max()).max() < 1e-3


def test_the_envelope_follows_the_loudness_frame_by_frame(tmp_path: Path) -> None:
    """One value per 640 samples: the tone's RMS where it sounds, the floor where it does not."""
    samples = np.zeros(16_000 + 100, np.float32)
    samples[6_400:9_600] = np.sin(np.arange(3_200) * 2 * np.pi / 32) * 0.5
    path = write_sound(tmp_path / "s.wav", samples, 16_000)
    levels = envelope(path)
    assert len(levels) == 26
    assert levels[10:15] == pytest.approx([20 * np.log10(0.5 / np.sqrt(2))] * 5, abs=0.05)
    assert (levels[:10] == SILENCE_DB).all()
    assert check_speech(path, LIMITS).envelope == tuple(levels)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"])
def test_every_plain_wav_is_read_alike(tmp_path: Path, subtype: str) -> None:
    """The sample format does not change what is heard."""
    samples = noise(0.6)
    soundfile.write(tmp_path / "s.wav", samples, 16_000, subtype=subtype)
    facts = check_speech(tmp_path / "s.wav", LIMITS)
    assert facts.samples == len(samples)
    normalise_speech(tmp_path / "s.wav", tmp_path / "n.wav")
    heard, _ = soundfile.read(tmp_path / "n.wav")
    assert best_lag(heard, samples, 20) == 0
    assert np.abs(heard - samples).max() < 0.05


def test_limits_have_their_codes(tmp_path: Path) -> None:
    """Too short, too long, too slow, too fast, too many channels, silent: each has its own code."""
    sound = write_sound(tmp_path / "s.wav", noise(1.0), 16_000)
    assert code_of(write_sound(tmp_path / "a.wav", noise(0.19), 16_000)) is Code.AUDIO_TOO_SHORT
    assert code_of(sound, Limits(audio_max_s=0.9)) is Code.AUDIO_TOO_LONG
    assert code_of(sound, Limits(audio_bytes=1_000)) is Code.REFERENCE_TOO_LARGE
    assert code_of(write_sound(tmp_path / "b.wav", noise(1.0, 7_999), 7_999)) is Code.AUDIO_RATE
    assert code_of(write_sound(tmp_path / "c.wav", noise(0.5, 192_001), 192_001)) is Code.AUDIO_RATE
    nine = np.stack([noise(0.5)] * 9, axis=1)
    assert code_of(write_sound(tmp_path / "d.wav", nine, 16_000)) is Code.AUDIO_CHANNELS
    assert code_of(write_sound(tmp_path / "e.wav", np.zeros(16_000, np.float32), 16_000)) is Code.AUDIO_SILENT
    assert code_of(write_sound(tmp_path / "f.flac", noise(1.0, level=1e-4), 16_000)) is Code.AUDIO_SILENT


def test_a_short_word_in_a_long_silence_is_not_silent(tmp_path: Path) -> None:
    """The loudest 100 ms count, not the average."""
    samples = np.zeros(16_000 * 30, np.float32)
    samples[200_000:202_000] = noise(0.125, level=0.05)
    assert check_speech(write_sound(tmp_path / "s.flac", samples, 16_000), LIMITS).samples == 480_000


def test_channels_that_cancel_each_other_are_silent(tmp_path: Path) -> None:
    """What the model hears is the channels' mean."""
    samples = noise(1.0)
    path = write_sound(tmp_path / "s.wav", np.stack([samples, -samples], axis=1), 16_000)
    assert code_of(path) is Code.AUDIO_SILENT


def test_a_long_file_is_given_up_at_the_limit_and_not_at_its_end(tmp_path: Path) -> None:
    """Ten hours of zeros in a small FLAC cost no more than the ten minutes that are allowed."""
    with soundfile.SoundFile(tmp_path / "s.flac", "w", 8_000, 1) as file:
        for _ in range(120):
            file.write(np.zeros(8_000 * 10, np.float32))
    assert code_of(tmp_path / "s.flac", Limits(audio_max_s=5)) is Code.AUDIO_TOO_LONG


def test_a_normalised_file_is_asked_for(tmp_path: Path) -> None:
    """The envelope of anything else is refused."""
    for data in (b"no wav", wav_bytes(8_000, rate=8_000)):
        (tmp_path / "s.wav").write_bytes(data)
        with pytest.raises(InvalidMedia, match="mono 16 kHz"):
            envelope(tmp_path / "s.wav")
