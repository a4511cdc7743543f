"""Decoding a stranger's sound. One decoder for checking, normalising and joining, so that all count the same samples.

The type is read off the first bytes and forced upon libav; what the file names as further files is never opened.
What the decoder gives is what counts: encoder delay that the file declares is already taken off, nothing else is.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import av
import av.error
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from numpy.typing import NDArray

from media.files import open_regular
from schemas.errors import InvalidMedia
from schemas.problem import Code

Samples = NDArray[np.float32]
"""[samples, channels], full scale at 1."""

_PCM = frozenset(f"pcm_{kind}" for kind in ("u8", "s16le", "s24le", "s32le", "f32le", "f64le", "alaw", "mulaw"))


# libav's demuxers seek a damaged file to places that are none: a plain OSError of the Python file.
_DECODER_ERRORS = (av.error.FFmpegError, ValueError, OSError)


@dataclass(frozen=True, kw_only=True)
class SoundType:
    """One accepted kind of file: libav's demuxer, and the codecs that may be inside."""

    media_type: str
    demuxer: str
    codecs: frozenset[str]


WAV = SoundType(media_type="audio/wav", demuxer="wav", codecs=_PCM)
MP3 = SoundType(media_type="audio/mpeg", demuxer="mp3", codecs=frozenset({"mp3", "mp3float"}))
M4A = SoundType(media_type="audio/mp4", demuxer="mp4", codecs=frozenset({"aac", "alac"}))
AAC = SoundType(media_type="audio/aac", demuxer="aac", codecs=frozenset({"aac"}))
FLAC = SoundType(media_type="audio/flac", demuxer="flac", codecs=frozenset({"flac"}))
OGG = SoundType(media_type="audio/ogg", demuxer="ogg", codecs=frozenset({"vorbis", "opus", "flac"}))


def sound_type(head: bytes, frame: bytes) -> SoundType | None:
    """What the first bytes announce, or None for anything that is not accepted.

    `head` are the file's first 16 bytes, `frame` the two behind a leading ID3 tag (without one the first two).
    """
    tag = _id3_size(head)
    frame = frame.ljust(2, b"\0")
    kinds = (
        (WAV, head[:4] in {b"RIFF", b"RF64"} and head[8:12] == b"WAVE"),
        (M4A, head[4:8] == b"ftyp"),
        (FLAC, head[:4] == b"fLaC"),
        (OGG, head[:4] == b"OggS"),
        # ADTS has the sync word of MPEG audio with layer 0, MP3 with layer III.
        (AAC, frame[0] == 0xFF and frame[1] & 0xF6 == 0xF0),
        (MP3, tag > 0 or (frame[0] == 0xFF and frame[1] & 0xE6 == 0xE2)),
    )
    return next((kind for kind, fits in kinds if fits), None)


def _id3_size(head: bytes) -> int:
    """Bytes of the ID3v2 tag in front; 0 without one."""
    if head[:3] != b"ID3" or len(head) < 10:
        return 0
    a, b, c, d = head[6:10]
    return 10 + (((a & 127) << 21) | ((b & 127) << 14) | ((c & 127) << 7) | (d & 127))


@dataclass(frozen=True, kw_only=True)
class Sound:
    """An opened sound: what its header says, and its samples to come. Rates in Hz."""

    name: str
    type: SoundType
    sample_rate: int
    channels: int
    claimed_samples: int | None
    """What the file says of its own length; None where it says nothing."""
    container: InputContainer
    stream: AudioStream

    def chunks(self) -> Iterator[Samples]:
        """All samples in order, some thousand at a time.

        Raises:
            InvalidMedia: AUDIO_CORRUPT, as soon as something does not decode.
        """
        try:
            for frame in self.container.decode(self.stream):
                if frame.sample_rate != self.sample_rate or frame.layout.nb_channels != self.channels:
                    _corrupt(self.name, "its sample rate or channels change on the way")
                samples = _as_float(frame, self.channels)
                if not np.isfinite(samples).all():
                    _corrupt(self.name, "it holds samples that are no numbers")
                yield samples
        except _DECODER_ERRORS as error:
            _corrupt(self.name, f"it does not decode: {_words(error)}")


@contextmanager
def open_sound(path: Path, *, max_bytes: int) -> Iterator[Sound]:
    """Open a sound of an accepted type.

    Raises:
        InvalidMedia: AUDIO_TYPE or AUDIO_CORRUPT, or a REFERENCE_* code when it is no regular file of that size.
    """
    with open_regular(path, max_bytes=max_bytes, empty=Code.AUDIO_CORRUPT) as file:
        kind = _read_type(file)
        if kind is None:
            raise InvalidMedia(
                Code.AUDIO_TYPE,
                f"{path.name} is no WAV, MP3, M4A, AAC, FLAC or OGG",
                fix="export it as WAV, MP3, M4A, FLAC or OGG",
            )
        try:
            container = _open_container(file, kind)
        except _DECODER_ERRORS as error:
            _corrupt(path.name, f"it does not open as {kind.media_type}: {_words(error)}")
        with container:
            yield _describe(path.name, kind, container, file)


