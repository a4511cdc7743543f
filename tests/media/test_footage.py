"""Strangers' videos: the frames that ffmpeg itself would show, wherever one begins to read."""

from __future__ import annotations

import subprocess
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from media.ffmpeg import ffmpeg_binary
from media.footage import BadFootage, FootageLimits, survey_footage, write_frames
from media.sandbox import Sandbox, SandboxLimits
from schemas.settings import Limits

BRIGHTER = "nullsrc=s=64x64:r=25:d=3,geq=lum='2*N+16':cb=128:cr=128"


def ffmpeg(folder: Path, *words: object) -> bytes:
    command = [ffmpeg_binary(), "-v", "error", "-y", *map(str, words)]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=60).stdout


def frames(path: Path, *, first: int, count: int, width: int = 64, height: int = 64) -> NDArray[np.uint8]:
    out = path.with_suffix(".rgb")
    write_frames(path, out, first=first, count=count, width=width, height=height)
    return np.fromfile(out, np.uint8).reshape(count, height, width, 3)


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mp4", "libx264 -bf 3 -g 30"), ("a.webm", "libvpx -g 30"), ("a.avi", "mpeg4 -g 30")],
)
def test_frames_are_those_of_their_time_from_anywhere(tmp_path: Path, name: str, codec: str) -> None:
    """Reading begins at a key frame and gives the frame that was asked for, in each container."""
    ffmpeg(tmp_path, "-f", "lavfi", "-i", BRIGHTER, "-c:v", *codec.split(), "-pix_fmt", "yuv420p", name)
    assert survey_footage(tmp_path / name).frames == 75
    for first in (0, 1, 31, 66):
        found = frames(tmp_path / name, first=first, count=9).mean((1, 2, 3))
        wanted = 2 * np.arange(first, first + 9) * 255 / 219
        assert np.abs(found - wanted).max() < 3


@pytest.mark.parametrize("degrees", [90, 180])
def test_a_turned_phone_is_turned_back(tmp_path: Path, degrees: int) -> None:
    """To the pixel as ffmpeg turns it."""
    corner = "color=gray:s=160x96:r=25:d=1,drawbox=x=0:y=0:w=60:h=30:color=red:t=fill"
    ffmpeg(tmp_path, "-f", "lavfi", "-i", corner, "-c:v", "libx264", "-pix_fmt", "yuv420p", "plain.mp4")
    ffmpeg(tmp_path, "-i", "plain.mp4", "-c", "copy", "-metadata:s:v:0", f"rotate={degrees}", "turned.mp4")
    with av.open(str(tmp_path / "turned.mp4")) as container:
        if not next(container.decode(video=0)).rotation:
            pytest.skip("this ffmpeg writes no rotation")
    width, height = (96, 160) if degrees % 180 else (160, 96)
    shown = ffmpeg(tmp_path, "-i", "turned.mp4", "-frames:v", 1, "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    found = frames(tmp_path / "turned.mp4", first=5, count=1, width=width, height=height)
    wanted = np.frombuffer(shown, np.uint8).reshape(height, width, 3)
    assert np.abs(found[0].astype(int) - wanted).mean() < 1


def test_a_video_that_lost_its_end_is_unreadable(tmp_path: Path) -> None:
    """Its index promises frames that are not there: a clip out of what is left would be somebody's half."""
    ffmpeg(tmp_path, "-f", "lavfi", "-i", BRIGHTER, "-c:v", "libx264", "-movflags", "+faststart", "whole.mp4")
    data = (tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "half.mp4").write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(BadFootage) as caught:
        survey_footage(tmp_path / "half.mp4")
    assert caught.value.reason == "unreadable"


def test_limits_are_kept(tmp_path: Path) -> None:
    """Too long and too large are reasons of their own; a decoder that needs too much is the file's fault."""
    ffmpeg(tmp_path, "-f", "lavfi", "-i", BRIGHTER, "-c:v", "libx264", "a.mp4")
    for limits, reason in (
        (FootageLimits(seconds=1), "too long"),
        (FootageLimits(pixels=1000), "too large"),
        (FootageLimits(bytes=100), "too large"),
    ):
        with pytest.raises(BadFootage) as caught:
            survey_footage(tmp_path / "a.mp4", limits)
        assert caught.value.reason == reason
    with (
        Sandbox(Limits(), sandbox=SandboxLimits(wall_s=0.0)) as sandbox,
        pytest.raises(BadFootage, match="takes longer"),
    ):
        sandbox.survey_footage(tmp_path / "a.mp4")
