"""The gate that every rendered clip and every joined video passes before it counts.

A model can end well and leave nothing worth having: a black, uniform or frozen picture, too few frames, or a file cut
off. The thresholds are for pictures of people; a clip that an engine may freeze on purpose says so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from av.container import InputContainer
from numpy.typing import NDArray

from media.probe import UnreadableVideo, VideoFacts, open_video, pictures, probe_video
from media.soundtrack import SOUND_RATE
from schemas.errors import Permanent
from schemas.model_spec import FPS

BLACK_LUMA = 22.0
"""Limited range puts black at 16; below this mean nothing can be seen."""

UNIFORM_SPREAD = 1.0
"""Standard deviation of the luma under which a frame is one flat colour, as NaN pixels become."""

STILL_CHANGE = 1.0
"""Luma change between two frames, in the 8x8 block that changes most, under which the picture stands still."""

BAD_SHARE = 0.2
"""Share of black or flat frames that makes a clip bad."""

STILL_SHARE = 0.95
"""Share of still frame pairs that makes a clip frozen: a mouth at rest moves less than a mouth that speaks."""

_BLOCK = 8
_AUDIBLE = 10 ** (-80 / 20)


class BadOutput(Permanent):
    """What was rendered or joined is not fit to be published; the message says what is wrong with it."""


@dataclass(frozen=True, kw_only=True)
class ClipFacts:
    """What a good clip looks like. Luma 0 to 255."""

    luma_mean: float
    motion: float
    """Mean absolute luma change from frame to frame."""


def check_clip(path: Path, *, frames: int, width: int, height: int, fps: int, frozen_allowed: bool) -> ClipFacts:
    """Decode a clip fully and judge its picture.

    Raises:
        BadOutput: it does not decode, has another length, size or rate, or is black, flat or frozen.
    """
    _check_header(_probe(path), path.name, frames=frames, width=width, height=height, fps=fps)
    looks = _look(path)
    if looks.count != frames:
        raise BadOutput(f"{path.name}: {looks.count} of {frames} frames decode", fix="render it again")
    if looks.black > BAD_SHARE * frames:
        raise BadOutput(
            f"{path.name}: {looks.black} of {frames} frames are black (mean luma {looks.luma_mean:.1f})",
            fix="check the weights: damaged ones render black",
        )
    if looks.flat > BAD_SHARE * frames:
        raise BadOutput(
            f"{path.name}: {looks.flat} of {frames} frames are one flat colour (mean luma {looks.luma_mean:.1f})",
            fix="check the weights and the precision: numbers that overflow render flat",
        )
    if not frozen_allowed and frames > 1 and looks.still > STILL_SHARE * (frames - 1):
        raise BadOutput(
            f"{path.name}: the picture stands still in {looks.still} of {frames - 1} steps",
            fix="try another seed or more denoising steps",
        )
    return ClipFacts(luma_mean=round(looks.luma_mean, 2), motion=round(looks.motion, 3))


def check_video(path: Path, *, frames: int, width: int, height: int, expect_sound: bool, fps: int = FPS) -> VideoFacts:
    """Decode a joined video fully: both streams there, equally long, beginning together, ready to be streamed.

    With `expect_sound` the sound must be audible; without, the sound stream is silence and only its length counts.

    Raises:
        BadOutput: naming what is wrong.
    """
    facts = _probe(path)
    name = path.name
    _check_header(facts, name, frames=frames, width=width, height=height, fps=fps)
    if not facts.has_audio:
        raise BadOutput(f"{name} has no sound stream", fix="join it again")
    if facts.audio_codec != "aac" or facts.audio_rate != SOUND_RATE:
        raise BadOutput(
            f"{name}: its sound is {facts.audio_codec} at {facts.audio_rate} Hz, expected aac at {SOUND_RATE} Hz",
            fix="join it again",
        )
    if not _is_faststart(path):
        raise BadOutput(f"{name}: its index stands behind its data, so it cannot be streamed", fix="join it again")
    try:
        decoded = _countpictures(path)
        samples, loudest = _listen(path)
    except UnreadableVideo as error:
        raise BadOutput(error.message, fix="join it again") from error
    if decoded != frames:
        raise BadOutput(f"{name}: {decoded} of {frames} frames decode", fix="join it again")
    per_frame = SOUND_RATE // fps
    if abs(samples - frames * per_frame) > per_frame or facts.audio_start_s * fps > 1:
        raise BadOutput(
            f"{name}: {samples / SOUND_RATE:.3f} s of sound from {float(facts.audio_start_s):.3f} s on, "
            f"expected {frames / fps:.3f} s from the start, to one frame",
            fix="join it again",
        )
    if expect_sound and loudest < _AUDIBLE:
        raise BadOutput(f"{name} is silent although its shots have speech", fix="join it again")
    return facts


def _probe(path: Path) -> VideoFacts:
    try:
        return probe_video(path)
    except UnreadableVideo as error:
        raise BadOutput(error.message, fix=error.fix) from error


def _check_header(facts: VideoFacts, name: str, *, frames: int, width: int, height: int, fps: int) -> None:
    found = (facts.frames, facts.width, facts.height, facts.fps, facts.codec, facts.pix_fmt)
    wanted = (frames, width, height, fps, "h264", "yuv420p")
    labels = ("frames", "width", "height", "frames per second", "codec", "pixel format")
    wrong = [
        f"{label} {have}, expected {want}"
        for label, have, want in zip(labels, found, wanted, strict=True)
        if have != want
    ]
    if facts.start_s != 0:
        wrong.append(f"first picture at {float(facts.start_s):.3f} s, expected 0")
    if wrong:
        raise BadOutput(f"{name}: {'; '.join(wrong)}", fix="render or join it again")


@dataclass
class _Looks:
    """Sums over the frames of one clip."""

    count: int = 0
    black: int = 0
    flat: int = 0
    still: int = 0
    luma: float = 0.0
    change: float = 0.0

    @property
    def luma_mean(self) -> float:
        return self.luma / max(1, self.count)

    @property
    def motion(self) -> float:
        return self.change / max(1, self.count - 1)

    def add(self, frame: NDArray[np.float32], before: NDArray[np.float32] | None) -> None:
        mean = float(frame.mean())
        self.count += 1
        self.luma += mean
        self.black += mean < BLACK_LUMA and float(frame.max()) < 2 * BLACK_LUMA
        self.flat += float(frame.std()) < UNIFORM_SPREAD
        if before is not None:
            change = np.abs(frame - before)
            self.change += float(change.mean())
            self.still += float(change.max()) < STILL_CHANGE


def _look(path: Path) -> _Looks:
    looks, before = _Looks(), None
    try:
        with open_video(path) as container:
            for luma in _lumas(container):
                blocks = _blocks(luma)
                looks.add(blocks, before)
                before = blocks
    except UnreadableVideo as error:
        raise BadOutput(error.message, fix=error.fix) from error
    return looks


def _lumas(container: InputContainer) -> Iterator[NDArray[np.uint8]]:
    """The Y plane of every frame, [height, width], without a colour conversion."""
    for frame in pictures(container):
        plane = frame.planes[0]
        yield np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[: frame.height, : frame.width]


def _blocks(luma: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Means of 8x8 blocks: noise of the encoder averages out, a moving mouth does not."""
    height, width = (side // _BLOCK * _BLOCK for side in luma.shape)
    tiles = luma[:height, :width].reshape(height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK)
    means: NDArray[np.float32] = tiles.mean(axis=(1, 3), dtype=np.float32)
    return means


def _countpictures(path: Path) -> int:
    with open_video(path) as container:
        return sum(1 for _ in pictures(container))


def _listen(path: Path) -> tuple[int, float]:
    """Samples per channel and the largest absolute value."""
    samples, loudest = 0, 0.0
    with open_video(path) as container:
        for frame in container.decode(container.streams.audio[0]):
            samples += frame.samples
            loudest = max(loudest, float(np.abs(frame.to_ndarray()).max(initial=0.0)))
    return samples, loudest


def _is_faststart(path: Path) -> bool:
    """Whether the index (moov) stands before the data (mdat), read off the top-level boxes (ISO/IEC 14496-12)."""
    with path.open("rb") as file:
        while header := file.read(8):
            size, kind = int.from_bytes(header[:4], "big"), header[4:]
            if kind in {b"moov", b"mdat"}:
                return kind == b"moov"
            if size == 1:
                size = int.from_bytes(file.read(8), "big") - 8
            if size < 8:
                return False
            file.seek(size - 8, 1)
    return False