def _read_type(file: BinaryIO) -> SoundType | None:
    head = file.read(16)
    # A tag may be as large as the file: it is stepped over, not read.
    file.seek(_id3_size(head))
    frame = file.read(2)
    file.seek(0)
    return sound_type(head, frame)


def _open_container(file: BinaryIO, kind: SoundType) -> InputContainer:
    """libav reads through the Python file alone: no protocol, no other demuxer, no second file."""
    return av.open(
        file,
        mode="r",
        format=kind.demuxer,
        container_options={"format_whitelist": kind.demuxer, "protocol_whitelist": "none"},
        metadata_errors="replace",
        io_open=_refuse,
    )


def _refuse(url: str, *_: Any) -> NoReturn:
    raise PermissionError(f"a sound file names another file: {url}")


def _describe(name: str, kind: SoundType, container: InputContainer, file: BinaryIO) -> Sound:
    if not container.streams.audio:
        _corrupt(name, "there is no sound in it")
    stream = container.streams.audio[0]
    context = stream.codec_context
    codec = getattr(context, "name", "an unknown codec")
    if codec not in kind.codecs:
        raise InvalidMedia(
            Code.AUDIO_TYPE,
            f"{name} is {kind.media_type} with {codec} inside, expected {', '.join(sorted(kind.codecs))}",
            fix="export it as WAV, MP3, M4A, FLAC or OGG",
        )
    if context.sample_rate < 1 or context.layout.nb_channels < 1:
        _corrupt(name, "its header gives neither sample rate nor channels")
    # One thread: the same samples in the same chunks on any machine.
    context.thread_count = 1
    return Sound(
        name=name,
        type=kind,
        sample_rate=context.sample_rate,
        channels=context.layout.nb_channels,
        claimed_samples=_claim(kind, stream, file),
        container=container,
        stream=stream,
    )


def _claim(kind: SoundType, stream: AudioStream, file: BinaryIO) -> int | None:
    """How many samples the header promises. libav estimates where there is no promise, and believes no WAV header."""
    if kind is WAV:
        return _wav_claim(file)
    if kind is AAC or (kind is MP3 and not _has_frame_count(file)) or stream.duration is None:
        return None
    seconds = stream.duration * Fraction(stream.time_base or 0)
    return round(seconds * stream.codec_context.sample_rate)


def _has_frame_count(file: BinaryIO) -> bool:
    """Whether an MP3 begins with a Xing, Info or VBRI frame, which counts the frames to come."""
    with _rewound(file):
        head = file.read(10)
        file.seek(_id3_size(head))
        first = file.read(4096)
    return any(mark in first for mark in (b"Xing", b"Info", b"VBRI"))


_WAV_UNKNOWN = 0x7FFFF000
"""Writers that cannot go back leave a data size at or above this, or 0."""


def _wav_claim(file: BinaryIO) -> int | None:
    with _rewound(file):
        file.seek(12)
        block = large = 0
        for _ in range(64):
            header = file.read(8)
            if len(header) < 8:
                return None
            size = struct.unpack("<I", header[4:])[0]
            if header[:4] == b"fmt ":
                block = struct.unpack("<H", file.read(16).ljust(16, b"\0")[12:14])[0]
                size -= 16
            elif header[:4] == b"ds64":
                large = struct.unpack("<Q", file.read(16).ljust(16, b"\0")[8:16])[0]
                size -= 16
            elif header[:4] == b"data":
                size = large if size == 0xFFFFFFFF and large else size
                known = block and size > 0 and (size < _WAV_UNKNOWN or size == large)
                return size // block if known else None
            file.seek(max(0, size) + size % 2, 1)
    return None


@contextmanager
def _rewound(file: BinaryIO) -> Iterator[None]:
    """libav goes on reading where it was."""
    place = file.tell()
    file.seek(0)
    try:
        yield
    finally:
        file.seek(place)


def _as_float(frame: AudioFrame, channels: int) -> Samples:
    raw: NDArray[Any] = frame.to_ndarray()
    shaped = raw.T if frame.format.is_planar else raw.reshape(-1, channels)
    if shaped.dtype == np.uint8:
        return (shaped.astype(np.float32) - 128.0) / 128.0
    if shaped.dtype.kind == "i":
        return (shaped / 2.0 ** (8 * shaped.dtype.itemsize - 1)).astype(np.float32)
    return shaped.astype(np.float32)


def _corrupt(name: str, why: str) -> NoReturn:
    raise InvalidMedia(Code.AUDIO_CORRUPT, f"{name}: {why}", fix="export the sound again and listen to it")


def _words(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
