"""The output gate: what is black, flat, frozen, short, cut off or out of step is not published."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from media.join import ShotTake, join
from media.output_gate import BadOutput, check_clip, check_video
from schemas.errors import Permanent
from tests.support.media_files import Painter, noise, paint_flat, paint_moving, write_clip, write_sound


def gate(path: Path, frames: int = 33, *, frozen_allowed: bool = False, size: int = 64, fps: int = 25) -> object:
    return check_clip(path, frames=frames, width=size, height=size, fps=fps, frozen_allowed=frozen_allowed)


def paint_noise(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 255, (64, 64, 3), dtype=np.uint8)


def paint_mouth(number: int) -> np.ndarray:
    """A still picture in which one small patch opens and closes."""
    frame = np.tile(np.linspace(40, 200, 64, dtype=np.uint8)[:, None, None], (1, 64, 3))
    frame[44 : 46 + number % 5, 28:36] = (120, 30, 40)
    return frame


def paint_night(number: int) -> np.ndarray:
    """Very dark, with one small light that moves."""
    frame = np.full((64, 64, 3), 4, np.uint8)
    frame[20:36, number % 40 : number % 40 + 16] = 90
    return frame


def paint_slide(_: int) -> np.ndarray:
    """A picture that never changes."""
    return paint_mouth(0)


@pytest.mark.parametrize("paint", [paint_moving(), paint_mouth, paint_night, paint_noise])
def test_a_living_picture_passes(tmp_path: Path, paint: Painter) -> None:
    """A moving square, a speaking mouth, a night scene: all may be published."""
    facts = check_clip(
        write_clip(tmp_path / "clip.mp4", 33, paint), frames=33, width=64, height=64, fps=25, frozen_allowed=False
    )
    assert facts.motion > 0
    assert 16 <= facts.luma_mean <= 235


@pytest.mark.parametrize(
    ("paint", "why"),
    [
        (paint_flat(0), "are black"),
        (paint_flat(3), "are black"),
        (paint_flat(128), "one flat colour"),
        (paint_flat(255), "one flat colour"),
        (paint_slide, "stands still"),
        (lambda number: paint_moving()(number) if number < 24 else paint_flat(0)(0), "are black"),
        (lambda number: paint_moving()(number) if number < 24 else paint_flat(127)(0), "one flat colour"),
    ],
    ids=["black", "nearly-black", "grey", "white", "frozen", "goes-black", "goes-grey"],
)
def test_what_a_sick_model_renders_is_refused(tmp_path: Path, paint: Painter, why: str) -> None:
    """Black, flat and frozen clips are named as such, even when only a part of the clip is."""
    with pytest.raises(BadOutput, match=why) as refused:
        gate(write_clip(tmp_path / "clip.mp4", 33, paint))
    assert isinstance(refused.value, Permanent)
    assert refused.value.fix


def test_an_engine_may_be_allowed_to_stand_still(tmp_path: Path) -> None:
    """Frozen is no fault where it is meant; one frame alone cannot be frozen."""
    gate(write_clip(tmp_path / "slide.mp4", 33, paint_slide), frozen_allowed=True)
    gate(write_clip(tmp_path / "one.mp4", 1, paint_slide), 1)


def test_header_faults_are_listed_together(tmp_path: Path) -> None:
    """Length, size and rate are compared before anything is decoded."""
    path = write_clip(tmp_path / "clip.mp4", 33)
    with pytest.raises(BadOutput, match="frames 33, expected 34; width 64, expected 32; height 64, expected 32"):
        gate(path, 34, size=32)
    with pytest.raises(BadOutput, match="frames per second 25, expected 24"):
        gate(path, fps=24)


def test_damaged_clips_are_refused(tmp_path: Path) -> None:
    """Truncated, overwritten inside, empty or missing: always BadOutput."""
    data = write_clip(tmp_path / "clip.mp4", 33, paint_noise).read_bytes()
    middle = len(data) // 2
    for broken in (data[:-100], data[:middle], b"", data[:middle] + bytes(4_000) + data[middle + 4_000 :]):
        (tmp_path / "broken.mp4").write_bytes(broken)
        with pytest.raises(BadOutput):
            gate(tmp_path / "broken.mp4")
    with pytest.raises(BadOutput, match="no such file"):
        gate(tmp_path / "none.mp4")


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Two seconds, with speech."""
    clip = write_clip(tmp_path / "clip.mp4", 50)
    take = ShotTake(clips=(clip,), leads=(0,), frames=50, speech=write_sound(tmp_path / "s.wav", noise(2.0), 16_000))
    join([take], tmp_path / "video.mp4", width=64, height=64, scratch=tmp_path, timeout_s=60)
    return tmp_path / "video.mp4"


def gate_video(path: Path, *, frames: int = 50, expect_sound: bool = True) -> object:
    return check_video(path, frames=frames, width=64, height=64, expect_sound=expect_sound)


def test_a_joined_video_passes(video: Path) -> None:
    """Picture and sound are there, equally long, index in front."""
    gate_video(video)
    gate_video(video, expect_sound=False)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["-c", "copy", "-an"], "no sound stream"),
        (["-c", "copy"], "cannot be streamed"),
        (["-c:v", "copy", "-af", "volume=0", "-c:a", "aac", "-movflags", "+faststart"], "silent"),
        (["-c:v", "copy", "-af", "atrim=end=1.9", "-c:a", "aac", "-movflags", "+faststart"], "of sound"),
        (["-c:v", "copy", "-ar", "44100", "-c:a", "aac", "-movflags", "+faststart"], "44100 Hz"),
        (["-c:v", "copy", "-c:a", "libmp3lame", "-movflags", "+faststart"], "expected aac"),
        (["-vf", "scale=32:32", "-c:a", "copy", "-movflags", "+faststart"], "width 32"),
        (["-c", "copy", "-frames:v", "40", "-movflags", "+faststart"], "frames 40"),
    ],
)
def test_a_video_with_a_fault_is_refused(
    each_ffmpeg: str, video: Path, tmp_path: Path, arguments: list[str], why: str
) -> None:
    """Each fault that a join could have is named."""
    bad = tmp_path / "bad.mp4"
    subprocess.run(
        [each_ffmpeg, "-nostdin", "-loglevel", "error", "-y", "-i", video, *arguments, bad], check=True, timeout=60
    )
    with pytest.raises(BadOutput, match=why):
        gate_video(bad)


def test_a_truncated_video_is_refused(video: Path) -> None:
    """Index in front, data missing behind."""
    data = video.read_bytes()
    video.write_bytes(data[: len(data) * 3 // 4])
    with pytest.raises(BadOutput):
        gate_video(video)


def test_sound_that_begins_late_is_refused(each_ffmpeg: str, video: Path, tmp_path: Path) -> None:
    """A shift of the whole sound is seen although its length is right."""
    late = tmp_path / "late.mp4"
    shifted = ["-itsoffset", "0.2", "-i", video, "-map", "0:v", "-map", "1:a", "-c", "copy"]
    subprocess.run(
        [each_ffmpeg, "-nostdin", "-loglevel", "error", "-y", "-i", video, *shifted, "-movflags", "+faststart", late],
        check=True,
        timeout=60,
    )
    with pytest.raises(BadOutput, match="from the start"):
        gate_video(late)
