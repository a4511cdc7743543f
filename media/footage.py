"""Reading a stranger's video: which frames it has on the 25-fps grid, where it cuts, and its sound at 16 kHz.

Only called in the limited child of `media.sandbox`. As with sound, the type is read off the first bytes and forced
upon libav, and no second file is ever opened.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, NoReturn

import av
import av.error
import numpy as np
import soundfile
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from media.files import open_regular, replacing, unwritable
from media.resampling import Resampler, fit
from schemas.errors import InvalidInput, InvalidMedia
from schemas.model_spec import FPS, SPEECH_RATE
from schemas.problem import Code

SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi")
"""Of files that are tried; what they are is read off their bytes."""

_CODECS = frozenset({"h264", "hevc", "vp8", "vp9", "av1", "mpeg4", "mpeg2video", "mjpeg", "prores"})
_SMALL = (32, 18)
_CORRUPT_SHARE = 0.02
_ERRORS = (av.error.FFmpegError, ValueError, OSError, EOFError)

Pixels = NDArray[np.uint8]


class BadFootage(InvalidInput):
    """A video that cannot be used; `reason` is from a short list that is counted."""

    def __init__(self, reason: str, message: str, *, fix: str = "export the video again") -> None:
        super().__init__(message, fix=fix)
        self.reason = reason


@dataclass(frozen=True, kw_only=True)
class FootageLimits:
    """What one video may be."""

    bytes: int = 16 * 2**30
    seconds: float = 2 * 3600.0
    pixels: int = 4096 * 2304


@dataclass(frozen=True, kw_only=True)
class FootageFacts:
    """A video that was decoded to its end."""

    frames: int
    """On the 25-fps grid."""
    width: int
    height: int
    """Of its pictures before they are turned, pixels made square."""
    changes: tuple[float, ...]
    """[frames - 1]: mean change of luma from each frame to the next, of full scale, at 32x18."""
    has_sound: bool


def survey_footage(path: Path, limits: FootageLimits | None = None) -> FootageFacts:
    """Decode all of it.

    Raises:
        BadFootage: no video of an accepted kind, too large, or it does not decode.
    """
    limits = limits or FootageLimits()
    changes, before, count = [], None, 0
    with _opened(path, limits) as (container, stream):
        width, height = _shown_size(stream, path.name, limits)
        for frame in _on_grid(container, stream, path.name):
            count += 1
            if count > limits.seconds * FPS:
                raise BadFootage("too long", f"{path.name} is longer than {limits.seconds:g} s", fix="cut it")
            small = frame.reformat(*_SMALL, format="gray").to_ndarray().astype(np.float32)
            if before is not None:
                changes.append(round(float(np.abs(small - before).mean()) / 255, 4))
            before = small
        has_sound = bool(container.streams.audio)
    if not count:
        _unreadable(path.name, "no frame of it decodes")
    return FootageFacts(frames=count, width=width, height=height, changes=tuple(changes), has_sound=has_sound)


def write_frames(path: Path, out: Path, *, first: int, count: int, width: int, height: int) -> None:
    """Frames of the 25-fps grid as raw RGB, uint8 [count, height, width, 3]: scaled to cover, the middle cut out.

    Raises:
        BadFootage: it does not decode (any more).
        Retryable: `out` cannot be written.
    """
    with _opened(path, FootageLimits()) as (container, stream), replacing(out) as part:
        found = 0
        try:
            with part.open("wb") as file:
                for frame in _on_grid(container, stream, path.name, first=first):
                    file.write(_covering(frame, stream, width, height).tobytes())
                    found += 1
                    if found == count:
                        break
        except OSError as error:
            raise unwritable(out, error) from error
        if found < count:
            _unreadable(path.name, f"{found} of {count} frames decode")


def write_sound(path: Path, out: Path, *, frames: int) -> bool:
    """The sound beside the first `frames` frames as mono 16-kHz 16-bit WAV; False where it has none.

    Raises:
        BadFootage: it does not decode.
        Retryable: `out` cannot be written.
    """
    wanted = frames * SPEECH_RATE // FPS
    with _opened(path, FootageLimits()) as (container, video):
        if not container.streams.audio:
            return False
        samples = _sound(container, video, path.name, wanted)
    try:
        with replacing(out) as part:
            scaled = np.clip(np.rint(samples * 32768.0), -32768, 32767).astype(np.int16)
            soundfile.write(part, scaled, SPEECH_RATE, subtype="PCM_16", format="WAV")
    except (OSError, soundfile.LibsndfileError) as error:
        raise unwritable(out, error) from error
    return True


def _sound(container: InputContainer, video: VideoStream, name: str, wanted: int) -> NDArray[np.float32]:
    stream = container.streams.audio[0]
    stream.codec_context.thread_count = 1
    rate = stream.codec_context.sample_rate
    if rate < 1:
        _unreadable(name, "its sound has no sample rate")
    resampler, pieces, late, have = Resampler(rate, SPEECH_RATE), [], None, 0
    begin = (video.start_time or 0) * Fraction(video.time_base or 0)
    for frame in _decoded(container, stream, name):
        if frame.sample_rate != rate:
            _unreadable(name, "its sound changes its sample rate")
        if late is None:
            late = round(((frame.pts or 0) * Fraction(frame.time_base or 0) - begin) * SPEECH_RATE)
        planes = frame.to_ndarray()
        channels = frame.layout.nb_channels
        lanes = planes if frame.format.is_planar else planes.reshape(-1, channels).T
        mono = _full_scale(lanes).mean(0).astype(np.float32)
        pieces.append(resampler.feed(mono))
        have += len(pieces[-1])
        if have > wanted + abs(late) + SPEECH_RATE:
            break
    pieces.append(resampler.end())
    sound, late = np.nan_to_num(np.concatenate(pieces)), late or 0
    sound = sound[-late:] if late < 0 else np.concatenate([np.zeros(min(late, wanted), np.float32), sound])
    return fit(sound, wanted)


def _full_scale(lanes: NDArray[Any]) -> NDArray[np.float64]:
    """Whatever the samples' type, full scale at 1."""
    if lanes.dtype == np.uint8:
        return (lanes.astype(np.float64) - 128) / 128
    if lanes.dtype.kind == "i":
        return np.asarray(lanes / float(-np.iinfo(lanes.dtype).min), np.float64)
    return lanes.astype(np.float64)


