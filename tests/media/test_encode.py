"""The clip encoder: the right frames, bounded waits, and a clip that is whole or not there."""

from __future__ import annotations

import contextlib
import os
import signal
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import psutil
import pytest

from media.encode import ClipEncoder
from media.ffmpeg import FfmpegFailed
from media.probe import UnreadableVideo, probe_video
from schemas.errors import InvalidInput
from tests.support.media_files import decode_lumas, paint_flat, paint_moving, write_clip


def encoder(path: Path, *, timeout_s: float = 30) -> ClipEncoder:
    return ClipEncoder(path, width=64, height=64, fps=25, timeout_s=timeout_s)


FRAME = np.ascontiguousarray(paint_moving()(0)).data


def write_many(clip: ClipEncoder) -> None:
    """More frames than any pipe holds."""
    for _ in range(1_000):
        clip.write(FRAME)


def test_a_clip_holds_the_frames_that_were_written(each_ffmpeg: str, tmp_path: Path) -> None:
    """Count, size, rate, codec and start are exact, and there is no sound."""
    facts = probe_video(write_clip(tmp_path / "clip.mp4", 29, paint_moving(96, 48)))
    assert (facts.frames, facts.width, facts.height, facts.fps) == (29, 96, 48, 25)
    assert (facts.codec, facts.pix_fmt, facts.has_audio) == ("h264", "yuv420p", False)
    assert (facts.start_s, facts.duration_s) == (0, Fraction(29, 25))


def test_frames_come_back_in_order(each_ffmpeg: str, tmp_path: Path) -> None:
    """A staircase of grey stays one."""
    path = write_clip(tmp_path / "clip.mp4", 40, lambda number: paint_flat(20 + 5 * number)(0))
    steps = np.diff(decode_lumas(path))
    assert (steps > 2).all()


@pytest.mark.parametrize("colour", [(200, 40, 90), (20, 180, 30), (10, 30, 220), (255, 255, 255)])
def test_colours_survive(each_ffmpeg: str, tmp_path: Path, colour: tuple[int, int, int]) -> None:
    """What is tagged bt709 was converted as bt709."""
    path = write_clip(tmp_path / "clip.mp4", 3, lambda _: np.full((64, 64, 3), colour, np.uint8))
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        seen = frame.reformat(format="rgb24", src_colorspace="ITU709").to_ndarray()[32, 32]
    assert np.abs(seen.astype(int) - colour).max() <= 4


def test_equal_frames_give_equal_bytes(each_ffmpeg: str, tmp_path: Path) -> None:
    """No date, no chance."""
    first = write_clip(tmp_path / "1.mp4", 30).read_bytes()
    assert write_clip(tmp_path / "2.mp4", 30).read_bytes() == first


def test_clips_of_one_size_have_the_same_parameters(each_ffmpeg: str, tmp_path: Path) -> None:
    """Length and content do not change what a joiner compares."""
    short = probe_video(write_clip(tmp_path / "1.mp4", 5))
    long = probe_video(write_clip(tmp_path / "2.mp4", 97, paint_flat(90)))
    assert short.parameters == long.parameters != b""


def test_a_clip_appears_only_when_it_is_finished(tmp_path: Path) -> None:
    """Before `finish` there is nothing at its path, and afterwards nothing else."""
    path = tmp_path / "clip.mp4"
    with encoder(path) as clip:
        clip.write(FRAME)
        assert not path.exists()
        clip.finish()
    assert [entry.name for entry in tmp_path.iterdir()] == ["clip.mp4"]
    assert clip.frames == 1


def test_leaving_without_finish_leaves_nothing(tmp_path: Path) -> None:
    """An engine that raises leaves neither a file nor a process."""
    clip = encoder(tmp_path / "clip.mp4")
    with contextlib.suppress(RuntimeError), clip:
        clip.write(FRAME)
        raise RuntimeError("the engine failed")
    assert list(tmp_path.iterdir()) == []
    assert not psutil.pid_exists(clip.pid)


def test_a_killed_encoder_is_noticed_and_leaves_nothing(tmp_path: Path) -> None:
    """The next frames fail with the signal's name instead of vanishing."""
    with encoder(tmp_path / "clip.mp4") as clip:
        clip.write(FRAME)
        os.killpg(clip.pid, signal.SIGKILL)
        with pytest.raises(FfmpegFailed, match="killed by signal 9"):
            write_many(clip)
    assert list(tmp_path.iterdir()) == []


def test_an_encoder_killed_before_finish_is_noticed(tmp_path: Path) -> None:
    """A clip whose last frames were lost never appears."""
    with encoder(tmp_path / "clip.mp4") as clip:
        clip.write(FRAME)
        os.killpg(clip.pid, signal.SIGKILL)
        with pytest.raises(FfmpegFailed, match="killed by signal 9"):
            clip.finish()
    assert list(tmp_path.iterdir()) == []


def test_a_stopped_encoder_ends_at_the_deadline(tmp_path: Path) -> None:
    """Neither a write nor the end waits for ever."""
    with encoder(tmp_path / "clip.mp4", timeout_s=0.3) as clip:
        os.killpg(clip.pid, signal.SIGSTOP)
        with pytest.raises(FfmpegFailed, match="took no frame"):
            write_many(clip)
    with encoder(tmp_path / "clip.mp4", timeout_s=0.3) as clip:
        clip.write(FRAME)
        os.killpg(clip.pid, signal.SIGSTOP)
        with pytest.raises(FfmpegFailed, match="did not end"):
            clip.finish()
    assert list(tmp_path.iterdir()) == []
    assert not psutil.pid_exists(clip.pid)


def test_wrong_sizes_are_refused(tmp_path: Path) -> None:
    """Odd sides, unknown formats, and anything but whole frames."""
    with pytest.raises(InvalidInput, match="even"):
        ClipEncoder(tmp_path / "clip.mp4", width=63, height=64, fps=25, timeout_s=5)
    with pytest.raises(InvalidInput, match="rgb24"):
        ClipEncoder(tmp_path / "clip.mp4", width=64, height=64, fps=25, timeout_s=5, pixels="bgr0")
    with encoder(tmp_path / "clip.mp4") as clip, pytest.raises(InvalidInput, match="12288"):
        clip.write(FRAME.tobytes()[:-1])
    with encoder(tmp_path / "clip.mp4") as clip, pytest.raises(FfmpegFailed, match="no frame"):
        clip.finish()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_a_failure(tmp_path: Path) -> None:
    """The error holds ffmpeg's own words."""
    with encoder(tmp_path / "none" / "clip.mp4") as clip, pytest.raises(FfmpegFailed, match="No such file"):
        write_many(clip)


@pytest.mark.parametrize("data", [b"", b"nonsense", b"\0\0\0\x18ftypisom" + bytes(300)])
def test_probing_what_is_no_video_says_so(tmp_path: Path, data: bytes) -> None:
    """Neither garbage nor a missing file is anything but UnreadableVideo."""
    (tmp_path / "a.mp4").write_bytes(data)
    with pytest.raises(UnreadableVideo, match=r"a\.mp4"):
        probe_video(tmp_path / "a.mp4")
    with pytest.raises(UnreadableVideo, match="no such file"):
        probe_video(tmp_path / "none.mp4")
