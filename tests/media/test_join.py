"""Joining: every frame and every sample in its place, whole or not at all."""

from __future__ import annotations

import itertools
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from media.ffmpeg import FfmpegFailed, file_url, guarded, run_ffmpeg
from media.join import JoinFacts, ShotTake, join
from media.output_gate import BadOutput, check_video
from media.probe import probe_video
from media.speech import check_speech, envelope, normalise_speech
from schemas.cutting import cut
from schemas.errors import InvalidInput, InvalidMedia
from schemas.problem import Code
from schemas.settings import Limits
from tests.support.media_files import (
    best_lag,
    decode_lumas,
    decode_sound,
    noise,
    paint_flat,
    paint_moving,
    write_clip,
    write_sound,
)

PER_FRAME = 1_920


def take(*clips: Path, leads: tuple[int, ...] = (), speech: Path | None = None) -> ShotTake:
    """One shot of these clips; its length is theirs without the leads."""
    leads = leads or (0,) * len(clips)
    frames = sum(probe_video(clip).frames for clip in clips) - sum(leads)
    return ShotTake(clips=clips, leads=leads, frames=frames, speech=speech)


def joined(takes: list[ShotTake], out: Path, **options: Any) -> JoinFacts:
    usual = {"width": 64, "height": 64, "scratch": out.parent, "timeout_s": 120}
    return join(takes, out, **{**usual, **options})


