"""What stands for pictures: a clip is lines of frames, a video says which clips it was made of."""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

from flows.stages.join import FilmTools
from media.join import JoinFacts, ShotTake
from media.output_gate import BadOutput, ClipFacts
from schemas.digest import sha256_hex


def frame(render_key: str, take: str, number: int) -> bytes:
    """Two takes of one clip differ, as two renders on different devices may."""
    return f"{render_key} {take} {number}\n".encode()


class LineEncoder:
    """As `media.encode.ClipEncoder`: the file appears whole at `finish`, or never."""

    def __init__(self, path: Path, *, width: int, height: int, fps: int, timeout_s: float) -> None:
        self._path = path
        self._frames: list[bytes] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._frames.clear()

    def write(self, frame: memoryview) -> None:
        self._frames.append(bytes(frame))

    def finish(self) -> None:
        self._path.write_bytes(b"".join(self._frames))


def check_clip(path: Path, *, frames: int, width: int, height: int, fps: int, frozen_allowed: bool) -> ClipFacts:
    found = path.read_bytes().count(b"\n")
    if found != frames:
        raise BadOutput(f"{path.name} has {found} frames, expected {frames}")
    return ClipFacts(luma_mean=100.0, motion=1.0)


def join(takes: Sequence[ShotTake], video: Path, **_: object) -> JoinFacts:
    clips = [path.read_bytes() for take in takes for path in take.clips]
    frames = sum(clip.count(b"\n") for clip in clips)
    video.write_text(json.dumps({"clips": [sha256_hex(clip) for clip in clips], "frames": frames, "at": str(video)}))
    return JoinFacts(
        frames=frames, duration_s=float(Fraction(frames, 25)), sound_samples=0, sound_channels=1, reencoded=False
    )


def clips_of(video: bytes) -> list[str]:
    """SHA-256 of the clips that a video was made of, in order."""
    clips: list[str] = json.loads(video)["clips"]
    return clips


def _check_video(video: Path, *, frames: int, **_: object) -> None:
    found = json.loads(video.read_text())["frames"]
    if found != frames:
        raise BadOutput(f"{video.name} has {found} frames, expected {frames}")


def _poster(video: Path, out_jpg: Path, **_: object) -> None:
    out_jpg.write_bytes(b"poster of " + video.read_bytes())


def _stills(video: Path, out_dir: Path, **_: object) -> tuple[Path, ...]:
    still = out_dir / "still.jpg"
    still.write_bytes(b"still of " + video.read_bytes())
    return (still,)


TOOLS = FilmTools(join=join, check=_check_video, poster=_poster, stills=_stills)