def _demuxer(head: bytes) -> str | None:
    if head[4:8] in {b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"}:
        return "mp4"
    if head[:4] == b"\x1aE\xdf\xa3":
        return "matroska"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "avi"
    return None


@contextmanager
def _opened(path: Path, limits: FootageLimits) -> Iterator[tuple[InputContainer, VideoStream]]:
    try:
        with open_regular(path, max_bytes=limits.bytes, empty=Code.REFERENCE_NOT_A_FILE) as file:
            demuxer = _demuxer(file.read(12))
            file.seek(0)
            if demuxer is None:
                raise BadFootage("no video", f"{path.name} is no MP4, MOV, MKV, WebM or AVI")
            try:
                container = av.open(
                    file,
                    mode="r",
                    format=demuxer,
                    container_options={"format_whitelist": demuxer, "protocol_whitelist": "none"},
                    metadata_errors="replace",
                    io_open=_refuse,
                )
            except _ERRORS as error:
                _unreadable(path.name, f"it does not open: {_words(error)}")
            with container:
                yield container, _picture_track(container, path.name)
    except InvalidMedia as error:
        reason = "too large" if error.code is Code.REFERENCE_TOO_LARGE else "unreadable"
        raise BadFootage(reason, error.message, fix=error.fix) from None


def _refuse(url: str, *_: Any) -> NoReturn:
    raise PermissionError(f"a video names another file: {url}")


def _picture_track(container: InputContainer, name: str) -> VideoStream:
    if not container.streams.video:
        raise BadFootage("no video", f"{name} has no picture track")
    stream = container.streams.video[0]
    codec = stream.codec_context.codec.canonical_name
    if codec not in _CODECS:
        raise BadFootage("no video", f"{name} holds {codec}, expected one of {', '.join(sorted(_CODECS))}")
    # One thread: the same pixels on any machine, and no more memory than the limit knows of.
    stream.codec_context.thread_count = 1
    return stream


def _shown_size(stream: VideoStream, name: str, limits: FootageLimits) -> tuple[int, int]:
    width, height = stream.codec_context.width, stream.codec_context.height
    if width < 2 or height < 2:
        _unreadable(name, f"its size is {width}x{height}")
    if width * height > limits.pixels:
        raise BadFootage("too large", f"{name} is {width}x{height}", fix="scale it down")
    return round(width * _aspect(stream)), height


def _aspect(stream: VideoStream) -> float:
    """Width of a pixel over its height."""
    ratio = stream.sample_aspect_ratio
    return float(ratio) if ratio and 0.1 < ratio < 10 else 1.0


def _decoded(container: InputContainer, stream: Any, name: str) -> Iterator[Any]:
    try:
        yield from container.decode(stream)
    except _ERRORS as error:
        _unreadable(name, f"it does not decode: {_words(error)}")


def _on_grid(container: InputContainer, stream: VideoStream, name: str, *, first: int = 0) -> Iterator[VideoFrame]:
    """The frame that is shown at each tick from `first` on; one that is shown longer comes more than once."""
    base = Fraction(stream.time_base or 0)
    if not base:
        _unreadable(name, "it has no time base")
    begin = (stream.start_time or 0) * base
    tick, shown, corrupt, seen = first, None, 0, 0
    for frame in _from(container, stream, name, begin + Fraction(first, FPS)):
        seen += 1
        corrupt += bool(frame.is_corrupt)
        at = (frame.pts or 0) * base - begin
        # Half a tick of grace: 40 ms is rarely a whole number of a file's own ticks.
        while shown is not None and Fraction(tick, FPS) + Fraction(1, 2 * FPS) <= at:
            yield shown
            tick += 1
        shown = frame
    if corrupt > _CORRUPT_SHARE * seen:
        _unreadable(name, f"{corrupt} of {seen} frames are damaged")
    claimed = stream.frames
    if not first and claimed and seen < claimed * (1 - _CORRUPT_SHARE) - 1:
        _unreadable(name, f"{seen} of the {claimed} frames that it announces are there")
    if shown is not None:
        yield shown


def _from(container: InputContainer, stream: VideoStream, name: str, time: Fraction) -> Iterator[VideoFrame]:
    """Frames from the key frame before `time` on; from the first one if the file's index leads elsewhere."""
    base = Fraction(stream.time_base or 0)
    start = (stream.start_time or 0) * base
    if time <= start:
        yield from (frame for frame in _decoded(container, stream, name) if frame.pts is not None)
        return
    # One tick early, because a frame's time may be rounded.
    for target in (time - Fraction(1, FPS), start):
        try:
            container.seek(int(target / base), stream=stream, backward=True)
        except _ERRORS as error:
            _unreadable(name, f"it cannot be sought: {_words(error)}")
        frames = (frame for frame in _decoded(container, stream, name) if frame.pts is not None)
        first = next(frames, None)
        if first is not None and ((first.pts or 0) * base <= time or target == start):
            yield first
            yield from frames
            return


def _covering(frame: VideoFrame, stream: VideoStream, width: int, height: int) -> Pixels:
    turns = round(getattr(frame, "rotation", 0) / 90) % 4
    wide, high = frame.width * _aspect(stream), float(frame.height)
    target_wide, target_high = (height, width) if turns % 2 else (width, height)
    scale = max(target_wide / wide, target_high / high)
    inner_wide, inner_high = max(target_wide, round(wide * scale)), max(target_high, round(high * scale))
    scaled = frame.reformat(inner_wide, inner_high, format="rgb24", interpolation="AREA").to_ndarray()
    left, top = (inner_wide - target_wide) // 2, (inner_high - target_high) // 2
    middle = scaled[top : top + target_high, left : left + target_wide]
    return np.ascontiguousarray(np.rot90(middle, turns))


def _unreadable(name: str, why: str) -> NoReturn:
    raise BadFootage("unreadable", f"{name} cannot be read: {why}")


def _words(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