def test_a_minute_stays_in_step_to_the_last_clip(each_ffmpeg: str, tmp_path: Path) -> None:
    """Sixty seconds, cut as a campaign cuts them: each click is heard in the frame that flashes, to the end."""
    rate, clicks = 44_100, np.random.default_rng(3).choice(np.arange(5, 1_495), 120, replace=False)
    speech = np.zeros(60 * rate - 777, np.float32)
    for frame in clicks:
        start = frame * rate // 25
        speech[start : start + rate // 50] = noise(0.02, rate, level=0.4, seed=int(frame))
    source = write_sound(tmp_path / "speech.wav", speech, rate)
    facts = check_speech(source, Limits())
    frames = -(-facts.samples * 25 // rate)
    normalise_speech(source, tmp_path / "n.wav")
    cuts = cut(frames, tuple(envelope(tmp_path / "n.wav")), max_frames=97)
    flashes = set(clicks.tolist())
    clips = tuple(
        write_clip(
            tmp_path / f"{number}.mp4",
            piece.keep_frames,
            lambda at, start=piece.start_frame: paint_flat(220 if start + at in flashes else 40)(0),
        )
        for number, piece in enumerate(cuts)
    )
    assert len(clips) >= 16
    shot = ShotTake(
        clips=clips,
        leads=(0,) * len(clips),
        frames=frames,
        speech=source,
        speech_samples=facts.samples,
        speech_rate=rate,
    )
    result = joined([shot], tmp_path / "video.mp4")
    assert (result.frames, result.reencoded, result.sound_samples) == (frames, False, frames * PER_FRAME)
    check_video(tmp_path / "video.mp4", frames=frames, width=64, height=64, expect_sound=True)

    seen = decode_lumas(tmp_path / "video.mp4") > 120
    sound = decode_sound(tmp_path / "video.mp4")[:, 0]
    energy = np.square(sound[: frames * PER_FRAME].reshape(frames, PER_FRAME)).mean(axis=1)
    assert set(np.flatnonzero(seen).tolist()) == flashes
    assert set(np.argsort(energy)[-len(flashes) :].tolist()) == flashes
    original = soxr.resample(speech, rate, 48_000)
    for start in (0, len(original) // 2, len(original) - 96_000):
        assert best_lag(sound[start : start + 96_000], original[start : start + 96_000], 200) == 0


@pytest.mark.parametrize(
    ("suffix", "codec", "kind", "rate"),
    [
        ("wav", "", "", 16_000),
        ("flac", "", "", 44_100),
        ("ogg", "", "", 22_050),
        ("mp3", "libmp3lame", "mp3", 44_100),
        ("m4a", "aac", "ipod", 48_000),
    ],
)
def test_what_was_heard_by_the_model_is_heard_in_the_video(
    each_ffmpeg: str, tmp_path: Path, suffix: str, codec: str, kind: str, rate: int
) -> None:
    """The normalised speech and the video's sound have no lag between them, whatever the author's codec delays."""
    source = write_sound(tmp_path / f"s.{suffix}", noise(3.1, rate), rate, codec=codec, kind=kind)
    facts = check_speech(source, Limits())
    normalise_speech(source, tmp_path / "n.wav")
    frames = -(-facts.samples * 25 // facts.sample_rate)
    clip = write_clip(tmp_path / "clip.mp4", frames)
    shot = replace(take(clip, speech=source), speech_samples=facts.samples, speech_rate=facts.sample_rate)
    joined([shot], tmp_path / "video.mp4")
    heard = decode_sound(tmp_path / "video.mp4")[:, 0]
    model, _ = soundfile.read(tmp_path / "n.wav", dtype="float32")
    model48 = soxr.resample(model, 16_000, 48_000)
    low = soxr.resample(soxr.resample(heard, 48_000, 16_000), 16_000, 48_000)
    assert abs(best_lag(low, model48, 300)) <= 1
    assert len(heard) >= frames * PER_FRAME


def test_the_end_of_the_speech_is_not_lost(each_ffmpeg: str, tmp_path: Path) -> None:
    """The last milliseconds of the speech are heard in the last frame."""
    speech = np.zeros(16_000 * 2, np.float32)
    speech[-320:] = noise(0.02, level=0.5)
    clip = write_clip(tmp_path / "c.mp4", 50)
    joined([take(clip, speech=write_sound(tmp_path / "s.wav", speech, 16_000))], tmp_path / "v.mp4")
    heard = decode_sound(tmp_path / "v.mp4")[: 50 * PER_FRAME, 0]
    assert np.sqrt(np.square(heard[-960:]).mean()) > 0.1
    assert np.abs(heard[: 49 * PER_FRAME]).max() < 0.02


def test_shots_begin_to_the_sample(each_ffmpeg: str, tmp_path: Path) -> None:
    """Speech, silence, speech: each shot's sound starts exactly with its first frame."""
    one, two = noise(1.501, 44_100, seed=1), noise(0.999, 24_000, seed=2)
    clips = [write_clip(tmp_path / f"{n}.mp4", n) for n in (38, 25, 26)]
    takes = [
        take(clips[0], speech=write_sound(tmp_path / "1.wav", one, 44_100)),
        take(clips[1]),
        take(clips[2], speech=write_sound(tmp_path / "2.wav", two, 24_000)),
    ]
    facts = joined(takes, tmp_path / "v.mp4")
    assert facts.sound_samples == 89 * PER_FRAME
    heard = decode_sound(tmp_path / "v.mp4")[:, 0]
    assert best_lag(heard[: 38 * PER_FRAME], soxr.resample(one, 44_100, 48_000), 200) == 0
    assert np.abs(heard[39 * PER_FRAME : 62 * PER_FRAME]).max() < 1e-3
    assert best_lag(heard[63 * PER_FRAME :], soxr.resample(two, 24_000, 48_000), 200) == 0


def test_pictures_are_copied_to_the_bit_with_exact_times(each_ffmpeg: str, tmp_path: Path) -> None:
    """Joined without encoding again, every decoded frame equals the clip's, on the 25-fps grid."""
    clips = [write_clip(tmp_path / f"{n}.mp4", n, paint_moving(start=n)) for n in (97, 33, 5)]
    facts = joined([take(*clips[:2]), take(clips[2])], tmp_path / "v.mp4")
    assert not facts.reencoded
    assert np.array_equal(decode_lumas(tmp_path / "v.mp4"), np.concatenate([decode_lumas(clip) for clip in clips]))
    video = probe_video(tmp_path / "v.mp4")
    assert (video.start_s, video.audio_start_s, video.duration_s) == (0, 0, Fraction(135, 25))


def test_a_video_without_speech_has_silence(each_ffmpeg: str, tmp_path: Path) -> None:
    """Both streams, always."""
    joined([take(write_clip(tmp_path / "c.mp4", 30))], tmp_path / "v.mp4")
    check_video(tmp_path / "v.mp4", frames=30, width=64, height=64, expect_sound=False)
    assert np.abs(decode_sound(tmp_path / "v.mp4")).max() == 0


def test_stereo_stays_stereo_and_surround_is_mixed(tmp_path: Path) -> None:
    """Two channels keep their sides, one is heard on both beside them, six become one voice."""
    times = np.arange(48_000) * (2 * np.pi / 48_000)
    left, right = ((0.3 * np.sin(hertz * times)).astype(np.float32) for hertz in (440, 660))
    stereo = write_sound(tmp_path / "2.wav", np.stack([left, right], axis=1), 48_000)
    mono = write_sound(tmp_path / "1.wav", left, 48_000)
    surround = write_sound(tmp_path / "6.wav", np.stack([left] * 6, axis=1), 48_000)
    clip = write_clip(tmp_path / "c.mp4", 25)
    facts = joined([take(clip, speech=path) for path in (stereo, mono, surround)], tmp_path / "v.mp4")
    assert facts.sound_channels == 2
    heard = decode_sound(tmp_path / "v.mp4")
    for shot, (on_left, on_right) in enumerate([(left, right), (left, left), (left, left)]):
        part = heard[shot * 48_000 : (shot + 1) * 48_000]
        assert np.corrcoef(part[:, 0], on_left)[0, 1] > 0.9
        assert np.corrcoef(part[:, 1], on_right)[0, 1] > 0.9
    assert joined([take(clip, speech=mono)], tmp_path / "m.mp4").sound_channels == 1


def test_equal_input_gives_equal_bytes(each_ffmpeg: str, tmp_path: Path) -> None:
    """No date, no tag, no chance."""
    clip = write_clip(tmp_path / "c.mp4", 50)
    takes = [take(clip, speech=write_sound(tmp_path / "s.wav", noise(2.0), 16_000))]
    for name in ("1.mp4", "2.mp4"):
        joined(takes, tmp_path / name, loudness_lufs=-18)
    assert (tmp_path / "1.mp4").read_bytes() == (tmp_path / "2.mp4").read_bytes()


@pytest.mark.parametrize(("seconds", "seed"), [(1.2, 1), (8.0, 2)])
def test_loudness_is_levelled_without_a_shift(each_ffmpeg: str, tmp_path: Path, seconds: float, seed: int) -> None:
    """The integrated loudness is the target's to one unit, and the sound begins where it began."""
    speech = noise(seconds, 48_000, level=0.02, seed=seed) * np.hanning(round(seconds * 48_000)).astype(np.float32)
    clip = write_clip(tmp_path / "c.mp4", round(seconds * 25))
    takes = [take(clip, speech=write_sound(tmp_path / "s.wav", speech, 48_000))]
    facts = joined(takes, tmp_path / "v.mp4", loudness_lufs=-20)
    assert facts.loudness_lufs is not None
    again = joined(takes, tmp_path / "w.mp4")
    assert again.loudness_lufs is None
    heard = decode_sound(tmp_path / "v.mp4")[:, 0]
    assert best_lag(heard, speech, 300) == 0
    assert integrated(tmp_path / "v.mp4", tmp_path) == pytest.approx(-20, abs=1)
    check_video(tmp_path / "v.mp4", frames=round(seconds * 25), width=64, height=64, expect_sound=True)


def integrated(video: Path, folder: Path) -> float:
    """Integrated loudness as a stereo listener hears it, by ffmpeg's own meter."""
    options = [part for key, value in guarded("mp4").items() for part in (f"-{key}", value)]
    meter = "aformat=channel_layouts=mono,pan=stereo|c0=c0|c1=c0,ebur128=framelog=verbose"
    said = run_ffmpeg(
        [*options, "-i", file_url(video), "-vn", "-af", meter, "-f", "null", "-"], timeout_s=60, loglevel="info"
    )
    return float(said.rsplit("I:", 1)[1].split("LUFS")[0])


def test_silence_is_not_levelled(tmp_path: Path) -> None:
    """What has no loudness is left as it is."""
    facts = joined([take(write_clip(tmp_path / "c.mp4", 30))], tmp_path / "v.mp4", loudness_lufs=-16)
    assert facts.loudness_lufs is None


@pytest.mark.parametrize("blend", [None, 8, 3, 0])
def test_a_crossfade_overlaps_and_adds_nothing(each_ffmpeg: str, tmp_path: Path, blend: int | None) -> None:
    """The lead is blended over what was shown before; length and everything outside the lead stay."""
    first = write_clip(tmp_path / "1.mp4", 40, paint_flat(40))
    second = write_clip(tmp_path / "2.mp4", 30 + 8, paint_flat(200))
    facts = joined([take(first, second, leads=(0, 8))], tmp_path / "v.mp4", crossfade_frames=blend)
    assert (facts.reencoded, facts.reason, facts.frames) == (True, "crossfade", 70)
    lumas = decode_lumas(tmp_path / "v.mp4")
    width = 8 if blend is None else blend
    assert len(lumas) == 70
    assert np.ptp(lumas[: 40 - width]) < 3
    assert np.ptp(lumas[40:]) < 3
    assert (np.diff(lumas[40 - width - 1 : 41]) > 5).all()


def test_the_flash_stays_in_its_frame_through_a_crossfade(tmp_path: Path) -> None:
    """Three clips with leads, one flash in each outside the blends: the frame numbers add up."""
    cuts = cut(200, (), max_frames=97, crossfade_frames=6)
    flashes = {piece.start_frame + piece.keep_frames // 2 for piece in cuts}
    clips = [
        write_clip(
            tmp_path / f"{number}.mp4",
            piece.lead_frames + piece.keep_frames,
            lambda at, first=piece.start_frame - piece.lead_frames: paint_flat(220 if first + at in flashes else 40)(0),
        )
        for number, piece in enumerate(cuts)
    ]
    shot = take(*clips, leads=tuple(piece.lead_frames for piece in cuts))
    assert shot.frames == 200
    joined([shot], tmp_path / "v.mp4")
    assert set(np.flatnonzero(decode_lumas(tmp_path / "v.mp4") > 120).tolist()) == flashes


def test_clips_that_differ_are_encoded_again_and_the_reason_is_said(tmp_path: Path) -> None:
    """Another size, or other parameters of the codec, cost a second encoding but no frame."""
    plain = write_clip(tmp_path / "plain.mp4", 30)
    large = write_clip(tmp_path / "large.mp4", 20, paint_moving(128, 96))
    facts = joined([take(plain), take(large)], tmp_path / "1.mp4")
    assert facts.reencoded
    assert "large.mp4 is 128x96, the video 64x64" in facts.reason
    other = tmp_path / "other.mp4"
    options = [part for key, value in guarded("mp4").items() for part in (f"-{key}", value)]
    run_ffmpeg(
        [*options, "-i", file_url(plain), "-c:v", "libx264", "-bf", "0", "-refs", "5", "-f", "mp4", file_url(other)],
        timeout_s=60,
    )
    facts = joined([take(plain), take(other)], tmp_path / "2.mp4")
    assert "other parameters" in facts.reason
    check_video(tmp_path / "2.mp4", frames=60, width=64, height=64, expect_sound=False)


def test_missing_short_and_foreign_clips_are_named_together(tmp_path: Path) -> None:
    """A partial video is never made: every fault is listed and nothing is written."""
    good = write_clip(tmp_path / "good.mp4", 30)
    slow = write_clip(tmp_path / "slow.mp4", 30, fps=24)
    takes = [
        ShotTake(clips=(good, tmp_path / "none.mp4"), leads=(0, 0), frames=60),
        ShotTake(clips=(slow,), leads=(0,), frames=30),
    ]
    with pytest.raises(BadOutput, match=r"shot 1: none\.mp4: no such file; shot 2: slow\.mp4 has 24") as refused:
        joined(takes, tmp_path / "v.mp4")
    assert refused.value.fix
    with pytest.raises(BadOutput, match="its clips show 30 frames, expected 31"):
        joined([ShotTake(clips=(good,), leads=(0,), frames=31)], tmp_path / "v.mp4")
    with pytest.raises(InvalidInput, match="nothing to join"):
        joined([], tmp_path / "v.mp4")
    with pytest.raises(InvalidInput, match="one lead for each clip"):
        joined([ShotTake(clips=(good,), leads=(3,), frames=27)], tmp_path / "v.mp4")
    assert not (tmp_path / "v.mp4").exists()


def test_another_speech_than_the_checked_one_is_refused(tmp_path: Path) -> None:
    """A file that was replaced after the check would speak over lips that say something else."""
    speech = write_sound(tmp_path / "s.wav", noise(1.0), 16_000)
    shot = replace(take(write_clip(tmp_path / "c.mp4", 50), speech=speech), speech_samples=32_000, speech_rate=16_000)
    with pytest.raises(InvalidMedia) as refused:
        joined([shot], tmp_path / "v.mp4")
    assert refused.value.code is Code.AUDIO_LENGTH_MISMATCH


def test_a_join_that_fails_leaves_nothing_and_keeps_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The earlier file stays, the scratch folder is empty, and the time limit holds."""
    clip = write_clip(tmp_path / "c.mp4", 30)
    scratch, out = tmp_path / "scratch", tmp_path / "out"
    scratch.mkdir()
    out.mkdir()
    (out / "v.mp4").write_bytes(b"before")
    broken = tmp_path / "ffmpeg"
    broken.write_text("#!/bin/sh\nsleep 600\n")
    broken.chmod(0o755)
    monkeypatch.setenv("CALLSHEET_FFMPEG", str(broken))
    with pytest.raises(FfmpegFailed, match="did not end"):
        joined([take(clip)], out / "v.mp4", scratch=scratch, timeout_s=0.5)
    assert list(scratch.iterdir()) == []
    assert [(path.name, path.read_bytes()) for path in out.iterdir()] == [("v.mp4", b"before")]


def test_names_of_clips_are_never_parsed(tmp_path: Path) -> None:
    """Quotes, spaces, newlines and directives in a clip's name are only a name."""
    folder = tmp_path / "it's a\nfile other.mp4 %03d"
    folder.mkdir()
    clip = write_clip(folder / "cl'ip one.mp4", 30)
    assert joined([take(clip)], folder / "vid eo's.mp4").frames == 30


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lengths=st.lists(st.lists(st.integers(1, 40), min_size=1, max_size=4), min_size=1, max_size=4))
def test_any_list_of_shots_adds_up(tmp_path: Path, lengths: list[list[int]]) -> None:
    """Frames and samples of the result are the sums, for clips of any lengths."""
    clips = {n: write_clip(tmp_path / f"{n}.mp4", n) for n in set(itertools.chain(*lengths))}
    facts = joined([take(*(clips[n] for n in shot)) for shot in lengths], tmp_path / "v.mp4")
    total = sum(map(sum, lengths))
    assert (facts.frames, facts.sound_samples) == (total, total * PER_FRAME)
    check_video(tmp_path / "v.mp4", frames=total, width=64, height=64, expect_sound=False)
