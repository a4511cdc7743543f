"""Clips into one picture track by encoding them again: for crossfades, and for clips that were not encoded alike."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from media.encode import ClipEncoder
from media.ffmpeg import FfmpegFailed
from media.output_gate import BadOutput
from media.probe import UnreadableVideo, open_video, pictures
from schemas.model_spec import FPS

Planes = NDArray[np.uint8]
"""One yuv420p picture, [height x 3 / 2, width]."""

ShotClips = tuple[Sequence[Path], Sequence[int]]
"""The clips of one shot, and each one's lead in frames."""


def encode_again(
    shots: Sequence[ShotClips],
    out: Path,
    *,
    width: int,
    height: int,
    blend_frames: int | None,
    timeout_s: float,
) -> None:
    """Write one clip of `width` x `height` that shows all shots in order.

    Of each lead, the last `blend_frames` frames (all, for None) are blended with what is shown before; the rest is
    dropped. At most that many frames are held in memory.

    Raises:
        BadOutput: a clip does not decode, or is shorter than the lead that follows it.
        FfmpegFailed: the encoder failed, or all took longer than `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s
    with ClipEncoder(out, width=width, height=height, fps=FPS, timeout_s=timeout_s, pixels="yuv420p") as encoder:
        for clips, leads in shots:
            blends = [lead if blend_frames is None else min(lead, blend_frames) for lead in leads]
            for planes in _shown(clips, leads, blends, (width, height)):
                if time.monotonic() > deadline:
                    raise FfmpegFailed(f"blending took longer than {timeout_s:g} s", fix="allow more time")
                encoder.write(planes.data)
        encoder.finish()


def _shown(
    clips: Sequence[Path], leads: Sequence[int], blends: Sequence[int], size: tuple[int, int]
) -> Iterator[Planes]:
    held: deque[Planes] = deque()
    for path, lead, blend, next_blend in zip(clips, leads, blends, [*blends[1:], 0], strict=True):
        if len(held) < blend:
            raise BadOutput(
                f"the clip before {path.name} shows {len(held)} frames, its lead is {blend}", fix="render it again"
            )
        before = held
        held = deque()
        for number, planes in enumerate(_decode(path, size)):
            place = number - (lead - blend)
            if place < 0:
                continue
            held.append(_mix(before[place], planes, (place + 1) / (blend + 1)) if place < blend else planes)
            if len(held) > next_blend:
                yield held.popleft()


def _decode(path: Path, size: tuple[int, int]) -> Iterator[Planes]:
    try:
        with open_video(path) as container:
            for frame in pictures(container):
                planes: Planes = np.ascontiguousarray(
                    frame.reformat(width=size[0], height=size[1], format="yuv420p").to_ndarray(), np.uint8
                )
                yield planes
    except UnreadableVideo as error:
        raise BadOutput(error.message, fix="render it again") from error


def _mix(before: Planes, after: Planes, share: float) -> Planes:
    return np.rint(before * np.float32(1 - share) + after * np.float32(share)).astype(np.uint8)
