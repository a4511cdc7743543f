"""Joining a video, against one ffmpeg command that copies the same pictures and encodes the same sound."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from bench.bench import Bench
from bench.figure import Figure, Size, at_most
from bench.pairs import Sample, alternate, timed
from media.encode import ClipEncoder
from media.ffmpeg import ffmpeg_binary
from media.join import ShotTake, join
from schemas.model_spec import FPS

CLIP_FRAMES = 97
RATE = 44_100


@dataclass(frozen=True, kw_only=True)
class Video:
    """`clips` clips of 3.88 s under one speech."""

    clips: int
    width: int
    height: int

    @property
    def name(self) -> str:
        return f"{self.clips * CLIP_FRAMES / FPS:.0f}s_{self.width}x{self.height}"


VIDEOS = {
    Size.FULL: ((Video(clips=1, width=832, height=480), 9), (Video(clips=8, width=832, height=480), 7)),
    Size.QUICK: ((Video(clips=1, width=832, height=480), 5),),
    Size.TINY: ((Video(clips=1, width=64, height=64), 1),),
}


def run(bench: Bench) -> Iterator[Figure]:
    for video, pairs in VIDEOS[bench.size]:
        yield _measure(bench.folder / f"join-{video.name}", video, pairs)


def _measure(folder: Path, video: Video, pairs: int) -> Figure:
    folder.mkdir()
    take = _make_take(folder, video)
    name = f"join.{video.name}"
    found = alternate(name, lambda _: _join(take, video, folder), lambda _: _copy(take, folder), pairs=pairs)
    return Figure(
        name=name,
        value=found.slowdown,
        unit="times the wall time of one ffmpeg command",
        target=at_most(1.3),
        meaning="media.join.join; bare: ffmpeg -c:v copy -c:a aac over the same clips and speech",
        parts={"ours_s": found.ours_s, "bare_s": found.bare_s, "cpu_ratio": found.cpu_slowdown},
    )


def _make_take(folder: Path, video: Video) -> ShotTake:
    clips = tuple(_make_clip(folder / f"clip-{number}.mp4", video, number) for number in range(video.clips))
    frames = CLIP_FRAMES * video.clips
    samples = frames * RATE // FPS
    speech = folder / "speech.wav"
    sound = np.random.default_rng(2).normal(0, 0.05, samples)
    soundfile.write(speech, sound.astype(np.float32), RATE, subtype="PCM_16")
    return ShotTake(
        clips=clips, leads=(0,) * len(clips), frames=frames, speech=speech, speech_samples=samples, speech_rate=RATE
    )


def _make_clip(path: Path, video: Video, number: int) -> Path:
    across = np.arange(video.width)[None, :] + np.arange(video.height)[:, None]
    with ClipEncoder(path, width=video.width, height=video.height, fps=FPS, timeout_s=120) as encoder:
        for index in range(CLIP_FRAMES):
            wave = ((across + number * CLIP_FRAMES + index) * 3 % 256).astype(np.uint8)
            encoder.write(np.repeat(wave[..., None], 3, axis=2).tobytes())
        encoder.finish()
    return path


def _join(take: ShotTake, video: Video, folder: Path) -> Sample:
    with timed() as sample:
        join([take], folder / "ours.mp4", width=video.width, height=video.height, scratch=folder, timeout_s=120)
    return sample


def _copy(take: ShotTake, folder: Path) -> Sample:
    listing = folder / "clips.ffconcat"
    listing.write_text("ffconcat version 1.0\n" + "".join(f"file {clip.name}\n" for clip in take.clips))
    command = [ffmpeg_binary(), "-nostdin", "-loglevel", "error", "-y", "-f", "concat", "-i", str(listing)]
    command += ["-i", str(take.speech), "-map", "0:v", "-map", "1:a", "-c:v", "copy", "-c:a", "aac", "-b:a", "128k"]
    command += ["-ar", "48000", "-ac", "1", "-movflags", "+faststart", str(folder / "bare.mp4")]
    with timed() as sample:
        subprocess.run(command, check=True)
    return sample
