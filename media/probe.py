"""What is inside a finished clip or video: counted in the file, not believed from its header."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import av.error
from av.container import InputContainer
from av.video.frame import VideoFrame

from schemas.errors import Permanent


class UnreadableVideo(Permanent):
    """The file is no MP4 that can be read to its end."""


@dataclass(frozen=True, kw_only=True)
class VideoFacts:
    """One MP4. Times in seconds; sound fields are 0 or empty where there is no sound."""

    frames: int
    """Packets of the picture track."""
    fps: Fraction
    width: int
    height: int
    duration_s: Fraction
    """Length of the picture."""
    codec: str
    pix_fmt: str
    parameters: bytes
    """The codec's own header (SPS and PPS): clips with equal ones can be joined without encoding again."""
    start_s: Fraction
    """When the first picture is shown."""
    has_audio: bool
    audio_codec: str = ""
    audio_rate: int = 0
    audio_channels: int = 0
    audio_samples: int = 0
    """Presented samples per channel."""
    audio_start_s: Fraction = Fraction(0)


@contextmanager
def open_video(path: Path) -> Iterator[InputContainer]:
    """An MP4 for reading, through a Python file: no protocol, no other demuxer.

    Raises:
        UnreadableVideo: it does not open, or what the block reads from it does not decode.
    """
    try:
        with (
            path.open("rb") as file,
            av.open(
                file,
                mode="r",
                format="mp4",
                container_options={"format_whitelist": "mp4", "protocol_whitelist": "none"},
            ) as container,
        ):
            yield container
    except FileNotFoundError:
        raise UnreadableVideo(f"{path.name}: no such file") from None
    # libav's demuxers seek a damaged file to places that are none: a plain OSError of the Python file.
    except (av.error.FFmpegError, ValueError, OSError) as error:
        said = getattr(error, "strerror", None) or error
        raise UnreadableVideo(f"{path.name} cannot be read as MP4: {said}", fix="render or join it again") from error


def pictures(container: InputContainer) -> Iterator[VideoFrame]:
    """Every decoded frame of the first picture track, from where the container stands."""
    stream = container.streams.video[0]
    if not stream.codec_context.is_open:
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = 2
    return container.decode(stream)


def probe_video(path: Path) -> VideoFacts:
    """Read every packet's header and say what the file is; nothing is decoded.

    Raises:
        UnreadableVideo: it is no MP4 with a picture track.
    """
    with open_video(path) as container:
        if not container.streams.video:
            raise UnreadableVideo(f"{path.name} has no picture track", fix="render or join it again")
        video = container.streams.video[0]
        context = video.codec_context
        times = [packet.pts for packet in container.demux(video) if packet.pts is not None]
        base = Fraction(video.time_base or 0)
        picture = VideoFacts(
            frames=len(times),
            fps=Fraction(video.average_rate or 0),
            width=context.width,
            height=context.height,
            duration_s=(video.duration or 0) * base,
            codec=context.name,
            pix_fmt=context.pix_fmt or "",
            parameters=context.extradata or b"",
            start_s=min(times, default=0) * base,
            has_audio=False,
        )
        return _with_sound(picture, container)


def _with_sound(picture: VideoFacts, container: InputContainer) -> VideoFacts:
    if not container.streams.audio:
        return picture
    audio = container.streams.audio[0]
    base = Fraction(audio.time_base or 0)
    rate = audio.codec_context.sample_rate
    return replace(
        picture,
        has_audio=True,
        audio_codec=audio.codec_context.name,
        audio_rate=rate,
        audio_channels=audio.codec_context.layout.nb_channels,
        audio_samples=round((audio.duration or 0) * base * rate),
        audio_start_s=(audio.start_time or 0) * base,
    )
